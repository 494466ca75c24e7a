"""Decay in a picture: the busy and the idle weight by step, and what the decay leaves of the idle one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves, Limits, limits
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import styles
from tinygpt.lab.decay import DECAYS, RULES, START, Decay
from tinygpt.lab.words import short

_Boxes = tuple[int, int, Box, Box, Box]
# width, height, and the boxes of the three panels; the narrow picture stacks them
WIDE: _Boxes = (900, 400, (44, 34, 176, 326), (344, 34, 176, 326), (642, 34, 164, 326))
NARROW: _Boxes = (480, 640, (44, 466, 330, 134), (44, 252, 330, 134), (44, 38, 330, 134))
STYLES = dict(zip(RULES, styles(["SGD", "Adam", "AdamW"]).values(), strict=True))


class DecayPicture(Scene):
    """Draws both weights under all rules, or one of them."""

    def __init__(self, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, busy, idle, left = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.busy = Curves(self, busy, "busy weight, by step")
        self.idle = Curves(self, idle, "idle weight, by step")
        self.left = Curves(self, left, "idle weight kept, by decay")

    def draw(self, runs: Mapping[str, Decay], weight_decay: float, step: int) -> None:
        """Draw the rules that are given, up to a step, and mark the decay."""
        steps = len(next(iter(runs.values())).busy) - 1
        scales = [limits([[0.0, START], *values]) for values in _columns(runs)]
        self.begin((steps, *scales), lambda: self._arrange(steps, *scales))
        theme = self.theme
        for panel, curves in zip((self.busy, self.idle), _columns(runs), strict=True):
            if step < steps:
                panel.now(step)
            names = []
            for (label, style), values in zip(_styles(runs), curves, strict=True):
                end = panel.line(values[: step + 1], style)
                panel.end(end, style)
                names.append((end[1], label, style))
            panel.names(names)
        low, high = DECAYS[0], DECAYS[-1]
        here = min(max(weight_decay, low), high)
        self.stroke(self.left.pixels([here, here], [0, 1]), theme.ink, (0, (1.5, 2)), width=1.2)
        names = []
        for label, style in _styles(runs):
            pixels = self.left.pixels(DECAYS, runs[label].idle_left)
            self.stroke(pixels, style.line(theme), style.dash, clip=self.left.axes)
            names.append((pixels[-1][1], label, style))
        self.left.names(names)

    def decay_at(self, x: float, y: float) -> float | None:
        """The one of DECAYS at a place of the right panel, in logical pixels from the upper left; None elsewhere."""
        at = self.along(self.left.box, x, y)
        if at is None:
            return None
        return float(DECAYS[round(at * (len(DECAYS) - 1))])

    def _arrange(self, steps: int, busy: Limits, idle: Limits) -> None:
        self.busy.arrange_linear(steps, busy)
        self.idle.arrange_linear(steps, idle)
        axes = self.left.axes
        axes.set(xscale="log", xlim=DECAYS[[0, -1]], ylim=(-0.02, 1.02), xticks=10.0 ** np.arange(-4, 1))
        axes.set(yticks=[0, 0.5, 1], yticklabels=["0", "half", "all"])
        axes.minorticks_off()
        axes.grid(axis="y", color=self.theme.faint, linewidth=0.7)


def decay_caption(runs: Mapping[str, Decay], weight_decay: float, learning_rate: float, size: float, step: int) -> str:
    """The weights in words, and how much what is left of the idle one depends on the decay."""
    sentences = [
        f"Two weights start at {START:g}; the busy one has gradients ±{short(size)}, the idle one none; decay "
        f"{short(weight_decay)}, λ = {short(learning_rate)}, step {step} of {len(next(iter(runs.values())).busy) - 1}."
    ]
    for label, run in runs.items():
        most, *_, least = percents = [f"{round(100 * part)} %".replace("-", "−") for part in run.idle_left]
        kept = f"{most} to {least}, as the decay goes from {DECAYS[0]:g} to {DECAYS[-1]:g}"
        kept = f"{most}, whatever the decay" if len(set(percents)) == 1 else kept
        now = f"busy {short(run.busy[step])}, idle {short(run.idle[step])}"
        sentences.append(f"{label}: {now}; of the idle weight it keeps {kept}.")
    return " ".join(sentences)


def _columns(runs: Mapping[str, Decay]) -> tuple[list[Any], list[Any]]:
    return [run.busy for run in runs.values()], [run.idle for run in runs.values()]


def _styles(runs: Mapping[str, Decay]) -> list[tuple[str, Any]]:
    return [(label, STYLES[label]) for label in runs]
