"""The contract of Tensor: what it holds, how it meets numbers and arrays, and what backward does."""

from __future__ import annotations

import copy
import gc
import operator
import pickle
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinygpt import Tensor, check_gradients, no_grad, ops
from tinygpt.tensor import apply

ROUNDING = 1e-12  # float64 keeps sixteen digits; sums in another order lose two or three
FLOATS = [np.float16, np.float32, np.float64]
LAWS = settings(max_examples=40)

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]


def leaf(data: Any = (1.0, 2.0, 3.0), dtype: Any = None) -> Tensor:
    return Tensor(data, dtype, requires_grad=True)


def failing(x: Any) -> ops.Result:
    """A rule whose slope cannot be computed."""

    def vjp(g: Any) -> Any:
        raise ArithmeticError("no slope")

    return x * 1, (vjp,)


# --- what a tensor holds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data", [1, 1.5, True, [1, 2], [1.0, 2], [[True], [False]], np.float32(1), np.int8([1]), np.zeros((0, 2)), (), [[]]]
)
def test_dtype_and_shape_are_numpys(data: Any) -> None:
    tensor, array = Tensor(data), np.asarray(data)
    assert (tensor.dtype, tensor.shape, tensor.ndim, tensor.size) == (array.dtype, array.shape, array.ndim, array.size)


@pytest.mark.parametrize("dtype", [*FLOATS, np.int32, bool, "float32"])
def test_a_dtype_that_is_asked_for_is_given(dtype: Any) -> None:
    assert Tensor([0.0, 1.0], dtype).dtype == np.dtype(dtype)


def test_an_array_is_shared_and_not_copied() -> None:
    array = np.ones(3)
    assert Tensor(array).data is array


def test_a_tensor_of_a_tensor_has_its_values_and_not_its_past() -> None:
    again = Tensor(leaf() * 2)
    assert (again.data.tolist(), again.requires_grad) == ([2.0, 4.0, 6.0], False)


@pytest.mark.parametrize("data", [[1, 2], True, np.array([1], np.uint8)])
def test_only_floating_tensors_require_gradients(data: Any) -> None:
    with pytest.raises(TypeError, match=r"^only floating tensors have gradients, got dtype \w+: pass dtype=float$"):
        Tensor(data, requires_grad=True)


def test_a_list_of_tensors_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^data must hold numbers, got tensors, .*: use Tensor.stack$"):
        Tensor([leaf(1.0), leaf(2.0)])


@pytest.mark.parametrize("nest", [lambda x: [[x, x]], lambda x: [(x,), [1.0]], lambda x: [[[0.0]], [[x]]]])
def test_a_nested_list_of_tensors_is_refused(nest: Callable[[Tensor], Any]) -> None:
    with pytest.raises(TypeError, match="data must hold numbers, got tensors"):
        Tensor(nest(leaf(1.0)))


def test_an_operation_with_a_list_of_tensors_loses_no_gradient_silently() -> None:
    y = leaf(1.0)
    with pytest.raises(TypeError):
        leaf() * [y, y, y]


@pytest.mark.parametrize("data", ["abc", None, [1j], {}, object(), np.array(["2020"], "M8")])
def test_data_that_are_no_real_numbers_are_refused(data: Any) -> None:
    with pytest.raises(TypeError, match=r"^data must hold real numbers, got dtype .*: pass floats, ints or bools$"):
        Tensor(data)


@pytest.mark.parametrize("data", [2.5, [[2.5]], np.float32(2.5)])
def test_item_is_a_python_number(data: Any) -> None:
    assert (Tensor(data).item(), type(Tensor(data).item())) == (2.5, float)


def test_item_wants_one_number() -> None:
    with pytest.raises(ValueError, match="size 1"):
        leaf().item()


def test_numpy_shares_the_memory() -> None:
    x = leaf()
    assert np.shares_memory(x.numpy(), x.data)


@pytest.mark.parametrize("data", [1.0, [1.0, 2.0]])
def test_numpy_gives_an_array(data: Any) -> None:
    assert type(leaf(data).numpy()) is np.ndarray


def test_detach_shares_the_memory_and_forgets_the_past() -> None:
    y = leaf() * 2
    assert (y.detach().data is y.data, y.detach().requires_grad) == (True, False)


