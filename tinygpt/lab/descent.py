"""Descent: optimizers walking on a surface. It computes paths and draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygpt.lab.surfaces import Loss, Point, Surface, as_surface
from tinygpt.module import Module
from tinygpt.optimizers import SGD, Optimizer
from tinygpt.tensor import Tensor

MakeOptimizer = Callable[[Module], Optimizer]  # an Optimizer subclass, or a partial of one

REACH = 3.0  # how many times the surface's bounds the map is wide; a path that leaves the map has diverged


class Walker(Module):
    """A model of two numbers: where it stands. Its one parameter is `position`, of shape (2,)."""

    def __init__(self, start: Point) -> None:
        self.position = Tensor(start, float, requires_grad=True)


@dataclass(frozen=True)
class Trajectory:
    """Where an optimizer went.

    `points` (steps + 1, 2) and `losses` (steps + 1,) begin at the start; from `diverged_at` on, the first step that is
    not finite or out of reach, they are NaN. `optimizer` is the one that walked, as the walk left it.
    """

    points: Any
    losses: Any
    diverged_at: int | None
    optimizer: Optimizer


@dataclass(frozen=True)
class Instability:
    """The first step at which λ times the steepest curvature was beyond what the update can bear."""

    step: int
    product: float  # λ · h
    limit: float


def descend(
    surface: Surface | str | Loss,
    optimizers: Mapping[str, MakeOptimizer],
    start: Point | None = None,
    steps: int = 200,
) -> dict[str, Trajectory]:
    """Let each optimizer walk down the surface from the start (the surface's own, if none is given).

    `optimizers` maps a label to a function that makes an optimizer for a module. Every one of them updates a module of
    its own; only the slopes at their positions are computed together, in one pass of the tape per step.

    Raises: ValueError for a start that is not two finite numbers, or for negative steps.
    """
    surface = as_surface(surface)
    begin = np.array(surface.start if start is None else start, float)
    if begin.shape != (2,) or not np.isfinite(begin).all():
        raise ValueError(f"start must be two finite numbers, got {start!r}")
    if steps < 0:
        raise ValueError(f"steps must be >= 0, got {steps}")
    walkers = [Walker((begin[0], begin[1])) for _ in optimizers]
    racers = [make(walker) for make, walker in zip(optimizers.values(), walkers, strict=True)]
    running = [(i, racer, walker.position) for i, (racer, walker) in enumerate(zip(racers, walkers, strict=True))]
    here = np.tile(begin, (len(racers), 1))  # (racers, 2)
    (x0, x1), (y0, y1) = map_of(surface)
    points = np.full((len(racers), steps + 1, 2), np.nan)
    losses = np.full((len(racers), steps + 1), np.nan)
    cuts = np.full(len(racers), steps + 1)
    with np.errstate(all="ignore"):  # a path that overflows is cut
        for step in range(steps + 1):
            for i, (x, y) in enumerate(here.tolist()):
                if not (x0 <= x <= x1 and y0 <= y <= y1):  # nor is NaN
                    here[i] = (x0 + x1) / 2, (y0 + y1) / 2  # a harmless place to wait
                    cuts[i] = min(cuts[i], step)
                    running = [racer for racer in running if racer[0] != i]
            if not running:
                break
            losses[:, step], slopes = surface.slopes(here[:, 0], here[:, 1])
            points[:, step] = here
            if step < steps:
                for i, racer, position in running:
                    position.grad = slopes[i]
                    racer.update()
                    here[i] = position.data
    return {
        label: _cut(points[i], losses[i], cuts[i], racer)
        for i, (label, racer) in enumerate(zip(optimizers, racers, strict=True))
    }


def map_of(surface: Surface) -> tuple[Point, Point]:
    """The surface's bounds, widened REACH times about their middle."""
    (x0, x1), (y0, y1) = surface.bounds
    dx, dy = REACH * (x1 - x0) / 2, REACH * (y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (x - dx, x + dx), (y - dy, y + dy)


def _cut(points: Any, losses: Any, end: int, optimizer: Optimizer) -> Trajectory:
    """The path up to where it left the map, or to its first loss that is not finite."""
    losses[end:] = np.nan
    lost = np.flatnonzero(~np.isfinite(losses))
    if not lost.size:
        return Trajectory(points, losses, None, optimizer)
    points[lost[0] :], losses[lost[0] :] = np.nan, np.nan
    return Trajectory(points, losses, int(lost[0]), optimizer)


def instability(surface: Surface, trajectory: Trajectory) -> Instability | None:
    """Where the path of a gradient descent first became unstable.

    A step of SGD bears a curvature h while λh is below 2, with heavy-ball momentum μ below 2 (1 + μ) / (1 − τ), with
    Nesterov's below 2 (1 + μ) / (1 + 2μ). None where the path never was beyond that; or for other classes, and for
    hyperparameters that are arrays, of which this says nothing.

    Source: Polyak 1964, section 2; for the limits, the eigenvalues of the update on ½hw².
    """
    sgd = trajectory.optimizer
    visited = trajectory.points[: trajectory.diverged_at]
    if not isinstance(sgd, SGD):
        return None
    rates = np.array([sgd.learning_rate_at(step) for step in range(len(visited))])
    mu, tau = sgd.momentum, sgd.dampening if np.any(sgd.momentum) else 0.0
    if rates.ndim > 1 or np.ndim(mu) or np.ndim(tau) or np.ndim(sgd.weight_decay) or tau >= 1:
        return None
    limit = 2 * (1 + mu) / (1 + 2 * mu if sgd.nesterov else 1 - tau)
    products = rates * (surface.curvatures(visited[:, 0], visited[:, 1])[:, 1] + sgd.weight_decay)
    beyond = np.flatnonzero(products > limit)
    return Instability(int(beyond[0]), float(products[beyond[0]]), float(limit)) if beyond.size else None


def tuned_learning_rate(surface: Surface | str | Loss, make: Callable[..., Optimizer], steps: int = 200) -> float:
    """The learning rate, of four in each decade from 1e-5 to 10, that serves this optimizer best from the start.

    Best is the lowest mean of log₁₀(loss − lowest + 1e-12) over the steps, so that being quick counts as well as
    arriving. The optimizer takes the rate as `learning_rate`; its other hyperparameters are as they are.

    Raises: ValueError where the optimizer refuses them all.
    """
    surface = as_surface(surface)
    racers, refusals = {}, []
    for rate in _RATES:
        racer = partial(make, learning_rate=rate)
        try:
            racer(Walker(surface.start))
        except ValueError as refusal:
            refusals.append(refusal)
        else:
            racers[str(rate)] = racer
    if not racers:
        raise refusals[0]
    lowest = surface.lowest
    scores = {
        label: np.inf if t.diverged_at is not None else np.mean(np.log10(np.maximum(t.losses - lowest, 0) + 1e-12))
        for label, t in descend(surface, racers, steps=steps).items()
    }
    return float(min(scores, key=lambda label: scores[label]))


_RATES: list[float] = [10.0 ** (quarter / 4) for quarter in range(-20, 5)]
