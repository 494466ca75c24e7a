"""Schedules: learning rates as functions of the number of updates done so far, which counts from 0.

Give one as `learning_rate`, and the optimizer asks it before every update.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def _positive(**lengths: float) -> None:
    for name, length in lengths.items():
        if not length > 0:
            raise ValueError(f"{name} must be > 0, got {length}")


def exponential(start: float, factor: float) -> Schedule:
    """start · factorⁿ."""
    return lambda n: start * factor**n


def steps(start: float, factor: float, every: int) -> Schedule:
    """start, multiplied by factor after every so many updates."""
    _positive(every=every)
    return lambda n: start * factor ** (n // every)


def inverse(start: float, half_life: float) -> Schedule:
    """start / (1 + n / half_life): the slow decay for which averages over noise converge.

    Source: Robbins and Monro 1951, section 2. https://doi.org/10.1214/aoms/1177729586
    """
    _positive(half_life=half_life)
    return lambda n: start / (1 + n / half_life)


def cosine(start: float, length: int, end: float = 0.0) -> Schedule:
    """Half a cosine wave from start down to end over that many updates, and end from there on.

    Source: Loshchilov and Hutter 2017, equation 5. https://arxiv.org/abs/1608.03983
    """
    _positive(length=length)
    return lambda n: end + (start - end) * (1 + math.cos(math.pi * min(n / length, 1))) / 2


def warmup(schedule: Schedule | float, length: int) -> Schedule:
    """The schedule (or constant), reached in equal steps: its value times (n + 1) / length while that is below 1."""
    _positive(length=length)

    def warmed(n: int) -> float:
        rate = schedule(n) if callable(schedule) else schedule
        return rate * min((n + 1) / length, 1.0)

    return warmed
