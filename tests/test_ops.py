"""A table with rows for every rule of ops.py, and the laws that each row is held to."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import BroadcastableShapes, mutually_broadcastable_shapes

from tinygpt import Tensor, no_grad, ops
from tinygpt.tensor import apply

STEP = 1e-5  # central differences are wrong by about STEP² (curvature) and 1e-16 / STEP (rounding): 1e-10 and 1e-11
SLOPE_TOLERANCE = 1e-7  # those errors, with room for a third derivative and a value of some hundreds
VALUE_TOLERANCE = 1e-12  # float64 keeps sixteen digits; a formula in another order loses two or three

Domain = Callable[[np.random.Generator, tuple[int, ...]], Any]


def anywhere(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(-2, 2, shape)


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.3, 2, shape)


def positive(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return rng.uniform(0.3, 2, shape)


DOMAINS: dict[Callable[..., Any], tuple[Domain, ...]] = {  # by operand; anywhere where nothing is said
    ops.divide: (anywhere, away_from_zero),
    ops.power: (positive, anywhere),
    ops.log: (positive,),
    ops.sqrt: (positive,),
    ops.absolute: (away_from_zero,),
    ops.relu: (away_from_zero,),
}


def attention_token_by_token(qkv: Any, heads: int, queries: int | None) -> Any:
    """Each token, head by head, weighs the values of those up to itself by how its query meets their keys."""
    width = qkv.shape[-1] // 3
    n = width // heads
    result = np.zeros((*qkv.shape[:-1], width))
    for place in np.ndindex(*qkv.shape[:-2]):
        for t in range(qkv.shape[-2]):
            for head in range(heads):
                own = slice(head * n, (head + 1) * n)
                q = qkv[place][t, :width][own]
                k = qkv[place][: t + 1, width : 2 * width][:, own]
                v = qkv[place][: t + 1, 2 * width :][:, own]
                weights = np.exp(k @ q / np.sqrt(n))
                result[(*place, t, own)] = weights / weights.sum() @ v
    return result if queries is None else result[..., qkv.shape[-2] - queries :, :]


REFERENCES: dict[Callable[..., Any], Callable[..., Any]] = {
    ops.add: np.add,
    ops.subtract: np.subtract,
    ops.multiply: np.multiply,
    ops.divide: np.divide,
    ops.power: np.power,
    ops.negative: np.negative,
    ops.exp: np.exp,
    ops.log: np.log,
    ops.sqrt: np.sqrt,
    ops.square: np.square,
    ops.sin: np.sin,
    ops.cos: np.cos,
    ops.absolute: np.absolute,
    ops.tanh: np.tanh,
    ops.sigmoid: lambda x: 1 / (1 + np.exp(-x)),
    ops.relu: lambda x: np.where(x > 0, x, 0),
    ops.gelu: lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ops.maximum: np.maximum,
    ops.minimum: np.minimum,
    ops.where: lambda a, b, condition: np.where(condition, a, b),
    ops.sum: np.sum,
    ops.mean: np.mean,
    ops.var: np.var,
    ops.max: np.max,
    ops.min: np.min,
    ops.softmax: lambda x, axis=-1: np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True),
    ops.log_softmax: lambda x, axis=-1: np.log(np.exp(x) / np.sum(np.exp(x), axis=axis, keepdims=True)),
    ops.matmul: np.matmul,
    ops.linear: lambda x, w, b: np.matmul(x, w) + b,
    ops.dot: np.dot,
    ops.layer_norm: lambda x, w, b, eps: (
        (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps) * w + b
    ),
    ops.embedding: lambda w, tokens: w[tokens],
    ops.attention: lambda qkv, heads, queries=None: attention_token_by_token(qkv, heads, queries),
    ops.reshape: lambda x, shape: np.reshape(x, shape),
    ops.permute: lambda x, dims: np.transpose(x, dims),
    ops.transpose: lambda x, a, b: np.swapaxes(x, a, b),
    ops.expand: lambda x, shape: np.broadcast_to(x, shape),
    ops.index: lambda x, where: x[where],
    ops.tril: lambda x, diagonal=0: np.tril(x, diagonal),
    ops.concatenate: lambda *arrays, axis=0: np.concatenate(arrays, axis),
    ops.stack: lambda *arrays, axis=0: np.stack(arrays, axis),
}


@dataclass(frozen=True)
class Row:
    """A rule, the shapes of its operands, and its options."""

    rule: Callable[..., ops.Result]
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any] = field(default_factory=dict)

    def operands(self, dtype: Any = np.float64) -> list[Any]:
        domains = DOMAINS.get(self.rule, ()) + (anywhere,) * len(self.shapes)
        drawn = [
            np.asarray(domain(np.random.default_rng(seed), shape), dtype)
            for seed, (domain, shape) in enumerate(zip(domains, self.shapes, strict=False))
        ]
        for array in drawn:
            array.setflags(write=False)  # a rule that writes into its operand fails wherever it is tested
        return drawn

    def __str__(self) -> str:
        options = ", ".join(f"{key}={value}" for key, value in self.options.items())
        return f"{self.rule.__name__} {' '.join(map(str, self.shapes))} {options}".replace("\n", "").strip()


def rows(rule: Callable[..., ops.Result], *cases: Any, **shared: Any) -> list[Row]:
    """A row for each case: shapes, and last perhaps a dict of options."""
    made = []
    for case in cases:
        *shapes, last = case
        options = last if isinstance(last, dict) else {}
        made.append(Row(rule, tuple(shapes) if isinstance(last, dict) else tuple(case), shared | options))
    return made


ONE_NUMBER = [
    *(ops.negative, ops.exp, ops.log, ops.sqrt, ops.square, ops.sin, ops.cos, ops.absolute, ops.tanh),
    *(ops.sigmoid, ops.relu, ops.gelu),
]
TWO_NUMBERS = [ops.add, ops.subtract, ops.multiply, ops.divide, ops.power, ops.maximum, ops.minimum]
BROADCASTS = [
    *[((), ()), ((), (3,)), ((3,), ()), ((), (2, 3)), ((2, 3), ()), ((3,), (3,)), ((3,), (1, 3)), ((1, 3), (3,))],
    *[((2, 3), (3,)), ((3,), (2, 3)), ((2, 3), (1, 3)), ((1, 3), (2, 1)), ((2, 1), (2, 3)), ((2, 3), (2, 3))],
    *[((4, 1, 3), (2, 1)), ((1,), (2, 3)), ((1, 1), ()), ((0, 3), (3,)), ((1, 3), (0, 3))],
]
REDUCTIONS = [
    *[((), {}), ((3,), {}), ((3,), {"axis": 0}), ((3,), {"axis": -1, "keepdims": True}), ((1, 3), {"axis": 0})],
    *[((2, 3), {"axis": axis, "keepdims": keep}) for axis in (None, 0, 1, (0, 1), (-1, 0)) for keep in (False, True)],
    *[((2, 3, 4), {"axis": axis, "keepdims": keep}) for axis in (1, (0, 2), (1, -1), ()) for keep in (False, True)],
]
INDICES = [
    *[0, -1, slice(0, 1), slice(None, None, -1), slice(2, None, -2), slice(0, 0), ..., None, (), (1, 2), (..., 0)],
    *[(slice(None), None, 1), (None, ..., None), (0, slice(1, None)), (..., -2, slice(None))],
    *[np.array([0, 0, 2]), [0, 0, 1], np.array(1), np.array([], int), np.array([[0, 1], [1, 1]]), np.array([-1, 2])],
    *[(slice(None), np.array([2, 2, -1])), (np.array([0, 1, 1]), np.array([2, 2, 2])), (np.array([[0], [1]]), [1, 1])],
    *[(0, np.array([1, 1])), (np.array([1, 1]), 0), (np.array([2, 2]), None, slice(0, 2)), (..., [0, 0])],
    *[range(2), ([0, 0, 1], slice(None)), ((0, 0, 1), slice(None)), ((0, 0),), np.array([True, False, True])],
]

TABLE: list[Row] = [
    *[Row(rule, (shape,)) for rule in ONE_NUMBER for shape in ((), (3,), (2, 3), (1, 3))],
    *[Row(rule, shapes) for rule in TWO_NUMBERS for shapes in BROADCASTS],
    *rows(ops.where, *BROADCASTS, condition=True),
    *rows(ops.where, *BROADCASTS[:-2], condition=np.array([True, False, True])),
    *rows(ops.where, ((2, 3), (3,)), ((), (2, 3)), ((), ()), condition=np.array([[True], [False]])),
    *[row for rule in (ops.sum, ops.mean, ops.max, ops.min, ops.var) for row in rows(rule, *REDUCTIONS)],
    *rows(ops.var, ((3,), {}), ((2, 3), {"axis": 1}), ((2, 3), {"axis": 0, "keepdims": True}), ddof=1),
    *rows(ops.var, ((2, 3), {"axis": (0, 1)}), ((2, 3, 4), {"axis": (0, 2)}), ddof=2),
    *[
        row
        for rule in (ops.softmax, ops.log_softmax)
        for row in rows(rule, ((3,),), ((2, 3),), *[((2, 3, 4), {"axis": a}) for a in (0, 1, -2, -1)], ((2, 1),))
    ],
    *rows(ops.matmul, ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((1, 3), (3, 1))),
    *rows(ops.matmul, ((5, 2, 3), (3,)), ((4, 5, 2, 3), (3,)), ((3,), (5, 3, 4)), ((3,), (4, 5, 3, 2))),
    *rows(ops.matmul, ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4))),
    *rows(ops.matmul, ((5, 2, 3), (1, 3, 4)), ((4, 1, 2, 3), (5, 3, 2)), ((5, 2, 0), (0, 3)), ((0, 3), (3, 2))),
    *rows(ops.linear, ((2, 3), (3, 4), (4,)), ((3,), (3, 4), (4,)), ((5, 2, 3), (3, 4), (4,)), ((0, 3), (3, 2), (2,))),
    *rows(ops.linear, ((2, 3), (5, 3, 4), (5, 1, 4)), ((5, 2, 3), (5, 3, 4), (4,)), ((2, 3), (3, 4), (1, 4))),
    *rows(ops.linear, ((4, 5, 2, 3), (3, 1), (1,)), ((5, 0, 3), (3, 2), (2,)), ((5, 2, 0), (0, 3), (3,))),
    *rows(ops.layer_norm, *[((*s, 4), (4,), (4,)) for s in ((), (3,), (2, 3), (0,))], ((2, 3), (3,), (3,)), eps=1e-5),
    *[Row(ops.embedding, ((4, 3),), {"tokens": np.array(t, int)}) for t in (1, [2], [0, 0, 3], [[1, 1], [3, 1]], [])],
    *rows(ops.attention, ((4, 12),), ((1, 12),), ((2, 3, 12),), ((2, 1, 3, 12),), ((0, 3, 12),), heads=2),
    *rows(ops.attention, ((4, 6), {"queries": 1}), ((2, 4, 6), {"queries": 2}), ((3, 6), {"queries": 3}), heads=1),
    *rows(ops.dot, ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4)), ((2, 3), (3, 4)), ((5, 2, 3), (3,))),
    *rows(ops.dot, ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((3,), (5, 3, 4)), ((5, 2, 3), (4, 3, 2))),
    *rows(ops.reshape, *[((2, 3), {"shape": shape}) for shape in ((6,), (3, 2), (-1,), (2, 1, 3), (1, -1))]),
    *rows(ops.reshape, ((), {"shape": (1, 1)}), ((1, 1), {"shape": ()}), ((), {"shape": ()})),
    *rows(ops.permute, *[((2, 3, 4), {"dims": dims}) for dims in ((0, 1, 2), (2, 0, 1), (1, 2, 0), (-1, 0, -2))]),
    *rows(ops.permute, ((2, 3), {"dims": (1, 0)}), ((3,), {"dims": (0,)}), ((), {"dims": ()})),
    *rows(ops.transpose, *[((2, 3, 4), {"a": a, "b": b}) for a, b in ((0, 1), (-1, 0), (1, 1), (2, -2))]),
    *rows(ops.expand, ((), {"shape": (2, 2)}), ((3,), {"shape": (2, 3)}), ((2, 1), {"shape": (2, 3)})),
    *rows(ops.expand, ((1, 3), {"shape": (4, 2, 3)}), ((2, 3), {"shape": (2, 3)}), ((1,), {"shape": (0,)})),
    *[Row(ops.index, ((3, 3),), {"where": where}) for where in INDICES],
    *rows(ops.index, *[((), {"where": where}) for where in ((), None, ..., (None, ...))]),
    *rows(ops.index, ((2, 3), {"where": np.array([[True, False, True], [False, False, True]])})),
    *rows(ops.tril, *[(shape, {"diagonal": d}) for shape in ((3, 3), (2, 3), (2, 3, 4)) for d in (-1, 0, 1)]),
    *rows(ops.tril, ((3, 3),)),
    *rows(ops.concatenate, ((3,),), ((2,), (3,)), ((2, 3), (1, 3)), ((2, 3), (0, 3), (1, 3)), axis=0),
    *rows(ops.concatenate, ((2, 3), (1, 3))),
    *rows(ops.concatenate, ((2, 1), (2, 3)), ((2, 3, 4), (2, 3, 1)), axis=-1),
    *rows(ops.concatenate, ((2, 1, 3), (2, 4, 3)), axis=1),
    *[Row(ops.stack, ((2, 3),) * 3, {"axis": axis}) for axis in (0, 1, -1, -2)],
    *rows(ops.stack, ((), ()), ((3,),)),
]

each_row = pytest.mark.parametrize("row", TABLE, ids=str)
LAWS = settings(max_examples=60)


def public_rules() -> set[Callable[..., Any]]:
    return {
        function
        for name, function in inspect.getmembers(ops, inspect.isfunction)
        if function.__module__ == ops.__name__ and not name.startswith("_")
    }


def require_true_slopes(row: Row) -> None:
    """Compare the slope along a random direction, of a random projection of the value, with a central difference."""
    rng = np.random.default_rng(99)
    leaves = [Tensor(operand, requires_grad=True) for operand in row.operands()]
    value = apply(row.rule, *leaves, **row.options)
    weights = np.asarray(rng.normal(size=value.shape))
    directions = [np.asarray(rng.normal(size=leaf.shape)) for leaf in leaves]
    weights.setflags(write=False)
    value.backward(weights)

    def along(distance: float) -> float:
        with no_grad():
            moved = [Tensor(leaf.data + distance * d) for leaf, d in zip(leaves, directions, strict=True)]
            return np.sum(apply(row.rule, *moved, **row.options).data * weights)

    exact = sum(np.sum(leaf.grad * d) for leaf, d in zip(leaves, directions, strict=True))
    measured = (along(STEP) - along(-STEP)) / (2 * STEP)
    assert exact == pytest.approx(measured, rel=SLOPE_TOLERANCE, abs=SLOPE_TOLERANCE)


# --- every row -------------------------------------------------------------------------------------------------------


@each_row
def test_the_slopes_of_a_rule_are_those_of_central_differences(row: Row) -> None:
    require_true_slopes(row)


@each_row
def test_the_value_of_a_rule_is_its_reference(row: Row) -> None:
    value, _ = row.rule(*[operand[()] for operand in row.operands()], **row.options)
    expected = REFERENCES[row.rule](*row.operands(), **row.options)
    np.testing.assert_allclose(value, expected, rtol=VALUE_TOLERANCE, atol=VALUE_TOLERANCE, strict=False)


@each_row
def test_float32_operands_give_a_float32_value_and_gradients_of_their_shape(row: Row) -> None:
    leaves = [Tensor(operand, requires_grad=True) for operand in row.operands(np.float32)]
    value = apply(row.rule, *leaves, **row.options)
    value.backward(np.ones(value.shape))
    made = [(value.dtype, value.shape), *((leaf.grad.dtype, leaf.grad.shape) for leaf in leaves)]
    assert made == [(np.float32, shape) for shape in (value.shape, *row.shapes)]


@each_row
def test_what_a_rule_remembers_dies_without_the_garbage_collector(row: Row) -> None:
    gc.disable()
    try:
        value, vjps = row.rule(*[operand[()] for operand in row.operands()], **row.options)
        remembered = [weakref.ref(vjp) for vjp in vjps]
        del value, vjps
        assert [r() for r in remembered] == [None] * len(remembered)
    finally:
        gc.enable()


def test_every_rule_has_a_row() -> None:
    assert public_rules() - {row.rule for row in TABLE} == set()


def test_every_rule_has_a_reference() -> None:
    assert public_rules() - set(REFERENCES) == set()


@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0, 2.0])
def test_the_check_finds_a_wrong_slope(factor: float) -> None:
    def wrong(x: Any) -> ops.Result:
        value, (vjp,) = ops.sin(x)
        return value, (lambda g: factor * vjp(g),)

    with pytest.raises(AssertionError):
        require_true_slopes(Row(wrong, ((2, 3),)))


def test_the_check_finds_one_wrong_entry() -> None:
    def wrong(x: Any) -> ops.Result:
        return 3 * x, (lambda g: 3 * g + (np.arange(g.size) == 4).reshape(g.shape) * 1e-3,)

    with pytest.raises(AssertionError):
        require_true_slopes(Row(wrong, ((2, 3),)))


def test_the_check_finds_slopes_in_the_wrong_order() -> None:
    def wrong(x: Any, y: Any) -> ops.Result:
        value, (vjp_x, vjp_y) = ops.multiply(x, y)
        return value, (vjp_y, vjp_x)

    with pytest.raises(AssertionError):
        require_true_slopes(Row(wrong, ((2, 3), (2, 3))))


@LAWS
@given(st.sampled_from(TWO_NUMBERS), mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
def test_slopes_are_true_however_shapes_broadcast(rule: Any, shapes: BroadcastableShapes) -> None:
    require_true_slopes(Row(rule, shapes.input_shapes))


@LAWS
@given(mutually_broadcastable_shapes(signature=np.matmul.signature, max_dims=2, max_side=3))
def test_slopes_of_matmul_are_true_however_batches_broadcast(shapes: BroadcastableShapes) -> None:
    require_true_slopes(Row(ops.matmul, shapes.input_shapes))


@LAWS
@given(st.data())
def test_slopes_of_an_index_are_true_however_it_repeats(data: st.DataObject) -> None:
    which = st.lists(st.integers(-3, 2), min_size=1, max_size=5)
    part = st.one_of(st.integers(-3, 2), st.slices(3), which, which.map(np.array), which.map(tuple), st.just(None))
    parts = data.draw(st.lists(part, min_size=1, max_size=4))
    lists = [p for p in parts if isinstance(p, (list, tuple, np.ndarray))]
    axes = sum(p is not None for p in parts)
    if axes <= 3 and len({len(p) for p in lists}) <= 1:
        require_true_slopes(Row(ops.index, ((3, 3, 3),), {"where": tuple(parts)}))


class Positions:
    """A sequence that is neither a list nor a tuple nor an array."""

    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> int:
        return (0, 0, 2)[i]


class Column:
    """An object that becomes an array, as a table's column does."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array([0, 0, 2])


