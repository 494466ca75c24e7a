"""Laws of the losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygpt import Tensor, check_gradients
from tinygpt.losses import cross_entropy, mean_squared_error

ROUNDING = 1e-12  # float64 keeps sixteen digits; sums in another order lose two or three
LAWS = settings(max_examples=40)


def draws(*shape: int, dtype: Any = None) -> Tensor:
    return Tensor.normal(shape, rng=np.random.default_rng(1), dtype=dtype, requires_grad=True)


def gradient(loss: Tensor, x: Tensor) -> Any:
    loss.backward()
    return x.grad


# --- mean squared error ----------------------------------------------------------------------------------------------


def test_the_squared_error_is_zero_at_the_target() -> None:
    x = draws(2, 3)
    assert mean_squared_error(x, x.data).item() == 0


def test_the_squared_error_is_the_mean_of_squares() -> None:
    assert mean_squared_error(Tensor([[1.0, 2.0], [3.0, 4.0]]), [[1.0, 0.0], [0.0, 4.0]]).item() == (4 + 9) / 4


def test_the_slope_of_the_squared_error_is_twice_the_difference_over_n() -> None:
    x = Tensor([1.0, 5.0], requires_grad=True)
    assert gradient(mean_squared_error(x, [0.0, 7.0]), x).tolist() == [1.0, -2.0]


def test_the_squared_error_has_gradients_on_both_sides() -> None:
    assert check_gradients(mean_squared_error, draws(2, 3), Tensor.ones((2, 3)))


@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 2), (2, 3, 1), ()])
def test_the_squared_error_does_not_broadcast(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^target must have the prediction's shape \(2, 3\), got .*: reshape it$"):
        mean_squared_error(draws(2, 3), np.zeros(shape))


@pytest.mark.parametrize("target", [[1.0, 2.0], [1, 2], np.float32([1, 2]), Tensor(np.float32([1, 2])), (1, 2)])
def test_the_squared_error_takes_lists_arrays_and_tensors(target: Any) -> None:
    assert mean_squared_error(Tensor([0.0, 0.0]), target).item() == 2.5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_squared_error_keeps_the_dtype(dtype: Any) -> None:
    assert mean_squared_error(draws(3, dtype=dtype), np.zeros(3, dtype)).dtype == dtype


def test_a_python_number_as_target_keeps_the_dtype() -> None:
    assert mean_squared_error(Tensor(np.float32(1)), 0.5).dtype == np.float32


# --- cross entropy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_equal_logits_are_surprised_by_the_logarithm_of_the_classes(classes: int) -> None:
    loss = cross_entropy(Tensor.zeros((4, classes)), np.zeros(4, int))
    assert loss.item() == pytest.approx(np.log(classes), abs=ROUNDING)


def test_cross_entropy_is_the_mean_surprise_at_the_right_class() -> None:
    logits = draws(5, 3)
    targets = np.array([0, 2, 1, 1, 0])
    chances = np.exp(logits.data) / np.exp(logits.data).sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(5), targets]).mean()
    assert cross_entropy(logits, targets).item() == pytest.approx(expected, rel=ROUNDING)


def test_its_slope_is_the_probability_less_one_at_the_right_class_over_n() -> None:
    logits, targets = draws(4, 3), np.array([0, 2, 1, 1])
    expected = (logits.softmax().data - np.eye(3)[targets]) / 4
    np.testing.assert_allclose(gradient(cross_entropy(logits, targets), logits), expected, atol=ROUNDING)


def test_its_slopes_are_those_of_central_differences() -> None:
    assert check_gradients(lambda x: cross_entropy(x, [[0, 2], [1, 1]], ignore_index=1), draws(2, 2, 3))


@LAWS
@given(st.floats(-1e3, 1e3))
def test_a_shift_of_all_logits_changes_nothing(shift: float) -> None:
    logits, targets = draws(4, 3), [0, 2, 1, 1]
    shifted = cross_entropy(Tensor(logits.data + shift), targets).item()
    assert shifted == pytest.approx(cross_entropy(logits, targets).item(), rel=1000 * ROUNDING)  # logits lose 3 digits


def test_leading_axes_count_as_rows() -> None:
    logits, targets = draws(2, 3, 4), np.array([[0, 1, 2], [3, 0, 1]])
    flat = cross_entropy(logits.reshape(6, 4), targets.reshape(6)).item()
    assert cross_entropy(logits, targets).item() == flat


def test_one_row_needs_no_leading_axis() -> None:
    logits = draws(3)
    assert cross_entropy(logits, 1).item() == -logits.log_softmax().data[1]


@pytest.mark.parametrize("ignored", [-100, -1, 1])
def test_what_is_ignored_might_as_well_be_left_out(ignored: int) -> None:
    logits, targets = draws(4, 3), np.array([0, ignored, 2, ignored])
    left = cross_entropy(logits[[0, 2]], targets[[0, 2]]).item()
    assert cross_entropy(logits, targets, ignore_index=ignored).item() == pytest.approx(left, rel=ROUNDING)


def test_ignored_rows_have_no_gradient() -> None:
    logits = draws(3, 2)
    slopes = gradient(cross_entropy(logits, [0, -100, 1], ignore_index=-100), logits)
    assert [row.any() for row in slopes] == [True, False, True]


def test_a_batch_that_is_all_ignored_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^targets must hold a class that counts, but all are ignored: leave"):
        cross_entropy(draws(2, 3), [-1, -1], ignore_index=-1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_huge_logits_give_finite_losses_and_slopes(dtype: Any) -> None:
    most = np.finfo(dtype).max / 4
    logits = Tensor(np.array([[most, -most, 0], [-most, -most, 1]], dtype), requires_grad=True)
    loss = cross_entropy(logits[:1], [0]) + cross_entropy(logits[1:], [2])
    assert np.isfinite(np.append(gradient(loss, logits), loss.item())).all()


def test_a_confident_mistake_costs_the_difference_of_the_logits() -> None:
    assert cross_entropy(Tensor([[1000.0, -1000.0]]), [1]).item() == 2000


def test_a_masked_class_changes_nothing() -> None:
    plain, masked = Tensor([[1.0, 2.0]]), Tensor([[1.0, -np.inf, 2.0]])
    assert cross_entropy(masked, [2]).item() == cross_entropy(plain, [1]).item()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_cross_entropy_and_its_gradient_keep_the_dtype(dtype: Any) -> None:
    logits = draws(2, 3, dtype=dtype)
    loss = cross_entropy(logits, [0, 1])
    assert (loss.dtype, gradient(loss, logits).dtype) == (dtype, dtype)


@pytest.mark.parametrize("targets", [[0, 2], (0, 2), np.uint8([0, 2]), Tensor([0, 2]), np.array([0, 2], ">i4")])
def test_targets_are_any_integers(targets: Any) -> None:
    logits = draws(2, 3)
    assert cross_entropy(logits, targets).item() == cross_entropy(logits, np.array([0, 2])).item()


@pytest.mark.parametrize("targets", [[0.0, 1.0], [True, False], Tensor([0.0, 1.0])])
def test_targets_that_are_no_integers_are_refused(targets: Any) -> None:
    with pytest.raises(TypeError, match=r"^targets must be integers, one class each, got dtype .*: use astype\(int\)$"):
        cross_entropy(draws(2, 3), targets)


@pytest.mark.parametrize("shape", [(), (3,), (1, 2), (2, 1), (2, 3)])
def test_targets_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^targets must have shape \(2,\), one per row of logits, got "):
        cross_entropy(draws(2, 3), np.zeros(shape, int))


@pytest.mark.parametrize(("targets", "span"), [([0, 3], "0 to 3"), ([-1, 2], "-1 to 2"), ([-9, -9], "-9 to -9")])
def test_a_class_that_is_not_there_is_refused(targets: list[int], span: str) -> None:
    with pytest.raises(ValueError, match=rf"^targets must be in \[0, 3\), got {span}: "):
        cross_entropy(draws(2, 3), targets)
