"""P5: Adam's step alone, where memory is what limits it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.formulas import adam
from benchmarks.workload import Goal, Row, Workload

SHOWN = 100  # numbers of the last tensor that are compared


@dataclass(frozen=True)
class Size:
    """So many tensors of so many numbers."""

    tensors: int
    numbers: int


def start(size: Size) -> Iterator[tuple[Any, Any]]:
    """Weights and their gradients, which stay the same."""
    rng = np.random.default_rng(0)
    for _ in range(size.tensors):
        yield rng.standard_normal(size.numbers, np.float32), rng.standard_normal(size.numbers, np.float32)


def ours(size: Size) -> Iterator[Any]:
    """tinygpt."""
    from tinygpt import Adam, Module, Tensor

    model = Module()
    model.weights = []
    for w, g in start(size):
        model.weights.append(Tensor(w, requires_grad=True))
        model.weights[-1].grad = g
    optimizer = Adam(model)
    while True:
        optimizer.update()
        yield model.weights[-1].data[:SHOWN]


def torch(size: Size, **options: Any) -> Iterator[Any]:
    """PyTorch: a loop over the tensors, all together (foreach), or in one compiled pass (fused)."""
    import torch

    weights = []
    for w, g in start(size):
        weights.append(torch.nn.Parameter(torch.from_numpy(w)))
        weights[-1].grad = torch.from_numpy(g)
    optimizer = torch.optim.Adam(weights, **options)
    while True:
        optimizer.step()
        yield weights[-1].detach()[:SHOWN]


def formula(size: Size, jit: bool = False) -> Iterator[Any]:
    """Adam's formula as it stands: on NumPy's arrays, or compiled by JAX into what writes the states in place."""
    weights, slopes = zip(*start(size), strict=True)
    states = [(w, np.zeros_like(w), np.zeros_like(w)) for w in weights]

    def step(states: Any, slopes: Any, t: int) -> Any:
        return [adam(w, g, m, v, t) for (w, m, v), g in zip(states, slopes, strict=True)]

    wait: Callable[[Any], Any] = lambda states: states
    if jit:
        import jax

        step, wait = jax.jit(step, donate_argnums=0), jax.block_until_ready
        states, slopes = jax.device_put((states, slopes))
    for t in itertools.count(1):
        states = wait(step(states, slopes, t))
        yield states[-1][0][:SHOWN]


def _workload(title: str, size: Size, goal: Goal) -> Workload:
    rows = {
        "tinygpt": Row("tinygpt", ours),
        "torch, loop": Row("torch", lambda size: torch(size, foreach=False), goal=goal),
        "torch, foreach": Row("torch", lambda size: torch(size, foreach=True)),
        "torch, fused": Row("torch", lambda size: torch(size, fused=True)),
        "jax.jit": Row("jax", lambda size: formula(size, jit=True)),
        "NumPy, the formula": Row("numpy", formula),
    }
    return Workload(title, rows, size, tiny=Size(2, 3), tolerance=1e-6)  # float32, a few units in the last place


P5 = _workload("Adam's step alone on 50 tensors of 20,000 numbers, float32", Size(50, 20_000), Goal(0.6))
P5B = _workload("Adam's step alone on one tensor of 10,000,000 numbers", Size(1, 10_000_000), Goal(0.55))
