"""The rate map: steps to a tolerance over λ and one more knob, measured, and beside it what the theory promises."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgba

from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import STYLES, TYPE_SIZE
from tinygpt.lab.descent import Trajectory
from tinygpt.lab.maps import Rates, Theory
from tinygpt.lab.surfaces import Surface

_Arrangement = tuple[int, int, Box, Box, Box, Box]
# width and height of the picture, the boxes of the two maps, of the scale and of what is not on it; the narrow one
# stacks the maps
WIDE: _Arrangement = (900, 400, (62, 52, 318, 306), (442, 52, 318, 306), (790, 122, 16, 236), (790, 60, 16, 44))
NARROW: _Arrangement = (480, 700, (62, 404, 300, 262), (62, 52, 300, 262), (384, 466, 16, 200), (384, 404, 16, 44))
FEWEST = 10  # steps at the bright end of the scale
TICKS = (10, 20, 50, 100, 200, 500)
COLOURS = colormaps["viridis"].resampled(256)
UNFINISHED = {False: "#C9C6D0", True: "#34343C"}  # of cells that arrive nowhere, on the light and the dark page;
LOST = {False: ("#E1E4E8", "#F6F7F8"), True: ("#5A5F66", "#767C84")}  # and of those that diverge, chequered


class RatePicture(Scene):
    """Draws rate maps.

    `knob` names the upright axis. Beside the measured map stands the theoretical one under the title `theory`; where
    there is none, the hill with the walk of the knobs.
    """

    def __init__(
        self,
        surface: Surface,
        knob: str,
        theory: str = "",
        theme: str = "light",
        ratio: float = 1.0,
        narrow: bool = False,
    ) -> None:
        width, height, measured, beside, scale, rest = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.measured = self.panel(measured, "measured steps to tolerance")
        self.hill = None if theory else Hill(self, beside, surface, f"{surface.name}, walked at the cross")
        self.maps = [self.measured, self.panel(beside, theory)] if theory else [self.measured]
        self.scale = self.panel(scale, "steps · rate" if theory else "steps")
        self.rest = self.panel(rest, "")
        for panel in (self.scale, self.rest):
            panel.yaxis.tick_right()
        for panel in self.maps:
            panel.set_xlabel("learning rate λ", fontsize=TYPE_SIZE, color=self.theme.ink)
            panel.set_ylabel(knob, fontsize=TYPE_SIZE, color=self.theme.ink)

    def draw(self, measured: Rates, cross: tuple[float, float], walk: Trajectory, theory: Theory | None = None) -> None:
        """Draw the maps, with a cross at the knobs' λ and value, and a ring around the best cell."""
        self.begin((measured, theory), lambda: self._arrange(measured, theory))
        if self.hill:
            self.hill.path(walk.points[: walk.diverged_at], STYLES["SGD"])
            self.hill.start(walk.points[0])
        if theory:
            for panel in self.maps:
                self._draw_border(panel, np.column_stack([theory.border(measured.values), measured.values]))
        if measured.best is not None:
            self._draw_best(measured, *measured.best)
        for panel in self.maps:
            self._draw_cross(panel, cross)

    def at(self, x: float, y: float) -> tuple[float, float] | None:
        """λ and the knob's value at a place of the picture, in logical pixels from the upper left; None elsewhere."""
        pixel = x * self.ratio, (self.height - y) * self.ratio
        for panel in self.maps:
            if panel.bbox.contains(*pixel):
                rate, value = panel.transData.inverted().transform(pixel)
                return float(rate), float(value)
        return None

    def _arrange(self, measured: Rates, theory: Theory | None) -> None:
        """Lay the maps and their scale under all that moves."""
        budget, rates, values = measured.budget, measured.learning_rates, measured.values
        ratio = (rates[-1] / rates[0]) ** (0.5 / max(len(rates) - 1, 1))  # half a cell
        half = (values[-1] - values[0]) / max(len(values) - 1, 1) / 2
        for panel in self.maps:
            panel.set(
                xscale="log", xlim=(rates[0] / ratio, rates[-1] * ratio), ylim=(values[0] - half, values[-1] + half)
            )
            panel.xaxis.set_minor_formatter("")
        ticks = [tick for tick in TICKS if tick < budget] + [budget]
        self.scale.set(yscale="log", ylim=(FEWEST, budget), xticks=[])
        self.scale.set_yticks(ticks, [f"{n} · {theory.shrink ** (-0.5 / n):.2f}" if theory else f"{n}" for n in ticks])
        self.scale.minorticks_off()
        self.rest.set(ylim=(0, 11), xticks=[])
        self.rest.set_yticks([2, 9], ["diverges", f"over {budget}"])
        self._lay(self.measured, self._colours(measured.steps, measured.diverged, budget))
        if theory:
            cells = rates, values[:, None]
            self._lay(self.maps[1], self._colours(theory.steps(*cells), theory.rates(*cells) >= 1, budget))
        steps, none = np.geomspace(FEWEST, budget, 128)[:, None], np.zeros((128, 1), bool)
        self._lay(self.scale, self._colours(steps, none, budget))
        rest = self._colours(np.full((11, 4), np.nan), np.arange(44).reshape(11, 4) < 16, budget)
        rest[4:7] = 0
        self._lay(self.rest, rest)

    def _lay(self, panel: Any, colours: Any) -> None:
        """Fill a panel with cells."""
        for before in panel.images:
            before.remove()
        limits = panel.get_xlim(), panel.get_ylim()
        whole = {"extent": (0, 1, 0, 1), "transform": panel.transAxes}
        panel.imshow(colours, origin="lower", aspect="auto", interpolation="nearest", **whole)
        panel.set(xlim=limits[0], ylim=limits[1])

    def _colours(self, steps: Any, diverged: Any, budget: int) -> Any:
        """The cells' colours, (rows, columns, 4): bright where few steps do, grey for never, chequered for diverged."""
        arrived = steps <= budget  # nor is NaN
        share = np.log(np.where(arrived, np.maximum(steps, FEWEST), FEWEST) / FEWEST) / math.log(budget / FEWEST)
        colours = COLOURS(1 - share)
        colours[~arrived] = to_rgba(UNFINISHED[self.theme.is_dark])
        rows, columns = np.indices(diverged.shape)
        for parity, shade in enumerate(LOST[self.theme.is_dark]):
            colours[diverged & ((rows + columns) % 2 == parity)] = to_rgba(shade)
        return colours

    def _draw_border(self, panel: Any, points: Any) -> None:
        pixels = panel.transData.transform(points)
        self.stroke(pixels, "#FFFFFF", width=3.6, clip=panel)
        self.stroke(pixels, "#000000", (0, (4, 1.6)), 1.5, clip=panel)

    def _draw_cross(self, panel: Any, cross: tuple[float, float]) -> None:
        """The cross at the knobs; at the panel's edge where they are beyond it."""
        place = np.clip(panel.transData.transform(cross), panel.bbox.min, panel.bbox.max)
        for colour, width in (("#FFFFFF", 4.6), ("#000000", 2.0)):
            self.mark(place, "+", 15.0, colour, colour, width)

    def _draw_best(self, measured: Rates, row: int, column: int) -> None:
        """A ring around the best cell, and its name on a strip of the page."""
        place = self.measured.transData.transform((measured.learning_rates[column], measured.values[row]))
        for colour, width in (("#FFFFFF", 4.0), ("#000000", 1.6)):
            self.mark(place, "o", 10.0, "#00000000", colour, width, clip=self.measured)
        x, y = np.array(place) / self.ratio - (26, 0)
        strip = np.array([(x - 60, y - 9), (x, y - 9), (x, y + 9), (x - 60, y + 9)])
        self.fill(strip * self.ratio, self.theme.page, clip=self.measured)
        self.write(
            ((x - 30) * self.ratio, y * self.ratio), f"best {measured.steps[row, column]:.0f}", self.theme.ink, 0.5
        )


