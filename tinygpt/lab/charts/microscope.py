"""The step microscope: one step of an optimizer as arrows on the hill, beside its formula in numbers; and in words."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import numpy as np

from tinygpt.lab.charts.closeup import FAR, CloseUp, View
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import OWN, STYLES, Style
from tinygpt.lab.descent import instability
from tinygpt.lab.steps import UPDATE, Anatomy, Line, Step, Walk
from tinygpt.lab.surfaces import Point, Surface
from tinygpt.lab.words import number

# width and height of the picture, the box of the hill, and where the lines begin, from the lower left corner
WIDE: tuple[int, int, Box, Point] = (900, 400, (12, 34, 412, 332), (446, 378))
NARROW: tuple[int, int, Box, Point] = (480, 760, (12, 394, 456, 332), (14, 344))
ROW, GAP, INDENT = 17, 9, 16  # logical pixels from one row of text to the next, more between lines, and to the right
LETTERS = 66  # in a row of text
RESULTS = 442  # logical pixels from where the lines begin to where their results end
MOST_LINES = 8  # of an anatomy that are shown
DIRECTION = 0.27  # of the hill's height: the length of the longest arrow that is not to scale
LETTER = 7.4  # logical pixels of a letter, about

Label = tuple[Any, Any, str, str]  # the pixel of a tip, whence it points there, the words, their colour

PARTS = {
    "gradient": STYLES["SGD"],
    "momentum": STYLES["momentum"],
    "mean gradient": STYLES["momentum"],
    "decay": OWN[0],
    "preconditioner": STYLES["RMSProp"],
}
PART_OF = {"g": "gradient", "v": "momentum", "m": "mean gradient", "m̂": "mean gradient"}


class MicroscopePicture(Scene):
    """Draws a step of a walk over the part of the surface that it is on."""

    def __init__(self, surface: Surface, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, box, self._text = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.hill = CloseUp(self, box, surface)

    def draw(self, walk: Walk, style: Style, step: Step | None, seen: Anatomy | None, whole: bool) -> None:
        """Draw the path up to a step, and that step with its anatomy; where there is none, the hill alone."""
        self.begin()
        if step is None or seen is None:
            self.hill.look(self.hill.whole)
            return
        self.hill.look(self.hill.whole if whole else close_view(walk, step, seen))
        self.hill.path(walk.trajectory.points[: step.number], style)
        if seen.ellipse is not None:
            self._draw_preconditioner(step, seen)
        self._draw_arrows(step, seen)
        self._write_lines(step, seen, len(walk.steps))
        free = [arrow.symbol for arrow in seen.arrows if not arrow.to_scale]
        if free:
            left, bottom, _, _ = self.hill.box
            words = f"{' and '.join(free)}: direction{'s' * (len(free) > 1)} only, not the length"
            self.write((left * self.ratio, (bottom - 16) * self.ratio), words, self.theme.ink)

    # --- on the hill -------------------------------------------------------------------------------------------------

    def _draw_preconditioner(self, step: Step, seen: Anatomy) -> None:
        """The ellipse through the step's end, and the box of ±λ."""
        ellipse: Any = seen.ellipse
        style, theme = PARTS["preconditioner"], self.theme
        angles = np.linspace(0, 2 * np.pi, 181)
        round_it = np.column_stack([np.cos(angles), np.sin(angles)])
        corners = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1), (1, 1)])
        self._outline(ellipse.middle + ellipse.axes * round_it, style.line(theme), style.dash, 1.8)
        self._outline(ellipse.middle + seen.box * corners, theme.ink, "solid", 0.9)

    def _outline(self, points: Any, colour: str, dash: Any, width: float) -> None:
        self.stroke(np.clip(self.hill.pixels(points), -FAR, FAR), colour, dash, width, clip=self.hill.axes)

    def _draw_arrows(self, step: Step, seen: Anatomy) -> None:
        hill, theme = self.hill, self.theme
        tail = hill.pixels(step.position)
        tip = self._end(tail, hill.pixels(step.position + step.update))
        longest = max((_length(a.vector) for a in seen.arrows if not a.to_scale), default=0.0) or 1.0
        scale = DIRECTION * hill.box[3] * self.ratio / longest  # pixels for those that show a direction only
        labels: list[Label] = [(tip, tip - tail, "update", theme.ink)]
        self.arrow(tail, tip, theme.ink, 3.0, clip=hill.axes)
        for arrow in seen.arrows:
            end = hill.pixels(step.position + arrow.vector) if arrow.to_scale else tail + scale * arrow.vector
            end, style = self._end(tail, end), PARTS[arrow.name]
            if not 2 * self.ratio < _length(end - tail) < np.inf:
                continue
            self._thin_arrow(tail, end, style)
            if arrow.to_scale and np.allclose(arrow.vector, step.update, rtol=1e-6, atol=0):
                labels[0] = (tip, tip - tail, f"{labels[0][2]} = {arrow.symbol}", theme.ink)
            else:
                labels.append((end, end - tail, f"{arrow.name} {arrow.symbol}", style.text(theme)))
                if arrow.to_scale and seen.ellipse is None:  # the shares add up: the other half of the parallelogram
                    self.stroke([end, tip], theme.ink, (0, (1, 2)), 0.9, clip=hill.axes)
        self.mark(tail, "o", 6.0, theme.page, theme.ink, 1.5, clip=hill.axes)
        if seen.ellipse is not None:
            labels += self._labels_of_preconditioner(step, seen)
        for place, wide, words, colour in placed_labels(labels, hill.box, self.ratio):
            high = 7 * self.ratio
            corners = np.array([(-2, -high), (wide, -high), (wide, high), (-2, high)])
            self.fill(place + corners, theme.casing, clip=hill.axes)
            self.write(place, words, colour)

    def _labels_of_preconditioner(self, step: Step, seen: Anatomy) -> list[Label]:
        """Where there is most room: away from the step's end, the ellipse's at the end of its short axis."""
        ellipse: Any = seen.ellipse
        back = -np.where(step.update < 0, -1.0, 1.0)
        short = back * np.eye(2)[np.argmin(ellipse.axes)]
        style = PARTS["preconditioner"]
        labels: list[Label] = [
            (self.hill.pixels(ellipse.middle + ellipse.axes * short), short, ellipse.symbol, style.text(self.theme)),
            (self.hill.pixels(ellipse.middle + seen.box * back), back, "±λ", self.theme.ink),
        ]
        return [label for label in labels if self.hill.axes.bbox.contains(*label[0])]

    def _thin_arrow(self, tail: Any, tip: Any, style: Style) -> None:
        colour, along = style.line(self.theme), (tip - tail) / _length(tip - tail)
        self.stroke([tail, tip - 9 * self.ratio * along], colour, style.dash, 1.9, clip=self.hill.axes)
        self.arrow(tip - along, tip, colour, 1.9, clip=self.hill.axes)

    def _end(self, tail: Any, tip: Any) -> Any:
        """The tip of an arrow, or where it is out of sight for long."""
        length = _length(tip - tail)
        return tip if length <= FAR else tail + (tip - tail) * (FAR / length)

    # --- beside it ---------------------------------------------------------------------------------------------------

    def _write_lines(self, step: Step, seen: Anatomy, steps: int) -> None:
        """Each line of the formula with its result, and below it the same with numbers."""
        theme = self.theme
        x, y = self._text
        self._write(x, y, f"step {step.number} of {steps}, number by number", theme.ink, bold=True)
        y -= ROW + GAP
        lines, hidden = seen.lines, len(seen.lines) - MOST_LINES
        if hidden > 0:
            lines = (*lines[: MOST_LINES - 1], lines[-1])
        for line in lines:
            part = PART_OF.get(line.name, "") if line.formula else ""
            known = any(arrow.name == part for arrow in seen.arrows)
            colour = PARTS[part].text(theme) if known else theme.ink
            for i, row in enumerate(rows_of(line)):
                self._write(x + (INDENT if i else 0), y, row, colour if not i else theme.ink)
                if not i:
                    self._write(x + RESULTS, y, _short(line.value), colour, 1.0, bold=line.name == UPDATE)
                y -= ROW
            y -= GAP
        if hidden > 0:
            self._write(x, y, f"and {hidden} more in its state", theme.ink)

    def _write(self, x: float, y: float, text: str, colour: str, align: float = 0.0, bold: bool = False) -> None:
        self.write((x * self.ratio, y * self.ratio), text, colour, align, bold=bold)


