"""Hands that move whatever a figure has: every slider, field, menu, box, button, and the picture itself."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import ipywidgets
import numpy as np

from tinygpt.lab.widgets.housekeeping import _parts
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.picture import Picture

SLIDERS = (ipywidgets.FloatSlider, ipywidgets.FloatLogSlider, ipywidgets.IntSlider)
MENUS = (ipywidgets.Dropdown, ipywidgets.ToggleButtons, ipywidgets.SelectionSlider)
NUMBERS = [0.0, -0.0, 1e308, -1e308, 5e-324, 1e-300, -3.0, float("nan"), float("inf"), -float("inf")]
NAMES = ["", " ", ".png", "\0.png", "λ/β.svg", "<b>&.bmp", "../nowhere/a.png", "\ud800.png", "🙂", f"{'x' * 5000}.png"]
CORNERS = [[0, 0], [1, 1], [0, 1], [0.5, 0.5], [-0.2, 0.5], [0.5, 1.3]]  # a drag may leave the picture
PAGES = [{"theme": "dark"}, {"theme": "light"}, {"narrow": True}, {"narrow": False}, {"ratio": 1.0}, {"ratio": 1.5}]
WRONG = re.compile(r"Traceback|Your code stopped|\bnan\b|\binf\b|\bNone\b")
REFUSED = re.compile(r".*\b(must|needs)\b.* The picture is of the last run that worked\.", re.DOTALL)


class Hands:
    """Someone at a figure who moves at random (by a generator) what `heavy`, a set of knobs' names, does not name."""

    def __init__(self, figure: Instrument, rng: np.random.Generator, heavy: Iterable[str] = ()) -> None:
        self.figure, self.rng = figure, rng
        spared = [figure.knobs[name] for name in heavy]
        kinds = (*SLIDERS, *MENUS, ipywidgets.FloatText, ipywidgets.Checkbox, ipywidgets.Text, Picture)
        self.parts = [
            part
            for part in _parts(figure, set())
            if part not in spared
            and (isinstance(part, kinds) or (isinstance(part, ipywidgets.Button) and part.description != "save"))
        ]

    def move(self) -> str:
        """Move something, as a browser's message does, and say what."""
        part = self.parts[self.rng.integers(len(self.parts))]
        kind = f"{type(part).__name__} {getattr(part, 'description', '')}"
        if isinstance(part, ipywidgets.Button):
            part._handle_custom_msg({"event": "click"}, [])
            return kind
        if isinstance(part, Picture) and self.rng.integers(4) == 0:
            keys = self.rng.integers(-1, 2, size=2).tolist()
            part._handle_custom_msg({"nudge": keys}, [])
            return f"{kind}{keys}"
        state = self._state(part)
        part.set_state(state)
        return f"{kind} {str(state)[:100]}"

    def wrong(self) -> str:
        """What no reader should see of the figure as it is now; "" if all is well."""
        caption = self.figure.caption
        if not self.figure.picture.startswith(b"\xff\xd8"):
            return "no picture"
        if not caption:
            return "no caption"
        return "" if REFUSED.fullmatch(caption) else " ".join(WRONG.findall(caption))

    def _state(self, part: Any) -> dict[str, Any]:
        if isinstance(part, SLIDERS):
            low, high = part.min, part.max  # of a log slider: exponents
            place = self._one([low, high, low - 1, high + 1, *self.rng.uniform(low, high, 4)])
            if isinstance(part, ipywidgets.FloatLogSlider):
                return {"value": part.base**place}
            return {"value": int(place) if isinstance(part, ipywidgets.IntSlider) else float(place)}
        if isinstance(part, ipywidgets.FloatText):
            return {"value": self._one([*NUMBERS, *self.rng.normal(size=len(NUMBERS)).tolist()])}
        if isinstance(part, MENUS):
            return {"index": int(self.rng.integers(len(part._options_full)))}
        if isinstance(part, ipywidgets.Checkbox):
            return {"value": not part.value}
        if isinstance(part, ipywidgets.Text):
            return {"value": self._one(NAMES)}
        return self._one([*PAGES, *({"pointer": place} for place in [*CORNERS, *self.rng.random((6, 2)).tolist()])])

    def _one(self, choices: list[Any]) -> Any:
        return choices[self.rng.integers(len(choices))]
