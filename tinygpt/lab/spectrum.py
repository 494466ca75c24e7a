"""The spectrum of an update: what an optimizer makes of a matrix gradient's singular values.

Where a few directions of a matrix have almost all of the gradient, SGD moves along them only, and the sign of each
entry is hardly better; Muon gives every direction about the same step. It takes a matrix to show this: two numbers
have one direction only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygpt.lab.descent import MakeOptimizer, Walker
from tinygpt.module import Module
from tinygpt.optimizers import SGD, Optimizer, elementwise
from tinygpt.state import OptimizerState
from tinygpt.tensor import Tensor

LARGEST = 10.0  # the gradient's first singular value
SIZE = 4  # the gradient is a matrix of so many rows and columns
MOST_STEPS = 10  # of Newton and Schulz, that are looked at


class Lion(Optimizer):
    """Lion: every weight moves by λ, in the direction that an average of its gradients points to.

        c = β₁ m + (1 − β₁) g                     what the step looks at
        w = w − learning_rate · sign(c)
        m = β₂ m + (1 − β₂) g                     what is remembered

    Source: Chen et al. 2023, Symbolic discovery of optimization algorithms, algorithm 2. https://arxiv.org/abs/2302.06675
    """

    def __init__(self, module: Module, learning_rate: Any = 1e-4, betas: tuple[Any, Any] = (0.9, 0.99)) -> None:
        super().__init__(module)
        self.learning_rate, self.betas = learning_rate, betas

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of Lion."""
        w, g, (b1, b2) = parameter.data, parameter.grad, self.betas
        m = state.get("m", 0.0)
        state["m"] = b2 * m + (1 - b2) * g
        return w - self.learning_rate * np.sign(b1 * m + (1 - b1) * g)


class Muon(Optimizer):
    """Muon: momentum whose singular values are all brought near 1 before the step. For matrices only.

        v = momentum · v + g
        x = v / ‖v‖                                       Frobenius: no singular value is above 1 now
        x = 3.4445 x − 4.7750 (xxᵀ)x + 2.0315 (xxᵀ)²x     `newton_schulz_steps` times
        w = w − learning_rate · x

    Each line of x acts on every singular value alone, and lifts the small ones more than threefold; what is near 1 is
    left to sway between .7 and 1.2.

    Raises: ValueError for a parameter that is no matrix.
    Source: Jordan et al. 2024, Muon: an optimizer for hidden layers in neural networks.
    https://kellerjordan.github.io/posts/muon/
    """

    def __init__(
        self, module: Module, learning_rate: Any = 0.02, momentum: float = 0.95, newton_schulz_steps: int = 5
    ) -> None:
        super().__init__(module)
        self.learning_rate, self.momentum, self.newton_schulz_steps = learning_rate, momentum, newton_schulz_steps

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One step of Muon."""
        w, g = parameter.data, parameter.grad
        if w.ndim != 2:
            raise ValueError(f"Muon needs a matrix, got shape {w.shape}: give the other parameters to AdamW")
        v = self.momentum * state.get("v", 0.0) + g
        state["v"] = v
        x = v / (np.linalg.norm(v) + 1e-7)
        for _ in range(self.newton_schulz_steps):
            a = x @ x.T
            x = 3.4445 * x - 4.7750 * a @ x + 2.0315 * a @ a @ x
        return w - self.learning_rate * x


@dataclass(frozen=True)
class Spectrum:
    """Singular values, the largest first.

    `updates` maps a label to those of the first update at λ = 1 (SIZE,); `muon` (MOST_STEPS + 1, SIZE) are those of
    Muon's update by the number of its Newton–Schulz steps, from 0.
    """

    updates: dict[str, Any]
    muon: Any


def matrix(spread: float = 1.0, seed: int = 0) -> Any:
    """A gradient whose singular values fall from 10 by `spread` powers of ten each: 10, 1, .1, .01 at 1.

    G = U diag(s) Vᵀ with random orthogonal U and V.

    Shapes: (SIZE, SIZE).
    """
    rng = np.random.default_rng(seed)
    u, v = (np.linalg.qr(rng.normal(size=(SIZE, SIZE)))[0] for _ in range(2))
    return u * LARGEST * 10.0 ** (-spread * np.arange(SIZE)) @ v.T


def update_of(make: MakeOptimizer, gradient: Any) -> Any:
    """What an optimizer subtracts from a matrix of zeros in its first step."""
    walker = Walker(np.zeros_like(gradient))
    optimizer = make(walker)
    walker.position.grad = gradient
    optimizer.update()
    return -walker.position.data


def spectrum(newton_schulz_steps: int = 5, spread: float = 1.0, seed: int = 0) -> Spectrum:
    """The singular values of the first update of SGD, Lion (the sign of the gradient, then) and Muon at λ = 1.

    Raises: ValueError unless newton_schulz_steps is in 0 … MOST_STEPS and spread ≥ 0.
    """
    if not (0 <= newton_schulz_steps <= MOST_STEPS and spread >= 0):
        raise ValueError(
            f"newton_schulz_steps must be in [0, {MOST_STEPS}] and spread >= 0, got {newton_schulz_steps} and {spread}"
        )
    gradient = matrix(spread, seed)
    muons = [partial(Muon, newton_schulz_steps=steps) for steps in range(MOST_STEPS + 1)]
    makers: list[Any] = [SGD, Lion, *muons]
    values = np.linalg.svd([update_of(partial(make, learning_rate=1.0), gradient) for make in makers], compute_uv=False)
    sgd, lion, *muon = values
    return Spectrum({"SGD": sgd, "Lion": lion, "Muon": muon[newton_schulz_steps]}, np.array(muon))