def close_view(walk: Walk, step: Step, seen: Anatomy) -> View:
    """A view in which the step is large; it is rounded, to a power of two and to a grid, so that it rests for a while.

    It is wide enough for the steps before and after as well, and for ±λ where that is not much more. What is not
    finite counts for nothing.
    """
    near = walk.steps[max(step.number - 5, 0) : step.number + 4]
    update = np.nan_to_num(step.update, posinf=0.0, neginf=0.0)
    lengths = [_length(other.update) for other in near]
    length = max(_length(update), float(np.median([each for each in lengths if math.isfinite(each)] or [0.0])))
    others = [_length(arrow.vector) for arrow in seen.arrows if arrow.to_scale and np.all(np.isfinite(arrow.vector))]
    others += [] if seen.box is None else [float(np.max(seen.box))]
    finest = 1e-6 * (1 + float(np.max(np.abs(step.position))))  # beyond which the loss has no digits left
    reach = max(length, min(max(others, default=0.0), 2.5 * length), finest)
    half = 2.0 ** math.ceil(math.log2(1.4 * reach))
    x, y = np.round((step.position + update / 2) * 2 / half) * half / 2
    return View((float(x), float(y)), half)


def placed_labels(labels: list[Label], box: Box, ratio: float) -> list[tuple[Any, float, str, str]]:
    """Labels beyond the tips of their arrows, within the box, and apart: where each begins, how wide it is, and it."""
    left, bottom, width, height = (length * ratio for length in box)
    placed: list[tuple[Any, float, str, str]] = []
    for tip, along, words, colour in labels:
        way = along / (_length(along) or 1.0)
        wide = LETTER * len(words) * ratio
        x, y = tip + way * 12 * ratio
        begin = x - wide * (0.5 - 0.5 * way[0])
        begin = min(max(begin, left + 4 * ratio), left + width - wide - 4 * ratio)
        y = min(max(y, bottom + 30 * ratio), bottom + height - 10 * ratio)
        turn = 1 if way[1] >= 0 else -1
        for _ in range(2 * len(labels)):
            if not any(p[0] - wide < begin < p[0] + w and abs(y - p[1]) < 14 * ratio for p, w, _, _ in placed):
                break
            y += turn * 15 * ratio
            if not bottom + 10 * ratio <= y <= bottom + height - 10 * ratio:
                turn = -turn
                y += 2 * turn * 15 * ratio
        placed.append((np.array([begin, y]), wide, words, colour))
    return placed


