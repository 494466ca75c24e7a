"""The race: paths on a hill, and loss against step beside it; in one picture and in words.

The hill is drawn once. A new frame restores it and draws the lines only, which is what makes a slider feel alive.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style
from tinygpt.lab.descent import Trajectory, instability
from tinygpt.lab.surfaces import Point, Surface

_Arrangement = tuple[int, int, Box, Box]
# width and height of the picture, and the boxes of its two panels; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (44, 34, 486, 332), (596, 34, 200, 332))
NARROW: _Arrangement = (480, 620, (44, 254, 424, 332), (44, 34, 330, 160))
LABEL_GAP = 14.0  # logical pixels from one name to the next
LOWEST_GAP = 1e-12  # losses closer to the minimum than this are drawn here
MOST_STILLS = 12  # of a megabyte each, for the scales that one drag comes by
NEAR = 1e-3  # a loss this close to the minimum counts as arrived


class RacePicture(Scene):
    """Draws trajectories over a surface."""

    def __init__(self, surface: Surface, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, self._hill_box, self._loss_box = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.surface, self.lowest = surface, surface.lowest
        self.hill = self.panel(self._hill_box, surface.name)
        self.loss = self.panel(self._loss_box, "loss above the minimum, by step")
        draw_hill(self.hill, surface, self.theme)
        self._stills: dict[tuple[int, int, int], Any] = {}  # by steps and decades of the loss axis
        self._scale: tuple[int, int, int] | None = None

    def draw(
        self, trajectories: Mapping[str, Trajectory], styles: Mapping[str, Style], start: Point, step: int
    ) -> None:
        """Draw the paths up to a step, over the hill."""
        theme, steps = self.theme, max((len(t.losses) - 1 for t in trajectories.values()), default=1)
        gaps = {label: np.maximum(t.losses - self.lowest, LOWEST_GAP) for label, t in trajectories.items()}
        self.restore(self._still(max(steps, 1), *_decades(gaps)))
        to_hill, to_loss = self.hill.transData.transform, self.loss.transData.transform
        if step < steps:
            low, high = self.loss.get_ylim()
            self.stroke(to_loss([(step, low), (step, high)]), theme.faint, width=1.2)
        ends, names = [], []
        for label, t in trajectories.items():
            style, last = styles[label], step if t.diverged_at is None else min(step, t.diverged_at - 1)
            if last < 0:
                continue
            path = to_hill(t.points[: last + 1])
            curve = to_loss(np.column_stack([np.arange(last + 1), gaps[label][: last + 1]]))
            self.stroke(path, theme.casing, width=3.6, clip=self.hill)
            self.stroke(path, style.line(theme), style.dash, clip=self.hill)
            self.stroke(curve, style.line(theme), style.dash, clip=self.loss)
            ends.append((path[-1], curve[-1], style))
            diverged = t.diverged_at is not None and t.diverged_at <= step
            names.append((curve[-1][1], f"{label} ✕" if diverged else label, style))
        for on_hill, on_loss, style in ends:  # above all lines
            size = _MARKER_SIZES.get(style.marker, 8.0)
            self.mark(on_hill, style.marker, size, style.line(theme), theme.page, clip=self.hill)
            self.mark(on_loss, style.marker, size, style.line(theme), theme.page)
        self._draw_start(to_hill(start))
        self._draw_names(names)

    def at(self, x: float, y: float) -> Point:
        """The point of the surface at a place of the picture, in logical pixels from its upper left corner."""
        px, py = self.hill.transData.inverted().transform((x * self.ratio, (self.height - y) * self.ratio))
        return float(px), float(py)

    def on_hill(self, x: float, y: float) -> bool:
        """Whether such a place lies on the hill."""
        left, bottom, width, height = self._hill_box
        return left <= x <= left + width and bottom <= self.height - y <= bottom + height

    def _still(self, steps: int, low: int, high: int) -> Any:
        """The still picture with the loss axis from 10^low to 10^high; kept once drawn."""
        scale, panel = (steps, low, high), self.loss
        if scale != self._scale:
            panel.set(xlim=(0, steps), yscale="log", ylim=(10.0**low, 10.0**high))
            self._scale = scale
        if scale not in self._stills:
            if len(self._stills) >= MOST_STILLS:
                self._stills.clear()
            stride = max(1, math.ceil((high - low) / 6))
            panel.set(yticks=10.0 ** np.arange(high, low - 1, -stride), xticks=sorted({0, steps // 2, steps}))
            panel.minorticks_off()
            panel.grid(axis="y", color=self.theme.faint, linewidth=0.7)
            self._stills[scale] = self.still()
        return self._stills[scale]

    def _draw_start(self, pixel: Any) -> None:
        if not self.hill.bbox.contains(*pixel):
            return
        self.mark(pixel, "o", 9.0, self.theme.page, self.theme.ink, 1.8, clip=self.hill)
        self.write((pixel[0] - 10 * self.ratio, pixel[1]), "start", self.theme.ink, 1.0)

    def _draw_names(self, names: list[tuple[float, str, Style]]) -> None:
        """Each name at its line's end, moved apart where they would cover each other."""
        left, bottom, width, height = (length * self.ratio for length in self._loss_box)
        edge, top, gap = left + width + 11 * self.ratio, bottom + height, LABEL_GAP * self.ratio
        names.sort(key=lambda name: name[0])
        heights = [min(max(end, bottom), top) for end, _, _ in names]
        for i in range(1, len(heights)):
            heights[i] = max(heights[i], heights[i - 1] + gap)
        ceiling = top
        for i in reversed(range(len(heights))):
            heights[i] = min(heights[i], ceiling)
            ceiling = heights[i] - gap
        for (_, text, style), y in zip(names, heights, strict=True):
            self.write((edge, y), text, style.text(self.theme))