@pytest.mark.parametrize(
    "where", [memoryview(np.array([0, 0, 2])), Positions(), Column()], ids=lambda w: type(w).__name__
)
def test_an_entry_taken_twice_collects_both_gradients_whatever_names_it(where: Any) -> None:
    assert gradient(lambda x: x[where], [1.0, 2.0, 3.0]).tolist() == [2.0, 0.0, 1.0]


# --- ties, kinks and edges -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")  # NumPy's words for 0 / 0 and 1 / 0
@pytest.mark.parametrize(
    ("numbers", "ddof", "value", "slopes"),
    [
        ([1.0], 1, np.nan, [np.nan]),
        ([1.0, 2.0], 2, np.inf, [-np.inf, np.inf]),
        ([1.0, 2.0], 5, np.inf, [-np.inf, np.inf]),
    ],
)
def test_too_few_numbers_have_no_finite_variance(
    numbers: list[float], ddof: int, value: float, slopes: list[float]
) -> None:
    x = Tensor(numbers, requires_grad=True)
    variance = x.var(ddof=ddof)
    variance.backward()
    np.testing.assert_array_equal([variance.item(), *x.grad], [value, *slopes])


@pytest.mark.parametrize("method", [Tensor.sum, Tensor.mean, Tensor.var, Tensor.max, Tensor.min, Tensor.softmax])
def test_no_rows_have_no_gradient(method: Any) -> None:
    assert gradient(lambda x: method(x, axis=1), np.zeros((0, 3))).shape == (0, 3)


