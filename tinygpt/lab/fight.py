"""A fair fight: the same tuning budget for every optimizer, several starts, and what is chance called chance.

Each optimizer walks once for every learning rate of one grid and every seed, and no one gets a rate more. A seed is a
start: the surface's own, moved along each axis by up to a tenth of the bounds' width.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from threading import current_thread, main_thread
from typing import Any

import cloudpickle
import numpy as np

from tinygpt.lab.descent import losses_by_rate
from tinygpt.lab.surfaces import Loss, Point, Surface, as_surface
from tinygpt.optimizers import Optimizer

RATES: Any = 10.0 ** (np.arange(-16, 5) / 4)  # 1e-4 to 10, four in each decade
SPREAD = 0.1  # of the bounds' width, by which a seed moves the start
NOISE = 0.05  # a difference that a fair coin shows more often than this is within the noise
MOST_PROCESSES = 4  # each first imports the lab for a second


@dataclass(frozen=True)
class Standing:
    """How one optimizer did.

    `arrivals` (rates, seeds) are its steps to the tolerance, infinite where it did not arrive, and `medians` (rates,)
    their medians. At its best learning rate `rate` it takes `steps`, the smallest of these. `width` counts the decades
    of learning rates at which most starts arrive; `open_ended` says that they reach an end of the grid, so that there
    may be more.
    """

    arrivals: Any
    medians: Any
    rate: float
    steps: float
    width: float
    open_ended: bool

    @property
    def at_best(self) -> Any:
        """Its steps from each start at its best learning rate (seeds,)."""
        return self.arrivals[self.medians.argmin()]


@dataclass(frozen=True)
class Fight:
    """Everybody's walks, and how they are judged: to arrive is to come within `tolerance` of the minimum.

    `gaps` holds, by label, the losses above the minimum (rates, seeds, steps + 1), NaN once a walk diverged.
    """

    surface: Surface
    rates: Any
    gaps: Mapping[str, Any]
    tolerance: float

    def judged(self, tolerance: float, steps: int, starts: int) -> Fight:
        """The same fight with another tolerance, as if there had been only so many steps and starts."""
        cut = {label: gaps[:, :starts, : steps + 1] for label, gaps in self.gaps.items()}
        return replace(self, gaps=cut, tolerance=tolerance)

    @property
    def steps(self) -> int:
        """The longest walk that was allowed."""
        return int(next(iter(self.gaps.values())).shape[-1]) - 1

    @property
    def starts(self) -> int:
        """The number of seeds."""
        return int(next(iter(self.gaps.values())).shape[1])

    @cached_property
    def standings(self) -> dict[str, Standing]:
        """Everybody's standing, the quickest first; of equally quick ones, the one of greater width."""
        found = {label: self._standing(gaps) for label, gaps in self.gaps.items()}
        return dict(sorted(found.items(), key=lambda item: (item[1].steps, -item[1].width)))

    def chance(self, one: str, other: str) -> float:
        """The probability that a fair coin tells two optimizers apart at least as clearly as the starts do.

        Each start is a toss, won by who arrives first from there at its own best learning rate; ties are no toss. Of n
        tosses the rarer side came k times: 2 · Σ C(n, i) / 2ⁿ over i ≤ k, or 1 where that is more.

        Source: the two-sided sign test; Arbuthnot 1710. https://doi.org/10.1098/rstl.1710.0011
        """
        mine, theirs = self.standings[one].at_best, self.standings[other].at_best
        won, lost = int(np.sum(mine < theirs)), int(np.sum(mine > theirs))
        n = won + lost
        return float(min(1, 2 * sum(math.comb(n, i) for i in range(min(won, lost) + 1)) / 2**n))

    def within_noise(self, one: str, other: str) -> bool:
        """Whether the difference between two optimizers may well be chance."""
        return self.chance(one, other) > NOISE

    @property
    def ties(self) -> list[tuple[str, str]]:
        """Those who arrive and whose difference from the next, in the order of the standings, is within the noise."""
        arrived = [label for label, standing in self.standings.items() if math.isfinite(standing.steps)]
        return [pair for pair in pairwise(arrived) if self.within_noise(*pair)]

    def _standing(self, gaps: Any) -> Standing:
        near = gaps < self.tolerance
        arrivals = np.where(near.any(axis=-1), near.argmax(axis=-1), np.inf)
        medians = np.median(arrivals, axis=1)
        arrive, best = np.isfinite(medians), medians.argmin()
        width = float(np.gradient(np.log10(self.rates))[arrive].sum())
        return Standing(
            arrivals, medians, float(self.rates[best]), float(medians[best]), width, bool(arrive[0] or arrive[-1])
        )


