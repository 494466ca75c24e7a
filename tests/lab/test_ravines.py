"""Ravines: the same steps as on the surface, split along its axes, at the best learning rate of those tried."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from readers import Fragile, Normalised

from tinygpt import SGD, Adam, Optimizer, RMSProp
from tinygpt.lab.descent import descend
from tinygpt.lab.linear import best_learning_rate, contraction
from tinygpt.lab.ravines import arrival, hessian, roll, split_loss, tuned_rate
from tinygpt.lab.surfaces import quadratic

ROUNDING = 1e-12  # of sums and products, relative to the largest of them
TURNING = 1  # step by which a turned path may arrive earlier or later: rounding decides where it comes just below

RACERS: dict[str, Callable[..., Optimizer]] = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "RMSProp": RMSProp,
    "Adam": Adam,
}
racers = pytest.mark.parametrize("label", RACERS)
ravines = pytest.mark.parametrize(("kappa", "theta"), [(1.0, 0.0), (20.0, 30.0), (100.0, 90.0)])


def steps_at_best(label: str, kappa: float, theta: float) -> int:
    best = tuned_rate(kappa, theta, RACERS[label])
    taken = arrival(roll(kappa, theta, partial(RACERS[label], learning_rate=best)))
    assert taken is not None
    return taken


# --- the ravine -------------------------------------------------------------------------------------------------------


@ravines
def test_the_hessian_gives_the_slopes_of_the_surface(kappa: float, theta: float) -> None:
    points = np.random.default_rng(0).normal(size=(20, 2))
    _, slopes = quadratic(kappa, theta).slopes(points[:, 0], points[:, 1])
    np.testing.assert_allclose(points @ hessian(kappa, theta), slopes, atol=ROUNDING * 10 * kappa)


@ravines
def test_the_parts_of_a_loss_add_up_to_it(kappa: float, theta: float) -> None:
    points = np.random.default_rng(0).normal(size=(20, 2))
    losses = quadratic(kappa, theta).values(points[:, 0], points[:, 1])
    np.testing.assert_allclose(split_loss(points, kappa, theta).sum(axis=1), losses, rtol=ROUNDING)


def test_turning_the_ravine_with_its_start_leaves_the_parts_of_the_loss_alone() -> None:
    parts = [split_loss(np.array(quadratic(20.0, theta).start), 20.0, theta) for theta in (0.0, 30.0, 77.0)]
    np.testing.assert_allclose(parts[1:], [parts[0]] * 2, rtol=ROUNDING)


@pytest.mark.parametrize("theta", [0.0, 30.0])
def test_each_part_of_the_loss_contracts_by_itself(theta: float) -> None:
    parts = split_loss(roll(20.0, theta, partial(SGD, learning_rate=0.08), steps=10).points, 20.0, theta)
    factors = contraction(np.array([1.0, 20.0]), 0.08) ** 2
    np.testing.assert_allclose(parts[1:], factors * parts[:-1], rtol=1e-9)  # of losses 1e5 below the first


# --- rolling ----------------------------------------------------------------------------------------------------------


@racers
def test_a_roll_is_what_descend_does_on_the_surface(label: str) -> None:
    make = partial(RACERS[label], learning_rate=0.02)
    whole = descend(quadratic(20.0, 30.0), {label: make}, steps=30)[label]
    np.testing.assert_allclose(roll(20.0, 30.0, make, steps=30).points, whole.points, atol=1e-9)  # thirty roundings


@racers
def test_a_roll_ends_where_it_arrives(label: str) -> None:
    t = roll(20.0, 0.0, partial(RACERS[label], learning_rate=tuned_rate(20.0, 0.0, RACERS[label])))
    assert arrival(t) == len(t.losses) - 1


def test_a_roll_that_does_not_arrive_takes_all_its_steps() -> None:
    t = roll(20.0, 0.0, partial(SGD, learning_rate=1e-4), steps=50)
    assert (len(t.points), arrival(t), t.diverged_at) == (51, None, None)


def test_a_roll_that_leaves_the_map_has_diverged_there() -> None:
    t = roll(20.0, 0.0, partial(SGD, learning_rate=0.2))
    assert (len(t.points) - 1, arrival(t)) == (t.diverged_at, None)


def test_a_roll_that_overflows_has_diverged_in_silence() -> None:
    assert roll(1000.0, 0.0, partial(SGD, learning_rate=1e300)).diverged_at == 1


@pytest.mark.parametrize("label", ["SGD", "momentum"])
def test_turning_changes_nothing_for_gradient_descent(label: str) -> None:
    make = partial(RACERS[label], learning_rate=0.02)
    taken = [arrival(roll(20.0, theta, make)) or 0 for theta in (0.0, 20.0, 45.0)]
    assert max(taken) - min(taken) <= TURNING


# --- the best learning rate -------------------------------------------------------------------------------------------


@racers
@pytest.mark.parametrize("theta", [0.0, 45.0])
def test_no_rate_near_the_best_is_quicker(label: str, theta: float) -> None:
    best = tuned_rate(20.0, theta, RACERS[label])
    near = [roll(20.0, theta, partial(RACERS[label], learning_rate=best * 10 ** (k / 40))) for k in range(-8, 9)]
    taken = [arrival(t) for t in near]
    assert taken[8] == min(n for n in taken if n is not None)


def test_the_best_of_gradient_descent_is_near_what_theory_says() -> None:
    assert tuned_rate(50.0, 0.0, SGD) == pytest.approx(best_learning_rate([1, 50]), rel=0.06)  # one step of the search


def test_an_optimizer_that_is_not_elementwise_is_tried_one_rate_at_a_time() -> None:
    best = tuned_rate(20.0, 0.0, Normalised, steps=60)
    losses = {
        k: roll(20.0, 0.0, partial(Normalised, learning_rate=best * 10 ** (k / 5)), steps=60).losses[-1]
        for k in (-1, 0, 1)
    }
    assert min(losses, key=lambda k: losses[k]) == 0


def test_rates_at_which_a_readers_optimizer_fails_are_passed_over() -> None:
    assert arrival(roll(20.0, 0.0, partial(Fragile, learning_rate=tuned_rate(20.0, 0.0, Fragile)))) is not None


@pytest.mark.parametrize("theta", [0.0, 45.0])
def test_doubling_the_condition_number_doubles_the_steps_of_gradient_descent(theta: float) -> None:
    taken = [steps_at_best("SGD", kappa, theta) for kappa in (20.0, 40.0, 80.0)]
    np.testing.assert_allclose(np.divide(taken[1:], taken[:-1]), 2, atol=0.06)


def test_turning_takes_away_the_lead_of_rmsprop() -> None:
    straight, turned = (steps_at_best("SGD", 100.0, a) / steps_at_best("RMSProp", 100.0, a) for a in (0.0, 45.0))
    assert (straight > 50, turned < 1.5) == (True, True)


def test_nobody_has_arrived_on_a_path_that_is_lost() -> None:
    lost = roll(20.0, 0.0, partial(SGD, learning_rate=10.0))
    assert arrival(lost) is None


def test_a_run_makes_as_many_updates_as_steps() -> None:
    assert roll(20.0, 0.0, partial(SGD, learning_rate=1e-4), steps=10).optimizer.updates == 10
