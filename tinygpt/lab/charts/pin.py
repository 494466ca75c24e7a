"""A pin on a hill: where a reader says that something is, and, once it may be told, where it really is."""

from __future__ import annotations

from typing import Any

from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.charts.style import STYLES
from tinygpt.lab.surfaces import Point, Surface

WIDTH, HEIGHT = 480, 360


class PinPicture(Scene):
    """Draws a surface with a pin, and a star for the truth."""

    def __init__(self, surface: Surface, theme: str = "light", ratio: float = 1.0) -> None:
        super().__init__(WIDTH, HEIGHT, theme, ratio)
        self.hill = Hill(self, (44, 34, 424, 292), surface)

    def draw(self, pin: Point | None, truth: Point | None) -> None:
        """Draw the pin, and the truth with a line between them; nothing for what is not known yet."""
        self.begin()
        if pin is not None and truth is not None:
            self.stroke(self.hill.pixels([pin, truth]), self.theme.ink, (0, (2, 2)), 1.2, clip=self.hill.axes)
        apart = 1 if pin is None or truth is None or pin[1] >= truth[1] else -1
        if truth is not None:
            self._point(truth, "*", 15.0, STYLES["Nesterov"].line(self.theme), "the answer", -apart)
        if pin is not None:
            self._point(pin, "v", 11.0, STYLES["momentum"].line(self.theme), "your pin", apart)

    def _point(self, point: Any, marker: str, size: float, colour: str, words: str, side: int) -> None:
        """A mark with its name above (side 1) or below (−1), away from the line between the two."""
        pixel = self.hill.pixels(point)
        self.mark(pixel, marker, size, colour, self.theme.page, clip=self.hill.axes)
        if self.hill.axes.bbox.contains(*pixel):
            self.write((pixel[0], pixel[1] + side * 17 * self.ratio), words, self.theme.ink, 0.5)
