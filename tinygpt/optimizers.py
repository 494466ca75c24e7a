"""Optimizers: an optimizer is its formula.

`Optimizer` walks a module's parameters and keeps their state; a subclass writes one method, `apply_single(parameter,
state)`, which returns the parameter's new value. Every class here computes, step for step, what torch.optim's class of
that name computes. The letters are those of ARCHITECTURE.md: g gradient, w weight, v velocity or second moment,
m first moment, t step, b1 and b2 the betas.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tinygpt import checkpoint
from tinygpt.module import Module, require_same_names
from tinygpt.tensor import Tensor

Method = TypeVar("Method", bound=Callable[..., Any])
Rate = float | np.ndarray | Callable[[int], float]  # a learning rate, or a schedule of the updates done so far


class OptimizerState(dict[str, Any]):
    """What an optimizer remembers: a dict of dicts that come into being when they are first read.

    `state["layers.0.weight"]["m"]` needs no set-up, and `.get` remembers the default that it returns.
    """

    def __missing__(self, key: str) -> OptimizerState:
        self[key] = OptimizerState()
        return self[key]  # type: ignore[no-any-return]

    def get(self, key: str, default: Any = None) -> Any:
        """The value at key; where there is none, the default, which is stored."""
        return self.setdefault(key, default)

    def flatten(self) -> list[tuple[str, Any]]:
        """Every value with its path: `[("layers.0.weight.m", array), …]`."""
        return list(_leaves(self, ""))


def _leaves(state: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in state.items():
        if isinstance(value, OptimizerState):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


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
        rate = self._learning_rate
        return _number("learning_rate", rate(self.updates)) if callable(rate) else rate

    @learning_rate.setter
    def learning_rate(self, rate: Rate) -> None:
        self._learning_rate = rate if callable(rate) else _number("learning_rate", rate)

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """The new value of one parameter, from `parameter.data`, `parameter.grad` and its state, which it may write.

        Writes into neither array: others can see them.
        """
        raise NotImplementedError(f"{type(self).__name__}.apply_single(parameter, state): yours to write")

    def update(self) -> None:
        """Give every trainable parameter that has a gradient the value that `apply_single` returns for it.

        Raises: ValueError where that value has another shape than the parameter.
        """
        for name, parameter in self.module.named_parameters():
            if parameter.grad is not None and parameter.requires_grad:
                value = self.apply_single(parameter, self.state[name])
                if isinstance(value, Tensor):
                    value = value.data
                old = parameter.data
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
        own = self._trainable()
        checkpoint.save(
            file,
            {
                "kind": "optimizer state",
                "class": type(self).__name__,
                "updates": self.updates,
                "parameters": {name: {"shape": list(p.shape), "dtype": p.dtype.name} for name, p in own.items()},
                "state": {name: self.state[name] for name in own if name in self.state},
            },
        )

    def load_state(self, file_or_weights: checkpoint.File | Sequence[tuple[str, Any]], strict: bool = True) -> None:
        """Take the state from a file that `save_state` wrote, or from the list that `state.flatten()` gives.

        Strict wants the names and shapes of this module's trainable parameters; to continue is then bit-identical to
        never having stopped. `strict=False` takes, parameter by parameter, what fits by name and shape, and leaves the
        rest. A list carries neither class nor count of updates; an empty one is the state of an optimizer without any.

        Raises: ValueError that names what differs; nothing has changed then.
        """
        own = self._trainable()
        if isinstance(file_or_weights, (str, os.PathLike)):
            source = Path(file_or_weights).name
            content = checkpoint.load(file_or_weights)
            self._require_own_kind(source, content)
            shapes = {name: tuple(saved["shape"]) for name, saved in content["parameters"].items()}
            state = _restored(content["state"])
            for name in state:
                if name in own and content["parameters"][name]["dtype"] != own[name].dtype.name:
                    state[name] = _converted(state[name], own[name].dtype)
            updates = content["updates"]
        else:
            source = "the list"
            state = _gathered(file_or_weights, own)
            shapes = {name: _shape(slots, own[name].shape if name in own else ()) for name, slots in state.items()}
            updates = self.updates
        if strict:
            if shapes or source != "the list":
                require_same_names(source, shapes, own)
            for name, shape in shapes.items():
                if shape != own[name].shape:
                    raise ValueError(
                        f"{name} must have shape {own[name].shape}, but in {source} it has {shape}: "
                        "build the module whose state was saved, or pass strict=False to leave it out"
                    )
            self.state = state
            self.updates = updates
        else:
            fitting = [name for name in own if name in state and shapes.get(name) == own[name].shape]
            self.state = OptimizerState({**self.state, **{name: state[name] for name in fitting}})

    def _trainable(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.module.named_parameters() if p.requires_grad}

    def _fitted(self, name: str, value: Any, old: Any) -> Any:
        """The returned value in the parameter's dtype, or a clear complaint."""
        here = f"{type(self).__name__}.apply_single must return an array of shape {old.shape} for {name}"
        if value is None:
            raise ValueError(f"{here}, got None: end it with return")
        value = np.asarray(value)
        if value.shape != old.shape:
            raise ValueError(f"{here}, got shape {value.shape}: return the parameter's new value")
        return value.astype(old.dtype)[()]  # [()]: a scalar for zero dimensions

    def _require_own_kind(self, source: str, content: Any) -> None:
        if not isinstance(content, dict) or content.get("kind") != "optimizer state":
            raise ValueError(f"{source} must hold an optimizer's state, but it holds something else: pick another file")
        if content["class"] != type(self).__name__:
            raise ValueError(f"{source} holds the state of {content['class']}, not of {type(self).__name__}")


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
        w, mu, tau = parameter.data, self.momentum, self.dampening
        g = parameter.grad + self.weight_decay * w
        if isinstance(mu, np.ndarray) or mu > 0:
            v = mu * state["v"] + (1 - tau * (mu != 0)) * g if "v" in state else g
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
        w, (b1, b2) = parameter.data, self.betas
        g = parameter.grad + self.weight_decay * w
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
    Source: Loshchilov and Hutter 2019, algorithm 2. https://arxiv.org/abs/1711.05101
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