def test_no_gradient_flows_through_detach() -> None:
    x = leaf()
    (x * x.detach()).sum().backward()
    assert x.grad.tolist() == x.data.tolist()


def test_a_tensor_is_itself_whatever_numbers_it_equals() -> None:
    x, y = Tensor([1.0]), Tensor([1.0])
    assert ({x: "x", y: "y"}[x], len({x, y})) == ("x", 2)


def test_length_is_that_of_the_first_axis() -> None:
    assert len(Tensor.zeros((4, 2))) == 4


def test_iteration_gives_rows_that_carry_gradients() -> None:
    x = leaf([[1.0, 2.0], [3.0, 4.0]])
    first, _ = x
    first.sum().backward()
    assert x.grad.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_a_single_number_cannot_be_iterated_over() -> None:
    with pytest.raises(TypeError, match="only a tensor with axes can be iterated over"):
        iter(leaf(1.0))


@pytest.mark.parametrize("convert", [bool, int, float])
def test_a_tensor_of_one_number_converts(convert: Any) -> None:
    assert convert(Tensor([2.5])) == convert(2.5)


def test_the_truth_of_many_numbers_is_ambiguous() -> None:
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([True, False]))


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        (Tensor([1.0, 2.5]), "Tensor([1. , 2.5])"),
        (Tensor(1.0, np.float32, requires_grad=True), "Tensor(1., dtype=float32, requires_grad=True)"),
        (Tensor([[1], [2]]), "Tensor([[1],\n        [2]])"),
        (Tensor([True]), "Tensor([ True])"),
    ],
)
def test_repr_shows_the_numbers_and_what_is_unusual(tensor: Tensor, text: str) -> None:
    assert repr(tensor) == text


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_is_another_tensor_with_its_own_gradient(again: Callable[[Tensor], Tensor]) -> None:
    x = leaf([2.0])
    y = again(x)
    (x * y * y).sum().backward()
    assert (x.grad, y.grad) == ([4.0], [8.0])


# --- new tensors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "value"), [(Tensor.zeros, 0), (Tensor.ones, 1)])
@pytest.mark.parametrize("shape", [(), 3, (2, 3), (0,)])
def test_zeros_and_ones_are_numpys(make: Any, value: int, shape: Any) -> None:
    made = make(shape, np.float32, requires_grad=True)
    assert (made.numpy().tolist(), made.dtype, made.requires_grad) == (np.full(shape, value).tolist(), np.float32, True)


@pytest.mark.parametrize("make", [Tensor.uniform, Tensor.normal])
def test_the_same_generator_gives_the_same_numbers(make: Any) -> None:
    a, b = (make((2, 3), rng=np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(a.data, b.data)


def test_uniform_numbers_lie_from_low_to_high() -> None:
    x = Tensor.uniform((1000,), -3, 5, np.random.default_rng(0)).data
    assert (-3 <= x.min() < -2.9, 4.9 < x.max() < 5) == (True, True)


def test_normal_numbers_have_their_mean_and_deviation() -> None:
    x = Tensor.normal((10_000,), 5.0, 2.0, np.random.default_rng(0)).data
    five_deviations = 5 * 2.0 / 100  # of the mean of ten thousand
    assert (x.mean(), x.std()) == pytest.approx((5, 2), abs=five_deviations)


def test_random_numbers_are_from_0_to_1_or_the_standard_normals_unless_told() -> None:
    rng = np.random.default_rng(0)
    x, y = Tensor.uniform((1000,), rng=rng).data, Tensor.normal((10_000,), rng=rng).data
    five_deviations = 5 / 100  # of the mean of ten thousand
    assert (x.min(), x.max(), y.mean(), y.std()) == pytest.approx((0, 1, 0, 1), abs=five_deviations)


@pytest.mark.parametrize("make", [Tensor.zeros, Tensor.ones, Tensor.uniform, Tensor.normal])
def test_new_tensors_are_float64_without_gradient_unless_told(make: Any) -> None:
    assert (make((2,)).dtype, make((2,)).requires_grad) == (np.float64, False)


@pytest.mark.parametrize("make", [Tensor.uniform, Tensor.normal])
@pytest.mark.parametrize("dtype", FLOATS)
def test_random_numbers_take_a_dtype_and_a_gradient(make: Any, dtype: Any) -> None:
    x = make((2,), rng=np.random.default_rng(0), dtype=dtype, requires_grad=True)
    assert (x.dtype, x.requires_grad) == (dtype, True)


# --- numbers and arrays on either side -------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ARITHMETIC)
@pytest.mark.parametrize("number", [2, 0.5, True])
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", [[1.0, 2.0], 2.0])
def test_a_python_number_never_changes_a_floating_dtype(operation: Any, number: Any, dtype: Any, data: Any) -> None:
    x = Tensor(data, dtype)
    assert {operation(x, number).dtype, operation(number, x).dtype} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x.maximum(0.5),
        lambda x: x.minimum(2),
        lambda x: Tensor.where(x > 1, x, 0.0),
        lambda x: Tensor.where(x > 1, 1.5, x),
        lambda x: np.multiply(2.0, x),
        lambda x: x.dot(2.0) if x.ndim == 0 else x.dot(x) * 2.0,
    ],
)
def test_nor_does_one_in_a_function(operation: Any, dtype: Any) -> None:
    assert {operation(Tensor(data, dtype)).dtype for data in (2.0, [1.0, 2.0])} == {np.dtype(dtype)}


