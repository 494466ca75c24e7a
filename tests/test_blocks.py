"""Laws of updates that are done block by block: nobody can tell."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygpt
from tinygpt import SGD, AdaGrad, Adam, AdamW, Module, Optimizer, OptimizerState, RMSProp, Tensor, optimizers
from tinygpt.blocks import BLOCK
from tinygpt.optimizers import elementwise

SIZE = 2 * BLOCK + 5  # two whole blocks and a rest
KINDS: dict[str, Any] = {
    "SGD": lambda m: SGD(m, 0.1),
    "SGD with all": lambda m: SGD(m, 0.1, momentum=0.9, weight_decay=0.1, dampening=0.5),
    "Nesterov": lambda m: SGD(m, 0.1, momentum=0.9, nesterov=True),
    "Adam": lambda m: Adam(m, 0.1, weight_decay=0.1),
    "AdamW": lambda m: AdamW(m, 0.1),
    "RMSProp": lambda m: RMSProp(m, 0.1),
    "AdaGrad": lambda m: AdaGrad(m, 0.1),
}


class One(Module):
    def __init__(self, shape: tuple[int, ...], dtype: Any = np.float64) -> None:
        self.w = Tensor.normal(shape, rng=np.random.default_rng(0), dtype=dtype, requires_grad=True)


def walked(make: Any, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
    """Three updates with drawn gradients."""
    module, rng = One(shape, dtype), np.random.default_rng(1)
    optimizer = make(module)
    for _ in range(3):
        module.w.grad = rng.normal(size=shape).astype(dtype)
        optimizer.update()
    return module.w.data, dict(optimizer.state.flatten())


class Nested(Optimizer):
    """Keeps its memory one level deeper than others, and an array that is not the parameter's."""

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        memory = state["averages"]
        memory["m"] = 0.5 * memory.get("m", 0.0) + parameter.grad
        state["table"] = np.arange(3)
        return Tensor(parameter.data - memory["m"])


KINDS["nested state"] = Nested


def test_every_optimizer_has_a_row() -> None:
    classes = {c for c in vars(tinygpt).values() if isinstance(c, type) and issubclass(c, Optimizer)}
    assert classes - {type(make(One((2,)))) for make in KINDS.values()} == {Optimizer}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(SIZE,), (SIZE, 1), (5, BLOCK)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_blocks_give_bit_for_bit_what_the_whole_gives(
    kind: str, shape: tuple[int, ...], dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_blocks = walked(KINDS[kind], shape, dtype)
    monkeypatch.setattr(optimizers, "BLOCK", 10 * SIZE)
    whole = walked(KINDS[kind], shape, dtype)
    np.testing.assert_equal(in_blocks, whole)


def test_a_large_parameter_is_cut() -> None:
    sizes = []

    class Watched(Optimizer):
        @elementwise
        def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
            sizes.append(parameter.size)
            return parameter.data

    walked(Watched, (SIZE,))
    assert sizes[:3] == [BLOCK, BLOCK, 5]


def test_what_is_not_elementwise_sees_the_whole() -> None:
    class Normalised(Optimizer):
        def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
            return parameter.data - parameter.grad / np.linalg.norm(parameter.grad)

    start = One((SIZE,)).w.data
    module = One((SIZE,))
    module.w.grad = np.ones(SIZE)
    Normalised(module).update()
    np.testing.assert_allclose(module.w.data, start - 1 / np.sqrt(SIZE), rtol=1e-12)  # sums in another order


def test_an_array_of_learning_rates_meets_the_whole() -> None:
    rates = np.linspace(0, 1, SIZE)
    module = One((SIZE,))
    start, module.w.grad = module.w.data, np.ones(SIZE)
    SGD(module, rates).update()
    assert np.array_equal(module.w.data, start - rates)


def test_an_array_of_betas_meets_the_whole() -> None:
    module = One((SIZE,))
    module.w.grad = np.ones(SIZE)
    optimizer = Adam(module, betas=(np.linspace(0, 0.9, SIZE), 0.999))
    optimizer.update()
    np.testing.assert_allclose(optimizer.state["w"]["m"], 1 - np.linspace(0, 0.9, SIZE))


def test_a_formula_that_fails_in_the_second_block_changes_nothing() -> None:
    class Fails(Optimizer):
        @elementwise
        def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
            state["m"] = parameter.grad
            return parameter.data / bool(parameter.size == BLOCK or np.int64(0))

    module = One((SIZE,))
    module.w.grad, before = np.ones(SIZE), module.w.data
    optimizer = Fails(module)
    with pytest.raises(RuntimeWarning):
        optimizer.update()
    assert (module.w.data is before, optimizer.state["w"]) == (True, {})


def test_the_gradient_and_the_old_state_are_not_written_into() -> None:
    module = One((SIZE,))
    optimizer = Adam(module)
    module.w.grad = np.ones(SIZE)
    optimizer.update()
    seen = [module.w.data, module.w.grad, *[v for _, v in optimizer.state.flatten() if isinstance(v, np.ndarray)]]
    for array in seen:
        array.setflags(write=False)
    optimizer.update()
    assert optimizer.state["w"]["t"] == 2


def test_a_value_of_another_shape_is_refused_as_ever() -> None:
    class Short(Optimizer):
        @elementwise
        def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
            return parameter.data[:1]

    module = One((SIZE,))
    module.w.grad = np.ones(SIZE)
    with pytest.raises(ValueError, match=r"^Short.apply_single must return an array of shape .* got shape \(1,\)"):
        Short(module).update()
