"""Optimizers: an optimizer is its formula.

`Optimizer` walks a module's parameters and keeps their state; a subclass writes one method, `apply_single(parameter,
state)`, which returns the parameter's new value. Every class here computes, step for step, what torch.optim's class of
that name computes. The letters are those of ARCHITECTURE.md: g gradient, w weight, v velocity or second moment,
m first moment, t step, b1 and b2 the betas.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from tinygpt import checkpoint
from tinygpt.blocks import BLOCK, in_blocks
from tinygpt.module import Module, require_same_names
from tinygpt.state import OptimizerState, SavedState, read_state, read_state_list, state_content
from tinygpt.tensor import Tensor

Method = TypeVar("Method", bound=Callable[..., Any])
Rate = float | np.ndarray | Callable[[int], float]  # a learning rate, or a schedule of the updates done so far


def elementwise(method: Method) -> Method:
    """Mark an `apply_single` that treats every number of a parameter alike and apart from the others.

    Such a method may be run on pieces of a parameter, or on many points at once. An override loses the mark.
    """
    method.elementwise = True  # type: ignore[attr-defined]
    return method


class Optimizer:
    """The base of every optimizer: `update()` gives each trainable parameter of a module its new value.

    `state` holds what the formula remembers, by parameter name; `updates` counts the updates done. A hyperparameter
    called `learning_rate` may be a function of that count (a schedule); reading it gives the number of the moment.
    """

    _learning_rate: Any = None

    def __init__(self, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(
                f"{type(self).__name__} needs a Module, got {type(module).__name__}: pass the model, not its parameters"
            )
        self.module = module
        self.state = OptimizerState()
        self.updates = 0

    @property
    def learning_rate(self) -> Any:
        """The step size λ for the coming update, a number ≥ 0 (or an array that broadcasts against the parameters)."""
        return self.learning_rate_at(self.updates)

    @learning_rate.setter
    def learning_rate(self, rate: Rate) -> None:
        self._learning_rate = rate if callable(rate) else _number("learning_rate", rate)

    def learning_rate_at(self, updates: int) -> Any:
        """The learning rate for the update that so many others came before."""
        rate = self._learning_rate
        if rate is None:
            raise AttributeError(f"{type(self).__name__} has no learning_rate: set self.learning_rate in its __init__")
        return _number("learning_rate", rate(updates)) if callable(rate) else rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """The new value of one parameter, from `parameter.data`, `parameter.grad` and its state, which it may write.

        Writes into neither array: others can see them.
        """
        raise NotImplementedError(f"{type(self).__name__}.apply_single(parameter, state): yours to write")

    def update(self) -> None:
        """Give every trainable parameter that has a gradient the value that `apply_single` returns for it.

        Raises: ValueError where that value has another shape than the parameter, or a schedule gives no rate.
        """
        if callable(self._learning_rate):
            _ = self.learning_rate  # a schedule that fails does so before anything has changed
        for name, parameter in self.module.named_parameters():
            if parameter.grad is not None and parameter.requires_grad:
                apply = self.apply_single if parameter.size <= 2 * BLOCK else self._apply_to_large
                value, old = apply(parameter, self.state[name]), parameter.data
                if type(value) is not type(old) or value.shape != old.shape or value.dtype != old.dtype:
                    value = self._fitted(name, value, old)
                parameter.data = value
        self.updates += 1

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        self.module.zero_grad()

    def save_state(self, file: checkpoint.File) -> None:
        """Write the state to a JSON file, exactly, and whole or not at all.

        Raises: TypeError for a state that is neither numbers nor arrays; OSError from the disk.
        """
        checkpoint.save(file, state_of(self))

    def load_state(self, file_or_weights: checkpoint.File | Sequence[tuple[str, Any]], strict: bool = True) -> None:
        """Take the state from a file that `save_state` wrote, or from the list that `state.flatten()` gives.

        Strict wants the names and shapes of this module's trainable parameters; to continue is then bit-identical to
        never having stopped. `strict=False` takes, parameter by parameter, what fits by name and shape, and leaves the
        rest. A list carries neither class nor count of updates; an empty one is the state of an optimizer without any.

        Raises: ValueError that names what differs; nothing has changed then.
        """
        if isinstance(file_or_weights, (str, os.PathLike)):
            take_state(self, os.path.basename(file_or_weights), checkpoint.load(file_or_weights), strict)
        else:
            self._take(read_state_list(file_or_weights, dict(self.module.named_parameters())), strict)

    def _take(self, saved: SavedState, strict: bool) -> None:
        own = dict(self.module.named_parameters())
        misfits = {n: shape for n, shape in saved.shapes.items() if n not in own or shape != own[n].shape}
        if not strict:
            fitting = {name: saved.state[name] for name in saved.shapes if name in saved.state and name not in misfits}
            self.state = OptimizerState({**self.state, **fitting})
            return
        if saved.shapes or saved.updates is not None:
            trainable = [name for name, p in own.items() if p.requires_grad]
            frozen = own.keys() - set(trainable)  # what was trained once may rest now, with its state
            require_same_names(saved.source, [name for name in saved.shapes if name not in frozen], trainable)
        for name, shape in misfits.items():
            raise ValueError(
                f"{name} must have shape {own[name].shape}, but in {saved.source} it has {shape}: "
                "build the module whose state was saved, or pass strict=False to leave it out"
            )
        self.state = saved.state
        self.updates = self.updates if saved.updates is None else saved.updates

    def _apply_to_large(self, parameter: Tensor, state: OptimizerState) -> Any:
        """`apply_single`, block by block where that gives the same."""
        own = [x for value in vars(self).values() for x in (value if isinstance(value, tuple) else (value,))]
        if getattr(self.apply_single, "elementwise", False) and not any(isinstance(x, np.ndarray) for x in own):
            return in_blocks(self.apply_single, parameter, state)
        return self.apply_single(parameter, state)

    def _fitted(self, name: str, value: Any, old: Any) -> Any:
        """The returned value in the parameter's dtype, or a clear complaint."""
        here = f"{type(self).__name__}.apply_single must return an array of shape {old.shape} for {name}"
        if value is None:
            raise ValueError(f"{here}, got None: end it with return")
        value = np.asarray(value.data if isinstance(value, Tensor) else value)
        if value.shape != old.shape:
            raise ValueError(f"{here}, got shape {value.shape}: return the parameter's new value")
        return value.astype(old.dtype, casting="same_kind")[()]  # [()]: a scalar for zero dimensions


