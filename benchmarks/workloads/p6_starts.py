"""P6: many descents at once, as one parameter: what a map of starting points needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.formulas import adam, jax_adam
from benchmarks.workload import Goal, Row, Workload
from benchmarks.workloads.p1_rosenbrock import rosenbrock

RATE = 0.01


@dataclass(frozen=True)
class Size:
    """So many starts, and steps from each."""

    starts: int
    steps: int


def starts(size: Size) -> Any:
    """Places by chance around the valley, in columns. Shape: (2, starts)."""
    return np.random.default_rng(0).uniform(-2, 2, (2, size.starts)).astype(np.float32)


def ours(size: Size) -> Iterator[Any]:
    """tinygpt, in columns."""
    from tinygpt import Adam, Module, Tensor

    model = Module()
    while True:
        model.place = Tensor(starts(size), requires_grad=True)
        optimizer = Adam(model, RATE)
        for _ in range(size.steps):
            loss = rosenbrock(model.place).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.update()
        yield model.place.data


def torch(size: Size, rows: bool, fused: bool) -> Iterator[Any]:
    """PyTorch, in columns (2, starts) or in rows (starts, 2)."""
    import torch

    while True:
        columns = torch.from_numpy(starts(size))
        place = (columns.T.contiguous() if rows else columns).requires_grad_()
        optimizer = torch.optim.Adam([place], RATE, fused=fused)
        for _ in range(size.steps):
            loss = rosenbrock(place.T if rows else place).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield (place.T if rows else place).detach()


def jax(size: Size) -> Iterator[Any]:
    """JAX, all steps compiled into one call."""
    import jax

    begin, step = jax_adam(lambda place: rosenbrock(place).sum(), RATE)
    run = jax.jit(lambda state: jax.lax.scan(lambda state, _: step(state), state, length=size.steps)[0])
    while True:
        yield run(begin(starts(size)))[0].block_until_ready()


def by_hand(size: Size) -> Iterator[Any]:
    """NumPy, and the derivatives from paper."""
    while True:
        place, m, v = starts(size), np.float32(0), np.float32(0)
        for t in range(1, size.steps + 1):
            x, y = place
            off = y - x * x
            place, m, v = adam(place, np.stack([-2 * (1 - x) - 400 * x * off, 200 * off]), m, v, t, RATE)
        yield place


BEST = Goal(0.3)  # of the best of them, so of each

P6 = Workload(
    "Rosenbrock from 10,000 starts at once, 500 steps of Adam, float32",
    {
        "tinygpt": Row("tinygpt", ours),
        "torch, rows": Row("torch", lambda size: torch(size, rows=True, fused=False), goal=BEST),
        "torch, rows, fused Adam": Row("torch", lambda size: torch(size, rows=True, fused=True), goal=BEST),
        "torch, columns": Row("torch", lambda size: torch(size, rows=False, fused=False), goal=BEST),
        "torch, columns, fused Adam": Row("torch", lambda size: torch(size, rows=False, fused=True), goal=BEST),
        "jax.lax.scan": Row("jax", jax),
        "NumPy by hand": Row("numpy", by_hand),
    },
    size=Size(starts=10_000, steps=500),
    tiny=Size(starts=3, steps=2),
    compared=1,
    tolerance=1e-4,  # float32, after 500 steps in a valley whose walls amplify rounding
)
