"""What happens in the process of one framework: its rows begin, and take their turns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from benchmarks.workloads import WORKLOADS

SHOWN = 100  # numbers of a large value that are compared, evenly spaced
WARM = 0.2  # of a turn is not counted: caches fill, and the threads of the turn before go to sleep
PER_SECOND = {"µs": 1e6, "ms": 1e3}


@cache
def steps(name: str, label: str) -> Iterator[Any]:
    """The row's steps, which go on from turn to turn."""
    workload = WORKLOADS[name]
    return workload.rows[label].steps(workload.size)


def beginning(name: str, label: str) -> list[list[float]]:
    """What the first steps yield, without those that yield nothing to compare."""
    values = itertools.islice(steps(name, label), WORKLOADS[name].compared)
    return [sample(value) for value in values if value is not None]


def sample(value: Any) -> list[float]:
    """A few numbers for many."""
    flat = np.asarray(value, float).ravel()
    return flat[:: -(-flat.size // SHOWN)].tolist()


def turn(name: str, label: str, seconds: float) -> list[float]:
    """The times of one turn, in the workload's unit."""
    workload = WORKLOADS[name]
    scale = PER_SECOND[workload.unit] / workload.repeats
    return [scale * one for one in times(steps(name, label), seconds)]


def times(run: Iterator[Any], seconds: float) -> list[float]:
    """The seconds of each step that begins in so many, after those that warm up; of one at least."""
    counted: list[float] = []
    begin = time.perf_counter()
    while not counted or time.perf_counter() - begin < seconds:
        before = time.perf_counter()
        next(run)
        after = time.perf_counter()
        if before - begin >= WARM * seconds:
            counted.append(after - before)
    return counted


def figures(name: str, label: str) -> list[float]:
    """What a row measures by itself."""
    workload = WORKLOADS[name]
    return workload.rows[label].figures(workload.size)