_MARKER_SIZES = {"*": 13.0, "^": 9.0, "D": 7.5, "P": 9.0, "X": 9.0}


def draw_hill(axes: Any, surface: Surface, theme: Any) -> None:
    """Contours of the logarithm of the loss above its lowest, and the minima."""
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
    axes.contour(x, y, height, levels=levels, colors=theme.contour, linewidths=0.6, alpha=0.8)
    for minimum in surface.minima:
        axes.plot(*minimum, marker="+", markersize=11, markeredgewidth=3.6, color=theme.page)
        axes.plot(*minimum, marker="+", markersize=9, markeredgewidth=1.4, color=theme.ink)


def race_caption(surface: Surface, trajectories: Mapping[str, Trajectory], step: int) -> str:
    """The race in words: who is lowest, who came near the minimum first, and who diverged, when and why."""
    if not trajectories:
        return f"{surface.name}: no optimizer is running."
    if all(t.diverged_at == 0 for t in trajectories.values()):
        return f"{surface.name}: the start is off the map, so nobody runs."
    lowest = surface.lowest
    first = next(iter(trajectories.values()))
    steps = len(first.losses) - 1
    progress = f"step {step} of {steps}" if step < steps else f"{steps} step{'s' if steps != 1 else ''}"
    sentences = [f"{surface.name} from {_point(first.points[0])}, {progress}{_rates(trajectories)}."]
    gaps = {label: t.losses[: step + 1] - lowest for label, t in trajectories.items()}
    alive = {label: g[-1] for label, g in gaps.items() if np.isfinite(g[-1])}
    if alive:
        ranking = sorted(alive, key=lambda label: alive[label])
        results = ", ".join(f"{label} {_short(alive[label])}" for label in ranking)
        sentences.append(f"Loss above the minimum: {results}.")
    arrivals = {label: int(np.argmax(g < NEAR)) for label, g in gaps.items() if np.any(g < NEAR)}
    if arrivals:
        quickest = min(arrivals.values())
        winners = " and ".join(label for label, n in arrivals.items() if n == quickest)
        sentences.append(f"First below {NEAR:g}: {winners}, at step {quickest}.")
    for label, t in trajectories.items():
        if t.diverged_at is not None and t.diverged_at <= step:
            sentences.append(f"{label} diverged at step {t.diverged_at}{_cause(surface, t)}.")
    return " ".join(sentences)


def _cause(surface: Surface, t: Trajectory) -> str:
    unstable = instability(surface, t)
    if unstable is not None:
        product, limit = f"{unstable.product:.3g}", f"{unstable.limit:.3g}"
        return f": λ · curvature was {product} at step {unstable.step}, and the limit is {limit}"
    path = t.points[: t.diverged_at]
    if len(path) == 1:
        return ": its first step left the map, or was no number"
    length = float(np.max(np.linalg.norm(np.diff(path, axis=0), axis=1)))
    width = surface.bounds[0][1] - surface.bounds[0][0]
    return f": its longest step was {_short(length)} on a surface {_short(width)} wide"


def _rates(trajectories: Mapping[str, Trajectory]) -> str:
    optimizers = {label: t.optimizer for label, t in trajectories.items() if hasattr(t.optimizer, "learning_rate")}
    rates = {label: f"{float(np.max(optimizer.learning_rate)):.3g}" for label, optimizer in optimizers.items()}
    if not rates:
        return ""
    common, count = Counter(rates.values()).most_common(1)[0]
    if len(rates) == 1 or (count > 1 and count >= len(rates) - 1):
        others = "".join(f" ({label} {rate})" for label, rate in rates.items() if rate != common)
        return f", λ = {common}{others}"
    return ", λ = " + ", ".join(f"{rate} ({label})" for label, rate in rates.items())


def _short(number: float) -> str:
    """Two digits, as a person would write them."""
    if number < LOWEST_GAP:
        return "0"
    if 1e-3 <= number < 1e4:
        return f"{float(f'{number:.2g}'):g}"
    return f"{number:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


def _point(p: Any) -> str:
    x, y = (f"{v:.2f}" if v == 0 or abs(v) >= 0.005 else f"{v:.0e}" for v in p)  # 1e-06 is not 0: ask the saddle
    return f"({x}, {y})".replace("-", "−")


def _widened(bounds: tuple[Point, Point], aspect: float) -> tuple[Point, Point]:
    """The bounds, widened along one axis so that a step is as long on the screen whichever way it points.

    Only then does a gradient stand upright on its contour.
    """
    (x0, x1), (y0, y1) = bounds
    width, height = max(x1 - x0, (y1 - y0) * aspect), max(y1 - y0, (x1 - x0) / aspect)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (x - width / 2, x + width / 2), (y - height / 2, y + height / 2)


def _decades(gaps: Mapping[str, Any]) -> tuple[int, int]:
    """Powers of ten that hold all gaps, the lower one even, so that few changes of a slider move the axis."""
    finite = [g[np.isfinite(g)] for g in gaps.values()]
    finite = [g for g in finite if g.size]
    if not finite:
        return -2, 2
    low, high = min(float(g.min()) for g in finite), max(float(g.max()) for g in finite)
    bottom = 2 * math.floor(math.log10(low) / 2)
    return bottom, max(math.ceil(math.log10(high) + 0.05), bottom + 2)
