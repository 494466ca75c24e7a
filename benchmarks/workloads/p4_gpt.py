"""P4: a training step of a small GPT, and the memory it takes."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.formulas import jax_adam, matrix_products
from benchmarks.workload import Goal, Row, Workload

RATE, DECAY = 1e-3, 0.01
BATCHES = 8
STEPS_FOR_MEMORY = 5
MIB = 2**20
LINUX = Path("/proc/self/status")


@dataclass(frozen=True)
class Size:
    """The model's size, tinygpt's names; and how many texts are a batch."""

    layers: int
    heads: int
    width: int
    context_length: int
    batch: int
    vocabulary_size: int = 65


def batches(size: Size) -> list[tuple[Any, Any]]:
    """Tokens by chance, and those that come next. Shapes: (batch, time) both."""
    rng = np.random.default_rng(0)
    texts = rng.integers(size.vocabulary_size, size=(BATCHES, size.batch, size.context_length + 1))
    return [(text[:, :-1].copy(), text[:, 1:].copy()) for text in texts]


def shapes(size: Size) -> dict[str, tuple[int, ...]]:
    """The parameters, by tinygpt's names."""
    width = size.width
    found = {"token_embedding": (size.vocabulary_size, width), "position_embedding": (size.context_length, width)}
    for i in range(size.layers):
        block = f"blocks.{i}"
        found |= {f"{block}.attention_norm": (width,)}
        found |= {f"{block}.attention.qkv": (width, 3 * width), f"{block}.attention.output": (width, width)}
        found |= {f"{block}.mlp_norm": (width,)}
        found |= {f"{block}.mlp.layers.0": (width, 4 * width), f"{block}.mlp.layers.1": (4 * width, width)}
    weights = {f"{name}.weight": shape for name, shape in {**found, "norm": (width,)}.items()}
    biases = {f"{name}.bias": shape[-1:] for name, shape in {**found, "norm": (width,)}.items() if "embed" not in name}
    return weights | biases


def start(size: Size) -> dict[str, Any]:
    """Where everybody begins: GPT-2's start, but that nothing is exactly 0 or 1, lest a mistake hide there."""
    rng = np.random.default_rng(1)
    return {
        name: (float(name.endswith("norm.weight")) + 0.02 * rng.standard_normal(shape)).astype(np.float32)
        for name, shape in shapes(size).items()
    }


def ours(size: Size) -> Iterator[Any]:
    """tinygpt."""
    from tinygpt import AdamW
    from tinygpt.gpt import GPT, GPTConfig
    from tinygpt.losses import cross_entropy

    model = GPT(GPTConfig(size.vocabulary_size, size.context_length, size.layers, size.heads, size.width))
    model.load_weights(list(start(size).items()))
    optimizer = AdamW(model, RATE, weight_decay=DECAY)
    for tokens, targets in itertools.cycle(batches(size)):
        loss = cross_entropy(model(tokens), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.update()
        yield loss.data


def torch(size: Size, by_steps: bool = False, **options: Any) -> Iterator[Any]:
    """PyTorch."""
    import torch

    from benchmarks.workloads.gpt_torch import make

    model = make(size, start(size), by_steps)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=DECAY, **options)
    for tokens, targets in itertools.cycle([tuple(map(torch.from_numpy, batch)) for batch in batches(size)]):
        logits = model(tokens)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.detach()


def jax(size: Size) -> Iterator[Any]:
    """JAX, the whole step compiled."""
    import jax

    from benchmarks.workloads.gpt_jax import loss

    begin, step = jax_adam(partial(loss, size), RATE, DECAY)
    step, state = jax.jit(step, donate_argnums=0), begin(start(size))
    for batch in itertools.cycle(batches(size)):
        state, value = step(state, *batch)
        yield value.block_until_ready()


def products(size: Size) -> Iterator[None]:
    """The limit: the matrix products of a step."""
    tokens, width, time = size.batch * size.context_length, size.width, size.context_length
    heads, one = (size.batch, size.heads), width // size.heads
    block = [
        ((tokens, width), (width, 3 * width)),
        ((*heads, time, one), (*heads, one, time)),
        ((*heads, time, time), (*heads, time, one)),
        ((tokens, width), (width, width)),
        ((tokens, width), (width, 4 * width)),
        ((tokens, 4 * width), (4 * width, width)),
    ]
    return matrix_products(size.layers * block + [((tokens, width), (width, size.vocabulary_size))])


def weights_and_moments(size: Size) -> float:
    """What AdamW cannot do without: three float32 numbers for each weight, in MiB."""
    return 3 * 4 * sum(w.size for w in start(size).values()) / MIB


def arrays(size: Size) -> list[float]:
    """The most that NumPy's arrays held at once in a training with tinygpt, less weights and moments, in MiB."""
    next(ours(size))  # what is imported and made once does not count
    tracemalloc.start()
    for _ in itertools.islice(ours(size), STEPS_FOR_MEMORY):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return [peak / MIB - weights_and_moments(size)]


def resident(steps: Callable[[Size], Iterator[Any]], package: str, size: Size) -> list[float]:
    """By how much a training raised the process's largest memory since the import, less weights and moments, in MiB."""
    import_module(package)
    before = _most_resident()
    for _ in itertools.islice(steps(size), STEPS_FOR_MEMORY):
        pass
    return [_most_resident() - before - weights_and_moments(size)]


def _most_resident() -> float:
    """The largest memory that this process has had, in MiB."""
    if LINUX.exists():  # where getrusage's figure includes what the parent process had
        lines = LINUX.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    import resource  # which Windows lacks

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB


def _workload(title: str, size: Size, goal: Goal) -> Workload:
    rows = {
        "tinygpt": Row("tinygpt", ours),
        "torch, SDPA": Row("torch", torch, goal=goal),
        "torch, SDPA, fused AdamW": Row("torch", partial(torch, fused=True)),
        "torch, minGPT's way": Row("torch", partial(torch, by_steps=True)),
        "jax.jit": Row("jax", jax),
        "matrix products alone": Row("numpy", products),
    }
    # float32: a loss is right to about 1e-7. After 20 steps another eps, or no decay, differs by more than 1e-6
    return Workload(title, rows, size, TINY, compared=20, tolerance=1e-6)


SIZE = Size(layers=4, heads=4, width=128, context_length=64, batch=16)
TINY = Size(layers=1, heads=2, width=4, context_length=3, batch=2, vocabulary_size=5)

P4 = _workload(
    "a step of GPT with 4 layers, 4 heads, width 128 on 16 texts of 64 tokens with AdamW, float32", SIZE, Goal(1.05)
)
P4B = _workload(
    "a step of GPT with 2 layers, 4 heads, width 64 on 16 texts of 32 tokens",
    Size(layers=2, heads=4, width=64, context_length=32, batch=16),
    Goal(0.75),
)
P4M = Workload(
    "a step of P4's GPT: the most that arrays take, above weights and moments (tracemalloc)",
    {"tinygpt": Row("tinygpt", figures=arrays, goal=Goal(plus=80))},
    SIZE,
    TINY,
    unit="MiB",
    rounds=1,
)
P4R = Workload(
    "a step of P4's GPT: the most that the process takes, above import, weights and moments (resident)",
    {
        "tinygpt": Row("tinygpt", figures=partial(resident, ours, "tinygpt")),
        "torch, SDPA": Row("torch", figures=partial(resident, torch, "torch")),
        "torch, minGPT's way": Row("torch", figures=partial(resident, partial(torch, by_steps=True), "torch")),
    },
    SIZE,
    TINY,
    unit="MiB",
    rounds=3,
)
