"""The parabola: gradient descent in one dimension, the factor of its steps, and how far it is from the minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from tinygpt.lab.charts.curves import Curves, ceiling
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import STYLES, TYPE_SIZE
from tinygpt.lab.linear import contraction
from tinygpt.lab.words import number

_Arrangement = tuple[int, int, Box, Box, Box]
# width and height of the picture, and the boxes of parabola, factor and distance; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (44, 34, 420, 332), (536, 346, 340, 16), (536, 34, 280, 216))
NARROW: _Arrangement = (480, 660, (44, 354, 412, 272), (44, 270, 412, 16), (44, 34, 340, 146))
HALF_WIDTH = 3.0  # of the parabola's panel
LEAST_FACTOR = -1.6  # at the left end of the scale of factors
NEAREST, FARTHEST = 1e-12, 1e6  # distances from the minimum between which the walker is shown
SWING = 1e-9  # of the factor: closer to −1, 0 or 1 than this is that number


class ParabolaPicture(Scene):
    """Draws a walk down ½hw², and the factor 1 − λh on a scale of what it does."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, hill, scale, curves = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.hill = self.panel(hill, "the loss ½hw² over w, and the steps down it")
        self.hill.set_xlim(-HALF_WIDTH, HALF_WIDTH)
        self.scale = self.panel(scale, "each step multiplies w by")
        self._draw_scale()
        self.distance = Curves(self, curves, "distance to the minimum, by step")

    def draw(self, positions: Any, h: float, learning_rate: float, step: int) -> None:
        """Draw the walk up to a step."""
        last = min(step, last_seen(positions))
        distances = np.clip(np.abs(positions), NEAREST, FARTHEST)
        scale = self.distance.scale([distances[: last_seen(positions) + 1]], len(positions) - 1)
        top = ceiling(0.55 * h * max(abs(positions[0]), 1.0) ** 2)
        self.begin((scale, top), lambda: self._arrange(scale, top))
        self._draw_factor(float(contraction(h, learning_rate)))
        self._draw_walk(positions[: last + 1], h)
        style = STYLES["SGD"]
        if step < len(positions) - 1:
            self.distance.now(step)
        end = self.distance.line(distances[: last + 1], style)
        self.distance.end(end, style)
        self.distance.names([(end[1], "SGD ✕" if last < step else "SGD", style)])

    def start_at(self, x: float, y: float) -> float | None:
        """The w at a place of the parabola's panel, in logical pixels from the upper left corner; None off it."""
        pixel = x * self.ratio, (self.height - y) * self.ratio
        inside = self.hill.bbox.contains(*pixel)
        return float(self.hill.transData.inverted().transform(pixel)[0]) if inside else None

    def _arrange(self, scale: Any, top: float) -> None:
        self.distance.arrange(scale)
        self.hill.set(ylim=(-0.06 * top, top), yticks=[0, top / 2, top])

    def _draw_scale(self) -> None:
        """The factors and what they do, in the still."""
        panel, theme = self.scale, self.theme
        panel.set(xlim=(LEAST_FACTOR, 1), ylim=(0, 1), yticks=[], xticks=[-1, 0, 1])
        panel.set_xticklabels(["−1", "0: one step arrives", "1"])
        for tint, words, left, right in (
            (0.95, "explodes", LEAST_FACTOR, -1),
            (0.5, "zig-zag, shrinks", -1, 0),
            (0.15, "one side, shrinks", 0, 1),
        ):
            panel.axvspan(left, right, color=theme.hill(tint), linewidth=0)
            at = {"xy": ((left + right) / 2, 0), "xytext": (0, -29), "textcoords": "offset points"}
            panel.annotate(words, **at, ha="center", fontsize=TYPE_SIZE, color=theme.ink)

    def _draw_factor(self, factor: float) -> None:
        theme, style, panel = self.theme, STYLES["SGD"], self.scale
        shown = max(factor, LEAST_FACTOR)
        place = panel.transData.transform([(shown, 0), (shown, 1)])
        self.stroke(place, theme.page, width=5.5)
        self.stroke(place, style.line(theme), width=3.0)
        self.mark(place[1], "v" if shown == factor else "<", 10.0, style.line(theme), theme.page, 0.8)
        corner = panel.bbox.x1, panel.bbox.y1 + 16 * self.ratio
        self.write(corner, f"1 − λh = {number(_settled(factor))}", style.text(theme), 1.0, 11.0)

    def _draw_walk(self, positions: Any, h: float) -> None:
        theme, style, panel = self.theme, STYLES["SGD"], self.hill
        w = np.linspace(-HALF_WIDTH, HALF_WIDTH, 121)
        curve = panel.transData.transform(np.column_stack([w, 0.5 * h * w**2]))
        ground = np.vstack([curve, (panel.bbox.x1, panel.bbox.y0), (panel.bbox.x0, panel.bbox.y0)])
        self.fill(ground, to_hex(theme.hill(0.2)), clip=panel)
        self.stroke(curve, theme.ink, width=1.4, clip=panel)
        walk = panel.transData.transform(np.column_stack([positions, 0.5 * h * positions**2]))
        self.stroke(walk, theme.casing, width=3.6, clip=panel)
        self.stroke(walk, style.line(theme), style.dash, clip=panel)
        for pixel in walk[:40]:  # more would hide each other
            self.mark(pixel, style.marker, 5.0, style.line(theme), theme.page, 0.8, clip=panel)
        self.mark(walk[0], "o", 9.0, theme.page, theme.ink, 1.8, clip=panel)
        self.write(walk[0] + (12 * self.ratio * np.sign(positions[0] or 1), 0), "start", theme.ink, positions[0] < 0)
        if len(walk) > 1:
            self.mark(walk[-1], style.marker, 9.0, style.line(theme), theme.page, clip=panel)


def last_seen(positions: Any) -> int:
    """The last step before the walker was so far away that it is shown no more."""
    lost = np.flatnonzero(~(np.abs(positions) <= FARTHEST))  # nor is NaN
    return int(lost[0]) - 1 if lost.size else len(positions) - 1


def parabola_caption(positions: Any, h: float, learning_rate: float, step: int) -> str:
    """The walk in words: the factor, what it means, and where the walker is."""
    factor = _settled(float(contraction(h, learning_rate)))
    last = min(step, last_seen(positions))
    words = (
        f"Gradient descent on ½hw² with h = {number(h)} and λ = {number(learning_rate)}, from w = "
        f"{number(positions[0])}: each step multiplies w by 1 − λh = {number(factor)}. {_meaning(factor)}"
    )
    if last < step:
        return f"{words} After {last} steps w = {number(positions[last])}; the steps after that are not shown."
    times = abs(positions[last] / positions[0]) if positions[0] else 0.0
    far = f", {number(times)} times as far from the minimum as at the start" if times else ""
    return f"{words} After {last} step{'' if last == 1 else 's'} w = {number(positions[last])}{far}."


def _meaning(factor: float) -> str:
    product = f"λh = {number(1 - factor)}"
    if factor > 0:
        return f"{product} is below 1: the walker stays on one side and comes nearer with every step."
    if factor == 0:
        return f"{product}: one step arrives."
    if factor > -1:
        return f"{product} is between 1 and 2: every step overshoots, and the zig-zag shrinks."
    if factor == -1:
        return f"{product}: every step lands as far away on the other side, for ever."
    return f"{product} is above 2: every step overshoots farther than the one before, and the walk explodes."


def _settled(factor: float) -> float:
    """The factor, where rounding alone parts it from −1, 0 or 1, as that number."""
    return round(factor) + 0.0 if abs(factor - round(factor)) < SWING else factor
