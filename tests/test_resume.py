"""Training that stops at any moment, is frozen and thawed, shared by two optimizers, or goes on in another dtype."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import exactly, snapshot
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_cases import SETTINGS, Model, make, step

from tinygpt import SGD, Adam, Module, Optimizer, Tensor, schedules

ROUNDING = 1e-14  # a dozen sums of numbers near one
FLOATS = [np.float16, np.float32, np.float64]
LAWS = settings(max_examples=60)

# --- any moment ------------------------------------------------------------------------------------------------------

NAMES = ["zero", "single", "tied", "inner.double"]
ACTIONS = st.one_of(
    st.tuples(st.just("update"), st.sets(st.sampled_from(NAMES))),  # those that have a gradient
    st.tuples(st.just("freeze"), st.sampled_from(NAMES)),
    st.tuples(st.just("unfreeze"), st.sampled_from(NAMES)),
    st.tuples(st.just("restart"), st.none()),
)


def a_model(start: float) -> Module:
    tied = Tensor(np.full((2, 2), start, np.float32), requires_grad=True)
    inner = Model(again=tied, double=np.full((1, 3), start))
    return Model(zero=start, single=np.full(3, start, np.float32), tied=tied, inner=inner)


def an_optimizer(module: Module, name: str, setting: dict[str, Any]) -> Optimizer:
    return make(name, module, learning_rate=schedules.cosine(0.1, 10), **setting)


def restarted(old: Optimizer, name: str, setting: dict[str, Any]) -> Optimizer:
    """What a new process makes of the files of an old one."""
    module = a_model(start=7.0)
    for n, parameter in old.module.named_parameters():
        if not parameter.requires_grad:
            module.freeze(n)
    new = an_optimizer(module, name, setting)
    with tempfile.TemporaryDirectory() as folder:
        old.module.save_weights(Path(folder, "weights.json"))
        old.save_state(Path(folder, "state.json"))
        module.load_weights(Path(folder, "weights.json"))
        new.load_state(Path(folder, "state.json"))
    return new


@LAWS
@given(st.sampled_from(SETTINGS), st.lists(ACTIONS, max_size=12))
def test_a_restart_at_any_moment_changes_nothing(case: tuple[str, dict[str, Any]], actions: list[Any]) -> None:
    steadfast, restarting = an_optimizer(a_model(0.5), *case), an_optimizer(a_model(0.5), *case)
    rng = np.random.default_rng(0)
    for action, what in actions:
        if action == "restart":
            restarting = restarted(restarting, *case)
        elif action == "update":
            shapes = {n: p.shape for n, p in steadfast.module.named_parameters()}
            gradients = {n: rng.normal(size=shapes[n]) for n in sorted(what)}
            step(steadfast, **gradients)
            step(restarting, **gradients)
        else:
            getattr(steadfast.module, action)(what)
            getattr(restarting.module, action)(what)
    assert snapshot(restarting) == snapshot(steadfast)


# --- two optimizers --------------------------------------------------------------------------------------------------

GRADIENTS = np.random.default_rng(0).normal(size=(10, 3))
START = np.array([0.5, -1.0, 2.0])


def two_optimizers(first: Module, second: Module) -> tuple[Optimizer, Optimizer]:
    return SGD(first, 0.1, momentum=0.9), Adam(second, 0.1)


def take_turns(optimizers: tuple[Optimizer, Optimizer], names: tuple[str, str], rounds: range) -> None:
    for i in rounds:
        for optimizer, name, sign in zip(optimizers, names, (1, -1), strict=True):
            step(optimizer, **{name: sign * GRADIENTS[i]})


def test_two_optimizers_of_one_model_add_their_steps_and_keep_their_states_apart() -> None:
    model = Model(w=START)
    both = two_optimizers(model, model)
    take_turns(both, ("w", "w"), range(10))
    alone = two_optimizers(Model(w=START), Model(w=START))
    take_turns(alone, ("w", "w"), range(10))
    steps = sum(optimizer.module.w.data - START for optimizer in alone)
    np.testing.assert_allclose(model.w.data, START + steps, rtol=0, atol=ROUNDING)
    assert [exactly(o.state) for o in both] == [exactly(o.state) for o in alone]


def test_a_tensor_of_two_models_is_stepped_by_both_under_the_name_each_has_for_it() -> None:
    shared = Tensor(START, requires_grad=True)
    optimizers = two_optimizers(Model(encoder=shared), Model(head=Model(weight=shared)))
    step(optimizers[0], encoder=GRADIENTS[0])
    after_one = shared.data
    optimizers[1].update()  # the gradient is still there
    assert not np.array_equal(shared.data, after_one)
    assert [list(o.state) for o in optimizers] == [["encoder"], ["head.weight"]]


def test_two_optimizers_of_shared_tensors_resume_each_from_its_own_file(tmp_path: Path) -> None:
    def pair(start: Any) -> tuple[Optimizer, Optimizer]:
        shared = Tensor(start, requires_grad=True)
        return two_optimizers(Model(encoder=shared), Model(head=shared))

    names, files = ("encoder", "head"), [tmp_path / "sgd.json", tmp_path / "adam.json"]
    steadfast = pair(START)
    take_turns(steadfast, names, range(5))
    for optimizer, file in zip(steadfast, files, strict=True):
        optimizer.save_state(file)
    resumed = pair(steadfast[0].module.encoder.data)
    for optimizer, file in zip(resumed, files, strict=True):
        optimizer.load_state(file)
    for optimizers in (steadfast, resumed):
        take_turns(optimizers, names, range(5, 10))
    assert [snapshot(o) for o in resumed] == [snapshot(o) for o in steadfast]


def test_the_state_of_tied_weights_is_not_that_of_separate_ones(tmp_path: Path) -> None:
    weight = Tensor(START, requires_grad=True)
    tied = make("Adam", Model(a=weight, b=weight))
    step(tied, a=GRADIENTS[0])
    tied.save_state(tmp_path / "tied.json")
    apart = make("Adam", Model(a=START, b=START))
    with pytest.raises(ValueError, match=r"^tied\.json lacks b: strict=False takes what fits$"):
        apart.load_state(tmp_path / "tied.json")
    assert apart.state == {}


# --- another dtype ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("into", FLOATS)
@pytest.mark.parametrize("out_of", FLOATS)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_weights_and_state_go_on_in_the_dtype_of_the_model_that_loads_them(
    shape: tuple[int, ...], out_of: Any, into: Any, tmp_path: Path
) -> None:
    old, new = (SGD(Model(w=np.ones(shape, dtype)), 0.1, momentum=0.9) for dtype in (out_of, into))
    step(old, w=np.full(shape, 1 / 3))
    old.module.save_weights(tmp_path / "weights.json")
    old.save_state(tmp_path / "state.json")
    new.module.load_weights(tmp_path / "weights.json")
    new.load_state(tmp_path / "state.json")
    w, v = new.module.w.data, new.state["w"]["v"]
    assert exactly([w, v]) == exactly([x.astype(into) for x in (old.module.w.data, old.state["w"]["v"])])
    step(new, w=np.ones(shape))
    assert {new.module.w.dtype, new.state["w"]["v"].dtype} == {np.dtype(into)}