def state_of(optimizer: Optimizer) -> dict[str, Any]:
    """What `save_state` writes, to be kept as a part of another file."""
    own = dict(optimizer.module.named_parameters())
    return state_content(type(optimizer).__name__, optimizer.updates, optimizer.state, own)


def take_state(optimizer: Optimizer, source: str, content: Any, strict: bool = True) -> None:
    """Give the optimizer the state that `state_of` told, as `load_state` does; source is its file's name, for errors.

    Raises: ValueError that names what differs; nothing has changed then.
    """
    own = dict(optimizer.module.named_parameters())
    optimizer._take(read_state(source, content, type(optimizer).__name__, own), strict)


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum, weight decay, dampening and Nesterov's look-ahead.

        g = ∂loss/∂w + weight_decay · w
        v = momentum · v + (1 − dampening) · g          (the first v is g itself)
        w = w − learning_rate · v                       (Nesterov: g + momentum · v in place of v)

    Raises: ValueError unless all are ≥ 0, and, for nesterov, momentum > 0 and dampening = 0.
    Source: Sutskever et al. 2013, section 2; the conventions are PyTorch's.
    https://proceedings.mlr.press/v28/sutskever13.html
    """

    def __init__(
        self,
        module: Module,
        learning_rate: Any,
        momentum: Any = 0.0,
        weight_decay: Any = 0.0,
        dampening: Any = 0.0,
        nesterov: bool = False,
    ) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.momentum = _number("momentum", momentum)
        self.weight_decay = _number("weight_decay", weight_decay)
        self.dampening = _number("dampening", dampening)
        self.nesterov = bool(nesterov)
        if nesterov and (np.any(self.momentum == 0) or np.any(self.dampening != 0)):
            raise ValueError(
                "nesterov needs momentum > 0 and dampening == 0, "
                f"got momentum={momentum} and dampening={dampening}: change them, or pass nesterov=False"
            )

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of (momentum) gradient descent."""
        w, g, mu = parameter.data, parameter.grad, self.momentum
        if _acts(self.weight_decay):
            g = g + self.weight_decay * w
        if _acts(mu):
            tau = self.dampening * (mu != 0)
            v = mu * state["v"] + (1 - tau) * g if "v" in state else +g  # a copy
            state["v"] = v
            g = g + mu * v if self.nesterov else v
        return w - self.learning_rate * g


