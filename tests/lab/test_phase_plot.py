"""The phase plot: what is drawn and said of momentum in one dimension."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tinygpt.lab.charts.phase_plot import FARTHEST, PhasePicture, last_seen
from tinygpt.lab.linear import critical_momentum, eigenvalues, limit, ride
from tinygpt.lab.widgets.phase_plot import PhasePlot
from tinygpt.lab.words import number

MOVES = {"product": 0.5, "momentum": 0.5, "nesterov": True, "step": 3}


@pytest.fixture(scope="module")
def figure() -> PhasePlot:
    return PhasePlot()


@pytest.fixture(autouse=True)
def as_at_first(figure: PhasePlot) -> None:
    figure.reset()


def told(figure: PhasePlot, product: float, momentum: float, nesterov: bool = False) -> str:
    with figure.one_run():
        figure.knobs["product"].value, figure.knobs["momentum"].value = product, momentum
        figure.knobs["nesterov"].value = nesterov
    return figure.caption


# --- the caption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("product", "momentum", "words"),
    [
        (0.1, 0.9, "swings"),
        (0.1, 0.2, "creeps in"),
        (0.25, 0.25, "The two are one"),
        (1.0, 0.0, "The two are one"),
        (1.9, 0.0, "changes sides with every step, and shrinks"),
        (3.8, 0.9, "neither grows nor shrinks"),
        (3.81, 0.9, "explodes"),
    ],
)
def test_the_caption_tells_what_the_eigenvalues_mean(
    figure: PhasePlot, product: float, momentum: float, words: str
) -> None:
    assert words in told(figure, product, momentum)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_caption_has_the_largest_modulus(figure: PhasePlot, nesterov: bool) -> None:
    size = number(np.abs(eigenvalues(1.0, 0.3, 0.8, nesterov)).max())
    assert f"modulus {size}." in told(figure, 0.3, 0.8, nesterov)


@pytest.mark.parametrize("nesterov", [False, True])
def test_the_caption_has_the_critical_momentum(figure: PhasePlot, nesterov: bool) -> None:
    assert f"= {number(critical_momentum(0.3, nesterov))}." in told(figure, 0.3, 0.8, nesterov)


@pytest.mark.parametrize("nesterov", [False, True])
def test_beyond_the_limit_the_caption_has_it(figure: PhasePlot, nesterov: bool) -> None:
    assert f"above the limit {number(limit(0.9, nesterov))}." in told(figure, 4.0, 0.9, nesterov)


def test_at_the_same_rate_nesterov_explodes_where_heavy_ball_does_not(figure: PhasePlot) -> None:
    assert ["explodes" in told(figure, 1.5, 0.9, nesterov) for nesterov in (False, True)] == [False, True]


@pytest.mark.parametrize("step", [0, 1, 42])
def test_the_caption_tells_where_the_walker_is(figure: PhasePlot, step: int) -> None:
    figure.knobs["step"].value = step
    assert f"w = {number(figure.ride.positions[step])} from 1" in figure.caption


@pytest.mark.parametrize("product", [0.01, 1.0, 4.2])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
@pytest.mark.parametrize("nesterov", [False, True])
def test_no_knob_leads_to_a_number_that_is_none(
    figure: PhasePlot, product: float, momentum: float, nesterov: bool
) -> None:
    assert re.search(r"nan|inf\b|Error", told(figure, product, momentum, nesterov)) is None


def test_what_explodes_is_shown_up_to_where_it_is_too_far() -> None:
    run = ride(1.0, 4.2, 0.5, steps=400)
    last = last_seen(run)
    assert abs(run.positions[last]) <= FARTHEST < abs(run.positions[last + 1])


# --- the figure -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOVES)
def test_every_knob_changes_the_picture_and_the_caption(figure: PhasePlot, name: str) -> None:
    before = figure.picture, figure.caption
    figure.knobs[name].value = MOVES[name]
    assert (figure.picture != before[0], figure.caption != before[1]) == (True, True)


def test_every_knob_has_a_move(figure: PhasePlot) -> None:
    assert set(MOVES) == set(figure.knobs)


def test_the_experiment_makes_the_same_figure(figure: PhasePlot) -> None:
    for name, value in MOVES.items():
        figure.knobs[name].value = value
    assert eval(figure.experiment, {"PhasePlot": PhasePlot}).caption == figure.caption


def test_a_notebook_keeps_picture_and_caption(figure: PhasePlot) -> None:
    bundle, _ = figure._repr_mimebundle_()
    assert (bundle["text/plain"], bundle["image/png"][:5]) == (figure.caption, "iVBOR")


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_eigenvalue_is_marked_where_it_is(theme: str, narrow: bool) -> None:
    scene = PhasePicture(theme, 1.0, narrow)
    marks = []
    scene.mark = lambda pixel, *rest, **more: marks.append(tuple(pixel))
    scene.draw(ride(1.0, 0.1, 0.9), 0.1, 0.9, False, 10)
    places = [scene.circle.transData.transform((s.real, s.imag)) for s in eigenvalues(1.0, 0.1, 0.9)]
    np.testing.assert_allclose(marks[-2:], places)


def test_one_beyond_the_panel_is_marked_at_its_edge() -> None:
    scene = PhasePicture()
    marks = []
    scene.mark = lambda pixel, *rest, **more: marks.append(tuple(pixel))
    scene.draw(ride(1.0, 4.2, 0.0), 4.2, 0.0, False, 10)
    left, bottom, right, top = scene.circle.bbox.extents
    assert all(left < x < right and bottom < y < top for x, y in marks[-2:])


def test_steps_must_be_some() -> None:
    with pytest.raises(ValueError, match="steps must be >= 1, got 0"):
        PhasePlot(steps=0)
