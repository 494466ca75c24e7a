"""GPTLab: a small GPT learns before your eyes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from IPython.display import clear_output, display

from tinygpt.gpt import GPT
from tinygpt.lab.charts.gpt import GPTPicture, gpt_caption
from tinygpt.lab.charts.style import styles
from tinygpt.lab.gpts import SUBJECTS, GPTRun, baby_gpt, examine, layers_of, schedule, source_of, train_gpt
from tinygpt.lab.widgets.housekeeping import running_cell
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, Knob, counter, hyperparameters, menu, slider, step_slider, switch
from tinygpt.optimizers import SGD, Adam, AdamW, Optimizer

GPT_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "Adam": Adam,
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "AdamW": AdamW,
}
LEARNING_RATE = Knob("λ", KNOBS["learning_rate"].words, -4, 1, 1e-3, 0.05, log=True)
REPAINT = 0.3  # seconds from one picture of a training to the next
KEPT = 4  # trainings whose curves stay beside the new one


class GPTLab(Instrument):
    """A small GPT learns a task or prose: its loss, alive while it trains, what it answers, and each layer's gradient.

    `subject` is "sorting", "addition" or "prose"; `optimizer` a label of GPT_OPTIMIZERS, or of `optimizers`, which maps
    labels to Optimizer subclasses or partials of them. `learning_rate` is the optimizer's own default unless given; it
    is reached in `warmup` steps and, with `decay`, goes down to 0 along a cosine. A knob that turns starts a new
    training, and the curves of the last ones stay; an interrupt ends one, and what it reached is shown. `step` shows
    an earlier moment.

    Raises: ValueError for a subject or an optimizer that is not there.
    """

    repaints = frozenset({"step"})

    def __init__(
        self,
        subject: str = "sorting",
        optimizer: str = "Adam",
        learning_rate: float | None = None,
        warmup: int = 0,
        decay: bool = False,
        steps: int = 400,
        seed: int = 0,
        step: int | None = None,
        optimizers: Mapping[str, Callable[..., Optimizer]] | None = None,
    ) -> None:
        self.optimizers = dict(GPT_OPTIMIZERS if optimizers is None else optimizers)
        self.fixed = {} if optimizers is None else {"optimizers": optimizers}
        chosen = menu(optimizer, list(self.optimizers), "optimizer", "the optimizer that trains the GPT")
        rate = self._own_rate(optimizer) if learning_rate is None else learning_rate
        self.knobs = {
            "subject": menu(subject, list(SUBJECTS), "subject", "what the GPT learns"),
            "optimizer": chosen,
            "learning_rate": slider(rate, LEARNING_RATE),
            "warmup": counter(warmup, 0, max(200, warmup), "warm-up", "steps in which λ is reached"),
            "decay": switch(decay, "cosine decay of λ", "λ goes down to 0 along a cosine"),
            "steps": counter(steps, 10, max(3000, steps), "steps", "number of training steps"),
            "seed": counter(seed, 0, 99, "seed", "seed of the first weights and of the examples"),
            "step": step_slider(step, steps, "step", "the step shown"),
        }
        for name in ("learning_rate", "warmup", "steps", "seed"):
            self.knobs[name].continuous_update = False  # a training takes seconds
        self.knobs["step"].layout.width = "420px"
        self.runs: list[GPTRun] = []
        self.model: GPT | None = None
        super().__init__()

    def turned(self, name: str) -> None:
        """Another optimizer begins with its own learning rate."""
        with self.one_run(name not in self.repaints):
            if name == "optimizer":
                self.knobs["learning_rate"].value = self._own_rate(self.knobs["optimizer"].value)

    def compute(self) -> None:
        """Train, and repaint on the way; where the cell is still running, the picture stands below it meanwhile."""
        subject, label, rate, warm, decays, steps, seed = (k.value for name, k in self.knobs.items() if name != "step")
        source = source_of(subject)
        self.model = baby_gpt(source, seed)
        make, free = self.optimizers[label], hyperparameters(self.optimizers[label], lively=False)
        own = {"learning_rate": schedule(rate, steps, warm, decays)} if "learning_rate" in free else {}
        run = GPTRun(label, subject, rate, steps, tuple(layers_of(self.model)))
        before = self.runs
        self.runs = [*[old for old in before if old.subject == subject][-KEPT:], run]
        self._show_steps(steps)
        is_alone = running_cell()[0] is not None
        if is_alone:
            display(self.view)  # type: ignore[no-untyped-call]
        try:
            self._train(train_gpt(self.model, make(self.model, **own), source, seed, run))
        except KeyboardInterrupt:
            run.steps = max(len(run.losses), 1)
            run.moments.append(examine(self.model, source, run.steps))
            self._show_steps(run.steps)
        except BaseException:
            self.runs = before
            raise
        finally:
            if is_alone:
                clear_output(wait=True)  # type: ignore[no-untyped-call]

    def _train(self, training: Iterator[GPTRun]) -> None:
        painted = time.perf_counter()
        for _ in training:
            if time.perf_counter() - painted > REPAINT:
                self._paint()
                painted = time.perf_counter()

    def _own_rate(self, label: str) -> float:
        """The learning rate with which an optimizer begins."""
        make = self.optimizers[label]
        bound = make.keywords if isinstance(make, partial) else {}
        rate = {**hyperparameters(make, lively=False), **bound}.get("learning_rate", LEARNING_RATE.default)
        return float(rate(0)) if callable(rate) else float(rate)

    def _show_steps(self, steps: int) -> None:
        """The step shown follows where it was the last."""
        step = self.knobs["step"]
        at_end = step.value == step.max
        step.max = steps
        if at_end:
            step.value = steps

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> GPTPicture:
        """The three panels."""
        return GPTPicture(theme, ratio, narrow)

    def draw(self, scene: GPTPicture) -> None:
        """The trainings kept, and the last at the step shown."""
        looks = styles(self.optimizers)
        scene.draw([(run, looks[run.label]) for run in self.runs], self.knobs["step"].value)

    def words(self) -> str:
        """The last training in words."""
        return gpt_caption(self.runs[-1], self.knobs["step"].value)

    def layout(self) -> list[list[Any]]:
        """What starts a training above, time below the picture."""
        *heavy, step = self.knobs.values()
        return [heavy, [self.view], [self.play_row(step, max(1, step.max // 20))], [self.reset_button()]]