def _number(name: str, value: Any, high: float = np.inf) -> Any:
    """The value as a Python float (so that float32 stays float32), or as an array, if all of it is in [0, high]."""
    numbers = value if isinstance(value, np.ndarray) and value.ndim else None
    try:
        number = float(value) if numbers is None else numbers
        fits = bool(np.all((number >= 0) & (number <= high)))
    except (TypeError, ValueError):
        fits = False
    if not fits:
        limits = ">= 0" if high == np.inf else f"in [0, {high}]"
        raise ValueError(f"{name} must be {limits}, got {value!r}")
    return number


def _pair_of_betas(betas: Any) -> tuple[Any, Any]:
    """The two betas, each in [0, 1)."""
    if not isinstance(betas, Sequence) or len(betas) != 2:
        raise ValueError(f"betas must be a pair of numbers in [0, 1), got {betas!r}")
    checked = tuple(_number("betas", beta, high=1) for beta in betas)
    if any(np.any(beta == 1) for beta in checked):
        raise ValueError(f"betas must be in [0, 1), got {betas!r}: 1 never forgets, and never learns")
    return checked[0], checked[1]


def _restored(content: dict[str, Any]) -> OptimizerState:
    """Plain mappings as the OptimizerStates they were."""
    return OptimizerState({key: _restored(v) if isinstance(v, dict) else v for key, v in content.items()})


def _converted(state: OptimizerState, dtype: Any) -> OptimizerState:
    """The floating arrays of a state in the dtype of the parameter that they now serve."""
    return OptimizerState(
        {
            key: _converted(v, dtype)
            if isinstance(v, OptimizerState)
            else v.astype(dtype)
            if isinstance(v, np.ndarray) and v.dtype.kind == "f"
            else v
            for key, v in state.items()
        }
    )


def _gathered(weights: Sequence[tuple[str, Any]], own: dict[str, Tensor]) -> OptimizerState:
    """A flat list as the state it came from: each path begins with a parameter's name."""
    state = OptimizerState()
    for path, value in weights:
        names = [name for name in own if path.startswith(name + ".")]
        name = names[0] if names else path.rpartition(".")[0] or path
        slots = state[name]
        *groups, slot = path.removeprefix(name + ".").split(".")
        for group in groups:
            slots = slots[group]
        slots[slot] = value
    return state


def _shape(slots: OptimizerState, expected: tuple[int, ...]) -> tuple[int, ...]:
    """The parameter's shape as its slots tell it: that of the first array which does not broadcast against it."""
    for _, value in slots.flatten():
        shape = np.shape(value)
        try:
            fits = np.broadcast_shapes(shape, expected) == expected
        except ValueError:
            fits = False
        if not fits:
            return tuple(shape)
    return expected
