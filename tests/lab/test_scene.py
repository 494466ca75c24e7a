"""Scene: a still picture that every frame begins from, and strokes, marks and words over it."""

from __future__ import annotations

import io
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.charts.style import THEMES

EDGES = 0.35  # of the inked pixels lie on edges, which do not grow that fast
JPEG_ERROR = 6.0  # the mean difference of grey levels, of 255, that quality 88 leaves on strokes

Place = tuple[float, float]


def stroke(scene: Scene, place: Place, dash: Any = "solid") -> None:
    at = np.multiply(place, scene.ratio)
    scene.stroke([at, at + np.multiply((60, 20), scene.ratio)], "#D55E00", dash)


def dashes(scene: Scene, place: Place) -> None:
    stroke(scene, place, (0, (5, 1.6)))


def mark(scene: Scene, place: Place) -> None:
    scene.mark(np.multiply(place, scene.ratio), "*", 9.0, "#D55E00", "#111111")


def words(scene: Scene, place: Place) -> None:
    scene.write(np.multiply(place, scene.ratio), "words", "#D55E00")


def fill(scene: Scene, place: Place) -> None:
    at = np.multiply(place, scene.ratio)
    scene.fill([at, at + np.multiply((40, 0), scene.ratio), at + np.multiply((20, 25), scene.ratio), at], "#D55E00")


def arrow(scene: Scene, place: Place) -> None:
    at = np.multiply(place, scene.ratio)
    scene.arrow(at, at + np.multiply((40, 20), scene.ratio), "#D55E00", 3.0)


DRAWINGS = (stroke, dashes, mark, words, fill, arrow)
MIDDLE = (30.0, 20.0)
every_drawing = pytest.mark.parametrize("draw", DRAWINGS)


def pixels(scene: Scene) -> Any:
    """What is on the canvas now: (rows from the top, columns, 3)."""
    return np.array(scene.canvas.buffer_rgba())[..., :3].astype(int)


def inked(scene: Scene) -> Any:
    """Which pixels are not the page's."""
    page = np.array([int(scene.theme.page[i : i + 2], 16) for i in (1, 3, 5)])
    return (pixels(scene) != page).any(axis=2)


def empty(ratio: float = 1.0, theme: str = "light") -> Scene:
    scene = Scene(120, 60, theme, ratio)
    scene.begin()
    return scene


@pytest.mark.parametrize("ratio", [1.0, 1.25, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("encoding", ["jpeg", "png"])
def test_the_picture_has_ratio_times_as_many_pixels(encoding: str, ratio: float) -> None:
    image = Image.open(io.BytesIO(getattr(empty(ratio), encoding)()))
    assert (image.format, image.size) == (encoding.upper(), (round(120 * ratio), round(60 * ratio)))


@pytest.mark.parametrize("theme", THEMES)
def test_an_empty_scene_is_the_page(theme: str) -> None:
    assert not inked(empty(theme=theme)).any()


@every_drawing
def test_drawing_changes_pixels(draw: Any) -> None:
    scene = empty()
    draw(scene, MIDDLE)
    assert inked(scene).any()


@every_drawing
def test_restoring_takes_everything_back(draw: Any) -> None:
    scene = empty()
    before = pixels(scene)
    draw(scene, MIDDLE)
    scene.begin()
    np.testing.assert_array_equal(pixels(scene), before)


@every_drawing
def test_drawing_the_same_gives_the_same_bytes(draw: Any) -> None:
    scene = empty()
    frames = []
    for _ in range(2):
        scene.begin()
        draw(scene, MIDDLE)
        frames.append((scene.jpeg(), scene.png()))
    assert frames[0] == frames[1]


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0])
@every_drawing
def test_what_is_drawn_grows_with_the_screen(draw: Any, ratio: float) -> None:
    small, large = empty(), empty(ratio)
    draw(small, MIDDLE)
    draw(large, MIDDLE)
    growth = inked(large).sum() / inked(small).sum()
    assert growth == pytest.approx(ratio**2, rel=EDGES)


