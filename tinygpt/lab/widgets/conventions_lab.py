"""Conventions lab: two algorithms of one name, side by side."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from tinygpt.lab.charts.conventions import ConventionsPicture, conventions_caption
from tinygpt.lab.conventions import CONVENTIONS, PROBLEMS, SETTINGS, compare
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, Knob, counter, menu, slider, step_slider

_RATE = Knob("λ", "learning rate λ", -4, 1, 0.1, 0.05, log=True)
_DROP = Knob("λ ×", "what the learning rate is multiplied by when it drops", -3, 0, 0.1, 0.05, log=True)


class Conventions(Instrument):
    """The switchboard: two of CONVENTIONS on one of PROBLEMS, and how far apart they are.

    From step `drop_at` on λ is `drop` times what it was. Of the other knobs those are shown that one of the two has.
    A click in the strip moves the drop.
    """

    hint = "Click in the strip to move the drop of λ. Arrow keys move it too, and change λ."
    repaints = frozenset({"step"})

    def __init__(
        self,
        left: str = "momentum, λ outside v",
        right: str = "momentum, λ inside v",
        problem: str = "parabola, g = w",
        learning_rate: float = 0.1,
        drop: float = 0.1,
        drop_at: int = 20,
        momentum: float = SETTINGS["momentum"],
        dampening: float = SETTINGS["dampening"],
        beta2: float = SETTINGS["beta2"],
        eps: float = SETTINGS["eps"],
        weight_decay: float = SETTINGS["weight_decay"],
        steps: int = 60,
        step: int | None = None,
    ) -> None:
        settings = {
            "momentum": momentum,
            "dampening": dampening,
            "beta2": beta2,
            "eps": eps,
            "weight_decay": weight_decay,
        }
        self.knobs: dict[str, Any] = {
            "left": menu(left, list(CONVENTIONS), "left", "the convention drawn solid"),
            "right": menu(right, list(CONVENTIONS), "right", "the convention drawn dashed"),
            "problem": menu(problem, list(PROBLEMS), "problem", "where the gradients come from"),
            "learning_rate": slider(learning_rate, _RATE),
            "drop": slider(drop, _DROP),
            "drop_at": counter(drop_at, 0, steps + 1, "drop at", "the step from which on the learning rate is lower"),
            **{name: slider(value, KNOBS[name]) for name, value in settings.items()},
            "step": step_slider(step, steps, "step", "the step shown"),
        }
        self.fixed = {"steps": steps}
        super().__init__()

    def compute(self) -> None:
        """Run both, and show the knobs that one of them has."""
        taken = {name for convention in self._names() for name in CONVENTIONS[convention].takes}
        for name in SETTINGS:
            self.knobs[name].layout.display = None if name in taken else "none"
        self.found = compare(**{name: knob.value for name, knob in self.knobs.items() if name != "step"}, **self.fixed)

    def scene_key(self) -> Hashable:
        """The problem, which may have a surface."""
        return str(self.knobs["problem"].value)

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> ConventionsPicture:
        """The paths and the strip."""
        return ConventionsPicture(PROBLEMS[self.knobs["problem"].value].surface, theme, ratio, narrow)

    def draw(self, scene: ConventionsPicture) -> None:
        """Both paths up to the step."""
        scene.draw(self.found, self._names(), self.knobs["drop_at"].value, self.knobs["step"].value)

    def words(self) -> str:
        """The comparison in words."""
        value = {name: knob.value for name, knob in self.knobs.items()}
        drop = value["drop_at"], value["drop"]
        names = self._names()
        return conventions_caption(self.found, names, value["problem"], value["learning_rate"], drop, value["step"])

    def pointed(self, scene: ConventionsPicture, x: float, y: float) -> None:
        """A place in the strip is a step."""
        found = scene.step_at(x, y, self.fixed["steps"])
        if found is not None:
            self.knobs["drop_at"].value = found

    def nudged(self, right: float, up: float) -> None:
        """The drop to the side, λ upwards."""
        with self.one_run():
            self.knobs["drop_at"].value += round(right)
            self.knobs["learning_rate"].value *= 10 ** (up * _RATE.step)

    def layout(self) -> list[list[Any]]:
        """The menus, the knobs, the picture, and its player."""
        left, right, problem, *knobs, step = self.knobs.values()
        return [[left, right, problem], knobs, [self.view], [self.play_row(step), self.reset_button()]]

    def _names(self) -> tuple[str, str]:
        return self.knobs["left"].value, self.knobs["right"].value
