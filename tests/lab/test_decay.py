"""Decay: L2 in the gradient and decoupled decay agree under SGD, and part under Adam."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tinygpt.lab.charts.curves import limits
from tinygpt.lab.charts.decay import DecayPicture, decay_caption
from tinygpt.lab.decay import DECAYS, RULES, START, decay
from tinygpt.lab.widgets.decay_lab import DecayLab
from tinygpt.lab.words import short

ROUNDING = 1e-12  # a hundred steps of some ten roundings each
ALIKE = 1e-3  # the decay is far above Adam's ε from 1e-4 on, not infinitely far

every_decay = pytest.mark.parametrize("weight_decay", [1e-4, 0.01, 1.0])


@every_decay
@pytest.mark.parametrize("label", ["AdamW", "SGD + L2"])
def test_decoupled_decay_shrinks_an_idle_weight_by_one_factor_a_step(label: str, weight_decay: float) -> None:
    found = decay(weight_decay, learning_rate=0.01, steps=100)[label]
    np.testing.assert_allclose(found.idle, START * (1 - 0.01 * weight_decay) ** np.arange(101), rtol=ROUNDING)


@every_decay
def test_under_adam_with_l2_an_idle_weight_shrinks_alike_for_every_decay(weight_decay: float) -> None:
    assert decay(weight_decay)["Adam + L2"].idle[-1] == pytest.approx(1.0984, abs=ALIKE)


def test_an_idle_weight_under_adam_with_l2_takes_a_first_step_of_the_learning_rate() -> None:
    assert decay(0.1, learning_rate=0.03)["Adam + L2"].idle[1] == pytest.approx(START - 0.03, abs=1e-6)


def test_what_decay_leaves_of_an_idle_weight_is_what_lesson_eight_says() -> None:
    left = [decay(weight_decay)["AdamW"].idle[-1] for weight_decay in (1e-4, 0.01, 1.0)]
    assert left == pytest.approx([1.9998, 1.9801, 0.7321], abs=5e-5)


def test_adamw_does_not_ask_how_loud_the_gradients_are() -> None:
    quiet, loud = (decay(size=size)["AdamW"].busy for size in (1.0, 100.0))
    np.testing.assert_allclose(quiet, loud, atol=1e-6)  # ε is 1e-8 of the smaller size


def test_under_adam_with_l2_the_louder_weight_decays_less() -> None:
    ends = [decay(0.1, size=size)["Adam + L2"].busy[-1] for size in (0.01, 0.1, 1.0, 10.0)]
    assert ends == sorted(ends)


@pytest.mark.parametrize("label", RULES)
def test_without_decay_an_idle_weight_rests(label: str) -> None:
    np.testing.assert_array_equal(decay(0.0)[label].idle, START)


@pytest.mark.parametrize("label", RULES)
def test_the_sweep_ends_where_runs_of_their_own_end(label: str) -> None:
    alone = [decay(weight_decay, steps=20)[label].idle[-1] / START for weight_decay in DECAYS[::8]]
    np.testing.assert_allclose(decay(steps=20)[label].idle_left[::8], alone, rtol=ROUNDING)


@pytest.mark.parametrize("wrong", [{"size": -1.0}, {"steps": -1}, {"size": np.nan}, {"weight_decay": -1.0}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be >= 0"):
        decay(**wrong)


# --- the picture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [[0.0, 2.0], [-30.0, 17.0], [1e-7], [5.0, 5.0], [0.0], [0.1, 0.3], [1e6, -1e6], []])
def test_limits_hold_all_values_between_at_most_seven_ticks(values: list[float]) -> None:
    low, high, unit = limits([np.array(values)])
    assert all(low - 1e-6 * unit <= value <= high + 1e-6 * unit for value in values)
    assert 0 < round((high - low) / unit) < 7


@pytest.mark.parametrize(
    ("value", "words"),
    [(1000.0, "1000"), (-0.5, "−0.5"), (0.98765, "0.988"), (1e-5, "1e−5"), (1e-15, "0"), (2e7, "2e7")],
)
def test_numbers_are_written_as_a_person_would(value: float, words: str) -> None:
    assert short(value) == words


def test_a_number_that_is_none_is_not_written_as_one() -> None:
    assert "nan" not in short(np.nan)


def test_the_caption_has_the_weights_of_the_step_shown() -> None:
    runs = decay(0.3, 0.02, 5.0)
    found = re.findall(r"busy ([\d.]+), idle ([\d.]+)", decay_caption(runs, 0.3, 0.02, 5.0, 40))
    assert found == [(short(run.busy[40]), short(run.idle[40])) for run in runs.values()]


def test_the_caption_says_whose_end_no_decay_changes() -> None:
    sentences = decay_caption(decay(), 0.1, 0.01, 10.0, 100).split(". ")
    assert [s.partition(":")[0] for s in sentences if "keeps 55 %, whatever the decay" in s] == ["Adam + L2"]


def test_a_click_in_the_right_panel_sets_the_nearest_decay() -> None:
    lab = DecayLab()
    scene = lab.make_scene("light", 1.0, False)
    left, bottom, width, height = scene.left.box
    lab.pointed(scene, left + width / 4, scene.height - bottom - height / 2)
    assert lab.knobs["weight_decay"].value == pytest.approx(1e-3)


def test_a_click_elsewhere_sets_nothing() -> None:
    assert DecayPicture().decay_at(5, 5) is None
