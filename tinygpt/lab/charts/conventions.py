"""Two conventions in a picture: their paths, and beneath them how far apart they are."""

from __future__ import annotations

import numpy as np

from tinygpt.lab.charts.curves import Curves, Limits, limits
from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import STYLES
from tinygpt.lab.conventions import CONVENTIONS, Comparison
from tinygpt.lab.surfaces import Surface
from tinygpt.lab.words import short

_Boxes = tuple[int, int, Box, Box]
# width, height, and the boxes of the paths and of the strip; names stand right of the one and above the other
WIDE: _Boxes = (900, 400, (52, 160, 600, 206), (52, 34, 600, 74))
NARROW: _Boxes = (480, 580, (52, 214, 400, 282), (52, 34, 400, 110))
LEFT, RIGHT = STYLES["SGD"], STYLES["momentum"]
LEAST = 1e-6  # of the strip's height
SAME = 1e-12  # paths no further apart than this differ by rounding


class ConventionsPicture(Scene):
    """Draws two paths, against steps or on a surface, and the strip of their difference."""

    def __init__(
        self, surface: Surface | None = None, theme: str = "light", ratio: float = 1.0, narrow: bool = False
    ) -> None:
        width, height, paths, strip = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.narrow = narrow
        self.paths = Curves(self, paths, "weight, by step") if surface is None else Hill(self, paths, surface)
        self.strip = Curves(self, strip, "distance between the two, by step")

    def draw(self, found: Comparison, names: tuple[str, str], drop_at: int, step: int) -> None:
        """Draw the paths up to a step."""
        steps, (a, b) = len(found.gap) - 1, (found.left, found.right)
        gap = limits([[0.0, LEAST], found.gap])
        scale = limits([[0.0], a, b]) if a.ndim == 1 else None
        self.begin((steps, gap, scale), lambda: self._arrange(steps, gap, scale))
        theme, ends = self.theme, []
        count = int(np.isfinite(found.gap[: step + 1]).sum())
        pixels = self.strip.pixels(np.arange(count), found.gap[:count])
        floor = np.column_stack([pixels[:, 0], np.full(count, self.strip.axes.bbox.y0)])
        self.fill(np.concatenate([pixels, floor[::-1]]), theme.faint, clip=self.strip.axes)
        self.stroke(pixels, theme.ink, width=1.4, clip=self.strip.axes)
        if drop_at <= steps:
            self._mark_drop(drop_at)
        for path, name, style in ((a, names[0], LEFT), (b, names[1], RIGHT)):
            seen = path[: np.isfinite(path[: step + 1]).reshape(step + 1, -1).all(axis=1).sum()]
            if isinstance(self.paths, Hill):
                self.paths.path(seen, style)
                self.paths.end(seen[-1], style)
            else:
                end = self.paths.line(seen, style)
                self.paths.end(end, style)
                ends.append((end[1], name if len(seen) > step else f"{name} ✕", style))
        if isinstance(self.paths, Hill):
            self.paths.start(a[0])
        if isinstance(self.paths, Hill) or self.narrow:
            self._write_names(names)
        else:
            self.paths.names(ends)

    def step_at(self, x: float, y: float, steps: int) -> int | None:
        """The step at a place over the strip, in logical pixels from the upper left corner; None elsewhere."""
        at = self.along(self.strip.box, x, y)
        if at is None:
            return None
        return round(at * steps)

    def _mark_drop(self, drop_at: int) -> None:
        """An upright line where λ drops."""
        panels = [self.strip] if isinstance(self.paths, Hill) else [self.paths, self.strip]
        for panel in panels:
            low, high = panel.axes.get_ylim()
            pixels = panel.pixels([drop_at, drop_at], [low, high])
            self.stroke(pixels, self.theme.ink, (0, (1.5, 2)), width=1.2)
        top = panels[0].pixels([drop_at], [panels[0].axes.get_ylim()[1]])[0]
        side = -1 if drop_at > panels[0].axes.get_xlim()[1] / 5 else 1  # where there is room for the words
        self.write(top + np.array([5 * side, -9]) * self.ratio, "λ drops", self.theme.ink, align=0.5 - side / 2)

    def _write_names(self, names: tuple[str, str]) -> None:
        """The names where their lines' ends have no room for them, each after a piece of its line."""
        left, bottom, width, height = self.paths.box
        for row, (name, style) in enumerate(zip(names, (LEFT, RIGHT), strict=True)):
            x, y = (left, bottom + height + 62 - 17 * row) if self.narrow else (left + width + 18, 340 - 24 * row)
            line = np.array([[x, y], [x + 34, y]]) * self.ratio
            self.stroke(line, style.line(self.theme), style.dash)
            self.mark(line[1], style.marker, 8.0, style.line(self.theme), self.theme.page)
            self.write((line[1] + [11 * self.ratio, 0]), name, style.text(self.theme))

    def _arrange(self, steps: int, gap: Limits, scale: Limits | None) -> None:
        self.strip.arrange_linear(steps, gap)
        self.strip.axes.set_yticks([0, gap[1]], ["0", short(gap[1])])
        if scale is not None and isinstance(self.paths, Curves):
            self.paths.arrange_linear(steps, scale)


def conventions_caption(
    found: Comparison, names: tuple[str, str], problem: str, learning_rate: float, drop: tuple[int, float], step: int
) -> str:
    """The comparison in words: who calls which so, where the two first part, and how far."""
    drop_at, factor = drop
    gap = found.gap[: step + 1]
    who = " against ".join(f"{name} ({CONVENTIONS[name].used_by})" for name in names)
    falls = f", times {short(factor)} from step {drop_at}" if drop_at < len(found.gap) else ""
    sentences = [f"{who}.", f"On {problem}, λ = {short(learning_rate)}{falls}, step {step} of {len(found.gap) - 1}."]
    apart = np.flatnonzero(gap > SAME * (1 + np.abs(found.left[: step + 1]).reshape(step + 1, -1).max(axis=1)))
    if not apart.size:
        sentences.append("The two are the same, to rounding.")
    else:
        first, most = int(apart[0]), int(np.nanargmax(gap))
        begins = "They part at the first step" if first == 1 else f"They are the same up to step {first - 1}"
        sentences.append(
            f"{begins}; the distance is {short(gap[first])} at step {first} and at most {short(gap[most])}, "
            f"at step {most}."
        )
    for name, path in zip(names, (found.left, found.right), strict=True):
        lost = np.flatnonzero(np.isnan(path[: step + 1]).reshape(step + 1, -1).any(axis=1))
        if lost.size:
            sentences.append(f"{name} diverged at step {lost[0]}.")
    return " ".join(sentences)
