"""P3: a net of the size that classifies handwritten digits."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.formulas import jax_adam, matrix_products
from benchmarks.workload import Goal, Row, Workload

BATCHES = 8  # in turn, so that no unit sleeps through all that a step sees


@dataclass(frozen=True)
class Size:
    """Numbers in an image, in the hidden layer, classes; images in a batch."""

    inputs: int
    hidden: int
    classes: int
    batch: int


def batches(size: Size) -> list[tuple[Any, Any]]:
    """Noise with labels. Shapes: (batch, inputs), (batch,)."""
    rng = np.random.default_rng(0)
    return [
        (rng.standard_normal((size.batch, size.inputs), np.float32), rng.integers(size.classes, size=size.batch))
        for _ in range(BATCHES)
    ]


def start(size: Size) -> dict[str, Any]:
    """Where everybody begins, by tinygpt's names."""
    rng, weights = np.random.default_rng(1), {}
    for i, (inputs, outputs) in enumerate([(size.inputs, size.hidden), (size.hidden, size.classes)]):
        bound = 1 / np.sqrt(inputs)
        weights[f"layers.{i}.weight"] = rng.uniform(-bound, bound, (inputs, outputs)).astype(np.float32)
        weights[f"layers.{i}.bias"] = rng.uniform(-bound, bound, outputs).astype(np.float32)
    return weights


def ours(size: Size) -> Iterator[Any]:
    """tinygpt."""
    from tinygpt import Adam, Tensor, nn
    from tinygpt.losses import cross_entropy

    model = nn.MLP((size.inputs, size.hidden, size.classes))
    model.load_weights(list(start(size).items()))
    optimizer = Adam(model)
    for x, labels in itertools.cycle(batches(size)):
        loss = cross_entropy(model(Tensor(x)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.update()
        yield loss.data


def torch(size: Size, **options: Any) -> Iterator[Any]:
    """PyTorch."""
    import torch
    from torch import nn

    model = nn.Sequential(nn.Linear(size.inputs, size.hidden), nn.ReLU(), nn.Linear(size.hidden, size.classes))
    for parameter, value in zip(model.parameters(), start(size).values(), strict=True):
        parameter.data = torch.from_numpy(value.T.copy())
    optimizer = torch.optim.Adam(model.parameters(), **options)
    for x, labels in itertools.cycle([tuple(map(torch.from_numpy, batch)) for batch in batches(size)]):
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.detach()


def jax(size: Size) -> Iterator[Any]:
    """JAX, the whole step compiled."""
    import jax
    import jax.numpy as jnp

    def loss(weights: dict[str, Any], x: Any, labels: Any) -> Any:
        hidden = jax.nn.relu(x @ weights["layers.0.weight"] + weights["layers.0.bias"])
        logits = hidden @ weights["layers.1.weight"] + weights["layers.1.bias"]
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(size.batch), labels])

    begin, step = jax_adam(loss)
    step, state = jax.jit(step, donate_argnums=0), begin(start(size))
    for batch in itertools.cycle(batches(size)):
        state, value = step(state, *batch)
        yield value.block_until_ready()


def products(size: Size) -> Iterator[None]:
    """The limit: the matrix products of a step."""
    return matrix_products(
        [
            ((size.batch, size.inputs), (size.inputs, size.hidden)),
            ((size.batch, size.hidden), (size.hidden, size.classes)),
        ],
        inputs_learn=False,
    )


P3 = Workload(
    "a step of MLP 784-256-10 on 128 images with Adam, float32",
    {
        "tinygpt": Row("tinygpt", ours),
        "torch": Row("torch", torch),
        "torch, fused Adam": Row("torch", lambda size: torch(size, fused=True), goal=Goal(0.95)),
        "jax.jit": Row("jax", jax),
        "matrix products alone": Row("numpy", products),
    },
    size=Size(inputs=784, hidden=256, classes=10, batch=128),
    tiny=Size(inputs=5, hidden=4, classes=3, batch=2),
    compared=20,
    tolerance=1e-5,  # float32: a loss begins right to about 1e-7
)