@pytest.mark.parametrize("operation", ARITHMETIC)
@pytest.mark.parametrize("number", [2, 0.5])
def test_the_gradient_keeps_its_dtype_beside_a_python_number(operation: Any, number: Any) -> None:
    x, y = leaf([1.0, 2.0], np.float32), leaf([1.0, 2.0], np.float32)
    (operation(x, number) + operation(number, y)).sum().backward()
    assert {x.grad.dtype, y.grad.dtype} == {np.dtype(np.float32)}


@pytest.mark.parametrize("operation", ARITHMETIC)
@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.int64, np.float32), (np.int32, np.int64)])
def test_two_dtypes_meet_as_numpys_do(operation: Any, dtypes: Any) -> None:
    x, y = (np.array([1, 2], dtype) for dtype in dtypes)
    assert operation(Tensor(x), Tensor(y)).dtype == operation(x, y).dtype


def test_a_gradient_has_its_tensors_dtype_beside_a_wider_one() -> None:
    x, y = leaf([1.0], np.float32), leaf([2.0], np.float64)
    (x * y).sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)


@pytest.mark.parametrize("operation", [*ARITHMETIC, operator.matmul])
@pytest.mark.parametrize("wrap", [np.asarray, Tensor, leaf], ids=["array", "tensor", "leaf"])
def test_operators_take_arrays_and_tensors_on_the_left(operation: Any, wrap: Any) -> None:
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[2.0, 1.0], [1.0, 3.0]])
    assert_array_equal(operation(wrap(y), leaf(x)).data, operation(y, x), strict=True)


@pytest.mark.parametrize("operation", [*ARITHMETIC, operator.matmul])
@pytest.mark.parametrize("wrap", [np.asarray, Tensor, leaf], ids=["array", "tensor", "leaf"])
def test_operators_take_arrays_and_tensors_on_the_right(operation: Any, wrap: Any) -> None:
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[2.0, 1.0], [1.0, 3.0]])
    assert_array_equal(operation(leaf(x), wrap(y)).data, operation(x, y), strict=True)


@pytest.mark.parametrize("operation", [*ARITHMETIC, *COMPARISONS, operator.matmul])
def test_an_array_on_the_left_gives_a_tensor(operation: Any) -> None:
    assert type(operation(np.array([1.0, 2.0]), Tensor([2.0, 2.0]))) is Tensor


@pytest.mark.parametrize("operation", [*ARITHMETIC, *COMPARISONS])
@pytest.mark.parametrize("number", [2, 1.5, np.float32(1.5), np.float64(2), np.int64(3), np.array(2.0)])
@pytest.mark.parametrize("data", [[1.0, 2.0], 1.0])
def test_a_number_on_the_left_gives_what_it_gives_with_an_array(operation: Any, number: Any, data: Any) -> None:
    result, expected = operation(number, Tensor(data)), operation(number, np.asarray(data)[()])
    assert_array_equal(result.data, expected, strict=True)