class Adam(Optimizer):
    """Adam: a step of gradient mean over gradient size, each an average that forgets, corrected for its start at zero.

        m = β₁ m + (1 − β₁) g          m̂ = m / (1 − β₁ᵗ)
        v = β₂ v + (1 − β₂) g²         v̂ = v / (1 − β₂ᵗ)
        w = w − learning_rate · m̂ / (√v̂ + eps)

    Weight decay enters the gradient, g = ∂loss/∂w + weight_decay · w; AdamW keeps it apart.

    Raises: ValueError unless learning_rate, eps, weight_decay ≥ 0 and each beta is in [0, 1).
    Source: Kingma and Ba 2015, algorithm 1. https://arxiv.org/abs/1412.6980
    """

    def __init__(
        self,
        module: Module,
        learning_rate: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: Any = 1e-8,
        weight_decay: Any = 0.0,
    ) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.betas = _pair_of_betas(betas)
        self.eps = _number("eps", eps)
        self.weight_decay = _number("weight_decay", weight_decay)

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of Adam."""
        w, g, (b1, b2) = parameter.data, parameter.grad, self.betas
        if _acts(self.weight_decay):
            g = g + self.weight_decay * w
        t = state.get("t", 0) + 1
        m = b1 * state.get("m", 0.0) + (1 - b1) * g
        v = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        state.update(t=t, m=m, v=v)
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        return w - self.learning_rate * m_hat / (np.sqrt(v_hat) + self.eps)


class AdamW(Optimizer):
    """Adam with decoupled weight decay: the weight shrinks by itself, and the averages never see it.

        w = w − learning_rate · weight_decay · w − learning_rate · m̂ / (√v̂ + eps)

    Raises: ValueError unless learning_rate, eps, weight_decay ≥ 0 and each beta is in [0, 1).
    Source: Loshchilov and Hutter 2019, algorithm 2; that the learning rate scales the decay is PyTorch's convention.
    https://arxiv.org/abs/1711.05101
    """

    def __init__(
        self,
        module: Module,
        learning_rate: Any = 1e-3,
        betas: tuple[Any, Any] = (0.9, 0.999),
        eps: Any = 1e-8,
        weight_decay: Any = 0.01,
    ) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.betas = _pair_of_betas(betas)
        self.eps = _number("eps", eps)
        self.weight_decay = _number("weight_decay", weight_decay)

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of AdamW: Adam's lines again, with the decay moved from the first to the last."""
        w, g, (b1, b2) = parameter.data, parameter.grad, self.betas
        t = state.get("t", 0) + 1
        m = b1 * state.get("m", 0.0) + (1 - b1) * g
        v = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        state.update(t=t, m=m, v=v)
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        return w - self.learning_rate * (self.weight_decay * w + m_hat / (np.sqrt(v_hat) + self.eps))


class RMSProp(Optimizer):
    """Gradient descent in which each weight divides by the recent size of its own gradients.

        v = alpha · v + (1 − alpha) · g²
        w = w − learning_rate · g / (√v + eps)

    Raises: ValueError unless learning_rate, eps ≥ 0 and alpha is in [0, 1].
    Source: Tieleman and Hinton 2012, lecture 6.5 of Neural Networks for Machine Learning.
    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf
    """

    def __init__(self, module: Module, learning_rate: Any, alpha: Any = 0.99, eps: Any = 1e-8) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.alpha = _number("alpha", alpha, high=1)
        self.eps = _number("eps", eps)

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of RMSProp."""
        w, g = parameter.data, parameter.grad
        v = self.alpha * state.get("v", 0.0) + (1 - self.alpha) * g**2
        state["v"] = v
        return w - self.learning_rate * g / (np.sqrt(v) + self.eps)


class AdaGrad(Optimizer):
    """Gradient descent in which each weight divides by the root of all its squared gradients so far.

        v = v + g²
        w = w − learning_rate · g / (√v + eps)

    Raises: ValueError unless learning_rate, eps ≥ 0.
    Source: Duchi, Hazan and Singer 2011, section 1.1. https://jmlr.org/papers/v12/duchi11a.html
    """

    def __init__(self, module: Module, learning_rate: Any, eps: Any = 1e-10) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.eps = _number("eps", eps)

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of AdaGrad."""
        w, g = parameter.data, parameter.grad
        v = state.get("v", 0.0) + g**2
        state["v"] = v
        return w - self.learning_rate * g / (np.sqrt(v) + self.eps)


def clip_gradients(module: Module, max_norm: float) -> float:
    """Shorten all gradients of a module together, seen as one vector, to that length; returns the length before.

        g = g · min(1, max_norm / (‖g‖ + 1e-6))

    Raises: ValueError unless max_norm ≥ 0.
    Source: Pascanu, Mikolov and Bengio 2013, algorithm 1; the 1e-6 is PyTorch's. https://arxiv.org/abs/1211.5063
    """
    limit = _number("max_norm", max_norm)
    clipped = [parameter for parameter in module.parameters() if parameter.grad is not None]
    norm = float(np.sqrt(sum(float(np.vdot(p.grad, p.grad)) for p in clipped)))
    scale = limit / (norm + 1e-6)
    if scale < 1:
        for parameter in clipped:
            parameter.grad = parameter.grad * scale
    return norm


def _acts(hyperparameter: Any) -> bool:
    """Whether a term is there at all: where its factor is the number 0 it is left out (0 · ∞ would be NaN)."""
    return isinstance(hyperparameter, np.ndarray) or hyperparameter != 0


def _number(name: str, value: Any, high: float = np.inf, below: float = np.inf) -> Any:
    """The value as a Python float (so that float32 stays float32) or an array, if all of it is within the limits."""
    array = np.asarray(value if isinstance(value, (int, float, np.generic, np.ndarray)) else "no number")
    if array.dtype.kind not in "biuf" or not np.all((array >= 0) & (array <= high) & (array < below)):
        limits = f"in [0, {high}]" if high < np.inf else f"in [0, {below})" if below < np.inf else ">= 0"
        raise ValueError(f"{name} must be {limits}, got {value!r}")
    return array if array.ndim else float(array)


def _pair_of_betas(betas: Any) -> tuple[Any, Any]:
    """The two betas, each in [0, 1)."""
    if not isinstance(betas, Sequence) or len(betas) != 2:
        raise ValueError(f"betas must be a pair of numbers in [0, 1), got {betas!r}")
    return _number("betas", betas[0], below=1), _number("betas", betas[1], below=1)
