"""Random programs: rows of the table of rules, each fed with what the program has computed before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from hypothesis import strategies as st
from test_ops import DOMAINS, TABLE, Row, anywhere, away_from_zero, positive

from tinygpt import Tensor, no_grad
from tinygpt.tensor import apply

INTO = {  # how any number becomes one of a domain, smoothly
    anywhere: lambda x: 2 * x.sin(),
    positive: lambda x: 1.2 + 0.8 * x.sin(),
    away_from_zero: lambda x: (
        (1.2 + 0.8 * x.sin()) * (1 - 2 * (np.arange(x.size) % 2)).reshape(x.shape).astype(x.dtype)
    ),
}
RULES = [list(rows) for _, rows in groupby(sorted(TABLE, key=lambda row: row.rule.__name__), lambda row: row.rule)]


@dataclass(frozen=True)
class Step:
    """One operation, and which of the values so far are its operands; several steps may take the same."""

    row: Row
    picks: tuple[int, ...]

    def run(self, values: list[Tensor]) -> Tensor:
        domains = DOMAINS.get(self.row.rule, ()) + (anywhere,) * len(self.row.shapes)
        operands = [
            INTO[domain](fitted(values[pick % len(values)], shape))
            for domain, pick, shape in zip(domains, self.picks, self.row.shapes, strict=False)
        ]
        return apply(self.row.rule, *operands, **self.row.options)

    def __repr__(self) -> str:
        return f"[{self.row} of {self.picks[: len(self.row.shapes)]}]"


def steps() -> st.SearchStrategy[Step]:
    """Every rule is as likely as any other, however many rows it has."""
    picks = st.tuples(*[st.integers(0, 20)] * max(len(row.shapes) for row in TABLE))
    return st.builds(Step, st.sampled_from(RULES).flatmap(st.sampled_from), picks)


def programs(longest: int = 8) -> st.SearchStrategy[list[Step]]:
    return st.lists(steps(), min_size=1, max_size=longest)


def leaves(dtype: Any = np.float64) -> list[Tensor]:
    """What every program starts from: a number, a vector and a matrix, which nobody may write."""
    rng = np.random.default_rng(0)
    arrays = [np.asarray(rng.normal(size=shape), dtype) for shape in ((), (3,), (2, 3))]
    for array in arrays:
        array.flags.writeable = False
    return [Tensor(array, requires_grad=True) for array in arrays]


def run(program: list[Step], inputs: list[Tensor]) -> list[Tensor]:
    """All values of a program, the inputs first; an empty one is no operand of a later step."""
    values, empty = list(inputs), []
    for step in program:
        value = step.run(values)
        if value.ndim:
            value.data.flags.writeable = False  # a rule that writes into what others can see fails
        (values if value.size else empty).append(value)
    return values + empty


def fitted(source: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The numbers of a tensor, repeated or left out as the shape wants."""
    size = int(np.prod(shape))
    return source.reshape(-1)[np.arange(size) % source.size].reshape(shape)


def projection(values: list[Tensor]) -> Tensor:
    """One number that every number of every value enters, with a weight of its own."""
    weights = np.random.default_rng(1)
    return sum(((value * weights.normal(size=value.shape)).sum() for value in values), start=Tensor(0.0))


STEP = 1e-4  # two central differences, of STEP and STEP / 2, together err by STEP⁴ and by 1e-16 / STEP
TOLERANCE = 1e-8  # a thousand times those errors, for a program bends more sharply than a rule
KINK = 1e-3  # where the two differ by more, a kink lies between them, and there is no slope to compare with


def slopes(program: list[Step]) -> tuple[float, float]:
    """By how much the slope differs from central differences, and those from each other; both relative.

    The slope is that of the projection, along a random direction.
    """
    inputs, rng = leaves(), np.random.default_rng(2)
    directions = [rng.normal(size=x.shape) for x in inputs]
    projection(run(program, inputs)).backward()
    exact = sum(np.sum(x.grad * d) for x, d in zip(inputs, directions, strict=True))

    def along(distance: float) -> float:
        with no_grad():
            moved = [Tensor(x.data + distance * d) for x, d in zip(inputs, directions, strict=True)]
            return projection(run(program, moved)).item()

    def measured(step: float) -> float:
        return (along(step) - along(-step)) / (2 * step)

    coarse, fine = measured(STEP), measured(STEP / 2)
    richardson = (4 * fine - coarse) / 3  # the leading errors cancel
    return abs(exact - richardson) / (1 + abs(exact)), abs(coarse - fine) / (1 + abs(exact))
