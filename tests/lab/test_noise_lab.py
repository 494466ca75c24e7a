"""The noise lab: every knob changes what is shown, and the caption says what the runs measured."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygpt.lab.charts.noise import noise_caption
from tinygpt.lab.noise import SCHEDULES, noisy_runs
from tinygpt.lab.widgets.noise_lab import NoiseLab

THREE_DIGITS = 0.006  # a number of three significant digits is off by half of its last one at most

TURNED: dict[str, Any] = {
    "learning_rate": 10.0**-1.5,
    "momentum": 0.5,
    "batch": 16,
    "schedule": "cosine",
    "tail": 0.2,
    "curvature": 10.0**0.5,
    "seed": 7,
}
EXTREMES: list[dict[str, Any]] = [
    {"learning_rate": 10.0},
    {"learning_rate": 10.0, "momentum": 0.99, "curvature": 10.0, "schedule": "1/t"},
    {"learning_rate": 1e-3, "curvature": 0.1, "batch": 256},
    {"learning_rate": 2.0},
    {"learning_rate": 10.0**0.5, "momentum": 0.9},
    {"momentum": 0.99, "tail": 1.0},
    {"tail": 0.01, "batch": 256},
]


def numbers(pattern: str, caption: str) -> list[float]:
    found = re.search(pattern, caption)
    assert found, caption
    return [float(text.replace("−", "-")) for text in found.groups()]


def caption(runs: Any, tail: float = 0.5) -> str:
    return noise_caption(runs, tail)


# --- the caption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "mu"), [(0.1, 0.0), (0.01, 0.9), (0.1, 0.9)])
def test_the_caption_gives_the_floor_measured_and_predicted(rate: float, mu: float) -> None:
    runs = noisy_runs(rate, mu)
    said = numbers(r"last 75 steps is (\S+), and the predicted floor (\S+), a ratio of ([\d.]+)\.", caption(runs))
    expected = [runs.measured, runs.predicted, runs.measured / runs.predicted]
    np.testing.assert_allclose(said, expected, rtol=THREE_DIGITS)


def test_the_caption_gives_what_averaging_gains() -> None:
    runs = noisy_runs()
    averaged = runs.averaged(0.5)[-1]
    said = numbers(r"mean square of (\S+), (\S+) times lower", caption(runs))
    np.testing.assert_allclose(said, [averaged, runs.measured / averaged], rtol=THREE_DIGITS)


def test_an_average_that_reaches_into_the_way_down_is_worse_and_said_to_be() -> None:
    assert "times higher: the way down is in it" in caption(noisy_runs(0.01), 1.0)


def test_without_a_floor_the_caption_names_the_limit() -> None:
    assert "There is no floor: λh = 2.4 reaches the limit 2(1 + μ) = 2," in caption(noisy_runs(0.8, curvature=3.0))


def test_runs_that_have_not_come_down_are_said_to_be_unsettled() -> None:
    verdicts = ["have not settled" in caption(noisy_runs(rate)) for rate in (0.001, 0.1)]
    assert verdicts == [True, False]


def test_with_momentum_the_caption_compares_two_ways() -> None:
    pattern = r"floor would be (\S+) at the same effective λ/\(1 − μ\) = (\S+), and (\S+) at the same λ"
    said = numbers(pattern, caption(noisy_runs(0.01, 0.9)))
    np.testing.assert_allclose(said, [0.1 / 1.9, 0.1, 0.01 / 1.99], rtol=THREE_DIGITS)


# --- the instrument ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made() -> NoiseLab:
    return NoiseLab()


@pytest.fixture
def lab(made: NoiseLab) -> Iterator[NoiseLab]:
    yield made
    made.view.theme, made.view.narrow = "light", False
    made.reset()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("values", EXTREMES)
def test_nothing_a_knob_says_breaks_the_figure(lab: NoiseLab, schedule: str, values: dict[str, Any]) -> None:
    with lab.one_run():
        for name, value in {"schedule": schedule, **values}.items():
            lab.knobs[name].value = value
    assert not re.search(r"\b(nan|inf)\b|Error", lab.caption), lab.caption


def test_there_is_a_knob_for_each_argument(lab: NoiseLab) -> None:
    assert set(lab.knobs) == set(TURNED)


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("narrow", [False, True])
def test_every_knob_changes_picture_and_caption(lab: NoiseLab, name: str, narrow: bool) -> None:
    lab.view.narrow = narrow
    before = lab.picture, lab.caption
    lab.knobs[name].value = TURNED[name]
    assert lab.picture != before[0]
    assert lab.caption != before[1]


@pytest.mark.parametrize("name", TURNED)
def test_a_knob_turned_is_an_argument_given(lab: NoiseLab, name: str) -> None:
    lab.knobs[name].value = TURNED[name]
    given = NoiseLab(**{name: TURNED[name]})
    assert (given.caption, given.picture) == (lab.caption, lab.picture)


def test_the_experiment_makes_the_figure_again(lab: NoiseLab) -> None:
    for name, value in TURNED.items():
        lab.knobs[name].value = value
    assert eval(lab.experiment, {"NoiseLab": NoiseLab}).caption == lab.caption


def test_averaging_another_tail_runs_nothing_again(lab: NoiseLab) -> None:
    runs = lab.runs
    lab.knobs["tail"].value = 0.2
    assert lab.runs is runs


def test_reset_takes_everything_back(lab: NoiseLab) -> None:
    before = lab.picture
    lab.knobs["batch"].value = 256
    lab.reset()
    assert lab.picture == before


def test_a_batch_that_is_no_power_of_two_has_its_place() -> None:
    assert NoiseLab(batch=100).knobs["batch"].value == 100


def test_a_schedule_nobody_knows_is_refused() -> None:
    with pytest.raises(ValueError, match="schedule must be one of constant, step decay, cosine, 1/t, got 'linear'"):
        NoiseLab(schedule="linear")


def test_what_is_stored_has_picture_and_caption(lab: NoiseLab) -> None:
    stored, _ = lab._repr_mimebundle_()
    assert stored["text/plain"] == lab.caption
    assert base64.b64decode(stored["image/png"]).startswith(b"\x89PNG")


def test_dark_and_light_are_two_pictures_of_the_same_words(lab: NoiseLab) -> None:
    light = lab.picture, lab.caption
    lab.view.theme = "dark"
    assert lab.picture != light[0]
    assert lab.caption == light[1]
