"""Laws of the schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygpt import schedules

ROUNDING = 1e-12  # float64 keeps sixteen digits; another order of the same products loses two or three
START = 0.3

FROM_START = {
    "exponential": schedules.exponential(START, 0.9),
    "steps": schedules.steps(START, 0.5, 10),
    "inverse": schedules.inverse(START, 20.0),
    "cosine": schedules.cosine(START, 50),
    "cosine to an end": schedules.cosine(START, 50, 0.1),
    "warm-up of one": schedules.warmup(START, 1),
}


def rates(schedule: schedules.Schedule, count: int = 100) -> np.ndarray:
    return np.array([schedule(n) for n in range(count)])


def close(expected: object) -> object:
    return pytest.approx(expected, rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("name", FROM_START)
def test_a_schedule_begins_at_its_start(name: str) -> None:
    assert FROM_START[name](0) == close(START)


@pytest.mark.parametrize("name", FROM_START)
def test_a_schedule_falls_or_stays_and_is_never_negative(name: str) -> None:
    path = rates(FROM_START[name]).tolist()
    assert [*path, 0.0] == sorted([*path, 0.0], reverse=True)


@pytest.mark.parametrize("name", FROM_START)
def test_a_schedule_remembers_nothing(name: str) -> None:
    schedule = FROM_START[name]
    assert [schedule(n) for n in (7, 3, 7)] == [schedule(7), schedule(3), schedule(7)]


def test_an_exponential_falls_by_the_same_factor_at_every_update() -> None:
    path = rates(schedules.exponential(START, 0.9))
    assert path[1:] / path[:-1] == close(np.full(99, 0.9))


def test_steps_stay_for_as_many_updates_as_they_say() -> None:
    assert rates(schedules.steps(8.0, 0.5, 3), 9).tolist() == [8, 8, 8, 4, 4, 4, 2, 2, 2]


def test_steps_of_one_update_are_an_exponential() -> None:
    assert rates(schedules.steps(START, 0.9, 1)) == close(rates(schedules.exponential(START, 0.9)))


def test_an_inverse_has_halved_at_its_half_life() -> None:
    assert schedules.inverse(START, 20)(20) == START / 2


def test_the_reciprocal_of_an_inverse_grows_by_equal_steps() -> None:
    assert np.diff(1 / rates(schedules.inverse(START, 20))) == close(np.full(99, 1 / (START * 20)))


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_a_cosine_stays_at_its_end(end: float) -> None:
    schedule = schedules.cosine(START, 50, end)
    assert [schedule(n) for n in (50, 51, 5000)] == [end] * 3


@pytest.mark.parametrize("end", [0.0, 0.1])
def test_a_cosine_falls_as_much_before_its_middle_as_after(end: float) -> None:
    path = rates(schedules.cosine(START, 50, end), 51)
    assert path + path[::-1] == close(np.full(51, START + end))


def test_a_cosine_falls_fastest_in_its_middle() -> None:
    falls = -np.diff(rates(schedules.cosine(START, 50), 51))
    assert set(np.flatnonzero(falls >= falls.max() * (1 - ROUNDING))) <= {24, 25}


def test_a_warm_up_rises_by_equal_steps() -> None:
    assert rates(schedules.warmup(1.0, 4), 6).tolist() == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_after_its_warm_up_a_schedule_is_itself() -> None:
    schedule = schedules.cosine(START, 50)
    assert rates(schedules.warmup(schedule, 10))[9:].tolist() == rates(schedule)[9:].tolist()


def test_a_warm_up_multiplies_its_schedule() -> None:
    path, warmed = (rates(s, 10) for s in (FROM_START["inverse"], schedules.warmup(FROM_START["inverse"], 10)))
    assert warmed == close(path * np.arange(1, 11) / 10)


LENGTHS = [
    ("every", lambda length: schedules.steps(START, 0.5, every=length)),
    ("half_life", lambda length: schedules.inverse(START, half_life=length)),
    ("length", lambda length: schedules.cosine(START, length=length)),
    ("length", lambda length: schedules.warmup(START, length=length)),
]


@pytest.mark.parametrize("length", [0, -1, float("nan")])
@pytest.mark.parametrize(("name", "make"), LENGTHS)
def test_a_length_is_positive(name: str, make: Callable[[float], Any], length: float) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be > 0, got {length}$"):
        make(length)
