"""The phase plot: position against velocity of a walk with momentum, and the eigenvalues of its steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import ceiling
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import STYLES, TYPE_SIZE
from tinygpt.lab.linear import Ride, critical_momentum, eigenvalues, limit
from tinygpt.lab.words import number

_Arrangement = tuple[int, int, Box, Box]
# width and height of the picture, and the boxes of its two panels; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (60, 44, 420, 322), (548, 44, 322, 322))
NARROW: _Arrangement = (480, 740, (60, 416, 396, 290), (84, 34, 312, 312))
EDGE = 1.35  # of the panel of eigenvalues, which are drawn there if they are beyond it
FARTHEST = 1e3  # position or velocity at which the walker is shown
SETTLED = 1e-9  # a modulus closer to 1 than this is 1
MEETING = 1e-6  # eigenvalues closer than this are one: where they meet, rounding moves them by its root
WINDOWS = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0, 10.0)  # half the plane's width or height, times a power of ten


class PhasePicture(Scene):
    """Draws a ride through the plane of position and velocity, and the eigenvalues of its step on the unit circle."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, plane, circle = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.plane = self.panel(plane, "position w (across) and velocity v (up), step by step")
        self.circle = self.panel(circle, "eigenvalues σ")
        self._draw_circle()

    def draw(self, ride: Ride, product: float, momentum: float, nesterov: bool, step: int) -> None:
        """Draw the ride up to a step; `product` is λh."""
        last = min(step, last_seen(ride))
        window = _window(ride.positions, ride.velocities, last_seen(ride))
        self.begin(window, lambda: self._arrange(window))
        style, theme = STYLES[_kind(momentum, nesterov)], self.theme
        path = self.plane.transData.transform(
            np.column_stack([ride.positions[: last + 1], ride.velocities[: last + 1]])
        )
        self.stroke(path, style.line(theme), style.dash, 1.5, clip=self.plane)
        for pixel in path[:60]:  # more would hide each other
            self.mark(pixel, style.marker, 4.0, style.line(theme), theme.page, 0.6, clip=self.plane)
        self.mark(path[0], "o", 9.0, theme.page, theme.ink, 1.8, clip=self.plane)
        self.write(path[0] + (0, -15 * self.ratio), "start", theme.ink, 0.5)
        size = style.size
        self.mark(path[-1], style.marker, size, style.line(theme), theme.page, clip=self.plane)
        self._draw_eigenvalues(product, momentum, nesterov)

    def _draw_circle(self) -> None:
        """The unit circle and its axes, in the still."""
        axes, theme = self.circle, self.theme
        axes.set(xlim=(-EDGE, EDGE), ylim=(-EDGE, EDGE), xticks=[-1, 0, 1], yticks=[-1, 0, 1], aspect="equal")
        axes.set_xticklabels(["−1", "0", "1"])
        axes.set_yticklabels(["−i", "0", "i"])
        angle = np.linspace(0, 2 * np.pi, 181)
        axes.fill(np.cos(angle), np.sin(angle), color=theme.hill(0.15), linewidth=0)
        for line in (axes.axhline, axes.axvline):
            line(0, color=theme.faint, linewidth=0.8)
        axes.plot(np.cos(angle), np.sin(angle), color=theme.ink, linewidth=1.2)
        words = {"fontsize": TYPE_SIZE, "color": theme.ink, "ha": "center", "va": "center"}
        axes.text(0, -0.78, "inside: shrinks", **words)
        axes.text(0, -1.2, "outside: explodes", **words)
        axes.text(EDGE, -0.1, "real", **{**words, "ha": "right"})
        axes.text(-EDGE, 1.25, "dotted: every μ from 0 to 1", **{**words, "ha": "left"})

    def _draw_eigenvalues(self, product: float, momentum: float, nesterov: bool) -> None:
        theme, axes, style = self.theme, self.circle, STYLES[_kind(momentum, nesterov)]
        along = eigenvalues(1.0, product, np.linspace(0, 1, 201), nesterov)  # as μ grows from 0 to 1
        for branch in along.T:
            self.stroke(_on(axes, branch), style.line(theme), (0, (1.0, 2.0)), 1.2, clip=axes)
        for sigma in eigenvalues(1.0, product, momentum, nesterov):
            far = max(abs(sigma.real), abs(sigma.imag))
            shown = sigma * min(1.0, (EDGE - 0.07) / far) if far else sigma
            pixel = _on(axes, np.array([shown]))[0]
            self.mark(pixel, style.marker, 10.0, style.line(theme), theme.page, 1.4)
            if far > EDGE:
                side = math.copysign(1.0, sigma.real)
                above = pixel + np.array([8 * side, 16]) * self.ratio
                self.write(above, number(sigma.real), style.text(theme), side > 0)
        corner = axes.bbox.x1, axes.bbox.y1 + 16 * self.ratio
        size = number(np.abs(eigenvalues(1.0, product, momentum, nesterov)).max())
        self.write(corner, f"largest |σ| = {size}", style.text(theme), 1.0, 11.0)

    def _arrange(self, window: tuple[float, float]) -> None:
        x, y = window
        self.plane.set(xlim=(-x, x), ylim=(-y, y), xticks=[-x, -x / 2, 0, x / 2, x], yticks=[-y, -y / 2, 0, y / 2, y])
        self.plane.grid(color=self.theme.faint, linewidth=0.7)


