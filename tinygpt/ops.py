"""The calculus: one rule per operation.

A rule takes arrays and returns its value together with one function per array, the *vector–Jacobian product*
(vjp): it takes g, the gradient of the loss by the value, and returns the gradient of the loss by that array.

    y = f(x)        vjp(g) = gᵀ · ∂f/∂x

Rules ignore broadcasting: `tensor.backward` sums a gradient back to the shape its array had, in one place.
They know numpy and nothing else, and write into no array.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = Any  # an ndarray, a NumPy scalar (the value of zero dimensions) or a Python number
Vjp = Callable[[Array], Array]
Result = tuple[Array, tuple[Vjp, ...]]
Axis = int | tuple[int, ...] | None


# --- arithmetic ------------------------------------------------------------------------------------------------------


def add(x: Array, y: Array) -> Result:
    """x + y, elementwise."""
    return x + y, (
        lambda g: g,
        lambda g: g,
    )


def subtract(x: Array, y: Array) -> Result:
    """x − y, elementwise."""
    return x - y, (
        lambda g: g,
        lambda g: -g,
    )


def multiply(x: Array, y: Array) -> Result:
    """x · y, elementwise."""
    return x * y, (
        lambda g: g * y,
        lambda g: g * x,
    )


def divide(x: Array, y: Array) -> Result:
    """x / y, elementwise."""
    value = x / y
    return value, (
        lambda g: g / y,
        lambda g: -g * value / y,
    )


def power(x: Array, y: Array) -> Result:
    """xʸ, elementwise; the slope is 0 by x where y = 0, and by y where x = 0."""
    value = x**y
    return value, (
        lambda g: g * (y * x ** (y - (y != 0))),
        lambda g: g * (value * np.log(np.where(x == 0, 1, x))),
    )


def negative(x: Array) -> Result:
    """−x."""
    return -x, (lambda g: -g,)


# --- functions of one number -----------------------------------------------------------------------------------------


def exp(x: Array) -> Result:
    """eˣ."""
    value = np.exp(x)
    return value, (lambda g: g * value,)


def log(x: Array) -> Result:
    """The natural logarithm."""
    return np.log(x), (lambda g: g / x,)


def sqrt(x: Array) -> Result:
    """√x."""
    value = np.sqrt(x)
    return value, (lambda g: g / (2 * value),)


def square(x: Array) -> Result:
    """x²."""
    return x * x, (lambda g: g * (x + x),)


def sin(x: Array) -> Result:
    """sin x, x in radians."""
    return np.sin(x), (lambda g: g * np.cos(x),)


def cos(x: Array) -> Result:
    """cos x, x in radians."""
    return np.cos(x), (lambda g: -g * np.sin(x),)


def absolute(x: Array) -> Result:
    """|x|, with slope 0 at 0."""
    return abs(x), (lambda g: g * np.sign(x),)


def tanh(x: Array) -> Result:
    """The hyperbolic tangent."""
    value = np.tanh(x)
    return value, (lambda g: g * (1 - value * value),)


def sigmoid(x: Array) -> Result:
    """1 / (1 + e⁻ˣ), as e to the −log(1 + e⁻ˣ) so that no x overflows."""
    value = np.exp(-np.logaddexp(0, -x))
    return value, (lambda g: g * (value * (1 - value)),)


def relu(x: Array) -> Result:
    """max(x, 0), with slope 0 at 0."""
    return np.maximum(x, 0), (lambda g: g * (x > 0),)


def gelu(x: Array) -> Result:
    """½ x (1 + tanh u) with u = √(2/π) (x + 0.044715 x³); and ½ (1 + tanh u) is the sigmoid of 2u.

    Its slope is computed at once: to keep one array for backward, and not the three it is made of, saves memory and
    time.

    Source: Hendrycks and Gimpel 2016, section 2, the tanh form that GPT-2 uses. https://arxiv.org/abs/1606.08415
    """
    c = 2 * float(np.sqrt(2 / np.pi))
    z = np.clip(x, -25, 25)  # beyond, the sigmoid is 0 or 1 to the last digit, and x³ could overflow
    square = z * z
    with np.errstate(over="ignore"):  # e^∞ is right: the sigmoid is 0 there
        sigmoid_2u = 1 / (1 + np.exp(-c * z * (1 + 0.044715 * square)))
    value = x * sigmoid_2u
    slope = sigmoid_2u + value * (1 - sigmoid_2u) * (c + 3 * 0.044715 * c * square)
    return value, (lambda g: g * slope,)


# --- the larger and the smaller --------------------------------------------------------------------------------------


def maximum(x: Array, y: Array) -> Result:
    """The larger of x and y, elementwise; ties share the gradient equally."""
    return np.maximum(x, y), (
        lambda g: np.where(x == y, g / 2, np.where(x < y, 0, g)),
        lambda g: np.where(x == y, g / 2, np.where(y < x, 0, g)),
    )


def minimum(x: Array, y: Array) -> Result:
    """The smaller of x and y, elementwise; ties share the gradient equally."""
    return np.minimum(x, y), (
        lambda g: np.where(x == y, g / 2, np.where(x > y, 0, g)),
        lambda g: np.where(x == y, g / 2, np.where(y > x, 0, g)),
    )


def where(a: Array, b: Array, *, condition: Array) -> Result:
    """a where the condition holds, b elsewhere."""
    return np.where(condition, a, b), (
        lambda g: np.where(condition, g, 0),
        lambda g: np.where(condition, 0, g),
    )


_sum: Any = np.add.reduce  # np.sum without its layer of Python, which costs more than a short sum itself


# --- many numbers to few ---------------------------------------------------------------------------------------------


def _restore_axes(reduced: Array, axis: Axis, keepdims: bool) -> Array:
    """Give a reduced array its summed axes back, each of length 1, so that it broadcasts against what was reduced."""
    return reduced if axis is None or keepdims else np.expand_dims(reduced, axis)


def _count(x: Array, reduced: Array) -> int:
    """How many numbers of x went into each number of what it was reduced to."""
    return int(np.size(x) // np.maximum(np.size(reduced), 1))


def sum(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """The sum over the given axes."""
    return _sum(x, axis=axis, keepdims=keepdims), (lambda g: np.full(x.shape, _restore_axes(g, axis, keepdims)),)


def mean(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """The mean over the given axes."""
    total = _sum(x, axis=axis, keepdims=keepdims)
    n = _count(x, total)
    return total / n, (lambda g: np.full(x.shape, _restore_axes(g / n, axis, keepdims)),)


def var(x: Array, *, axis: Axis = None, keepdims: bool = False, ddof: int = 0) -> Result:
    """The variance over the given axes: squared distances from the mean, summed, divided by n − ddof."""
    centred = x - np.mean(x, axis=axis, keepdims=True)
    total = _sum(centred * centred, axis=axis, keepdims=keepdims)
    n = int(np.maximum(_count(x, total) - ddof, 0))
    return total / n, (lambda g: _restore_axes(g, axis, keepdims) * (2 * centred / n),)


def _share(g: Array, x: Array, value: Array, axis: Axis, keepdims: bool) -> Array:
    """Share g equally among the entries of x that equal the extreme value (or are NaN, as it is then)."""
    winners = (x == _restore_axes(value, axis, keepdims)) | (x != x)
    count = _sum(winners, axis=axis, keepdims=True, dtype=g.dtype)
    return winners * (_restore_axes(g, axis, keepdims) / count)


def max(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """The largest number over the given axes; ties share the gradient equally."""
    value = np.max(x, axis=axis, keepdims=keepdims)
    return value, (lambda g: _share(g, x, value, axis, keepdims),)


def min(x: Array, *, axis: Axis = None, keepdims: bool = False) -> Result:
    """The smallest number over the given axes; ties share the gradient equally."""
    value = np.min(x, axis=axis, keepdims=keepdims)
    return value, (lambda g: _share(g, x, value, axis, keepdims),)


def softmax(x: Array, *, axis: int = -1) -> Result:
    """eˣ / Σ eˣ along the axis, shifted by the largest x so that nothing overflows."""
    powers = np.exp(x - np.max(x, axis=axis, keepdims=True))
    value = powers / _sum(powers, axis=axis, keepdims=True)
    return value, (lambda g: value * (g - _sum(g * value, axis=axis, keepdims=True)),)


def log_softmax(x: Array, *, axis: int = -1) -> Result:
    """x − log Σ eˣ along the axis, shifted by the largest x so that nothing overflows."""
    shifted = x - np.max(x, axis=axis, keepdims=True)
    value = shifted - np.log(_sum(np.exp(shifted), axis=axis, keepdims=True))
    return value, (lambda g: g - np.exp(value) * _sum(g, axis=axis, keepdims=True),)


# --- products of matrices --------------------------------------------------------------------------------------------


def matmul(x: Array, y: Array) -> Result:
    """x @ y: the last axis of x meets the second last of y (or its only one); leading axes broadcast."""
    if x.ndim > 2 and y.ndim == 2:
        return _matmul_of_rows(x, y)
    value = x @ y
    rows = x if x.ndim > 1 else x[None, :]  # (…, m, n)
    columns = y if y.ndim > 1 else y[:, None]  # (…, n, k)

    def as_matrix(g: Array) -> Array:  # (…, m, k), with the axis that a vector left out
        g = g if x.ndim > 1 else np.expand_dims(g, -1 if y.ndim == 1 else -2)
        return g if y.ndim > 1 else np.expand_dims(g, -1)

    def vjp_x(g: Array) -> Array:
        product = as_matrix(g) @ columns.swapaxes(-1, -2)  # (…, m, k) @ (…, k, n)
        return product if x.ndim > 1 else product[..., 0, :]

    def vjp_y(g: Array) -> Array:
        product = rows.swapaxes(-1, -2) @ as_matrix(g)  # (…, n, m) @ (…, m, k)
        return product if y.ndim > 1 else product[..., 0]

    return value, (vjp_x, vjp_y)


def _matmul_of_rows(x: Array, y: Array) -> Result:
    """x @ y for one matrix y: one product of matrices over all leading axes of x, not one for each."""
    value, (vjp_x, vjp_y) = matmul(_rows(x), y)
    return value.reshape(*x.shape[:-1], y.shape[1]), (
        lambda g: vjp_x(_rows(g)).reshape(x.shape),
        lambda g: vjp_y(_rows(g)),
    )


def linear(x: Array, w: Array, b: Array) -> Result:
    """x @ w + b, in the dtype of x @ w; b is one row, or more of them that broadcast."""
    value, (vjp_x, vjp_w) = matmul(x, w)
    value += b
    return value, (vjp_x, vjp_w, lambda g: _sum_of_rows(g) if b.ndim == 1 else g)


def _rows(x: Array) -> Array:
    """x as a matrix: its last axis, and all others in one."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def _sum_of_rows(x: Array) -> Array:
    """The sum over all axes but the last, as a product with ones, which is faster than a sum down the columns."""
    rows = _rows(x)
    return np.ones(len(rows), x.dtype) @ rows


