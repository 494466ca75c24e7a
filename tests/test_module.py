"""The contract of Module: what it finds, what it calls it, and what it saves."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygpt import Module, Tensor, checkpoint


class Bag(Module):
    """A module with the attributes it is given, in their order; it never calls super().__init__()."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


def weight(*values: float, dtype: Any = None) -> Tensor:
    return Tensor(np.array(values, dtype), requires_grad=True)


def names(module: Module) -> list[str]:
    return [name for name, _ in module.named_parameters()]


def values(module: Module) -> dict[str, Any]:
    return {name: np.copy(parameter.data).tolist() for name, parameter in module.named_parameters()}


def trainable(module: Module) -> list[str]:
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


# --- what it finds ---------------------------------------------------------------------------------------------------


def test_parameters_are_named_by_their_path() -> None:
    inner = Bag(weight=weight(1.0), bias=weight(2.0))
    assert names(Bag(scale=weight(0.0), layers=[inner])) == ["scale", "layers.0.weight", "layers.0.bias"]


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (lambda t: [t], ["x.0"]),
        (lambda t: (1, t), ["x.1"]),
        (lambda t: {"a": t}, ["x.a"]),
        (lambda t: {3: t}, ["x.3"]),
        (lambda t: OrderedDict(a=t), ["x.a"]),
        (lambda t: [[{"a": (t,)}]], ["x.0.0.a.0"]),
        (lambda t: Bag(y=[Bag(z=t)]), ["x.y.0.z"]),
        (lambda t: [None, "text", 1.5, np.ones(2), {t.size}], []),
    ],
)
def test_tensors_are_found_in_lists_tuples_dicts_and_modules(holder: Any, expected: list[str]) -> None:
    assert names(Bag(x=holder(weight(1.0)))) == expected


def test_every_tensor_is_a_parameter_trainable_or_not() -> None:
    module = Bag(a=weight(1.0), fixed=Tensor([1.0]), count=Tensor([1]))
    assert (names(module), trainable(module)) == (["a", "fixed", "count"], ["a"])


@pytest.mark.parametrize(
    "hidden", [{"_x": weight(1.0)}, {"_x": [weight(1.0)]}, {"_x": Bag(y=weight(1.0))}, {"x": {"_y": weight(1.0)}}]
)
def test_names_that_begin_with_an_underscore_are_skipped(hidden: dict[str, Any]) -> None:
    assert names(Bag(**hidden)) == []


def test_the_order_is_that_of_the_attributes_depth_first() -> None:
    module = Bag(z=weight(1.0), m=[Bag(b=weight(1.0), a=weight(1.0))], a=weight(1.0))
    assert names(module) == ["z", "m.0.b", "m.0.a", "a"]


def test_keys_hold_no_dots() -> None:
    with pytest.raises(ValueError, match=r"^the keys of layers\.0 must hold no dots, got 'a\.b': rename it$"):
        names(Bag(layers=[{"a.b": weight(1.0)}]))


def test_a_dict_without_tensors_may_have_any_keys() -> None:
    assert names(Bag(sizes={0.5: 1, "text.txt": 2}, x=weight(1.0))) == ["x"]


def test_two_parameters_never_have_one_name() -> None:
    found: list[str] = []
    try:
        found = names(Bag(x={0: weight(1.0), "0": weight(2.0)}))
    except ValueError:
        return  # to refuse the second is as good as another name
    assert len(set(found)) == len(found) == 2