def last_seen(ride: Ride) -> int:
    """The last step before position or velocity was so large that it is shown no more."""
    lost = np.flatnonzero(~(np.maximum(np.abs(ride.positions), np.abs(ride.velocities)) <= FARTHEST))  # nor is NaN
    return int(lost[0]) - 1 if lost.size else len(ride.positions) - 1


def phase_caption(ride: Ride, product: float, momentum: float, nesterov: bool, step: int) -> str:
    """The ride in words: the eigenvalues, what they mean, the critical damping, and where the walker is."""
    pair = eigenvalues(1.0, product, momentum, nesterov)
    size = float(np.abs(pair).max())
    name = _NAMES[_kind(momentum, nesterov)]
    sentences = [
        f"{name} on ½hw² with λh = {number(product)} and μ = {number(momentum)}: the eigenvalues of a step are "
        f"{_complex(pair)}, the largest modulus {number(size)}.",
        _meaning(pair, size, momentum, nesterov),
    ]
    if product <= 1:
        critical = "(1 − √(λh)) / (1 + √(λh))" if nesterov else "(1 − √(λh))²"
        found = number(critical_momentum(product, nesterov))
        sentences.append(f"It is critically damped at μ = {critical} = {found}.")
    last = min(step, last_seen(ride))
    place = f"After {last} step{'' if last == 1 else 's'} w = {number(ride.positions[last])} from 1"
    sentences.append(f"{place}; the steps after that are not shown." if last < step else f"{place}.")
    return " ".join(sentences)


_NAMES = {"SGD": "Gradient descent", "momentum": "Heavy ball", "Nesterov": "Nesterov"}


def _kind(momentum: float, nesterov: bool) -> str:
    """Who rides, by the label of its style."""
    return ("Nesterov" if nesterov else "momentum") if momentum else "SGD"


def _meaning(pair: Any, size: float, momentum: float, nesterov: bool) -> str:
    if abs(size - 1) < SETTLED:
        return "A modulus of 1 neither grows nor shrinks in the long run."
    if size > 1:
        return f"Beyond 1 the walk explodes: λh is above the limit {number(limit(momentum, nesterov))}."
    if abs(pair[0] - pair[1]) < MEETING:
        swing = "changes sides with every step" if pair[0].real < 0 else "does not swing"
        return f"The two are one: no other μ is quicker at this λh, and the position {swing}."
    if abs(pair[0].imag) > 0:
        turn = 2 * math.pi / abs(math.atan2(pair[0].imag, pair[0].real))
        root = "|σ|" if nesterov else "|σ| = √μ"
        return f"They are complex: the position swings, a turn in {number(turn)} steps, and shrinks by {root} a step."
    if -pair.real.min() >= pair.real.max():
        return "The larger is negative: the position changes sides with every step, and shrinks."
    return "Both are real and the larger is positive: the position creeps in without swinging."


def _complex(pair: Any) -> str:
    first, second = pair
    if abs(first.imag) > 0:
        return f"{number(first.real)} ± {number(abs(first.imag))}i"
    return f"{number(first.real)} and {number(second.real)}"


def _on(axes: Any, sigmas: Any) -> Any:
    return axes.transData.transform(np.column_stack([sigmas.real, sigmas.imag]))


def _window(positions: Any, velocities: Any, last: int) -> tuple[float, float]:
    """Half the width and height of the plane: round, so that few changes of a slider move it."""
    x, y = (float(np.abs(values[: last + 1]).max()) for values in (positions, velocities))
    return ceiling(max(1.1 * x, 1.0), WINDOWS), ceiling(max(1.1 * y, 0.01), WINDOWS)
