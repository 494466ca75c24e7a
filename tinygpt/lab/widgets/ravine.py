"""Ravine: a quadratic that can be stretched and turned, and what that does to each optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tinygpt.lab.charts.ravine import RavinePicture, ravine_caption
from tinygpt.lab.charts.style import styles
from tinygpt.lab.linear import best_learning_rate
from tinygpt.lab.ravines import roll, tuned_rate
from tinygpt.lab.widgets.explorer import MakeOptimizer
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, hyperparameters, menu, slider, switch
from tinygpt.optimizers import SGD, Adam, RMSProp

RAVINE: dict[str, MakeOptimizer] = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "RMSProp": RMSProp,
    "Adam": Adam,
}

KAPPA = Knob("κ", "condition number κ: how many times steeper across than along", 0, 3, 20.0, 0.001, log=True)
THETA = Knob("θ", "angle θ of the ravine, in degrees", 0, 90, 0.0, 1)
LEARNING_RATE = Knob("λ", "learning rate λ", -4, 1, 0.1, 0.0005, log=True)


class Ravine(Instrument):
    """Optimizers in a ravine ½(u² + κv²) whose axes u, v and start are turned by θ.

    `optimizers` maps a label to an Optimizer subclass or a partial of one. `knobs` are `kappa`, `theta`, `tuned`,
    `learning_rate` and `split`, the label of the one whose loss is taken apart. With `tuned`, the learning rate is a
    multiple of each one's own best, searched anew for every ravine; without, it is the same λ for all. Where neither
    is given, each runs at its best; where `tuned` is False and no λ is given, λ is the best for plain gradient descent.
    Each runs until its loss is below 1e-6, or for so many `steps`.
    """

    repaints = frozenset({"split"})

    def __init__(
        self,
        optimizers: Mapping[str, MakeOptimizer] | None = None,
        kappa: float = 20.0,
        theta: float = 0.0,
        learning_rate: float | None = None,
        tuned: bool | None = None,
        split: str | None = None,
        steps: int = 500,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps must be >= 1, got {steps}")
        self._makers = dict(optimizers or RAVINE)
        self._styles = styles(self._makers)
        self._free = {label for label, make in self._makers.items() if "learning_rate" in hyperparameters(make)}
        self.fixed = {**({"optimizers": self._makers} if optimizers else {}), "steps": steps}
        tuned = learning_rate is None if tuned is None else tuned
        rate = _neutral(tuned, kappa) if learning_rate is None else learning_rate
        self.knobs = {  # `tuned` before what it gives a meaning to, for resets turn them in this order
            "kappa": slider(kappa, KAPPA),
            "theta": slider(theta, THETA),
            "tuned": switch(tuned, "each at its own best λ", "λ is a multiple of each one's best, found by a search"),
            "learning_rate": slider(rate, LEARNING_RATE),
            "split": menu(
                split or next(iter(self._makers)), list(self._makers), "loss of", "whose loss is taken apart"
            ),
        }
        self._name_rate()
        super().__init__()

    def turned(self, name: str) -> None:
        """Compute and paint; where the learning rate now means something else, show it at its neutral value."""
        with self.one_run(name not in self.repaints):
            if name == "tuned":
                self._name_rate()
                self.knobs["learning_rate"].value = _neutral(self.knobs["tuned"].value, self.knobs["kappa"].value)

    def compute(self) -> None:
        """Tune where that is asked for, and run."""
        kappa, theta, tuned, rate, _ = self._shown()
        self.trajectories = {}
        for label, make in self._makers.items():
            if label in self._free:
                unit = tuned_rate(kappa, theta, make, self.fixed["steps"]) if tuned else 1.0
                make = partial(make, learning_rate=rate * unit)
            self.trajectories[label] = roll(kappa, theta, make, self.fixed["steps"])

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> RavinePicture:
        """The hill, the bars and the losses."""
        return RavinePicture(self.fixed["steps"], theme, ratio, narrow)

    def draw(self, scene: Any) -> None:
        """The paths, their steps, and the loss of one."""
        kappa, theta, _, _, split = self._shown()
        scene.draw(self.trajectories, self._styles, kappa, theta, split)

    def words(self) -> str:
        """Who took how many steps, who failed, and what the loss of one was made of."""
        kappa, theta, tuned, rate, split = self._shown()
        return ravine_caption(self.trajectories, kappa, theta, split, self.fixed["steps"], rate if tuned else None)

    def layout(self) -> list[list[Any]]:
        """The ravine, the learning rate, the picture, and whose loss is taken apart."""
        kappa, theta, tuned, rate, split = self.knobs.values()
        kappa.layout.width = rate.layout.width = "400px"
        return [[kappa, theta], [rate, tuned], [self.view], [split, self.reset_button()]]

    def _shown(self) -> tuple[float, float, bool, float, str]:
        kappa, theta, tuned, rate, split = (knob.value for knob in self.knobs.values())
        return kappa, theta, tuned, rate, split

    def _name_rate(self) -> None:
        rate = self.knobs["learning_rate"]
        rate.description, rate.readout_format = "λ ×" if self.knobs["tuned"].value else "λ", ".3g"


def _neutral(tuned: bool, kappa: float) -> float:
    return 1.0 if tuned else best_learning_rate([1.0, kappa])
