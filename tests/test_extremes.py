"""Arrays of every layout, without numbers, and with numbers at the edge of their range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from test_ops import ONE_NUMBER, REFERENCES, TWO_NUMBERS, VALUE_TOLERANCE, Row, each_row

from tinygpt import Tensor, ops
from tinygpt.losses import cross_entropy
from tinygpt.tensor import apply

LAWS = settings(max_examples=25)
FLOATS = [np.float16, np.float32, np.float64]


def gradients(row: Row, operands: list[Any], lay: Callable[[Any], Any] = lambda a: a) -> list[Any]:
    """The value of a rule and its gradients, for a gradient of the value that lies in memory as told."""
    leaves = [Tensor(operand, requires_grad=True) for operand in operands]
    value = apply(row.rule, *leaves, **row.options)
    g = np.random.default_rng(3).normal(size=value.shape)
    value.backward(lay(g) if value.ndim else g)
    return [value.data, *(leaf.grad for leaf in leaves)]


# --- layouts ---------------------------------------------------------------------------------------------------------


def strided(a: Any) -> Any:
    """Every second number of a longer array."""
    long = np.full([2 * n for n in a.shape], np.nan, a.dtype)
    every_second = long[(slice(None, None, 2),) * a.ndim]
    every_second[...] = a
    return every_second


def unaligned(a: Any) -> Any:
    """Numbers that begin at an odd address."""
    shifted = np.zeros(a.nbytes + 1, np.uint8)[1:]
    shifted[:] = np.frombuffer(a.tobytes(), np.uint8)
    return shifted.view(a.dtype).reshape(a.shape)


LAYOUTS: list[Callable[[Any], Any]] = [
    strided,
    unaligned,
    np.asfortranarray,
    lambda a: np.flip(np.flip(a).copy()),  # backwards
    lambda a: a.astype(a.dtype.newbyteorder()),  # the bytes of a number in the other order
]


@each_row
def test_a_rule_does_not_see_how_its_arrays_lie_in_memory(row: Row) -> None:
    expected = gradients(row, row.operands())
    for lay in LAYOUTS:
        laid = [lay(operand) if operand.ndim else operand for operand in row.operands()]
        for array in laid:
            array.flags.writeable = False
        for x, y in zip(gradients(row, laid, lay), expected, strict=True):
            np.testing.assert_allclose(x, y, rtol=VALUE_TOLERANCE, atol=VALUE_TOLERANCE)


# --- no numbers at all -----------------------------------------------------------------------------------------------

EMPTY = [(0,), (0, 3), (3, 0), (2, 0, 3)]


@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("rule", ONE_NUMBER + TWO_NUMBERS, ids=lambda rule: rule.__name__)
def test_no_numbers_give_no_numbers_and_no_gradient(rule: Any, shape: tuple[int, ...]) -> None:
    operands = (shape,) * (1 if rule in ONE_NUMBER else 2)
    assert [a.shape for a in gradients(Row(rule, operands), [np.zeros(shape)] * len(operands))] == [shape, *operands]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy speaks of the mean of nothing; we compare what it gives
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("shape", EMPTY)
@pytest.mark.parametrize("rule", [ops.sum, ops.mean, ops.var, ops.max, ops.min], ids=lambda rule: rule.__name__)
def test_no_numbers_are_reduced_to_what_numpy_gives_or_refused_as_there(rule: Any, shape: Any, axis: Any) -> None:
    row = Row(rule, (shape,), {"axis": axis})
    try:
        expected = REFERENCES[rule](np.zeros(shape), axis=axis)
    except ValueError:
        with pytest.raises(ValueError, match=rf"^{rule.__name__} cannot take shape "):
            gradients(row, [np.zeros(shape)])
        return
    value, slope = gradients(row, [np.zeros(shape)])
    np.testing.assert_array_equal(value, expected)
    assert slope.shape == shape


# --- near the largest numbers ----------------------------------------------------------------------------------------

HALF = {
    dtype: float(np.finfo(dtype).max) / 2 for dtype in FLOATS
}  # two such numbers differ by no more than the largest
TINIEST = {dtype: 4 * float(np.finfo(dtype).tiny) for dtype in FLOATS}  # below it numbers lose their last digits


def rows_of(dtype: Any) -> st.SearchStrategy[Any]:
    """Rows of numbers of every size up to half of the largest."""
    whole = st.floats(-HALF[dtype], HALF[dtype], width=np.finfo(dtype).bits)
    return arrays(
        dtype, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=st.floats(-30, 30, width=16) | whole
    )


each_float = pytest.mark.parametrize("dtype", FLOATS)


@each_float
@LAWS
@given(st.data())
def test_softmax_gives_chances_that_add_up_to_one_and_slopes_that_add_up_to_zero(
    dtype: Any, data: st.DataObject
) -> None:
    x = Tensor(data.draw(rows_of(dtype)), requires_grad=True)
    chances = x.softmax()
    rounding = 8 * float(np.finfo(dtype).eps)  # five terms, each rounded a few times
    np.testing.assert_allclose(chances.data.sum(axis=1), 1, rtol=rounding)
    chances.backward(np.arange(x.size).reshape(x.shape) / x.size)
    np.testing.assert_allclose(x.grad.sum(axis=1), 0, atol=rounding)


@each_float
@LAWS
@given(st.data())
def test_log_softmax_is_the_logarithm_of_softmax_where_that_is_not_lost(dtype: Any, data: st.DataObject) -> None:
    x = Tensor(data.draw(rows_of(dtype)))
    chances, logs = x.softmax().data, x.log_softmax().data
    assert np.all(logs <= 0)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(np.exp(logs), chances, rtol=64 * eps, atol=TINIEST[dtype])


@each_float
@LAWS
@given(st.data())
def test_the_cross_entropy_and_its_slopes_are_finite_whatever_the_logits(dtype: Any, data: st.DataObject) -> None:
    row = data.draw(rows_of(dtype))[:1]
    logits = Tensor(row, requires_grad=True)
    loss = cross_entropy(logits, [data.draw(st.integers(0, row.shape[1] - 1))])
    loss.backward()
    assert loss.item() >= 0
    assert np.isfinite(np.append(logits.grad, loss.data)).all()


@each_float
@LAWS
@given(st.data())
def test_the_chances_of_yes_and_no_add_up_to_one(dtype: Any, data: st.DataObject) -> None:
    x = Tensor(data.draw(rows_of(dtype)), requires_grad=True)
    yes, no = x.sigmoid(), (-x).sigmoid()
    np.testing.assert_allclose(yes.data + no.data, 1, rtol=4 * float(np.finfo(dtype).eps))
    (yes + no).backward(np.ones(x.shape))
    np.testing.assert_allclose(x.grad, 0, atol=float(np.finfo(dtype).eps))


@each_float
@LAWS
@given(st.data())
def test_gelu_less_its_mirror_image_is_the_identity(dtype: Any, data: st.DataObject) -> None:
    x = Tensor(data.draw(rows_of(dtype)), requires_grad=True)
    difference = x.gelu() - (-x).gelu()
    np.testing.assert_allclose(difference.data, x.data, rtol=8 * float(np.finfo(dtype).eps), atol=TINIEST[dtype])
    difference.backward(np.ones(x.shape))
    np.testing.assert_allclose(x.grad, 1, atol=16 * float(np.finfo(dtype).eps))


@pytest.mark.parametrize("method", [Tensor.softmax, Tensor.log_softmax])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_row_far_below_the_others_is_as_alone(method: Any, axis: int) -> None:
    x = np.array([[0.0, 1.0, 2.0], [-1e4, 1.0 - 1e4, 2.0 - 1e4]])
    together = method(Tensor(x if axis == 1 else x.T), axis).data
    alone = method(Tensor(x[0])).data
    np.testing.assert_array_equal((together if axis == 1 else together.T)[1], alone)
