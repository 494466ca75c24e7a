"""Tensor: an array that remembers how it was made, and backward, which walks that memory.

A tensor can only be made from tensors that exist, so *birth order is a topological order*: backward visits the
tensors from the youngest to the oldest, and when it comes to one, everything made from it has been visited. No
recursion and no sort are needed, however deep the graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from heapq import heappop, heappush
from typing import Any

import numpy as np

from tinygpt import ops
from tinygpt.memory import keep_freed_memory

Shape = int | tuple[int, ...]

_Sources = tuple[tuple["Tensor", ops.Vjp], ...]

_births = itertools.count(0, -1)  # downwards, so that the youngest is the smallest and a heap gives it first
_recording: ContextVar[bool] = ContextVar("_recording", default=True)

keep_freed_memory()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside `with no_grad():` operations compute values only, and remember nothing."""
    before = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(before)


class Tensor:
    """An array with a gradient.

    `data` may be an array, a number or nested lists of numbers; an ndarray of the right dtype is shared, not copied.
    `dtype` follows NumPy's rules (Python floats give float64). With `requires_grad`, `backward` fills `grad`.

    Raises: TypeError where a tensor that requires gradients is not floating, or where data holds tensors.
    """

    __slots__ = ("__weakref__", "_birth", "_requires_grad", "_retains_grad", "_sources", "data", "grad")

    data: Any  # an ndarray, or a NumPy scalar for zero dimensions
    grad: Any  # of data's shape and dtype, or None; may share memory with others: rebind it, never write into it
    _sources: _Sources | None  # what it was made from; () for a leaf; None once freed

    def __init__(self, data: Any, dtype: Any = None, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            data = data.data
        elif _holds_tensors(data):
            raise TypeError("data must hold numbers, got tensors, whose gradients would be lost: use Tensor.stack")
        array = np.asarray(data, dtype)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"data must hold real numbers, got dtype {array.dtype}: pass floats, ints or bools")
        self.data = array if array.ndim else array[()]
        self.grad = None
        self._birth = next(_births)
        self._sources = ()
        self._retains_grad = False
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` computes a gradient for this tensor; may be set on leaves."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise TypeError(f"only floating tensors have gradients, got dtype {self.data.dtype}: pass dtype=float")
        if self._sources != ():
            raise ValueError("requires_grad is set on leaves, but this tensor is a result: take .detach() first")
        self._requires_grad = bool(value)

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.data.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim  # type: ignore[no-any-return]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers."""
        return self.data.dtype  # type: ignore[no-any-return]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return self.data.size  # type: ignore[no-any-return]

    def item(self) -> Any:
        """The one number in here, as a Python number."""
        return self.data.item()

    def numpy(self) -> Any:
        """The values as an ndarray, which shares this tensor's memory."""
        return np.asarray(self.data)

    def detach(self) -> Tensor:
        """The same values (and memory) as a leaf without a past."""
        return Tensor(self.data)

    def retain_grad(self) -> None:
        """Ask `backward` to fill `grad` here too, though this tensor is a result and not a leaf."""
        self._retains_grad = True

    def zero_grad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor by each leaf below it into that leaf's `grad`, and free the graph.

        `gradient` is the loss's gradient by this tensor (same shape); a scalar may leave it out: it is 1 then.
        All leaves receive their gradients at the end, or, if anything fails on the way, none does.

        Raises: ValueError where a gradient is needed or has another shape; RuntimeError where there is no graph.
        """
        if not self._requires_grad:
            raise RuntimeError(
                "backward() needs a tensor made from one with requires_grad=True, but none was involved here: "
                "set it on the parameters, and compute outside no_grad()"
            )
        flowing = {self._birth: (self, _first_gradient(self, gradient))}  # tensors whose gradient is on its way
        heap = [self._birth] if self._sources != () else []  # the results among them, the youngest on top
        while heap:
            tensor, g = flowing.pop(heappop(heap))
            sources = tensor._sources
            if sources is None:
                raise RuntimeError(
                    "backward() already went through this graph and freed it: "
                    "add the losses and call it once, or pass retain_graph=True the first time"
                )
            if tensor._retains_grad:
                tensor.grad = g if tensor.grad is None else tensor.grad + g
            if not retain_graph:
                tensor._sources = None
            for source, vjp in sources:
                flow, data, birth = vjp(g), source.data, source._birth
                if flow.shape != data.shape or flow.dtype is not data.dtype:
                    flow = _match(flow, data)
                if birth in flowing:
                    flow = flowing[birth][1] + flow
                elif source._sources != ():
                    heappush(heap, birth)
                flowing[birth] = source, flow
        for leaf, g in flowing.values():
            leaf.grad = g if leaf.grad is None else leaf.grad + g

    # --- operations: each is a rule of ops.py, recorded ---------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return _binary(ops.add, self, other)

    def __radd__(self, other: Any) -> Tensor:
        return _binary(ops.add, other, self)

    def __sub__(self, other: Any) -> Tensor:
        return _binary(ops.subtract, self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return _binary(ops.subtract, other, self)

    def __mul__(self, other: Any) -> Tensor:
        return _binary(ops.multiply, self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return _binary(ops.multiply, other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return _binary(ops.divide, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _binary(ops.divide, other, self)

    def __pow__(self, other: Any) -> Tensor:
        if type(other) in (int, float) and other == 2 and self.data.dtype.kind == "f":
            return _unary(ops.square, self)  # powers cost three times as much
        return _binary(ops.power, self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return _binary(ops.power, other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return _binary(ops.matmul, self, _array(other))

    def __rmatmul__(self, other: Any) -> Tensor:
        return _binary(ops.matmul, _array(other), self)

    def __neg__(self) -> Tensor:
        return _unary(ops.negative, self)

    def __abs__(self) -> Tensor:
        return _unary(ops.absolute, self)

    def __lt__(self, other: Any) -> Tensor:
        return Tensor(self.data < _data(other))

    def __le__(self, other: Any) -> Tensor:
        return Tensor(self.data <= _data(other))

    def __gt__(self, other: Any) -> Tensor:
        return Tensor(self.data > _data(other))

    def __ge__(self, other: Any) -> Tensor:
        return Tensor(self.data >= _data(other))

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return Tensor(self.data == _data(other))

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return Tensor(self.data != _data(other))

    __hash__ = object.__hash__  # a tensor is itself, whatever numbers it equals

    def exp(self) -> Tensor:
        """eˣ."""
        return _unary(ops.exp, self)

    def log(self) -> Tensor:
        """The natural logarithm."""
        return _unary(ops.log, self)

    def sqrt(self) -> Tensor:
        """√x."""
        return _unary(ops.sqrt, self)

    def sin(self) -> Tensor:
        """sin x, x in radians."""
        return _unary(ops.sin, self)

    def cos(self) -> Tensor:
        """cos x, x in radians."""
        return _unary(ops.cos, self)

    def abs(self) -> Tensor:
        """|x|, with slope 0 at 0."""
        return _unary(ops.absolute, self)

    def tanh(self) -> Tensor:
        """The hyperbolic tangent."""
        return _unary(ops.tanh, self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + e⁻ˣ)."""
        return _unary(ops.sigmoid, self)

    def relu(self) -> Tensor:
        """max(x, 0), with slope 0 at 0."""
        return _unary(ops.relu, self)

    def gelu(self) -> Tensor:
        """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), GPT-2's smooth relu."""
        return _unary(ops.gelu, self)

    def maximum(self, other: Any) -> Tensor:
        """The larger of the two, elementwise; ties share the gradient equally."""
        return _binary(ops.maximum, self, other)

    def minimum(self, other: Any) -> Tensor:
        """The smaller of the two, elementwise; ties share the gradient equally."""
        return _binary(ops.minimum, self, other)

    def sum(self, axis: ops.Axis = None, keepdims: bool = False) -> Tensor:
        """The sum over an axis, several or all."""
        return _unary(ops.sum, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: ops.Axis = None, keepdims: bool = False) -> Tensor:
        """The mean over an axis, several or all."""
        return _unary(ops.mean, self, axis=axis, keepdims=keepdims)

    def max(self, axis: ops.Axis = None, keepdims: bool = False) -> Tensor:
        """The largest over an axis, several or all; ties share the gradient equally."""
        return _unary(ops.max, self, axis=axis, keepdims=keepdims)

    def min(self, axis: ops.Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest over an axis, several or all; ties share the gradient equally."""
        return _unary(ops.min, self, axis=axis, keepdims=keepdims)

    def var(self, axis: ops.Axis = None, keepdims: bool = False, ddof: int = 0) -> Tensor:
        """The variance over an axis, several or all: squared distances from the mean over n − ddof."""
        return _unary(ops.var, self, axis=axis, keepdims=keepdims, ddof=ddof)

    def softmax(self, axis: int = -1) -> Tensor:
        """eˣ / Σ eˣ along the axis."""
        return _unary(ops.softmax, self, axis=axis)

    def log_softmax(self, axis: int = -1) -> Tensor:
        """x − log Σ eˣ along the axis."""
        return _unary(ops.log_softmax, self, axis=axis)

    def dot(self, other: Any) -> Tensor:
        """NumPy's dot: the inner product of vectors, the product of matrices."""
        if self.ndim == 0 or np.ndim(_data(other)) == 0:
            return _binary(ops.multiply, self, other)
        return _binary(ops.dot, self, _array(other))

    def reshape(self, *shape: Any) -> Tensor:
        """The same numbers, in order, in another shape; one length may be −1."""
        return _unary(ops.reshape, self, shape=_flat(shape))

    def permute(self, *dims: Any) -> Tensor:
        """The axes in another order: axis i of the result is axis dims[i] of this."""
        return _unary(ops.permute, self, dims=_flat(dims))

    def transpose(self, a: int, b: int) -> Tensor:
        """Axes a and b swapped."""
        return _unary(ops.transpose, self, a=a, b=b)

    def expand(self, *shape: Any) -> Tensor:
        """Broadcast to a larger shape; −1 keeps an axis as it is."""
        lengths = _flat(shape)
        own = (1,) * (len(lengths) - self.ndim) + self.shape
        return _unary(ops.expand, self, shape=tuple(o if n == -1 else n for n, o in zip(lengths, own, strict=False)))

    def tril(self, diagonal: int = 0) -> Tensor:
        """The lower triangle of the last two axes; zeros above the given diagonal."""
        return _unary(ops.tril, self, diagonal=diagonal)

    def __getitem__(self, where: Any) -> Tensor:
        where = tuple(map(_unwrapped, where)) if isinstance(where, tuple) else _unwrapped(where)
        return _unary(ops.index, self, where=where)

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise TypeError("only a tensor with axes can be iterated over, but this one is a single number")
        return (self[i] for i in range(len(self)))

    @staticmethod
    def where(condition: Any, a: Any, b: Any) -> Tensor:
        """a where the condition holds, b elsewhere."""
        return apply(ops.where, a, b, condition=_data(condition))

    @staticmethod
    def concatenate(tensors: Sequence[Any], axis: int = 0) -> Tensor:
        """The tensors one after another along an axis they have."""
        return apply(ops.concatenate, *_tensors(tensors), axis=axis)

    @staticmethod
    def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
        """The tensors one after another along a new axis."""
        return apply(ops.stack, *_tensors(tensors), axis=axis)

    # --- new tensors --------------------------------------------------------------------------------------------------

    @staticmethod
    def zeros(shape: Shape, dtype: Any = None, requires_grad: bool = False) -> Tensor:
        """Zeros of the given shape."""
        return Tensor(np.zeros(shape, dtype), requires_grad=requires_grad)

    @staticmethod
    def ones(shape: Shape, dtype: Any = None, requires_grad: bool = False) -> Tensor:
        """Ones of the given shape."""
        return Tensor(np.ones(shape, dtype), requires_grad=requires_grad)

    @staticmethod
    def uniform(
        shape: Shape,
        low: float = 0.0,
        high: float = 1.0,
        rng: np.random.Generator | None = None,
        dtype: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        """Random numbers, all equally likely from low to high; drawn from rng, or from a fresh generator."""
        return Tensor((rng or np.random.default_rng()).uniform(low, high, shape), dtype, requires_grad)

    @staticmethod
    def normal(
        shape: Shape,
        mean: float = 0.0,
        std: float = 1.0,
        rng: np.random.Generator | None = None,
        dtype: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        """Random numbers from the bell curve of that mean and standard deviation; drawn from rng, or a fresh one."""
        return Tensor((rng or np.random.default_rng()).normal(mean, std, shape), dtype, requires_grad)

    # --- NumPy and Python --------------------------------------------------------------------------------------------

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.data, dtype) if copy else np.asarray(self.data, dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Tensor:
        """np.exp(tensor) or array * tensor: what NumPy calls for its own functions becomes the rule of that name."""
        if method == "__call__" and not options:
            if ufunc in _COMPARISONS:
                return Tensor(ufunc(*map(_data, inputs)))
            rule = getattr(ops, ufunc.__name__, None)
            if rule is not None:
                return apply(rule, *inputs)
        raise TypeError(f"np.{ufunc.__name__} has no rule for tensors: use a Tensor operation, or .numpy() for values")

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """np.concatenate([tensor, …]) would lose the gradients without a word: it is refused instead."""
        if function in _HARMLESS:
            return function(*(_unwrapped(a) for a in args), **{key: _unwrapped(a) for key, a in kwargs.items()})
        raise TypeError(
            f"np.{function.__name__} would lose the gradients of tensors: use a Tensor operation, or .numpy()"
        )

    def __reduce__(self) -> Any:
        """Copies and pickles are leaves of their own, with the values and the gradient but without the past."""
        return _leaf, (self.data, self._requires_grad, self.grad)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __repr__(self) -> str:
        values = np.array2string(np.asarray(self.data), separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype in (np.float64, np.int64, np.bool_) else f", dtype={self.dtype}"
        return f"Tensor({values}{dtype}{', requires_grad=True' if self._requires_grad else ''})"


_HARMLESS = {np.shape, np.ndim, np.size, np.array_equal, np.allclose, np.isclose, np.array2string}
_COMPARISONS = {np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal}


def apply(rule: Callable[..., ops.Result], *operands: Any, **options: Any) -> Tensor:
    """Run a rule on tensors, arrays and numbers, and remember it where one of them requires gradients.

    This is how every operation of Tensor is made, and how to use a rule of your own.
    """
    try:
        value, vjps = rule(*[x.data if isinstance(x, Tensor) else x for x in operands], **options)
    except ValueError as error:
        raise _shape_error(rule, operands, error) from error
    pairs = zip(operands, vjps, strict=True)
    return _result(value, tuple([(x, vjp) for x, vjp in pairs if isinstance(x, Tensor) and x._requires_grad]))


def _unary(rule: Callable[..., ops.Result], x: Tensor, **options: Any) -> Tensor:
    """`apply` for one tensor, written out: half of the time of a small operation is Python's."""
    try:
        value, (vjp,) = rule(x.data, **options)
    except ValueError as error:
        raise _shape_error(rule, (x,), error) from error
    return _result(value, ((x, vjp),) if x._requires_grad else ())


def _binary(rule: Callable[..., ops.Result], x: Any, y: Any) -> Tensor:
    """`apply` for two operands, written out for the same reason."""
    try:
        a, b = x.data if isinstance(x, Tensor) else _data(x), y.data if isinstance(y, Tensor) else _data(y)
        value, (vjp_x, vjp_y) = rule(a, b)
    except ValueError as error:
        raise _shape_error(rule, (x, y), error) from error
    sources: _Sources = ((x, vjp_x),) if isinstance(x, Tensor) and x._requires_grad else ()
    if isinstance(y, Tensor) and y._requires_grad:
        sources += ((y, vjp_y),)
    return _result(value, sources)


def _result(value: Any, sources: _Sources) -> Tensor:
    """A tensor made from others."""
    result = Tensor.__new__(Tensor)
    result.data = value
    result.grad = None
    result._birth = next(_births)
    result._retains_grad = False
    result._sources = sources = sources if _recording.get() else ()
    result._requires_grad = sources != ()
    return result


def _shape_error(rule: Callable[..., Any], operands: tuple[Any, ...], error: ValueError) -> ValueError:
    shapes = " and ".join(str(np.shape(_data(x))) for x in operands)
    return ValueError(f"{rule.__name__} cannot take shape {shapes} ({error}): reshape an operand")


def _first_gradient(tensor: Tensor, gradient: Any) -> Any:
    if gradient is None:
        if tensor.ndim > 0:
            raise ValueError(
                f"backward() starts from a scalar, but this tensor has shape {tensor.shape}: "
                "take .sum() or .mean() first"
            )
        return tensor.dtype.type(1)
    g = np.asarray(_data(gradient), tensor.dtype)
    if g.shape != tensor.shape:
        raise ValueError(f"gradient must have this tensor's shape {tensor.shape}, got {g.shape}: reshape it")
    return g


def _match(g: Any, data: Any) -> Any:
    """Undo broadcasting: sum the gradient over the axes along which data was repeated; and give it data's dtype."""
    extra = g.ndim - data.ndim
    stretched = [a + extra for a, n in enumerate(data.shape) if n == 1 and g.shape[a + extra] != 1]
    axes = (*range(extra), *stretched)
    if axes:
        g = np.add.reduce(g, axis=axes, keepdims=True)
    return g.reshape(data.shape).astype(data.dtype, copy=False)


def _leaf(data: Any, requires_grad: bool, grad: Any) -> Tensor:
    tensor = Tensor(data, requires_grad=requires_grad)
    tensor.grad = grad
    return tensor


def _holds_tensors(data: Any) -> bool:
    return isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) or _holds_tensors(item) for item in data)


def _data(x: Any) -> Any:
    """The values of an operand: numbers and arrays as they are, the rest as a Tensor takes or refuses it."""
    if isinstance(x, Tensor):
        return x.data
    return x if isinstance(x, (int, float, np.ndarray, np.generic)) else Tensor(x).data


def _unwrapped(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _array(x: Any) -> Any:
    return x if isinstance(x, Tensor) else np.asarray(x)


def _tensors(items: Sequence[Any]) -> list[Tensor]:
    dtype = next((item.dtype for item in items if isinstance(item, Tensor)), None)
    return [
        item if isinstance(item, Tensor) else Tensor(item, dtype if isinstance(item, (int, float)) else None)
        for item in items
    ]


def _flat(lengths: tuple[Any, ...]) -> tuple[int, ...]:
    """Lengths given one by one, or as one sequence."""
    return tuple(lengths[0]) if len(lengths) == 1 and isinstance(lengths[0], Sequence) else lengths