def dot(x: Array, y: Array) -> Result:
    """NumPy's dot: every last-axis vector of x with every second-last-axis vector of y."""
    meets = y.ndim - 2 if y.ndim > 1 else 0  # the axis of y that meets the last axis of x
    outer_x, outer_y = list(range(x.ndim - 1)), list(range(y.ndim - 1))
    return np.dot(x, y), (
        lambda g: np.tensordot(g, np.moveaxis(y, meets, -1), (list(range(x.ndim - 1, g.ndim)), outer_y)),
        lambda g: np.moveaxis(np.tensordot(x, g, (outer_x, outer_x)), 0, meets),
    )


# --- a transformer's own, each one node instead of many ---------------------------------------------------------------


def layer_norm(x: Array, w: Array, b: Array, *, eps: float) -> Result:
    """(x − mean) / √(variance + eps) · w + b, mean and variance over the last axis.

    Source: Ba, Kiros and Hinton 2016, section 3. https://arxiv.org/abs/1607.06450
    """
    ones, n = np.ones(x.shape[-1:], x.dtype), x.shape[-1]

    def mean(a: Array, b: Array) -> Array:  # of a · b, as a product of vectors: faster than a sum along short rows
        return np.vecdot(a, b)[..., None] / n

    centred = x - mean(x, ones)
    scale = 1 / np.sqrt(mean(centred, centred) + eps)
    normal = centred * scale

    def vjp_x(g: Array) -> Array:
        g = g * w
        return scale * (g - mean(g, ones) - normal * mean(g, normal))

    return normal * w + b, (vjp_x, lambda g: _sum_of_rows(g * normal), lambda g: _sum_of_rows(g))


