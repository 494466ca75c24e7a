"""BasinMap: which minimum a start leads to, for every start at once, with one optimizer and its knobs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from tinygpt.lab.charts.basin_map import BasinPicture, basin_caption
from tinygpt.lab.charts.style import styles
from tinygpt.lab.descent import Trajectory, descend
from tinygpt.lab.maps import Basins, basin_map
from tinygpt.lab.surfaces import SURFACES, Surface, as_surface
from tinygpt.lab.widgets.explorer import RACE
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, control, field, hyperparameters, keywords, menu
from tinygpt.optimizers import Optimizer

USUAL = ("learning_rate", "momentum", "alpha", "beta1", "beta2")  # the knobs that the race's optimizers have here
FIRST_RATE = 0.01  # steps that cross Himmelblau's surface within the 500


class BasinMap(Instrument):
    """A map of 160 × 160 starts in the colours of the minima that 500 steps lead to, and the walk from one of them.

    `optimizer` is a name of the race, "momentum" say, or a class of your own. Its hyperparameters are keywords:
    `BasinMap(optimizer="momentum", momentum=0.9)`. A click, or x and y, sets the start of the walk. An optimizer that
    cannot run from all starts at once runs from one after the other, on a coarser map.
    """

    hint = "Click a start to see its walk; arrow keys move it."
    basins: Basins
    walk: Trajectory

    def __init__(
        self,
        surface: Surface | str = "himmelblau",
        optimizer: str | Callable[..., Optimizer] = "SGD",
        x: float | None = None,
        y: float | None = None,
        **values: Any,
    ) -> None:
        if isinstance(optimizer, str) and optimizer not in RACE:
            raise ValueError(f"optimizer must be a class or one of {', '.join(RACE)}, got {optimizer!r}")
        self.surface = as_surface(surface)
        self.fixed = {}
        self._mapped: Any = None  # what the map is of: surface, optimizer and its hyperparameters
        hills: dict[Any, str] = {name: each.name for name, each in SURFACES.items() if len(each.minima) > 1}
        hills.setdefault(surface, self.surface.name)
        racers: dict[Any, None] = {**dict.fromkeys(RACE), optimizer: None}
        self._free = {racer: self._hyperparameters(racer) for racer in racers}
        self.knobs: dict[str, Any] = {
            "surface": menu(surface, [(name, hill) for hill, name in hills.items()], "surface", "surface"),
            "optimizer": menu(optimizer, [(_name(racer), racer) for racer in racers], "optimizer", "optimizer"),
        }
        for free in [self._free[optimizer], *self._free.values()]:
            for name, value in free.items():
                if name not in self.knobs:
                    self.knobs[name] = control(name, values.get(name, value))
                    self.knobs[name].value = values.get(name, self.knobs[name].value)
                    self.knobs[name].continuous_update = False  # a map takes half a second or more
        if values.keys() - self.knobs.keys():
            raise TypeError(f"BasinMap has knobs {', '.join(self.knobs)}, got {', '.join(values)}: name one of those")
        for name, given, usual in zip("xy", (x, y), self.surface.start, strict=True):
            self.knobs[name] = field(usual if given is None else given, f"start {name}", f"start {name}")
        super().__init__()

    def compute(self) -> None:
        """Walk from the start; and make the map anew if it is of something else."""
        racer, hill = self.knobs["optimizer"].value, self.knobs["surface"].value
        values = {name: self.knobs[name].value for name in self._free[racer]}
        make = partial(RACE.get(racer, racer), **keywords(RACE.get(racer, racer), values))
        start = self.knobs["x"].value, self.knobs["y"].value
        mapped = hill, racer, tuple(values.items())
        surface = as_surface(hill)
        basins = self.basins if mapped == self._mapped else basin_map(surface, make)
        self.walk = descend(surface, {"walk": make}, start, basins.steps)["walk"]
        self.surface, self.basins, self._mapped = surface, basins, mapped
        for name in self.knobs.keys() - {"surface", "optimizer", "x", "y"}:
            self.knobs[name].layout.display = None if name in values else "none"

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> BasinPicture:
        """The hill to draw on."""
        return BasinPicture(self.surface, theme, ratio, narrow)

    def scene_key(self) -> Hashable:
        """The hill is that of the surface."""
        return self.surface

    def draw(self, scene: BasinPicture) -> None:
        """Draw the basins, and the walk in its optimizer's style."""
        label = _name(self.knobs["optimizer"].value)
        scene.draw(self.basins, self.walk, styles([label])[label])

    def words(self) -> str:
        """What the starts reach, how much is border, and where the walk ends."""
        setting = [_name(self.knobs["optimizer"].value)]
        for name, value in self._mapped[2]:
            symbol = KNOBS[name].symbol if name in KNOBS else name.replace("_", " ")
            setting.append(f"{symbol} = {value:.3g}")
        return basin_caption(self.surface, self.basins, self.walk, ", ".join(setting))

    def turned(self, name: str) -> None:
        """A new surface brings its own start."""
        with self.one_run():
            if name == "surface":
                self._start_at(*as_surface(self.knobs["surface"].value).start)

    def pointed(self, scene: BasinPicture, x: float, y: float) -> None:
        """Walk from where the pointer is."""
        if scene.hill.holds(x, y):
            self._start_at(*(round(place, 3) for place in scene.hill.at(x, y)))

    def nudged(self, right: float, up: float) -> None:
        """Move the start by a cell or so."""
        (x0, x1), (y0, y1) = self.surface.bounds
        x, y = self.knobs["x"].value + right * (x1 - x0) / 100, self.knobs["y"].value + up * (y1 - y0) / 100
        self._start_at(round(x, 6), round(y, 6))

    def _start_at(self, x: float, y: float) -> None:
        with self.one_run():
            self.knobs["x"].value, self.knobs["y"].value = x, y

    @staticmethod
    def _hyperparameters(racer: Any) -> dict[str, Any]:
        """What is free of an optimizer, with the values to begin with."""
        free = hyperparameters(RACE.get(racer, racer))
        if racer not in RACE:
            return free
        return {name: FIRST_RATE if name == "learning_rate" else free[name] for name in USUAL if name in free}


def _name(racer: Any) -> str:
    return racer if isinstance(racer, str) else getattr(getattr(racer, "func", racer), "__name__", "yours")
