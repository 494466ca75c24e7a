"""Conventions: one name, several algorithms: what frameworks and papers call momentum, Adam or AMSGrad, compared.

Where a class of tinygpt.optimizers is one of the conventions it is used as it is; the others are written below it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygpt.lab.failure import AMSGrad, feed
from tinygpt.lab.surfaces import Surface, quadratic
from tinygpt.module import Module
from tinygpt.optimizers import SGD, Adam, AdamW, Optimizer, elementwise
from tinygpt.state import OptimizerState
from tinygpt.tensor import Tensor

# --- momentum --------------------------------------------------------------------------------------------------------


class RateInside(Optimizer):
    """Momentum whose velocity has the learning rate in it, so that a later λ does not change what was gathered before.

        v = momentum · v − learning_rate · g
        w = w + v                                     (Nesterov: w + momentum · v − learning_rate · g)

    Source: Sutskever et al. 2013, section 2; keras.optimizers.SGD. https://keras.io/api/optimizers/sgd/
    """

    def __init__(self, module: Module, learning_rate: Any, momentum: Any = 0.9, nesterov: bool = False) -> None:
        super().__init__(module)
        self.learning_rate, self.momentum, self.nesterov = learning_rate, momentum, nesterov

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step."""
        w, g, mu = parameter.data, parameter.grad, self.momentum
        v = mu * state.get("v", 0.0) - self.learning_rate * g
        state["v"] = v
        return w + (mu * v - self.learning_rate * g if self.nesterov else v)


class ZeroStart(Optimizer):
    """Dampened momentum whose velocity starts at zero, so that the first gradient is dampened like all others.

        v = momentum · v + (1 − dampening) · g        from v = 0
        w = w − learning_rate · v

    Source: mlx.optimizers.SGD. https://ml-explore.github.io/mlx/build/html/python/optimizers.html
    """

    def __init__(self, module: Module, learning_rate: Any, momentum: Any = 0.9, dampening: Any = 0.1) -> None:
        super().__init__(module)
        self.learning_rate, self.momentum, self.dampening = learning_rate, momentum, dampening

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step."""
        v = self.momentum * state.get("v", 0.0) + (1 - self.dampening) * parameter.grad
        state["v"] = v
        return parameter.data - self.learning_rate * v


# --- Adam ------------------------------------------------------------------------------------------------------------


def averages(gradient: Any, state: OptimizerState, betas: tuple[Any, Any]) -> tuple[Any, Any, int]:
    """Adam's two averages and its step, brought up to date: all Adams have these lines in common.

    m = β₁ m + (1 − β₁) g, v = β₂ v + (1 − β₂) g², t = t + 1, each from 0.
    """
    b1, b2 = betas
    t = state.get("t", 0) + 1
    m = b1 * state.get("m", 0.0) + (1 - b1) * gradient
    v = b2 * state.get("v", 0.0) + (1 - b2) * gradient**2
    state.update(t=t, m=m, v=v)
    return m, v, t


class EpsilonHat(Optimizer):
    """Adam with the corrections drawn out of the fraction, which leaves ε beside the uncorrected √v.

        w = w − learning_rate · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v + eps)

    This eps is worth eps / √(1 − β₂ᵗ) of the usual one: 32 times as much in the first step with β₂ = .999.

    Source: Kingma and Ba 2015, end of section 2; keras.optimizers.Adam. https://keras.io/api/optimizers/adam/
    """

    def __init__(self, module: Module, learning_rate: Any = 1e-3, betas: Any = (0.9, 0.999), eps: Any = 1e-8) -> None:
        super().__init__(module)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step."""
        b1, b2 = self.betas
        m, v, t = averages(parameter.grad, state, self.betas)
        rate = self.learning_rate * np.sqrt(1 - b2**t) / (1 - b1**t)
        return parameter.data - rate * m / (np.sqrt(v) + self.eps)


