"""Walks: an optimizer led by the hand, through gradients that are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tinygpt import Module, Optimizer, Tensor

MakeOptimizer = Callable[..., Any]  # a module, and keywords → what should be an optimizer

START = np.array([1.0, -2.0, 0.5])
GRADIENTS = np.array(  # (steps, 3): plain numbers, so that the first steps can be checked on paper
    [
        [1.0, -2.0, 0.5],
        [0.5, 0.5, -0.5],
        [-0.25, 0.25, 1.0],
        [0.1, -1.0, -0.25],
        [0.2, 0.1, 0.1],
        [-1.5, 0.5, -2.0],
        [0.5, -0.2, 0.5],
        [0.1, 3.0, 0.25],
    ]
)


class Weights(Module):
    """A module of the parameters named, each a copy of its start."""

    w: Tensor
    idle: Tensor

    def __init__(self, **starts: Any) -> None:
        for name, start in starts.items():
            setattr(self, name, Tensor(np.array(start), requires_grad=True))


def made(make: MakeOptimizer, module: Module, **keywords: Any) -> Optimizer:
    """The optimizer that `make` makes for the module.

    Raises: TypeError where it makes something else, or is no class at all.
    """
    if isinstance(make, Optimizer) or not callable(make):
        raise TypeError(f"the check needs the class itself, got {make!r}: leave the brackets after its name away")
    optimizer = None if isinstance(make, type) and not issubclass(make, Optimizer) else make(module, **keywords)
    if not isinstance(optimizer, Optimizer):
        name = getattr(make, "__name__", "the answer")
        raise TypeError(f"{name} must be an Optimizer: begin it with class {name}(Optimizer)")
    return optimizer


def feed(optimizer: Optimizer, **gradients: Any) -> None:
    """One update with a copy of these gradients, by parameter name; who is not named has none."""
    for name, parameter in optimizer.module.named_parameters():
        gradient = gradients.get(name)
        parameter.grad = None if gradient is None else np.array(gradient, parameter.dtype)[()]
    optimizer.update()


def walk(make: MakeOptimizer, gradients: Iterable[Any] = GRADIENTS, start: Any = START, **keywords: Any) -> Any:
    """Where the parameter w stands before the first gradient and after each. Shape: (steps + 1, *start's)."""
    module = Weights(w=start)
    optimizer = made(make, module, **keywords)
    points = [np.array(start)]
    for gradient in gradients:
        feed(optimizer, w=gradient)
        points.append(np.array(module.w.data))
    return np.array(points)


def near(found: Any, right: Any, tolerance: float) -> bool:
    """Whether all numbers agree, relative to those above 1; a NaN agrees with a NaN."""
    return np.shape(found) == np.shape(right) and np.allclose(
        found, right, rtol=tolerance, atol=tolerance, equal_nan=True
    )
