"""What the tests of optimizers and of checkpoints share: a model, the classes, and settings of each."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from tinygpt import Module, Optimizer, Tensor, optimizers

CLASSES = {
    name: found
    for name, found in vars(optimizers).items()
    if inspect.isclass(found) and issubclass(found, Optimizer) and found is not Optimizer
}

SETTINGS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.9, "weight_decay": 0.1, "dampening": 0.5}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    ("AdamW", {"weight_decay": 0.1}),
    ("RMSProp", {"alpha": 0.9}),
    ("AdaGrad", {}),
]
every_setting = pytest.mark.parametrize(
    ("name", "setting"), SETTINGS, ids=[f"{name}-{'-'.join(setting) or 'plain'}" for name, setting in SETTINGS]
)


class Model(Module):
    """A bag of named parameters."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value if isinstance(value, (Tensor, Module)) else Tensor(value, requires_grad=True))


def make(name: str, module: Module, **setting: Any) -> Optimizer:
    return CLASSES[name](module, **{"learning_rate": 0.1, **setting})


def step(optimizer: Optimizer, **gradients: Any) -> None:
    """One update with exactly these gradients, by parameter name."""
    for name, parameter in optimizer.module.named_parameters():
        gradient = gradients.get(name)
        parameter.grad = None if gradient is None else np.asarray(gradient, parameter.dtype)[()]
    optimizer.update()


def path(optimizer: Optimizer, gradients: Any) -> Any:
    """Where the one parameter `w` is after each of these gradients."""
    points = []
    for gradient in gradients:
        step(optimizer, w=gradient)
        points.append(optimizer.module.w.data)
    return np.array(points)
