"""Explorer: the race. Several optimizers on one surface, with a knob for everything that can be turned."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

from ipywidgets import HTML, Accordion, Box, Button, Checkbox, Dropdown, HBox, ToggleButtons, VBox

from tinygpt.lab.charts.race import RacePicture, race_caption
from tinygpt.lab.charts.style import THEMES, styles
from tinygpt.lab.descent import Trajectory, Walker, descend, recorded, tuned_learning_rate
from tinygpt.lab.source import as_code
from tinygpt.lab.surfaces import SURFACES, Loss, Point, Surface, as_surface
from tinygpt.lab.widgets.instrument import ROW, Instrument
from tinygpt.lab.widgets.knobs import (
    SHARED,
    control,
    counter,
    field,
    hyperparameters,
    keywords,
    nearest,
    step_slider,
    told,
)
from tinygpt.optimizers import SGD, Adam, Optimizer, RMSProp

MakeOptimizer = Callable[..., Optimizer]

RACE: dict[str, MakeOptimizer] = {
    "SGD": partial(SGD, momentum=0.0, dampening=0.0, nesterov=False),
    "momentum": partial(SGD, nesterov=False),
    "Nesterov": partial(SGD, dampening=0.0, nesterov=True),
    "RMSProp": RMSProp,
    "Adam": Adam,
}

SAME, TUNED = "the same λ for all", "λ × each one's tuned λ"
_SHAPES = {"o": "●", "s": "■", "^": "▲", "D": "◆", "*": "★", "P": "✚", "X": "✖", "v": "▼"}


class Explorer(Instrument):
    """A race of optimizers down a surface, redrawn whenever a knob turns.

    `optimizers` maps a label to an Optimizer subclass or a partial of one, or to a path recorded elsewhere, an array of
    points (steps + 1, 2). Bound keywords are fixed; every other hyperparameter is a knob: `knobs["learning_rate"]`,
    `["momentum"]`, `["beta1"]`, `["beta2"]` turn those of all that have one, `knobs["Adam.learning_rate"]` one
    optimizer's own. Setting a knob's `value` runs the descent and repaints before it returns: see `trajectories`,
    `picture` (JPEG bytes) and `caption`. With `tuned`, the shared learning rate is a multiple of each one's own best on
    this surface. `step` is the step shown at first (the last, if none is given), `knobs` maps names to values to begin
    with, and `shown` lists those who run (all, if it is left out).
    """

    hint = "Arrow keys move the start."
    repaints = frozenset({"step"})

    def __init__(
        self,
        surface: Surface | str | Loss = "rosenbrock",
        optimizers: Mapping[str, MakeOptimizer | Any] | None = None,
        start: Point | None = None,
        steps: int = 200,
        tuned: bool = False,
        step: int | None = None,
        knobs: Mapping[str, Any] | None = None,
        shown: Sequence[str] | None = None,
    ) -> None:
        if not isinstance(optimizers or {}, Mapping):
            raise TypeError(f'optimizers must map labels to classes, like {{"Adam": Adam}}, got {optimizers!r}')
        self._racers = dict(RACE if optimizers is None else optimizers)
        if strange := set(shown or ()) - self._racers.keys():
            raise ValueError(f"shown must be among {', '.join(self._racers)}, got {', '.join(sorted(strange))}")
        self._makers = {label: racer for label, racer in self._racers.items() if callable(racer)}
        self._styles = styles(self._racers)
        self.surface, self._given = as_surface(surface), surface
        self.trajectories: dict[str, Trajectory] = {}
        self._runs: dict[str, tuple[Any, ...]] = {}  # what each trajectory is of
        self._refused: dict[str, str] = {}
        self._begin: Point = self.surface.start
        self._tuned: dict[tuple[Surface, str], float] = {}
        self._home: Point = self.surface.start if start is None else start
        self._home_rates = TUNED if tuned else SAME
        self._beginning = dict(knobs or {})
        self._make_knobs(steps, step)
        self._make_controls(self._home, steps, self._racers if shown is None else shown)
        super().__init__()
        self.view.observe(self._name_optimizers, "theme")

    @property
    def start(self) -> Point:
        """Where all optimizers begin; setting it runs the race again."""
        return self._x.value, self._y.value

    @start.setter
    def start(self, point: Point) -> None:
        with self.one_run():
            self._x.value, self._y.value = map(float, point)

    @property
    def experiment(self) -> str:
        """One line of Python that makes this figure as it is now."""
        tuned = self.rates.value == TUNED and "learning_rate" in self.knobs
        shared = [name for name in SHARED if name in self.knobs]
        turned = {name: told(self.knobs[name]) for name in shared if not self._stands(name, self._neutral(name))}
        for label, free in self._free.items():
            for name in free:
                own = f"{label}.{name}"
                follows = name in turned or (tuned and name == "learning_rate")
                expected = self.knobs[name].value * self._unit(label, name) if follows else self._initial[own]
                if not self._stands(own, expected):
                    turned[own] = told(self.knobs[own])
        names = [label for label in self._racers if self.shown[label].value]
        optional = {
            "start": (self.start, self.surface.start),
            "steps": (self.steps.value, 200),
            "tuned": (tuned, False),
            "step": (self.scrub.value, self.steps.value),
            "knobs": (turned, {}),
            "shown": (names, list(self._racers)),
        }
        is_race = self._racers.keys() == RACE.keys() and all(self._racers[label] is RACE[label] for label in RACE)
        given = [f"{name}={as_code(value)}" for name, (value, default) in optional.items() if value != default]
        optimizers = "RACE" if is_race else as_code(self._racers)
        return f"Explorer({', '.join([self._surface_code(), optimizers, *given])})"

    # --- what is turned ----------------------------------------------------------------------------------------------

    def _make_knobs(self, steps: int, step: int | None) -> None:
        """A knob of its own for every free hyperparameter, and shared ones that turn them together."""
        self._free = {label: hyperparameters(make) for label, make in self._makers.items()}
        self.knobs: dict[str, Any] = {}
        for name in SHARED:
            values = [free[name] for free in self._free.values() if name in free]
            if values:
                self.knobs[name] = control(name, values[0])
        for label, free in self._free.items():
            for name, value in free.items():
                knob = self.knobs[f"{label}.{name}"] = control(name, value, label)
                if name in SHARED and hasattr(knob, "continuous_update"):
                    knob.continuous_update = False  # else the browser sends back, late, every value it is sent
        self.scrub = self.knobs["step"] = step_slider(step, steps)

    def prepare(self) -> None:
        """Turn knobs to where this figure shall begin: shared ones first, which turn the others."""
        if "learning_rate" in self.knobs:
            self.rates.value = self._home_rates
        for name in sorted(self._beginning, key=lambda name: "." in name):
            if name not in self.knobs:
                raise ValueError(f"knobs must be among {', '.join(self.knobs)}, got {name!r}: name one of them")
            self.knobs[name].value = nearest(self.knobs[name], self._beginning[name])

    def turned(self, name: str) -> None:
        """Run those whom a knob concerns; a shared knob turns each one's own."""
        with self.one_run(name not in self.repaints):
            if name in SHARED:
                for label, free in self._free.items():
                    if name in free:
                        self.knobs[f"{label}.{name}"].value = self.knobs[name].value * self._unit(label, name)

    def _stands(self, name: str, value: float) -> bool:
        """Whether a knob stands there, but for the rounding of browsers."""
        return math.isclose(self.knobs[name].value, value, rel_tol=1e-9, abs_tol=1e-12)

    def _unit(self, label: str, name: str) -> float:
        """What a shared knob at 1 means for one optimizer."""
        return self._tuned_rate(label) if name == "learning_rate" and self.rates.value == TUNED else 1.0

    def _neutral(self, name: str) -> float:
        """Where a shared knob stands at first."""
        tuned = name == "learning_rate" and self.rates.value == TUNED
        return 1.0 if tuned else float(self._initial[name])

    def _tuned_rate(self, label: str) -> float:
        key = self.surface, label
        if key not in self._tuned:
            defaults = {name: self._initial[f"{label}.{name}"] for name in self._free[label] if name != "learning_rate"}
            make = partial(self._makers[label], **keywords(self._makers[label], defaults))
            self._tuned[key] = tuned_learning_rate(self.surface, make)
        return self._tuned[key]

    def _change_rates(self, _: Any) -> None:
        """The shared learning rate now means something else: show it at its own neutral value and range."""
        knob = self.knobs["learning_rate"]
        with self.one_run():
            knob.description = "λ ×" if self.rates.value == TUNED else "λ"
            if knob.value == self._neutral("learning_rate"):
                self.turned("learning_rate")
            knob.value = self._neutral("learning_rate")

    def _change_surface(self, _: Any) -> None:
        with self.one_run():
            self.surface = self._surfaces[self.surfaces.value]
            self.start = self._home = self.surface.start
            if self.rates.value == TUNED:
                self.turned("learning_rate")

    def _change_steps(self, _: Any) -> None:
        at_end = self.scrub.value == self.scrub.max
        with self.one_run():
            self.scrub.max = self.player.max = self.steps.value
            if at_end:
                self.scrub.value = self.steps.value

    def reset(self, _: Any = None) -> None:
        """All knobs as they were at first; the start and the step shown stay."""
        with self.one_run():
            self.rates.value = SAME
            for name, value in self._initial.items():
                if name != "step":
                    self.knobs[name].value = value
            self.prepare()

    def _reset_start(self, _: Any) -> None:
        self.start = self._home

    def pointed(self, scene: RacePicture, x: float, y: float) -> None:
        """The start goes where the pointer is."""
        if scene.hill.holds(x, y):
            self.start = tuple(round(v, 3) for v in scene.hill.at(x, y))  # type: ignore[assignment]

    def nudged(self, right: float, up: float) -> None:
        """The start moves by an eightieth of the hill."""
        (x0, x1), (y0, y1) = self.surface.bounds
        x, y = self.start
        self.start = round(x + right * (x1 - x0) / 80, 6), round(y + up * (y1 - y0) / 80, 6)

    # --- what happens then -------------------------------------------------------------------------------------------

    def compute(self) -> None:
        """Run those for whom something has changed: a turn of β concerns Adam alone."""
        racers, refused, runs = {}, {}, {}
        start, steps = self.start, self.steps.value
        for label, make in self._makers.items():
            if self.shown[label].value:
                values = {name: self.knobs[f"{label}.{name}"].value for name in self._free[label]}
                racer = partial(make, **keywords(make, values))
                try:
                    racer(Walker(start))
                except ValueError as error:
                    refused[label] = str(error)
                else:
                    racers[label] = racer
                    runs[label] = (id(self.surface), start, steps, tuple(values.items()))
        changed = {label: racer for label, racer in racers.items() if self._runs.get(label) != runs[label]}
        fresh = descend(self.surface, changed, start, steps)
        paths = {label: self._racers[label] for label in self._racers.keys() - self._makers if self.shown[label].value}
        fresh |= {label: recorded(self.surface, path, steps) for label, path in paths.items()}
        running = [label for label in self._racers if label in racers or label in paths]
        self.trajectories = {label: fresh.get(label) or self.trajectories[label] for label in running}
        self._runs, self._refused, self._begin = runs, refused, start

    def scene_key(self) -> Hashable:
        """A hill is drawn once for each surface."""
        return self.surface

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> RacePicture:
        """The hill, and the axes of the loss."""
        return RacePicture(self.surface, theme, ratio, narrow)

    def draw(self, scene: RacePicture) -> None:
        """The paths up to the step shown."""
        scene.draw(self.trajectories, self._styles, self._begin, self._step())

    def words(self) -> str:
        """The race in words, and who is not running and why."""
        refusals = [f"{label} is not running: {reason}." for label, reason in self._refused.items()]
        return " ".join([race_caption(self.surface, self.trajectories, self._step()), *refusals])

    def _step(self) -> int:
        return min(int(self.scrub.value), int(self.steps.value))

    def _surface_code(self) -> str:
        own = next((name for name, s in SURFACES.items() if s is self.surface), None)
        return as_code(own or self._given)

    # --- how it looks ------------------------------------------------------------------------------------------------

    def _make_controls(self, start: Point, steps: int, shown: Sequence[str] | Mapping[str, Any]) -> None:
        own = next((name for name, s in SURFACES.items() if s is self.surface), None)
        self._surfaces = dict(SURFACES) if own else {"yours": self.surface, **SURFACES}
        options = [(surface.name, name) for name, surface in self._surfaces.items()]
        short = {"description_width": "64px"}
        self.surfaces = Dropdown(options=options, value=own or "yours", description="surface", style=short)
        self.rates = ToggleButtons(
            options=[SAME, TUNED],
            tooltips=[
                "one learning rate for every optimizer",
                "each optimizer's own best learning rate on this surface, found by a search, times the slider",
            ],
            style={"button_width": "auto"},
        )
        self.steps = counter(steps, 1, max(1000, steps), "steps", "steps")
        self.scrub.layout.width = "420px"
        self._x, self._y = (
            field(value, label, label) for value, label in zip(start, ("start x", "start y"), strict=True)
        )
        self.shown = {
            label: Checkbox(
                label in shown, indent=False, layout={"width": "auto", "margin": "0 14px 0 0"}, tooltip=label
            )
            for label in self._racers
        }
        self._reset = Button(description="reset knobs", tooltip="all knobs as they were; the start stays")
        self._restart = Button(description="reset start", tooltip="the start as it was, or as the surface has it")
        for widget in (self._x, self._y, *self.shown.values()):
            widget.observe(self._changed, "value")
        self.surfaces.observe(self._change_surface, "value")
        self.steps.observe(self._change_steps, "value")
        self.rates.observe(self._change_rates, "value")
        self._reset.on_click(self.reset)
        self._restart.on_click(self._reset_start)

    def _name_optimizers(self, _: Any = None) -> None:
        theme = THEMES[self.view.theme]
        for label, box in self.shown.items():
            style = self._styles[label]
            box.description_allow_html = True
            box.description = f'<span style="color:{style.line(theme)}">{_SHAPES[style.marker]}</span> {escape(label)}'

    def layout(self) -> list[list[Any]]:
        """Surface and rates, shared knobs, who runs, the picture, its player, the start, and every knob in a fold."""
        self._name_optimizers()
        self.rates.layout.display = None if "learning_rate" in self.knobs else "none"
        shared = [self.knobs[name] for name in SHARED if name in self.knobs]
        for knob in shared:
            knob.layout.width = "400px" if knob is self.knobs.get("learning_rate") else "220px"
        rest = []
        for label, free in self._free.items():
            own = [self.knobs[f"{label}.{name}"] for name in free]
            rest.append(Box([HTML(f"<b>{escape(label)}</b>", layout={"width": "90px"}), *own], layout=ROW))
        fold = Accordion([VBox(rest)], titles=("every knob of every optimizer",), selected_index=None)
        racers = Box(list(self.shown.values()), layout={**ROW, "margin": "2px 0 4px 8px"})
        return [
            [self.surfaces, self.rates],
            shared,
            [racers],
            [self.view],
            [self.play_row(self.scrub, 2), self.steps],
            [self._x, self._y, HBox([self._restart, self._reset])],
            [fold],
        ]

    def _changed(self, _: Any = None) -> None:
        with self.one_run():
            pass
