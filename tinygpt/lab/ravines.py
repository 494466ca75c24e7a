"""Ravines: optimizers on a turned quadratic, each for as long as it needs, at a learning rate that suits it.

The ravine is `surfaces.quadratic(kappa, theta)`, ½(u² + κv²) along axes u, v that are turned by θ. Its gradient is a
matrix times the position, which is so cheap that a whole search for the best learning rate takes milliseconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

import numpy as np

from tinygpt.lab.descent import MakeOptimizer, Trajectory, Walker, map_of, sweeps
from tinygpt.lab.linear import best_learning_rate
from tinygpt.lab.surfaces import quadratic
from tinygpt.optimizers import Optimizer

ARRIVED = 1e-6  # a loss below this is at the bottom


def hessian(kappa: float, theta: float) -> Any:
    """The matrix H of the ravine ½wᵀHw: curvatures 1 and κ, turned by θ degrees.

    Shapes: (2, 2).
    """
    turn = _turn(theta)
    return turn @ np.diag([1.0, kappa]) @ turn.T


def split_loss(points: Any, kappa: float, theta: float) -> Any:
    """The two losses that make up the loss: ½u² along the floor of the ravine and ½κv² across it.

    Shapes: points (…, 2) → (…, 2).
    """
    return 0.5 * np.array([1.0, kappa]) * (points @ _turn(theta)) ** 2


def roll(kappa: float, theta: float, make: MakeOptimizer, steps: int = 500) -> Trajectory:
    """Let an optimizer roll from the ravine's start until its loss is below ARRIVED, or so many steps are done.

    The path ends there. One that leaves the map ends where it left it, and has diverged.
    """
    walker = Walker(quadratic(kappa, theta).start)
    optimizer = make(walker)
    reach, diverged_at = _reach(kappa, theta), None
    points, losses = [], []
    for step, (point, loss) in enumerate(_steps(kappa, theta, walker, optimizer, steps)):
        x, y = point.tolist()
        if not (-reach <= x <= reach and -reach <= y <= reach):  # nor is NaN
            point, loss, diverged_at = np.full(2, np.nan), np.nan, step
        points.append(point)
        losses.append(float(loss))
        if diverged_at is not None or loss < ARRIVED:
            break
    return Trajectory(np.array(points), np.array(losses), diverged_at, optimizer)


def arrival(trajectory: Trajectory) -> int | None:
    """The first step at which the loss is below ARRIVED, if there is one."""
    below = np.flatnonzero(trajectory.losses < ARRIVED)
    return int(below[0]) if below.size else None


@lru_cache(maxsize=256)
def tuned_rate(kappa: float, theta: float, make: Callable[..., Optimizer], steps: int = 500) -> float:
    """The learning rate with which an optimizer arrives in the fewest steps, of 40 in each decade.

    The rates are 2 / (h₁ + hₙ), the best of plain gradient descent in the long run, times 10^(k/40), from 1/100 to 100
    times; an optimizer that is not elementwise tries five in each decade. Rates at which it leaves the map do not
    count. Where two arrive together or none does, the one with the lowest loss is best.
    """
    anchor = best_learning_rate([1.0, kappa])
    rates = anchor * 10.0 ** (np.arange(-80, 81) / 40)
    if sweeps(partial(make, learning_rate=rates)):
        return _best_of(kappa, theta, make, rates, steps)
    return _best_one_by_one(kappa, theta, make, anchor * 10.0 ** (np.arange(-10, 11) / 5), steps)


def _best_of(kappa: float, theta: float, make: Callable[..., Optimizer], rates: Any, steps: int) -> float:
    """Roll with all rates at once; the first that arrives is the best."""
    start = np.array(quadratic(kappa, theta).start)[:, None]
    walker = Walker(np.tile(start, len(rates)))
    reach, path, barred = _reach(kappa, theta), [], np.zeros(len(rates))
    for points, losses in _steps(kappa, theta, walker, make(walker, learning_rate=rates), steps):
        path.append(points)
        if np.fmin.reduce(losses + barred) < ARRIVED:  # now see who has come by way of places off the map
            barred = np.where(np.all(np.abs(path) <= reach, axis=(0, 1)), 0, np.inf)
            if np.fmin.reduce(losses + barred) < ARRIVED:
                break
    inside = np.all(np.abs(path) <= reach, axis=(0, 1))
    return float(rates[np.where(inside, losses, np.inf).argmin()])


def _best_one_by_one(kappa: float, theta: float, make: Callable[..., Optimizer], rates: Any, steps: int) -> float:
    scores = {}
    for rate in rates.tolist():
        with suppress(Exception):  # a reader's own may refuse a rate, or fail at it
            t = roll(kappa, theta, partial(make, learning_rate=rate), steps)
            scores[rate] = (t.diverged_at is not None, len(t.losses), t.losses[-1])
            steps = arrival(t) or steps  # nobody needs to be watched for longer than the best
    return min(scores, key=lambda rate: scores[rate], default=float(rates[0]))


def _steps(kappa: float, theta: float, walker: Walker, optimizer: Optimizer, steps: int) -> Iterator[tuple[Any, Any]]:
    """Points (2, …) and their losses (…), from the start on.

    The product with H is written out, so that one runner and one of many take the very same steps.
    """
    (hxx, hxy), (hyx, hyy) = hessian(kappa, theta).tolist()
    position = walker.position
    with np.errstate(all="ignore"):  # a path that overflows is cut
        for step in range(steps + 1):
            x, y = position.data.tolist() if position.ndim == 1 else position.data  # numbers are quicker than arrays
            gx, gy = hxx * x + hxy * y, hyx * x + hyy * y
            yield position.data, 0.5 * (x * gx + y * gy)
            if step < steps:
                position.grad = np.array([gx, gy])
                optimizer.update()


def _turn(theta: float) -> Any:
    c, s = math.cos(math.radians(theta)), math.sin(math.radians(theta))
    return np.array([[c, -s], [s, c]])


def _reach(kappa: float, theta: float) -> float:
    return map_of(quadratic(kappa, theta))[0][1]
