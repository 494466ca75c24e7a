"""Failure: a problem of one number on which Adam walks to the worst point, and AMSGrad to the best.

The gradient is +C at every `period`-th step and −1 at the others; x stays within [−1, 1]. Where C > period − 1 the
mean gradient is positive, so that −1 is the best point. Adam with β₁ = 0 divides the rare, large gradient by its own
size, and each of the small ones by a size that has forgotten it: the small ones win.

Source: Reddi, Kale and Kumar 2018, On the convergence of Adam and beyond, section 3. https://arxiv.org/abs/1904.09237
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tinygpt.lab.descent import MakeOptimizer, Walker
from tinygpt.module import Module
from tinygpt.optimizers import SGD, Adam, Optimizer, elementwise
from tinygpt.state import OptimizerState
from tinygpt.tensor import Tensor

BETA2S = np.concatenate([np.arange(0, 0.96, 0.05), [0.97, 0.99, 0.999]])  # where the sweep looks


class AMSGrad(Optimizer):
    """Adam that never forgets how large its gradients' size has been.

        v_max = max(v_max, v)                           the largest v so far, then corrected for the start at zero
        w = w − learning_rate · m̂ / (√(v_max / (1 − β₂ᵗ)) + eps)

    Source: Reddi, Kale and Kumar 2018, algorithm 2 (without the correction); the conventions are PyTorch's.
    https://arxiv.org/abs/1904.09237
    """

    def __init__(
        self, module: Module, learning_rate: Any = 1e-3, betas: tuple[Any, Any] = (0.9, 0.999), eps: Any = 1e-8
    ) -> None:
        super().__init__(module)
        self.learning_rate, self.betas, self.eps = learning_rate, betas, eps

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of AMSGrad: Adam's lines, and a maximum."""
        w, g, (b1, b2) = parameter.data, parameter.grad, self.betas
        t = state.get("t", 0) + 1
        m = b1 * state.get("m", 0.0) + (1 - b1) * g
        v = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        v_max = np.maximum(state.get("v_max", 0.0), v)
        state.update(t=t, m=m, v=v, v_max=v_max)
        m_hat, v_hat = m / (1 - b1**t), v_max / (1 - b2**t)
        return w - self.learning_rate * m_hat / (np.sqrt(v_hat) + self.eps)


def feed(
    make: MakeOptimizer,
    start: Any,
    gradient: Callable[[int, Any], Any],
    steps: int,
    project: Callable[[Any], Any] = lambda w: w,
) -> Iterator[tuple[Any, OptimizerState]]:
    """Where an optimizer takes a weight that is given `gradient(step, w)` at each step, the start first.

    Yields the weight and the optimizer's state of it; `project` brings the weight back to where it may be.
    """
    walker = Walker(start)
    optimizer, w = make(walker), walker.position
    yield w.data, optimizer.state["position"]
    for step in range(steps):
        w.grad = gradient(step, w.data)
        optimizer.update()
        w.data = project(w.data)
        yield w.data, optimizer.state["position"]


@dataclass(frozen=True)
class Failure:
    """What became of x.

    `gradients` (steps,); `paths` maps a label to x (steps + 1,), which begins at 0; `size` and `largest` (steps,) are
    what Adam and AMSGrad divide by, √v̂ and √v̂_max; `ends` is Adam's last x for each of BETA2S.
    """

    gradients: Any
    paths: dict[str, Any]
    size: Any
    largest: Any
    ends: Any


def reddi(
    large: float = 3.0,
    period: int = 3,
    betas: tuple[float, float] = (0.0, 0.1),
    learning_rate: float = 0.1,
    steps: int = 120,
    decays: bool = False,
) -> Failure:
    """Run Adam, AMSGrad and SGD on Reddi's problem with C = `large`; and Adam with every β₂ of BETA2S.

    The theorem takes λ/√t (`decays`) and β₂ = 1/(1 + C²), .1 for C = 3; a constant λ shows the same sooner.

    Raises: ValueError unless large ≥ 0, period ≥ 1 and steps ≥ 1.
    """
    if not (large >= 0 and period >= 1 and steps >= 1):
        raise ValueError(f"large must be >= 0, period and steps >= 1, got {large}, {period} and {steps}")
    problem = large, period, learning_rate, steps, decays
    adam, sgd = (np.array([x for x, _ in _play(make, 0.0, *problem)]) for make in (partial(Adam, betas=betas), SGD))
    amsgrad = _play(partial(AMSGrad, betas=betas), 0.0, *problem)
    walk = [(x, state.get("v", 0.0), state.get("v_max", 0.0)) for x, state in amsgrad]
    x, v, v_max = np.array(walk).T  # its v is Adam's: both see the same gradients
    correction = 1 - betas[1] ** np.arange(1, steps + 1)
    return Failure(
        _gradients(large, period, steps),
        {"Adam": adam, "AMSGrad": x, "SGD": sgd},
        np.sqrt(v[1:] / correction),
        np.sqrt(v_max[1:] / correction),
        _ends(betas[0], *problem),
    )


def drift(large: float, period: int, beta2: float) -> float:
    """How far Adam with β₁ = 0 moves x in one period, in units of λ, once v repeats itself from period to period.

        v₀ = (1 − β₂)(C² + β₂ + … + β₂ᵖ⁻¹) / (1 − β₂ᵖ)     at the large gradient, p being the period
        v_k = β₂ᵏ v₀ + 1 − β₂ᵏ                            k steps later
        drift = −C/√v₀ + 1/√v₁ + … + 1/√v_p₋₁

    Where it is positive x walks up, even if the mean gradient is positive too. C must be above 0.
    """
    decay = beta2 ** np.arange(1, period)
    first = (1 - beta2) * (large**2 + decay.sum()) / (1 - beta2**period)
    return float(np.sum(1 / np.sqrt(decay * first + 1 - decay)) - large / np.sqrt(first))


def largest_failing_beta2(large: float, period: int) -> float | None:
    """The β₂ up to which Adam with β₁ = 0 walks to the worst point; None where it never does, or −1 is not the best.

    Found by halving the interval in which the drift changes its sign.
    """
    if large <= period - 1 or drift(large, period, 0.0) <= 0:
        return None
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if drift(large, period, middle) > 0 else (low, middle)
    return low


@lru_cache(maxsize=8)
def _ends(beta1: float, *problem: Any) -> Any:
    """Where Adam ends for each of BETA2S: they are run together."""
    *_, (x, _) = _play(partial(Adam, betas=(beta1, BETA2S)), np.zeros_like(BETA2S), *problem)
    return x


def _play(
    make: Callable[..., Optimizer],
    start: Any,
    large: float,
    period: int,
    learning_rate: float,
    steps: int,
    decays: bool,
) -> Iterator[tuple[Any, OptimizerState]]:
    gradients = np.multiply.outer(_gradients(large, period, steps), np.ones_like(start))
    rate = partial(_falling, learning_rate) if decays else learning_rate
    return feed(partial(make, learning_rate=rate), start, lambda step, _: gradients[step], steps, _within)


def _gradients(large: float, period: int, steps: int) -> Any:
    return np.where(np.arange(steps) % period == 0, large, -1.0)


def _within(x: Any) -> Any:
    return np.minimum(np.maximum(x, -1.0), 1.0)


def _falling(rate: float, updates: int) -> float:
    return rate / math.sqrt(updates + 1)