@pytest.mark.parametrize("operation", [*ARITHMETIC, *COMPARISONS])
@pytest.mark.parametrize("number", [1, 2, 2.0, np.float32(2), np.float64(2), np.int64(3), np.array(2.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8])
def test_a_number_on_the_right_gives_what_it_gives_with_an_array(operation: Any, number: Any, dtype: Any) -> None:
    data = np.array([3, 2], dtype)
    assert_array_equal(operation(Tensor(data), number).data, operation(data, number), strict=True)


@pytest.mark.parametrize("operation", ARITHMETIC)
def test_gradients_flow_from_a_reflected_operator(operation: Any) -> None:
    assert check_gradients(lambda x: operation(1.5, x) + operation(np.array([1.0, 2.0]), x), leaf([0.5, 2.0]))


@pytest.mark.parametrize("operation", COMPARISONS)
@pytest.mark.parametrize("other", [2, [1.0, 3.0, 3.0], Tensor(2.0, requires_grad=True)])
def test_a_comparison_is_boolean_and_has_no_gradient(operation: Any, other: Any) -> None:
    result = operation(leaf(), other if isinstance(other, Tensor) else np.array(other))
    assert (result.dtype, result.requires_grad) == (bool, False)


@pytest.mark.parametrize("operation", COMPARISONS)
def test_a_comparison_compares(operation: Any) -> None:
    x, y = np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0])
    assert np.array_equal(operation(Tensor(x), Tensor(y)).data, operation(x, y))


UFUNCS = {f for f in vars(np).values() if isinstance(f, np.ufunc) and hasattr(ops, f.__name__)}


@pytest.mark.parametrize("ufunc", sorted(UFUNCS, key=str), ids=lambda f: f.__name__)
def test_numpys_function_of_that_name_is_the_rule(ufunc: np.ufunc) -> None:
    x = np.array([[0.5, 2.0], [1.5, 3.0]])
    result = ufunc(*[leaf(x)] * ufunc.nin)
    assert (result.data.tolist(), result.requires_grad) == (ufunc(*[x] * ufunc.nin).tolist(), True)


def test_most_rules_of_one_and_two_numbers_are_numpys() -> None:
    assert {np.exp, np.log, np.add, np.multiply, np.maximum, np.matmul, np.square, np.absolute} <= UFUNCS


@pytest.mark.parametrize(
    "call", [np.floor, lambda x: np.exp(x, out=np.zeros(3)), lambda x: np.add.reduce(x), lambda x: np.hypot(x, x)]
)
def test_a_numpy_function_without_a_rule_says_so(call: Any) -> None:
    with pytest.raises(TypeError, match=r"^np.\w+ has no rule for tensors: use a Tensor operation, or .numpy\(\)"):
        call(leaf())


def test_adding_a_tensor_into_an_array_is_refused() -> None:
    array = np.ones(3)
    with pytest.raises(TypeError):
        array += leaf()


@pytest.mark.parametrize(
    ("operation", "name"),
    [(operator.add, "add"), (operator.matmul, "matmul"), (Tensor.maximum, "maximum"), (Tensor.dot, "dot")],
)
def test_shapes_that_do_not_fit_are_named(operation: Any, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name} cannot take shape \(2, 3\) and \(2,\) \(.*\): reshape an operand$"):
        operation(Tensor.ones((2, 3)), Tensor.ones(2))


@pytest.mark.parametrize("method", [Tensor.sum, Tensor.mean, Tensor.max, Tensor.min, Tensor.var])
def test_a_reduction_takes_numpys_integers_as_an_axis(method: Any) -> None:
    x = Tensor([[1.0, 2.0], [3.0, 5.0]])
    assert np.array_equal(method(x, np.int64(1)).data, method(x, 1).data)


@pytest.mark.parametrize("method", [Tensor.sum, Tensor.mean, Tensor.max, Tensor.min, Tensor.var])
def test_an_axis_that_is_not_there_is_named(method: Any) -> None:
    with pytest.raises((ValueError, IndexError), match="axis 5 is out of bounds"):
        method(Tensor.ones((2, 3)), 5)


@pytest.mark.parametrize("data", [[1, 2, 3], [True, False, True]])
def test_whole_numbers_have_a_mean(data: Any) -> None:
    assert Tensor(data).mean().item() == np.mean(data)


