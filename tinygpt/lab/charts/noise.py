"""The noise lab as a picture, and in words: the way down to the floor, and how the weights lie about the minimum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves, ceiling
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import OWN, STYLES, Style
from tinygpt.lab.linear import limit
from tinygpt.lab.noise import NoisyRuns, averaging_floor, noise_floor, tail_averages
from tinygpt.lab.words import number

_Arrangement = tuple[int, int, Box, Box]
# width and height of the picture, and the boxes of its two panels; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (44, 34, 420, 332), (624, 34, 248, 332))
NARROW: _Arrangement = (480, 640, (44, 274, 294, 332), (44, 34, 408, 160))
CEILING = 1e12  # w² above this has left the picture
BINS = 48
TALLEST = 4.0  # the histogram of the averages is at most this much taller than that of the weights
DEEPEST = 1e-6  # of the runs' w²: a floor further down is out of sight
SETTLED = 1.25  # a mean of w² within this factor of the floor has come down to it

_TAIL = OWN[0]


class NoisePicture(Scene):
    """Draws noisy runs: w² against step, and the histogram of w beside it."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, curves, spread = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.curves = Curves(self, curves, "w², by step")
        self.spread = self.panel(spread, "w in the last quarter of the steps")
        self.spread.set(yticks=[], ylim=(0, 1))
        page = self.theme
        self._floor = Style(page.ink, page.ink, (0, (4, 2)), "o", page.ink)

    def draw(self, runs: NoisyRuns, tail: float) -> None:
        """Draw the runs, with the average of that last fraction of each."""
        style, steps, theme = _style(runs), len(runs.rates), self.theme
        mean, one, averaged = map(_shown, (runs.squares, np.abs(runs.weights[:, 0]), runs.averaged(tail)))
        one, level = one**2, np.where(np.isfinite(runs.floors), runs.floors, np.nan)
        averages = tail_averages(runs.weights, tail)[-1]
        scale = self.curves.scale([mean, averaged, np.maximum([runs.predicted], DEEPEST * mean[-1])], steps)
        reach = _reach(runs, averages)
        self.begin((scale, reach), lambda: self._arrange(scale, reach))
        names: list[tuple[float, str, Style]] = []
        for first, values, name, own, colour, width in (
            (0, one, "one run", style, style.line(theme) + "70", 0.9),
            (0, mean, f"mean of {runs.weights.shape[1]} runs", style, style.line(theme), 1.9),
            (steps + 1 - len(averaged), averaged, "tail average", _TAIL, _TAIL.line(theme), 2.4),
            (1, level, "predicted floor", self._floor, theme.ink, 1.5),
        ):
            seen = np.flatnonzero(np.isfinite(values))
            if seen.size:
                pixels = self.curves.pixels(first + seen, values[seen])
                self.stroke(pixels, colour, "solid" if values is one else own.dash, width, self.curves.axes)
                left = first + seen[-1] < steps
                names.append((pixels[-1][1], f"{name} ✕" if left else name, own))
        self.curves.names(names)
        self._histograms(runs, averages, style)

    def _arrange(self, scale: Any, reach: float) -> None:
        self.curves.arrange(scale)
        self.spread.set(xlim=(-reach, reach), xticks=[-reach, 0, reach])

    def _histograms(self, runs: NoisyRuns, averages: Any, style: Style) -> None:
        """The weights as an area, their averages as an outline, and the predicted bell over both."""
        place, theme, axes = self.spread.transData.transform, self.theme, self.spread
        if not np.isfinite(runs.predicted):
            self.write(place((0, 0.5)), "no floor", theme.ink, 0.5)
            return
        low, high = axes.get_xlim()
        edges = np.linspace(low, high, BINS + 1)
        weights, narrow = (_density(w, edges) for w in (runs.weights[-runs.last :], averages))
        deviation = math.sqrt(max(runs.predicted, 1e-300))
        x = np.linspace(low, high, 161)
        bell = np.exp(-0.5 * (x / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        top = 1.15 * min(max(weights.max(), narrow.max(), bell.max()), TALLEST * weights.max())
        self.fill(place(_steps(edges, weights / top)), style.line(theme) + "60", clip=axes)
        self.stroke(place(_steps(edges, narrow / top)), _TAIL.line(theme), width=1.7, clip=axes)
        self.stroke(place(np.column_stack([x, bell / top])), theme.ink, self._floor.dash, width=1.5, clip=axes)
        left, right, gap = place((low, 1)), place((high, 1)), np.array([0, 16 * self.ratio])
        self.write(left - gap / 2, "w", style.text(theme), bold=True)
        self.write(left - 3 * gap / 2, "predicted", theme.ink)
        self.write(right - gap / 2, "tail averages", _TAIL.text(theme), 1.0)


def noise_caption(runs: NoisyRuns, tail: float) -> str:
    """The noise lab in words: the floor measured and predicted, and what averaging the tail gains."""
    steps, h, mu = len(runs.rates), runs.curvature, runs.momentum
    first, last = number(runs.rates[0]), number(runs.rates[-1])
    rate = f"λ = {first}" if first == last else f"λ from {first} to {last}"
    setting = (
        f"SGD, {rate}, μ = {number(mu)}, on ½hw² with h = {number(h)} and gradient noise of variance "
        f"{number(runs.variance)}: {runs.weights.shape[1]} runs of {steps} steps."
    )
    if not np.isfinite(runs.predicted):
        return f"{setting} {_no_floor(runs)}"
    ratio = runs.measured / runs.predicted if runs.predicted else np.inf
    verdict = "" if 1 / SETTLED <= ratio <= SETTLED else ": the runs have not settled there"
    floor = "floor" if first == last else "floor at their λ"
    result = (
        f"The mean of w² over the last {runs.last} steps is {number(runs.measured)}, and the predicted {floor} "
        f"{number(runs.predicted)}, a ratio of {number(ratio)}{verdict}."
    )
    sentences = [setting, result, _averaging(runs, tail)]
    if mu > 0 and first == last:
        sentences.append(_without_momentum(runs))
    return " ".join(sentences)


def _no_floor(runs: NoisyRuns) -> str:
    end, product = runs.squares[-1], number(np.max(runs.rates[-runs.last :]) * runs.curvature)
    grown = f"the mean of w² is {number(end, 2)}" if np.isfinite(end) else "w is too large for a number"
    return (
        f"There is no floor: λh = {product} reaches the limit 2(1 + μ) = {number(limit(runs.momentum))}, where each "
        f"step adds more than it forgets; at step {len(runs.rates)} {grown}."
    )


def _averaging(runs: NoisyRuns, tail: float) -> str:
    averages = runs.averaged(tail)
    gain, theory = runs.measured / averages[-1], averaging_floor(len(averages), runs.curvature, runs.variance)
    compared = f"{number(gain)} times lower" if gain >= 1 else f"{number(1 / gain)} times higher: the way down is in it"
    return (
        f"Each run's average over its last {len(averages)} weights has a mean square of {number(averages[-1])}, "
        f"{compared} (theory of long averages: {number(theory)})."
    )


def _without_momentum(runs: NoisyRuns) -> str:
    rate, effective = runs.rates[0], runs.rates[0] / (1 - runs.momentum)
    same, equal = (
        number(floor) if np.isfinite(floor) else "infinite"
        for floor in noise_floor(np.array([rate, effective]), 0.0, runs.curvature, runs.variance)
    )
    return (
        f"Without momentum the floor would be {equal} at the same effective λ/(1 − μ) = {number(effective)}, "
        f"and {same} at the same λ."
    )


def _style(runs: NoisyRuns) -> Style:
    return STYLES["momentum" if runs.momentum > 0 else "SGD"]


def _shown(values: Any) -> Any:
    """What is neither too large nor too small to be drawn; NaN else."""
    return np.where((values > 1 / CEILING**2) & (values < CEILING), values, np.nan)


def _steps(edges: Any, heights: Any) -> Any:
    """The outline of a histogram, (2n + 2, 2)."""
    return np.column_stack([np.repeat(edges, 2), [0.0, *np.repeat(heights, 2), 0.0]])


def _density(values: Any, edges: Any) -> Any:
    counts, _ = np.histogram(values, edges)
    return counts / (values.size * (edges[1] - edges[0]))


def _reach(runs: NoisyRuns, averages: Any) -> float:
    """A round number beyond which hardly a weight lies: 1, 2 or 5 times a power of ten."""
    if not np.isfinite(runs.predicted):
        return 1.0
    reach = max(3.5 * math.sqrt(max(runs.predicted, runs.measured)), float(np.max(np.abs(averages))), 1e-9)
    return ceiling(reach)
