"""A study as a picture, and in words: final loss against learning rate, one curve for each optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style, styles
from tinygpt.lab.study import UNTUNED, Sweep
from tinygpt.lab.words import number

# width, height, and the box of the panel
WIDE: tuple[int, int, Box] = (900, 420, (52, 56, 612, 326))
NARROW: tuple[int, int, Box] = (480, 420, (44, 56, 250, 326))
HIGHEST, LOWEST = 1, -5  # powers of ten: a loss beyond them is out of sight


class StudyPicture(Scene):
    """Draws what every optimizer came to on one source."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, box = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.narrow = narrow
        self.curves = Curves(self, box, "")

    def draw(self, source: str, tokens: str, sweeps: Mapping[str, Sweep]) -> None:
        """Draw the curves for these tokens of a source, and beside them how low each comes."""
        rates = np.concatenate([sweep.rates for sweep in sweeps.values()])
        least = min(*(float(sweep.losses.min()) for sweep in sweeps.values()), 10.0**HIGHEST)
        low = min(max(math.floor(math.log10(max(least, 10.0**LOWEST))), LOWEST), HIGHEST - 1)
        key = float(rates.min()), float(rates.max()), low
        self.begin(key, lambda: self._arrange(*key))
        left, bottom, _, height = self.curves.box
        title = f"{source}, {tokens} tokens: loss above the floor, by λ"
        self.write((left * self.ratio, (bottom + height + 17) * self.ratio), title, self.theme.ink, size=11.0)
        self._untuned_rates()
        names: list[tuple[float, str, Style]] = []
        own = styles(sweeps)
        for label, sweep in sorted(sweeps.items(), key=lambda item: item[1].is_tuned):  # curves cover single points
            style = own[label]
            pixels = self._curve(sweep, style)
            for i, name in self._places(label, sweep):
                self.curves.end(pixels[i], style)
                names.append((pixels[i][1], name, style))
        self.curves.names(names)

    def _places(self, label: str, sweep: Sweep) -> Iterator[tuple[int, str]]:
        """Which of one's learning rates are marked, and what is written for them: the default, and the best."""
        if sweep.untuned is not None:
            yield sweep.untuned, f"{label} untuned: {_loss(sweep.medians[sweep.untuned])}"
        if sweep.is_tuned:
            where = "" if self.narrow else f", λ = {number(sweep.rates[sweep.best])}"
            yield sweep.best, f"{label}: {_loss(sweep.medians[sweep.best])}{where}"

    def _arrange(self, first: float, last: float, low: int) -> None:
        axes = self.curves.axes
        decades = 10.0 ** np.arange(math.ceil(math.log10(first)), math.floor(math.log10(last)) + 1)
        axes.set(xscale="log", xlim=(first / 1.6, last * 1.6), xticks=decades)
        axes.set(yscale="log", ylim=(10.0**low, 10.0**HIGHEST), yticks=10.0 ** np.arange(low, HIGHEST + 1))
        axes.minorticks_off()
        axes.grid(color=self.theme.faint, linewidth=0.7)

    def _untuned_rates(self) -> None:
        """An upright line at the learning rate that one has who does not choose any."""
        axes = self.curves.axes
        for rate in set(UNTUNED.values()):
            pixels = self.curves.pixels([rate, rate], axes.get_ylim())
            self.stroke(pixels, self.theme.ink, (0, (1.5, 2)), width=1.2, clip=axes)
            self.write(pixels[0] - np.array([0, 34 * self.ratio]), "untuned", self.theme.ink, align=0.5)

    def _curve(self, sweep: Sweep, style: Style) -> Any:
        """The medians, on a band from the lowest seed to the highest; returns the pixels of the medians."""
        colour, axes = style.line(self.theme), self.curves.axes
        values = np.stack([sweep.losses.min(axis=1), sweep.medians, sweep.losses.max(axis=1)])
        shown = np.clip(values, axes.get_ylim()[0], 10.0 ** (HIGHEST + 3))
        low, median, high = (self.curves.pixels(sweep.rates, each) for each in shown)
        self.fill(np.concatenate([low, high[::-1]]), colour + "28", clip=axes)
        self.stroke(median, colour, style.dash, clip=axes)
        for pixel in median:
            self.mark(pixel, "o", 4.0, colour, self.theme.page, 0.8, clip=axes)
        return median


def study_caption(source: str, tokens: str, settings: Mapping[str, Any], sweeps: Mapping[str, Sweep]) -> str:
    """The study in words: what was run, how low each comes untuned and tuned, and what clipping has to do with it."""
    layers, seeds = settings["layers"], next(iter(sweeps.values())).losses.shape[1]
    sentences = [
        f"{source}, {tokens} tokens: a GPT of {layers} layer{'s' * (layers != 1)} and width {settings['width']} after "
        f"{settings['steps'][source]} steps of {settings['batch'][source]} examples, λ constant, gradients clipped to "
        f"norm {number(settings['max_norm'])}. Loss above the floor, the least possible; median of {seeds} seeds."
    ]
    untuned = [f"{label} {_at(sweep, sweep.untuned)}" for label, sweep in sweeps.items() if sweep.untuned is not None]
    tuned = sorted((item for item in sweeps.items() if item[1].is_tuned), key=lambda item: item[1].medians.min())
    best = [f"{label} {_at(sweep, sweep.best)}, the best of {len(sweep.rates)}" for label, sweep in tuned]
    free = [
        f"{label} {_loss(loss)} at λ = {number(rate)}"
        for label, sweep in sweeps.items()
        for rate, loss in sweep.unclipped.items()
    ]
    border = [label for label, sweep in tuned if sweep.at_border]
    for words, items in (
        ("Untuned", untuned),
        ("Tuned", best),
        ("The best λ is the first or last that was tried, and there may be better ones", border),
        ("Without clipping", free),
    ):
        sentences += [f"{words}: {'; '.join(items)}."] * bool(items)
    return " ".join(sentences)


def _at(sweep: Sweep, i: int) -> str:
    """The loss at one of the rates, and how many unseen problems come out right where there are such."""
    accuracy = float(np.median(sweep.accuracies[i]))
    right = "" if math.isnan(accuracy) else f" and {round(100 * accuracy)} % right"
    return f"{_loss(sweep.medians[i])}{right} at λ = {number(sweep.rates[i])}"


def _loss(value: float) -> str:
    if not math.isfinite(value):
        return "diverged"
    return number(value, 2) if value >= 10.0**LOWEST else f"< {number(10.0**LOWEST)}"
