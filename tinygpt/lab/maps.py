"""Maps: one optimizer at many settings of its knobs, or from many starts, and where that leads. They draw nothing.

An optimizer whose `apply_single` is marked `elementwise` runs in all cells of a map at once; any other runs cell by
cell, on a coarser map.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tinygpt.lab import linear
from tinygpt.lab.descent import MakeOptimizer, Trajectory, Walker, arrivals, descend, sweep, sweeps
from tinygpt.lab.surfaces import Loss, Point, Surface, as_surface

COARSE = 16  # cells a side of a map that is made cell by cell
ELSEWHERE, DIVERGED = -1, -2  # what a start reaches that reaches no minimum

At = Callable[[Any, Any], MakeOptimizer]  # the optimizer for a learning rate and a value of one knob more


@dataclass(frozen=True, eq=False)  # each is itself alone, so that it may be a key
class Rates:
    """How many steps an optimizer needs, by its learning rate λ and the value of one knob more.

    `learning_rates` (columns,) and `values` (rows,) are the cells' own. `steps` (rows, columns) counts until the loss
    is less than `tolerance` above the surface's lowest for the first time, NaN where `budget` steps do not suffice;
    `diverged` (rows, columns) tells which of those left the map or met a loss that is not finite. `coarse` where the
    cells were run one by one.
    """

    learning_rates: Any
    values: Any
    steps: Any
    diverged: Any
    start: Point
    tolerance: float
    budget: int
    coarse: bool

    @property
    def best(self) -> tuple[int, int] | None:
        """Row and column of the cell with the fewest steps, the first of several; None where none arrives."""
        if np.isnan(self.steps).all():
            return None
        row, column = np.unravel_index(np.nanargmin(self.steps), self.steps.shape)
        return int(row), int(column)

    def cell(self, learning_rate: float, value: float) -> tuple[int, int]:
        """Row and column of the cell nearest to these hyperparameters."""
        ratios = np.abs(np.log(self.learning_rates / learning_rate))
        return int(np.abs(self.values - value).argmin()), int(ratios.argmin())


def rate_map(
    surface: Surface | str | Loss,
    at: At,
    learning_rates: tuple[float, float],
    values: tuple[float, float],
    start: Point | None = None,
    tolerance: float = 1e-6,
    budget: int = 500,
    cells: int = 64,
) -> Rates:
    """Run an optimizer from one start at every pair of a learning rate and the value of one knob more.

    `at(learning_rate, value)` makes the optimizer: `lambda rate, mu: partial(SGD, learning_rate=rate, momentum=mu)`.
    The rates go from the first to the second of `learning_rates` in equal ratios, the values in equal steps, all of
    them rounded to three digits, so that what is said of a cell can be typed again. Settings that the optimizer refuses
    count as diverged.

    Raises: ValueError for a learning rate that is not above 0.
    """
    surface = as_surface(surface)
    if min(learning_rates) <= 0:
        raise ValueError(f"learning_rates must be > 0, got {learning_rates}: their axis is logarithmic")
    rates, knobs = _axes(learning_rates, values, cells)
    together = at(np.tile(rates, len(knobs))[:, None], np.repeat(knobs, len(rates))[:, None])
    coarse = not sweeps(together)
    if coarse:
        rates, knobs = _axes(learning_rates, values, min(cells, COARSE))
    begin = surface.start if start is None else start
    starts = np.tile(begin, (len(rates) * len(knobs), 1))
    makers = [at(rate, knob) for knob in knobs.tolist() for rate in rates.tolist()] if coarse else []
    walks = _one_by_one(surface, makers, starts, budget) if coarse else sweep(surface, together, starts, budget)
    found = arrivals(walks, surface.lowest + tolerance)
    steps, diverged = (np.reshape(each, (len(knobs), len(rates))) for each in found)
    return Rates(rates, knobs, steps, diverged, begin, tolerance, budget, coarse)


def walk_at(surface: Surface, make: MakeOptimizer, measured: Rates, near: tuple[int, int]) -> Trajectory:
    """The walk of one more optimizer from a map's start, at least until it arrives, and at most for the map's budget.

    `near` is the cell nearest to its hyperparameters: if that one arrives, half as many steps more are tried first.
    """
    guess = measured.steps[near]
    steps = measured.budget if np.isnan(guess) else min(int(1.5 * guess) + 10, measured.budget)
    walk = descend(surface, {"walk": make}, measured.start, steps)["walk"]
    if steps == measured.budget or (walk.losses < surface.lowest + measured.tolerance).any():
        return walk
    return descend(surface, {"walk": make}, measured.start, measured.budget)["walk"]


def steepness(surface: Surface) -> float:
    """The largest curvature at the surface's minima, or at its start where it has none; 1 where that is no use."""
    places = np.array(surface.minima or (surface.start,))
    with np.errstate(all="ignore"):  # Ackley's tip is infinitely sharp
        h = surface.curvatures(places[:, 0], places[:, 1])[:, 1]
    return float(np.max(h)) if np.isfinite(h).all() and np.max(h) > 0 else 1.0


def learning_rate_range(surface: Surface, by_curvature: bool) -> tuple[float, float]:
    """The learning rates that a map of this surface goes over.

    Gradient descent steps by λ · slope: about its limit of stability, λ = .05/h … 6/h with h the steepness.
    Others, Adam say, step by about λ: three decades up to a tenth of the surface's width.
    """
    if by_curvature:
        h = steepness(surface)
        return 0.05 / h, 6 / h
    x0, x1 = surface.bounds[0]
    return (x1 - x0) / 10_000, (x1 - x0) / 10


