"""The visual language: names that can be read, and lines that tell apart whoever looks."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from matplotlib.markers import MarkerStyle

from tinygpt.lab.charts.style import OWN, STYLES, THEMES, TYPE_SIZE, Style, Theme, styles
from tinygpt.lab.widgets.explorer import RACE

READABLE = 4.5  # WCAG 2.2, criterion 1.4.3 at level AA, for text of any size
VISIBLE = 3.0  # criterion 1.4.11, for what is drawn
NOTICEABLE = 2.3  # the smallest ΔE that people notice (Mahy et al. 1994, 10.1002/col.5080190207)
TELLS_APART = 3 * NOTICEABLE  # in lines 1.9 points wide; dash and marker double them

# How linear RGB looks to those who lack one kind of cone.
# Source: Machado, Oliveira and Fernandes 2009, A physiologically-based model for simulation of color vision deficiency,
# severity 1.0. 10.1109/TVCG.2009.113
EYES = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Linear sRGB to XYZ. Source: IEC 61966-2-1.
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)

EVERYONE = {**STYLES, **{f"own {i}": style for i, style in enumerate(OWN, 1)}}
every_theme = pytest.mark.parametrize("theme", THEMES.values(), ids=list(THEMES))
every_style = pytest.mark.parametrize("style", EVERYONE.values(), ids=list(EVERYONE))


def linear(colour: str) -> Any:
    """The light of red, green and blue, from #rrggbb. Source: IEC 61966-2-1."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio: the brighter luminance over the darker, with some stray light on both."""
    darker, brighter = sorted(float(XYZ[1] @ linear(colour)) for colour in (one, other))
    return (brighter + 0.05) / (darker + 0.05)


def cielab(rgb: Any) -> Any:
    """CIELAB of linear RGB, white being RGB's own. Source: CIE 15, section 8.2.1."""
    ratio = XYZ @ np.clip(rgb, 0, 1) / XYZ.sum(axis=1)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def difference(one: str, other: str, eyes: str) -> float:
    """ΔE*ab of two colours as those eyes see them."""
    seen = [cielab(EYES[eyes] @ linear(colour)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


# --- the measures themselves ------------------------------------------------------------------------------------------


def test_black_on_white_has_a_contrast_of_21() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)


def test_black_and_white_are_a_hundred_apart() -> None:
    assert difference("#000000", "#FFFFFF", "all cones") == pytest.approx(100)


@pytest.mark.parametrize("eyes", EYES)
def test_grey_is_grey_to_all_eyes(eyes: str) -> None:
    np.testing.assert_allclose(EYES[eyes] @ linear("#808080"), linear("#808080"), rtol=1e-5)  # six digits are printed


def test_red_and_green_are_near_for_those_who_lack_the_green_cone() -> None:
    assert difference("#B06000", "#709000", "deuteranopia") < 0.25 * difference("#B06000", "#709000", "all cones")


# --- the language -----------------------------------------------------------------------------------------------------


def test_every_optimizer_of_the_race_has_its_own_style() -> None:
    assert set(STYLES) == set(RACE)


def test_every_style_tells_by_dash_and_marker_alone() -> None:
    assert len({(str(style.dash), style.marker) for style in EVERYONE.values()}) == len(EVERYONE)


def test_no_two_styles_share_a_marker() -> None:
    assert len({style.marker for style in EVERYONE.values()}) == len(EVERYONE)


@every_style
def test_matplotlib_knows_the_marker(style: Style) -> None:
    assert MarkerStyle(style.marker).is_filled()


@every_theme
@every_style
def test_a_name_can_be_read_on_the_page(style: Style, theme: Theme) -> None:
    assert contrast(style.text(theme), theme.page) >= READABLE


@every_theme
@every_style
def test_a_line_can_be_seen_on_the_page(style: Style, theme: Theme) -> None:
    assert contrast(style.line(theme), theme.page) >= VISIBLE


@every_theme
@every_style
def test_a_line_can_be_seen_in_the_valley(style: Style, theme: Theme) -> None:
    valley = "#" + "".join(f"{round(255 * part):02X}" for part in theme.hill(0.0)[:3])
    assert contrast(style.line(theme), valley) >= VISIBLE


@every_theme
@pytest.mark.parametrize("height", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_words_can_be_read_anywhere_on_the_hill(theme: Theme, height: float) -> None:
    ground = "#" + "".join(f"{round(255 * part):02X}" for part in theme.hill(height)[:3])
    assert contrast(theme.ink, ground) >= READABLE


@every_theme
@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("pair", list(combinations(STYLES, 2)), ids="-".join)
def test_each_pair_of_lines_tells_apart(pair: tuple[str, str], eyes: str, theme: Theme) -> None:
    one, other = (STYLES[label].line(theme) for label in pair)
    assert difference(one, other, eyes) >= TELLS_APART


def test_words_are_at_least_nine_points_high() -> None:
    assert TYPE_SIZE >= 9


# --- who gets which ---------------------------------------------------------------------------------------------------


def test_an_optimizer_keeps_its_style_in_whatever_company() -> None:
    assert styles(["mine", "Adam", "yours"])["Adam"] == styles(["Adam"])["Adam"] == STYLES["Adam"]


def test_a_readers_own_look_like_none_of_the_five_nor_like_each_other() -> None:
    chosen = styles([*STYLES, "first", "second", "third"])
    assert len(set(chosen.values())) == len(STYLES) + 3


def test_four_that_a_reader_adds_still_tell_apart() -> None:
    assert len(set(styles(["one", "two", "three", "four"]).values())) == 4


def test_every_label_gets_a_style_in_its_order() -> None:
    assert list(styles("zyxwvu")) == list("zyxwvu")
