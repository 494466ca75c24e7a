"""The fair fight as a picture, and in words: steps to the tolerance against λ, and under it how many λ will do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves
from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.charts.style import Style
from tinygpt.lab.fight import NOISE, Fight, Standing
from tinygpt.lab.words import number

# widths of the picture and of its panels; of each optimizer's row, the height, and how far its words are above the bar
WIDE = (900, 500, 18, 0)
NARROW = (480, 318, 36, 14)
LEFT, BOTTOM, BETWEEN, TOP, CURVES = 52, 34, 48, 34, 194  # margins, and the height of the upper panel, logical pixels
ENOUGH = 6  # starts, with which the sign test can tell two optimizers apart


class FightPicture(Scene):
    """Draws a fight: each one's steps against λ, and a row each for the λ at which it arrives."""

    def __init__(self, styles: Mapping[str, Style], theme: str = "light", ratio: float = 1.0, narrow: bool = False):
        width, across, self.row, self.above = NARROW if narrow else WIDE
        rows = len(styles) * self.row
        super().__init__(width, BOTTOM + rows + BETWEEN + CURVES + TOP, theme, ratio)
        self.styles = styles
        self.curves = Curves(self, (LEFT, BOTTOM + rows + BETWEEN, across, CURVES), "steps to the tolerance, by λ")
        self.bars = self.panel((LEFT, BOTTOM, across, rows), "λ at which most starts arrive")
        self.bars.set(yticks=[])
        for axes in (self.curves.axes, self.bars):
            axes.set_xscale("log")
        self.curves.axes.set_yscale("log")

    def draw(self, fight: Fight) -> None:
        """Draw everybody's standing."""
        standings = fight.standings
        best = min(standing.steps for standing in standings.values())
        low = math.floor(math.log10(max(min(best, fight.steps), 1)))
        key = (tuple(fight.rates), low, max(math.ceil(math.log10(fight.steps)), low + 1))
        self.begin(key, lambda: self._arrange(*key))
        x = self.curves.pixels(fight.rates, np.ones(len(fight.rates)))[:, 0]  # the same in both panels
        self._budget(fight)
        bests = {label: self._curve(fight, standing, self.styles[label], x) for label, standing in standings.items()}
        arrived = {label: pixel for label, pixel in bests.items() if math.isfinite(standings[label].steps)}
        for label, pixel in arrived.items():  # above all lines
            self.curves.end(pixel, self.styles[label])
        self.curves.names((pixel[1], label, self.styles[label]) for label, pixel in arrived.items())
        for row, (label, standing) in enumerate(standings.items()):
            self._row(row, label, standing, x)
        self._ties(fight)

    def _arrange(self, rates: Any, low: int, high: int) -> None:
        step = math.sqrt(rates[1] / rates[0])
        limits, decades = (rates[0] / step, rates[-1] * step), _decades(rates)
        self.bars.set(xlim=limits, xticks=decades)
        self.curves.axes.set(xlim=limits, xticks=decades, ylim=(10.0**low, 10.0**high))
        self.curves.axes.set(xticklabels=[], yticks=10.0 ** np.arange(low, high + 1))
        self.curves.axes.grid(color=self.theme.faint, linewidth=0.7)
        self.bars.grid(axis="x", color=self.theme.faint, linewidth=0.7)
        for axes in (self.curves.axes, self.bars):
            axes.minorticks_off()

    def _budget(self, fight: Fight) -> None:
        """The most steps that were allowed."""
        pixels = self.curves.pixels(self.curves.axes.get_xlim(), [fight.steps] * 2)
        self.stroke(pixels, self.theme.ink, (0, (1, 2)), width=1.0)
        x, y = pixels[0]
        side = -1 if y > self.curves.axes.bbox.y1 - 20 * self.ratio else 1  # within the panel
        self.write((x + 4 * self.ratio, y + side * 10 * self.ratio), f"{_steps(fight)} allowed", self.theme.ink)

    def _curve(self, fight: Fight, standing: Standing, style: Style, x: Any) -> Any:
        """The median over the starts, on a band from their lower to their upper quartile; returns the best's pixel."""
        colour, ordered = style.line(self.theme), np.sort(standing.arrivals, axis=1)
        quarter = (ordered.shape[1] - 1) // 4
        values = np.stack([ordered[:, quarter], standing.medians, ordered[:, -1 - quarter]])
        shown = np.clip(values, 1, fight.steps)  # the band ends where the budget does
        low, median, high = self.curves.pixels(np.tile(fight.rates, 3), shown.ravel())[:, 1].reshape(shown.shape)
        for run in _runs(np.isfinite(standing.medians)):
            there = np.concatenate([x[run], x[run][::-1]]), np.concatenate([low[run], high[run][::-1]])
            self.fill(np.column_stack(there), colour + "28", clip=self.curves.axes)
            self.stroke(np.column_stack([x[run], median[run]]), colour, style.dash)
        return x[standing.medians.argmin()], median[standing.medians.argmin()]

    def _row(self, row: int, label: str, standing: Standing, x: Any) -> None:
        """The λ at which one arrives, as a bar with a marker at the best, and its result in words."""
        style, half, y = self.styles[label], (x[1] - x[0]) / 2, self._height(row)
        bar = y - self.above / 2 * self.ratio
        for run in _runs(np.isfinite(standing.medians)):
            ends = [(x[run.start] - half, bar), (x[run.stop - 1] + half, bar)]
            self.stroke(ends, style.line(self.theme), width=5.0, clip=self.bars)
        if math.isfinite(standing.steps):
            at = x[standing.medians.argmin()], bar
            size = style.size
            self.mark(at, style.marker, size, style.line(self.theme), self.theme.page)
        left, right = self.bars.bbox.x0, self.bars.bbox.x1 + 11 * self.ratio
        words = (left, y + self.above / 2 * self.ratio) if self.above else (right, y)
        self.write(words, f"{label}: {_result(standing)}", style.text(self.theme))

    def _height(self, row: float) -> float:
        """The middle of a row, in pixels."""
        return (BOTTOM + (len(self.styles) - row - 0.5) * self.row) * self.ratio

    def _ties(self, fight: Fight) -> None:
        """A bracket around neighbours whose difference is within the noise."""
        rows, right = list(fight.standings), (self.width - 26) * self.ratio
        for one, _ in fight.ties:
            left, row = right - 5 * self.ratio, rows.index(one)
            top, bottom = self._height(row + 0.05), self._height(row + 0.95)
            self.stroke([(left, top), (right, top), (right, bottom), (left, bottom)], self.theme.ink, width=1.2)
        if fight.ties:
            above = self._height(-0.5) + 14 * self.ratio
            self.write((right + 8 * self.ratio, above), "] within the noise", self.theme.ink, 1.0)


