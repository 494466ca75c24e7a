"""What the tests of training share: a small run; and, as a program, that run until somebody kills it."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from tinygpt import optimizers, schedules
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.text import Passages
from tinygpt.training import Trainer

TOKENS = np.arange(300) ** 2 % 11

RUNS: dict[str, dict[str, Any]] = {
    "Adam": {},
    "AdamW with a schedule": {
        "optimizer": "AdamW",
        "learning_rate": schedules.warmup(schedules.cosine(0.01, 8, 0.001), 3),
    },
    "SGD with momentum": {"optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.9},
    "no dropout": {"dropout": 0.0},
    "float64": {"dtype": np.float64},
    **{name: {"generator": name} for name in ("MT19937", "PCG64DXSM", "Philox", "SFC64")},
}


def a_trainer(
    optimizer: str = "Adam",
    dtype: Any = np.float32,
    generator: str = "PCG64",
    seed: int = 0,
    max_norm: float | None = 1.0,
    learning_rate: Any = 0.01,
    momentum: float | None = None,
    **config: Any,
) -> Trainer:
    """A run of a tiny GPT with dropout, always the same one."""
    weights, batches = (np.random.Generator(getattr(np.random, generator)(seed + i)) for i in range(2))
    shape = {"context_length": 6, "layers": 1, "heads": 2, "width": 8, "dropout": 0.1, **config}
    model = GPT(GPTConfig(vocabulary_size=11, **shape), weights, dtype)
    setting = {"learning_rate": learning_rate} | ({} if momentum is None else {"momentum": momentum})
    trained_by = getattr(optimizers, optimizer)(model, **setting)
    return Trainer(model, trained_by, Passages(TOKENS, 6), batch_size=3, rng=batches, max_norm=max_norm)


def main(run: str, file: str, steps: str, checkpoint_every: str) -> None:
    """Go on from file, where it is there, for so many steps, and tell each."""
    trainer = a_trainer(**RUNS[run])
    if os.path.exists(file):
        trainer.load(file)
    trainer.run(
        int(steps),
        after=lambda trainer: print(trainer.steps, flush=True),
        every=1,
        checkpoint=file,
        checkpoint_every=int(checkpoint_every),
        progress=False,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