class Serial(Executor):
    """Does each task at once, where it is submitted: for a browser, where there are neither processes nor threads."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """The future of a task that is done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def fair_fight(
    surface: Surface | str | Loss,
    optimizers: Mapping[str, Callable[..., Optimizer]],
    rates: Any = RATES,
    seeds: Sequence[int] = range(10),
    steps: int = 500,
    tolerance: float = 1e-3,
    executor: Executor | None = None,
    progress: bool = True,
) -> Fight:
    """Let optimizers fight on equal terms: every one gets each rate from each start, once.

    `optimizers` maps labels to what takes a module and `learning_rate`. One task for each optimizer and seed goes to
    the executor: a pool of processes of its own if none is given (in a script, call it under
    `if __name__ == "__main__":`; in a browser, one task after the other), or any other, such as that of a Dask
    cluster, `Client(…).get_executor()`. The result does not depend on which. A rate that an optimizer refuses is one
    at which it does not arrive.

    Raises: ValueError unless there are optimizers, two or more rates that grow, seeds, and steps ≥ 1; or where an
    optimizer refuses all rates; and what fails in an optimizer's own code.
    """
    surface, rates, seeds = as_surface(surface), np.array(rates, float), list(seeds)
    if rates.ndim != 1 or len(rates) < 2 or not (rates[0] > 0 and np.all(np.diff(rates) > 0)):
        raise ValueError(f"rates must be two or more positive numbers that grow, got {rates.tolist()}")
    if not (optimizers and seeds and steps >= 1 and tolerance > 0):
        raise ValueError(
            "a fight needs optimizers, seeds, steps >= 1 and tolerance > 0, "
            f"got {list(optimizers)}, {seeds}, {steps} and {tolerance}"
        )
    lowest = surface.lowest  # found once, before copies are sent
    gaps = {label: np.empty((len(rates), len(seeds), steps + 1)) for label in optimizers}
    with _pool(executor, len(gaps) * len(seeds)) as pool:
        with _interrupts_unheard() if executor is None and not isinstance(pool, Serial) else nullcontext():
            places = {
                pool.submit(_walk, cloudpickle.dumps((surface, make, rates, seed, steps))): (label, i)
                for label, make in optimizers.items()
                for i, seed in enumerate(seeds)
            }
        try:
            for walked in _followed(places, progress):
                label, i = places[walked]
                gaps[label][:, i] = np.maximum(walked.result() - lowest, 0)
        except BaseException:
            for place in places if executor is not None else ():
                place.cancel()  # what has not begun; a pool of its own does that better itself
            raise
    return Fight(surface, rates, gaps, tolerance)


def start_of(surface: Surface, seed: int) -> Point:
    """The start that a seed draws: the surface's own, moved by up to a tenth of the bounds' width along each axis."""
    across = np.random.default_rng(seed).uniform(-SPREAD, SPREAD, 2)
    x, y = np.array(surface.start) + across * np.diff(surface.bounds)[:, 0]
    return float(x), float(y)


def _walk(task: bytes) -> Any:
    """The losses (rates, steps + 1) of one optimizer from one start."""
    surface, make, rates, seed, steps = cloudpickle.loads(task)
    return losses_by_rate(surface, make, rates, start_of(surface, seed), steps)


@contextmanager
def _pool(executor: Executor | None, tasks: int) -> Iterator[Executor]:
    """The executor that is given; or processes, which do what they have begun to an end, and no more."""
    if executor is not None:
        yield executor
        return
    pool = _processes(tasks)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupts_unheard() -> Iterator[None]:
    """Processes that begin here never hear of an interrupt: a kernel's reaches them too, and each would complain."""
    if current_thread() is not main_thread():  # which alone may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _processes(tasks: int) -> Executor:
    """A pool of fresh processes: to fork one that has threads, as a notebook's kernel has, may block for ever."""
    workers = min(tasks, os.cpu_count() or 1, MOST_PROCESSES)
    try:
        from concurrent.futures import ProcessPoolExecutor  # which Python 3.12 cannot import in a browser

        return ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    except (ImportError, NotImplementedError):
        return Serial()


def _followed(futures: Mapping[Future[Any], Any], progress: bool) -> Iterator[Future[Any]]:
    """The futures as they are done, with a bar that grows where there is tqdm."""
    done = as_completed(futures)
    if progress:
        with suppress(ImportError):
            from tqdm.auto import tqdm

            return iter(tqdm(done, "fair fight", len(futures), leave=False))
    return done
