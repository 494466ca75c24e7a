"""The ravine: what is drawn and said of optimizers on a quadratic that turns."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from readers import Fragile, Normalised

from tinygpt import SGD, Adam
from tinygpt.lab.charts.ravine import RavinePicture
from tinygpt.lab.charts.style import styles
from tinygpt.lab.descent import Trajectory
from tinygpt.lab.linear import best_learning_rate
from tinygpt.lab.ravines import arrival, roll, split_loss
from tinygpt.lab.surfaces import quadratic
from tinygpt.lab.widgets.ravine import Ravine
from tinygpt.lab.words import number

MOVES = {"kappa": 10**1.5, "theta": 30.0, "tuned": False, "learning_rate": 10**-0.5, "split": "Adam"}
SLIDER = 1e-3  # relative: half a step of the sliders


@pytest.fixture(scope="module")
def figure() -> Ravine:
    return Ravine()


@pytest.fixture(autouse=True)
def as_at_first(figure: Ravine) -> None:
    figure.reset()


@cache
def short() -> Ravine:
    return Ravine(theta=90.0, steps=60)


# --- the caption ------------------------------------------------------------------------------------------------------


def test_the_caption_counts_the_steps_of_each(figure: Ravine) -> None:
    counts = {label: arrival(t) for label, t in figure.trajectories.items()}
    assert dict.fromkeys(counts, True) == {label: f"{label} {n} (λ " in figure.caption for label, n in counts.items()}


def test_the_caption_names_the_quickest_first(figure: Ravine) -> None:
    counts = [int(n) for n in re.findall(r"[A-Za-z]+ (\d+) \(λ", figure.caption)]
    assert counts == sorted(counts)


def test_the_caption_takes_the_loss_of_one_apart(figure: Ravine) -> None:
    along, across = split_loss(figure.trajectories["SGD"].points[-1], figure.knobs["kappa"].value, 0.0)
    assert figure.caption.endswith(f"{number(along)} along the ravine and {number(across)} across it at last.")


def test_the_caption_names_those_that_are_late() -> None:
    late = Ravine({"SGD": SGD}, kappa=100.0, learning_rate=0.001, steps=50)
    assert "nobody. Not within 50 steps: SGD." in late.caption


def test_the_caption_names_those_that_diverged_and_why() -> None:
    lost = Ravine({"SGD": SGD}, kappa=100.0, learning_rate=0.021)
    at = lost.trajectories["SGD"].diverged_at
    assert f"SGD diverged at step {at}: λ · curvature is 2.1, and the limit is 2." in lost.caption


def test_a_multiple_of_the_best_is_called_so(figure: Ravine) -> None:
    figure.knobs["learning_rate"].value = 0.5
    assert "each at 0.5 × its best λ" in figure.caption


@pytest.mark.parametrize("kappa", [1.0, 1000.0])
@pytest.mark.parametrize("learning_rate", [1e-4, 10.0])
@pytest.mark.parametrize("tuned", [False, True])
def test_no_knob_leads_to_a_number_that_is_none(kappa: float, learning_rate: float, tuned: bool) -> None:
    figure = short()
    figure.knobs["tuned"].value = tuned
    figure.knobs["kappa"].value, figure.knobs["learning_rate"].value = kappa, learning_rate
    assert re.search(r"nan|inf\b|Error", figure.caption) is None


# --- learning rates ---------------------------------------------------------------------------------------------------


def test_with_neither_given_each_runs_at_its_own_best(figure: Ravine) -> None:
    assert (figure.knobs["tuned"].value, figure.knobs["learning_rate"].value) == (True, 1.0)


def test_a_learning_rate_that_is_given_is_that_of_all() -> None:
    rates = {t.optimizer.learning_rate for t in Ravine(learning_rate=0.1, steps=20).trajectories.values()}
    assert rates == {0.1}


def test_untuned_the_learning_rate_begins_at_the_best_of_gradient_descent(figure: Ravine) -> None:
    figure.knobs["tuned"].value = False
    assert figure.knobs["learning_rate"].value == pytest.approx(best_learning_rate([1, 20]), rel=SLIDER)


def test_a_rate_that_is_bound_stays() -> None:
    mine = Ravine({"mine": partial(SGD, learning_rate=0.03)}, learning_rate=0.1)
    assert mine.trajectories["mine"].optimizer.learning_rate == 0.03


# --- the figure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOVES)
def test_every_knob_changes_the_picture_and_the_caption(figure: Ravine, name: str) -> None:
    before = figure.picture, figure.caption
    figure.knobs[name].value = MOVES[name]
    assert (figure.picture != before[0], figure.caption != before[1]) == (True, True)


def test_every_knob_has_a_move(figure: Ravine) -> None:
    assert set(MOVES) == set(figure.knobs)


def test_the_experiment_makes_the_same_figure(figure: Ravine) -> None:
    for name, value in MOVES.items():
        figure.knobs[name].value = value
    assert eval(figure.experiment, {"Ravine": Ravine}).caption == figure.caption


def test_the_experiment_of_a_readers_own_makes_the_same_figure() -> None:
    mine = Ravine({"mine": Normalised, "SGD": partial(SGD, momentum=0.5)}, theta=20.0, steps=50)
    names: dict[str, Any] = {"Ravine": Ravine, "SGD": SGD, "Normalised": Normalised, "partial": partial}
    assert eval(mine.experiment, names).caption == mine.caption


def test_reset_brings_everything_back(figure: Ravine) -> None:
    before = figure.caption
    for name, value in MOVES.items():
        figure.knobs[name].value = value
    figure.reset()
    assert figure.caption == before


def test_a_notebook_keeps_picture_and_caption(figure: Ravine) -> None:
    bundle, _ = figure._repr_mimebundle_()
    assert (bundle["text/plain"], bundle["image/png"][:5]) == (figure.caption, "iVBOR")


def test_a_readers_own_optimizer_stands_beside() -> None:
    figure = Ravine({"Adam": Adam, "mine": Normalised}, steps=60)
    assert set(figure.trajectories) == {"Adam", "mine"}


def test_an_error_in_a_readers_optimizer_is_told_and_the_figure_lives() -> None:
    figure = Ravine({"mine": Fragile}, kappa=1.0, learning_rate=0.5)
    figure.knobs["learning_rate"].value = 2.0
    complaint = figure.caption
    figure.knobs["learning_rate"].value = 0.5
    assert ("out of my depth" in complaint, "mine" in figure.caption) == (True, True)


# --- the picture ------------------------------------------------------------------------------------------------------


def drawn(scene: RavinePicture, trajectories: dict[str, Trajectory], kappa: float, theta: float) -> dict[str, Any]:
    """The words of a frame, with the pixel of each."""
    found: dict[str, Any] = {}
    write = scene.write
    scene.write = lambda pixel, text, *rest, **more: found.update({text: pixel}) or write(pixel, text, *rest, **more)
    scene.draw(trajectories, styles(trajectories), kappa, theta, next(iter(trajectories)))
    del scene.write
    return found


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(("rate", "words"), [(0.09, "70"), (1e-4, "not within 200"), (1.0, "✕ diverged at 1")])
def test_what_became_of_a_walk_stands_at_the_end_of_its_bar(rate: float, words: str, narrow: bool) -> None:
    walk = roll(20.0, 0.0, partial(SGD, learning_rate=rate), steps=200)
    words = str(arrival(walk)) if arrival(walk) else words
    scene = RavinePicture(200, narrow=narrow)
    end = scene.bars.transData.transform((len(walk.points) - 1 - (walk.diverged_at is not None), 0))[0]
    assert drawn(scene, {"SGD": walk}, 20.0, 0.0)[words][0] == pytest.approx(end + 8)


@pytest.mark.parametrize("theta", [0.0, 45.0, 90.0])
def test_the_steep_direction_is_named_where_it_is(theta: float) -> None:
    scene = RavinePicture(50)
    found = drawn(scene, {"SGD": roll(20.0, theta, partial(SGD, learning_rate=0.05), 50)}, 20.0, theta)
    x, y = scene.hill.axes.transData.inverted().transform(found["h = 20"])
    along, across = split_loss(np.array([x, y]), 20.0, theta)
    assert across > 1e6 * along


@pytest.mark.parametrize("theta", [0.0, 30.0])
def test_a_contour_is_a_line_of_one_loss(theta: float) -> None:
    scene, contours = RavinePicture(50), []
    fill = scene.fill
    scene.fill = lambda pixels, *rest, **more: contours.append(np.asarray(pixels)) or fill(pixels, *rest, **more)
    drawn(scene, {"SGD": roll(20.0, theta, partial(SGD, learning_rate=0.05), 50)}, 20.0, theta)
    points = scene.hill.axes.transData.inverted().transform(contours[5])  # the first is the page of the hill
    losses = quadratic(20.0, theta).values(points[:, 0], points[:, 1])
    np.testing.assert_allclose(losses, losses[0], rtol=1e-9)


def test_a_frame_remembers_nothing_of_the_frames_before() -> None:
    scene, frames = RavinePicture(100), []
    for kappa in (20.0, 3.0, 20.0):
        drawn(scene, {"SGD": roll(kappa, 30.0, partial(SGD, learning_rate=0.05), 100)}, kappa, 30.0)
        frames.append(np.asarray(scene.image()))
    np.testing.assert_array_equal(frames[0], frames[2])


def test_steps_must_be_some() -> None:
    with pytest.raises(ValueError, match="steps must be >= 1, got 0"):
        Ravine(steps=0)
