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
from tinygpt.lab.descent import (
    Trajectory,
    Walker,
    arrivals,
    descend,
    instability,
    map_of,
    recorded,
    sweep,
    sweeps,
    tuned_learning_rate,
)
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


def test_each_may_have_a_start_of_its_own() -> None:
    starts = {"one": (1.0, 2.0), "two": (-3.0, 0.5)}
    together = descend("himmelblau", dict.fromkeys(starts, RACERS["Adam"]), starts, steps=30)
    for label, start in starts.items():
        lone = alone("himmelblau", RACERS["Adam"], start=start, steps=30)
        np.testing.assert_array_equal(together[label].points, lone.points)


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


# --- many at once -----------------------------------------------------------------------------------------------------

MARKED = {label: make for label, make in RACERS.items() if sweeps(make)}
SCATTER = np.random.default_rng(0)


def swept(surface: Any, make: Any, starts: Any, steps: int = 60) -> tuple[Any, Any]:
    """The points (steps + 1, n, 2) and losses (steps + 1, n) of a sweep."""
    points, losses = zip(*sweep(surface, make, starts, steps), strict=True)
    return np.array(points), np.array(losses)


def scattered(name: str, n: int = 7) -> Any:
    """Starts all over the map, and one beyond it."""
    (x0, x1), (y0, y1) = map_of(SURFACES[name])
    return np.vstack([SCATTER.uniform((x0, y0), (x1, y1), (n, 2)), [(2 * x1, 0)]])


def test_the_packages_own_classes_can_all_be_swept() -> None:
    assert set(MARKED) == {*CLASSES, "momentum", "Nesterov"}


@pytest.mark.parametrize("label", MARKED)
@every_polynomial
def test_each_start_of_a_sweep_walks_as_it_walks_alone_bit_for_bit(name: str, label: str) -> None:
    starts = scattered(name)
    points, losses = swept(name, MARKED[label], starts)
    for i, start in enumerate(starts):
        lone = alone(name, MARKED[label], start=start, steps=60)
        np.testing.assert_array_equal(points[:, i], lone.points)
        np.testing.assert_array_equal(losses[:, i], lone.losses)


@pytest.mark.parametrize("nesterov", [False, True])
@every_polynomial
def test_each_setting_of_a_sweep_walks_as_it_walks_alone_bit_for_bit(name: str, nesterov: bool) -> None:
    rates, momenta = SCATTER.uniform(0, 0.1, (9, 1)) ** 2, SCATTER.uniform(0, 1, (9, 1))
    momenta[0] = 0.0 if not nesterov else 0.5
    together = partial(SGD, learning_rate=rates, momentum=momenta, nesterov=nesterov)
    points, losses = swept(name, together, np.tile(SURFACES[name].start, (9, 1)))
    for i, (rate, mu) in enumerate(zip(rates[:, 0], momenta[:, 0], strict=True)):
        lone = alone(name, partial(SGD, learning_rate=rate, momentum=mu, nesterov=nesterov), steps=60)
        np.testing.assert_array_equal(points[:, i], lone.points)
        np.testing.assert_array_equal(losses[:, i], lone.losses)


@pytest.mark.parametrize("name", sorted(set(SURFACES) - set(POLYNOMIALS)))
def test_elsewhere_it_walks_so_up_to_rounding(name: str) -> None:
    starts = np.array([SURFACES[name].start, SURFACES[name].bounds[0], (0.3, -0.7)])
    points, _ = swept(name, MARKED["Adam"], starts)
    for i, start in enumerate(starts):
        lone = alone(name, MARKED["Adam"], start=start, steps=60)
        np.testing.assert_allclose(points[:, i], lone.points, rtol=PATH_ROUNDING, atol=PATH_ROUNDING)


@pytest.mark.parametrize("loss", [lambda x, y: x.log(), lambda x, y: 1 / x], ids=["not-a-number", "infinity"])
def test_a_sweep_cuts_where_a_loss_is_not_finite(loss: Any) -> None:
    surface = Surface("s", loss, (1.0, 0.0))
    starts = [(1.0, 0.0), (0.0, 0.0), (-1.0, 0.0)]
    _, losses = swept(surface, partial(SGD, learning_rate=0.3), starts, steps=9)
    for i, start in enumerate(starts):
        lone = alone(surface, partial(SGD, learning_rate=0.3), start=start, steps=9)
        np.testing.assert_array_equal(losses[:, i], lone.losses)


def test_points_of_a_sweep_stay_as_they_were_yielded() -> None:
    kept = [(points, points.copy()) for points, _ in sweep("booth", MARKED["SGD"], scattered("booth"), 20)]
    np.testing.assert_array_equal([points for points, _ in kept], [copy for _, copy in kept])


def test_the_starts_of_a_sweep_are_copied() -> None:
    starts = np.ones((3, 2))
    walks = sweep("booth", MARKED["SGD"], starts, 5)
    next(walks)
    starts[:] = 9
    np.testing.assert_array_equal(next(walks)[0], swept("booth", MARKED["SGD"], np.ones((3, 2)))[0][1])


