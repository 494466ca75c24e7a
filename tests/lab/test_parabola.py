"""The parabola: what is drawn and said of gradient descent in one dimension."""

from __future__ import annotations

import re
from functools import cache

import numpy as np
import pytest

from tinygpt.lab.charts.parabola import FARTHEST, ParabolaPicture, last_seen
from tinygpt.lab.linear import contraction, ride
from tinygpt.lab.widgets.parabola import Parabola
from tinygpt.lab.words import number

MOVES = {"learning_rate": 10**-0.5, "curvature": 2.0, "start": 1.5, "step": 3}
PIXEL = 0.02  # of w: half a pixel of the picture, and the rounding of the start to two digits


@pytest.fixture(scope="module")
def figure() -> Parabola:
    return Parabola()


@pytest.fixture(autouse=True)
def as_at_first(figure: Parabola) -> None:
    figure.reset()


@cache
def long() -> Parabola:
    return Parabola(learning_rate=1.0, steps=200)


def told(learning_rate: float, curvature: float, start: float = -2.0) -> str:
    """The caption after two hundred steps."""
    figure = long()
    with figure.one_run():
        figure.knobs["learning_rate"].value, figure.knobs["curvature"].value = learning_rate, curvature
        figure.knobs["start"].value = start
    return figure.caption


# --- the caption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("learning_rate", "curvature", "words"),
    [
        (0.1, 1.0, "stays on one side"),
        (1.0, 1.0, "one step arrives"),
        (1.0, 1.5, "the zig-zag shrinks"),
        (1.0, 2.0, "for ever"),
        (1.0, 2.01, "explodes"),
    ],
)
def test_the_caption_tells_what_the_factor_means(learning_rate: float, curvature: float, words: str) -> None:
    assert words in told(learning_rate, curvature)


def test_the_caption_has_the_factor(figure: Parabola) -> None:
    h, learning_rate = figure.knobs["curvature"].value, figure.knobs["learning_rate"].value
    assert f"1 − λh = {number(contraction(h, learning_rate))}." in figure.caption


@pytest.mark.parametrize("step", [0, 1, 17])
def test_the_caption_tells_where_the_walker_is(figure: Parabola, step: int) -> None:
    figure.knobs["step"].value = step
    assert f"w = {number(figure.ride.positions[step])}" in figure.caption.split("After")[1]


def test_just_beyond_the_limit_two_hundred_steps_grow_sevenfold() -> None:
    times = re.search(r"([\d.]+) times as far", told(1.0, 2.01))
    assert times is not None
    assert 7 < float(times[1]) < 8


@pytest.mark.parametrize("learning_rate", [0.01, 1.0, 10.0])
@pytest.mark.parametrize("curvature", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("start", [-2.5, 0.0])
def test_no_knob_leads_to_a_number_that_is_none(learning_rate: float, curvature: float, start: float) -> None:
    assert re.search(r"nan|inf\b|Error", told(learning_rate, curvature, start)) is None


def test_what_explodes_is_shown_up_to_where_it_is_too_far() -> None:
    positions = ride(1.0, 10.0, steps=400).positions
    last = last_seen(positions)
    assert abs(positions[last]) <= FARTHEST < abs(positions[last + 1])


# --- the figure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOVES)
def test_every_knob_changes_the_picture_and_the_caption(figure: Parabola, name: str) -> None:
    before = figure.picture, figure.caption
    figure.knobs[name].value = MOVES[name]
    assert (figure.picture != before[0], figure.caption != before[1]) == (True, True)


def test_every_knob_has_a_move(figure: Parabola) -> None:
    assert set(MOVES) == set(figure.knobs)


def test_the_experiment_makes_the_same_figure(figure: Parabola) -> None:
    for name, value in MOVES.items():
        figure.knobs[name].value = value
    assert eval(figure.experiment, {"Parabola": Parabola}).caption == figure.caption


def test_a_notebook_keeps_picture_and_caption(figure: Parabola) -> None:
    bundle, _ = figure._repr_mimebundle_()
    assert (bundle["text/plain"], bundle["image/png"][:5]) == (figure.caption, "iVBOR")


@pytest.mark.parametrize("w", [-1.5, 0.5, 2.0])
def test_a_click_on_the_parabola_starts_there(figure: Parabola, w: float) -> None:
    scene = figure.make_scene("light", 1.0, False)
    across = scene.hill.transData.transform((w, 1.0))[0]
    figure.view.pointer = [across / scene.width, 0.5]
    assert figure.knobs["start"].value == pytest.approx(w, abs=PIXEL)


def test_a_click_beside_the_parabola_starts_nowhere(figure: Parabola) -> None:
    figure.view.pointer = [0.9, 0.5]
    assert figure.knobs["start"].value == -2.0


def test_arrow_keys_move_the_start_within_its_range(figure: Parabola) -> None:
    for _ in range(20):
        figure.nudged(-1, 0)
    assert figure.knobs["start"].value == -2.5


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_shows_the_start(theme: str, narrow: bool) -> None:
    scene, frames = ParabolaPicture(theme, 1.0, narrow), []
    for start in (-2.0, 1.0):
        scene.draw(ride(1.0, 0.5, start=start).positions, 1.0, 0.5, 0)
        frames.append(np.asarray(scene.image()))
    assert (frames[0] != frames[1]).any()


def test_steps_must_be_some() -> None:
    with pytest.raises(ValueError, match="steps must be >= 1, got 0"):
        Parabola(steps=0)