def rows_of(line: Line) -> list[str]:
    """A line of an anatomy as rows of text: the formula, then the formula with this step's numbers."""
    if not line.formula:
        return [line.name]
    rows = [f"{line.name} = {line.formula}"]
    if line.formula not in line.letters:
        numbers = f"= {line.numbers()}".replace(", ", ",\u00a0")  # a vector stays in one row
        rows += textwrap.wrap(numbers, LETTERS, break_long_words=False)
    return [row.replace("\u00a0", " ") for row in rows]


def microscope_caption(surface: Surface, walk: Walk, step: Step | None, seen: Anatomy | None, label: str) -> str:
    """The step in words: from where, by how much, and what made it so long."""
    if step is None or seen is None:
        return f"{label} on {surface.name}: the start is off the map, so there is no step to see."
    slope, update, letters = number(step.gradient), number(step.update), seen.lines[-1].letters
    rate = f", λ = {number(letters['λ'])}" if "λ" in letters else ""
    sentences = [
        f"{label} on {surface.name}{rate}, step {step.number} of {len(walk.steps)}: at {number(step.position)}, "
        f"where the gradient is {slope}, the update is {update}."
    ]
    shares = [arrow for arrow in seen.arrows if arrow.to_scale]
    if len(shares) > 1:
        parts = " and ".join(f"the {arrow.name} {number(arrow.vector)}" for arrow in shares)
        sentences.append(f"It is the sum of two shares: {parts}.")
    elif shares and shares[0].name == "decay":
        sentences.append(f"Of that, {number(shares[0].vector)} is decay.")
    if seen.ellipse is not None:
        sentences += _on_preconditioner(step, seen)
    if not seen.lines[-1].formula:
        names = ", ".join(line.name for line in seen.lines[1:-1])
        sentences.append(f"Its state holds {names}." if names else "It remembers nothing: its state is empty.")
    lost = walk.trajectory.diverged_at
    if lost is not None and lost == step.number:
        sentences.append(f"With this step it diverges{_cause(surface, walk)}.")
    return " ".join(sentences)


def _on_preconditioner(step: Step, seen: Anatomy) -> list[str]:
    """How the axes are served, how the step compares with λ, and what ε does to it."""
    ellipse: Any = seen.ellipse
    long, short = ("x", "y") if ellipse.axes[0] >= ellipse.axes[1] else ("y", "x")
    ratio = float(np.max(ellipse.axes) / np.min(ellipse.axes))
    sentences = [
        f"For the same gradient it would go {number(ratio)} times as far along {long} as along {short}."
        if ratio >= 1.005
        else "For the same gradient it would go equally far along both axes."
    ]
    of_rate = np.abs(step.position + step.update - ellipse.middle) / seen.box
    if np.isfinite(of_rate).all():
        without = "Without the decay it" if seen.arrows[-1].name == "decay" else "It"
        sentences.append(f"{without} is {_percent(of_rate[0])} of λ along x and {_percent(of_rate[1])} along y.")
    if np.max(ellipse.shortened) >= 0.01:
        x, y = map(_percent, ellipse.shortened)
        sentences.append(f"ε makes it shorter by {x} along x and {y} along y.")
    return sentences


def _cause(surface: Surface, walk: Walk) -> str:
    unstable = instability(surface, walk.trajectory)
    if unstable is None:
        return ": it leaves the map, or is no number"
    product, limit = number(unstable.product), number(unstable.limit)
    return f": λ · curvature was {product} at step {unstable.step}, and the limit is {limit}"


def _length(vector: Any) -> float:
    return float(np.hypot(*vector))


def _short(value: Any) -> str:
    return number(value) if np.size(value) <= 4 else f"an array of shape {np.shape(value)}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{number(100 * share, 1)} %"