def test_a_stroke_is_clipped_to_its_panel() -> None:
    scene = Scene(120, 60)
    axes = scene.panel((20, 10, 40, 30), "")
    axes.set(xticks=[], yticks=[])
    scene.begin()
    before = pixels(scene)
    scene.stroke([(-500, 25), (500, 25)], "#D55E00", clip=axes)
    columns = np.flatnonzero((pixels(scene) != before).any(axis=(0, 2)))
    assert (columns[0], columns[-1]) == (20, 59)


def test_a_mark_is_centred_on_its_place() -> None:
    scene = empty()
    scene.mark((50.5, 20.5), "o", 9.0, "#D55E00", "#D55E00")
    rows, columns = np.nonzero(inked(scene))
    assert (rows.mean(), columns.mean()) == pytest.approx((60 - 20.5, 50.5), abs=1)  # Agg lays markers on whole pixels


@pytest.mark.parametrize(("align", "edge"), [(0.0, "left"), (0.5, "centre"), (1.0, "right")])
def test_words_begin_stand_or_end_at_their_place(align: float, edge: str) -> None:
    scene = empty()
    scene.write((60, 30), "words", "#111111", align)
    columns = np.flatnonzero(inked(scene).any(axis=0))
    found = {"left": columns[0], "centre": columns.mean(), "right": columns[-1]}[edge]
    assert found == pytest.approx(60, abs=1.5)  # letters are laid on whole pixels


def test_words_are_centred_in_height() -> None:
    scene = empty()
    scene.write((60, 30), "HIT", "#111111")
    assert np.flatnonzero(inked(scene).any(axis=1)).mean() == pytest.approx(29.5, abs=1.5)


@pytest.mark.parametrize("place", [(-500.0, 30.0), (500.0, 30.0), (1e12, 30.0)])
def test_words_stay_within_the_picture(place: tuple[float, float]) -> None:
    inside, beside = empty(), empty()
    inside.write((60, 30), "words", "#111111")
    beside.write(place, "words", "#111111")
    assert inked(beside).sum() == inked(inside).sum()


@pytest.mark.parametrize("place", [(50.0, -500.0), (50.0, 500.0), (50.0, 1e300)])
def test_words_above_or_below_the_picture_are_not_drawn(place: tuple[float, float]) -> None:
    scene = empty()
    scene.write(place, "words", "#111111")
    assert not inked(scene).any()


@every_drawing
@pytest.mark.parametrize("place", [(np.nan, 20.0), (20.0, np.nan)])
def test_what_lies_nowhere_is_not_drawn_and_does_no_harm(draw: Any, place: Place) -> None:
    scene = empty()
    draw(scene, place)
    assert not inked(scene).any()


@every_drawing
@pytest.mark.parametrize("place", [(1e12, 20.0), (-1e300, 1e300), (np.inf, 20.0), (20.0, -np.inf)])
def test_what_lies_far_away_does_no_harm(draw: Any, place: Place) -> None:
    scene = empty()
    draw(scene, place)
    assert scene.png()


@pytest.mark.parametrize("text", ["", " ", "x" * 200, "$", "a$b$c", "$\\foo$", "β₁ λ × ✕ −", "two\nlines"])
def test_any_words_can_be_written(text: str) -> None:
    scene = empty()
    scene.write((10, 30), text, "#111111")
    assert scene.png()


def test_bold_words_are_wider() -> None:
    plain, bold = empty(), empty()
    plain.write((10, 30), "words", "#111111")
    bold.write((10, 30), "words", "#111111", bold=True)
    assert inked(bold).sum() > inked(plain).sum()


def test_larger_words_are_larger() -> None:
    plain, large = empty(), empty()
    plain.write((10, 30), "words", "#111111")
    large.write((10, 30), "words", "#111111", size=14.0)
    assert inked(large).sum() > inked(plain).sum()


def test_words_that_the_font_lacks_are_boxes_and_no_warning() -> None:
    scene = empty()
    scene.write((10, 30), "优化器", "#111111")
    assert inked(scene).any()


# --- fills, arrows and cells ------------------------------------------------------------------------------------------


