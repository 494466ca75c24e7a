"""The exercise of the lesson on a GPT: an optimizer of one's own that trains it better than the given one."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np

from tinygpt import Adam, Optimizer, OptimizerState, Tensor
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.lab.exercises.exercise import BEGINNER, Exercise, conforms, written
from tinygpt.text import Sorting
from tinygpt.training import Trainer

STEPS, BATCH = 100, 64
LAST = 10  # steps over which the loss is averaged


def rival_loss(make: Any) -> float:
    """The loss of a small GPT that learns to sort six digits, after 100 steps of an optimizer; infinity if it diverges.

    Every optimizer begins with the same weights and sees the same 6,400 examples.
    """
    task = Sorting()
    model = GPT(GPTConfig(task.tokenizer.size, task.length, 2, 3, 48), np.random.default_rng(0))
    trainer = Trainer(model, make(model), task, BATCH, np.random.default_rng(0))
    try:
        for _ in range(STEPS):
            trainer.step()
    except FloatingPointError:
        return math.inf
    return float(np.mean(trainer.losses[-LAST:]))


@cache
def given_loss() -> float:
    """What Adam reaches with its defaults."""
    return rival_loss(Adam)


def _beats_adam(answer: Any) -> str:
    written(getattr(answer, "apply_single", None))
    loss, given = rival_loss(answer), given_loss()
    if loss < given:
        return ""
    if math.isinf(loss):
        return "The loss is no finite number any more. Likely cause: the steps are too long, or lead up the slope."
    found = f"After {STEPS} steps the loss is {loss:.2f}, and Adam's is {given:.2f}."
    if loss > math.log(Sorting().tokenizer.size):
        return f"{found} It is higher than at the start. Likely cause: the steps lead up the slope, or are too long."
    if loss > 3 * given:
        return f"{found} Likely cause: the steps are too short, or are multiples of the gradient, which is small here."
    return f"{found} Close: try learning rates twice as large and half as large."


class Signs(Optimizer):
    """A step of one length along every axis, against the sign of an average of gradients."""

    def __init__(self, module: Any, learning_rate: Any = 2e-3) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        """One such step."""
        m = state["m"] = 0.9 * state.get("m", 0.0) + 0.1 * parameter.grad
        return parameter.data - self.learning_rate * np.sign(m)


RIVAL = Exercise(
    name="Rival",
    lesson="11",
    task=(
        "Write `Rival`, an optimizer with a default for its learning rate: after 100 steps a small GPT that learns to "
        "sort shall have a lower loss than with Adam and its defaults, from the same start and on the same examples."
    ),
    solution=Signs,
    hints=(
        "Adam's default λ = 0.001 is careful. What does your optimizer do with twice of it?",
        "The layers' gradients differ in size: a step that does not depend on it treats them alike (lesson 06).",
        "The sign of an average is such a step: `np.sign(m)` with `m = 0.9 m + 0.1 g`.",
    ),
    laws=(_beats_adam, conforms(*BEGINNER)),
    right="A lower loss than Adam's, in the same number of tokens.",
)

GPT_LESSONS = (RIVAL,)