def embedding(w: Array, *, tokens: Array) -> Result:
    """w[tokens], a row for each token; a row taken several times collects the gradients of all."""

    def vjp(g: Array) -> Array:
        order = np.argsort(tokens, axis=None, kind="stable")  # equal tokens side by side: four times as fast as add.at
        found, begins = np.unique(tokens.reshape(-1)[order], return_index=True)
        gradient = np.zeros(w.shape, g.dtype)
        if found.size:
            gradient[found] = np.add.reduceat(g.reshape(tokens.size, -1)[order], begins, axis=0)
        return gradient

    return w[tokens], (vjp,)


def attention(qkv: Array, *, heads: int, queries: int | None = None) -> Result:
    """softmax(q kᵀ / √n) v in every head, where each token sees itself and those before it.

    qkv holds, for each token, its queries, keys and values of all heads, one after another. With `queries`, only so
    many last tokens ask, and all are there to answer.

    Shapes: qkv (…, time, 3 · heads · n) → (…, time or queries, heads · n).
    Source: Vaswani et al. 2017, section 3.2. https://arxiv.org/abs/1706.03762
    """
    q, k, v = _heads(qkv, heads)
    time, n = k.shape[-2:]
    before = 0 if queries is None else time - queries  # tokens that do not ask
    scale = 1 / float(np.sqrt(n))
    q = q[..., before:, :] * scale
    later = np.triu(np.full((time - before, time), -np.inf, qkv.dtype), before + 1)
    shares, _ = softmax(q @ k.swapaxes(-1, -2) + later)  # (…, heads, queries, time), each row's sum is 1
    mixed = shares @ v

    def vjp(g: Array) -> Array:
        gradient = np.zeros(qkv.shape, g.dtype)
        g_q, g_k, g_v = _heads(gradient, heads)
        g = g.reshape(*g.shape[:-1], heads, n).swapaxes(-2, -3)
        g_scores = shares * (g @ v.swapaxes(-1, -2) - np.vecdot(g, mixed)[..., None])
        g_q[..., before:, :] = g_scores @ k * scale
        g_k[...] = g_scores.swapaxes(-1, -2) @ q
        g_v[...] = shares.swapaxes(-1, -2) @ g
        return gradient

    return mixed.swapaxes(-2, -3).reshape(*qkv.shape[:-2], time - before, heads * n), (vjp,)


