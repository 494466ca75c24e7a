"""What a workload is: rows that do the same work in different frameworks, and goals for tinygpt's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

OURS = "tinygpt"  # the row that the others are compared with


@dataclass(frozen=True)
class Goal:
    """tinygpt takes at most `times` what this row takes, and `plus` more, in the workload's unit."""

    times: float = 0.0
    plus: float = 0.0

    def met(self, ours: float, theirs: float) -> bool:
        """Whether a run kept it."""
        return ours <= self.times * theirs + self.plus

    def __str__(self) -> str:
        if not self.times:
            return f"≤ {self.plus:g}"
        return f"≤ it + {self.plus:g}" if self.plus else f"≤ {self.times:.3g} ×"


@dataclass(frozen=True)
class Row:
    """One way to do the work. It has `steps` or `figures`, which both take the workload's size.

    `steps` gives an iterator: each `next` of it is timed, and does one unit of work. What the first ones yield, a loss
    for example, is compared with what tinygpt's yield; None is compared with nothing.
    `figures` measures by itself, in a fresh process each time, and returns numbers in the workload's unit.
    Frameworks are imported inside of both: no process shall hold one that it does not measure.
    """

    package: str
    steps: Callable[[Any], Iterator[Any]] | None = None
    figures: Callable[[Any], list[float]] | None = None
    goal: Goal | None = None


@dataclass(frozen=True)
class Workload:
    """Rows by name, that of OURS among them or else nothing to compare.

    `size` is how much work it is, `tiny` as little as a test wants. A time counts in `unit`, "µs" or "ms", for each of
    the `repeats` that one `next` does. Rows agree where the first `compared` values differ by at most `tolerance`,
    relative to the largest.
    """

    title: str
    rows: Mapping[str, Row]
    size: Any = None
    tiny: Any = None
    unit: str = "ms"
    repeats: int = 1
    compared: int = 5
    tolerance: float = 0.0
    rounds: int | None = None  # at most so many, where more would tell nothing new
