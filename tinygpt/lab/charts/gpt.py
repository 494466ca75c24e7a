"""A GPT's training in a picture and in words: the loss, what the model answers, and the gradient in each layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves, Scale, ceiling
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style
from tinygpt.lab.gpts import EXAMINED, GPTRun, Moment
from tinygpt.lab.words import short

_Arrangement = tuple[int, int, Box, Box, Box]
# width and height of the picture; boxes of the loss, of what is written, and of the gradients; the narrow one stacks
WIDE: _Arrangement = (900, 400, (48, 34, 340, 330), (536, 212, 352, 152), (536, 20, 352, 132))
NARROW: _Arrangement = (480, 780, (48, 500, 286, 246), (16, 270, 452, 176), (16, 30, 452, 180))
LINE = 22.0  # logical pixels from one line to the next
MARK = 150.0  # from where a line begins to whether it is right
NAMES = 84.0  # for the layers' names
BARS = 200.0  # the longest bar
CHARACTERS = 46  # of a line of prose, that it fits
BOUNDS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)  # an accuracy is told as the highest that it reaches: digits are chaotic
LOWEST = 1e-4  # losses below this are drawn here
TINIEST = 1e-30  # a gradient below this counts as this


class GPTPicture(Scene):
    """Draws the training that is going on or was looked at last, and the curves of those before it."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, loss, text, bars = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.loss = Curves(self, loss, "loss in training, by step")
        self.text, self.text_box = self.panel(text, ""), text
        self.bars, self.bars_box = self.panel(bars, "gradient in each layer (root mean square)"), bars
        for axes in (self.text, self.bars):
            axes.set(xticks=[], yticks=[], xlim=(0, 1))

    def draw(self, runs: Sequence[tuple[GPTRun, Style]], step: int) -> None:
        """Draw the runs, of which the last is looked at, after a step."""
        run, style = runs[-1]
        moment = run.at(step)
        curves = [np.maximum(one.smooth(), LOWEST) for one, _ in runs]
        scale = self.loss.scale(curves, max(one.steps for one, _ in runs))
        most = ceiling(max(float(np.max(moment.gradients)), TINIEST))
        title = _heading(moment)
        self.begin((scale, title), lambda: self._arrange(scale, title))
        self._draw_losses(runs, curves, step)
        self._draw_lines(moment, style)
        self._draw_gradients(run, moment, most, style)

    def _arrange(self, scale: Scale, title: str) -> None:
        self.loss.arrange(scale)
        self.text.set_title(title, loc="left", fontsize=11, color=self.theme.ink, pad=8, parse_math=False)

    def _draw_losses(self, runs: Sequence[tuple[GPTRun, Style]], curves: list[Any], step: int) -> None:
        names = []
        if step < runs[-1][0].steps:
            self.loss.now(step)
        for (run, style), curve in zip(runs, curves, strict=True):
            seen = curve[:step] if run is runs[-1][0] else curve
            if not seen.size:
                continue
            pixels = self.loss.pixels(np.arange(1, len(seen) + 1), seen)
            looked_at = run is runs[-1][0]
            colour = style.line(self.theme) + ("" if looked_at else "90")
            self.stroke(pixels, colour, style.dash, width=1.9 if looked_at else 1.2, clip=self.loss.axes)
            self.loss.end(pixels[-1], style)
            lost = " ✕" if run.diverged and len(seen) == len(run.losses) else ""
            names.append((pixels[-1][1], f"{run.label} {short(run.learning_rate, 2)}{lost}", style))
        self.loss.names(names)

    def _draw_lines(self, moment: Moment, style: Style) -> None:
        left, bottom, _, height = self.text_box
        colour, ratio = style.text(self.theme), self.ratio
        most = int(height // LINE)
        for i, line in enumerate(_rows(moment)[:most]):
            pixel = np.array([left, bottom + height - LINE * (i + 0.5)]) * ratio
            self.write(pixel, line, self.theme.ink)
            if moment.right:
                mark, tint = ("✓", colour) if moment.right[i] else ("✗", self.theme.ink)
                self.write(pixel + np.array([MARK * ratio, 0]), mark, tint)

    def _draw_gradients(self, run: GPTRun, moment: Moment, most: float, style: Style) -> None:
        left, bottom, _, height = self.bars_box
        begin, each = left + NAMES, height / len(run.layers)
        for i, (name, size) in enumerate(zip(run.layers, moment.gradients, strict=True)):
            middle = bottom + (i + 0.5) * each
            end = begin + BARS * min(size / most, 1.0)
            corners = [(begin, middle - 0.32 * each), (end, middle - 0.32 * each)]
            corners += [(end, middle + 0.32 * each), (begin, middle + 0.32 * each)]
            self.fill(np.array(corners) * self.ratio, style.line(self.theme))
            self.write(np.array([begin - 8, middle]) * self.ratio, name, self.theme.ink, align=1.0)
            self.write(np.array([end + 6, middle]) * self.ratio, short(float(size), 1), self.theme.ink)


def _heading(moment: Moment) -> str:
    what = "written" if moment.accuracy is None else "new questions"
    return f"{what}, after step {moment.step}"


def _rows(moment: Moment) -> list[str]:
    """What is written as rows: a question and its answer, or prose in lines that fit."""
    if moment.accuracy is not None:
        return list(moment.lines)
    return [line[i : i + CHARACTERS] for line in moment.lines for i in range(0, max(len(line), 1), CHARACTERS)]


def gpt_caption(run: GPTRun, step: int) -> str:
    """A training in words. Its digits are chaotic and differ between machines, so it tells bounds."""
    moment, begins = run.at(step), run.losses[0] if run.losses else math.nan
    when = f"{run.steps} steps" if step >= run.steps else f"step {step} of {run.steps}"
    sentences = [f"A GPT learns {run.subject} by {run.label}, λ = {short(run.learning_rate)}, {when}."]
    if run.diverged and step >= len(run.losses):
        sentences.append(f"Training diverges after step {len(run.losses)}.")
    elif step and run.losses:
        loss = float(run.smooth()[min(step, len(run.losses)) - 1])
        sentences.append(f"The loss begins at {begins:.1f} and comes below {ceiling(max(loss, LOWEST)):g}.")
    if moment.accuracy is not None:
        bound = max(bound for bound in BOUNDS if moment.accuracy >= bound)
        least = "fewer than 50" if bound == 0 else f"at least {round(100 * bound)}"
        sentences.append(f"Of {EXAMINED} questions that it never saw it answers {least} right.")
    sentences.append(_gradients_in_words(run, step))
    return " ".join(sentences)


def _gradients_in_words(run: GPTRun, step: int) -> str:
    """Which layers have the largest and the smallest gradient, in the geometric mean over the moments until now."""
    sizes = np.array([moment.gradients for moment in run.moments if moment.step <= step])
    typical = np.exp(np.mean(np.log(np.maximum(sizes, TINIEST)), axis=0))
    largest, smallest = int(np.argmax(typical)), int(np.argmin(typical))
    ratio = typical[largest] / typical[smallest]
    bound = max(part for part in (1, 2, 5, 10, 20, 50, 100) if ratio >= part)
    if bound == 1:
        return "The gradients of the layers are alike."
    return f"The gradient is largest in {run.layers[largest]}, more than {bound} times that in {run.layers[smallest]}."
