"""RateMap: how fast an optimizer is, over its learning rate and one more knob, beside what the theory promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import numpy as np
from ipywidgets import FloatSlider

from tinygpt.lab.charts.rate_map import RatePicture, border_words, rate_caption
from tinygpt.lab.descent import MakeOptimizer, Trajectory
from tinygpt.lab.maps import Rates, Theory, learning_rate_range, rate_map, theory_of, walk_at
from tinygpt.lab.surfaces import SURFACES, Loss, Point, Surface, as_surface, quadratic
from tinygpt.lab.widgets.housekeeping import close
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, Knob, control, hyperparameters, keywords, slider, switch
from tinygpt.optimizers import SGD, Optimizer

KAPPA = Knob("κ", "condition number κ", 0, 3, 100.0, 0.05, log=True)
START, MOMENTUM = (1.0, 0.37), 0.7  # on the quadratic, where momentum saves most of the steps
LEAST = 0.01  # momentum with which Nesterov's look-ahead begins to be one


class RateMap(Instrument):
    """Steps to tolerance over λ and one more knob, 64 × 64 cells, measured; for SGD on the quadratic also in theory.

    `over` names the hyperparameter on the upright axis; a keyword of that name sets its value at the cross. A click on
    a cell loads it into the knobs. An optimizer that cannot run in all cells at once runs in one after the other, on a
    coarser map.
    """

    hint = "Click a cell to load it; arrow keys move the cross from cell to cell."
    rates: Rates
    walk: Trajectory
    theory: Theory | None

    def __init__(
        self,
        surface: Surface | str | Loss = "quadratic",
        optimizer: Callable[..., Optimizer] = SGD,
        over: str = "momentum",
        start: Point | None = None,
        tolerance: float = 1e-6,
        kappa: float = KAPPA.default,
        learning_rate: float | None = None,
        nesterov: bool = False,
        **value: float,
    ) -> None:
        self._free = hyperparameters(optimizer, lively=False)
        if over not in self._free or not _goes_in_equal_steps(over, self._free[over]):
            raise ValueError(f"over must name a knob of the optimizer that goes in equal steps, got {over!r}")
        if value.keys() - {over}:
            raise TypeError(f"RateMap sets {over} at the cross, got {', '.join(value)}: name one knob, in over as well")
        name = next((name for name, known in SURFACES.items() if known is surface), surface)
        made = getattr(optimizer, "func", optimizer)
        self._over = over
        self._mapped: Hashable = None  # what the map is of
        self._is_ravine, self._is_sgd = name == "quadratic", optimizer is SGD and over == "momentum"
        self._by_curvature = isinstance(made, type) and issubclass(made, SGD)
        self.surface = quadratic(kappa) if self._is_ravine else as_surface(surface)
        if start is None:
            start = START if self._is_ravine else self.surface.start
        self.fixed = {"surface": name, "optimizer": optimizer, "over": over, "start": start, "tolerance": tolerance}
        usual = MOMENTUM if self._is_sgd else self._free[over]
        self._make_knobs(kappa, learning_rate or self._usual_rate(), value.get(over, usual), nesterov)
        super().__init__()

    def _make_knobs(self, kappa: float, learning_rate: float, value: float, nesterov: bool) -> None:
        self.knobs = {}
        if self._is_ravine:
            self.knobs["kappa"] = slider(kappa, KAPPA)
            self.knobs["kappa"].continuous_update = False  # it makes the whole map anew
        for name, at in (("learning_rate", learning_rate), (self._over, value)):
            self.knobs[name] = control(name, at)
            self.knobs[name].value = at  # not only the nearest that the slider can show,
            self.knobs[name].continuous_update = False  # which the browser would send back
        if self._is_sgd:
            self.knobs["nesterov"] = switch(nesterov, "Nesterov", "Nesterov's look-ahead")

    def _usual_rate(self) -> float:
        """Half of the highest for gradient descent, which is close to its border; else in the middle."""
        low, high = learning_rate_range(self.surface, self._by_curvature)
        return float(f"{high / 2 if self._by_curvature else math.sqrt(low * high):.2g}")

    @property
    def cross(self) -> tuple[float, float]:
        """λ and the other knob's value, as the knobs are."""
        return self.knobs["learning_rate"].value, self.knobs[self._over].value

    def compute(self) -> None:
        """Walk at the cross; and make the map anew if it is of something else."""
        nesterov = self._is_sgd and self.knobs["nesterov"].value
        kappa = self.knobs["kappa"].value if self._is_ravine else 1.0
        start, tolerance = self.fixed["start"], self.fixed["tolerance"]
        if self._mapped != (kappa, nesterov):
            surface = quadratic(kappa) if self._is_ravine else self.surface
            knob = self.knobs[self._over]
            values = max(knob.min, LEAST) if nesterov else knob.min, knob.max
            rates = learning_rate_range(surface, self._by_curvature)
            self.rates = rate_map(surface, self._at, rates, values, start, tolerance)
            self.surface, self._mapped = surface, (kappa, nesterov)
            solved = self._is_ravine and self._is_sgd
            self.theory = theory_of(self.rates, surface, (1.0, kappa), nesterov) if solved else None
        self.walk = walk_at(self.surface, self._at(*self.cross), self.rates, self.rates.cell(*self.cross))

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> RatePicture:
        """The maps, or a map and the hill, to draw on."""
        theory = f"in theory; border {border_words(self.theory.nesterov)}" if self.theory else ""
        words = KNOBS[self._over].words if self._over in KNOBS else self._over.replace("_", " ")
        return RatePicture(self.surface, words, theory, theme, ratio, narrow)

    def scene_key(self) -> Hashable:
        """The border's formula is in a title; and a hill is that of its surface."""
        return self.theory.nesterov if self.theory else self.surface

    def draw(self, scene: RatePicture) -> None:
        """Draw the maps with the cross at the knobs."""
        scene.draw(self.rates, self.cross, self.walk, self.theory)

    def words(self) -> str:
        """The best cell, what diverges, and what happens at the cross."""
        symbol = KNOBS[self._over].symbol if self._over in KNOBS else self._over.replace("_", " ")
        return rate_caption(self.surface, symbol, self.rates, self.cross, self.walk, self.theory)

    def pointed(self, scene: RatePicture, x: float, y: float) -> None:
        """Load the cell that was clicked."""
        place = scene.at(x, y)
        if place is not None:
            self._load(*self.rates.cell(*place))

    def nudged(self, right: float, up: float) -> None:
        """Load the next cell."""
        row, column = self.rates.cell(*self.cross)
        self._load(row + int(up), column + int(right))

    def _load(self, row: int, column: int) -> None:
        rates, values = self.rates.learning_rates, self.rates.values
        with self.one_run():
            self.knobs["learning_rate"].value = float(rates[min(max(column, 0), len(rates) - 1)])
            self.knobs[self._over].value = float(values[min(max(row, 0), len(values) - 1)])

    def _at(self, learning_rate: Any, value: Any) -> MakeOptimizer:
        """The optimizer with these hyperparameters, and its others as they begin."""
        values = {**self._free, "learning_rate": learning_rate, self._over: value}
        if self._is_sgd:
            look_ahead = self.knobs["nesterov"].value
            values["nesterov"] = look_ahead and bool(np.all(value > 0))  # there is none without momentum
        make = self.fixed["optimizer"]
        return partial(make, **keywords(make, values))


def _goes_in_equal_steps(name: str, value: Any) -> bool:
    knob = control(name, value)
    close(knob)  # nobody else would: the kernel holds every widget
    return isinstance(knob, FloatSlider)
