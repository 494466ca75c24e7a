"""Failure lab: the problem on which Adam walks to the worst point."""

from __future__ import annotations

from typing import Any

from tinygpt.lab.charts.failure import FailurePicture, failure_caption
from tinygpt.lab.failure import reddi
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, Knob, counter, slider, step_slider, switch

_LARGE = Knob("C", "C, the rare large gradient", 0, 20, 3.0, 0.1)
_RATE = Knob("λ", "learning rate λ", -3, 0, 0.1, 0.05, log=True)


class FailureLab(Instrument):
    """Reddi's problem: a rare large gradient, many small ones against it, and an Adam that goes with the small ones.

    `large` is C, which comes once in each `period`; `decays` lets λ fall as λ/√t, as the theorem has it. A click in the
    right panel sets β₂.
    """

    hint = "Click in the right panel to set beta two. Arrow keys change beta two and C."
    repaints = frozenset({"step"})

    def __init__(
        self,
        large: float = 3.0,
        period: int = 3,
        beta1: float = 0.0,
        beta2: float = 0.1,
        learning_rate: float = 0.1,
        decays: bool = False,
        steps: int = 120,
        step: int | None = None,
    ) -> None:
        self.knobs: dict[str, Any] = {
            "large": slider(large, _LARGE),
            "period": counter(period, 1, 20, "period", "steps from one large gradient to the next"),
            "beta1": slider(beta1, KNOBS["beta1"]),
            "beta2": slider(beta2, KNOBS["beta2"]),
            "learning_rate": slider(learning_rate, _RATE),
            "decays": switch(decays, "λ/√t", "the learning rate falls as one over the root of the step"),
            "step": step_slider(step, steps, "step", "the step shown"),
        }
        self.fixed = {"steps": steps}
        super().__init__()

    def compute(self) -> None:
        """Run Adam, AMSGrad and SGD."""
        self.run = reddi(*self._problem(), self.knobs["learning_rate"].value, **self.fixed, decays=self._falls())

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> FailurePicture:
        """Three panels."""
        return FailurePicture(theme, ratio, narrow)

    def draw(self, scene: FailurePicture) -> None:
        """The run up to the step."""
        scene.draw(self.run, self.knobs["beta2"].value, self.knobs["step"].value)

    def words(self) -> str:
        """The run in words."""
        rate = self.knobs["learning_rate"].value
        return failure_caption(self.run, *self._problem(), rate, self._falls(), self.knobs["step"].value)

    def pointed(self, scene: FailurePicture, x: float, y: float) -> None:
        """A place in the right panel is a β₂."""
        found = scene.beta2_at(x, y)
        if found is not None:
            self.knobs["beta2"].value = found

    def nudged(self, right: float, up: float) -> None:
        """β₂ to the side, C upwards."""
        with self.one_run():
            self.knobs["beta2"].value += right * 0.01
            self.knobs["large"].value += up * _LARGE.step

    def layout(self) -> list[list[Any]]:
        """The knobs, the picture, and its player."""
        *knobs, step = self.knobs.values()
        return [knobs, [self.view], [self.play_row(step), self.reset_button()]]

    def _problem(self) -> tuple[float, int, tuple[float, float]]:
        value = {name: knob.value for name, knob in self.knobs.items()}
        return value["large"], value["period"], (value["beta1"], value["beta2"])

    def _falls(self) -> bool:
        return bool(self.knobs["decays"].value)