def _heads(qkv: Array, heads: int) -> list[Array]:
    """Three views (…, heads, time, n) into an array (…, time, 3 · heads · n)."""
    parts = qkv.reshape(*qkv.shape[:-1], 3, heads, qkv.shape[-1] // (3 * heads))
    return [parts[..., i, :, :].swapaxes(-2, -3) for i in range(3)]


# --- the same numbers in another arrangement -------------------------------------------------------------------------


def reshape(x: Array, *, shape: tuple[int, ...]) -> Result:
    """The same numbers, in order, in another shape."""
    return np.reshape(x, shape), (lambda g: np.reshape(g, x.shape),)


def permute(x: Array, *, dims: Sequence[int]) -> Result:
    """The axes in another order: axis i of the result is axis dims[i] of x."""
    return np.transpose(x, dims), (lambda g: np.transpose(g, np.argsort(np.asarray(dims) % x.ndim)),)


def transpose(x: Array, *, a: int, b: int) -> Result:
    """Axes a and b swapped."""
    return np.swapaxes(x, a, b), (lambda g: np.swapaxes(g, a, b),)


def expand(x: Array, *, shape: tuple[int, ...]) -> Result:
    """x broadcast to a larger shape, without a copy."""
    return np.broadcast_to(x, shape), (lambda g: g,)


def index(x: Array, *, where: Any) -> Result:
    """x[where]; an entry taken several times collects the gradients of all."""

    def vjp(g: Array) -> Array:
        gradient = np.zeros(x.shape, g.dtype)
        np.add.at(gradient, where, g)
        return gradient

    def vjp_of_view(g: Array) -> Array:
        gradient = np.zeros(x.shape, g.dtype)
        gradient[where] = g
        return gradient

    once = isinstance(where, _ONCE) or (isinstance(where, tuple) and all(isinstance(part, _ONCE) for part in where))
    return x[where], (vjp_of_view if once else vjp,)


_ONCE = (int, np.integer, slice, type(None), type(...))  # indices that take no entry twice


def tril(x: Array, *, diagonal: int = 0) -> Result:
    """The lower triangle of the last two axes; above the given diagonal, zeros."""
    return np.tril(x, diagonal), (lambda g: np.tril(g, diagonal),)


def concatenate(*arrays: Array, axis: int = 0) -> Result:
    """The arrays one after another along an axis they have."""
    value = np.concatenate(arrays, axis)
    ends = np.cumsum([x.shape[axis] for x in arrays])

    def take(i: int) -> Vjp:
        return lambda g: np.split(g, ends[:-1], axis)[i]

    return value, tuple(take(i) for i in range(len(arrays)))


def stack(*arrays: Array, axis: int = 0) -> Result:
    """The arrays one after another along a new axis."""

    def take(i: int) -> Vjp:
        return lambda g: np.take(g, i, axis)

    return np.stack(arrays, axis), tuple(take(i) for i in range(len(arrays)))