def test_numbers_without_axes_cannot_be_concatenated() -> None:
    with pytest.raises(ValueError, match=r"^concatenate cannot take shape \(\) and \(2,\) \(zero-dimensional arrays"):
        Tensor.concatenate([Tensor(1.0), Tensor([1.0, 2.0])])


def gradient(function: Callable[[Tensor], Tensor], x: Any) -> Any:
    leaf = Tensor(x, requires_grad=True)
    function(leaf).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("method", [Tensor.max, Tensor.min])
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_equal_extremes_share_the_gradient_equally(method: Any, axis: Any, keepdims: bool) -> None:
    slopes = gradient(lambda x: method(x, axis, keepdims), np.full((2, 4), 7.0))
    shares = {None: 1 / 8, 0: 1 / 2, 1: 1 / 4, (0, 1): 1 / 8}
    assert np.all(slopes == shares[axis])


@pytest.mark.parametrize(("method", "loser"), [(Tensor.max, -1.0), (Tensor.min, 9.0)])
def test_only_the_winners_share(method: Any, loser: float) -> None:
    assert gradient(method, [3.0, loser, 3.0, loser]).tolist() == [0.5, 0.0, 0.5, 0.0]


@pytest.mark.parametrize("method", [Tensor.maximum, Tensor.minimum])
def test_equal_numbers_share_the_gradient_equally(method: Any) -> None:
    a, b = (Tensor([2.0, -1.0], requires_grad=True) for _ in range(2))
    method(a, b).backward([1.0, 4.0])
    assert [a.grad.tolist(), b.grad.tolist()] == [[0.5, 2.0]] * 2


