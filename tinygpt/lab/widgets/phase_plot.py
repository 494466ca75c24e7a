"""PhasePlot: momentum in one dimension, as a spiral of position and velocity and as two eigenvalues."""

from __future__ import annotations

from typing import Any

from tinygpt.lab.charts.phase_plot import PhasePicture, phase_caption
from tinygpt.lab.linear import ride
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, Knob, slider, step_slider, switch

PRODUCT = Knob("λh", "learning rate times curvature, λh", 0.01, 4.2, 0.1, 0.01)


class PhasePlot(Instrument):
    """SGD with momentum along one eigen-direction: what it does, and the eigenvalues that say so beforehand.

    The walk is run on ½hw² with h = 1 from w = 1, for only the product λh counts. `knobs` are `product` (λh),
    `momentum`, `nesterov` and `step`, the step shown, of `steps` that are done.
    """

    repaints = frozenset({"step"})

    def __init__(
        self,
        product: float = 0.1,
        momentum: float = 0.9,
        nesterov: bool = False,
        steps: int = 100,
        step: int | None = None,
    ) -> None:
        self.fixed = {"steps": steps}
        self.knobs = {
            "product": slider(product, PRODUCT),
            "momentum": slider(momentum, KNOBS["momentum"]),
            "nesterov": switch(nesterov, "Nesterov", "Nesterov's look-ahead instead of the heavy ball"),
            "step": step_slider(step, steps),
        }
        super().__init__()

    def compute(self) -> None:
        """Ride."""
        product, momentum, nesterov, _ = self._shown()
        self.ride = ride(1.0, product, momentum, nesterov, steps=self.fixed["steps"])

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> PhasePicture:
        """The plane of position and velocity, and the unit circle."""
        return PhasePicture(theme, ratio, narrow)

    def draw(self, scene: Any) -> None:
        """The ride up to the step shown, and the eigenvalues."""
        scene.draw(self.ride, *self._shown())

    def words(self) -> str:
        """The eigenvalues, what they mean and where the walker is."""
        return phase_caption(self.ride, *self._shown())

    def layout(self) -> list[list[Any]]:
        """What is turned, the picture, and its player."""
        product, momentum, nesterov, step = self.knobs.values()
        product.layout.width = "400px"
        return [[product, momentum, nesterov], [self.view], [self.play_row(step), self.reset_button()]]

    def _shown(self) -> tuple[float, float, bool, int]:
        product, momentum, nesterov, step = (knob.value for knob in self.knobs.values())
        return product, momentum, nesterov, step
