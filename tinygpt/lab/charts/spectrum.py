"""Spectra in a picture: the singular values of three updates as bars, and how Newton and Schulz lift Muon's."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import LABEL_GAP, Curves
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import styles
from tinygpt.lab.spectrum import MOST_STEPS, SIZE, Spectrum
from tinygpt.lab.words import short

_Boxes = tuple[int, int, Box, Box]
# width, height, and the boxes of the two panels; the narrow picture stacks them
WIDE: _Boxes = (900, 400, (56, 48, 440, 306), (590, 48, 280, 306))
NARROW: _Boxes = (480, 640, (56, 374, 410, 222), (56, 40, 410, 246))
STYLES = styles(["SGD", "Lion", "Muon"])
NAMES = {"SGD": "SGD", "Lion": "sign (Lion)", "Muon": "Muon"}
ORDINALS = ("1st", "2nd", "3rd", "4th")
NOTHING = 1e-9  # a singular value that rounding alone keeps from 0, as a part of the largest


class SpectrumPicture(Scene):
    """Draws the singular values of the updates."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, bars, lifted = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.bars = Curves(self, bars, "singular values of the update")
        self.lifted = Curves(self, lifted, "those of Muon, by Newton–Schulz step")

    def draw(self, found: Spectrum, newton_schulz_steps: int) -> None:
        """Draw the bars, and Muon's values before and after each step."""
        values = [shown(v) for v in found.updates.values()]
        scale = self.bars.scale([*values, found.muon.ravel()], MOST_STEPS)
        self.begin(scale, lambda: self._arrange(scale))
        self._draw_bars(found, 10.0 ** scale[1])
        theme, style = self.theme, STYLES["Muon"]
        self.lifted.now(newton_schulz_steps)
        steps = np.repeat(np.arange(MOST_STEPS + 1), SIZE)
        pixels = self.lifted.pixels(steps, found.muon.ravel()).reshape(-1, SIZE, 2)
        for line in pixels.transpose(1, 0, 2):
            self.stroke(line, style.line(theme), width=1.5)
        above = np.inf
        for begin, name in zip(pixels[0], ORDINALS, strict=True):
            if above - begin[1] > LABEL_GAP * self.ratio:
                self.write(begin + np.array([7, -9]) * self.ratio, name, style.text(theme))
                above = begin[1]
        for pixel in pixels[newton_schulz_steps]:
            self.lifted.end(pixel, style)

    def steps_at(self, x: float, y: float) -> int | None:
        """The number of steps at a place of the right panel, in logical pixels from the upper left; None elsewhere."""
        at = self.along(self.lifted.box, x, y)
        if at is None:
            return None
        return round(at * MOST_STEPS)

    def _draw_bars(self, found: Spectrum, floor: float) -> None:
        theme, values = self.theme, np.array([shown(v) for v in found.updates.values()])
        left = 0.5 + (SIZE + 1.0) * np.arange(len(values))[:, None] + np.arange(SIZE)  # of each bar
        corners = np.stack([left + 0.1, left + 0.9], axis=-1), np.maximum(values, floor)[..., None] * np.ones(2)
        tops = self.bars.pixels(*(part.ravel() for part in corners)).reshape(*left.shape, 2, 2)
        bottom = self.bars.axes.bbox.y0
        for label, heights, bars in zip(found.updates, values, tops, strict=True):
            style = STYLES[label]
            for value, (start, end) in zip(heights, bars, strict=True):
                if value > 0:
                    self.fill([(start[0], bottom), start, end, (end[0], bottom)], style.line(theme))
                self.write((start + end) / 2 + np.array([0, 9 * self.ratio]), _brief(value), theme.ink, align=0.5)
            middle = (bars[0, 0, 0] + bars[-1, 1, 0]) / 2, bottom - 14 * self.ratio
            self.write(middle, NAMES[label], style.text(theme), align=0.5, bold=True)

    def _arrange(self, scale: tuple[int, int, int]) -> None:
        self.bars.arrange(scale)
        self.bars.axes.set(xlim=(0, 3 * (SIZE + 1.0)), xticks=[])
        self.lifted.arrange(scale)
        self.lifted.axes.set(xticks=[0, 5, 10])


def shown(values: Any) -> Any:
    """The singular values, with those that are 0 but for rounding as 0."""
    return np.where(values > NOTHING * values.max(), values, 0.0)


def _brief(value: float) -> str:
    """Few enough characters for the width of a bar."""
    return short(value, 2).replace("0.", ".") if value == 0 or value > 0.0099 else short(value, 1)


def spectrum_caption(found: Spectrum, newton_schulz_steps: int) -> str:
    """The singular values in words, and how many times the largest is the smallest."""
    sentences = []
    for label, values in found.updates.items():
        largest, smallest = shown(values)[[0, -1]]
        lost = int(np.sum(shown(values) == 0))
        ratio = (
            f"{lost} of {SIZE} directions are lost"
            if lost
            else f"the first is {short(largest / smallest)} times the last"
        )
        how = f" after {newton_schulz_steps} Newton–Schulz step{'s' * (newton_schulz_steps != 1)}"
        listed = ", ".join(short(value) for value in shown(values))
        sentences.append(f"{NAMES[label]}{how if label == 'Muon' else ''}: {listed}; {ratio}.")
    return f"Singular values of the update. {' '.join(sentences)}"
