"""The hill: a surface seen from above, with the paths that lead down it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style
from tinygpt.lab.surfaces import Point, Surface


class Hill:
    """A panel of a scene that shows a surface: contours of the logarithm of its loss above the lowest, and its minima.

    The bounds are widened along one axis so that a step is as long on the screen whichever way it points: only then
    does a gradient stand upright on its contour.
    """

    def __init__(self, scene: Scene, box: Box, surface: Surface, title: str | None = None) -> None:
        self.scene, self.box, self.surface = scene, box, surface
        self.axes = scene.panel(box, surface.name if title is None else title)
        _draw_contours(self.axes, surface, scene.theme)

    def pixels(self, points: Any) -> Any:
        """Where points of the surface (…, 2) are in the picture."""
        return self.axes.transData.transform(points)

    def at(self, x: float, y: float) -> Point:
        """The point of the surface at a place of the picture, in logical pixels from its upper left corner."""
        scene = self.scene
        px, py = self.axes.transData.inverted().transform((x * scene.ratio, (scene.height - y) * scene.ratio))
        return float(px), float(py)

    def holds(self, x: float, y: float) -> bool:
        """Whether such a place lies on the hill."""
        return self.scene.along(self.box, x, y) is not None

    def path(self, points: Any, style: Style) -> None:
        """A path, on a pale casing that keeps it apart from every height."""
        pixels, theme = self.pixels(points), self.scene.theme
        self.scene.stroke(pixels, theme.casing, width=3.6, clip=self.axes)
        self.scene.stroke(pixels, style.line(theme), style.dash, clip=self.axes)

    def end(self, point: Any, style: Style) -> None:
        """The marker where a path has come to."""
        theme, size = self.scene.theme, style.size
        self.scene.mark(self.pixels(point), style.marker, size, style.line(theme), theme.page, clip=self.axes)

    def start(self, point: Any) -> None:
        """The ring where all begin, with its name; nothing where that is out of sight."""
        pixel, theme = self.pixels(point), self.scene.theme
        if self.axes.bbox.contains(*pixel):
            self.scene.mark(pixel, "o", 9.0, theme.page, theme.ink, 1.8, clip=self.axes)
            self.scene.write((pixel[0] - 10 * self.scene.ratio, pixel[1]), "start", theme.ink, 1.0)


def _draw_contours(axes: Any, surface: Surface, theme: Any) -> None:
    box = axes.get_window_extent()
    (left, right), (bottom, top) = _widened(surface.bounds, box.width / box.height)
    x, y = np.linspace(left, right, 150), np.linspace(bottom, top, 110)
    gap = np.broadcast_to(surface.values(*np.meshgrid(x, y)), (len(y), len(x))) - surface.lowest
    finite = np.isfinite(gap)
    gap = np.where(finite, np.maximum(gap, 0), np.max(gap, where=finite, initial=0))
    height = np.log(gap + max(float(np.quantile(gap, 0.02)), 1e-9))
    levels = np.linspace(float(height.min()), float(height.max()) + 1e-9, 13)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.contourf(x, y, height, levels=levels, cmap=theme.hill)
    axes.contour(x, y, height, levels=levels, colors=theme.contour, linewidths=0.6, linestyles="solid", alpha=0.8)
    for minimum in surface.minima:
        axes.plot(*minimum, marker="+", markersize=11, markeredgewidth=3.6, color=theme.page)
        axes.plot(*minimum, marker="+", markersize=9, markeredgewidth=1.4, color=theme.ink)


def _widened(bounds: tuple[Point, Point], aspect: float) -> tuple[Point, Point]:
    (x0, x1), (y0, y1) = bounds
    width, height = max(x1 - x0, (y1 - y0) * aspect), max(y1 - y0, (x1 - x0) / aspect)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (x - width / 2, x + width / 2), (y - height / 2, y + height / 2)
