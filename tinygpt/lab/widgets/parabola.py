"""Parabola: gradient descent in one dimension, where a single number tells everything."""

from __future__ import annotations

from typing import Any

from tinygpt.lab.charts.parabola import ParabolaPicture, parabola_caption
from tinygpt.lab.linear import ride
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, slider, step_slider

LEARNING_RATE = Knob("λ", "learning rate λ", -2, 1, 1.0, 0.0025, log=True)
CURVATURE = Knob("h", "curvature h of the parabola", 0.05, 4, 1.0, 0.01)
START = Knob("start w", "where the walk starts", -2.5, 2.5, -2.0, 0.01)


class Parabola(Instrument):
    """SGD on ½hw²: each step multiplies w by 1 − λh, and a scale shows what becomes of it.

    `knobs` are `learning_rate`, `curvature` (h), `start` (also set by a click on the parabola) and `step`, the step
    shown, of `steps` that are done. See `ride` for the walk itself.
    """

    repaints = frozenset({"step"})
    hint = "A click on the parabola moves the start, and so do the left and right arrow keys."

    def __init__(
        self,
        learning_rate: float = 1.6,
        curvature: float = 1.0,
        start: float = -2.0,
        steps: int = 30,
        step: int | None = None,
    ) -> None:
        self.fixed = {"steps": steps}
        self.knobs = {
            "learning_rate": slider(learning_rate, LEARNING_RATE),
            "curvature": slider(curvature, CURVATURE),
            "start": slider(start, START),
            "step": step_slider(step, steps),
        }
        self.knobs["learning_rate"].readout_format = ".3g"
        super().__init__()

    def compute(self) -> None:
        """Walk."""
        h, learning_rate = self.knobs["curvature"].value, self.knobs["learning_rate"].value
        self.ride = ride(h, learning_rate, start=self.knobs["start"].value, steps=self.fixed["steps"])

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> ParabolaPicture:
        """The parabola, the scale of factors and the distances."""
        return ParabolaPicture(theme, ratio, narrow)

    def draw(self, scene: Any) -> None:
        """The walk up to the step shown."""
        scene.draw(self.ride.positions, *self._shown())

    def words(self) -> str:
        """The factor, what it means and where the walker is."""
        return parabola_caption(self.ride.positions, *self._shown())

    def pointed(self, scene: Any, x: float, y: float) -> None:
        """Start there."""
        start = scene.start_at(x, y)
        if start is not None:
            self.knobs["start"].value = round(min(max(start, START.low), START.high), 2)

    def nudged(self, right: float, up: float) -> None:
        """Move the start a little."""
        self.knobs["start"].value = round(self.knobs["start"].value + right * 0.05, 2)

    def layout(self) -> list[list[Any]]:
        """What is turned, the picture, and its player."""
        learning_rate, curvature, start, step = self.knobs.values()
        learning_rate.layout.width = "400px"
        return [[learning_rate, curvature], [self.view], [self.play_row(step), start, self.reset_button()]]

    def _shown(self) -> tuple[float, float, int]:
        return self.knobs["curvature"].value, self.knobs["learning_rate"].value, self.knobs["step"].value