# --- shapes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Tensor.reshape, Tensor.permute, Tensor.expand])
def test_lengths_come_one_by_one_or_in_a_sequence(method: Any) -> None:
    x = Tensor.ones((1, 1))
    lengths = (1, 0) if method is Tensor.permute else (1, 1)
    assert method(x, *lengths).shape == method(x, lengths).shape == method(x, list(lengths)).shape


def test_reshape_finds_the_length_that_is_left_out() -> None:
    assert Tensor.ones((2, 6)).reshape(3, -1).shape == (3, 4)


def test_expand_keeps_an_axis_that_is_left_out() -> None:
    assert Tensor.ones((2, 1)).expand(4, -1, 3).shape == (4, 2, 3)


@pytest.mark.parametrize("diagonal", [-1, 0, 1])
def test_a_lower_triangle_is_numpys(diagonal: int) -> None:
    x = np.arange(6.0).reshape(2, 3) + 1
    assert_array_equal(Tensor(x).tril(diagonal).data, np.tril(x, diagonal))


def test_a_list_times_a_matrix_is_a_product() -> None:
    assert_array_equal(([1.0, 2.0] @ Tensor([[1.0, 0.0], [0.5, 1.0]])).data, [2.0, 2.0])


def test_a_function_of_numpy_that_would_lose_the_gradients_is_refused() -> None:
    with pytest.raises(
        TypeError, match=r"^np\.concatenate would lose the gradients of tensors: use a Tensor operation"
    ):
        np.concatenate([leaf(), leaf()])


def test_a_function_of_numpy_that_only_asks_is_answered() -> None:
    assert (np.shape(leaf()), np.array_equal(leaf(), [1.0, 2.0, 3.0])) == ((3,), True)


@pytest.mark.parametrize("index", [Tensor([2, 0, 0]), Tensor(1), Tensor([True, False, True]), (Tensor([1, 1]), None)])
def test_a_tensor_is_an_index(index: Any) -> None:
    x = np.array([1.0, 2.0, 3.0])
    plain = tuple(i.data if isinstance(i, Tensor) else i for i in index) if isinstance(index, tuple) else index.data
    assert np.array_equal(Tensor(x)[index].data, x[plain])


def test_a_comparison_is_a_mask() -> None:
    x = leaf()
    x[x > 1].sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 1.0]


def test_where_takes_a_comparison() -> None:
    x = leaf([-1.0, 2.0])
    Tensor.where(x > 0, x * 3, x * 5).sum().backward()
    assert x.grad.tolist() == [5.0, 3.0]


@pytest.mark.parametrize("join", [Tensor.concatenate, Tensor.stack])
def test_one_tensor_may_be_joined_with_itself_and_with_arrays(join: Any) -> None:
    x = leaf([1.0, 2.0])
    join([x, np.ones(2), x]).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_dot_with_a_number_is_the_product() -> None:
    assert check_gradients(lambda x: x.dot(3.0), leaf())


# --- backward --------------------------------------------------------------------------------------------------------


def test_a_tensor_used_twice_gets_both_gradients() -> None:
    x = leaf(3.0)
    (x * x + x).backward()
    assert x.grad == 7


def test_gradients_meet_again_after_a_fork() -> None:
    x = leaf(0.5)
    y = x.sin()
    (y.exp() * y.cos() + y).backward()
    s = np.sin(0.5)
    assert x.grad == pytest.approx((np.exp(s) * (np.cos(s) - np.sin(s)) + 1) * np.cos(0.5), rel=ROUNDING)


def test_backward_adds_into_the_gradient() -> None:
    x = leaf()
    (2 * x).sum().backward()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [5.0, 5.0, 5.0]


def test_backward_writes_into_no_gradient() -> None:
    x = leaf()
    (2 * x).sum().backward()
    before = x.grad
    (2 * x).sum().backward()
    assert before.tolist() == [2.0, 2.0, 2.0]


def test_zero_grad_forgets_the_gradient() -> None:
    x = leaf()
    x.sum().backward()
    x.zero_grad()
    assert x.grad is None


def test_a_leaf_may_be_the_loss() -> None:
    x = leaf(3.0)
    x.backward()
    assert x.grad == 1


def test_results_have_no_gradient_unless_they_ask() -> None:
    x = leaf()
    y = x * 2
    y.sum().backward()
    assert y.grad is None


def test_a_result_that_asks_has_its_gradient() -> None:
    x = leaf()
    y = x * 2
    y.retain_grad()
    (y * y).sum().backward()
    assert y.grad.tolist() == [4.0, 8.0, 12.0]


