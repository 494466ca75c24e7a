"""A net's training in a picture and in words: loss, sharpness, and a slice of all weights with what it hides."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygpt.lab.charts.curves import Curves, ceiling
from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import Style
from tinygpt.lab.networks import Data, Training
from tinygpt.lab.slices import Shadow
from tinygpt.lab.surfaces import Surface

PCA, RANDOM, FIT = "PCA plane", "random slice", "fit"
VIEWS = (PCA, RANDOM, FIT)

_Arrangement = tuple[int, int, Box, Box, Box, Box]
# width and height of the picture; boxes of loss, sharpness, slice and the strip under it; the narrow one stacks them
WIDE: _Arrangement = (900, 400, (52, 228, 256, 138), (52, 34, 256, 138), (436, 156, 444, 210), (436, 34, 384, 72))
NARROW: _Arrangement = (480, 850, (52, 690, 330, 126), (52, 506, 330, 126), (52, 180, 416, 272), (52, 34, 344, 90))
DASH = (0, (4, 2))
MOST_TIMES = 3.0  # a limit so many times above the sharpness is told, and not drawn
SHOT = 3.0  # a loss so many times above the lowest so far has shot up
LOWEST = 1e-12  # losses below this are drawn here


@dataclass(frozen=True)
class Study:
    """All that is shown of one training.

    `sharpness` (records,) goes with the records of `training`, and `limit` is what the optimizer bears, or None;
    `shadow` is the path on the slice, or None, and `fits` (records, points) are the net's answers at `grid` (points,).
    """

    label: str
    training: Training
    sharpness: Any
    limit: float | None
    data: Data
    view: str
    shadow: Shadow | None
    grid: Any
    fits: Any

    @property
    def limit_in_words(self) -> str:
        """The limit with its formula: 2/λ = 5."""
        limit, decay = self.limit or math.inf, getattr(self.training.optimizer, "weight_decay", 0.0)
        less = f" − {decay:.3g}" if decay else ""
        return f"{(limit + decay) * self.training.optimizer.learning_rate:.3g}/λ{less} = {limit:.3g}"

    @property
    def steps(self) -> int:
        """How many steps were asked for."""
        return len(self.training.losses) - 1

    @property
    def horizon(self) -> int:
        """How many steps the axes show: of a training that diverged, those until then."""
        return self.steps if self.training.diverged_at is None else max(self.training.diverged_at, 1)

    def records(self, step: int) -> int:
        """How many records there are up to a step, the first included."""
        return max(int(np.searchsorted(self.training.at, step, side="right")), 1)


class NetworkPicture(Scene):
    """Draws a study; over the surface of a slice, if one is given."""

    def __init__(self, surface: Surface | None, study: Study, theme: str, ratio: float, narrow: bool) -> None:
        width, height, loss, sharpness, plane, strip = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.loss = Curves(self, loss, "loss, by step")
        self.sharpness = Curves(self, sharpness, "sharpness, by step")
        if surface is None:
            whole = (plane[0], strip[1], plane[2], plane[1] + plane[3] - strip[1])
            self.fit = self.panel(whole, f"the net, and its {len(study.data.x)} points")
            self.fit.set(xlim=(-1.05, 1.05), ylim=(-1.7, 1.7), xticks=(-1, 0, 1), yticks=(-1, 0, 1))
        elif study.shadow is not None:
            share = f"{study.shadow.explained:.0%}".replace("%", " %")
            self.hill = Hill(self, plane, surface, f"{study.view}: {share} of the path's variance")
            self.strip = Curves(self, strip, "loss at the path: the plane's and the true one")

    def draw(self, study: Study, style: Style, step: int) -> None:
        """Draw a study up to a step."""
        shadow, training = study.shadow, study.training
        losses = np.maximum(training.losses, LOWEST)
        top, scale = _top(study), self.loss.scale([losses], study.horizon)
        pair = [np.maximum(v, LOWEST) for v in (shadow.losses, shadow.true_losses)] if shadow else []
        below = self.strip.scale(pair, study.horizon) if shadow else None
        self.begin((scale, top, below), lambda: self._arrange(scale, top, below))
        panels = [self.loss, self.sharpness, *([self.strip] if shadow else [])]
        if step < study.horizon:
            for panel in panels:
                panel.now(step)
        last = step if training.diverged_at is None else min(step, training.diverged_at - 1)
        known = study.records(last)
        self._draw_limit(study, top)
        crossed = training.diverged_at is not None and training.diverged_at <= step
        end = self.loss.line(losses[: last + 1], style)
        self.loss.end(end, style)
        self.loss.names([(end[1], f"{study.label} ✕" if crossed else study.label, style)])
        sharp = self.sharpness.pixels(training.at[:known], study.sharpness[:known])
        self.stroke(sharp, style.line(self.theme), style.dash, clip=self.sharpness.axes)
        self.sharpness.end(sharp[-1], style)
        if shadow:
            self._draw_shadow(shadow, pair, training.at, known, style)
        else:
            self._draw_fit(study, known, style)

    def _arrange(self, scale: Any, top: float, below: Any) -> None:
        self.loss.arrange(scale)
        steps = scale[0]
        self.sharpness.axes.set(xlim=(0, steps), ylim=(0, top), yticks=(0, top / 2, top))
        self.sharpness.axes.set(xticks=sorted({0, steps // 2, steps}))
        self.sharpness.axes.grid(axis="y", color=self.theme.faint, linewidth=0.7)
        if below is not None:
            self.strip.arrange(below)
            _, low, high = below
            self.strip.axes.set(yticks=[10.0**low, 10.0**high])

    def _draw_limit(self, study: Study, top: float) -> None:
        if study.limit is None:
            return
        panel, told = self.sharpness, study.limit_in_words
        if study.limit > top:
            end = panel.pixels([study.horizon], [top])[0]
            self.write((end[0], end[1] - 8 * self.ratio), f"{told} is far above", self.theme.ink, 1.0)
            return
        line = panel.pixels([0, study.horizon], [study.limit] * 2)
        self.stroke(line, self.theme.ink, DASH, width=1.1)
        self.write((line[1][0] + 11 * self.ratio, line[1][1]), told, self.theme.ink)

    def _draw_shadow(self, shadow: Shadow, pair: list[Any], at: Any, known: int, style: Style) -> None:
        hill, strip, ink = self.hill, self.strip, self.theme.ink
        hill.path(shadow.points[:known], style)
        hill.end(shadow.points[known - 1], style)
        hill.start(shadow.points[0])
        plane, true = (strip.pixels(at[:known], values[:known]) for values in pair)
        self.fill([*plane, *true[::-1]], self.theme.faint, clip=strip.axes)
        self.stroke(true, style.line(self.theme), style.dash, clip=strip.axes)
        self.stroke(plane, ink, DASH, width=1.3, clip=strip.axes)
        own = Style(ink, ink, DASH, "o", ink)
        strip.names([(plane[-1][1], "plane", own), (true[-1][1], "true", style)])

    def _draw_fit(self, study: Study, known: int, style: Style) -> None:
        to_pixels = self.fit.transData.transform
        for point in to_pixels(np.column_stack([study.data.x, study.data.y])):
            self.mark(point, "o", 6.5, self.theme.page, self.theme.ink, 1.2)
        first, now = (to_pixels(np.column_stack([study.grid, study.fits[i]])) for i in (0, known - 1))
        self.stroke(first, self.theme.ink, DASH, width=1.1, clip=self.fit)
        self.stroke(now, style.line(self.theme), style.dash, width=2.2, clip=self.fit)
        under = first[len(first) // 8 : len(first) // 3]
        self.write((under[0, 0], under[:, 1].min() - 10 * self.ratio), "at the start", self.theme.ink)


def _top(study: Study) -> float:
    """A round number above the sharpness, and above its limit where that is near."""
    highest = float(np.max(study.sharpness, where=np.isfinite(study.sharpness), initial=1e-3))
    if study.limit is not None and study.limit < MOST_TIMES * highest:
        highest = max(highest, study.limit)
    unit = 10.0 ** math.floor(math.log10(1.05 * highest))
    return next(m * unit for m in (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10, 12) if m * unit >= 1.05 * highest)


def network_caption(study: Study, step: int) -> str:
    """A study in words. Where training is chaotic, digits would differ between machines: it tells bounds there."""
    training, known = study.training, study.records(step)
    losses = training.losses[: step + 1]
    when = f"step {step} of {study.steps}" if step < study.steps else f"{study.steps} steps"
    lost = training.diverged_at is not None and training.diverged_at <= step
    end = f"diverges at step {training.diverged_at}" if lost else f"goes to {_below(losses[-1])}"
    rate = getattr(training.optimizer, "learning_rate", None)
    who = study.label if rate is None else f"{study.label} at λ = {rate:.3g}"
    first = f"{who}, {when}: the loss begins at {losses[0]:.2g} and {end}."
    sentences = [first, _sharpness_in_words(study, known)]
    if study.shadow is not None:
        sentences.append(_gap_in_words(study, study.shadow))
    elif not lost:
        errors = np.abs(np.interp(study.data.x[:, 0], study.grid, study.fits[known - 1]) - study.data.y[:, 0])
        sentences.append(f"The net's curve is within {ceiling(max(float(errors.max()), LOWEST)):g} of every point.")
    return " ".join(sentences)


def _sharpness_in_words(study: Study, known: int) -> str:
    seen, at, limit = study.sharpness[:known], study.training.at, study.limit
    first, last = f"{seen[0]:.2g}", f"{seen[-1]:.2g}"
    here = f"is {last}" if first == last else f"goes from {first} to {last}"
    if limit is None:
        return f"Its sharpness {here}; 2/λ is no limit for {study.label}, whose steps are not λ times a gradient."
    name = study.limit_in_words
    above = np.flatnonzero(seen > limit)
    if not above.size:
        return f"Sharpness {here} and stays below {name}, so the steps are stable in every direction."
    if above[0] == 0:
        fate = "and the loss explodes" if study.training.diverged_at is not None else "until it is lower"
        return f"Sharpness begins at {first}, above {name}: the steps swing more and more widely, {fate}."
    passed = int(at[above[0]])
    away = float(np.max(np.abs(seen[above[0] :] / limit - 1)))
    losses = study.training.losses[passed : at[known - 1] + 1]
    shoots = np.any(losses > SHOT * np.minimum.accumulate(losses))
    return (
        f"Sharpness begins at {first}, passes {name} at about step {passed}, and from then on stays within "
        f"{math.ceil(20 * away) * 5} % of it, the edge of stability"
        + (": now and then the loss shoots up, which brings the sharpness down." if shoots else ".")
    )


def _gap_in_words(study: Study, shadow: Shadow) -> str:
    least = math.floor(10 * shadow.explained) * 10
    return (
        f"The {study.view} holds more than {least} % of the path's variance; at the start it shows a loss of "
        f"about {shadow.losses[0]:.1g}, where the true one is {shadow.true_losses[0]:.2g}."
    )


def _below(loss: float) -> str:
    return f"less than {ceiling(max(loss, LOWEST)):g}"
