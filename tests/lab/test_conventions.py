"""Conventions: every algorithm walks as its fixture says, and two of one name part where they are said to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygpt import SGD, Adam
from tinygpt.lab.charts.conventions import conventions_caption
from tinygpt.lab.conventions import CONVENTIONS, PROBLEMS, SETTINGS, TOO_FAR, EpsilonHat, compare, follow
from tinygpt.lab.failure import feed
from tinygpt.lab.widgets.conventions_lab import Conventions

ROUNDING = 1e-12  # sixty steps of some ten roundings each
FIXTURE = 5e-7  # six digits are printed
THREE = "1, .5, −.25, again and again"
NO_EPS, HALF = {"eps": 1e-8}, {"eps": 1e-8, "beta2": 0.5}

OUTSIDE, INSIDE = "momentum, λ outside v", "momentum, λ inside v"

ROWS: list[tuple[str, Mapping[str, float], tuple[float, ...]]] = [  # w₁ w₂ w₃ from 1, with g = 1, .5, −.25 and λ = .1
    (OUTSIDE, {"momentum": 0.0}, (0.9, 0.85, 0.875)),
    ("SGD + L2", {}, (0.89, 0.8311, 0.847789)),
    (OUTSIDE, {}, (0.9, 0.76, 0.659)),
    (INSIDE, {}, (0.9, 0.76, 0.659)),
    ("momentum, dampened from step 2", {}, (0.9, 0.765, 0.666)),
    ("momentum, dampened from step 1", {}, (0.91, 0.784, 0.6931)),
    ("Nesterov, λ outside v", {}, (0.81, 0.634, 0.5681)),
    ("Nesterov, λ inside v", {}, (0.81, 0.634, 0.5681)),
    ("Adam", NO_EPS, (0.9, 0.806782, 0.750416)),
    ("Adam, not corrected", NO_EPS, (0.683772, 0.287634, 0.00860859)),
    ("Adam", {}, (0.909091, 0.826342, 0.77738)),
    ("Adam, ε-hat", {}, (0.975975, 0.951633, 0.936652)),
    ("Adam, ε inside the root", {}, (0.904654, 0.818105, 0.767255)),
    ("Adam + L2", NO_EPS, (0.9, 0.805772, 0.742195)),
    ("AdamW", NO_EPS, (0.89, 0.787882, 0.723637)),
    ("Adam", HALF, (0.9, 0.795795, 0.721256)),
    ("AMSGrad, max(v)", HALF, (0.9, 0.809756, 0.760453)),
    ("AMSGrad, max(v̂)", HALF, (0.9, 0.826316, 0.789046)),
]


@pytest.mark.parametrize(("name", "settings", "expected"), ROWS, ids=[f"{n} {dict(s) or ''}" for n, s, _ in ROWS])
def test_the_first_three_weights_are_those_of_the_fixture(
    name: str, settings: Mapping[str, float], expected: tuple[float, ...]
) -> None:
    np.testing.assert_allclose(follow(name, THREE, 0.1, 3, settings)[1:], expected, atol=FIXTURE)


def test_every_convention_has_a_row() -> None:
    assert {name for name, _, _ in ROWS} == set(CONVENTIONS)


def test_every_convention_says_who_uses_it_and_where_that_is_written() -> None:
    assert [name for name, found in CONVENTIONS.items() if not (found.used_by and "https://" in found.source)] == []


@pytest.mark.parametrize("name", CONVENTIONS)
def test_a_convention_heeds_every_setting_that_it_takes(name: str) -> None:
    usual = follow(name, "noisy parabola", 0.1, 9, SETTINGS)
    other = {key: follow(name, "noisy parabola", 0.1, 9, {key: value / 2}) for key, value in SETTINGS.items()}
    assert {key for key, path in other.items() if not np.array_equal(path, usual)} == set(CONVENTIONS[name].takes)


def test_the_settings_are_those_that_are_taken() -> None:
    assert {key for found in CONVENTIONS.values() for key in found.takes} == set(SETTINGS)


# --- two at a time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair", [(OUTSIDE, INSIDE), ("Nesterov, λ outside v", "Nesterov, λ inside v")], ids=str)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_where_the_rate_stands_is_the_same_until_it_changes(pair: tuple[str, str], problem: str) -> None:
    found = compare(*pair, problem=problem, learning_rate=0.05, drop_at=20)
    assert found.gap[:21].max() < ROUNDING < 1e-4 < found.gap[22]


def test_the_gap_after_a_drop_at_step_twenty_is_what_lesson_thirteen_says() -> None:
    assert compare(OUTSIDE, INSIDE).gap.max() == pytest.approx(0.0789, abs=5e-5)


def test_without_a_drop_it_never_matters() -> None:
    assert compare(OUTSIDE, INSIDE, drop=1.0).gap.max() < ROUNDING


@pytest.mark.parametrize("problem", PROBLEMS)
def test_nothing_differs_from_itself(problem: str) -> None:
    assert compare("Adam", "Adam", problem).gap.max() == 0


def test_epsilon_hat_is_epsilon_times_the_root_of_the_correction() -> None:
    makers = (partial(Adam, eps=0.1), partial(EpsilonHat, eps=0.1 * np.sqrt(1 - 0.999)))
    (_, usual), (_, hat) = ([w for w, _ in feed(make, 0.0, lambda *_: 0.3, 1)] for make in makers)
    assert hat == pytest.approx(usual, rel=ROUNDING)


def test_the_distance_in_a_ravine_is_the_straight_one() -> None:
    found = compare(OUTSIDE, INSIDE, "ravine")
    np.testing.assert_allclose(found.gap, np.linalg.norm(found.left - found.right, axis=1), rtol=ROUNDING)


def test_a_path_that_diverges_is_cut() -> None:
    path = follow(OUTSIDE, "parabola, g = w", 10.0)
    assert (np.isnan(path[-1]), np.nanmax(np.abs(path)) <= TOO_FAR) == (True, True)


def test_a_path_is_that_of_the_class_alone() -> None:
    expected = [w for w, _ in feed(partial(SGD, learning_rate=0.1, momentum=0.9), 1.0, lambda _, w: w, 60)]
    np.testing.assert_array_equal(follow(OUTSIDE, "parabola, g = w"), expected)


@pytest.mark.parametrize("names", [("Adamm", "Adam"), ("Adam", "Adam", "hill")])
def test_a_name_that_nobody_has_is_refused(names: Any) -> None:
    with pytest.raises(ValueError, match="choose one of"):
        compare(*names)


# --- words and pointer ------------------------------------------------------------------------------------------------


def said(left: str, right: str, problem: str = "parabola, g = w", rate: float = 0.1) -> str:
    found = compare(left, right, problem, rate)
    return conventions_caption(found, (left, right), problem, rate, (20, 0.1), 60)


def test_the_caption_says_where_two_part_and_how_far() -> None:
    assert "the same up to step 20; the distance is 0.0142 at step 21 and at most 0.0789, at step 32" in said(
        OUTSIDE, INSIDE
    )


def test_the_caption_says_where_two_are_the_same() -> None:
    assert "The two are the same" in said("Adam", "Adam")


def test_the_caption_says_who_calls_it_so() -> None:
    assert "(Keras, Sutskever et al. 2013)" in said(OUTSIDE, INSIDE)


def test_the_caption_says_who_diverged_and_when() -> None:
    assert f"{OUTSIDE} diverged at step 3." in said(OUTSIDE, "Adam", rate=10.0)


@pytest.mark.parametrize("rate", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("problem", PROBLEMS)
def test_no_caption_has_a_number_that_is_none(problem: str, rate: float) -> None:
    assert "nan" not in said(OUTSIDE, "Adam", problem, rate)


def test_a_click_in_the_strip_moves_the_drop() -> None:
    lab = Conventions()
    scene = lab.make_scene("light", 1.0, False)
    left, bottom, width, height = scene.strip.box
    lab.pointed(scene, left + width / 2, scene.height - bottom - height / 2)
    assert lab.knobs["drop_at"].value == 30


def test_only_knobs_that_one_of_the_two_has_are_shown() -> None:
    lab = Conventions(left="Adam", right="AdamW")
    assert {name for name in SETTINGS if lab.knobs[name].layout.display != "none"} == {"beta2", "eps", "weight_decay"}


def test_a_misspelt_setting_is_refused() -> None:
    with pytest.raises(TypeError, match=r"settings must be among momentum, .*, got wieght_decay"):
        compare("SGD + L2", "AdamW", wieght_decay=0.9)