def test_the_loss_itself_may_retain_its_gradient() -> None:
    loss = leaf().sum()
    loss.retain_grad()
    loss.backward()
    assert loss.grad == 1


def test_retained_gradients_add_up() -> None:
    y = leaf() * 2
    y.retain_grad()
    loss = y.sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert y.grad.tolist() == [2.0, 2.0, 2.0]


def test_tensors_that_need_no_gradient_get_none() -> None:
    x, constant = leaf(), Tensor([1.0, 1.0, 1.0])
    (x * constant).sum().backward()
    assert constant.grad is None


def test_a_second_backward_is_an_error() -> None:
    loss = (leaf() * 2).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"^backward\(\) already went through this graph and freed it: .*retain"):
        loss.backward()


def test_a_backward_through_a_freed_part_is_an_error() -> None:
    x = leaf()
    shared = x * 2
    shared.sum().backward()
    with pytest.raises(RuntimeError, match="already went through this graph"):
        (shared * x).sum().backward()


def test_that_error_leaves_gradients_as_they_were() -> None:
    x, y = leaf(), leaf()
    shared = x * 2
    shared.sum().backward()
    with pytest.raises(RuntimeError):
        (y * 5 + shared).sum().backward()
    assert (x.grad.tolist(), y.grad) == ([2.0, 2.0, 2.0], None)


def test_a_retained_graph_can_be_walked_again() -> None:
    x = leaf()
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.tolist() == [4.0, 8.0, 12.0]


def test_a_failing_backward_leaves_leaves_untouched() -> None:
    x, y = leaf(), leaf()
    x.sum().backward()
    with pytest.raises(ArithmeticError):
        (x * 2 + apply(failing, y) + x).sum().backward()
    assert (x.grad.tolist(), y.grad) == ([1.0, 1.0, 1.0], None)


def test_backward_starts_from_a_scalar() -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 — the text is the assertion
        (Tensor.ones((32, 10), requires_grad=True) * 2).backward()
    assert str(error.value) == (
        "backward() starts from a scalar, but this tensor has shape (32, 10): take .sum() or .mean() first"
    )


def test_backward_needs_a_tensor_that_requires_gradients() -> None:
    with pytest.raises(RuntimeError, match=r"^backward\(\) needs a tensor made from one with requires_grad=True"):
        Tensor([1.0]).sum().backward()


def test_backward_is_the_product_with_the_given_gradient() -> None:
    x = leaf()
    (x * x).backward([1.0, 10.0, 100.0])
    assert x.grad.tolist() == [2.0, 40.0, 600.0]


@pytest.mark.parametrize("gradient", [Tensor([1.0, 2.0, 3.0]), np.array([1, 2, 3]), np.float64([1, 2, 3]), (1, 2, 3)])
def test_the_given_gradient_takes_the_tensors_dtype(gradient: Any) -> None:
    x = leaf(dtype=np.float32)
    (x * 2).backward(gradient)
    assert (x.grad.dtype, x.grad.tolist()) == (np.float32, [2.0, 4.0, 6.0])


@pytest.mark.parametrize("gradient", [1.0, [1.0, 2.0], [[1.0, 2.0, 3.0]]])
def test_a_gradient_of_another_shape_is_refused(gradient: Any) -> None:
    with pytest.raises(ValueError, match=r"^gradient must have this tensor's shape \(3,\), got .*: reshape it$"):
        (leaf() * 2).backward(gradient)


def test_requires_grad_is_not_set_on_results() -> None:
    with pytest.raises(ValueError, match=r"^requires_grad is set on leaves, but this tensor is a result: take .detach"):
        (leaf() * 2).requires_grad = False


def test_a_leaf_that_stops_requiring_gradients_gets_none() -> None:
    x, y = leaf(), leaf()
    x.requires_grad = False
    (x * y).sum().backward()
    assert x.grad is None


def test_rebinding_data_leaves_the_graph_as_it_was_made() -> None:
    x = leaf()
    loss = (x * x).sum()
    x.data = np.zeros(3)
    loss.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_backward_works_inside_no_grad() -> None:
    x = leaf()
    loss = (x * x).sum()
    with no_grad():
        loss.backward()
    assert x.grad.tolist() == [2.0, 4.0, 6.0]


