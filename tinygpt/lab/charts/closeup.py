"""The close-up: a part of a surface that may be as small as a step, under a view that moves.

A view that follows a walk makes still pictures useless: the ground is painted anew, pixel by pixel, for every view. A
bar tells the scale, as on a map.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba

from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import THEMES, Style
from tinygpt.lab.surfaces import Point, Surface
from tinygpt.lab.words import number

BANDS = 12  # between contours
LINE = 0.8  # how much of the hill a contour covers
FAR = 10_000.0  # pixels: Agg draws nothing that is much further away
LONGEST_BAR = 0.3  # of the panel's width


@dataclass(frozen=True)
class View:
    """What part of a surface is seen: about a middle, and so far up and down from it."""

    middle: Point
    half: float


class CloseUp:
    """A panel of a scene that shows what its view shows of a surface; a step is as long whichever way it points."""

    def __init__(self, scene: Scene, box: Box, surface: Surface) -> None:
        self.scene, self.box, self.surface = scene, box, surface
        self.axes = scene.panel(box, surface.name)
        self.axes.set(xticks=[], yticks=[])
        (x0, x1), (y0, y1) = surface.bounds
        middle, half = ((x0 + x1) / 2, (y0 + y1) / 2), max((y1 - y0) / 2, (x1 - x0) / 2 * box[3] / box[2])
        self.whole = self.view = View(middle, half)

    def look(self, view: View) -> None:
        """Paint the hill as it is in this view, with its minima and a bar that tells the scale."""
        scene, theme = self.scene, self.scene.theme
        self.view = view
        scene.cells(self.axes, _ground(self.surface, view, self.box[2:], theme.is_dark))
        for minimum in self.surface.minima:
            for colour, size, width in ((theme.page, 11, 3.6), (theme.ink, 9, 1.4)):
                scene.mark(self.pixels(minimum), "+", size, colour, colour, width, clip=self.axes)
        self._bar()

    def pixels(self, points: Any) -> Any:
        """Where points of the surface (…, 2) are in the picture."""
        left, bottom, width, height = self.box
        centre = np.array([left + width / 2, bottom + height / 2])
        return (centre + (np.asarray(points) - self.view.middle) / self.view.half * height / 2) * self.scene.ratio

    def at(self, x: float, y: float) -> Point:
        """The point of the surface at a place of the picture, in logical pixels from its upper left corner."""
        left, bottom, width, height = self.box
        right, up = x - left - width / 2, self.scene.height - y - bottom - height / 2
        scale = 2 * self.view.half / height
        return self.view.middle[0] + right * scale, self.view.middle[1] + up * scale

    def holds(self, x: float, y: float) -> bool:
        """Whether such a place lies on the hill."""
        return self.scene.along(self.box, x, y) is not None

    def path(self, points: Any, style: Style) -> None:
        """A path with a dot at each of its points, so that one sees the steps."""
        theme, pixels = self.scene.theme, np.clip(self.pixels(points), -FAR, FAR)
        self.scene.stroke(pixels, theme.casing, width=3.2, clip=self.axes)
        self.scene.stroke(pixels, style.line(theme), style.dash, width=1.2, clip=self.axes)
        inside = (np.abs(np.asarray(points) - self.view.middle) < 2 * self.view.half).all(axis=1)
        for pixel in pixels[inside][-200:]:
            self.scene.mark(pixel, "o", 3.5, style.line(theme), theme.page, 0.6, clip=self.axes)

    def _bar(self) -> None:
        """A line of a round length, 1, 2 or 5 times a power of ten, with that length."""
        left, bottom, width, height = self.box
        most = 2 * self.view.half / height * width * LONGEST_BAR
        unit = 10.0 ** math.floor(math.log10(most))
        length = max(factor * unit for factor in (1, 2, 5) if factor * unit <= most * (1 + 1e-9))
        ratio, ink = self.scene.ratio, self.scene.theme.ink
        x0, x1, y = left + 12, left + 12 + length / self.view.half * height / 2, bottom + 12
        corners = np.array([(x0, y + 4), (x0, y), (x1, y), (x1, y + 4)])
        self.scene.stroke(corners * ratio, ink, width=1.2)
        self.scene.write(((x1 + 6) * ratio, (y + 1) * ratio), number(length), ink)


@lru_cache(maxsize=16)  # of half a megabyte each
def _ground(surface: Surface, view: View, size: tuple[int, int], is_dark: bool) -> Any:
    """The hill in a view, in bands of the logarithm of the loss above the lowest, with fine lines between them.

    Shapes: size (columns, rows) → (rows, columns, 4), uint8.
    """
    theme, (columns, rows) = THEMES["dark" if is_dark else "light"], size
    step = 2 * view.half / rows
    x = view.middle[0] + (np.arange(columns) + 0.5 - columns / 2) * step
    y = view.middle[1] + (np.arange(rows) + 0.5 - rows / 2) * step
    gap = np.broadcast_to(surface.values(x[None, :], y[:, None]), (rows, columns)) - surface.lowest
    band = _bands(gap)
    colours = np.array([to_rgba(theme.hill((i + 0.5) / BANDS)) for i in range(BANDS)]) * 255
    ground = colours.astype(np.uint8)[np.minimum(band.astype(np.intp), BANDS - 1)]
    up, right = np.gradient(band)
    slope = np.sqrt(up * up + right * right) + np.float32(1e-9)
    away = np.abs(band - np.rint(band))  # bands to the next contour; pixels, when divided by the slope
    near = np.flatnonzero(away < slope)
    cover = LINE * (1 - away.ravel()[near] / slope.ravel()[near])[:, None]
    under = ground.reshape(-1, 4)
    under[near] = under[near] * (1 - cover) + 255 * np.array(to_rgba(theme.contour)) * cover
    return ground


def _bands(gap: Any) -> Any:
    """How high each place is, from 0 to BANDS."""
    finite = np.isfinite(gap)
    gap = gap if finite.all() else np.where(finite, gap, np.max(gap, where=finite, initial=0))
    gap = np.maximum(gap, 0)
    height = np.log(gap + max(float(np.quantile(gap[::8, ::8], 0.02)), 1e-300)).astype(np.float32)
    low, high = height.min(), height.max()
    return (height - low) * (BANDS / max(high - low, np.float32(1e-9)))
