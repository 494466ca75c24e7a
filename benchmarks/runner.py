"""Run a workload: each framework in a process of its own, its numbers checked first, then timed in shuffled turns."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import numpy as np

from benchmarks import worker
from benchmarks.workload import OURS, Row
from benchmarks.workloads import WORKLOADS

IDLE = 0.5  # a load average up to this


@dataclass
class Result:
    """What became of a row: values in the workload's unit, or a note that says why there are none."""

    row: Row
    values: list[float] = field(default_factory=list)
    difference: float | None = None  # from tinygpt's numbers
    note: str = ""
    wrong: bool = False

    def summary(self) -> dict[str, float]:
        """The values in three, or none."""
        if not self.values:
            return {}
        median, p95 = np.percentile(self.values, [50, 95])
        return {"median": float(median), "p95": float(p95), "min": min(self.values)}


class Run:
    """One workload: the rows that use these packages.

    A row that fails, or whose numbers disagree with tinygpt's, is not timed.
    """

    def __init__(self, name: str, packages: set[str]) -> None:
        self.name, self.workload = name, WORKLOADS[name]
        self.results = {label: Result(row) for label, row in self.workload.rows.items() if row.package in packages}
        self.processes = {result.row.package: _process() for result in self.results.values()}

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes.values():
            process.shutdown()

    def compare(self) -> None:
        """Note how far each row is from tinygpt's numbers, and which are too far."""
        values = {label: self._ask(label, worker.beginning) for label, r in self.results.items() if r.row.steps}
        ours, tolerance = values.pop(OURS, None), self.workload.tolerance
        for label, theirs in values.items():
            if ours and theirs:
                result = self.results[label]
                result.difference = difference(ours, theirs)
                if not result.difference <= tolerance:  # so that NaN is too far, too
                    result.note, result.wrong = f"disagrees: {result.difference:.1e}, not ≤ {tolerance:.0e}", True

    def time(self, rounds: int, seconds: float) -> None:
        """In each round, a turn for each row, in an order by chance."""
        for _ in range(min(rounds, self.workload.rounds or rounds)):
            for label, result in random.sample(list(self.results.items()), len(self.results)):
                if result.note:
                    continue
                if result.row.figures:
                    result.values += self._ask(label, worker.figures) or []
                else:
                    result.values += self._ask(label, worker.turn, seconds) or []

    def _ask(self, label: str, job: Callable[..., Any], *more: Any) -> Any:
        """What the job answers in a process of the row's package; None where it fails, and the row is out."""
        result = self.results[label]
        try:
            if job is worker.figures:
                with _process() as fresh:
                    return fresh.submit(job, self.name, label).result()
            return self.processes[result.row.package].submit(job, self.name, label, *more).result()
        except ModuleNotFoundError as error:
            result.note = f"{error.name} is not installed"
        except Exception as error:  # whatever a framework may raise: the others go on
            result.note, result.wrong = f"failed: {error!r}", True
        return None


def difference(ours: list[list[float]], theirs: list[list[float]]) -> float:
    """The largest difference, relative to the largest number; NaN where there is one."""
    a, b = np.array(ours), np.array(theirs)
    return float(np.max(np.abs(a - b)) / np.max(np.abs(a)))


def load_when_idle(patience: float) -> float | None:
    """The load average once the machine is idle, or after so many seconds; None where the system keeps none."""
    if not hasattr(os, "getloadavg"):
        return None
    end = time.monotonic() + patience
    while (load := os.getloadavg()[0]) > IDLE and time.monotonic() < end:
        time.sleep(2)
    return load


def _process() -> ProcessPoolExecutor:
    """A fresh interpreter: nothing of this one, or of another framework's, is in it."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))
