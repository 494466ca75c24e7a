"""Optimizers as a reader might write them, which the tests of the laboratory share."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygpt import Module, Optimizer, OptimizerState, Tensor


class Sign(Optimizer):
    """A step of the same length along each axis."""

    def __init__(self, module: Module, learning_rate: Any = 0.01) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.learning_rate * np.sign(parameter.grad)


class Normalised(Optimizer):
    """A step of the same length whichever way it points: x and y depend on each other."""

    def __init__(self, module: Module, learning_rate: Any = 0.01) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.learning_rate * parameter.grad / (np.linalg.norm(parameter.grad) + 1e-12)


class Drift(Optimizer):
    """Walks by the same (x, y) each step, whatever the slope."""

    def __init__(self, module: Module, x: float = 1.0, y: float = 0.0) -> None:
        super().__init__(module)
        self.by = np.array([x, y])

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data + self.by


class Fragile(Optimizer):
    """Fails, with an error of its own, at learning rates above 1."""

    def __init__(self, module: Module, learning_rate: Any = 0.01) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        if self.learning_rate > 1:
            raise RuntimeError("out of my depth")
        return parameter.data - self.learning_rate * parameter.grad


class Scaled(Optimizer):
    """Has a knob of each kind that a signature can ask for."""

    def __init__(
        self,
        module: Module,
        learning_rate: Any = 0.05,
        power: float = 0.5,
        every: int = 3,
        centred: bool = False,
        betas: tuple[float, float] = (0.5, 0.25),
        clip: float | None = None,
        mode: str = "fan_in",
    ) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.power, self.every, self.centred, self.betas = power, every, centred, betas

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        b1, b2 = self.betas
        m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * parameter.grad
        size = np.abs(m) ** self.power / self.every + b2 + self.centred
        return parameter.data - self.learning_rate * m / size