@pytest.mark.parametrize("method", [Tensor.maximum, Tensor.minimum])
def test_a_tensor_that_meets_itself_keeps_the_whole_gradient(method: Any) -> None:
    assert gradient(lambda x: method(x, x), [1.0, 2.0]).tolist() == [1.0, 1.0]


@LAWS
@given(st.lists(st.integers(-2, 2), min_size=1, max_size=6), st.sampled_from([Tensor.max, Tensor.min]))
def test_what_winners_share_is_the_whole_gradient(numbers: list[int], method: Any) -> None:
    assert np.sum(gradient(method, np.array(numbers, float))) == pytest.approx(1, rel=VALUE_TOLERANCE)


@pytest.mark.parametrize("method", [Tensor.relu, Tensor.abs])
def test_the_slope_at_a_kink_at_zero_is_zero(method: Any) -> None:
    assert gradient(method, [0.0, -0.0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("method", [Tensor.max, Tensor.min])
def test_nan_wins_every_comparison(method: Any) -> None:
    assert gradient(method, [1.0, np.nan, 3.0]).tolist() == [0.0, 1.0, 0.0]


def test_a_power_of_zero_has_slope_zero_everywhere() -> None:
    assert gradient(lambda x: x**0, [-1.0, 0.0, 2.0]).tolist() == [0.0, 0.0, 0.0]


def test_a_square_has_its_slope_at_zero_and_below() -> None:
    assert gradient(lambda x: x**2, [-3.0, 0.0, 2.0]).tolist() == [-6.0, 0.0, 4.0]


def test_powers_of_the_base_zero_have_slope_zero_by_the_exponent() -> None:
    assert gradient(lambda y: 0.0**y, [0.0, 1.0, 2.0]).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sigmoid", "tanh", "relu", "gelu", "max", "abs"])
def test_values_and_slopes_stay_finite_near_overflow(name: str, dtype: Any) -> None:
    most = np.finfo(dtype).max
    x = Tensor(np.array([-most / 4, -1, 0, 1, most / 4], dtype), requires_grad=True)
    value = getattr(x, name)()
    value.backward(np.ones(value.shape))
    assert np.all(np.isfinite(np.append(value.data, x.grad)))


@pytest.mark.parametrize("method", [Tensor.sigmoid, Tensor.softmax, Tensor.tanh])
def test_infinities_have_their_limit(method: Any) -> None:
    low = -1 if method is Tensor.tanh else 0
    assert method(Tensor([-np.inf, 3.0])).data[0] == low


def test_softmax_does_not_see_a_shift() -> None:
    x = np.array([[0.25, -1.5, 2.0], [0.0, 0.5, -0.125]])  # sums with 1024 are exact, so equality is
    assert np.array_equal(Tensor(x + 1024).softmax().data, Tensor(x).softmax().data)


def test_a_masked_class_has_no_probability_and_no_gradient() -> None:
    assert gradient(lambda x: x.log_softmax()[:2], [0.0, 1.0, -np.inf])[2] == 0


def test_many_contributions_to_one_entry_all_count() -> None:
    assert gradient(lambda x: x[np.zeros(1000, int)], [1.0, 2.0]).tolist() == [1000.0, 0.0]
