"""Training: batch by batch, a model is shown what it should have said; and nothing that it learned is lost.

A run can be stopped at any moment and go on later, bit for bit as if it had never stopped: a checkpoint holds the
weights, the optimizer's memory, the losses, and the state of every random generator.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, is_dataclass
from typing import Any

import numpy as np

from tinygpt import checkpoint
from tinygpt.checkpoint import File
from tinygpt.losses import cross_entropy
from tinygpt.module import Module, evaluating, take_weights, weights_of
from tinygpt.optimizers import Optimizer, clip_gradients, state_of, take_state
from tinygpt.tensor import Tensor, no_grad
from tinygpt.text import IGNORED, Source

KIND = "training run"


class Trainer:
    """A model, the optimizer that trains it, and the source of its examples; `step` is the loop's body, `run` the loop.

    Which examples come is drawn from rng. `losses` holds one number for each step done, `tokens_per_second` the speed
    of the last run. With `max_norm=None` gradients are not clipped.

    Raises: ValueError where the optimizer trains another model, or batch_size is less than 1.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer,
        source: Source,
        batch_size: int,
        rng: np.random.Generator,
        max_norm: float | None = 1.0,
    ) -> None:
        if not any(module is optimizer.module for module in model.modules()):
            raise ValueError("the optimizer must train this model, but it was built for another: build it again")
        if not batch_size >= 1:
            raise ValueError(f"batch_size must be >= 1, got {batch_size}")
        self.model = model
        self.optimizer = optimizer
        self.source = source
        self.batch_size = batch_size
        self.rng = rng
        self.max_norm = max_norm
        self.losses: list[float] = []
        self.tokens_per_second = 0.0

    @property
    def steps(self) -> int:
        """How many steps are done."""
        return len(self.losses)

    def step(self) -> float:
        """One batch, one update; returns the loss. It happens as a whole or, at an error or an interrupt, not at all.

        Raises: FloatingPointError for a loss that is not a finite number.
        """
        undo = self._undo()
        try:
            loss = self._loss(self.source, self.rng)
            if not np.isfinite(loss.data):
                raise FloatingPointError(
                    f"the loss must be finite, got {loss.item()} in step {self.steps + 1}: lower the learning rate"
                )
            self.optimizer.zero_grad()
            loss.backward()
            if self.max_norm is not None:
                clip_gradients(self.model, self.max_norm)
            self.optimizer.update()
            self.losses.append(loss.item())
        except BaseException:
            undo()
            raise
        return self.losses[-1]

    def run(
        self,
        steps: int,
        after: Callable[[Trainer], Any] | None = None,
        every: int = 100,
        checkpoint: File | None = None,
        checkpoint_every: int = 100,
        progress: bool = True,
    ) -> None:
        """So many steps; `after(trainer)` is called after every so many of them: to evaluate, to show, to draw.

        Where a checkpoint is named, the run is saved there every so many steps and at its end. An interrupt (Ctrl-C, or
        a notebook's stop button) ends the run early and quietly; it is saved then, too, and can go on. With `progress`
        a bar grows, where tqdm is installed.

        Raises: ValueError for negative steps, or unless every and checkpoint_every are ≥ 1; what `step` and `save` do.
        """
        if not (steps >= 0 and every >= 1 and checkpoint_every >= 1):
            raise ValueError(
                "steps must be >= 0, every and checkpoint_every >= 1, "
                f"got {steps}, {every} and {checkpoint_every}: count in whole steps"
            )
        start, goal, seconds = self.steps, self.steps + steps, 0.0
        with suppress(KeyboardInterrupt), _bar(steps if progress else None) as bar:
            while self.steps < goal:
                began = time.perf_counter()
                loss = self.step()
                seconds += time.perf_counter() - began
                self.tokens_per_second = (self.steps - start) * self.batch_size * self.source.length / seconds
                if bar is not None:
                    bar.set_postfix_str(f"loss {loss:.3f}, {self.tokens_per_second:,.0f} tokens/s", refresh=False)
                    bar.update()
                if checkpoint is not None and self.steps % checkpoint_every == 0 and self.steps < goal:
                    self.save(checkpoint)
                if after is not None and self.steps % every == 0:
                    if bar is not None:
                        bar.clear()  # so that what is printed has the line to itself
                    after(self)
        if checkpoint is not None:
            self.save(checkpoint)
        if self.steps < goal:
            saved = "" if checkpoint is None else f", saved in {os.fspath(checkpoint)}"
            print(f"Stopped after {self.steps:,} of {goal:,} steps{saved}. To go on, run {goal - self.steps:,} more.")

    def evaluate(self, source: Source | None = None, batches: int = 10, seed: int = 0) -> float:
        """The mean loss on batches of that source (the one trained on unless given), the same each time.

        The model evaluates, leaving out nothing, and learns nothing; the run's own generators are not touched.
        """
        rng = np.random.default_rng(seed)
        with evaluating(self.model), no_grad():
            return float(np.mean([self._loss(source or self.source, rng).item() for _ in range(batches)]))

    def save(self, file: File) -> None:
        """Write the run to one file, whole or not at all: what training changes, so that a fresh trainer can go on.

        Raises: TypeError for a state that is neither numbers nor arrays; OSError from the disk.
        """
        checkpoint.save(
            file,
            {
                "kind": KIND,
                "config": _config(self.model),
                "weights": weights_of(self.model),
                "optimizer": state_of(self.optimizer),
                "generators": {name: rng.bit_generator.state for name, rng in self._generators().items()},
                "losses": np.array(self.losses, np.float64),
            },
        )

    def load(self, file: File) -> None:
        """Go on from such a file: to continue is then bit-identical to never having stopped.

        The model, the optimizer's class and the generators must be as they were. Their settings, such as the learning
        rate, and those of the trainer are not in the file: those that are given now hold.

        Raises: ValueError that names what differs; nothing has changed then. OSError from the disk.
        """
        source, content = os.path.basename(file), checkpoint.load(file)
        if not isinstance(content, dict) or content.get("kind") != KIND:
            raise ValueError(f"{source} must hold a training run, but it holds something else: pick another file")
        undo = self._undo()
        try:
            self.losses = content["losses"].tolist()
            _require_same_config(source, content["config"], _config(self.model))
            take_weights(self.model, source, content["weights"])
            _require_same_precision(source, content["weights"], self.model)
            take_state(self.optimizer, source, content["optimizer"])
            _take_generators(source, content["generators"], self._generators())
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            undo()
            raise ValueError(f"{source} must be as save writes it, but its content is not: save it again") from error
        except BaseException:
            undo()
            raise

    def _loss(self, source: Source, rng: np.random.Generator) -> Tensor:
        inputs, targets = source.sample(self.batch_size, rng)
        return cross_entropy(self.model(inputs), targets, ignore_index=IGNORED)

    def _generators(self) -> dict[str, np.random.Generator]:
        return dict(_generators({"rng": self.rng, "model": self.model, "optimizer": self.optimizer}, "", set()))

    def _undo(self) -> Callable[[], None]:
        """What brings all that training changes back to what it is now; arrays are not copied, for none is written."""
        values = [(parameter, parameter.data) for parameter in self.model.parameters()]
        state, updates = self.optimizer.state.copy(), self.optimizer.updates
        losses, steps = self.losses, self.steps
        states = [(rng.bit_generator, rng.bit_generator.state) for rng in self._generators().values()]

        def undo() -> None:
            for parameter, value in values:
                parameter.data = value
            self.optimizer.state, self.optimizer.updates = state, updates
            for generator, before in states:
                generator.state = before
            self.losses = losses
            del self.losses[steps:]

        return undo