def fight_caption(fight: Fight) -> str:
    """The fight in words: the budget, who is quickest, who is easiest to tune, and which differences are chance."""
    low, high = number(fight.rates[0]), number(fight.rates[-1])
    starts = f"{fight.starts} start{'' if fight.starts == 1 else 's'}"
    sentences = [
        f"{fight.surface.name}: each optimizer tries {len(fight.rates)} learning rates from {low} to {high}, "
        f"from {starts} each, {_steps(fight)} at most."
    ]
    arrived = {label: standing for label, standing in fight.standings.items() if math.isfinite(standing.steps)}
    missing = [label for label in fight.standings if label not in arrived]
    if arrived:
        quickest = ", ".join(f"{label} {_at_best(standing)}" for label, standing in arrived.items())
        widest = sorted(arrived, key=lambda label: -arrived[label].width)
        widths = ", ".join(f"{label} {_width(arrived[label])}" for label in widest)
        near = number(fight.tolerance)
        sentences.append(f"Median steps to within {near} of the minimum, at each one's best λ: {quickest}.")
        sentences.append(f"Decades of λ at which most starts arrive: {widths}.")
    if missing:
        sentences.append(f"At no λ do most starts arrive: {', '.join(missing)}.")
    if fight.ties:
        pairs = "; ".join(f"{one} and {other}, p = {number(fight.chance(one, other), 2)}" for one, other in fight.ties)
        few = "" if fight.starts >= ENOUGH else f" Fewer than {ENOUGH} starts cannot tell anyone apart."
        sentences.append(f"The difference is within the noise (sign test) between {pairs}.{few}")
    elif len(arrived) > 1:
        sentences.append(f"Each differs from the next by more than the noise (p ≤ {NOISE}).")
    return " ".join(sentences)


def _at_best(standing: Standing) -> str:
    came, starts = int(np.isfinite(standing.at_best).sum()), len(standing.at_best)
    some = "" if came == starts else f", {came} of {starts} starts"
    return f"{number(standing.steps)} (λ = {number(standing.rate)}{some})"


def _result(standing: Standing) -> str:
    if not math.isfinite(standing.steps):
        return "does not arrive"
    return f"{number(standing.steps)} steps, {_width(standing)} decade{'' if standing.width == 1 else 's'}"


def _width(standing: Standing) -> str:
    return f"{'≥ ' if standing.open_ended else ''}{number(standing.width)}"


def _steps(fight: Fight) -> str:
    return f"{fight.steps} step{'' if fight.steps == 1 else 's'}"


def _runs(flags: Any) -> Iterator[slice]:
    """The stretches in which all flags are set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]])))
    yield from (slice(start, stop) for start, stop in edges.reshape(-1, 2).tolist())


def _decades(rates: Any) -> Any:
    low, high = math.ceil(math.log10(rates[0]) - 1e-9), math.floor(math.log10(rates[-1]) + 1e-9)
    return 10.0 ** np.arange(low, high + 1)
