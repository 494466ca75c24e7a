"""The race in a picture and in words: what is drawn, where, and what is said of it."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from PIL import Image
from readers import Drift, Normalised

from tinygpt import SGD, Adam, Optimizer, RMSProp
from tinygpt.lab.charts.curves import LABEL_GAP
from tinygpt.lab.charts.race import RacePicture, race_caption
from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.charts.style import STYLES, THEMES, styles
from tinygpt.lab.descent import Trajectory, Walker, descend
from tinygpt.lab.surfaces import SURFACES, Surface, as_surface, quadratic

PIXEL = 1e-6  # the rounding of affine maps, in logical pixels
PICTURES_KEPT = 20  # still pictures of 1.4 megabytes and more

RACERS = {
    "SGD": partial(SGD, learning_rate=1e-3),
    "momentum": partial(SGD, learning_rate=1e-3, momentum=0.9),
    "Nesterov": partial(SGD, learning_rate=1e-3, momentum=0.9, nesterov=True),
    "RMSProp": partial(RMSProp, learning_rate=0.02),
    "Adam": partial(Adam, learning_rate=0.1),
}
every_surface = pytest.mark.parametrize("name", SURFACES)
some_surfaces = pytest.mark.parametrize("name", ["rosenbrock", "himmelblau", "six_hump_camel", "mccormick"])
every_theme = pytest.mark.parametrize("theme", THEMES)
every_shape = pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])


@cache
def walks(name: str = "rosenbrock", steps: int = 100) -> dict[str, Trajectory]:
    return descend(name, RACERS, steps=steps)


@cache
def picture(name: str = "quadratic", theme: str = "light", ratio: float = 1.0, narrow: bool = False) -> RacePicture:
    """A picture that several tests draw on: every frame begins afresh."""
    return RacePicture(SURFACES[name], theme, ratio, narrow)


def pixels(scene: Scene) -> Any:
    return np.array(scene.canvas.buffer_rgba())[..., :3].astype(int)


def drawn(on: RacePicture, trajectories: Mapping[str, Trajectory], step: int, start: Any = None) -> Any:
    """The pixels of a frame."""
    on.draw(trajectories, styles(trajectories), on.hill.surface.start if start is None else start, step)
    return pixels(on)


def walk(points: Any, losses: Any, optimizer: Optimizer | None = None) -> Trajectory:
    """A trajectory through these points; NaN where it has diverged."""
    losses = np.array(losses, float)
    lost = np.flatnonzero(np.isnan(losses))
    made = optimizer or SGD(Walker((0.0, 0.0)), learning_rate=0.1)
    return Trajectory(np.array(points, float), losses, int(lost[0]) if lost.size else None, made)


def written(on: RacePicture, trajectories: Mapping[str, Trajectory], step: int) -> dict[str, Any]:
    """The words of a frame and the pixels (x, y) where each is written."""
    found: dict[str, Any] = {}
    whole = on.write
    on.write = lambda pixel, text, *rest: found.update({text: pixel}) or whole(pixel, text, *rest)
    try:
        drawn(on, trajectories, step)
    finally:
        del on.write
    return found


# --- the picture ------------------------------------------------------------------------------------------------------


@every_theme
@every_shape
@pytest.mark.parametrize("ratio", [1, 3])
def test_the_picture_has_the_size_of_its_shape_times_the_ratio(ratio: float, narrow: bool, theme: str) -> None:
    on = picture("quadratic", theme, ratio, narrow)
    drawn(on, walks("quadratic"), 50)
    width, height = (480, 620) if narrow else (900, 400)
    assert Image.open(io.BytesIO(on.jpeg())).size == (width * ratio, height * ratio)


@every_theme
@every_shape
def test_a_race_changes_pixels_on_the_hill_and_in_the_losses(narrow: bool, theme: str) -> None:
    on = picture("quadratic", theme, narrow=narrow)
    changed = (drawn(on, walks("quadratic"), 100) != drawn(on, walks("quadratic"), 0)).any(axis=2)
    for panel in (on.hill, on.loss):
        left, bottom, right, top = panel.axes.bbox.extents.astype(int)
        assert changed[on.height - top : on.height - bottom, left:right].any()


@pytest.mark.parametrize("step", [0, 1, 50, 100])
def test_the_same_frame_drawn_twice_is_the_same_bytes(step: int) -> None:
    on, frames = picture(), []
    for _ in range(2):
        drawn(on, walks("quadratic"), step)
        frames.append((on.jpeg(), on.png()))
    assert frames[0] == frames[1]


def test_a_frame_remembers_nothing_of_the_frames_before() -> None:
    on = picture()
    first = drawn(on, walks("quadratic"), 60)
    drawn(on, walks("quadratic", 30), 30, start=(1.0, 1.0))  # other axes, another start
    drawn(on, {}, 0)
    np.testing.assert_array_equal(drawn(on, walks("quadratic"), 60), first)


def test_a_fresh_picture_draws_what_a_used_one_draws() -> None:
    used = picture()
    drawn(used, walks("quadratic", 30), 30)
    fresh = RacePicture(SURFACES["quadratic"])
    np.testing.assert_array_equal(drawn(used, walks("quadratic"), 60), drawn(fresh, walks("quadratic"), 60))


@pytest.mark.parametrize("step", [0, 1, 37])
def test_a_frame_shows_nothing_of_the_steps_to_come(step: int) -> None:
    def otherwise(t: Trajectory) -> Trajectory:
        points, losses = t.points.copy(), t.losses.copy()
        points[step + 1 :] = points[step + 1 :] * 0.5 + 0.3
        losses[step + 1 :] = losses[step + 1 :][::-1]  # the same decades, so that the axis stays
        return replace(t, points=points, losses=losses)

    other = {label: otherwise(t) for label, t in walks("quadratic").items()}
    on = picture()
    np.testing.assert_array_equal(drawn(on, other, step), drawn(on, walks("quadratic"), step))


def test_a_later_step_shows_more() -> None:
    on = picture()
    bare = drawn(on, {}, 0)
    shown = [(drawn(on, walks("quadratic"), step)[:, :540] != bare[:, :540]).any(axis=2).sum() for step in (2, 10, 40)]
    assert shown == sorted(set(shown))


def test_the_start_is_shown_where_it_is() -> None:
    on = picture()
    changed = (drawn(on, {}, 0, start=(1.0, -1.0)) != drawn(on, {}, 0, start=(-2.0, 2.0))).any(axis=2)
    rows, columns = np.nonzero(changed)
    places = np.array([on.hill.at(x, y) for x, y in zip(columns, rows, strict=True)])
    for start in ((1.0, -1.0), (-2.0, 2.0)):
        assert np.min(np.hypot(*(places - start).T)) < 0.1


def test_every_optimizer_is_drawn_in_its_own_colours() -> None:
    on = picture()
    found = {tuple(pixel) for pixel in drawn(on, walks("quadratic"), 100).reshape(-1, 3)}
    colours = {tuple(int(style.light[i : i + 2], 16) for i in (1, 3, 5)) for style in STYLES.values()}
    assert colours <= found


def test_dark_is_darker() -> None:
    frames = [drawn(picture(theme=theme), walks("quadratic"), 100).mean() for theme in ("dark", "light")]
    assert frames[0] < 64 < 192 < frames[1]


@some_surfaces
def test_every_minimum_is_marked(name: str) -> None:
    on = picture(name)
    frame = drawn(on, walks(name), 0)
    columns, rows = np.floor(on.hill.axes.transData.transform(on.hill.surface.minima)).astype(int).T
    ink = [int(on.theme.ink[i : i + 2], 16) for i in (1, 3, 5)]
    assert (frame[len(frame) - 1 - rows, columns] == ink).all()


@some_surfaces
def test_a_step_is_as_long_on_the_screen_whichever_way_it_points(name: str) -> None:
    origin, right, up = picture(name).hill.axes.transData.transform([(0, 0), (1, 0), (0, 1)])
    assert right[0] - origin[0] == pytest.approx(up[1] - origin[1])


@some_surfaces
def test_all_of_the_bounds_is_on_the_hill(name: str) -> None:
    axes = picture(name).hill.axes
    seen = np.array([axes.get_xlim(), axes.get_ylim()])
    bounds = np.array(SURFACES[name].bounds)
    assert np.all(seen[:, 0] <= bounds[:, 0] + PIXEL)
    assert np.all(seen[:, 1] >= bounds[:, 1] - PIXEL)


# --- from the screen to the hill and back -----------------------------------------------------------------------------


@every_shape
@pytest.mark.parametrize("ratio", [1, 3])
def test_a_place_on_the_screen_is_the_point_that_is_drawn_there(ratio: float, narrow: bool) -> None:
    on = picture("quadratic", "light", ratio, narrow)
    for point in [(0.0, 0.0), (3.0, 0.5), (-2.5, 1.0)]:
        right, up = on.hill.axes.transData.transform(point)
        assert on.hill.at(right / ratio, on.height - up / ratio) == pytest.approx(point, abs=PIXEL)


@every_shape
@pytest.mark.parametrize("ratio", [1, 3])
def test_the_hill_reaches_to_the_corners_of_its_axes(ratio: float, narrow: bool) -> None:
    on = picture("quadratic", "light", ratio, narrow)
    left, bottom, right, top = on.hill.axes.bbox.extents / ratio
    corners = [(x, on.height - y) for x in (left, right) for y in (bottom, top)]
    middle = np.mean(corners, axis=0)
    for corner in corners:
        outwards = np.sign(corner - middle)
        assert (on.hill.holds(*(corner - outwards)), on.hill.holds(*(corner + outwards))) == (True, False)


@every_shape
def test_the_losses_are_not_on_the_hill(narrow: bool) -> None:
    on = picture(narrow=narrow)
    x, y = on.loss.axes.bbox.extents.reshape(2, 2).mean(axis=0)
    assert not on.hill.holds(x, on.height - y)


# --- names ------------------------------------------------------------------------------------------------------------


@every_shape
@pytest.mark.parametrize("loss", [1e-12, 1e4])
@pytest.mark.parametrize("ratio", [1, 2])
def test_names_of_lines_that_end_together_do_not_cover_each_other(loss: float, ratio: float, narrow: bool) -> None:
    on = picture("quadratic", "light", ratio, narrow)
    labels = [*STYLES, "mine", "yours", "theirs"]
    same = {label: walk([(1, 1)] * 3, [1.0, 1.0, loss]) for label in labels}
    found = written(on, same, 2)
    heights = sorted(found[label][1] for label in labels)
    assert np.min(np.diff(heights)) >= LABEL_GAP * ratio - PIXEL


@every_shape
@pytest.mark.parametrize("losses", [[1e-12] * 8, [1e4] * 8, list(np.logspace(-12, 4, 8))])
def test_names_stay_within_the_height_of_the_panel(losses: Any, narrow: bool) -> None:
    on = picture(narrow=narrow)
    found = written(on, {f"mine {i}": walk([(1, 1)] * 2, [1.0, loss]) for i, loss in enumerate(losses)}, 1)
    heights = [pixel[1] for text, pixel in found.items() if text.startswith("mine")]
    _, bottom, _, top = on.loss.axes.bbox.extents
    assert bottom - PIXEL <= min(heights) <= max(heights) <= top + PIXEL


def test_a_lone_name_stands_at_the_end_of_its_line() -> None:
    on = picture()
    pixel = written(on, {"mine": walk([(1, 1)] * 3, [1.0, 0.1, 0.01])}, 2)["mine"]
    end = on.loss.axes.transData.transform((2, 0.01))
    assert (pixel[0] > end[0], pixel[1]) == (True, pytest.approx(end[1]))


def test_names_stand_in_the_order_of_their_lines() -> None:
    found = written(picture(), walks("quadratic"), 100)
    ends = {label: t.losses[-1] for label, t in walks("quadratic").items()}
    assert sorted(ends, key=lambda label: ends[label]) == sorted(ends, key=lambda label: found[label][1])


@every_shape
@pytest.mark.parametrize("ratio", [1, 2])
@pytest.mark.parametrize("label", ["momentum", "Nesterov"])  # the longest
def test_a_name_begins_right_of_its_line_and_ends_within_the_picture(label: str, ratio: float, narrow: bool) -> None:
    on = picture("quadratic", "light", ratio, narrow)
    before = drawn(on, {}, 1)
    lost = {label: walk([(1, 1), (np.nan, np.nan)], [1.0, np.nan])}
    place = written(on, lost, 1)[f"{label} ✕"]
    beside = slice(int(on.loss.axes.bbox.x1) + 1, None)
    columns = np.flatnonzero((pixels(on) != before)[:, beside].any(axis=(0, 2))) + beside.start
    assert place[0] - 1 <= columns[0] <= columns[-1] < on.width * ratio - 1


def test_one_that_diverged_is_crossed_out_from_that_step_on() -> None:
    lost = {"SGD": walk([(1, 1)] * 3 + [(np.nan, np.nan)] * 2, [1, 2, 3, np.nan, np.nan])}
    names = [{"SGD", "SGD ✕"} & set(written(picture(), lost, step)) for step in (2, 3, 4)]
    assert names == [{"SGD"}, {"SGD ✕"}, {"SGD ✕"}]


def test_one_that_never_stood_on_the_map_has_no_line() -> None:
    lost = {"SGD": walk([(np.nan, np.nan)] * 2, [np.nan] * 2)}
    assert set(written(picture(), lost, 1)) == {"start"}


# --- any hill at all --------------------------------------------------------------------------------------------------

HILLS: dict[str, Any] = {
    "infinite somewhere": lambda x, y: 1 / (x * x + y * y - 1) ** 2,
    "infinite on a grid point": lambda x, y: 1 / ((x - 2) * (x - 2)) + y * y,
    "not a number somewhere": lambda x, y: x.log() ** 2 + y * y,
    "nowhere a number": lambda x, y: (-1 - x * x).log(),
    "flat": lambda x, y: 3.0,
    "flat as a tensor": lambda x, y: x * 0,
    "of one coordinate": lambda x, y: x * x,
    "without a floor": lambda x, y: x + y,
    "huge": lambda x, y: (x * x * 150).exp() + y * y,
    "tiny": lambda x, y: 1e-200 * (x * x + y * y),
    "stepped": lambda x, y: (x > 0).numpy() * 1.0,
}
every_hill = pytest.mark.parametrize("hill", HILLS)


@every_hill
def test_any_hill_can_be_raced_on_drawn_and_told(hill: str) -> None:
    surface = as_surface(HILLS[hill])
    race = descend(surface, RACERS, steps=20)
    on = RacePicture(surface)
    drawn(on, race, 20)
    assert on.png()
    assert race_caption(surface, race, 20)


@pytest.mark.parametrize("hill", ["infinite on a grid point", "not a number somewhere", "nowhere a number", "flat"])
def test_a_hill_whose_minimum_is_known_can_be_drawn_whatever_it_is(hill: str) -> None:
    on = RacePicture(Surface("hill", HILLS[hill], (-1.0, 0.5), ((1.0, 0.5),)))
    drawn(on, {}, 0)
    assert on.png()


@pytest.mark.parametrize("name", ["a $ b", "$\\foo$", "β₁ × λ " * 20])
def test_a_surface_may_have_any_name(name: str) -> None:
    on = RacePicture(replace(quadratic(3), name=name))
    drawn(on, {}, 0)
    assert on.png()


@pytest.mark.parametrize("start", [(1e9, 0.0), (-1e300, 1e300), (0.0, 1e30)])
def test_a_start_far_off_the_map_can_be_drawn(start: Any) -> None:
    on = picture()
    drawn(on, descend("quadratic", RACERS, start=start, steps=5), 5, start)
    assert on.png()


def test_other_lengths_of_the_race_do_not_pile_up_pictures() -> None:
    on = RacePicture(SURFACES["quadratic"])
    for steps in range(1, PICTURES_KEPT + 20):
        drawn(on, walks("quadratic", steps), steps)
    assert len(on._stills) <= PICTURES_KEPT


# --- the caption ------------------------------------------------------------------------------------------------------


def on_parabola(rate: float, steps: int = 50) -> tuple[Surface, dict[str, Trajectory]]:
    """Gradient descent on ½(x² + 10y²) from (−2.5, 0.5)."""
    surface = quadratic(10)
    return surface, descend(surface, {"SGD": partial(SGD, learning_rate=rate)}, steps=steps)


def test_the_caption_tells_who_is_lowest() -> None:
    surface = quadratic(10)
    racers = {"slow": partial(SGD, learning_rate=0.01), "quick": partial(SGD, learning_rate=0.18)}
    assert race_caption(surface, descend(surface, racers, steps=20), 20) == (
        "quadratic ravine from (−2.50, 0.50), 20 steps, λ = 0.01 (slow), 0.18 (quick). "
        "Loss above the minimum: quick 0.0013, slow 2.1."
    )


def test_the_caption_names_the_step_at_which_the_minimum_is_near() -> None:
    surface, race = on_parabola(0.1)  # 3.125 · .81ⁿ from the first step on, which levels y
    assert race_caption(surface, race, 50) == (
        "quadratic ravine from (−2.50, 0.50), 50 steps, λ = 0.1. "
        "Loss above the minimum: SGD 8.3e-5. First below 0.001: SGD, at step 39."
    )


def test_the_caption_of_a_step_says_what_was_known_then() -> None:
    surface, race = on_parabola(0.1)
    assert race_caption(surface, race, 10) == (
        "quadratic ravine from (−2.50, 0.50), step 10 of 50, λ = 0.1. Loss above the minimum: SGD 0.38."
    )


def test_the_caption_names_the_step_and_the_cause_of_a_divergence() -> None:
    surface, race = on_parabola(0.3)  # y doubles: 0.5 · 2ⁿ > 9 at the fifth step
    assert race_caption(surface, race, 50) == (
        "quadratic ravine from (−2.50, 0.50), 50 steps, λ = 0.3. "
        "SGD diverged at step 5: λ · curvature was 3 at step 0, and the limit is 2."
    )


def test_a_divergence_still_to_come_is_not_told() -> None:
    surface, race = on_parabola(0.3)
    assert "diverged" not in race_caption(surface, race, 4)


def test_one_without_a_limit_is_told_by_its_longest_step() -> None:
    surface = quadratic(10)
    race = descend(surface, {"mine": partial(Drift, x=2.0)}, steps=20)  # −2.5 + 2n > 9 at the sixth step
    told = "mine diverged at step 6: its longest step was 2 on a surface 6 wide."
    assert race_caption(surface, race, 20).endswith(told)


def test_one_that_leaves_with_its_first_step_is_told_so() -> None:
    surface = quadratic(10)
    race = descend(surface, {"mine": partial(Drift, x=100.0)}, steps=5)
    assert race_caption(surface, race, 5).endswith(
        "mine diverged at step 1: its first step left the map, or was no number."
    )


def test_nobody_running_is_told() -> None:
    assert race_caption(quadratic(10), {}, 0) == "quadratic ravine: no optimizer is running."


def test_those_who_arrive_together_are_named_together() -> None:
    surface = quadratic(10)
    both = descend(surface, dict.fromkeys(("one", "two"), partial(SGD, learning_rate=0.1)), steps=50)
    assert "First below 0.001: one and two, at step 39." in race_caption(surface, both, 50)


def test_a_start_off_the_map_is_told_as_such() -> None:
    surface = quadratic(10)
    caption = race_caption(surface, descend(surface, RACERS, start=(1e3, 0.0), steps=5), 5)
    assert "nan" not in caption
    assert "first step" not in caption


def test_where_no_optimizer_has_a_learning_rate_none_is_told() -> None:
    surface = quadratic(10)
    assert "λ" not in race_caption(surface, descend(surface, {"mine": partial(Drift, x=0.1)}, steps=5), 5)


def test_an_optimizer_without_a_learning_rate_beside_one_with_it_is_not_given_one() -> None:
    surface = quadratic(10)
    racers = {"mine": partial(Drift, x=0.1), "SGD": partial(SGD, learning_rate=0.1), "Adam": Adam}
    assert "λ = 0.1 (SGD), 0.001 (Adam)." in race_caption(surface, descend(surface, racers, steps=5), 5)


def test_a_dampened_run_that_leaves_the_map_can_be_told() -> None:
    surface = quadratic(10)
    make = partial(SGD, learning_rate=3.0, momentum=0.9, dampening=1.0)
    assert "SGD diverged" in race_caption(surface, descend(surface, {"SGD": make}, steps=50), 50)


def test_learning_rates_that_are_arrays_can_be_told() -> None:
    surface = quadratic(10)
    make = partial(SGD, learning_rate=np.array([0.1, 0.25]))
    assert "SGD diverged" in race_caption(surface, descend(surface, {"SGD": make}, steps=50), 50)


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        *[(0.0, "0"), (1e-13, "0"), (3e-11, "3.0e-11"), (0.00012, "1.2e-4"), (0.0123, "0.012"), (0.5, "0.5")],
        *[(1.0, "1"), (12.0, "12"), (123.0, "120"), (1234.0, "1200"), (12345.0, "1.2e4")],
    ],
)
def test_numbers_are_told_as_a_person_would_write_them(loss: float, words: str) -> None:
    caption = race_caption(quadratic(1), {"SGD": walk([(1, 1)] * 2, [1.0, loss])}, 1)
    assert f"Loss above the minimum: SGD {words}." in caption


def test_a_loss_is_never_told_as_lower_than_the_lowest() -> None:
    surface = as_surface(lambda x, y: x * x + y * y)  # whose minimum lies between the points of the grid
    caption = race_caption(surface, descend(surface, {"it": partial(SGD, learning_rate=0.4)}, steps=50), 50)
    assert not re.search(r"it [-−]", caption)


@every_surface
def test_every_race_can_be_told_at_every_step(name: str) -> None:
    race = descend(name, {**RACERS, "mine": partial(Normalised, learning_rate=0.1)}, steps=30)
    captions = {race_caption(SURFACES[name], race, step) for step in range(31)}
    assert len(captions) == 31
    assert not any(re.search(r"nan|inf|e\+", caption) for caption in captions)