def _bar(steps: int | None) -> AbstractContextManager[Any]:
    """A bar of so many steps, if tqdm is installed; without steps, none."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return nullcontext()
    return nullcontext() if steps is None else tqdm(total=steps)


def _generators(holder: Any, prefix: str, seen: set[int]) -> Iterator[tuple[str, np.random.Generator]]:
    """Every random generator that the holder reaches, with its path; once, though many may draw from it."""
    members = vars(holder) if isinstance(holder, (Module, Optimizer)) else holder
    for key, item in members.items() if isinstance(members, dict) else enumerate(members):
        source = item.bit_generator if isinstance(item, np.random.Generator) else item
        if isinstance(item, _HOLDERS) and id(source) not in seen:
            seen.add(id(source))
            if isinstance(item, np.random.Generator):
                yield f"{prefix}{key}", item
            else:
                yield from _generators(item, f"{prefix}{key}.", seen)


def _take_generators(source: str, states: Any, generators: dict[str, np.random.Generator]) -> None:
    if states.keys() != generators.keys():
        raise ValueError(
            f"{source} holds the random generators {', '.join(states)}, but this run has {', '.join(generators)}: "
            "let the same parts draw from the same ones"
        )
    for name, rng in generators.items():
        found, kind = type(rng.bit_generator).__name__, states[name]["bit_generator"]
        if found != kind:
            raise ValueError(f"{name} must draw from {kind}, as it did in {source}, got {found}")
        rng.bit_generator.state = states[name]


def _config(model: Module) -> dict[str, Any]:
    """What decides the model's shape, where it says so in a dataclass `config`, as GPT does."""
    config = getattr(model, "config", None)
    return asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}


def _require_same_config(source: str, saved: dict[str, Any], own: dict[str, Any]) -> None:
    for name in saved | own:
        if saved.get(name) != own.get(name):
            raise ValueError(
                f"{name} must be {saved.get(name)}, as in {source}, got {own.get(name)}: build the model that was saved"
            )


def _require_same_precision(source: str, saved: dict[str, Any], model: Module) -> None:
    for name, parameter in model.named_parameters():
        if saved[name].dtype != parameter.dtype:
            raise ValueError(
                f"{name} must be of {saved[name].dtype}, as in {source}, got {parameter.dtype}: "
                "build the model that was saved"
            )


_HOLDERS = (np.random.Generator, Module, Optimizer, list, tuple, dict)
