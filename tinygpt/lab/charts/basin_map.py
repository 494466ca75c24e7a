"""The basin map: every start in the colour of the minimum that it leads to, over the hill, and one walk on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_rgba

from tinygpt.lab.charts.hill import Hill
from tinygpt.lab.charts.rate_map import LOST, UNFINISHED
from tinygpt.lab.charts.scene import Box, Scene
from tinygpt.lab.charts.style import TYPE_SIZE, Style
from tinygpt.lab.descent import Trajectory
from tinygpt.lab.maps import DIVERGED, ELSEWHERE, Basins, ends
from tinygpt.lab.surfaces import Surface

_Arrangement = tuple[int, int, Box, tuple[int, int]]
# width and height of the picture, the box of the hill, and where the list begins; the narrow one has it below
WIDE: _Arrangement = (900, 400, (44, 34, 420, 332), (500, 340))
NARROW: _Arrangement = (480, 660, (44, 290, 412, 332), (44, 240))
BASINS = {  # the minima's colours and markers, on the light and the dark page
    False: ("#77AADD", "#EE8866", "#EEDD88", "#44BB99"),
    True: ("#2F5F93", "#A04A28", "#85751F", "#1B6E56"),
}
MARKERS = "osD^"
COVER = 0.8  # how much of the hill the basins hide
ROW, BAR, WHOLE = 30, 130, 180  # logical pixels: from line to line of the list, where bars begin, and one of 100 %


class BasinPicture(Scene):
    """Draws basins over a surface, a list of the minima with their shares beside it, and a walk."""

    def __init__(self, surface: Surface, theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> None:
        width, height, box, self._list = NARROW if narrow else WIDE
        super().__init__(width, height, theme, ratio)
        self.hill = Hill(self, box, surface)
        for cross in [*self.hill.axes.lines]:
            cross.remove()  # the minima have markers of their own here

    def draw(self, basins: Basins, walk: Trajectory, style: Style) -> None:
        """Draw the basins, and a walk in an optimizer's style."""
        self.begin(basins, lambda: self._arrange(basins))
        self._draw_list(basins)
        path = walk.points[: walk.diverged_at]
        if len(path):
            self.hill.path(path, style)
            self.hill.end(path[-1], style)
            self.hill.start(path[0])
        for i, minimum in enumerate(self.hill.surface.minima):
            self._mark(self.hill.pixels(minimum), i, self.hill.axes)

    def _arrange(self, basins: Basins) -> None:
        """Lay the basins on the hill, under its contours."""
        axes, (xs, ys) = self.hill.axes, self.hill.surface.bounds
        for before in axes.images:
            before.remove()
        limits = axes.get_xlim(), axes.get_ylim()
        colours = self._colours(basins.reached)
        axes.imshow(colours, origin="lower", extent=(*xs, *ys), aspect="auto", interpolation="nearest", zorder=1.5)
        axes.set(xlim=limits[0], ylim=limits[1])

    def _colours(self, reached: Any) -> Any:
        """The cells' colours, (rows, columns, 4)."""
        is_dark, (rows, columns) = self.theme.is_dark, np.indices(reached.shape)
        lost = np.array([to_rgba(shade) for shade in LOST[is_dark]])
        shades = np.array([to_rgba(shade, COVER) for shade in BASINS[is_dark]])
        colours = np.where((reached >= 0)[..., None], shades[reached % len(shades)], to_rgba(UNFINISHED[is_dark]))
        return np.where((reached == DIVERGED)[..., None], lost[(rows // 2 + columns // 2) % 2], colours)

    def _draw_list(self, basins: Basins) -> None:
        """Every minimum with the share of the starts that reach it; then what else may happen to a start."""
        minima = [(i, _point(minimum)) for i, minimum in enumerate(self.hill.surface.minima)]
        self._write(0, 0, "what a start reaches, by share of the starts", 11)
        for line, (end, name) in enumerate([*minima, (ELSEWHERE, "elsewhere"), (DIVERGED, "diverged")], 1):
            share = basins.share(end)
            bar = np.array([(BAR, -7), (BAR + WHOLE * share, -7), (BAR + WHOLE * share, 7), (BAR, 7)])
            self.fill(self._place(0, line) + bar * self.ratio, self._shade(end))
            self._mark(self._place(7, line), end)
            self._write(22, line, name)
            self._write(BAR + WHOLE * share + 8, line, _percent(share))
        self._write(0, len(minima) + 3, f"border: {_percent(basins.border.mean())} of the starts")

    def _place(self, right: float, line: float) -> Any:
        """The pixel so far right in a line of the list."""
        left, top = self._list
        return np.array([left + right, top - ROW * line]) * self.ratio

    def _write(self, right: float, line: int, text: str, size: float = TYPE_SIZE) -> None:
        self.write(self._place(right, line), text, self.theme.ink, size=size)

    def _shade(self, end: int) -> str:
        """The colour of a minimum, or of what else a start may come to."""
        shades = BASINS[self.theme.is_dark]
        if end >= 0:
            return shades[end % len(shades)]
        return UNFINISHED[self.theme.is_dark] if end == ELSEWHERE else LOST[self.theme.is_dark][0]

    def _mark(self, pixel: Any, end: int, clip: Any = None) -> None:
        """The marker of a minimum, or of what else a start may come to, in its colour."""
        marker = MARKERS[end % len(MARKERS)] if end >= 0 else "x" if end == DIVERGED else "_"
        self.mark(pixel, marker, 9.0, self._shade(end), self.theme.ink, 1.4, clip)


def basin_caption(surface: Surface, basins: Basins, walk: Trajectory, setting: str) -> str:
    """The basins in words: how many starts reach which minimum, how much is border, and where the walk ends.

    `setting` says who walks: "SGD, λ = 0.01".
    """
    shares = [f"{_percent(basins.share(i))} reach {_point(minimum)}" for i, minimum in enumerate(surface.minima)]
    for end, words in ((ELSEWHERE, "end elsewhere"), (DIVERGED, "diverge")):
        if basins.share(end) > 0:
            shares.append(f"{_percent(basins.share(end))} {words}")
    rows, columns = basins.reached.shape
    coarse = ", run one by one, so the map is coarse" if basins.coarse else ""
    return (
        f"{surface.name}, {columns} × {rows} starts{coarse}, {basins.steps} steps of {setting}: {', '.join(shares)}. "
        f"{_percent(basins.border.mean())} of the starts are border: they reach a minimum, and one of their four "
        f"neighbours reaches another. To reach is to end closer than {basins.near:.2g}. {_ending(surface, walk)}"
    )


def _ending(surface: Surface, walk: Trajectory) -> str:
    if walk.diverged_at == 0:
        return "The walk's start is off the map."
    start = f"The walk from {_point(walk.points[0])}"
    if walk.diverged_at is not None:
        return f"{start} diverges at step {walk.diverged_at}."
    (end,) = ends(surface, walk.points[-1:])
    return (
        f"{start} reaches {_point(surface.minima[end])}." if end >= 0 else f"{start} ends at {_point(walk.points[-1])}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _point(point: Any) -> str:
    x, y = point
    return f"({x:z.2f}, {y:z.2f})".replace("-", "−")
