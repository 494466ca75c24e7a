"""Decay: what weight decay does to a busy weight and to an idle one, as L2 in the gradient and decoupled from it.

Both weights start at 2. The data give the busy one the gradients +s, −s, +s, … , which are loud and ask for nothing on
average; they give the idle one none. Only decay moves either of them for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from tinygpt.lab.failure import feed
from tinygpt.optimizers import SGD, Adam, AdamW, Optimizer

RULES: dict[str, Callable[..., Optimizer]] = {"SGD + L2": SGD, "Adam + L2": Adam, "AdamW": AdamW}
START = 2.0
DECAYS = 10.0 ** np.arange(-4, 0.01, 0.25)  # where the sweep looks: 1e-4, …, 1


@dataclass(frozen=True)
class Decay:
    """The two weights under one rule.

    `busy` and `idle` (steps + 1,) begin at 2; `idle_left` is the share of the idle one that is left after the last step
    under each weight decay of DECAYS.
    """

    busy: Any
    idle: Any
    idle_left: Any


def decay(
    weight_decay: float = 0.1,
    learning_rate: float = 0.01,
    size: float = 10.0,
    steps: int = 100,
    rules: Iterable[str] = tuple(RULES),
) -> dict[str, Decay]:
    """Run some of RULES on the two weights; `size` is s, that of the busy one's gradients.

    Under Adam + L2 the decay is divided by the size of the gradients, like all that is in the gradient. The idle weight
    has no other gradient than the decay itself, whose size cancels: it shrinks by about λ a step, whatever the decay.

    Raises: ValueError unless all are ≥ 0.
    """
    if not (size >= 0 and steps >= 0):
        raise ValueError(f"size and steps must be >= 0, got {size} and {steps}")
    every = np.concatenate([[weight_decay], DECAYS])  # one run for them all
    loud = size * np.stack([np.ones_like(every), np.zeros_like(every)])  # (busy and idle, decays)
    found = {}
    for label in rules:
        make = partial(RULES[label], learning_rate=learning_rate, weight_decay=every)
        walk = feed(make, np.full_like(loud, START), lambda step, _: loud if step % 2 == 0 else -loud, steps)
        w = np.array([w for w, _ in walk])  # (steps + 1, busy and idle, decays)
        found[label] = Decay(w[:, 0, 0], w[:, 1, 0], w[-1, 1, 1:] / START)
    return found
