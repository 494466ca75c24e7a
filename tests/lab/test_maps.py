"""Maps: each cell is a walk alone, borders are what they are said to be, and theory meets measurement."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from readers import Normalised

from tinygpt import SGD, Adam, Module
from tinygpt.lab import linear
from tinygpt.lab.descent import descend, sweeps
from tinygpt.lab.maps import (
    COARSE,
    DIVERGED,
    ELSEWHERE,
    Basins,
    Rates,
    Theory,
    basin_map,
    ends,
    learning_rate_range,
    nearness,
    rate_map,
    steepness,
    theory_of,
    walk_at,
)
from tinygpt.lab.surfaces import SURFACES, Surface, quadratic

START = (1.0, 0.37)  # that of lesson 4
CURVATURE_TOLERANCE = 1e-5  # curvatures are measured by differences of slopes, and minima known to six digits
BORDER_MARGIN = 1.05  # this far beyond the stability limit 500 steps leave the map, this far within they do not


class Lone(SGD):
    """SGD without the mark: no one knows that it is elementwise."""

    def apply_single(self, parameter: Any, state: Any) -> Any:
        return super().apply_single(parameter, state)


def sgd(rate: Any, mu: Any, made: Any = SGD) -> Any:
    return partial(made, learning_rate=rate, momentum=mu)


@cache
def ravine(kappa: float = 100.0, cells: int = 6, **options: Any) -> Rates:
    rates = learning_rate_range(quadratic(kappa), by_curvature=True)
    return rate_map(quadratic(kappa), sgd, rates, (0.0, 0.99), START, cells=cells, **options)


def alone(surface: Any, make: Any, start: Any, steps: int = 500) -> Any:
    return descend(surface, {"it": make}, start, steps)["it"]


def single(rate: float, mu: float, kappa: float = 100.0) -> float:
    """The steps of one pair."""
    return float(rate_map(quadratic(kappa), sgd, (rate, rate), (mu, mu), START, cells=1).steps[0, 0])


# --- the rate map -----------------------------------------------------------------------------------------------------


def test_each_cell_counts_the_steps_of_its_walk_alone() -> None:
    found = ravine(cells=5, budget=150)
    assert 3 < found.diverged.sum() < 20
    for (row, column), steps in np.ndenumerate(found.steps):
        make = sgd(found.learning_rates[column], found.values[row])
        walk = alone(quadratic(100), make, START, 150)
        below = np.flatnonzero(walk.losses < found.tolerance)
        np.testing.assert_equal(steps, below[0] if below.size else np.nan)
        assert found.diverged[row, column] == (walk.diverged_at is not None and not below.size)


def test_cell_by_cell_the_map_is_the_same() -> None:
    assert not sweeps(partial(Lone, learning_rate=0.1))
    rates = learning_rate_range(quadratic(100), by_curvature=True)
    found = rate_map(quadratic(100), partial(sgd, made=Lone), rates, (0.0, 0.99), START, cells=6, budget=200)
    np.testing.assert_array_equal(found.steps, ravine(budget=200).steps)
    np.testing.assert_array_equal(found.diverged, ravine(budget=200).diverged)
    assert (found.coarse, ravine().coarse) == (True, False)


def test_what_runs_cell_by_cell_has_few_cells() -> None:
    found = rate_map("booth", lambda rate, _: partial(Normalised, learning_rate=rate), (0.1, 1.0), (0, 1), budget=2)
    assert found.steps.shape == (COARSE, COARSE)


@pytest.mark.parametrize(("rate", "mu", "steps"), [(0.03, 0.70, 41), (*linear.best_heavy_ball([1, 100]), 63)])
def test_the_fourth_lesson_counts_rightly(rate: float, mu: float, steps: int) -> None:
    walk = alone(quadratic(100), sgd(rate, mu), START, 100)
    assert np.flatnonzero(walk.losses < 1e-6)[0] == steps


@pytest.mark.parametrize("kappa", [1, 10, 100])
def test_plain_gradient_descent_needs_the_steps_of_its_formula(kappa: float) -> None:
    h, rate, n = np.array([1, kappa]), 1.5 / kappa, np.arange(501)[:, None]
    losses = (0.5 * h * (np.array(START) * (1 - rate * h) ** n) ** 2).sum(axis=1)
    np.testing.assert_equal(single(rate, 0.0, kappa), np.flatnonzero(losses < 1e-6)[0] if losses[-1] < 1e-6 else np.nan)


def test_what_is_said_of_a_cell_can_be_typed_again() -> None:
    found = ravine(cells=64)
    assert [float(f"{rate:.3g}") for rate in found.learning_rates] == found.learning_rates.tolist()
    assert [float(f"{value:.3f}") for value in found.values] == found.values.tolist()


def test_the_best_cell_has_the_fewest_steps() -> None:
    found = ravine()
    assert found.best is not None
    assert found.steps[found.best] == np.nanmin(found.steps)


def test_where_none_arrives_there_is_no_best() -> None:
    assert ravine(budget=1).best is None


def test_every_cell_is_the_nearest_to_itself() -> None:
    found = ravine()
    cells = [(row, column) for row in range(6) for column in range(6)]
    assert [found.cell(found.learning_rates[column], found.values[row]) for row, column in cells] == cells


def test_no_more_steps_arrive_earlier_for_a_looser_tolerance() -> None:
    strict, loose = ravine().steps, ravine(tolerance=1e-3).steps
    assert np.all((loose <= strict) | np.isnan(strict))


class Bounded(Lone):
    def __init__(self, module: Module, learning_rate: float, momentum: float) -> None:
        if learning_rate > 0.01:
            raise ValueError(f"learning_rate must be <= 0.01, got {learning_rate}")
        super().__init__(module, learning_rate, momentum)


def test_settings_that_are_refused_count_as_diverged() -> None:
    rates = learning_rate_range(quadratic(100), by_curvature=True)
    found = rate_map(quadratic(100), partial(sgd, made=Bounded), rates, (0.0, 0.5), START, cells=4, budget=50)
    np.testing.assert_array_equal(found.diverged, np.tile(found.learning_rates > 0.01, (4, 1)))


@pytest.mark.parametrize("rate", [0.0, -1.0])
def test_learning_rates_must_be_above_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="learning_rates must be > 0, got"):
        rate_map("booth", sgd, (rate, 1.0), (0.0, 1.0))


@pytest.mark.parametrize("near", [(0, 0), (3, 4), (5, 5)])
@pytest.mark.parametrize("setting", [(0.03, 0.7), (0.03, 0.0), (0.001, 0.0), (0.05, 0.5)])
def test_one_more_walk_arrives_where_the_whole_budget_would(setting: Any, near: tuple[int, int]) -> None:
    found, whole = ravine(), alone(quadratic(100), sgd(*setting), START)
    walk = walk_at(quadratic(100), sgd(*setting), found, near)
    below, expected = (np.flatnonzero(each.losses < found.tolerance) for each in (walk, whole))
    assert below[:1].tolist() == expected[:1].tolist()
    assert walk.diverged_at == whole.diverged_at


# --- theory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("mu", [0.3, 0.7, 0.9])
def test_beyond_the_border_cells_diverge_and_within_they_do_not(mu: float, nesterov: bool) -> None:
    border = float(Theory((1.0, 100.0), 1e6, nesterov).border(mu))
    rates = border / BORDER_MARGIN, border * BORDER_MARGIN
    at = lambda rate, mu: partial(SGD, learning_rate=rate, momentum=mu, nesterov=nesterov)
    assert rate_map(quadratic(100), at, rates, (mu, mu), START, cells=2).diverged[0].tolist() == [False, True]


@pytest.mark.parametrize("nesterov", [False, True])
def test_at_the_border_the_rate_is_one(nesterov: bool) -> None:
    mu = np.linspace(0.1, 0.9, 9)
    theory = Theory((1.0, 100.0), 1e6, nesterov)
    np.testing.assert_allclose(theory.rates(theory.border(mu), mu), 1, rtol=1e-9)


def test_in_the_long_run_the_promise_is_kept() -> None:
    far = ravine(kappa=10.0, cells=12, tolerance=1e-100)
    promised = theory_of(far, quadratic(10), (1.0, 10.0)).steps(far.learning_rates, far.values[:, None])
    arrived = ~np.isnan(far.steps)
    assert arrived.sum() > 5
    np.testing.assert_allclose(far.steps[arrived], promised[arrived], rtol=0.1)  # the way there counts for a little


def test_steps_that_do_not_shrink_promise_never() -> None:
    assert Theory((1.0, 100.0), 1e6).steps(1.0, 0.5) == np.inf


def test_the_loss_is_to_shrink_from_the_start_to_the_tolerance() -> None:
    gap = 0.5 * (1 + 100 * 0.37**2)
    assert theory_of(ravine(), quadratic(100), (1.0, 100.0)).shrink == pytest.approx(gap / 1e-6)


@pytest.mark.parametrize("kappa", [1, 30, 1000])
def test_a_ravine_is_as_steep_as_its_condition_number(kappa: float) -> None:
    assert steepness(quadratic(kappa, 30)) == pytest.approx(kappa, rel=CURVATURE_TOLERANCE)


@pytest.mark.parametrize("loss", [lambda x, y: x * 0, lambda x, y: x.log(), lambda x, y: -x * x - y * y])
def test_where_steepness_is_no_use_it_is_one(loss: Any) -> None:
    assert steepness(Surface("s", loss, (-1.0, 1.0))) == 1.0


def test_a_start_within_the_tolerance_is_promised_no_steps() -> None:
    at_rest = rate_map(quadratic(100), sgd, (0.01, 0.02), (0.0, 0.5), (0.0, 0.0), cells=2)
    assert theory_of(at_rest, quadratic(100), (1.0, 100.0)).steps(0.01, 0.5) == 0


@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.parametrize("by_curvature", [True, False])
def test_every_surface_has_a_range_of_learning_rates(name: str, by_curvature: bool) -> None:
    low, high = learning_rate_range(SURFACES[name], by_curvature)
    assert 0 < low < high < np.inf


# --- basins -----------------------------------------------------------------------------------------------------------

GENTLE = partial(SGD, learning_rate=0.005)


@pytest.mark.parametrize("name", ["himmelblau", "six_hump_camel", "saddle", "monkey_saddle"])
def test_a_start_beside_a_minimum_reaches_it(name: str) -> None:
    surface = SURFACES[name]
    found = basin_map(name, GENTLE, cells=40)
    cells = [(np.abs(found.y - y).argmin(), np.abs(found.x - x).argmin()) for x, y in surface.minima]
    assert [int(found.reached[cell]) for cell in cells] == list(range(len(surface.minima)))


@pytest.mark.parametrize("make", [GENTLE, partial(Adam, learning_rate=0.1), partial(SGD, learning_rate=0.03)])
def test_each_start_reaches_what_its_walk_alone_reaches(make: Any) -> None:
    found = basin_map("himmelblau", make, steps=100, cells=5)
    last = [[alone("himmelblau", make, (x, y), 100).points[-1] for x in found.x] for y in found.y]
    np.testing.assert_array_equal(
        found.reached, ends(SURFACES["himmelblau"], np.array(last).reshape(-1, 2)).reshape(5, 5)
    )


def test_start_by_start_the_basins_are_the_same() -> None:
    marked, lone = (basin_map("himmelblau", partial(made, learning_rate=0.01), 60, 6) for made in (SGD, Lone))
    np.testing.assert_array_equal(marked.reached, lone.reached)
    assert (marked.coarse, lone.coarse) == (False, True)


def test_the_basins_of_a_symmetric_hill_are_symmetric() -> None:
    reached = basin_map("saddle", partial(SGD, learning_rate=0.1, momentum=0.9), cells=20).reached
    swapped = np.array([1, 0])[reached[:, ::-1]]
    assert (reached >= 0).all()
    np.testing.assert_array_equal(reached, swapped)


def test_cells_are_told_apart_that_diverge_or_end_elsewhere() -> None:
    surface = SURFACES["himmelblau"]
    points = np.array([surface.minima[2], (0.0, 0.0), (np.nan, np.nan)])
    assert ends(surface, points).tolist() == [2, ELSEWHERE, DIVERGED]


@pytest.mark.parametrize(("factor", "reached"), [(0.99, 1), (1.01, ELSEWHERE)])
def test_to_reach_is_to_end_near(factor: float, reached: int) -> None:
    surface = SURFACES["himmelblau"]
    point = np.array(surface.minima[1]) + np.array([0.6, 0.8]) * factor * nearness(surface)
    assert ends(surface, point[None]).tolist() == [reached]


def basins(reached: Any) -> Basins:
    reached = np.array(reached)
    return Basins(np.arange(reached.shape[1]), np.arange(reached.shape[0]), reached, 0.1, 1, False)


def test_a_border_cell_has_a_neighbour_that_reaches_another_minimum() -> None:
    reached = np.random.default_rng(0).integers(-2, 3, (12, 15))
    around = np.pad(reached, 1, constant_values=ELSEWHERE)
    neighbours = np.stack([around[2:, 1:-1], around[:-2, 1:-1], around[1:-1, 2:], around[1:-1, :-2]])
    expected = (reached >= 0) & ((neighbours >= 0) & (neighbours != reached)).any(axis=0)
    np.testing.assert_array_equal(basins(reached).border, expected)


@pytest.mark.parametrize("reached", [0, ELSEWHERE, DIVERGED])
def test_where_all_reach_the_same_there_is_no_border(reached: int) -> None:
    assert not basins(np.full((4, 4), reached)).border.any()


def test_what_reaches_no_minimum_makes_no_border() -> None:
    assert not basins([[0, DIVERGED], [ELSEWHERE, 1]]).border.any()


def test_shares_are_of_all_starts() -> None:
    found = basins([[0, 0, 1], [DIVERGED, ELSEWHERE, 0]])
    assert [found.share(end) for end in (0, 1, ELSEWHERE, DIVERGED)] == [3 / 6, 1 / 6, 1 / 6, 1 / 6]


def test_momentum_frays_the_borders_of_himmelblau() -> None:
    plain, heavy = (basin_map("himmelblau", sgd(0.01, mu), cells=80).border.mean() for mu in (0.0, 0.9))
    assert plain < 0.06  # a line is twice as wide on this map as on one of 160 cells
    assert heavy > 4 * plain


def test_a_hill_without_known_minima_has_no_basins() -> None:
    with pytest.raises(ValueError, match="a basin map needs minima, but hill has none"):
        basin_map(Surface("hill", lambda x, y: x * x, (0.0, 0.0)), GENTLE)


def test_what_an_optimizer_refuses_it_refuses_here() -> None:
    with pytest.raises(ValueError, match="nesterov needs momentum"):
        basin_map("himmelblau", partial(SGD, learning_rate=0.1, nesterov=True))
