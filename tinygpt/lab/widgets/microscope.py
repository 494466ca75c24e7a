"""Microscope: one step of an optimizer, as arrows and as its formula in numbers."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

from tinygpt.lab.charts.microscope import MicroscopePicture, microscope_caption
from tinygpt.lab.charts.style import styles
from tinygpt.lab.source import as_code
from tinygpt.lab.steps import Anatomy, Step, Walk, anatomy, walk
from tinygpt.lab.surfaces import SURFACES, Loss, Point, Surface, as_surface
from tinygpt.lab.widgets.explorer import RACE
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import control, counter, field, hyperparameters, keywords, menu, told
from tinygpt.optimizers import AdaGrad, AdamW, Optimizer

MakeOptimizer = Callable[..., Optimizer]

OPTIMIZERS: dict[str, MakeOptimizer] = {**RACE, "AdaGrad": AdaGrad, "AdamW": AdamW}
CLOSE, WHOLE = "close-up", "whole path"
RATE = 0.1  # the learning rate that those of the menu begin with


class Microscope(Instrument):
    """A step microscope: scrub to any step of a walk, and see what it is made of.

    `optimizer` is one of OPTIMIZERS by name, or any Optimizer subclass or partial of one: of a reader's own every array
    in `state` is shown. `surface` is a name, a Surface or a function of x and y; `view` is "close-up" or "whole path".
    Hyperparameters go by the names of their knobs: learning_rate, momentum, beta1 and so on. See also `walk`, `step`
    and `anatomy`.
    """

    hint = "A click on the hill sets the start, and arrow keys move it."
    repaints = frozenset({"step", "view"})

    def __init__(
        self,
        optimizer: str | MakeOptimizer = "Adam",
        surface: str | Surface | Loss = "quadratic",
        start: Point | None = None,
        steps: int = 60,
        step: int = 1,
        view: str = CLOSE,
        **values: Any,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps must be >= 1, got {steps}")
        self._own = surface
        self._surfaces: dict[str, Surface] = dict(SURFACES)
        if not isinstance(surface, str):
            own = as_surface(surface)
            surface = next((name for name, known in SURFACES.items() if known is own), "yours")
            self._surfaces.setdefault(surface, own)
        self.fixed = {}
        self.knobs = self._optimizer_knobs(optimizer, values)
        options = [(known.name, name) for name, known in self._surfaces.items()]
        self.knobs["surface"] = menu(surface, options, "surface", "surface")
        self.knobs["view"] = menu(view, [CLOSE, WHOLE], "view", "what is seen of the path")
        self.knobs["steps"] = counter(steps, 1, max(300, steps), "steps", "steps in all")
        self.knobs["step"] = counter(step, 1, steps, "at step", "step shown")
        self._home: Point = self.surface.start if start is None else start
        self._place = [self._field(axis, value) for axis, value in zip("xy", self._home, strict=True)]
        super().__init__()

    @property
    def surface(self) -> Surface:
        """The surface that is walked on."""
        return self._surfaces[self.knobs["surface"].value]

    @property
    def start(self) -> Point:
        """Where the walk begins; setting it walks again."""
        x, y = (field.value for field in self._place)
        return x, y

    @start.setter
    def start(self, point: Point) -> None:
        with self.one_run():
            for field, value in zip(self._place, point, strict=True):
                field.value = float(value)

    @property
    def step(self) -> Step | None:
        """The step shown, or the last where the walk ended before it; None for a start off the map."""
        steps = self.walk.steps
        return steps[min(self.knobs["step"].value, len(steps)) - 1] if steps else None

    @property
    def anatomy(self) -> Anatomy | None:
        """How the optimizer came to that step."""
        return None if self.step is None else anatomy(self.walk.optimizer, self.step)

    @property
    def experiment(self) -> str:
        """One line of Python that makes this figure as it is now."""
        values = {name: told(knob) for name, knob in self.knobs.items() if name not in self._unused()}
        arguments = {name: as_code(value) for name, value in values.items()}
        if values["surface"] == "yours":
            arguments["surface"] = as_code(self._own)
        if self.start != self.surface.start:
            arguments["start"] = as_code(self.start)
        return f"Microscope({', '.join(f'{name}={code}' for name, code in arguments.items())})"

    # --- what is turned ----------------------------------------------------------------------------------------------

    def _optimizer_knobs(self, optimizer: str | MakeOptimizer, values: dict[str, Any]) -> dict[str, Any]:
        """The menu of optimizers, and a knob for each hyperparameter that one of them has."""
        if isinstance(optimizer, str) and optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZERS)}, or a class, got {optimizer!r}")
        makers: dict[Any, MakeOptimizer] = dict(OPTIMIZERS)
        known = next((name for name, make in OPTIMIZERS.items() if optimizer in (name, make)), None)
        if known is None:
            makers[optimizer] = optimizer  # type: ignore[assignment]
        chosen = known or optimizer
        self._makers, self._labels = makers, {key: _label(key) for key in makers}
        self._free = {key: hyperparameters(make) for key, make in makers.items()}
        first = {**({"learning_rate": RATE} if known else {}), **values}
        free = {name: value for own in self._free.values() for name, value in own.items()}
        free |= {"learning_rate": RATE, **self._free[chosen], **first}
        if unknown := values.keys() - {name for own in self._free.values() for name in own}:
            raise TypeError(f"{self._labels[chosen]} has no {', '.join(sorted(unknown))}: see its signature")
        options = [(label, key) for key, label in self._labels.items()]
        knobs = {"optimizer": menu(chosen, options, "optimizer", "optimizer")}
        return knobs | {name: control(name, value) for name, value in free.items()}

    def _field(self, axis: str, value: float) -> Any:
        made = field(value, f"start {axis}", f"start {axis}")
        made.observe(lambda _: self.turned("start"), "value")
        return made

    def _unused(self) -> set[str]:
        """The knobs of hyperparameters that the optimizer has not got."""
        free = {name for own in self._free.values() for name in own}
        return free - self._free[self.knobs["optimizer"].value].keys()

    def turned(self, name: str) -> None:
        """Another surface has a start of its own, and another length of the walk other steps to show."""
        with self.one_run(name not in self.repaints):
            if name == "surface":
                self.start = self.surface.start
            if name == "steps":
                self.knobs["step"].max = self.knobs["steps"].value

    def reset(self, _: Any = None) -> None:
        """Turn all knobs, and the start, back to where they were at first."""
        with self.one_run():
            super().reset()
            self.start = self._home

    def pointed(self, scene: MicroscopePicture, x: float, y: float) -> None:
        """The start goes where the pointer is."""
        if scene.hill.holds(x, y):
            self.start = tuple(float(f"{v:.6g}") for v in scene.hill.at(x, y))  # type: ignore[assignment]

    def nudged(self, right: float, up: float) -> None:
        """The start moves by an eightieth of the surface."""
        (x0, x1), (y0, y1) = self.surface.bounds
        x, y = self.start
        self.start = round(x + right * (x1 - x0) / 80, 6), round(y + up * (y1 - y0) / 80, 6)

    # --- what happens then -------------------------------------------------------------------------------------------

    def compute(self) -> None:
        """Walk, with the hyperparameters that this optimizer has."""
        unused, key = self._unused(), self.knobs["optimizer"].value
        for name in {name for own in self._free.values() for name in own}:
            self.knobs[name].layout.display = "none" if name in unused else None
        make, values = self._makers[key], {name: self.knobs[name].value for name in self._free[key]}
        made = partial(make, **keywords(make, values))
        self.walk: Walk = walk(self.surface, made, self.start, self.knobs["steps"].value)
        self._walked = self.surface, self._labels[key]

    def scene_key(self) -> Hashable:
        """A scene is of one surface."""
        return self._walked[0]

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> MicroscopePicture:
        """The hill, and the place for the lines."""
        return MicroscopePicture(self._walked[0], theme, ratio, narrow)

    def draw(self, scene: MicroscopePicture) -> None:
        """The step shown."""
        style = styles(self._labels.values())[self._walked[1]]
        scene.draw(self.walk, style, self.step, self.anatomy, self.knobs["view"].value == WHOLE)

    def words(self) -> str:
        """The step shown, in words."""
        surface, label = self._walked
        return microscope_caption(surface, self.walk, self.step, self.anatomy, label)

    def layout(self) -> list[list[Any]]:
        """What walks where, its hyperparameters, the picture, its player, the start."""
        chosen = [self.knobs[name] for name in ("optimizer", "surface", "view")]
        steps, step = self.knobs["steps"], self.knobs["step"]
        step.layout.width = "420px"
        rest = [knob for knob in self.knobs.values() if knob not in (*chosen, steps, step)]
        row = self.play_row(step)
        self.player.min = 1
        return [chosen, rest, [self.view], [row, steps], [*self._place, self.reset_button()]]


def _label(key: Any) -> str:
    """The name of one of the menu, or of a reader's class."""
    if isinstance(key, str):
        return key
    name = getattr(key.func if isinstance(key, partial) else key, "__name__", "yours")
    return f"{name} (yours)" if name in OPTIMIZERS else name