def test_a_plain_without_slope_can_be_swept() -> None:
    points, losses = swept(lambda x, y: 3.0, MARKED["SGD"], [(1.0, 1.0), (0.5, 0.0)], steps=3)
    assert (points[-1].tolist(), losses[-1].tolist()) == ([[1.0, 1.0], [0.5, 0.0]], [3.0, 3.0])


def test_a_sweep_leaves_numpys_warnings_to_the_caller() -> None:
    before = np.geterr()
    for _ in sweep("booth", MARKED["SGD"], scattered("booth"), 3):
        assert np.geterr() == before


class Overridden(SGD):
    """Scales its step by the size of the whole gradient: x and y depend on each other."""

    def apply_single(self, parameter: Any, state: Any) -> Any:
        return parameter.data - self.learning_rate * parameter.grad / (1 + np.abs(parameter.grad).max())


class Clipped(SGD):
    """Does so before the step."""

    def update(self) -> None:
        position = self.module.position
        position.grad = position.grad / (1 + np.abs(position.grad).max())
        super().update()


class Choosy(SGD):
    """Asks whether its rate is above 1."""

    def __init__(self, module: Module, learning_rate: float = 0.1) -> None:
        if learning_rate > 1:
            raise ValueError(f"learning_rate must be in [0, 1], got {learning_rate}")
        super().__init__(module, learning_rate)


@pytest.mark.parametrize(
    "make", [Normalised, Sign, partial(Overridden, learning_rate=0.1), partial(Clipped, learning_rate=0.1)]
)
def test_what_may_mix_the_walks_is_not_swept(make: Any) -> None:
    with pytest.raises(TypeError, match="sweep needs an apply_single marked @elementwise, got that of"):
        next(sweep("booth", make, [(0.0, 0.0)]))


def test_what_refuses_arrays_is_not_swept() -> None:
    assert (sweeps(Choosy), sweeps(partial(Choosy, learning_rate=np.array([[0.1], [2.0]])))) == (True, False)


# --- arrivals ---------------------------------------------------------------------------------------------------------


def test_a_walk_arrives_with_its_first_loss_below_the_level() -> None:
    losses = [[9, 9, 1, 9], [1, 9, 1, 0.5], [0.5, 9, 1, 9], [9, 9, 1, 0.5]]
    arrived, _ = arrivals(((None, np.array(each, float)) for each in losses), 1.0)
    np.testing.assert_array_equal(arrived, [2, np.nan, np.nan, 1])


def test_a_walk_has_diverged_only_if_it_did_not_arrive_before() -> None:
    losses = [[9, 9, 0.5], [np.nan, 9, 9], [np.nan, np.nan, np.nan]]
    _, diverged = arrivals(((None, np.array(each)) for each in losses), 1.0)
    assert diverged.tolist() == [True, True, False]


def test_no_step_is_asked_for_once_all_is_decided() -> None:
    losses = iter([(None, np.array([9.0, np.nan])), (None, np.array([0.5, np.nan])), (None, np.array([9.0, 9.0]))])
    arrivals(losses, 1.0)
    assert len(list(losses)) == 1


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


@pytest.mark.parametrize("name", ["quadratic", "himmelblau", "rastrigin"])
@pytest.mark.parametrize("label", ["SGD", "Adam", "RMSProp"])
def test_a_tuned_rate_is_the_same_whether_the_rates_run_together_or_one_by_one(name: str, label: str) -> None:
    class Lone(CLASSES[label]):  # type: ignore[misc, name-defined]
        def apply_single(self, parameter: Any, state: Any) -> Any:  # without the mark
            return super().apply_single(parameter, state)

    assert not sweeps(partial(Lone, learning_rate=0.1))
    assert tuned_learning_rate(name, Lone) == tuned_learning_rate(name, CLASSES[label])


def test_a_class_that_takes_no_arrays_is_tuned_one_by_one() -> None:
    assert tuned_learning_rate("quadratic", Choosy) == tuned_learning_rate("quadratic", SGD)


# --- paths recorded elsewhere -----------------------------------------------------------------------------------------


def test_a_recorded_walk_of_our_own_is_that_walk() -> None:
    walked = descend("rosenbrock", {"Adam": Adam}, steps=30)["Adam"]
    again = recorded("rosenbrock", walked.points)
    np.testing.assert_array_equal(again.losses, walked.losses)


def test_a_recorded_path_is_cut_or_rests_to_have_so_many_steps() -> None:
    path = [(0.0, 0.0), (1.0, 1.0), (1.5, 1.0)]
    lengths = {steps: recorded("quadratic", path, steps).points.tolist() for steps in (1, 4)}
    assert lengths == {1: [[0, 0], [1, 1]], 4: [[0, 0], [1, 1], [1.5, 1], [1.5, 1], [1.5, 1]]}


@pytest.mark.parametrize("lost", [(np.nan, 0.0), (np.inf, 0.0), (1e9, 0.0)])
def test_a_recorded_path_has_diverged_where_it_leaves_the_map(lost: tuple[float, float]) -> None:
    assert recorded("quadratic", [(0.0, 0.0), (1.0, 1.0), lost, (0.0, 0.0)]).diverged_at == 2
