"""Noise: runs end on the floor that linear algebra predicts, batches divide it, and tail averages go below it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from tinygpt.lab.linear import update_matrix
from tinygpt.lab.noise import SCHEDULES, averaging_floor, noise_floor, noisy_runs, tail_averages

SAMPLING = 0.08  # 2000 runs: the mean of a χ² of one degree is known to √(2/2000) = 3 %, and this is 2.5 of those
LONG_RUNS = 0.03  # 2000 runs, and a quarter of 2000 steps that forget each other within some 10
ROUNDING = 1e-9  # of a linear system of three unknowns

stable_settings = pytest.mark.parametrize(
    ("rate", "mu", "h", "variance"),
    [(0.1, 0.0, 1.0, 1.0), (0.01, 0.9, 1.0, 1.0), (0.1, 0.9, 1.0, 1.0), (0.3, 0.5, 5.0, 0.25), (1.9, 0.0, 1.0, 4.0)],
)


def moments(rate: float, mu: float, h: float, variance: float) -> tuple[Any, Any]:
    """The matrix that acts on the covariance of (w, v), flattened, at each step, and what the noise adds to it.

    v = μv + hw + n and w = w − λv: noise n enters as (−λ, 1) n.
    """
    matrix, enters = update_matrix(h, rate, mu), np.array([-rate, 1.0])
    return np.kron(matrix, matrix), variance * np.kron(enters, enters)


# --- the floor --------------------------------------------------------------------------------------------------------


@stable_settings
def test_the_floor_is_the_fixed_point_of_the_covariance(rate: float, mu: float, h: float, variance: float) -> None:
    forgets, adds = moments(rate, mu, h, variance)
    covariance = np.linalg.solve(np.eye(4) - forgets, adds)
    assert noise_floor(rate, mu, h, variance) == pytest.approx(covariance[0], rel=ROUNDING)


@pytest.mark.parametrize(("rate", "mu"), [(0.1, 0.0), (0.01, 0.9), (0.1, 0.9), (0.5, 0.5)])
def test_runs_settle_on_the_predicted_floor(rate: float, mu: float) -> None:
    runs = noisy_runs(rate, mu, steps=2000, runs=2000)
    assert runs.measured == pytest.approx(runs.predicted, rel=LONG_RUNS)


def test_at_equal_effective_rate_momentum_has_nearly_the_same_floor() -> None:
    assert noise_floor(0.01, 0.9) == pytest.approx(noise_floor(0.1, 0.0), rel=0.05)  # .0501 and .0526


def test_at_the_same_rate_momentum_has_ten_times_the_floor() -> None:
    assert noise_floor(0.1, 0.9) == pytest.approx(10 * noise_floor(0.1, 0.0), rel=0.05)  # .5135 and .0526


def test_small_rates_have_floors_in_proportion() -> None:
    assert noise_floor(1e-6, 0.5) == pytest.approx(10 * noise_floor(1e-7, 0.5), rel=1e-5)


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
def test_the_floor_is_finite_up_to_the_limit_and_not_beyond(mu: float) -> None:
    floors = noise_floor(2 * (1 + mu) * np.array([0.999, 1.0, 1.001]), mu)
    assert np.isfinite(floors).tolist() == [True, False, False]


def test_beyond_the_limit_runs_grow_without_end() -> None:
    runs = noisy_runs(2.2)
    assert np.all(runs.squares[200:] > 1e6)
    assert runs.predicted == np.inf


def test_an_overflow_is_no_error() -> None:
    assert not np.isfinite(noisy_runs(100.0, 0.9).measured)


# --- the way there ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "mu"), list(itertools.product(SCHEDULES, [0.0, 0.9])))
def test_the_mean_of_the_runs_follows_the_covariance_under_every_schedule(name: str, mu: float) -> None:
    runs = noisy_runs(SCHEDULES[name](0.1, 100), mu, steps=100, runs=2000)
    state, expected = np.array([9.0, 0.0, 0.0, 0.0]), [9.0]  # w = 3, v = 0
    for rate in runs.rates:
        forgets, adds = moments(rate, mu, 1.0, 1.0)
        state = forgets @ state + adds
        expected.append(state[0])
    np.testing.assert_allclose(runs.squares[::10], expected[::10], rtol=2 * SAMPLING)  # of 80 values some are 4 σ off


def test_without_noise_each_step_contracts_by_one_minus_rate_times_curvature() -> None:
    runs = noisy_runs(0.1, curvature=3.0, noise=0.0, steps=20, runs=2)
    np.testing.assert_allclose(runs.weights[:, 0], 3 * 0.7 ** np.arange(21), rtol=ROUNDING)


@pytest.mark.parametrize("mu", [0.0, 0.9])
def test_four_times_the_batch_halves_what_the_noise_does(mu: float) -> None:
    one, four = (noisy_runs(0.1, mu, batch, start=0.0).weights for batch in (1, 4))
    np.testing.assert_array_equal(four, one / 2)  # powers of two: not a bit is lost


def test_the_floors_are_those_of_each_steps_rate() -> None:
    runs = noisy_runs(SCHEDULES["cosine"](0.1, 50), 0.5, batch=8, curvature=2.0, steps=50)
    np.testing.assert_array_equal(runs.floors, noise_floor(runs.rates, 0.5, 2.0, 1 / 8))


def test_a_falling_rate_ends_below_the_floor_of_the_first() -> None:
    ends = {name: noisy_runs(make(0.1, 300)).measured for name, make in SCHEDULES.items()}
    assert all(5 * end < ends["constant"] for name, end in ends.items() if name != "constant")


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_begins_at_its_rate_and_never_grows(name: str) -> None:
    rates = noisy_runs(SCHEDULES[name](0.1, 60), steps=60, runs=1).rates
    assert rates[0] == 0.1
    assert np.all(np.diff(rates) <= 0)


def test_the_seed_makes_the_runs() -> None:
    first, again, other = (noisy_runs(seed=seed, steps=5).weights for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.any(first[1:] == other[1:])


# --- tail averaging ---------------------------------------------------------------------------------------------------


def test_the_tail_average_is_the_mean_of_the_last_weights() -> None:
    weights = np.random.default_rng(0).standard_normal((10, 3))
    np.testing.assert_allclose(tail_averages(weights, 0.4)[-1], weights[6:].mean(axis=0), rtol=ROUNDING)


def test_the_tail_so_far_begins_at_its_first_weight() -> None:
    weights = np.random.default_rng(0).standard_normal((10, 3))
    np.testing.assert_array_equal(tail_averages(weights, 1.0)[0], weights[0])


def test_the_shortest_tail_is_the_last_weight() -> None:
    runs = noisy_runs(steps=30)
    assert runs.averaged(1e-6).tolist() == [runs.squares[-1]]


@pytest.mark.parametrize(("rate", "mu"), [(0.1, 0.0), (0.01, 0.9), (0.1, 0.9)])
def test_a_long_averages_floor_knows_neither_rate_nor_momentum(rate: float, mu: float) -> None:
    runs = noisy_runs(rate, mu, batch=4, curvature=2.0, steps=2000, runs=2000)
    assert runs.averaged(0.5)[-1] == pytest.approx(averaging_floor(1000, 2.0, 1 / 4), rel=SAMPLING)


@pytest.mark.parametrize("fraction", [0.0, -0.5, 1.5])
def test_a_tail_is_a_part_of_the_run(fraction: float) -> None:
    with pytest.raises(ValueError, match=r"fraction must be in \(0, 1\], got"):
        tail_averages(np.zeros((3, 1)), fraction)


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"steps": 0}, {"runs": 0}, {"curvature": 0.0}])
def test_what_makes_no_experiment_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be"):
        noisy_runs(**wrong)