@dataclass(frozen=True)
class Theory:
    """What linear theory says of SGD with momentum on a quadratic of these curvatures, whose loss is to shrink so far.

    Learning rates and momenta may be arrays that broadcast against each other.
    """

    curvatures: tuple[float, ...]
    shrink: float
    nesterov: bool = False

    def rates(self, learning_rate: Any, momentum: Any) -> Any:
        """The factor by which the distance to the minimum shrinks per step in the long run; beyond 1 it grows."""
        return linear.rate(self.curvatures, learning_rate, momentum, self.nesterov)

    def steps(self, learning_rate: Any, momentum: Any) -> Any:
        """The steps that this rate promises, were each like those of the long run; infinite where it does not shrink.

        The loss goes with the distance squared: ln(shrink) / (−2 ln rate)
        """
        rates, orders = self.rates(learning_rate, momentum), math.log(self.shrink)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(rates < 1, orders / (-2 * np.log(np.minimum(rates, 1))), np.inf)

    def border(self, momentum: Any) -> Any:
        """The learning rate beyond which it explodes: the limit of λh over the largest curvature."""
        return linear.limit(momentum, self.nesterov) / max(self.curvatures)


def theory_of(measured: Rates, surface: Surface, curvatures: tuple[float, ...], nesterov: bool = False) -> Theory:
    """The theory of a measured map: the loss is to shrink from the start's to the tolerance, if it is above."""
    gap = float(surface.values(*measured.start)) - surface.lowest
    return Theory(curvatures, max(gap / measured.tolerance, 1.0), nesterov)


@dataclass(frozen=True, eq=False)
class Basins:
    """Which minimum a walk reaches, by its start.

    `x` (columns,) and `y` (rows,) are the middles of the cells. `reached` (rows, columns) is the number of the minimum
    that the last point lies near, closer than `near`; ELSEWHERE for walks that ended far from all of them (still on
    their way, or held by a higher valley), DIVERGED for those that left the map. `coarse` as in Rates.
    """

    x: Any
    y: Any
    reached: Any
    near: float
    steps: int
    coarse: bool

    @cached_property
    def border(self) -> Any:
        """Which cells are border: a cell reaches a minimum, and one of its four neighbours reaches another minimum."""
        border = np.zeros(self.reached.shape, bool)
        for cells, marks in ((self.reached, border), (self.reached.T, border.T)):
            one, other = cells[1:], cells[:-1]
            apart = (one != other) & (one >= 0) & (other >= 0)
            marks[1:] |= apart
            marks[:-1] |= apart
        return border

    def share(self, minimum: int) -> float:
        """The part of all starts that reaches this minimum, ELSEWHERE or DIVERGED."""
        return float(np.mean(self.reached == minimum))


def basin_map(surface: Surface | str | Loss, make: MakeOptimizer, steps: int = 500, cells: int = 160) -> Basins:
    """Let an optimizer walk from the middle of every cell of the surface's bounds, and see which minimum it reaches.

    Raises: ValueError for a surface whose minima are not known; and what the optimizer refuses.
    """
    surface = as_surface(surface)
    if not surface.minima:
        raise ValueError(f"a basin map needs minima, but {surface.name} has none: name them in Surface(…, minima=…)")
    make(Walker(surface.start))  # what it refuses, it refuses here
    coarse = not sweeps(make)
    x, y = (_middles(*bounds, min(cells, COARSE) if coarse else cells) for bounds in surface.bounds)
    starts = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    walks = _one_by_one(surface, [make] * len(starts), starts, steps) if coarse else sweep(surface, make, starts, steps)
    points = deque(walks, maxlen=1).pop()[0]
    reached = ends(surface, points).reshape(len(y), len(x))
    return Basins(x, y, reached, nearness(surface), steps, coarse)


def nearness(surface: Surface) -> float:
    """How close to a minimum a walk must end to have reached it: a hundredth of the surface's width."""
    x0, x1 = surface.bounds[0]
    return 0.01 * (x1 - x0)


def ends(surface: Surface, points: Any) -> Any:
    """The number of the minimum that each last point has reached; ELSEWHERE, or DIVERGED where it is NaN.

    Shapes: points (n, 2) → (n,).
    """
    distances = np.linalg.norm(points[:, None] - np.array(surface.minima), axis=-1)  # (n, minima)
    reached = np.where(distances.min(axis=1) < nearness(surface), distances.argmin(axis=1), ELSEWHERE)
    return np.where(np.isnan(points[:, 0]), DIVERGED, reached)


def _axes(learning_rates: tuple[float, float], values: tuple[float, float], cells: int) -> tuple[Any, Any]:
    rates = [float(f"{rate:.3g}") for rate in np.geomspace(*learning_rates, cells)]
    span = max(abs(values[0]), abs(values[1]), 1e-300)
    return np.array(rates), np.linspace(*values, cells).round(3 - math.ceil(math.log10(span)))


def _middles(low: float, high: float, cells: int) -> Any:
    return low + (high - low) * (np.arange(cells) + 0.5) / cells


def _one_by_one(surface: Surface, makers: list[MakeOptimizer], starts: Any, steps: int) -> Iterable[tuple[Any, Any]]:
    """The points and losses, step by step, of walks that share nothing; NaN from the start for those refused."""
    points = np.full((steps + 1, len(starts), 2), np.nan)
    losses = np.full((steps + 1, len(starts)), np.nan)
    racers = {str(i): make for i, make in enumerate(makers) if _accepts(make)}
    begins = {str(i): start for i, start in enumerate(starts)}
    for label, walk in descend(surface, racers, begins, steps).items():
        points[:, int(label)], losses[:, int(label)] = walk.points, walk.losses
    return zip(points, losses, strict=True)


def _accepts(make: MakeOptimizer) -> bool:
    try:
        make(Walker((0.0, 0.0)))
    except ValueError:
        return False
    return True
