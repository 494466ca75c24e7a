"""Noise: gradient descent that sees only a mini-batch, on a parabola, and how low it comes.

Each step sees the gradient hw + s/√batch · ξ with ξ ~ N(0, 1). The way down ends on a floor: there each step forgets as
much of w as its noise adds. Letters: h curvature, λ learning rate, μ momentum, s noise of one example's gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from tinygpt import schedules
from tinygpt.lab.linear import limit
from tinygpt.module import Module
from tinygpt.optimizers import SGD, Rate
from tinygpt.tensor import Tensor

LAST = 0.25  # of the run: there its floor is measured

SCHEDULES: dict[str, Callable[[float, int], Rate]] = {  # from a first λ and the number of steps
    "constant": lambda rate, steps: rate,
    "step decay": lambda rate, steps: schedules.steps(rate, 0.3, math.ceil(steps / 3)),
    "cosine": lambda rate, steps: schedules.cosine(rate, steps),
    "1/t": lambda rate, steps: schedules.inverse(rate, steps / 20),
}


def noise_floor(learning_rate: Any, momentum: Any = 0.0, curvature: Any = 1.0, variance: Any = 1.0) -> Any:
    """The mean of w² that heavy ball keeps for ever on ½hw² when each gradient has noise of that variance.

        E[w²] = λ (1 + μ) / ((1 − μ) (2 (1 + μ) − λh)) · variance / h

    Infinite from λh = 2 (1 + μ) on: there each step adds more than it forgets.

    Source: the fixed point of the covariance of (w, v) under the update; for μ = 0, λ · variance / (h (2 − λh)).
    """
    lr, mu, h = (np.asarray(a, float) for a in (learning_rate, momentum, curvature))
    room = limit(mu) - lr * h
    with np.errstate(divide="ignore"):
        return np.where(room > 0, lr * (1 + mu) / ((1 - mu) * np.maximum(room, 0)) * variance / h, np.inf)[()]


def averaging_floor(count: Any, curvature: Any = 1.0, variance: Any = 1.0) -> Any:
    """The mean square of an average of so many w, once they are many: variance / (h² · count), whatever λ and μ.

    Source: Polyak and Juditsky 1992, theorem 1. https://doi.org/10.1137/0330046
    """
    return variance / (np.square(curvature) * count)


def tail_averages(weights: Any, fraction: float) -> Any:
    """The means of the last fraction of the weights, from where that tail begins up to each of its steps.

    The last row is the tail average, (w_k + … + w_n) / (n − k + 1).

    Shapes: (n + 1, runs) → (length of the tail, runs).
    Raises: ValueError for a fraction outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    tail = weights[-math.ceil(fraction * len(weights)) :]
    with np.errstate(all="ignore"):  # what exploded has no average
        return np.cumsum(tail, axis=0) / np.arange(1, len(tail) + 1)[:, None]


@dataclass(frozen=True)
class NoisyRuns:
    """Many runs of SGD over the same noisy parabola, alike but for their luck.

    `weights` (steps + 1, runs) begin at the start and are inf or NaN where they overflow; `rates` (steps,) are the λ of
    each step; `variance` is that of a mini-batch's gradient, s² / batch.
    """

    weights: Any
    rates: Any
    momentum: float
    curvature: float
    variance: float

    @cached_property
    def squares(self) -> Any:
        """The mean of w² over the runs, at each step (steps + 1,)."""
        with np.errstate(all="ignore"):
            return np.mean(self.weights**2, axis=1)

    @cached_property
    def floors(self) -> Any:
        """The floor that the λ of each step would lead to if it stayed (steps,)."""
        return noise_floor(self.rates, self.momentum, self.curvature, self.variance)

    @property
    def measured(self) -> float:
        """The mean of w² over the runs and the last quarter of the steps."""
        with np.errstate(all="ignore"):
            return float(np.mean(self.squares[-self.last :]))

    @property
    def predicted(self) -> float:
        """The mean of the floors over those steps."""
        return float(np.mean(self.floors[-self.last :]))

    def averaged(self, fraction: float) -> Any:
        """The mean, over the runs, of the square of their tail average so far (length of the tail,)."""
        with np.errstate(all="ignore"):
            return np.mean(tail_averages(self.weights, fraction) ** 2, axis=1)

    @property
    def last(self) -> int:
        """The number of steps in the last quarter."""
        return math.ceil(LAST * len(self.rates))


class _Weights(Module):
    """A model of one number, once for each run."""

    def __init__(self, start: float, runs: int) -> None:
        self.weight = Tensor(np.full(runs, start), float, requires_grad=True)


def noisy_runs(
    learning_rate: Rate = 0.1,
    momentum: float = 0.0,
    batch: int = 1,
    curvature: float = 1.0,
    noise: float = 1.0,
    steps: int = 300,
    runs: int = 300,
    start: float = 3.0,
    seed: int = 0,
) -> NoisyRuns:
    """Let SGD walk down ½hw² with the gradients of mini-batches, many runs at once.

    The runs are one array parameter; the same seed gives the same ξ, whatever the knobs.

    Raises: ValueError unless batch, steps and runs are ≥ 1 and the curvature > 0; and what SGD refuses.
    """
    for name, count in {"batch": batch, "steps": steps, "runs": runs}.items():
        if count < 1:
            raise ValueError(f"{name} must be >= 1, got {count}")
    if not curvature > 0:
        raise ValueError(f"curvature must be > 0, got {curvature}")
    model = _Weights(start, runs)
    sgd, parameter = SGD(model, learning_rate, momentum), model.weight
    weights, luck = np.empty((steps + 1, runs)), noise / math.sqrt(batch) * _draws(seed, steps, runs)
    weights[0] = parameter.data
    with np.errstate(all="ignore"):  # what explodes overflows
        for step in range(steps):
            parameter.grad = curvature * parameter.data + luck[step]
            sgd.update()
            weights[step + 1] = parameter.data
    rate: Any = learning_rate
    rates = np.array([rate(step) if callable(rate) else rate for step in range(steps)])
    return NoisyRuns(weights, rates, momentum, curvature, noise**2 / batch)


@lru_cache(maxsize=2)
def _draws(seed: int, steps: int, runs: int) -> Any:
    return np.random.default_rng(seed).standard_normal((steps, runs))