def test_super_init_may_be_called() -> None:
    class Called(Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = weight(1.0)

    assert names(Called()) == ["x"]


def test_attributes_added_later_are_found() -> None:
    module = Bag(a=weight(1.0))
    module.b = weight(2.0)
    assert names(module) == ["a", "b"]


def test_a_module_that_knows_its_parent_is_walked_once() -> None:
    child = Bag(x=weight(1.0))
    child.parent = Bag(child=child, y=weight(2.0))
    assert (names(child), names(child.parent)) == (["x", "parent.y"], ["child.x", "y"])


@pytest.mark.parametrize("share", [lambda t: t, lambda t: [t], lambda t: Bag(w=t)])
def test_what_two_names_reach_has_the_first(share: Any) -> None:
    shared = share(weight(1.0))
    assert [name.partition(".")[0] for name in names(Bag(b=[shared], a=shared, c={"d": shared}))] == ["b"]


def test_a_tied_tensor_collects_the_gradients_of_all_its_uses() -> None:
    tied = weight(3.0)
    module = Bag(a=tied, b=tied)
    (module.a * module.b).sum().backward()
    assert [p.grad.tolist() for p in module.parameters()] == [[6.0]]


def test_modules_are_found_once_with_their_names() -> None:
    inner = Bag(x=weight(1.0))
    outer = Bag(layers=[inner, {"again": inner, "other": Bag()}])
    assert [name for name, _ in outer.named_modules()] == ["", "layers.0", "layers.1.other"]


def test_modules_are_those_of_named_modules() -> None:
    outer = Bag(a=Bag(b=Bag()))
    assert list(outer.modules()) == [outer, outer.a, outer.a.b]


def test_parameters_are_those_of_named_parameters() -> None:
    module = Bag(a=weight(1.0), b=[Tensor([1.0])])
    assert [id(p) for p in module.parameters()] == [id(p) for _, p in module.named_parameters()]


def test_trainable_parameters_are_those_that_require_gradients() -> None:
    module = Bag(a=weight(1.0), b=Tensor([1.0]))
    assert [id(p) for p in module.trainable_parameters()] == [id(module.a)]


def test_zero_grad_forgets_every_gradient() -> None:
    module = Bag(a=weight(1.0), b=[weight(2.0)])
    (module.a * module.b[0]).sum().backward()
    module.zero_grad()
    assert [p.grad for p in module.parameters()] == [None, None]


def test_calling_a_module_is_its_forward() -> None:
    class Scale(Module):
        def forward(self, x: float, by: float = 1.0) -> float:
            return x * by

    assert Scale()(3.0, by=2.0) == 6


def test_a_module_without_forward_says_whose_it_is_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"^Bag.forward\(…\): yours to write$"):
        Bag()(1.0)


# --- switches --------------------------------------------------------------------------------------------------------


def test_a_module_is_training_from_the_start() -> None:
    assert Bag().training


@pytest.mark.parametrize(("switch", "state"), [(Module.eval, False), (Module.train, True)])
def test_train_and_eval_switch_every_module_below(switch: Any, state: bool) -> None:
    module = Bag(a=Bag(), b=[Bag(c={"d": Bag()})])
    module.b[0].train(not state)
    assert {m.training for m in switch(module).modules()} == {state}


def test_one_module_in_evaluation_leaves_the_others_training() -> None:
    a, b = Bag(), Bag()
    a.eval()
    assert b.training


@pytest.mark.parametrize(
    ("frozen", "left"),
    [
        ((), []),
        (("a",), ["layers.0.w", "layers.1.w", "layers.10.w"]),
        (("layers",), ["a"]),
        (("layers.1",), ["a", "layers.0.w", "layers.10.w"]),
        (("a", "layers.0.w"), ["layers.1.w", "layers.10.w"]),
    ],
)
def test_freeze_stops_what_it_names_and_what_is_below(frozen: tuple[str, ...], left: list[str]) -> None:
    layers = {name: Bag(w=weight(1.0)) for name in ("0", "1", "10")}
    assert trainable(Bag(a=weight(1.0), layers=layers).freeze(*frozen)) == left


def test_freeze_forgets_the_gradient() -> None:
    module = Bag(a=weight(1.0))
    module.a.sum().backward()
    assert module.freeze().a.grad is None


def test_unfreeze_undoes_freeze() -> None:
    module = Bag(a=weight(1.0), b=[weight(1.0)])
    assert trainable(module.freeze().unfreeze()) == names(module)


def test_unfreeze_takes_names_too() -> None:
    module = Bag(a=weight(1.0), b=[weight(1.0)])
    assert trainable(module.freeze().unfreeze("b")) == ["b.0"]


def test_unfreeze_leaves_whole_numbers_alone() -> None:
    assert trainable(Bag(a=weight(1.0), count=Tensor([1])).unfreeze()) == ["a"]


@pytest.mark.parametrize("switch", [Module.freeze, Module.unfreeze])
@pytest.mark.parametrize("name", ["layer", "layers.0.weights", "", ".", "a."])
def test_a_name_that_no_parameter_has_is_refused(switch: Any, name: str) -> None:
    with pytest.raises(
        ValueError, match=r"must name a parameter or a part of one's path, among: a, layers\.0\.weight$"
    ):
        switch(Bag(a=weight(1.0), layers=[Bag(weight=weight(1.0))]), name)


def test_a_refused_name_freezes_nothing() -> None:
    module = Bag(a=weight(1.0))
    with pytest.raises(ValueError, match="'b' must name"):
        module.freeze("a", "b")
    assert trainable(module) == ["a"]


# --- weights ---------------------------------------------------------------------------------------------------------


