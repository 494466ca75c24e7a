"""Descent: a walk is what a hand-written loop walks, alone or in company, and is cut where it leaves the map."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from optimizer_cases import CLASSES
from readers import Drift, Fragile, Normalised, Scaled, Sign

from tinygpt import SGD, Adam, Module, Optimizer
from tinygpt.lab.descent import Trajectory, Walker, descend, instability, tuned_learning_rate
from tinygpt.lab.surfaces import SURFACES, Surface, quadratic

PATH_ROUNDING = 1e-12  # 200 steps of some ten roundings each, in a contraction
LIMIT_MARGIN = 0.02  # this far to either side of a stability limit, 400 steps show who wins
CURVATURE_TOLERANCE = 1e-6  # curvatures are measured by differences of slopes

RACERS: dict[str, Any] = {
    **{name: partial(found, learning_rate=0.002) for name, found in CLASSES.items()},
    "momentum": partial(SGD, learning_rate=0.001, momentum=0.9, weight_decay=0.1, dampening=0.1),
    "Nesterov": partial(SGD, learning_rate=0.001, momentum=0.9, nesterov=True),
    "Sign": Sign,
    "Normalised": Normalised,
    "Scaled": partial(Scaled, learning_rate=1e-4),
}
POLYNOMIALS = ("quadratic", "rosenbrock", "himmelblau", "booth", "matyas", "six_hump_camel")  # of + − × alone
every_racer = pytest.mark.parametrize("label", RACERS)
every_polynomial = pytest.mark.parametrize("name", POLYNOMIALS)


def by_hand(surface: Surface, make: Any, steps: int) -> tuple[Any, Any]:
    """The points and losses of a loop as a lesson writes it."""
    walker = Walker(surface.start)
    optimizer = make(walker)
    points, losses = [], []
    for step in range(steps + 1):
        loss = surface.loss(walker.position[0], walker.position[1])
        points.append(np.copy(walker.position.data))
        losses.append(loss.item())
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.update()
    return np.array(points), np.array(losses)


def alone(surface: Any, make: Any, **options: Any) -> Trajectory:
    return descend(surface, {"it": make}, **options)["it"]


# --- the walk ---------------------------------------------------------------------------------------------------------


@every_racer
@every_polynomial
def test_a_walk_is_that_of_a_loop_written_by_hand(name: str, label: str) -> None:
    found = alone(name, RACERS[label], steps=60)
    points, losses = by_hand(SURFACES[name], RACERS[label], 60)
    np.testing.assert_array_equal(found.points, points)
    np.testing.assert_array_equal(found.losses, losses)


@every_polynomial
def test_racing_together_is_racing_alone_bit_for_bit(name: str) -> None:
    together = descend(name, RACERS, steps=60)
    for label, make in RACERS.items():
        np.testing.assert_array_equal(together[label].points, alone(name, make, steps=60).points)


def test_one_that_leaves_the_map_does_not_disturb_the_others() -> None:
    makers = {"wild": Drift, "calm": RACERS["Adam"]}
    together = descend("rosenbrock", makers, steps=60)
    np.testing.assert_array_equal(together["calm"].points, alone("rosenbrock", RACERS["Adam"], steps=60).points)


@pytest.mark.parametrize("name", SURFACES)
def test_the_losses_are_the_surfaces_at_the_points(name: str) -> None:
    walk = alone(name, partial(Adam, learning_rate=0.1), steps=50)
    np.testing.assert_allclose(walk.losses, SURFACES[name].values(*walk.points.T), rtol=PATH_ROUNDING)


@pytest.mark.parametrize("rate", [0.01, 0.15, 0.19])
def test_gradient_descent_contracts_each_axis_by_one_minus_rate_times_curvature(rate: float) -> None:
    surface = quadratic(10)
    walk = alone(surface, partial(SGD, learning_rate=rate), steps=100)
    factors = 1 - rate * np.array([1, 10])
    expected = np.array(surface.start) * factors ** np.arange(101)[:, None]
    np.testing.assert_allclose(walk.points, expected, rtol=PATH_ROUNDING)


@pytest.mark.parametrize("theta", [15, 45, 100])
def test_gradient_descent_does_not_feel_how_the_ravine_is_turned(theta: float) -> None:
    turned = alone(quadratic(10, theta), partial(SGD, learning_rate=0.05)).losses
    np.testing.assert_allclose(turned, alone(quadratic(10), partial(SGD, learning_rate=0.05)).losses, rtol=1e-9)


def test_shapes_are_those_of_the_contract() -> None:
    walk = alone("booth", Adam, steps=7)
    assert (walk.points.shape, walk.losses.shape, walk.diverged_at) == ((8, 2), (8,), None)


def test_no_steps_leave_the_start() -> None:
    walk = alone("booth", Adam, start=(1, 2), steps=0)
    assert (walk.points.tolist(), walk.losses.tolist()) == ([[1, 2]], [4 + 1])


def test_labels_keep_their_order() -> None:
    assert list(descend("booth", dict.fromkeys("zebra", Adam), steps=1)) == list(dict.fromkeys("zebra"))


def test_nobody_racing_is_no_trajectory() -> None:
    assert descend("booth", {}) == {}


def test_without_a_start_the_surfaces_own_is_taken() -> None:
    assert tuple(alone("beale", Adam, steps=1).points[0]) == SURFACES["beale"].start


def test_the_start_given_is_copied() -> None:
    start = np.array([1.0, 2.0])
    walk = alone("booth", partial(SGD, learning_rate=0.1), start=start, steps=1)
    start[:] = 9
    assert walk.points[0].tolist() == [1, 2]


def test_a_trajectory_never_changes_afterwards() -> None:
    walks = descend("rosenbrock", RACERS, steps=20)
    before = {label: (walk.points.copy(), walk.losses.copy()) for label, walk in walks.items()}
    for walk in walks.values():
        walk.optimizer.module.position.grad = np.ones(2)
        walk.optimizer.update()
    descend("rosenbrock", RACERS, steps=20)
    for label, walk in walks.items():
        np.testing.assert_array_equal(walk.points, before[label][0])
        np.testing.assert_array_equal(walk.losses, before[label][1])


def test_a_trajectory_keeps_the_optimizer_as_the_walk_left_it() -> None:
    walk = alone("booth", Adam, steps=9)
    assert (walk.optimizer.updates, walk.optimizer.state["position"]["t"]) == (9, 9)


def test_each_walks_a_module_of_its_own() -> None:
    walks = descend("booth", {"one": Adam, "two": Adam}, steps=3)
    assert walks["one"].optimizer.module is not walks["two"].optimizer.module


def test_any_function_that_makes_an_optimizer_races() -> None:
    made = descend("booth", {"made": lambda module: SGD(module, 0.01)}, steps=9)["made"]
    np.testing.assert_array_equal(made.points, alone("booth", partial(SGD, learning_rate=0.01), steps=9).points)


def test_a_readers_function_of_x_and_y_is_walked_on() -> None:
    walk = alone(lambda x, y: np.cos(x) * y + y**2, partial(SGD, learning_rate=0.1), start=(0.0, 1.0), steps=1)
    assert walk.points[1].tolist() == pytest.approx([0.0, 1 - 0.1 * 3], rel=PATH_ROUNDING)


@pytest.mark.parametrize("loss", [lambda x, y: 3.0, lambda x, y: x * 0], ids=["number", "tensor"])
def test_on_a_plain_without_slope_gradient_descent_stays(loss: Any) -> None:
    walk = alone(loss, partial(SGD, learning_rate=0.1), start=(1.0, 1.0), steps=3)
    assert walk.points.tolist() == [[1, 1]] * 4


def test_a_readers_optimizer_sees_both_coordinates_at_once() -> None:
    walk = alone("quadratic", partial(Normalised, learning_rate=0.1), steps=10)
    lengths = np.linalg.norm(np.diff(walk.points, axis=0), axis=1)
    np.testing.assert_allclose(lengths, 0.1, rtol=1e-9)


class InPlace(Optimizer):
    """Writes into what it was asked not to write into."""

    def apply_single(self, parameter: Any, state: Any) -> Any:
        parameter.grad *= 0.01
        parameter.data -= parameter.grad
        return parameter.data


def test_an_optimizer_that_writes_in_place_harms_no_one() -> None:
    walks = descend("booth", {"writer": InPlace, "SGD": partial(SGD, learning_rate=0.01)}, steps=20)
    np.testing.assert_array_equal(walks["writer"].points, walks["SGD"].points)


def test_a_readers_exception_reaches_the_reader() -> None:
    with pytest.raises(RuntimeError, match="out of my depth"):
        alone("booth", partial(Fragile, learning_rate=2.0))


def test_an_apply_single_yet_to_be_written_says_so() -> None:
    with pytest.raises(NotImplementedError, match="yours to write"):
        alone("booth", Optimizer)


@pytest.mark.parametrize("start", [(math.nan, 0.0), (0.0, math.inf), (1.0,), (1.0, 2.0, 3.0), [[1.0, 2.0]], 5.0])
def test_a_start_that_is_not_two_finite_numbers_is_refused(start: Any) -> None:
    with pytest.raises(ValueError, match="start must be two finite numbers, got"):
        alone("booth", Adam, start=start)


def test_negative_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="steps must be >= 0, got -1"):
        alone("booth", Adam, steps=-1)


# --- leaving the map --------------------------------------------------------------------------------------------------

MAP = Surface("map", lambda x, y: x * x + y * y, (1.0, 1.0), bounds=((0.0, 4.0), (-1.0, 1.0)))  # reach: −4…8 and ±3


@pytest.mark.parametrize(
    ("by", "start", "step"),
    [((1, 0), (2, 0), 7), ((-1, 0), (2, 0), 7), ((0, 1), (2, 0), 4), ((0, -1), (2, 0), 4), ((1, 1), (8, 0), 1)],
)
def test_a_walk_diverges_with_its_first_step_beyond_three_times_the_domain(by: Any, start: Any, step: int) -> None:
    assert alone(MAP, partial(Drift, x=by[0], y=by[1]), start=start, steps=20).diverged_at == step


def test_a_walk_that_stays_within_three_times_the_domain_has_not_diverged() -> None:
    assert alone(MAP, Drift, start=(2, 0), steps=6).diverged_at is None


def test_a_start_off_the_map_diverges_at_once() -> None:
    walk = alone(MAP, Adam, start=(100, 0), steps=5)
    assert walk.diverged_at == 0
    assert np.isnan(walk.losses).all()


@pytest.mark.parametrize(
    ("loss", "step"),
    [(lambda x, y: x.log(), 2), (lambda x, y: (x + 0.5).log(), 3), (lambda x, y: 1 / x, 2)],
    ids=["minus-infinity", "not-a-number", "infinity"],
)
def test_a_walk_diverges_with_its_first_loss_that_is_not_finite(loss: Any, step: int) -> None:
    assert alone(Surface("s", loss, (2.0, 0.0)), partial(Drift, x=-1.0), steps=9).diverged_at == step


@pytest.mark.parametrize("rate", [0.25, 1.0, 1e6, 1e300])
def test_from_there_on_everything_is_nan_and_nothing_before(rate: float) -> None:
    walk = alone("quadratic", partial(SGD, learning_rate=rate))
    finite = np.arange(201) < walk.diverged_at
    np.testing.assert_array_equal(np.isfinite(walk.losses), finite)
    np.testing.assert_array_equal(np.isfinite(walk.points), np.stack([finite, finite], axis=1))


def test_an_optimizer_that_left_the_map_is_asked_no_more() -> None:
    walk = alone(MAP, Drift, start=(2, 0), steps=20)
    assert walk.optimizer.updates == walk.diverged_at


# --- when a step is too long ------------------------------------------------------------------------------------------

STABILITY = {  # setting: the largest λh, from the eigenvalues of the update on ½hw²
    "plain": ({}, 2),
    "heavy ball": ({"momentum": 0.9}, 2 * 1.9),
    "light ball": ({"momentum": 0.3}, 2 * 1.3),
    "Nesterov": ({"momentum": 0.9, "nesterov": True}, 3.8 / 2.8),
    "light Nesterov": ({"momentum": 0.3, "nesterov": True}, 2.6 / 1.6),
    "dampened": ({"momentum": 0.9, "dampening": 0.5}, 3.8 / 0.5),
    "dampened without momentum": ({"dampening": 0.5}, 2),
}
every_setting = pytest.mark.parametrize("setting", STABILITY)


def at_limit(setting: str, factor: float, decay: float = 0.0) -> Trajectory:
    """A walk in a ravine of κ = 10 with λh at `factor` times its limit along the steep axis."""
    hyperparameters, limit = STABILITY[setting]
    rate = factor * limit / (10 + decay)
    make = partial(SGD, learning_rate=rate, weight_decay=decay, **hyperparameters)
    return alone(quadratic(10, 30), make, steps=400)


@every_setting
def test_just_below_the_limit_the_walk_arrives_and_is_called_stable(setting: str) -> None:
    walk = at_limit(setting, 1 - LIMIT_MARGIN)
    assert walk.losses[-1] < 0.1 * walk.losses[0]
    assert instability(quadratic(10, 30), walk) is None


@every_setting
def test_just_above_the_limit_the_walk_leaves_and_the_limit_is_named(setting: str) -> None:
    walk, limit = at_limit(setting, 1 + LIMIT_MARGIN), STABILITY[setting][1]
    found = instability(quadratic(10, 30), walk)
    assert walk.diverged_at is not None
    assert found is not None
    assert (found.step, found.product, found.limit) == pytest.approx(
        (0, (1 + LIMIT_MARGIN) * limit, limit), rel=CURVATURE_TOLERANCE
    )


@pytest.mark.parametrize("factor", [1 - LIMIT_MARGIN, 1 + LIMIT_MARGIN])
def test_weight_decay_counts_as_curvature(factor: float) -> None:
    found = instability(quadratic(10, 30), at_limit("plain", factor, decay=5.0))
    assert (found is None) == (factor < 1)


def test_the_step_named_is_the_first_that_stands_where_it_is_too_steep() -> None:
    surface = Surface("quartic", lambda x, y: x**4 / 12 + y * y / 2, (1.0, 0.0), ((0.0, 0.0),))  # h = x² along x
    optimizer = SGD(Walker((1.0, 0.0)), learning_rate=1.0)
    points = np.array([[1.0, 0.0], [1.3, 0.0], [1.5, 0.0], [2.0, 0.0]])
    found = instability(surface, Trajectory(points, np.zeros(4), None, optimizer))
    assert found is not None
    assert (found.step, found.product) == (2, pytest.approx(2.25, rel=CURVATURE_TOLERANCE))


def test_only_gradient_descent_has_a_limit_here() -> None:
    assert instability(quadratic(10), alone(quadratic(10), partial(Adam, learning_rate=100.0))) is None


def test_a_step_dampened_away_is_never_too_long() -> None:
    make = partial(SGD, learning_rate=3.0, momentum=0.9, dampening=1.0)
    assert instability(quadratic(10), alone(quadratic(10), make)) is None


def test_a_schedule_is_unstable_from_the_step_at_which_it_grows_too_long() -> None:
    walk = alone(quadratic(10), partial(SGD, learning_rate=lambda t: 0.03 * t))
    found = instability(quadratic(10), walk)
    assert found is not None
    assert (found.step, found.product) == (7, pytest.approx(2.1, rel=CURVATURE_TOLERANCE))


@pytest.mark.parametrize("arrays", [{"learning_rate": np.array([0.1, 0.25])}, {"momentum": np.array([0.5, 0.9])}])
def test_hyperparameters_may_be_arrays_when_the_cause_is_sought(arrays: Any) -> None:
    walk = alone(quadratic(10), partial(SGD, **{"learning_rate": 0.25, **arrays}), steps=5)
    found = instability(quadratic(10), walk)
    assert found is None or np.all(found.product > found.limit)


# --- tuning -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [1, 3, 10, 30, 100])
def test_gradient_descent_is_tuned_to_two_over_the_sum_of_the_curvatures(kappa: float) -> None:
    quarters = 4 * math.log10(tuned_learning_rate(quadratic(kappa, 20), SGD) * (1 + kappa) / 2)
    assert abs(quarters) <= 1  # the rates searched are quarters of a decade apart


def test_the_tuned_rate_is_one_of_four_in_each_decade() -> None:
    quarters = 4 * math.log10(tuned_learning_rate("beale", Adam))
    assert quarters == pytest.approx(round(quarters), abs=PATH_ROUNDING)


def test_a_tuned_rate_does_not_diverge() -> None:
    for name in POLYNOMIALS:
        rate = tuned_learning_rate(name, partial(SGD, momentum=0.9), steps=60)
        assert alone(name, partial(SGD, momentum=0.9, learning_rate=rate), steps=60).diverged_at is None


def test_the_tuned_rate_shrinks_as_the_loss_grows() -> None:
    steeper = Surface("steeper", lambda x, y: 100 * SURFACES["booth"].loss(x, y), (-7.0, -4.0), ((1.0, 3.0),))
    booth = Surface("booth", SURFACES["booth"].loss, (-7.0, -4.0), ((1.0, 3.0),))
    wide = [Surface(s.name, s.loss, s.start, s.minima, ((-10.0, 10.0), (-10.0, 10.0))) for s in (steeper, booth)]
    found = [tuned_learning_rate(surface, SGD) for surface in wide]
    assert found[0] * 100 == pytest.approx(found[1], rel=PATH_ROUNDING)


class Bounded(Sign):
    """Refuses what is above 1."""

    def __init__(self, module: Module, learning_rate: float = 0.1) -> None:
        if learning_rate > 1:
            raise ValueError(f"learning_rate must be in [0, 1], got {learning_rate}")
        super().__init__(module, learning_rate)


def test_rates_that_an_optimizer_refuses_are_passed_over() -> None:
    assert tuned_learning_rate("quadratic", Bounded) <= 1