def test_a_fill_covers_all_of_its_inside() -> None:
    scene = empty()
    scene.fill([(20, 10), (60, 10), (60, 40), (20, 40), (20, 10)], "#D55E00")
    rows, columns = np.nonzero(inked(scene))
    assert (columns.min(), columns.max(), len(rows)) == (20, 59, 40 * 30)


def test_an_arrow_comes_to_a_point_at_its_tip() -> None:
    scene = empty()
    scene.arrow((20, 30), (80, 30), "#D55E00", 2.0)
    assert np.flatnonzero(inked(scene).any(axis=0))[-1] == pytest.approx(79, abs=1.5)


@pytest.mark.parametrize("tip", [(20.0, 30.0), (np.nan, 30.0), (np.inf, 30.0)])
def test_an_arrow_to_nowhere_is_none(tip: Place) -> None:
    scene = empty()
    scene.arrow((20, 30), tip, "#D55E00")
    assert not inked(scene).any()


def test_cells_fill_their_panel_from_the_lowest_row_on() -> None:
    scene = Scene(120, 60)
    axes = scene.panel((20, 10, 40, 30), "")
    axes.set(xticks=[], yticks=[])
    scene.begin()
    colours = np.zeros((2, 2, 4), np.uint8)
    colours[..., 3] = 255
    colours[0, 0, 0], colours[1, 1, 2] = 200, 100  # red below on the left, blue above on the right
    scene.cells(axes, colours)
    shown = pixels(scene)
    assert (tuple(shown[48, 22]), tuple(shown[22, 58])) == ((200, 0, 0), (0, 0, 100))


# --- stills -----------------------------------------------------------------------------------------------------------


def test_axes_are_arranged_whenever_the_key_changes_and_not_otherwise() -> None:
    scene, arranged = Scene(120, 60), []
    for key in (1, 1, 2, 1):
        scene.begin(key, lambda key=key: arranged.append(key))
    assert arranged == [1, 2, 1]


def test_a_key_that_returns_shows_its_own_still() -> None:
    scene = Scene(120, 60)
    axes = scene.panel((20, 10, 40, 30), "")
    frames = []
    for top in (1.0, 5.0, 1.0):
        scene.begin(top, lambda top=top: axes.set(ylim=(0, top)))
        frames.append(pixels(scene))
    assert ((frames[0] == frames[2]).all(), (frames[0] == frames[1]).all()) == (True, False)


# --- as SVG -----------------------------------------------------------------------------------------------------------


@every_drawing
def test_svg_holds_every_kind_of_drawing(draw: Any) -> None:
    scene = empty()
    blank = scene.svg()
    draw(scene, MIDDLE)
    assert len(scene.svg()) > len(blank)


def test_svg_holds_what_the_frame_holds_and_nothing_of_the_one_before() -> None:
    scene = empty()
    blank = scene.svg()
    stroke(scene, MIDDLE)
    scene.begin()
    assert re.sub("[0-9a-f]{10,}|<dc:date>.*", "", scene.svg()) == re.sub("[0-9a-f]{10,}|<dc:date>.*", "", blank)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_svg_has_the_same_size_on_every_screen(ratio: float) -> None:
    assert 'viewBox="0 0 86.4 43.2"' in empty(ratio).svg()  # points


def test_making_svg_leaves_the_frame_as_it_was() -> None:
    scene = empty(2.0)
    stroke(scene, MIDDLE)
    before = pixels(scene)
    scene.svg()
    np.testing.assert_array_equal(pixels(scene), before)


def test_jpeg_shows_what_was_drawn() -> None:
    scene = empty()
    for draw in DRAWINGS:
        draw(scene, MIDDLE)
    shown = np.asarray(Image.open(io.BytesIO(scene.jpeg())), int)
    assert np.abs(shown - pixels(scene)).mean() <= JPEG_ERROR


def test_png_shows_what_was_drawn_exactly_where_the_colours_are_few() -> None:
    scene = empty()
    mark(scene, MIDDLE)
    shown = np.asarray(Image.open(io.BytesIO(scene.png())).convert("RGB"), int)
    np.testing.assert_array_equal(shown, pixels(scene))


def test_two_scenes_do_not_share_a_canvas() -> None:
    one, other = empty(), empty()
    stroke(one, MIDDLE)
    assert not inked(other).any()