class EpsilonInside(Optimizer):
    """Adam with ε inside the root, where an eps is worth its root at least.

        w = w − learning_rate · m̂ / √(v̂ + eps)

    Source: optax.adam's eps_root. https://optax.readthedocs.io/en/latest/api/optimizers.html
    """

    def __init__(self, module: Module, learning_rate: Any = 1e-3, betas: Any = (0.9, 0.999), eps: Any = 1e-8) -> None:
        super().__init__(module)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step."""
        b1, b2 = self.betas
        m, v, t = averages(parameter.grad, state, self.betas)
        m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
        return parameter.data - self.learning_rate * m_hat / np.sqrt(v_hat + self.eps)


class Uncorrected(Optimizer):
    """Adam that does not correct its averages for their start at zero.

        w = w − learning_rate · m / (√v + eps)

    With the usual betas its first step is 3.16 times as long: (1 − β₁) / √(1 − β₂).

    Source: mlx.optimizers.Adam's default. https://ml-explore.github.io/mlx/build/html/python/optimizers.html
    """

    def __init__(self, module: Module, learning_rate: Any = 1e-3, betas: Any = (0.9, 0.999), eps: Any = 1e-8) -> None:
        super().__init__(module)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step."""
        m, v, _ = averages(parameter.grad, state, self.betas)
        return parameter.data - self.learning_rate * m / (np.sqrt(v) + self.eps)