def test_a_chain_of_a_hundred_thousand_operations_is_no_trouble() -> None:
    x = leaf(0.0)
    y = x
    for _ in range(100_000):
        y = y + 1.0
    y.backward()
    assert (y.item(), x.grad) == (100_000, 1)


def test_a_wide_fork_counts_every_branch() -> None:
    x = leaf(1.0)
    sum((x * k for k in range(100)), 0.0).backward()
    assert x.grad == sum(range(100))


def test_a_rule_of_ones_own_joins_in() -> None:
    def cube(x: Any) -> ops.Result:
        return x**3, (lambda g: g * 3 * x**2,)

    assert check_gradients(lambda x: apply(cube, x.sin()) * x, leaf())


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_garbage_collector() -> Any:
    gc.disable()
    yield
    gc.enable()


def network(x: Tensor) -> tuple[Tensor, list[Any]]:
    """A loss, and weak references to what its graph is made of."""
    hidden = (x @ x.transpose(0, 1)).tanh()
    joined = Tensor.concatenate([hidden[[0, 0]], hidden.softmax()]).max(axis=0).var()
    return joined * 2, [weakref.ref(hidden), weakref.ref(hidden.data), weakref.ref(joined)]


@pytest.mark.usefixtures("_no_garbage_collector")
def test_a_graph_dies_with_its_last_reference() -> None:
    loss, watched = network(leaf([[1.0, 2.0], [3.0, 5.0]]))
    del loss
    assert [w() for w in watched] == [None] * 3


@pytest.mark.usefixtures("_no_garbage_collector")
def test_backward_frees_the_graph_though_the_loss_lives() -> None:
    loss, watched = network(leaf([[1.0, 2.0], [3.0, 5.0]]))
    loss.backward()
    assert [w() for w in watched] == [None] * 3


@pytest.mark.usefixtures("_no_garbage_collector")
def test_a_retained_graph_lives_as_long_as_the_loss() -> None:
    loss, watched = network(leaf([[1.0, 2.0], [3.0, 5.0]]))
    loss.backward(retain_graph=True)
    assert all(w() is not None for w in watched)


@pytest.mark.usefixtures("_no_garbage_collector")
def test_nothing_is_remembered_inside_no_grad() -> None:
    with no_grad():
        loss, watched = network(leaf([[1.0, 2.0], [3.0, 5.0]]))
    assert ([w() for w in watched], loss.requires_grad) == ([None] * 3, False)


# --- no_grad ---------------------------------------------------------------------------------------------------------


def test_no_grad_makes_leaves() -> None:
    with no_grad():
        y = leaf() * 2
    y.requires_grad = True
    y.sum().backward()
    assert y.grad.tolist() == [1.0, 1.0, 1.0]


def test_no_grad_ends_with_its_block() -> None:
    with no_grad(), no_grad():
        pass
    assert (leaf() * 2).requires_grad


def test_an_inner_no_grad_does_not_end_the_outer() -> None:
    with no_grad():
        with no_grad():
            pass
        assert not (leaf() * 2).requires_grad


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (leaf() * 2).requires_grad


def test_no_grad_is_a_decorator_too() -> None:
    double = no_grad()(lambda x: x * 2)
    assert (double(leaf()).requires_grad, (leaf() * 2).requires_grad) == (False, True)


def test_no_grad_does_not_reach_another_thread() -> None:
    seen: list[bool] = []
    thread = threading.Thread(target=lambda: seen.append((leaf() * 2).requires_grad))
    with no_grad():
        thread.start()
        thread.join()
    assert seen == [True]


def test_no_grad_does_not_come_from_another_thread() -> None:
    inside, done = threading.Event(), threading.Event()

    def work() -> None:
        with no_grad():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    recorded = (leaf() * 2).requires_grad
    done.set()
    thread.join()
    assert recorded


# --- check_gradients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,)])
def test_check_gradients_passes_a_right_function(shape: Any) -> None:
    x = Tensor.normal(shape, rng=np.random.default_rng(0))
    assert check_gradients(lambda x: x.sin() * x.exp(), x) is True


def test_check_gradients_names_what_differs() -> None:
    with pytest.raises(AssertionError, match=r"^the gradient by argument 1\[0, 0\] must be .*, got .*: check that"):
        check_gradients(lambda x, y: x * y * y.detach(), Tensor([2.0]), Tensor([[3.0]]))


