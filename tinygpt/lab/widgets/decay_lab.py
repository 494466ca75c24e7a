"""Decay lab: one busy weight and one idle one, under weight decay of both kinds."""

from __future__ import annotations

from typing import Any

from tinygpt.lab.charts.decay import DecayPicture, decay_caption
from tinygpt.lab.decay import RULES, decay
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, menu, slider, step_slider

BOTH, ALL = "L2 and decoupled", "all three"
_SHOWN = {BOTH: ("Adam + L2", "AdamW"), ALL: tuple(RULES), **{label: (label,) for label in RULES}}
_DECAY = Knob("decay", "weight decay", -4, 0, 0.1, 0.25, log=True)
_RATE = Knob("λ", "learning rate λ", -4, -0.5, 0.01, 0.05, log=True)
_SIZE = Knob("size s", "size of the busy weight's gradients", -3, 2, 10.0, 0.25, log=True)


class DecayLab(Instrument):
    """Two weights under decay, one busy and one idle: L2 in the gradient against decoupled.

    `rule` is one of RULES, or "L2 and decoupled" or "all three". A click in the right panel sets the decay.
    """

    hint = "Click in the right panel to set the decay. Arrow keys change the decay and the size."
    repaints = frozenset({"step"})

    def __init__(
        self,
        weight_decay: float = 0.1,
        learning_rate: float = 0.01,
        size: float = 10.0,
        rule: str = BOTH,
        steps: int = 100,
        step: int | None = None,
    ) -> None:
        self.knobs: dict[str, Any] = {
            "weight_decay": slider(weight_decay, _DECAY),
            "learning_rate": slider(learning_rate, _RATE),
            "size": slider(size, _SIZE),
            "rule": menu(rule, list(_SHOWN), "rule", "which rules are shown"),
            "step": step_slider(step, steps, "step", "the step shown"),
        }
        self.fixed = {"steps": steps}
        super().__init__()

    def compute(self) -> None:
        """Run the rules that are shown."""
        numbers = {name: self.knobs[name].value for name in ("weight_decay", "learning_rate", "size")}
        self.runs = decay(**numbers, **self.fixed, rules=_SHOWN[self.knobs["rule"].value])

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> DecayPicture:
        """Three panels."""
        return DecayPicture(theme, ratio, narrow)

    def draw(self, scene: DecayPicture) -> None:
        """The weights under these rules, and the decay."""
        scene.draw(self.runs, self.knobs["weight_decay"].value, self.knobs["step"].value)

    def words(self) -> str:
        """The weights in words."""
        values = [self.knobs[name].value for name in ("weight_decay", "learning_rate", "size", "step")]
        return decay_caption(self.runs, *values)

    def pointed(self, scene: DecayPicture, x: float, y: float) -> None:
        """A place in the right panel is a decay."""
        found = scene.decay_at(x, y)
        if found is not None:
            self.knobs["weight_decay"].value = found

    def nudged(self, right: float, up: float) -> None:
        """One notch of the decay to the side, of the size upwards."""
        with self.one_run():
            self.knobs["weight_decay"].value *= 10 ** (right * _DECAY.step)
            self.knobs["size"].value *= 10 ** (up * _SIZE.step)

    def layout(self) -> list[list[Any]]:
        """The knobs, the picture, and the player below it."""
        *knobs, step = self.knobs.values()
        return [knobs, [self.view], [self.play_row(step), self.reset_button()]]
