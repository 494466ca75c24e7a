"""Spectrum lab: what SGD, the sign and Muon make of a matrix gradient."""

from __future__ import annotations

from typing import Any

from tinygpt.lab.charts.spectrum import SpectrumPicture, spectrum_caption
from tinygpt.lab.spectrum import MOST_STEPS, spectrum
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, counter, slider

_SPREAD = Knob("spread", "powers of ten from one singular value to the next", 0, 2, 1.0, 0.1)


class SpectrumLab(Instrument):
    """The singular values of an update, for a gradient whose own fall by `spread` powers of ten from each to the next.

    `newton_schulz_steps` are Muon's; `seed` turns the gradient, which nobody but the sign takes notice of. A click in
    the right panel chooses the number of steps.
    """

    hint = "Click in the right panel to choose the number of steps. Arrow keys change it, and the spread."

    def __init__(self, newton_schulz_steps: int = 5, spread: float = 1.0, seed: int = 0) -> None:
        words = "Newton–Schulz steps of Muon"
        self.knobs: dict[str, Any] = {
            "newton_schulz_steps": counter(newton_schulz_steps, 0, MOST_STEPS, "steps", words),
            "spread": slider(spread, _SPREAD),
            "seed": counter(seed, 0, 20, "seed", "which way the gradient is turned"),
        }
        self.fixed = {}
        super().__init__()

    def compute(self) -> None:
        """The singular values of all updates."""
        self.found = spectrum(**{name: knob.value for name, knob in self.knobs.items()})

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> SpectrumPicture:
        """Two panels."""
        return SpectrumPicture(theme, ratio, narrow)

    def draw(self, scene: SpectrumPicture) -> None:
        """Bars, and Muon's values by step."""
        scene.draw(self.found, self.knobs["newton_schulz_steps"].value)

    def words(self) -> str:
        """The singular values in words."""
        return spectrum_caption(self.found, self.knobs["newton_schulz_steps"].value)

    def pointed(self, scene: SpectrumPicture, x: float, y: float) -> None:
        """A place in the right panel is a number of steps."""
        found = scene.steps_at(x, y)
        if found is not None:
            self.knobs["newton_schulz_steps"].value = found

    def nudged(self, right: float, up: float) -> None:
        """One step more or less to the side, the spread upwards."""
        with self.one_run():
            self.knobs["newton_schulz_steps"].value += round(right)
            self.knobs["spread"].value += up * _SPREAD.step
