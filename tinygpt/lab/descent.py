"""Descent: optimizers walking on a surface. It computes paths and draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygpt.lab import linear
from tinygpt.lab.surfaces import Loss, Point, Surface, as_surface
from tinygpt.module import Module
from tinygpt.optimizers import SGD, Optimizer
from tinygpt.tensor import Tensor

MakeOptimizer = Callable[[Module], Optimizer]  # an Optimizer subclass, or a partial of one

REACH = 3.0  # how many times the surface's bounds the map is wide; a path that leaves the map has diverged


class Walker(Module):
    """A model of two numbers: where it stands. Its one parameter is `position`, of shape (2,); (n, 2) are n of them."""

    def __init__(self, start: Any) -> None:
        self.position = Tensor(np.array(start, float), requires_grad=True)

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """The one parameter, for which nobody need search: in a race that would take a tenth of the time."""
        yield "position", self.position


@dataclass(frozen=True)
class Trajectory:
    """Where an optimizer went.

    `points` (steps + 1, 2) and `losses` (steps + 1,) begin at the start; from `diverged_at` on, the first step that is
    not finite or out of reach, they are NaN. `optimizer` is the one that walked, as the walk left it; a path recorded
    elsewhere has None.
    """

    points: Any
    losses: Any
    diverged_at: int | None
    optimizer: Optimizer | None


@dataclass(frozen=True)
class Instability:
    """The first step at which λ times the steepest curvature was beyond what the update can bear."""

    step: int
    product: float  # λ · h
    limit: float


def descend(
    surface: Surface | str | Loss,
    optimizers: Mapping[str, MakeOptimizer],
    start: Point | Mapping[str, Point] | None = None,
    steps: int = 200,
) -> dict[str, Trajectory]:
    """Let each optimizer walk down the surface from the start (the surface's own, if none is given).

    `optimizers` maps a label to a function that makes an optimizer for a module; `start` may map a label to a start as
    well. Every one of them updates a module of its own; only the slopes at their positions are computed together, in
    one pass of the tape per step.

    Raises: ValueError for a start that is not two finite numbers, or for negative steps.
    """
    surface = as_surface(surface)
    if isinstance(start, Mapping) and (missing := optimizers.keys() - start.keys()):
        raise ValueError(f"start must have a place for each label, got none for {', '.join(sorted(missing))}")
    starts = [start[label] if isinstance(start, Mapping) else start for label in optimizers]
    here = np.array([_start(surface, own) for own in starts]).reshape(-1, 2)  # (racers, 2)
    if steps < 0:
        raise ValueError(f"steps must be >= 0, got {steps}")
    walkers = [Walker(begin) for begin in here]
    racers = [make(walker) for make, walker in zip(optimizers.values(), walkers, strict=True)]
    running = [(i, racer, walker.position) for i, (racer, walker) in enumerate(zip(racers, walkers, strict=True))]
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


def _start(surface: Surface, start: Point | None) -> Any:
    begin = np.array(surface.start if start is None else start, float)
    if begin.shape != (2,) or not np.isfinite(begin).all():
        raise ValueError(f"start must be two finite numbers, got {start!r}")
    return begin


def recorded(surface: Surface | str | Loss, points: Any, steps: int | None = None) -> Trajectory:
    """A path that was walked elsewhere, by PyTorch say, with the losses of this surface along it.

    `points` (n, 2) begin at the start. With `steps`, a longer path is cut there, and a shorter one rests at its end.

    Raises: ValueError where the points are not pairs of numbers.
    """
    surface, path = as_surface(surface), np.array(points, float)
    if path.ndim != 2 or path.shape[1] != 2 or not len(path):
        raise ValueError(f"a recorded path must have shape (steps + 1, 2), got {path.shape}: one (x, y) for each step")
    if steps is not None:
        path = path[np.minimum(np.arange(steps + 1), len(path) - 1)]
    losses = np.array(np.broadcast_to(surface.values(*path.T), len(path)), float)
    (x0, x1), (y0, y1) = map_of(surface)
    x, y = path.T
    outside = np.flatnonzero(~((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)))
    return _cut(path, losses, int(outside[0]) if outside.size else len(path), None)


def map_of(surface: Surface) -> tuple[Point, Point]:
    """The surface's bounds, widened REACH times about their middle."""
    (x0, x1), (y0, y1) = surface.bounds
    dx, dy = REACH * (x1 - x0) / 2, REACH * (y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return (x - dx, x + dx), (y - dy, y + dy)


def sweeps(make: MakeOptimizer) -> bool:
    """Whether `sweep` can run this optimizer: it treats every number alike, and its constructor takes what it is given.

    That is so where `apply_single` is marked `elementwise` and `update` is that of the base class.
    """
    try:
        optimizer = make(Walker(np.zeros((1, 2))))
    except (TypeError, ValueError):  # a reader's constructor may ask whether an array is above 1, say
        return False
    return getattr(optimizer.apply_single, "elementwise", False) and type(optimizer).update is Optimizer.update


def sweep(
    surface: Surface | str | Loss, make: MakeOptimizer, starts: Any, steps: int = 200
) -> Iterator[tuple[Any, Any]]:
    """Let one optimizer walk from n starts at once, or with n values of a hyperparameter, and yield step after step.

    All n positions are one parameter, of shape (n, 2). Hyperparameters may be arrays of shape (n, 1): one value for
    each walk. Yields steps + 1 times, beginning at the starts, the points (n, 2) and the losses (n,), NaN from the step
    on at which a walk diverged. Each is, bit for bit, the walk that `descend` does alone where loss and formula are of
    + − × ÷ √ alone; exp, sin and powers may round otherwise for an array than for a number.

    Raises: TypeError for an optimizer that does not treat every number alike (see `sweeps`).
    """
    surface = as_surface(surface)
    if not sweeps(make):
        name = type(make(Walker(surface.start))).__name__
        raise TypeError(f"sweep needs an apply_single marked @elementwise, got that of {name}: use descend for each")
    walker = Walker(np.array(starts, float, order="F"))  # x beside x in memory: numpy is quickest along long rows
    optimizer, position = make(walker), walker.position
    (x0, x1), (y0, y1) = map_of(surface)
    alive = np.full(len(position), True)
    for step in range(steps + 1):
        with np.errstate(all="ignore"):  # a walk that overflows is cut
            if step > 0:
                optimizer.update()
            x, y = position.data.T
            alive = alive & (x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1)
            x, y = np.where(alive, x, (x0 + x1) / 2), np.where(alive, y, (y0 + y1) / 2)  # a harmless place to wait
            losses, slopes = surface.slopes(x, y)
            position.grad = np.asfortranarray(slopes)
            alive &= np.isfinite(losses)
        yield np.where(alive[:, None], position.data, np.nan), np.where(alive, losses, np.nan)


def arrivals(walks: Iterable[tuple[Any, Any]], level: float) -> tuple[Any, Any]:
    """The step at which each walk's loss is below the level for the first time, and whether it diverged before that.

    `walks` yields points and losses step after step, as `sweep` does; it is asked for no more once all is decided.

    Shapes: losses (n,) → steps (n,), NaN where a walk did not arrive, and (n,).
    """
    arrived, diverged = np.array(np.nan), np.array(False)
    for step, (_, losses) in enumerate(walks):
        diverged = diverged | np.isnan(arrived) & np.isnan(losses)
        arrived = np.where(np.isnan(arrived) & (losses < level), step, arrived)
        if not (np.isnan(arrived) & ~diverged).any():
            break
    return arrived, diverged


def _cut(points: Any, losses: Any, end: int, optimizer: Optimizer | None) -> Trajectory:
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
    limit = linear.limit(mu, sgd.nesterov, tau)
    products = rates * (surface.curvatures(visited[:, 0], visited[:, 1])[:, 1] + sgd.weight_decay)
    beyond = np.flatnonzero(products > limit)
    return Instability(int(beyond[0]), float(products[beyond[0]]), float(limit)) if beyond.size else None


def losses_by_rate(
    surface: Surface, make: Callable[..., Optimizer], rates: Sequence[float], start: Point, steps: int
) -> Any:
    """The losses (rates, steps + 1) of one optimizer at each learning rate; NaN at those that it refuses.

    One `sweep` where the optimizer can be run at all rates at once, and a race of as many optimizers where it cannot.

    Raises: ValueError where the optimizer refuses them all.
    """
    together = partial(make, learning_rate=np.array(rates)[:, None])
    if sweeps(together):
        return np.array([losses for _, losses in sweep(surface, together, np.tile(start, (len(rates), 1)), steps)]).T
    racers, refusals = {}, []
    for i, rate in enumerate(rates):
        racer = partial(make, learning_rate=float(rate))
        try:
            racer(Walker(start))
        except ValueError as refusal:
            refusals.append(refusal)
        else:
            racers[str(i)] = racer
    if not racers:
        raise refusals[0]
    losses = np.full((len(rates), steps + 1), np.nan)
    for label, walk in descend(surface, racers, start, steps).items():
        losses[int(label)] = walk.losses
    return losses


def tuned_learning_rate(surface: Surface | str | Loss, make: Callable[..., Optimizer], steps: int = 200) -> float:
    """The learning rate, of four in each decade from 1e-5 to 10, that serves this optimizer best from the start.

    Best is the lowest mean of log₁₀(loss − lowest + 1e-12) over the steps, so that being quick counts as well as
    arriving. The optimizer takes the rate as `learning_rate`; its other hyperparameters are as they are.

    Raises: ValueError where the optimizer refuses them all.
    """
    surface = as_surface(surface)
    losses = losses_by_rate(surface, make, _RATES, surface.start, steps)
    scores = np.log10(np.maximum(losses - surface.lowest, 0) + 1e-12).mean(axis=1)
    return _RATES[np.argmin(np.where(np.isnan(scores), np.inf, scores))]


_RATES: list[float] = [10.0 ** (quarter / 4) for quarter in range(-20, 5)]
