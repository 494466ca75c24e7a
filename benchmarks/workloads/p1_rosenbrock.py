"""P1: Adam on Rosenbrock's valley. Two numbers are nothing to compute: what counts is what a framework adds to them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.formulas import adam, jax_adam
from benchmarks.workload import Goal, Row, Workload

START = (-1.2, 1.0)
STEPS = 1000


def rosenbrock(place: Any) -> Any:
    """(1 − x)² + 100 (y − x²)², of a vector or of a pair."""
    x, y = place[0], place[1]
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


def ours(steps: int, vector: bool) -> Iterator[Any]:
    """tinygpt: two numbers in one parameter, or in two."""
    from tinygpt import Adam, Module, Tensor

    while True:
        model = Module()
        model.place = Tensor(START, requires_grad=True) if vector else [Tensor(x, requires_grad=True) for x in START]
        optimizer = Adam(model)
        for _ in range(steps):
            loss = rosenbrock(model.place)
            optimizer.zero_grad()
            loss.backward()
            optimizer.update()
        yield [x.item() for x in model.place]


def torch(steps: int, vector: bool, **options: Any) -> Iterator[Any]:
    """PyTorch, likewise."""
    import torch

    leaf = partial(torch.tensor, dtype=torch.float64, requires_grad=True)
    while True:
        place = leaf(START) if vector else [leaf(x) for x in START]
        optimizer = torch.optim.Adam([place] if vector else place, **options)
        for _ in range(steps):
            loss = rosenbrock(place)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield [x.item() for x in place]


def jax(steps: int, vector: bool, scan: bool = False) -> Iterator[Any]:
    """JAX: one compiled step at a time, or all of them compiled into one call."""
    import jax

    jax.config.update("jax_enable_x64", True)
    begin, step = jax_adam(rosenbrock)
    step_once = jax.jit(step, donate_argnums=0)
    step_often = jax.jit(lambda state: jax.lax.scan(lambda state, _: step(state), state, length=steps)[0])
    while True:
        state = begin(np.array(START) if vector else START)
        if scan:
            state = step_often(state)
        else:
            for _ in range(steps):
                state, _ = step_once(state)
        yield [x.item() for x in state[0]]


def micrograd(steps: int) -> Iterator[Any]:
    """micrograd, in which every number is a Value."""
    from micrograd.engine import Value

    while True:
        place, m, v = [Value(x) for x in START], [0.0, 0.0], [0.0, 0.0]
        for t in range(1, steps + 1):
            loss = rosenbrock(place)
            for x in place:
                x.grad = 0
            loss.backward()
            for i, x in enumerate(place):
                x.data, m[i], v[i] = adam(x.data, x.grad, m[i], v[i], t)
        yield [x.data for x in place]


def autograd(steps: int) -> Iterator[Any]:
    """HIPS autograd."""
    from autograd import grad

    slope = grad(rosenbrock)
    while True:
        place, m, v = np.array(START), np.zeros(2), np.zeros(2)
        for t in range(1, steps + 1):
            place, m, v = adam(place, slope(place), m, v, t)
        yield place


def by_hand(steps: int) -> Iterator[Any]:
    """The limit: Python's floats, and the derivatives from paper."""
    while True:
        (x, y), mx, my, vx, vy = START, 0.0, 0.0, 0.0, 0.0
        for t in range(1, steps + 1):
            gx, gy = -2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)
            x, mx, vx = adam(x, gx, mx, vx, t)
            y, my, vy = adam(y, gy, my, vy, t)
        yield x, y


def _workload(title: str, vector: bool, torch_goal: Goal, only_vector: dict[str, Row]) -> Workload:
    rows = {
        "tinygpt": Row("tinygpt", partial(ours, vector=vector)),
        "torch": Row("torch", partial(torch, vector=vector), goal=torch_goal),
        "torch, fused Adam": Row("torch", partial(torch, vector=vector, fused=True)),
        "micrograd": Row("micrograd", micrograd, goal=Goal(times=0.8)),
        "jax.jit of a step": Row("jax", partial(jax, vector=vector)),
        "jax.lax.scan of all": Row("jax", partial(jax, vector=vector, scan=True)),
        **only_vector,
        "Python floats by hand": Row("numpy", by_hand),
    }
    # float64, a smooth valley: rounding in the last place grows to about 1e-13 over the steps
    return Workload(title, rows, size=STEPS, tiny=3, unit="µs", repeats=STEPS, compared=1, tolerance=1e-10)


P1 = _workload(
    "Rosenbrock, one step of 1000 with Adam, float64, one vector",
    True,
    Goal(0.1),
    {"autograd": Row("autograd", autograd)},
)
P1B = _workload("the same with two scalars", False, Goal(1 / 15), {})