class MaxCorrected(Optimizer):
    """AMSGrad that corrects v first and then takes the largest.

        v_max = max(v_max, v / (1 − β₂ᵗ))
        w = w − learning_rate · m̂ / (√v_max + eps)

    Source: optax.amsgrad. https://optax.readthedocs.io/en/latest/api/optimizers.html
    """

    def __init__(self, module: Module, learning_rate: Any = 1e-3, betas: Any = (0.9, 0.999), eps: Any = 1e-8) -> None:
        super().__init__(module)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step."""
        b1, b2 = self.betas
        m, v, t = averages(parameter.grad, state, self.betas)
        v_max = np.maximum(state.get("v_max", 0.0), v / (1 - b2**t))
        state["v_max"] = v_max
        return parameter.data - self.learning_rate * m / (1 - b1**t) / (np.sqrt(v_max) + self.eps)


# --- the switchboard -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convention:
    """One algorithm and who calls it so; `takes` are the settings that it has, beside the learning rate."""

    make: Callable[..., Optimizer]
    takes: tuple[str, ...]
    used_by: str
    source: str


_TORCH = "https://docs.pytorch.org/docs/stable/optim.html"
_KERAS = "https://keras.io/api/optimizers/"
_OPTAX = "https://optax.readthedocs.io/en/latest/api/optimizers.html"
_MLX = "https://ml-explore.github.io/mlx/build/html/python/optimizers.html"
_ADAMW = "Loshchilov and Hutter 2019, algorithm 2. https://arxiv.org/abs/1711.05101"
_ADAM = ("beta2", "eps")

CONVENTIONS: dict[str, Convention] = {
    "momentum, λ outside v": Convention(SGD, ("momentum",), "PyTorch, MLX, optax", _TORCH),
    "momentum, λ inside v": Convention(RateInside, ("momentum",), "Keras, Sutskever et al. 2013", _KERAS),
    "momentum, dampened from step 2": Convention(SGD, ("momentum", "dampening"), "PyTorch", _TORCH),
    "momentum, dampened from step 1": Convention(ZeroStart, ("momentum", "dampening"), "MLX", _MLX),
    "Nesterov, λ outside v": Convention(partial(SGD, nesterov=True), ("momentum",), "PyTorch, MLX, optax", _TORCH),
    "Nesterov, λ inside v": Convention(partial(RateInside, nesterov=True), ("momentum",), "Keras", _KERAS),
    "SGD + L2": Convention(SGD, ("weight_decay",), "PyTorch, MLX", _TORCH),
    "Adam": Convention(Adam, _ADAM, "PyTorch, optax, Kingma and Ba 2015, algorithm 1", _TORCH),
    "Adam, ε-hat": Convention(EpsilonHat, _ADAM, "Keras, Kingma and Ba 2015, section 2", _KERAS),
    "Adam, ε inside the root": Convention(EpsilonInside, _ADAM, "optax (eps_root)", _OPTAX),
    "Adam, not corrected": Convention(Uncorrected, _ADAM, "MLX unless asked", _MLX),
    "Adam + L2": Convention(Adam, (*_ADAM, "weight_decay"), "PyTorch's Adam with weight_decay", _TORCH),
    "AdamW": Convention(AdamW, (*_ADAM, "weight_decay"), "PyTorch, optax", _ADAMW),
    "AMSGrad, max(v)": Convention(AMSGrad, _ADAM, "PyTorch", _TORCH),
    "AMSGrad, max(v̂)": Convention(MaxCorrected, _ADAM, "optax", _OPTAX),
}

SETTINGS = {"momentum": 0.9, "dampening": 0.1, "beta2": 0.999, "eps": 0.1, "weight_decay": 0.1}  # where all differ
BETA1 = 0.9
TOO_FAR = 100.0  # a weight beyond this has diverged


@dataclass(frozen=True)
class Problem:
    """Where a weight starts, and the gradient it is given, `gradient(step, w)`; `surface` where that is its slope."""

    start: Any
    gradient: Callable[[int, Any], Any]
    surface: Surface | None = None


_GIVEN = (1.0, 0.5, -0.25)
_NOISE = np.random.default_rng(0).normal(size=1000)
_RAVINE = quadratic(10.0, 30.0)

PROBLEMS: dict[str, Problem] = {
    "parabola, g = w": Problem(1.0, lambda _, w: w),
    "noisy parabola": Problem(1.0, lambda step, w: w + _NOISE[step % len(_NOISE)]),
    "1, .5, −.25, again and again": Problem(1.0, lambda step, _: _GIVEN[step % len(_GIVEN)]),
    "ravine": Problem(_RAVINE.start, lambda _, w: _RAVINE.slopes(*w)[1], _RAVINE),
}


@dataclass(frozen=True)
class Comparison:
    """The paths of two conventions, (steps + 1, …), and how far apart they are at each step, (steps + 1,).

    Where one is beyond TOO_FAR its path is NaN from there on, and so is the gap.
    """

    left: Any
    right: Any
    gap: Any


def follow(
    name: str, problem: str, learning_rate: Any = 0.1, steps: int = 60, settings: Mapping[str, float] = SETTINGS
) -> Any:
    """The path of one of CONVENTIONS on one of PROBLEMS, with those of the settings that it takes.

    Raises: ValueError for a name that is in neither table.
    Shapes: (steps + 1, …), from the start on.
    """
    for table, key in ((CONVENTIONS, name), (PROBLEMS, problem)):
        if key not in table:
            raise ValueError(f"choose one of {', '.join(table)}, got {key!r}")
    convention, task = CONVENTIONS[name], PROBLEMS[problem]
    chosen: dict[str, Any] = {key: settings.get(key, SETTINGS[key]) for key in convention.takes}
    if "beta2" in chosen:
        chosen["betas"] = (BETA1, chosen.pop("beta2"))
    with np.errstate(all="ignore"):  # a path that overflows is cut
        make = partial(convention.make, learning_rate=learning_rate, **chosen)
        path = np.array([w for w, _ in feed(make, task.start, task.gradient, steps)])
        lost = np.flatnonzero(~(np.abs(path).reshape(steps + 1, -1).max(axis=1) <= TOO_FAR))
    path[lost[0] if lost.size else steps + 1 :] = np.nan
    return path


def compare(
    left: str,
    right: str,
    problem: str = "parabola, g = w",
    learning_rate: float = 0.1,
    drop: float = 0.1,
    drop_at: int = 20,
    steps: int = 60,
    **settings: float,
) -> Comparison:
    """Two conventions side by side; from step `drop_at` on λ is `drop` times what it was.

    Raises: ValueError for a name that is in neither table; TypeError for a setting that is none of SETTINGS.
    """
    if unknown := settings.keys() - SETTINGS.keys():
        raise TypeError(
            f"settings must be among {', '.join(SETTINGS)}, got {', '.join(sorted(unknown))}: name one of them"
        )

    def rate(updates: int) -> float:
        return learning_rate * (drop if updates >= drop_at else 1.0)

    a, b = (follow(name, problem, rate, steps, settings) for name in (left, right))
    return Comparison(a, b, np.sqrt(((a - b) ** 2).reshape(steps + 1, -1).sum(axis=1)))
