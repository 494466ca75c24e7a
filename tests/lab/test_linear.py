"""Linear theory: the matrix is the step, and its eigenvalues tell what becomes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygpt import SGD
from tinygpt.lab.descent import Walker
from tinygpt.lab.linear import (
    best_heavy_ball,
    best_learning_rate,
    contraction,
    critical_momentum,
    eigenvalues,
    limit,
    rate,
    ride,
    update_matrix,
)

ROUNDING = 1e-13  # of a handful of operations on numbers near one
EDGE = 1e-9  # how far from a border its two sides are looked at: far above rounding, far below anything else
MEETING = 1e-7  # where two roots meet a rounding of 1e-16 moves them by its root

kinds = pytest.mark.parametrize("nesterov", [False, True], ids=["heavy ball", "Nesterov"])
momenta = pytest.mark.parametrize("mu", [0.1, 0.5, 0.9, 0.99])
settings_of_sgd = given(
    h=st.floats(0.01, 10), lr=st.floats(0.001, 0.5), mu=st.floats(0.01, 0.99), nesterov=st.booleans()
)
quickly = settings(max_examples=50)


def test_plain_gradient_descent_contracts_by_one_minus_learning_rate_times_curvature() -> None:
    w = ride(3.0, 0.4, start=2.0, steps=20).positions
    np.testing.assert_allclose(w[1:], contraction(3.0, 0.4) * w[:-1], rtol=ROUNDING)


def test_at_one_over_the_curvature_one_step_arrives() -> None:
    assert ride(4.0, 0.25, start=3.0, steps=1).positions[1] == 0.0


# --- the matrix is the step -------------------------------------------------------------------------------------------


@quickly
@settings_of_sgd
def test_the_matrix_takes_each_step_of_sgd_to_the_next(h: float, lr: float, mu: float, nesterov: bool) -> None:
    run = ride(h, lr, mu, nesterov, steps=5)
    states = np.column_stack([run.positions, run.velocities])
    scale = np.abs(states).max()
    np.testing.assert_allclose(states[1:], states[:-1] @ update_matrix(h, lr, mu, nesterov).T, atol=ROUNDING * scale)


def test_a_ride_is_what_sgd_does_where_the_tape_gives_the_gradient() -> None:
    walker = Walker((1.0, 0.0))
    sgd, positions = SGD(walker, 0.3, momentum=0.8), [1.0]
    for _ in range(10):
        sgd.zero_grad()
        (1.5 * walker.position**2).sum().backward()
        sgd.update()
        positions.append(walker.position.data[0])
    np.testing.assert_allclose(ride(3.0, 0.3, 0.8, steps=10).positions, positions, rtol=ROUNDING)


def test_without_momentum_the_velocity_is_the_gradient() -> None:
    run = ride(3.0, 0.1, steps=5)
    np.testing.assert_allclose(run.velocities[1:], 3.0 * run.positions[:-1], rtol=ROUNDING)


@kinds
def test_without_momentum_nesterov_is_gradient_descent(nesterov: bool) -> None:
    np.testing.assert_array_equal(ride(3.0, 0.1, 0.0, nesterov).positions, ride(3.0, 0.1).positions)


def test_what_explodes_overflows_in_silence() -> None:
    assert not np.isfinite(ride(1.0, 100.0, 0.9, steps=500).positions[-1])


@kinds
def test_matrices_and_eigenvalues_broadcast(nesterov: bool) -> None:
    h, lr, mu = np.ones((4, 1)), np.ones(3), 0.5
    shapes = update_matrix(h, lr, mu, nesterov).shape, eigenvalues(h, lr, mu, nesterov).shape
    assert shapes == ((4, 3, 2, 2), (4, 3, 2))


# --- its eigenvalues --------------------------------------------------------------------------------------------------


@quickly
@settings_of_sgd
def test_the_eigenvalues_solve_the_matrix(h: float, lr: float, mu: float, nesterov: bool) -> None:
    matrix = update_matrix(h, lr, mu, nesterov)
    singular = [np.linalg.det(matrix - s * np.eye(2)) for s in eigenvalues(h, lr, mu, nesterov)]
    np.testing.assert_allclose(singular, 0, atol=1e3 * ROUNDING)  # entries up to 20, squared


@quickly
@settings_of_sgd
def test_the_rate_is_the_largest_eigenvalue_there_is(h: float, lr: float, mu: float, nesterov: bool) -> None:
    curvatures = np.array([h, 2 * h, 5 * h])
    largest = np.abs(eigenvalues(curvatures, lr, mu, nesterov)).max()
    assert rate(curvatures, lr, mu, nesterov) == pytest.approx(largest, rel=ROUNDING)


@momenta
def test_where_heavy_ball_swings_the_modulus_is_the_root_of_the_momentum(mu: float) -> None:
    products = np.linspace((1 - np.sqrt(mu)) ** 2, (1 + np.sqrt(mu)) ** 2, 21)[1:-1]
    np.testing.assert_allclose(np.abs(eigenvalues(1.0, products, mu)), np.sqrt(mu), rtol=ROUNDING)


def test_without_momentum_the_rate_is_the_contraction() -> None:
    lr = np.linspace(0, 3, 31)
    np.testing.assert_allclose(rate([1.0], lr), np.abs(contraction(1.0, lr)), atol=ROUNDING)


@pytest.mark.parametrize(("mu", "nesterov"), [(0.0, False), (0.6, False), (0.6, True)])
def test_in_the_long_run_a_step_shrinks_the_distance_by_the_rate(mu: float, nesterov: bool) -> None:
    run = ride(1.0, 0.02, mu, nesterov, steps=400)  # real eigenvalues: no swinging
    assert run.positions[-1] / run.positions[-2] == pytest.approx(rate([1.0], 0.02, mu, nesterov), rel=1e-9)


def test_the_rate_broadcasts_over_a_map_of_learning_rates_and_momenta() -> None:
    assert rate([1.0, 100.0], np.ones((5, 1)), np.ones(7)).shape == (5, 7)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_only_the_product_of_learning_rate_and_curvature_counts(scale: float) -> None:
    assert rate([scale, 9 * scale], 0.1 / scale, 0.7) == pytest.approx(rate([1.0, 9.0], 0.1, 0.7), rel=ROUNDING)


# --- borders ----------------------------------------------------------------------------------------------------------


def sides(border: float, h: float, mu: float, nesterov: bool = False) -> list[bool]:
    """Whether the rate is below 1 on this side of a border, and beyond it."""
    return [bool(rate([h], border * (1 + e) / h, mu, nesterov) < 1) for e in (-EDGE, EDGE)]


@kinds
@momenta
@pytest.mark.parametrize("h", [0.1, 30.0])
def test_the_limit_is_where_the_rate_crosses_one(h: float, mu: float, nesterov: bool) -> None:
    assert sides(limit(mu, nesterov), h, mu, nesterov) == [True, False]


def test_without_momentum_the_limit_is_two() -> None:
    assert (limit(), limit(0.0, True)) == (2, 2)


def test_momentum_widens_the_limit_of_heavy_ball_and_narrows_that_of_nesterov() -> None:
    mu = np.linspace(0, 1, 11)
    assert np.all(np.diff(limit(mu)) > 0)
    assert np.all(np.diff(limit(mu, True)) < 0)


@pytest.mark.parametrize("tau", [0.1, 0.5])
def test_dampening_is_a_smaller_learning_rate(tau: float) -> None:
    assert limit(0.9, dampening=tau) * (1 - tau) == pytest.approx(limit(0.9), rel=ROUNDING)


@kinds
@pytest.mark.parametrize("product", [0.01, 0.25, 0.9])
def test_at_the_critical_momentum_the_eigenvalues_meet(product: float, nesterov: bool) -> None:
    first, second = eigenvalues(1.0, product, critical_momentum(product, nesterov), nesterov)
    assert first == pytest.approx(second, abs=MEETING)


@kinds
@pytest.mark.parametrize("product", [0.01, 0.25, 0.9])
def test_beyond_the_critical_momentum_the_position_swings(product: float, nesterov: bool) -> None:
    mu = critical_momentum(product, nesterov)
    swings = [np.abs(eigenvalues(1.0, product, mu + e, nesterov).imag).max() > 0 for e in (-EDGE, EDGE)]
    assert swings == [False, True]


@kinds
@pytest.mark.parametrize("product", [0.01, 0.25, 0.9])
def test_no_momentum_is_quicker_than_the_critical_one(product: float, nesterov: bool) -> None:
    best = rate([1.0], product, critical_momentum(product, nesterov), nesterov)
    assert np.all(rate([1.0], product, np.linspace(0.001, 0.999, 999), nesterov) >= best - MEETING)


# --- the best ---------------------------------------------------------------------------------------------------------


def neighbours(best: Any) -> Any:
    return best * np.array([0.98, 0.999, 1.001, 1.02])


@pytest.mark.parametrize("kappa", [2.0, 100.0])
def test_no_learning_rate_is_better_than_the_best(kappa: float) -> None:
    h = np.array([1.0, kappa])
    assert np.all(rate(h, neighbours(best_learning_rate(h))) > rate(h, best_learning_rate(h)))


@pytest.mark.parametrize("kappa", [2.0, 100.0])
def test_the_best_rate_is_set_by_the_condition_number(kappa: float) -> None:
    h = 3 * np.array([1.0, kappa])
    assert rate(h, best_learning_rate(h)) == pytest.approx((kappa - 1) / (kappa + 1), rel=ROUNDING)


@pytest.mark.parametrize("kappa", [4.0, 100.0])
def test_no_neighbour_of_the_best_heavy_ball_is_better(kappa: float) -> None:
    h = np.array([1.0, kappa])
    lr, mu = best_heavy_ball(h)
    around = rate(h, neighbours(lr)[:, None], np.append(neighbours(mu), mu))
    assert np.all(around > rate(h, lr, mu))


@pytest.mark.parametrize("kappa", [4.0, 100.0])
def test_the_best_heavy_ball_feels_only_the_root_of_the_condition_number(kappa: float) -> None:
    h = 3 * np.array([1.0, kappa])
    root = np.sqrt(kappa)
    assert rate(h, *best_heavy_ball(h)) == pytest.approx((root - 1) / (root + 1), abs=MEETING)
