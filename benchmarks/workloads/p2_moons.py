"""P2: micrograd's own demonstration, a small net that tells two moons apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.workload import Goal, Row, Workload

SIZES = (2, 16, 16, 1)
RATE = 0.1
Weights = dict[str, Any]


def moons(points: int) -> tuple[Any, Any]:
    """Two half circles with noise, and on which of them each point is, −1 or 1. Shapes: (points, 2), (points, 1)."""
    angle, upper = np.linspace(0, 2 * np.pi, points, endpoint=False), np.arange(points) < points // 2
    x = np.where(upper, [np.cos(angle), np.sin(angle)], [1 - np.cos(angle), 0.5 + np.sin(angle)]).T
    return x + 0.1 * np.random.default_rng(0).standard_normal(x.shape), np.where(upper, 1.0, -1.0)[:, None]


def start() -> Weights:
    """Where everybody begins, by tinygpt's names."""
    rng, weights = np.random.default_rng(1), {}
    for i, (inputs, outputs) in enumerate(pairwise(SIZES)):
        bound = 1 / np.sqrt(inputs)
        weights[f"layers.{i}.weight"] = rng.uniform(-bound, bound, (inputs, outputs))
        weights[f"layers.{i}.bias"] = rng.uniform(-bound, bound, outputs)
    return weights


def ours(points: int) -> Iterator[Any]:
    """tinygpt."""
    from tinygpt import SGD, Tensor, nn

    x, y = map(Tensor, moons(points))
    model = nn.MLP(SIZES, dtype=np.float64)
    model.load_weights(list(start().items()))
    optimizer = SGD(model, RATE)
    while True:
        loss = (1 - y * model(x)).relu().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.update()
        yield loss.data


def torch(points: int) -> Iterator[Any]:
    """PyTorch."""
    import torch
    from torch import nn

    x, y = map(torch.from_numpy, moons(points))
    a, b, c = (nn.Linear(i, o, dtype=torch.float64) for i, o in pairwise(SIZES))
    model = nn.Sequential(a, nn.ReLU(), b, nn.ReLU(), c)
    for parameter, value in zip(model.parameters(), start().values(), strict=True):
        parameter.data = torch.from_numpy(value.T.copy())
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    while True:
        loss = (1 - y * model(x)).relu().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.detach()


def margin(np: Any, weights: Weights, x: Any, y: Any) -> Any:
    """The loss, on anything like NumPy."""
    for i in range(len(SIZES) - 1):
        x = (np.maximum(x, 0) if i else x) @ weights[f"layers.{i}.weight"] + weights[f"layers.{i}.bias"]
    return np.mean(np.maximum(1 - y * x, 0))


def jax(points: int) -> Iterator[Any]:
    """JAX, the whole step compiled."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    @jax.jit
    def step(weights: Weights) -> tuple[Weights, Any]:
        loss, slopes = jax.value_and_grad(margin, argnums=1)(jnp, weights, x, y)
        return jax.tree.map(lambda w, g: w - RATE * g, weights, slopes), loss

    (x, y), weights = moons(points), start()
    while True:
        weights, loss = step(weights)
        yield loss.block_until_ready()


def autograd(points: int) -> Iterator[Any]:
    """HIPS autograd."""
    import autograd.numpy as anp
    from autograd import value_and_grad

    (x, y), weights = moons(points), start()
    loss_and_slopes = value_and_grad(lambda weights: margin(anp, weights, x, y))
    while True:
        loss, slopes = loss_and_slopes(weights)
        weights = {name: w - RATE * slopes[name] for name, w in weights.items()}
        yield loss


def micrograd(points: int) -> Iterator[Any]:
    """micrograd, number by number."""
    from micrograd.nn import MLP

    (x, y), weights = moons(points), start()
    model = MLP(SIZES[0], list(SIZES[1:]))
    for i, layer in enumerate(model.layers):
        for j, neuron in enumerate(layer.neurons):
            neuron.b.data = weights[f"layers.{i}.bias"][j].item()
            for w, value in zip(neuron.w, weights[f"layers.{i}.weight"][:, j].tolist(), strict=True):
                w.data = value
    while True:
        losses = [(1 - side * model(point)).relu() for point, (side,) in zip(x.tolist(), y.tolist(), strict=True)]
        loss = sum(losses) * (1 / points)
        model.zero_grad()
        loss.backward()
        for parameter in model.parameters():
            parameter.data -= RATE * parameter.grad
        yield loss.data


def by_hand(points: int) -> Iterator[Any]:
    """The limit: NumPy, and the derivatives from paper."""
    x, y = moons(points)
    w0, b0, w1, b1, w2, b2 = start().values()
    while True:
        h0 = np.maximum(x @ w0 + b0, 0)
        h1 = np.maximum(h0 @ w1 + b1, 0)
        losses = np.maximum(1 - y * (h1 @ w2 + b2), 0)
        g2 = (losses > 0) * -y / points
        g1 = g2 @ w2.T * (h1 > 0)
        g0 = g1 @ w1.T * (h0 > 0)
        w2, b2 = w2 - RATE * (h1.T @ g2), b2 - RATE * g2.sum(0)
        w1, b1 = w1 - RATE * (h0.T @ g1), b1 - RATE * g1.sum(0)
        w0, b0 = w0 - RATE * (x.T @ g0), b0 - RATE * g0.sum(0)
        yield losses.mean()


P2 = Workload(
    "micrograd's moons: a step of MLP 2-16-16-1 on 100 points with SGD, float64",
    {
        "tinygpt": Row("tinygpt", ours),
        "torch": Row("torch", torch, goal=Goal(0.4)),
        "jax.jit": Row("jax", jax),
        "autograd": Row("autograd", autograd),
        "micrograd": Row("micrograd", micrograd),
        "NumPy by hand": Row("numpy", by_hand, goal=Goal(2.0)),
    },
    size=100,
    tiny=4,
    compared=3,
    tolerance=1e-12,  # float64, three steps: only the order of sums differs
)
