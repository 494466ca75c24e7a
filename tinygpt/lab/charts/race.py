"""The race: paths on a hill, and loss against step beside it; in one picture and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves
from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style
from tinygpt.lab.descent import Trajectory, instability
from tinygpt.lab.surfaces import Point, Surface

_Arrangement = tuple[int, int, Box, Box]
# width and height of the picture, and the boxes of its two panels; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (44, 34, 486, 332), (596, 34, 200, 332))
NARROW: _Arrangement = (480, 620, (44, 254, 424, 332), (44, 34, 330, 160))
LOWEST_GAP = 1e-12  # losses closer to the minimum than this are drawn here
NEAR = 1e-3  # a loss this close to the minimum counts as arrived


class RacePicture(Scene):
    """Draws trajectories over a surface."""

    def __init__(self, surface: Surface, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, hill, loss = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.lowest = surface.lowest
        self.hill = Hill(self, hill, surface)
        self.loss = Curves(self, loss, "loss above the minimum, by step")

    def draw(
        self, trajectories: Mapping[str, Trajectory], styles: Mapping[str, Style], start: Point, step: int
    ) -> None:
        """Draw the paths up to a step, over the hill."""
        steps = max((len(t.losses) - 1 for t in trajectories.values()), default=1)
        gaps = {label: np.maximum(t.losses - self.lowest, LOWEST_GAP) for label, t in trajectories.items()}
        scale = self.loss.scale(gaps.values(), steps)
        self.begin(scale, lambda: self.loss.arrange(scale))
        if step < steps:
            self.loss.now(step)
        ends, names = [], []
        for label, t in trajectories.items():
            style, last = styles[label], step if t.diverged_at is None else min(step, t.diverged_at - 1)
            if last < 0:
                continue
            self.hill.path(t.points[: last + 1], style)
            end = self.loss.line(gaps[label][: last + 1], style)
            ends.append((t.points[last], end, style))
            diverged = t.diverged_at is not None and t.diverged_at <= step
            names.append((end[1], f"{label} ✕" if diverged else label, style))
        for point, pixel, style in ends:  # above all lines
            self.hill.end(point, style)
            self.loss.end(pixel, style)
        self.hill.start(start)
        self.loss.names(names)


def race_caption(surface: Surface, trajectories: Mapping[str, Trajectory], step: int) -> str:
    """The race in words: who is lowest, who came near the minimum first, and who diverged, when and why."""
    if not trajectories:
        return f"{surface.name}: no optimizer is running."
    if all(t.diverged_at == 0 for t in trajectories.values()):
        return f"{surface.name}: the start is off the map, so nobody runs."
    lowest = surface.lowest
    first = next(t for t in trajectories.values() if t.diverged_at != 0)  # one that has a start
    steps = len(first.losses) - 1
    progress = f"step {step} of {steps}" if step < steps else f"{steps} step{'s' if steps != 1 else ''}"
    sentences = [f"{surface.name} from {_point(first.points[0])}, {progress}{_rates(trajectories)}."]
    gaps = {label: t.losses[: step + 1] - lowest for label, t in trajectories.items()}
    alive = {label: g[-1] for label, g in gaps.items() if np.isfinite(g[-1])}
    if alive:
        ranking = sorted(alive, key=lambda label: alive[label])
        results = ", ".join(f"{label} {_short(alive[label])}" for label in ranking)
        sentences.append(f"Loss above the minimum: {results}.")
    arrivals = {label: int(np.argmax(abs(g) < NEAR)) for label, g in gaps.items() if np.any(abs(g) < NEAR)}
    if arrivals:
        quickest = min(arrivals.values())
        winners = " and ".join(label for label, n in arrivals.items() if n == quickest)
        sentences.append(f"First below {NEAR:g}: {winners}, at step {quickest}.")
    for label, t in trajectories.items():
        if t.diverged_at is not None and t.diverged_at <= step:
            sentences.append(f"{label} diverged at step {t.diverged_at}{_cause(surface, t)}.")
    return " ".join(sentences)


def _cause(surface: Surface, t: Trajectory) -> str:
    if t.diverged_at == 0:
        return ": it begins off the map"
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
    rates = {label: rate for label, t in trajectories.items() if (rate := _rate(t.optimizer))}
    if not rates:
        return ""
    common, count = Counter(rates.values()).most_common(1)[0]
    if len(rates) == 1 or (count > 1 and count >= len(rates) - 1):
        others = "".join(f" ({label} {rate})" for label, rate in rates.items() if rate != common)
        return f", λ = {common}{others}"
    return ", λ = " + ", ".join(f"{rate} ({label})" for label, rate in rates.items())


def _rate(optimizer: Any) -> str:
    """Its λ; of a schedule, the first and the last that a step had."""
    if getattr(optimizer, "learning_rate", None) is None:
        return ""
    first, last = (f"{float(np.max(optimizer.learning_rate_at(n))):.3g}" for n in (0, max(optimizer.updates - 1, 0)))
    return first if first == last else f"{first} … {last}"


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
