"""Layers: small modules to build larger ones from. Their parameters are float32 unless a dtype is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygpt.module import Module
from tinygpt.tensor import Tensor


class Linear(Module):
    """x @ weight + bias.

    The start is uniform in ±1/√inputs, PyTorch's, drawn from rng.

    Shapes: x (…, inputs) → (…, outputs); weight (inputs, outputs), bias (outputs,).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        rng = rng or np.random.default_rng()
        bound = 1 / np.sqrt(inputs)
        self.weight = Tensor.uniform((inputs, outputs), -bound, bound, rng, dtype, requires_grad=True)
        self.bias = Tensor.uniform(outputs, -bound, bound, rng, dtype, requires_grad=True) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """x (…, inputs) → (…, outputs)."""
        product = x @ self.weight
        return product if self.bias is None else product + self.bias


class MLP(Module):
    """Linear layers with an activation between them, none after the last: MLP((2, 16, 16, 1)).

    Shapes: x (…, sizes[0]) → (…, sizes[-1]).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: Callable[[Tensor], Tensor] = Tensor.relu,
        rng: np.random.Generator | None = None,
        dtype: Any = np.float32,
    ) -> None:
        if len(sizes) < 2:
            raise ValueError(f"sizes must hold the inputs' and the outputs' length at least, got {tuple(sizes)}")
        rng = rng or np.random.default_rng()
        self.layers = [Linear(i, o, rng=rng, dtype=dtype) for i, o in pairwise(sizes)]
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x (…, sizes[0]) → (…, sizes[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = self.activation(layer.forward(x))
        return last.forward(x)