def rate_caption(
    surface: Surface,
    symbol: str,
    measured: Rates,
    cross: tuple[float, float],
    walk: Trajectory,
    theory: Theory | None = None,
) -> str:
    """The rate map in words: its best cell, the share that diverges, and what happens at the cross.

    `symbol` is that of the second knob.
    """
    rates, values, budget = measured.learning_rates, measured.values, measured.budget
    ravine = f", κ = {max(theory.curvatures):.4g}," if theory else ""
    walker = type(walk.optimizer).__name__ + (" with Nesterov's look-ahead" if theory and theory.nesterov else "")
    sentences = [
        f"{surface.name}{ravine} from {_point(measured.start)}: {walker} at {len(rates)} × {len(values)} pairs of λ "
        f"({rates[0]:.3g} … {rates[-1]:.3g}) and {symbol} ({values[0]:.3g} … {values[-1]:.3g}), "
        f"{budget} steps at most, until the loss is for the first time within {measured.tolerance:g} of the lowest."
    ]
    if measured.coarse:
        sentences.append("It is run cell by cell, so the map is coarse.")
    if measured.best is None:
        sentences.append("No pair arrives.")
    else:
        row, column = measured.best
        fewest = (
            f"The fewest steps are {measured.steps[row, column]:.0f}, at {_pair(symbol, rates[column], values[row])}."
        )
        sentences.append(fewest)
    lost = f"{100 * measured.diverged.mean():.0f} % of the pairs diverge"
    sentences.append(
        f"{lost}; in theory those beyond the border, {border_words(theory.nesterov)}." if theory else f"{lost}."
    )
    below = np.flatnonzero(walk.losses < surface.lowest + measured.tolerance)
    if below.size:
        outcome = f"{below[0]} steps"
    elif walk.diverged_at is not None:
        outcome = f"it diverges at step {walk.diverged_at}"
    else:
        outcome = f"{budget} steps do not suffice"
    promise = ""
    if theory:
        rate, steps = float(theory.rates(*cross)), float(theory.steps(*cross))
        promise = f"; in theory a step multiplies the distance to the minimum by {rate:.3g}"
        promise += f", which promises {steps:.0f} steps" if rate < 1 else ", and explodes" if rate > 1 else ""
    return " ".join([*sentences, f"At the cross, {_pair(symbol, *cross)}: {outcome}{promise}."])


def border_words(nesterov: bool) -> str:
    """The stability border as a formula."""
    return "λκ = 2(1 + μ)/(1 + 2μ)" if nesterov else "λκ = 2(1 + μ)"


def _pair(symbol: str, learning_rate: float, value: float) -> str:
    return f"λ = {learning_rate:.3g}, {symbol} = {value:.3g}"


def _point(point: Any) -> str:
    x, y = point
    return f"({x:.3g}, {y:.3g})".replace("-", "−")
