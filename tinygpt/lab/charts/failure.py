"""Reddi's problem in a picture: the gradients and what they are divided by, where x goes, and how β₂ decides it."""

from __future__ import annotations

import math

import numpy as np

from tinygpt.lab.charts.curves import Curves
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import styles
from tinygpt.lab.failure import BETA2S, Failure, drift
from tinygpt.lab.words import short

_Boxes = tuple[int, int, Box, Box, Box]
# width, height, and the boxes of the three panels; the narrow picture stacks them
WIDE: _Boxes = (900, 400, (44, 236, 470, 124), (44, 34, 470, 140), (690, 34, 190, 326))
NARROW: _Boxes = (480, 640, (44, 466, 304, 134), (44, 252, 304, 134), (44, 38, 304, 134))
STYLES = styles(["Adam", "AMSGrad", "SGD"])
SHOWN = 24  # steps of the tape of gradients
BAR = "#8C96A0"  # grey that is seen on both pages


class FailurePicture(Scene):
    """Draws a run of Reddi's problem."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, tape, path, ends = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.tape = Curves(self, tape, "gradients, and the size they are divided by")
        self.path = Curves(self, path, "x, by step")
        self.ends = Curves(self, ends, "where Adam ends, by β₂")

    def draw(self, run: Failure, beta2: float, step: int) -> None:
        """Draw the run up to a step."""
        steps, top = len(run.gradients), max(math.ceil(run.gradients.max()), 1)
        self.begin((steps, top), lambda: self._arrange(steps, top))
        self._draw_tape(run, step)
        if step < steps:
            self.path.now(step)
        names = []
        for label, path in run.paths.items():
            end = self.path.line(path[: step + 1], STYLES[label])
            self.path.end(end, STYLES[label])
            names.append((end[1], label, STYLES[label]))
        self.path.names(names)
        adam = STYLES["Adam"]
        self.stroke(self.ends.pixels([beta2, beta2], [-1, 1]), self.theme.ink, (0, (1.5, 2)), width=1.2)
        self.stroke(self.ends.pixels(BETA2S, run.ends), adam.line(self.theme), adam.dash)
        self.ends.end(self.ends.pixels([beta2], [run.paths["Adam"][-1]])[0], adam)

    def beta2_at(self, x: float, y: float) -> float | None:
        """The β₂ at a place of the right panel, in logical pixels from the upper left corner; None elsewhere."""
        at = self.along(self.ends.box, x, y)
        if at is None:
            return None
        return min(round(at, 2), float(BETA2S[-1]))

    def _draw_tape(self, run: Failure, step: int) -> None:
        """The last steps of the tape: a bar for each gradient, and what Adam and AMSGrad divide it by."""
        first, theme, tape = max(step - SHOWN, 0), self.theme, self.tape
        places, names = np.arange(step - first), []
        self.stroke(tape.pixels([0, SHOWN], [0, 0]), BAR, width=0.8)
        if step:
            edges = (places[:, None] + [0.2, 0.2, 0.8, 0.8]).ravel()
            self.fill(tape.pixels(edges, np.outer(run.gradients[first:step], [0, 1, 1, 0]).ravel()), BAR)
            for label, text, sizes in (("AMSGrad", "AMSGrad: √max v", run.largest), ("Adam", "Adam: √v̂", run.size)):
                style = STYLES[label]
                stairs = tape.pixels((places[:, None] + [0, 1]).ravel(), np.repeat(sizes[first:step], 2))
                self.stroke(stairs, style.line(theme), style.dash, clip=tape.axes)
                names.append((stairs[-1][1], text, style))
        self.tape.names(names)
        left, bottom, width, _ = (length * self.ratio for length in self.tape.box)
        below = bottom - 12 * self.ratio
        self.write((left, below), f"step {first + 1}", theme.ink)
        self.write((left + width, below), f"{first + SHOWN}", theme.ink, align=1.0)

    def _arrange(self, steps: int, top: int) -> None:
        self.tape.arrange_linear(SHOWN, (-1, top, 1))
        self.tape.axes.set(xticks=[], ylim=(-1.2, top * 1.06), yticks=[-1, 0, top] if top < 6 else [0, top])
        self.path.arrange_linear(steps, (-1, 1, 1))
        self.ends.arrange_linear(1, (-1, 1, 1))
        self.ends.axes.set(xticks=[0, 0.5, 1])
        for panel in (self.path, self.ends):
            panel.axes.set_ylim(-1.06, 1.06)


def failure_caption(
    run: Failure, large: float, period: int, betas: tuple[float, float], learning_rate: float, decays: bool, step: int
) -> str:
    """The run in words: the best point, where each is, and which way Adam moves in the long run."""
    mean = (large - (period - 1)) / period
    best = f"{short(-np.sign(mean))} is the best point" if abs(mean) > 1e-9 else "all points are as good"
    where = ", ".join(f"{label} {short(path[step])}" for label, path in run.paths.items())
    rate = f"{short(learning_rate)}/√t" if decays else short(learning_rate)
    others = " and −1 at the others" if period > 1 else ""
    sentences = [
        f"The gradient is {short(large)} at every {_ordinal(period)}step{others}, {short(mean)} on average: {best}.",
        f"β₁ = {short(betas[0])}, β₂ = {short(betas[1])}, λ = {rate}; x at step {step}: {where}.",
    ]
    if large > 0:
        moved = drift(large, period, betas[1])
        who = "With β₁ = 0 Adam would move" if betas[0] > 0 else "Once v has settled Adam moves"
        bad = ", away from the best point" if moved * mean > 0 else ""
        steps = f"{period} step{'s' if period > 1 else ''}"
        sentences.append(f"{who} {short(abs(moved), 2)} λ {'up' if moved > 0 else 'down'} in {steps}{bad}.")
    return " ".join(sentences)


def _ordinal(number: int) -> str:
    return {1: "", 2: "second ", 3: "third "}.get(number, f"{number}th ")
