"""Curves: values against steps, each with its name at its end; on a logarithmic axis, or a linear one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style

LABEL_GAP = 14.0  # logical pixels from one name to the next
Scale = tuple[int, int, int]  # steps, and the axis from 10^low to 10^high
Limits = tuple[float, float, float]  # of a linear axis: low, high, and from tick to tick


def limits(series: Iterable[Any]) -> Limits:
    """Round limits that hold all values, and the distance of the ticks, of which there are three to seven."""
    finite = [v[np.isfinite(v)] for v in map(np.asarray, series)]
    low = min((float(v.min()) for v in finite if v.size), default=0.0)
    high = max((float(v.max()) for v in finite if v.size), default=1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high)):  # one value, but for rounding
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    span = high - low
    power = 10.0 ** math.floor(math.log10(span))
    unit = power * next(part for part in (0.2, 0.5, 1.0, 2.0) if span <= 5 * part * power)
    return math.floor(low / unit + 1e-9) * unit, math.ceil(high / unit - 1e-9) * unit, unit


def ceiling(value: float, parts: Sequence[float] = (1, 2, 5, 10)) -> float:
    """The next of 1, 2, 5, 10, 20 and so on (`parts` of a decade): round, so that few moves of a knob move an axis."""
    decade = 10.0 ** math.floor(math.log10(value))
    return float(next(part * decade for part in parts if value <= part * decade * (1 + 1e-9)))


class Curves:
    """A panel of a scene for values step by step."""

    def __init__(self, scene: Scene, box: Box, title: str) -> None:
        self.scene, self.box = scene, box
        self.axes = scene.panel(box, title)

    def scale(self, series: Iterable[Any], steps: int) -> Scale:
        """The scale that holds all values; it is rounded, so that few changes of a slider move the axis.

        It serves as the key of a still picture: `scene.begin(scale, lambda: curves.arrange(scale))`.
        """
        finite = [v[np.isfinite(v) & (v > 0)] for v in map(np.asarray, series)]
        finite = [v for v in finite if v.size]
        if not finite:
            return max(steps, 1), -2, 2
        low, high = min(float(v.min()) for v in finite), max(float(v.max()) for v in finite)
        bottom = 2 * math.floor(math.log10(low) / 2)
        return max(steps, 1), bottom, max(math.ceil(math.log10(high) + 0.05), bottom + 2)

    def arrange(self, scale: Scale) -> None:
        """Set the axes to a scale."""
        steps, low, high = scale
        stride = max(1, math.ceil((high - low) / 6))
        self.axes.set(xlim=(0, steps), yscale="log", ylim=(10.0**low, 10.0**high))
        self.axes.set(yticks=10.0 ** np.arange(high, low - 1, -stride), xticks=sorted({0, steps // 2, steps}))
        self.axes.minorticks_off()
        self.axes.grid(axis="y", color=self.scene.theme.faint, linewidth=0.7)

    def arrange_linear(self, steps: int, scale: Limits) -> None:
        """Give the panel linear axes instead: steps along, limits upwards."""
        low, high, unit = scale
        self.axes.set(xlim=(0, max(steps, 1)), ylim=(low, high), xticks=sorted({0, steps // 2, steps}))
        self.axes.set_yticks(np.arange(round(low / unit), round(high / unit) + 1) * unit)
        self.axes.grid(axis="y", color=self.scene.theme.faint, linewidth=0.7)

    def pixels(self, steps: Any, values: Any) -> Any:
        """Where values at steps are in the picture, (n, 2)."""
        return self.axes.transData.transform(np.column_stack([steps, values]))

    def now(self, step: float) -> None:
        """The upright line at the step that is shown."""
        low, high = self.axes.get_ylim()
        self.scene.stroke(self.pixels([step, step], [low, high]), self.scene.theme.faint, width=1.2)

    def line(self, values: Any, style: Style) -> Any:
        """A curve from step 0 on; returns the pixel where it ends."""
        pixels = self.pixels(np.arange(len(values)), values)
        self.scene.stroke(pixels, style.line(self.scene.theme), style.dash, clip=self.axes)
        return pixels[-1]

    def end(self, pixel: Any, style: Style) -> None:
        """The marker at the end of a curve."""
        theme, size = self.scene.theme, style.size
        self.scene.mark(pixel, style.marker, size, style.line(theme), theme.page)

    def names(self, names: Iterable[tuple[float, str, Style]]) -> None:
        """Names (height in pixels, text, style) right of the panel, moved apart where they would cover each other."""
        ratio, (left, bottom, width, height) = self.scene.ratio, self.box
        edge, gap = (left + width + 11) * ratio, LABEL_GAP * ratio
        low, high = bottom * ratio, (bottom + height) * ratio
        ordered = sorted(names, key=lambda name: name[0])
        heights = [min(max(end, low), high) for end, _, _ in ordered]
        for i in range(1, len(heights)):
            heights[i] = max(heights[i], heights[i - 1] + gap)
        ceiling = high
        for i in reversed(range(len(heights))):
            heights[i] = min(heights[i], ceiling)
            ceiling = heights[i] - gap
        for (_, text, style), y in zip(ordered, heights, strict=True):
            self.scene.write((edge, y), text, style.text(self.scene.theme))
