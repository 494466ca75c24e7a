"""Linear theory: what gradient descent with momentum does on a parabola, solved.

On ½hw² the gradient is hw, so that a step of SGD is a matrix that acts on the pair (w, v): w the position, v the
velocity as PyTorch keeps it, v = μv + hw and w = w − λv, with v = 0 before the first step. The matrix's eigenvalues σ
tell everything: a distance to the minimum shrinks like |σ|ᵗ, it swings where they are complex or negative, and it
explodes where one is beyond 1. Letters: h curvature, λ learning rate, μ momentum, τ dampening, σ eigenvalue.

Source: Polyak 1964, Some methods of speeding up the convergence of iteration methods, sections 2 and 3.
10.1016/0041-5553(64)90137-5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygpt.module import Module
from tinygpt.optimizers import SGD
from tinygpt.tensor import Tensor


def contraction(h: Any, learning_rate: Any) -> Any:
    """What one step of plain gradient descent multiplies the distance to the minimum by.

    w − λ·hw = (1 − λh) w
    """
    return 1 - np.asarray(learning_rate) * h


def update_matrix(h: Any, learning_rate: Any, momentum: Any = 0.0, nesterov: bool = False) -> Any:
    """The matrix that takes (w, v) to the (w, v) of one step later.

        heavy ball   [[1 − λh, −λμ], [h, μ]]           Nesterov   [[1 − λh(1 + μ), −λμ²], [h, μ]]

    Shapes: arguments that broadcast to (…) → (…, 2, 2).
    """
    h, lr, mu = np.broadcast_arrays(*(np.asarray(a, float) for a in (h, learning_rate, momentum)))
    top = [1 - lr * h * (1 + mu), -lr * mu**2] if nesterov else [1 - lr * h, -lr * mu]
    return np.stack([*top, h, mu], axis=-1).reshape(*h.shape, 2, 2)


def eigenvalues(h: Any, learning_rate: Any, momentum: Any = 0.0, nesterov: bool = False) -> Any:
    """The two eigenvalues of the update matrix, complex, from its trace T and determinant D.

        σ = T/2 ± √(T²/4 − D)     heavy ball  T = 1 + μ − λh, D = μ     Nesterov  T = (1 + μ)(1 − λh), D = μ(1 − λh)

    Shapes: arguments that broadcast to (…) → (…, 2).
    """
    half, determinant = _half_trace_and_determinant(h, learning_rate, momentum, nesterov)
    root = np.sqrt(half**2 - determinant + 0j)
    return np.stack([half + root, half - root], axis=-1)


def rate(curvatures: Any, learning_rate: Any, momentum: Any = 0.0, nesterov: bool = False) -> Any:
    """The factor by which the distance to the minimum shrinks per step, in the long run, along its slowest direction.

    max |σ| over the curvatures; above 1 it grows.

    Shapes: curvatures (n,), learning_rate and momentum that broadcast to (…) → (…).
    """
    lr, mu = (np.asarray(a, float)[..., None] for a in (learning_rate, momentum))
    half, determinant = _half_trace_and_determinant(np.asarray(curvatures, float), lr, mu, nesterov)
    square = half**2 - determinant
    real = np.abs(half) + np.sqrt(np.maximum(square, 0))
    return np.where(square < 0, np.sqrt(np.maximum(determinant, 0)), real).max(axis=-1)


def _half_trace_and_determinant(h: Any, learning_rate: Any, mu: Any, nesterov: bool) -> tuple[Any, Any]:
    shrink, mu = contraction(h, learning_rate), np.asarray(mu, float)
    if nesterov:
        return (1 + mu) * shrink / 2, mu * shrink
    return (mu + shrink) / 2, mu * np.ones_like(shrink)


def limit(momentum: Any = 0.0, nesterov: bool = False, dampening: Any = 0.0) -> Any:
    """The largest product λh at which a step of SGD does not explode.

    heavy ball 2(1 + μ) / (1 − τ), which grows with μ; Nesterov 2(1 + μ) / (1 + 2μ), which shrinks. There an eigenvalue
    is −1.
    """
    return 2 * (1 + momentum) / (1 + 2 * momentum if nesterov else 1 - dampening)


def critical_momentum(product: Any, nesterov: bool = False) -> Any:
    """The momentum at which the two eigenvalues meet: the fastest for this λh. Beyond it the position swings.

        heavy ball  μ = (1 − √(λh))²          Nesterov  μ = (1 − √(λh)) / (1 + √(λh))

    For 0 ≤ λh ≤ 1; heavy ball has it up to λh = 4.
    """
    root = np.sqrt(product)
    return (1 - root) / (1 + root) if nesterov else (1 - root) ** 2


def best_learning_rate(curvatures: Any) -> float:
    """The learning rate at which plain gradient descent shrinks its slowest direction most.

    2 / (h₁ + hₙ): the flattest and the steepest direction then shrink alike, by (κ − 1) / (κ + 1) a step.
    """
    return float(2 / (np.min(curvatures) + np.max(curvatures)))


def best_heavy_ball(curvatures: Any) -> tuple[float, float]:
    """The textbook's λ and μ for heavy ball: those of the smallest rate, which is √μ.

    λ = 4 / (√h₁ + √hₙ)²,  μ = ((√hₙ − √h₁) / (√hₙ + √h₁))².  It optimises the long run, not the way there.
    """
    low, high = np.sqrt(np.min(curvatures)), np.sqrt(np.max(curvatures))
    return float(4 / (low + high) ** 2), float(((high - low) / (high + low)) ** 2)


class _Bead(Module):
    """A bead on a parabola: a model of one number."""

    def __init__(self, start: float) -> None:
        self.position = Tensor(start, float, requires_grad=True)


@dataclass(frozen=True)
class Ride:
    """What SGD did on ½hw²: `positions` w and `velocities` v, (steps + 1,) each, inf or NaN where they overflow."""

    positions: Any
    velocities: Any


def ride(
    h: float,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    start: float = 1.0,
    steps: int = 50,
) -> Ride:
    """Let SGD walk down ½hw² and read position and velocity after each step, the velocity from `optimizer.state`.

    Without momentum SGD keeps no velocity; it then is the gradient, as v = 0·v + g says. Nesterov's look-ahead needs
    momentum and is left out where that is 0.
    """
    bead = _Bead(start)
    sgd = SGD(bead, learning_rate, momentum, nesterov=nesterov and momentum > 0)
    history = [(start, 0.0)]
    with np.errstate(all="ignore"):  # what explodes overflows
        for _ in range(steps):
            bead.position.grad = h * bead.position.data
            sgd.update()
            velocity = sgd.state["position"]["v"] if momentum > 0 else bead.position.grad
            history.append((bead.position.data, velocity))
    positions, velocities = np.array(history, float).T
    return Ride(positions, velocities)
