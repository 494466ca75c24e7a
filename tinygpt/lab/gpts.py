"""A small GPT in training, watched: its loss by step, what it answers on the way, and each layer's gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tinygpt.corpora import python_documentation
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.losses import cross_entropy
from tinygpt.module import Module
from tinygpt.optimizers import Optimizer
from tinygpt.schedules import Schedule, cosine, warmup
from tinygpt.text import IGNORED, Addition, CharacterTokenizer, Passages, Sorting, Source, Task, split
from tinygpt.training import Trainer

BATCH = 64  # examples a step
EXAMINED = 100  # problems never trained on
MOMENTS = 20  # of a training at which the model is examined, beside its beginning
CONTEXT = 64  # characters of prose that are read at once
PASSAGE = 134  # characters of prose that are written
PROMPT = "The "

SUBJECTS: dict[str, Callable[[], Source]] = {
    "sorting": Sorting,
    "addition": Addition,
    "prose": lambda: _prose(),
}


@dataclass(frozen=True)
class Moment:
    """A model after so many steps.

    `lines` are what it writes: a task's questions with its answers, and `right` says which of those are; or prose.
    `accuracy` is the share of right answers to questions never trained on, None for prose. `gradients` (layers,) is
    the root mean square of each layer's gradient.
    """

    step: int
    lines: tuple[str, ...]
    right: tuple[bool, ...]
    accuracy: float | None
    gradients: Any


@dataclass
class GPTRun:
    """A training, as far as it has come: of `steps` steps, with the losses of those done and the moments looked at."""

    label: str
    subject: str
    learning_rate: float
    steps: int
    layers: tuple[str, ...]
    losses: list[float] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    diverged: bool = False

    def at(self, step: int) -> Moment:
        """The last moment up to a step."""
        return [moment for moment in self.moments if moment.step <= step][-1]

    def smooth(self) -> Any:
        """Each step's loss averaged with those of the fiftieth of the training before it. Shape: (steps done,)."""
        sums = np.cumsum([0.0, *self.losses])
        ends = np.arange(1, len(sums))
        begins = np.maximum(ends - max(1, self.steps // 50), 0)
        return (sums[ends] - sums[begins]) / (ends - begins)


@cache
def source_of(subject: str) -> Source:
    """Where the examples of a subject come from: one of SUBJECTS."""
    return SUBJECTS[subject]()


def baby_gpt(source: Source, seed: int = 0, layers: int = 2, heads: int = 3, width: int = 48) -> GPT:
    """A small GPT for a source of examples, that has learned nothing."""
    config = GPTConfig(_tokenizer(source).size, source.length, layers, heads, width)
    return GPT(config, np.random.default_rng(seed))


def schedule(learning_rate: float, steps: int, warm: int, decays: bool) -> Schedule | float:
    """The learning rate, reached in `warm` steps; where it decays, along a cosine that is at 0 after the last."""
    rate: Schedule | float = cosine(learning_rate, steps) if decays else learning_rate
    return warmup(rate, warm) if warm else rate


def train_gpt(model: GPT, optimizer: Optimizer, source: Source, seed: int, run: GPTRun) -> Iterator[GPTRun]:
    """Train a model for the steps of a run, and yield the run after each, so that it can be drawn as it grows.

    The training ends where the loss is no finite number any more.
    """
    trainer = Trainer(model, optimizer, source, BATCH, np.random.default_rng(seed))
    marks = {round(run.steps * i / MOMENTS) for i in range(1, MOMENTS + 1)}
    run.moments.append(examine(model, source, 0))
    for step in range(1, run.steps + 1):
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                run.losses.append(trainer.step())
        except FloatingPointError:
            run.diverged = True
            return
        if step in marks:
            moment = examine(model, source, step)
            run.diverged = not np.isfinite(moment.gradients).all()
            if run.diverged:
                return
            run.moments.append(moment)
        yield run


@np.errstate(over="ignore", invalid="ignore")  # what overflows is told as divergence
def examine(model: GPT, source: Source, step: int) -> Moment:
    """What the model answers or writes now, and its gradients on a batch that is always the same."""
    inputs, targets = source.sample(BATCH, np.random.default_rng(0))
    model.zero_grad()
    cross_entropy(model(inputs), targets, ignore_index=IGNORED).backward()
    gradients = np.array([_root_mean_square(layer) for layer in layers_of(model).values()])
    model.zero_grad()
    if isinstance(source, Task):
        return Moment(step, *_answers(model, source), gradients)
    tokenizer = _tokenizer(source)
    passage = model.generate(tokenizer.encode(PROMPT), PASSAGE, temperature=0.7, rng=np.random.default_rng(0))
    return Moment(step, tuple(tokenizer.decode(passage).split("\n")), (), None, gradients)


def layers_of(model: GPT) -> dict[str, Module]:
    """The parts of a GPT whose gradients are compared, by name, from the bottom up."""
    parts: dict[str, Module] = {"tokens": model.token_embedding, "places": model.position_embedding}
    for number, block in enumerate(model.blocks, 1):
        parts |= {f"attention {number}": block.attention, f"MLP {number}": block.mlp}
    return parts


def _prose() -> Passages:
    text = python_documentation()
    tokenizer = CharacterTokenizer.of(text)
    return Passages(split(tokenizer.encode(text))[0], CONTEXT, tokenizer)


def _tokenizer(source: Source) -> Any:
    if source.tokenizer is None:
        raise ValueError("the source must have a tokenizer, got none: pass one, so that what is written can be read")
    return source.tokenizer


def _root_mean_square(layer: Module) -> float:
    gradients = [np.ravel(parameter.grad) for parameter in layer.parameters() if parameter.grad is not None]
    return float(np.sqrt(np.mean(np.concatenate(gradients) ** 2)))


def _answers(model: GPT, task: Task) -> tuple[tuple[str, ...], tuple[bool, ...], float]:
    """Questions never trained on with the model's answers, which of them are right, and the share that is."""
    prompts, answers = task.examination(EXAMINED, np.random.default_rng(0))
    written = model.generate(prompts, task.answer_length, temperature=0)
    right = (written[:, task.prompt_length :] == answers).all(axis=1)
    return tuple(map(task.tokenizer.decode, written)), tuple(right.tolist()), float(right.mean())