def hard_numbers(dtype: Any) -> Any:
    info = np.finfo(dtype)
    plain = [np.nan, np.inf, -np.inf, -0.0, 0.0, info.max, -info.max, info.tiny, info.smallest_subnormal, 1 / 3, np.pi]
    return np.array(plain, dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_saved_weights_come_back_bit_by_bit(dtype: Any, tmp_path: Path) -> None:
    numbers = hard_numbers(dtype)
    Bag(x=Tensor(numbers)).save_weights(tmp_path / "w.json")
    again = Bag(x=Tensor.zeros(numbers.shape, dtype))
    again.load_weights(tmp_path / "w.json")
    assert (again.x.data.tobytes(), again.x.dtype) == (numbers.tobytes(), dtype)


@pytest.mark.parametrize("data", [2.5, [], [[1.0], [2.0]], [1, 2], [True, False], np.float32(-0.0), np.ones((2, 0, 3))])
def test_every_shape_and_dtype_comes_back(data: Any, tmp_path: Path) -> None:
    saved, again = Bag(x=Tensor(data)), Bag(x=Tensor(np.zeros_like(data)))
    saved.save_weights(tmp_path / "w.json")
    again.load_weights(tmp_path / "w.json")
    assert (repr(again.x), type(again.x.data)) == (repr(saved.x), type(saved.x.data))


def test_a_file_may_be_a_string(tmp_path: Path) -> None:
    file = str(tmp_path / "w.json")
    Bag(x=weight(1.0)).save_weights(file)
    again = Bag(x=weight(0.0))
    again.load_weights(file)
    assert again.x.data == 1


def test_a_list_of_names_and_values_loads() -> None:
    module = Bag(a=weight(0.0, 0.0), b=[Tensor(0.0)])
    module.load_weights([("a", [1, 2]), ("b.0", np.float32(3))])
    assert values(module) == {"a": [1.0, 2.0], "b.0": 3.0}


def test_the_parameters_of_another_module_load() -> None:
    module, other = Bag(a=weight(0.0)), Bag(a=weight(5.0))
    module.load_weights(list(other.named_parameters()))
    assert values(module) == values(other)


def test_loaded_weights_share_no_memory() -> None:
    module, other = Bag(a=weight(0.0)), Bag(a=weight(5.0))
    module.load_weights(list(other.named_parameters()))
    assert not np.shares_memory(module.a.data, other.a.data)


def test_loading_rebinds_and_writes_into_no_array() -> None:
    module = Bag(a=weight(0.0))
    before = module.a.data
    module.load_weights([("a", [1.0])])
    assert before == 0


def test_loading_keeps_each_parameters_dtype_and_switch() -> None:
    module = Bag(a=weight(0.0, dtype=np.float32), b=Tensor([0.0]))
    module.load_weights([("a", np.float64([1])), ("b", np.float32([2]))])
    assert ([p.dtype for p in module.parameters()], trainable(module)) == ([np.float32, np.float64], ["a"])


def test_tied_weights_are_saved_once_and_stay_tied(tmp_path: Path) -> None:
    def tied(value: float) -> Bag:
        shared = weight(value)
        return Bag(a=shared, b=shared)

    tied(5.0).save_weights(tmp_path / "w.json")
    module = tied(0.0)
    module.load_weights(tmp_path / "w.json")
    assert (module.a is module.b, module.b.data.tolist()) == (True, [5.0])


def test_saving_and_loading_an_empty_module_is_fine(tmp_path: Path) -> None:
    Bag().save_weights(tmp_path / "w.json")
    Bag().load_weights(tmp_path / "w.json")
    assert names(Bag()) == []


WRONG = {
    "a name is missing": ([("a", [1.0])], "the list lacks b.0: strict=False takes what fits"),
    "a name is new": (
        [("a", [1.0]), ("b.0", [1.0, 1.0]), ("c", 1.0)],
        "the list has c, which this module does not: strict=False takes what fits",
    ),
    "a name is another": (
        [("a", [1.0]), ("b.1", [1.0, 1.0])],
        "the list lacks b.0 and has b.1, which this module does not: strict=False takes what fits",
    ),
    "a shape is another": (
        [("a", [1.0]), ("b.0", [1.0])],
        "b.0 must have shape (2,), but in the list it has (1,): build the module that was saved",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_strict_names_what_differs(wrong: str) -> None:
    weights, message = WRONG[wrong]
    with pytest.raises(ValueError) as error:  # noqa: PT011 — the text is the assertion
        Bag(a=weight(0.0), b=[weight(0.0, 0.0)]).load_weights(weights)
    assert str(error.value) == message


@pytest.mark.parametrize("wrong", WRONG)
def test_strict_changes_nothing_where_something_differs(wrong: str) -> None:
    module = Bag(a=weight(0.0), b=[weight(0.0, 0.0)])
    with pytest.raises(ValueError, match=r"b\.0|c"):
        module.load_weights(WRONG[wrong][0])
    assert values(module) == {"a": [0.0], "b.0": [0.0, 0.0]}


@pytest.mark.parametrize("broken", [["x", "y"], np.array([1j, 1j])])
def test_a_value_that_is_no_number_changes_nothing(broken: Any) -> None:
    module = Bag(a=weight(0.0), b=[weight(0.0, 0.0)])
    with pytest.raises((ValueError, TypeError, np.exceptions.ComplexWarning)):
        module.load_weights([("a", [1.0]), ("b.0", broken)])
    assert values(module) == {"a": [0.0], "b.0": [0.0, 0.0]}


def test_a_value_too_large_for_its_parameter_changes_nothing_else() -> None:
    module = Bag(a=weight(0.0), b=weight(0.0, dtype=np.float32))
    with pytest.raises((ValueError, RuntimeWarning)):
        module.load_weights([("a", [1.0]), ("b", [1e300])])
    assert values(module) == {"a": [0.0], "b": [0.0]}


@pytest.mark.parametrize("wrong", WRONG)
def test_not_strict_takes_what_fits_and_leaves_the_rest(wrong: str) -> None:
    module = Bag(a=weight(0.0), b=[weight(0.0, 0.0)])
    weights, _ = WRONG[wrong]
    module.load_weights(weights, strict=False)
    fits = len(dict(weights).get("b.0", [])) == 2
    assert values(module) == {"a": [1.0], "b.0": [1.0, 1.0] if fits else [0.0, 0.0]}


def test_the_file_is_named_where_it_does_not_fit(tmp_path: Path) -> None:
    Bag(a=weight(1.0)).save_weights(tmp_path / "mine.json")
    with pytest.raises(ValueError, match=r"^mine.json lacks b and has a, which this module does not: strict=False"):
        Bag(b=weight(0.0)).load_weights(tmp_path / "mine.json")


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "other.json", {"kind": "something", "weights": {}})
    with pytest.raises(ValueError, match=r"^other.json must hold a module's weights, but it holds something else"):
        Bag().load_weights(tmp_path / "other.json")


FALSE_CONTENTS = {
    "no weights": {"kind": "weights"},
    "weights in a list": {"kind": "weights", "weights": [1.0]},
    "weights are a number": {"kind": "weights", "weights": 1.0},
    "kind is an array": {"kind": np.zeros(2), "weights": {}},
}


@pytest.mark.parametrize("content", FALSE_CONTENTS.values(), ids=FALSE_CONTENTS)
def test_a_content_that_save_weights_never_writes_is_refused(content: Any, tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "w.json", content)
    with pytest.raises(ValueError, match=r"^w.json must hold a module's weights, but it holds something else: pick"):
        Bag(a=weight(1.0)).load_weights(tmp_path / "w.json")


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("value", "kind"), [("x", "<U1"), (None, "object"), (1j, "complex128"), (10**30, "object"), (2.5, "float64")]
)
def test_a_value_that_its_parameter_cannot_hold_is_named(value: Any, kind: str, strict: bool) -> None:
    module = Bag(a=Tensor(1), b=Tensor([0.0]))
    with pytest.raises(ValueError, match=rf"^a must hold int64, but in the list it is {kind}: convert it first$"):
        module.load_weights([("b", [5.0]), ("a", value)], strict)
    assert values(module) == {"a": 1, "b": [0.0]}


def test_rows_of_different_lengths_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^a must be an array, but in the list it is not \(.*\): convert it first$"):
        Bag(a=weight(0.0)).load_weights([("a", [[1.0], [1.0, 2.0]])])


@pytest.mark.parametrize("strict", [True, False])
def test_a_damaged_file_is_refused_whole(strict: bool, tmp_path: Path) -> None:
    file = tmp_path / "w.json"
    Bag(a=weight(1.0), b=weight(2.0)).save_weights(file)
    file.write_text(file.read_text().replace("8D8=", "8D9="))
    module = Bag(a=weight(0.0), b=weight(0.0))
    with pytest.raises(ValueError, match="checksum does not match"):
        module.load_weights(file, strict=strict)
    assert values(module) == {"a": [0.0], "b": [0.0]}


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bag().load_weights(tmp_path / "none.json")


# --- repr ------------------------------------------------------------------------------------------------------------


def test_repr_has_a_line_for_every_parameter() -> None:
    module = Bag(scale=Tensor(1.0), layers=[Bag(weight=Tensor.zeros((1000, 2), np.float32, requires_grad=True))])
    assert repr(module) == (
        "Bag: 2,001 numbers\n  scale            ()         float64  frozen\n  layers.0.weight  (1000, 2)  float32"
    )


def test_repr_of_an_empty_module_is_one_line() -> None:
    assert repr(Bag()) == "Bag: 0 numbers"
