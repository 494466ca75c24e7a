"""The visual language, in one place: what an optimizer, a hill and a page look like, light and dark."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.colors import LinearSegmentedColormap

MARKER_SIZES = {"*": 13.0, "^": 9.0, "D": 7.5, "P": 9.0, "X": 9.0}  # points; others are 8


@dataclass(frozen=True)
class Style:
    """How one optimizer is drawn.

    `light` and `dark` are its lines' colours on those pages, `dash` and `marker` tell it without colour, and `ink` is
    the colour of its name on the light page, darker where the line's would be hard to read.
    """

    light: str
    dark: str
    dash: Any
    marker: str
    ink: str

    @property
    def size(self) -> float:
        """Of its marker, in points: all look equally large."""
        return MARKER_SIZES.get(self.marker, 8.0)

    def line(self, theme: Theme) -> str:
        """The colour of its lines and markers."""
        return self.dark if theme.is_dark else self.light

    def text(self, theme: Theme) -> str:
        """The colour of its name."""
        return self.dark if theme.is_dark else self.ink


STYLES = {
    "SGD": Style("#0072B2", "#56B4E9", "solid", "o", "#0069A5"),
    "momentum": Style("#D55E00", "#FF8A4C", (0, (5, 1.6)), "s", "#B34F00"),
    "Nesterov": Style("#007A5E", "#4CD6A8", (0, (6, 1.6, 1.2, 1.6)), "^", "#006E55"),
    "RMSProp": Style("#AA4499", "#E58AD0", (0, (1.2, 1.2)), "D", "#983A88"),
    "Adam": Style("#111111", "#FFFFFF", "solid", "*", "#111111"),
}

OWN = (
    Style("#7A5C00", "#F0D060", (0, (8, 1.6)), "P", "#6B5000"),
    Style("#4B5D73", "#A9BDD6", (0, (3, 1.2, 1.2, 1.2, 1.2, 1.2)), "X", "#4B5D73"),
    Style("#8C1D2F", "#FF8FA0", (0, (2.5, 1.2)), "v", "#8C1D2F"),
)


def styles(labels: Iterable[str]) -> dict[str, Style]:
    """A style for each label: its own where the series has one, and the spare ones, in order, for a reader's."""
    chosen: dict[str, Style] = {}
    spare = 0
    for label in labels:
        if label in STYLES:
            chosen[label] = STYLES[label]
        else:
            turn = spare + spare // len(OWN)  # a fourth has the first's colour with the second's dash
            chosen[label] = replace(OWN[spare % len(OWN)], dash=OWN[turn % len(OWN)].dash)
            spare += 1
    return chosen


@dataclass(frozen=True)
class Theme:
    """The page: background, ink, faint lines, contour lines, what lies under a path, the hill from valley to top."""

    is_dark: bool
    page: str
    ink: str
    faint: str
    contour: str
    casing: str
    hill: LinearSegmentedColormap


THEMES = {
    "light": Theme(
        False,
        "#FFFFFF",
        "#1B1F24",
        "#D9DDE2",
        "#FFFFFF",
        "#FFFFFF90",
        LinearSegmentedColormap.from_list(
            "light hill", ("#FBF7EC", "#EFE6D2", "#D9D3C7", "#B9C0C4", "#93A7B4", "#6F8CA0")
        ),
    ),
    "dark": Theme(
        True,
        "#111111",
        "#E6EAEE",
        "#363D45",
        "#5A6874",
        "#11111190",
        LinearSegmentedColormap.from_list(
            "dark hill", ("#544E3A", "#43423B", "#35404A", "#293541", "#1E2933", "#162029")
        ),
    ),
}

TYPE_SIZE = 9.5  # points; nothing is smaller than 9