def test_check_gradients_names_a_wrong_slope_of_a_single_number() -> None:
    with pytest.raises(AssertionError, match="the gradient by argument 0 must be 4 "):
        check_gradients(lambda x: (x * x.detach()).sum() + 0 * x, Tensor(2.0))


@pytest.mark.parametrize("factor", [0.0, 0.999, -1.0, np.nan, np.inf])
def test_check_gradients_finds_a_wrong_factor(factor: float) -> None:
    def wrong(x: Any) -> ops.Result:
        return np.sin(x), (lambda g: g * np.cos(x) * factor,)

    with pytest.raises(AssertionError, match=r"argument 0\[0\]"):
        check_gradients(lambda x: apply(wrong, x), Tensor([0.5, 1.0]))


def test_check_gradients_takes_an_argument_that_does_not_matter() -> None:
    assert check_gradients(lambda x, y: x * 2, leaf(), leaf())


def test_check_gradients_leaves_its_arguments_alone() -> None:
    x = leaf(dtype=np.float32)
    check_gradients(lambda x: x * x, x)
    assert (x.data.tolist(), x.dtype, x.grad) == ([1.0, 2.0, 3.0], np.float32, None)


# --- laws of whole expressions ---------------------------------------------------------------------------------------

STEPS: list[Callable[[Tensor, Tensor], Tensor]] = [
    lambda a, b: a + b,
    lambda a, b: a - 2 * b,
    lambda a, b: a * b,
    lambda a, b: a / (2 + b * b),
    lambda a, b: (1 + a * a) ** b.tanh(),
    lambda a, b: a.sin() @ b.reshape(-1)[: a.shape[-1]],
    lambda a, b: Tensor.stack([a.sum(), b.mean()]),
    lambda a, b: Tensor.concatenate([a.reshape(-1), b.reshape(-1)])[[0, -1, 0]],
    lambda a, b: a.softmax() + b.sigmoid(),
    lambda a, b: a.var(axis=-1, keepdims=True) + b.tanh(),
    lambda a, b: (a.expand(2, *a.shape) * b).mean(axis=0),
    lambda a, b: Tensor.where(np.array([True, False, True]), a.cos(), b.gelu()),
]


@LAWS
@given(st.lists(st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0), st.integers(0)), min_size=1, max_size=6))
def test_gradients_of_any_expression_are_those_of_central_differences(program: list[tuple[int, int, int]]) -> None:
    def run(*inputs: Tensor) -> Tensor:
        values = list(inputs)
        for step, first, second in program:
            a, b = values[first % len(values)], values[second % len(values)]
            if min(a.ndim, b.ndim) > 0 and min(a.shape[-1], b.size) == 3:
                values.append(STEPS[step](a, b).tanh())  # tanh, so that no program overflows
        return Tensor.concatenate([value.reshape(-1) for value in values[len(inputs) - 1 :]])

    rng = np.random.default_rng(0)
    assert check_gradients(run, *[Tensor.normal(shape, rng=rng) for shape in ((2, 3), (3,), (1, 3))])


@LAWS
@given(st.floats(-4, 4, width=16), st.floats(-4, 4, width=16))
def test_backward_is_linear_in_the_gradient(a: float, b: float) -> None:
    x = leaf()

    def back(g: Any) -> Any:
        x.zero_grad()
        (x.exp() * x.sin()).backward(g)
        return x.grad

    u, v = np.array([1.0, -2.0, 0.5]), np.array([0.0, 3.0, 1.0])
    np.testing.assert_allclose(back(a * u + b * v), a * back(u) + b * back(v), rtol=ROUNDING, atol=100 * ROUNDING)


@LAWS
@given(st.permutations(range(4)))
def test_losses_added_before_or_after_backward_give_the_same_gradient(order: list[int]) -> None:
    x, y = leaf(), leaf()
    losses = [lambda t: t.sum(), lambda t: (t * t).mean(), lambda t: t.exp().max(), lambda t: t.softmax()[0]]
    for i in order:
        losses[i](x).backward()
    sum(loss(y) for loss in losses).backward()
    np.testing.assert_allclose(x.grad, y.grad, rtol=ROUNDING)
