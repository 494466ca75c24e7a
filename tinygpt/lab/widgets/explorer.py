"""Explorer: the race. Several optimizers on one surface, with a knob for everything that can be turned."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from html import escape
from typing import Any

import ipywidgets
from ipywidgets import HTML, Accordion, Box, Button, Checkbox, Dropdown, FloatText, HBox, IntSlider, Play, VBox

from tinygpt.lab.charts.race import RacePicture, race_caption
from tinygpt.lab.charts.style import THEMES, styles
from tinygpt.lab.descent import Trajectory, Walker, descend, tuned_learning_rate
from tinygpt.lab.surfaces import SURFACES, Loss, Point, Surface, as_surface
from tinygpt.lab.widgets.housekeeping import replace_earlier
from tinygpt.lab.widgets.knobs import SHARED, control, hyperparameters, keywords
from tinygpt.lab.widgets.picture import Picture
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


class Explorer(VBox):  # type: ignore[misc]
    """A race of optimizers down a surface, redrawn whenever a knob turns.

    `optimizers` maps a label to an Optimizer subclass or a partial of one. Bound keywords are fixed; every other
    hyperparameter is a knob: `knobs["learning_rate"]`, `["momentum"]`, `["beta1"]`, `["beta2"]` turn those of all that
    have one, `knobs["Adam.learning_rate"]` one optimizer's own. Setting a knob's `value` runs the descent and repaints
    before it returns: see `trajectories`, `picture` (JPEG bytes) and `caption`. With `tuned`, the shared learning rate
    is a multiple of each one's own best on this surface.
    """

    _link: Any = None  # of the player to the step shown

    def __init__(
        self,
        surface: Surface | str | Loss = "rosenbrock",
        optimizers: Mapping[str, MakeOptimizer] | None = None,
        start: Point | None = None,
        steps: int = 200,
        tuned: bool = False,
    ) -> None:
        if not isinstance(optimizers or {}, Mapping):
            raise TypeError(f'optimizers must map labels to classes, like {{"Adam": Adam}}, got {optimizers!r}')
        if steps < 1:
            raise ValueError(f"steps must be >= 1, got {steps}")
        self._makers = dict(RACE if optimizers is None else optimizers)
        self._styles = styles(self._makers)
        self.surface = as_surface(surface)
        self.trajectories: dict[str, Trajectory] = {}
        self._runs: dict[str, tuple[Any, ...]] = {}  # what each trajectory is of
        self._refused: dict[str, str] = {}
        self._complaint = ""
        self._begin: Point = self.surface.start
        self._pictures: dict[tuple[Any, ...], RacePicture] = {}
        self._tuned: dict[tuple[Surface, str], float] = {}
        self._held = True
        self._complains = False  # in the cell that makes the figure an error is raised, and later told in the caption
        self._view = Picture()
        self._home: Point = self.surface.start if start is None else start
        self._home_rates = TUNED if tuned else SAME
        self._make_knobs()
        self._make_controls(self._home, steps)
        super().__init__(self._layout(), _dom_classes=("tinygpt-explorer",))
        self._held = False
        self._view.observe(self._adapt, ["ratio", "theme", "narrow"])
        self._view.observe(self._point, "pointer")
        self._view.on_nudge(self._nudge)
        if tuned and "learning_rate" in self.knobs:
            self.rates.value = TUNED
        else:
            self._run()
        self._complains = True
        replace_earlier(self)

    @property
    def picture(self) -> bytes:
        """What is shown, as JPEG."""
        return bytes(self._view.image)

    @property
    def caption(self) -> str:
        """What is shown, in words."""
        return str(self._view.caption)

    @property
    def start(self) -> Point:
        """Where all optimizers begin; setting it runs the race again."""
        return self._x.value, self._y.value

    @start.setter
    def start(self, point: Point) -> None:
        with self._one_run():
            self._x.value, self._y.value = map(float, point)

    # --- what is turned ----------------------------------------------------------------------------------------------

    def _make_knobs(self) -> None:
        """A knob of its own for every free hyperparameter, and shared ones that turn them together."""
        self._free = {label: hyperparameters(make) for label, make in self._makers.items()}
        self.knobs: dict[str, Any] = {}
        for name in SHARED:
            values = [free[name] for free in self._free.values() if name in free]
            if values:
                self.knobs[name] = control(name, values[0])
                self.knobs[name].observe(partial(self._turn_all, name), "value")
        for label, free in self._free.items():
            for name, value in free.items():
                knob = self.knobs[f"{label}.{name}"] = control(name, value, label)
                if name in SHARED and hasattr(knob, "continuous_update"):
                    knob.continuous_update = False  # else the browser sends back, late, every value it is sent
                knob.observe(self._changed, "value")
        self._initial = {name: knob.value for name, knob in self.knobs.items()}

    def _turn_all(self, name: str, change: Any) -> None:
        with self._one_run():
            for label, free in self._free.items():
                if name in free:
                    unit = self._tuned_rate(label) if self._is_tuned(name) else 1.0
                    self.knobs[f"{label}.{name}"].value = change["new"] * unit

    def _is_tuned(self, name: str) -> bool:
        return name == "learning_rate" and self.rates.value == TUNED

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
        tuned = self.rates.value == TUNED
        with self._one_run():
            knob.description = "λ ×" if tuned else "λ"
            value = 1.0 if tuned else self._initial["learning_rate"]
            if knob.value == value:
                self._turn_all("learning_rate", {"new": value})
            knob.value = value

    def _change_surface(self, _: Any) -> None:
        with self._one_run():
            self.surface = self._surfaces[self.surfaces.value]
            self.start = self._home = self.surface.start
            if self._is_tuned("learning_rate"):
                self._turn_all("learning_rate", {"new": self.knobs["learning_rate"].value})

    def _change_steps(self, _: Any) -> None:
        at_end = self.scrub.value == self.scrub.max
        with self._one_run():
            self.scrub.max = self.player.max = self.steps.value
            if at_end:
                self.scrub.value = self.steps.value

    def _reset_knobs(self, _: Any) -> None:
        with self._one_run():
            self.rates.value = SAME
            for name, value in self._initial.items():
                self.knobs[name].value = value
            self.rates.value = self._home_rates

    def _reset_start(self, _: Any) -> None:
        self.start = self._home

    def _point(self, change: Any) -> None:
        picture = self._scene()
        x, y = change["new"][0] * picture.width, change["new"][1] * picture.height
        if picture.on_hill(x, y):
            self.start = tuple(round(v, 3) for v in picture.at(x, y))  # type: ignore[assignment]

    def _nudge(self, right: float, up: float) -> None:
        (x0, x1), (y0, y1) = self.surface.bounds
        x, y = self.start
        self.start = round(x + right * (x1 - x0) / 80, 6), round(y + up * (y1 - y0) / 80, 6)

    @contextmanager
    def _one_run(self) -> Iterator[None]:
        """Turn several knobs and run once, at the end.

        What goes wrong, in a reader's own code say, is told in the caption, and the figure stays alive.
        """
        outermost, self._held = not self._held, True
        try:
            yield
            if outermost:
                self._run()
        except Exception as error:
            if not (outermost and self._complains):
                raise
            self._complaint = f"{type(error).__name__}: {error}. The picture is of the last run that worked."
            self._view.show(self.picture, self._complaint)
        finally:
            if outermost:
                self._held = False

    # --- what happens then -------------------------------------------------------------------------------------------

    def _changed(self, _: Any = None) -> None:
        with self._one_run():
            pass

    def _run(self) -> None:
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
        self.trajectories = {label: fresh.get(label) or self.trajectories[label] for label in racers}
        self._runs, self._refused, self._begin, self._complaint = runs, refused, start, ""
        self._paint()

    def _scrubbed(self, _: Any) -> None:
        if not self._held:
            self._paint()

    def _adapt(self, _: Any) -> None:
        """Draw for another screen or page, once for all that has changed of it."""
        if self._scene() is not self._painted:
            self._paint()

    def _paint(self) -> None:
        self._painted, step = self._scene(), min(self.scrub.value, self.steps.value)
        self._painted.draw(self.trajectories, self._styles, self._begin, step)
        self._view.show(self._painted.jpeg(), self._words(step))

    def _words(self, step: int) -> str:
        if self._complaint:
            return self._complaint
        refusals = [f"{label} is not running: {reason}." for label, reason in self._refused.items()]
        return " ".join([race_caption(self.surface, self.trajectories, step), *refusals])

    def _scene(self) -> RacePicture:
        """The still picture for this surface and screen; kept once drawn, the last few."""
        view = self._view
        key = (self.surface, view.theme, view.ratio, view.narrow)
        if key not in self._pictures:
            while len(self._pictures) >= 4:
                self._pictures.pop(next(iter(self._pictures)))
            self._pictures[key] = RacePicture(self.surface, view.theme, view.ratio, view.narrow)
        return self._pictures[key]

    # --- how it looks ------------------------------------------------------------------------------------------------

    def _make_controls(self, start: Point, steps: int) -> None:
        own = next((name for name, s in SURFACES.items() if s is self.surface), None)
        self._surfaces = dict(SURFACES) if own else {"yours": self.surface, **SURFACES}
        options = [(surface.name, name) for name, surface in self._surfaces.items()]
        short = {"description_width": "64px"}
        self.surfaces = Dropdown(options=options, value=own or "yours", description="surface", style=short)
        self.rates = ipywidgets.ToggleButtons(
            options=[SAME, TUNED],
            tooltips=[
                "one learning rate for every optimizer",
                "each optimizer's own best learning rate on this surface, found by a search, times the slider",
            ],
            style={"button_width": "auto"},
        )
        self.steps = IntSlider(steps, min=1, max=max(1000, steps), description="steps", style=short, tooltip="steps")
        self.player = Play(value=steps, max=steps, step=2, interval=50, show_repeat=False)
        self.scrub = IntSlider(
            steps, max=steps, description="at step", style=short, tooltip="step shown", layout={"width": "420px"}
        )
        self._link = ipywidgets.jslink((self.player, "value"), (self.scrub, "value"))
        self._x, self._y = (
            FloatText(value, step=0.05, description=label, style=short, layout={"width": "170px"})
            for value, label in zip(map(float, start), ("start x", "start y"), strict=True)
        )
        self.shown = {
            label: Checkbox(True, indent=False, layout={"width": "auto", "margin": "0 14px 0 0"}, tooltip=label)
            for label in self._makers
        }
        self._reset = Button(description="reset knobs", tooltip="all knobs as they were; the start stays")
        self._restart = Button(description="reset start", tooltip="the start as it was, or as the surface has it")
        for widget in (self._x, self._y, *self.shown.values()):
            widget.observe(self._changed, "value")
        self.scrub.observe(self._scrubbed, "value")
        self.surfaces.observe(self._change_surface, "value")
        self.steps.observe(self._change_steps, "value")
        self.rates.observe(self._change_rates, "value")
        self._reset.on_click(self._reset_knobs)
        self._restart.on_click(self._reset_start)
        self._view.observe(self._name_optimizers, "theme")
        self._name_optimizers()

    def _name_optimizers(self, _: Any = None) -> None:
        theme = THEMES[self._view.theme]
        for label, box in self.shown.items():
            style = self._styles[label]
            box.description_allow_html = True
            box.description = f'<span style="color:{style.line(theme)}">{_SHAPES[style.marker]}</span> {escape(label)}'

    def _layout(self) -> list[Any]:
        row = {"flex_flow": "row wrap", "align_items": "center"}
        shared = [self.knobs[name] for name in SHARED if name in self.knobs]
        for knob in shared:
            knob.layout.width = "400px" if knob is self.knobs.get("learning_rate") else "220px"
        rest = []
        for label, free in self._free.items():
            own = [self.knobs[f"{label}.{name}"] for name in free]
            rest.append(Box([HTML(f"<b>{escape(label)}</b>", layout={"width": "90px"}), *own], layout=row))
        fold = Accordion([VBox(rest)], titles=("every knob of every optimizer",), selected_index=None)
        top = [self.surfaces, self.rates] if "learning_rate" in self.knobs else [self.surfaces]
        return [
            Box(top, layout=row),
            Box(shared, layout=row),
            Box(list(self.shown.values()), layout={**row, "margin": "2px 0 4px 8px"}),
            self._view,
            Box([self.player, self.scrub, self.steps], layout=row),
            Box([self._x, self._y, HBox([self._restart, self._reset])], layout=row),
            fold,
        ]

    def close(self) -> None:
        """Close the widget, and the link that nothing else would close."""
        if self._link is not None:
            self._link.close()
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The live widget where there is a front end, and the picture with its caption where there is none."""
        bundle = super()._repr_mimebundle_(**options)
        still = RacePicture(self.surface, ratio=2)
        still.draw(self.trajectories, self._styles, self._begin, min(self.scrub.value, self.steps.value))
        picture = {"text/plain": self.caption, "image/png": base64.b64encode(still.png()).decode("ascii")}
        return {**bundle, **picture}, {"image/png": {"width": still.width}}

    def __repr__(self) -> str:
        return self.caption
