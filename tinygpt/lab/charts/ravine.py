"""The ravine: paths down a quadratic that can be turned, how many steps they take, and what the loss is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from tinygpt.lab.charts.curves import Curves, ceiling
from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import THEMES, Style
from tinygpt.lab.descent import Trajectory, instability
from tinygpt.lab.ravines import ARRIVED, arrival, split_loss
from tinygpt.lab.surfaces import quadratic
from tinygpt.lab.words import number

_Arrangement = tuple[int, int, Box, Box, Box]
# width and height of the picture, and the boxes of hill, bars and losses; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (44, 34, 332, 332), (516, 236, 230, 130), (516, 34, 276, 132))
NARROW: _Arrangement = (480, 790, (74, 424, 332, 332), (110, 232, 240, 124), (44, 34, 340, 132))
LEVELS = 12
LOWEST_LEVEL = 0.06  # the loss on the innermost contour, which reaches a third of a unit along the floor
LEAST = 1e-8  # losses below this are drawn here
FLAT = replace(quadratic(), loss=lambda x, y: 0 * x, minima=())  # what turns is drawn over it
ALONG, ACROSS = (0, (4.0, 2.0)), (0, (1.0, 1.5))  # dashes of the two parts of a loss
INK = Style(THEMES["light"].ink, THEMES["dark"].ink, "solid", "o", THEMES["light"].ink)  # of their names
ROUNDING = 1e-12  # a part of the loss below this is what rounding left of it


class RavinePicture(Scene):
    """Draws optimizers in a ravine. The contours are ellipses, drawn anew in every frame, for they turn."""

    def __init__(self, steps: int, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, hill, bars, losses = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.steps = steps
        self.hill = Hill(self, hill, FLAT, "the ravine, and the paths down it")
        self.bars = self.panel(bars, "steps to a loss of 1e-6")
        self.bars.set(xlim=(0, steps), ylim=(0, 1), yticks=[], xticks=[0, steps // 2, steps])
        self.losses = Curves(self, losses, "")  # named after whose they are

    def draw(
        self,
        trajectories: Mapping[str, Trajectory],
        styles: Mapping[str, Style],
        kappa: float,
        theta: float,
        split: str,
    ) -> None:
        """Draw the paths, a bar for each, and the losses of the one called `split` along and across the ravine."""
        layers = np.maximum(split_loss(_seen(trajectories[split]).points, kappa, theta), LEAST)
        scale = self.losses.scale([layers, layers.sum(axis=1)], int(ceiling(max(len(layers) - 1, 5))))
        self.begin(scale, lambda: self.losses.arrange(scale))
        self._draw_contours(kappa, theta)
        for label, t in trajectories.items():
            self.hill.path(_seen(t).points, styles[label])
        for label, t in trajectories.items():
            self.hill.end(_seen(t).points[-1], styles[label])
        self.hill.start(quadratic(kappa, theta).start)
        self._draw_bars(trajectories, styles)
        self._draw_layers(layers, split, styles[split])

    def _draw_contours(self, kappa: float, theta: float) -> None:
        theme, axes, angle = self.theme, self.hill.axes, np.linspace(0, 2 * np.pi, 121)
        (left, bottom), (right, top) = axes.bbox.get_points()
        self.fill([(left, bottom), (right, bottom), (right, top), (left, top)], to_hex(theme.hill(1.0)))
        c, s = math.cos(math.radians(theta)), math.sin(math.radians(theta))
        highest = 9 * kappa  # in the corner that the steep direction points to
        for share in np.linspace(1, 0, LEVELS):
            level = LOWEST_LEVEL * (highest / LOWEST_LEVEL) ** share
            u, v = np.sqrt(2 * level) * np.cos(angle), np.sqrt(2 * level / kappa) * np.sin(angle)
            ellipse = self.hill.pixels(np.column_stack([c * u - s * v, s * u + c * v]))
            self.fill(ellipse, to_hex(theme.hill(share * (1 - 1 / LEVELS))), theme.contour, 0.5, clip=axes)
        bottom_mark = self.hill.pixels((0.0, 0.0))
        self.mark(bottom_mark, "+", 9.0, theme.ink, theme.ink, 1.4)
        for text, place in (("h = 1", (2.3 * c, 2.3 * s)), (f"h = {number(kappa)}", (-2.3 * s, 2.3 * c))):
            self.write(self.hill.pixels(place), text, theme.ink, 0.5)

    def _draw_bars(self, trajectories: Mapping[str, Trajectory], styles: Mapping[str, Style]) -> None:
        theme, axes = self.theme, self.bars
        rows = np.linspace(1, max(0, 1 - len(trajectories) / 4), len(trajectories) + 1)  # as thin as four at least
        for (label, t), top, bottom in zip(trajectories.items(), rows[:-1], rows[1:], strict=True):
            style, taken, edge = styles[label], arrival(t), 0.18 * (top - bottom)
            length = len(_seen(t).points) - 1
            corners = [(0, bottom + edge), (length, bottom + edge), (length, top - edge), (0, top - edge)]
            bar = axes.transData.transform(corners)
            self.fill(bar, style.line(theme))
            middle, gap = (bar[0, 1] + bar[2, 1]) / 2, 8 * self.ratio
            if taken is not None:
                words = str(taken)
            else:
                words = f"not within {self.steps}" if t.diverged_at is None else f"✕ diverged at {t.diverged_at}"
            self.write((axes.bbox.x0 - gap, middle), label, style.text(theme), 1.0)
            self.write((bar[1, 0] + gap, middle), words, theme.ink)

    def _draw_layers(self, layers: Any, label: str, style: Style) -> None:
        """The loss along the ravine, and stacked on it the loss across; each also has a line of its own."""
        panel, theme = self.losses, self.theme
        steps, floor = np.arange(len(layers)), panel.axes.get_ylim()[0]
        along, across, whole = (panel.pixels(steps, v) for v in (*layers.T, layers.sum(axis=1)))
        ground = panel.pixels([steps[-1], 0], [floor, floor])
        self.fill(np.vstack([along, ground]), to_hex(theme.hill(0.2)), clip=panel.axes)
        self.fill(np.vstack([whole, along[::-1]]), to_hex(theme.hill(0.85)), clip=panel.axes)
        for line, dash in ((along, ALONG), (across, ACROSS)):
            self.stroke(line, theme.ink, dash, 1.2, clip=panel.axes)
        self.stroke(whole, style.line(theme), style.dash, clip=panel.axes)
        panel.end(whole[-1], style)
        panel.names([(along[-1, 1], "along", INK), (across[-1, 1], "across", INK)])
        corner = panel.axes.bbox.x0, panel.axes.bbox.y1 + 16 * self.ratio
        self.write(corner, f"loss of {label}: across stacked on along", theme.ink, size=11.0)


def ravine_caption(
    trajectories: Mapping[str, Trajectory], kappa: float, theta: float, split: str, steps: int, tuned: float | None
) -> str:
    """The ravine in words: who took how many steps at which λ, who failed and why, and what a loss was made of.

    `tuned` is the multiple of its own best λ that each one has; None where they have one λ in common.
    """
    taken = {label: arrival(t) for label, t in trajectories.items()}
    rates = {label: _rate(t) for label, t in trajectories.items()}
    sentences = [f"A ravine of condition number κ = {number(kappa)}, turned by {number(theta)}°."]
    if tuned is not None:
        each = f", each at {'' if tuned == 1 else f'{number(tuned)} × '}its best λ"
    elif len(set(rates.values())) == 1:  # said once, it need not be said of each
        each, rates = rates.popitem()[1], dict.fromkeys(trajectories, "")
    else:
        each = ""
    arrived = sorted((n, label) for label, n in taken.items() if n is not None)
    counts = ", ".join(f"{label} {n}{rates[label]}" for n, label in arrived) or "nobody"
    sentences.append(f"Steps to a loss below {number(ARRIVED)}{each}: {counts}.")
    late = [label for label, n in taken.items() if n is None and trajectories[label].diverged_at is None]
    if late:
        sentences.append(f"Not within {steps} steps: {', '.join(label + rates[label] for label in late)}.")
    for label, t in trajectories.items():
        if t.diverged_at is not None:
            sentences.append(f"{label}{rates[label]} diverged at step {t.diverged_at}{_cause(kappa, theta, t)}.")
    seen = split_loss(_seen(trajectories[split]).points, kappa, theta)
    begin, end = (f"{_part(along)} along the ravine and {_part(across)} across it" for along, across in seen[[0, -1]])
    return " ".join([*sentences, f"The loss of {split} is {begin} at first, {end} at last."])


def _part(loss: float) -> str:
    return number(loss) if loss >= ROUNDING else f"less than {number(ROUNDING)}"


def _rate(t: Trajectory) -> str:
    rate = getattr(t.optimizer, "learning_rate", None)
    return "" if rate is None else f" (λ {number(rate)})"


def _cause(kappa: float, theta: float, t: Trajectory) -> str:
    unstable = instability(quadratic(kappa, theta), t)
    if unstable is None:
        return ""
    return f": λ · curvature is {number(unstable.product)}, and the limit is {number(unstable.limit)}"


def _seen(t: Trajectory) -> Trajectory:
    """The part of the path before it left the map."""
    return (
        t if t.diverged_at is None else replace(t, points=t.points[: t.diverged_at], losses=t.losses[: t.diverged_at])
    )
