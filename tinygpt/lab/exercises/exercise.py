"""What an exercise is, and the ways in which an optimizer that was written for one is examined."""

from __future__ import annotations

import dis
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygpt import Optimizer
from tinygpt.lab.exercises.laws import conformance
from tinygpt.lab.exercises.slips import Edits, edited
from tinygpt.lab.exercises.walks import GRADIENTS, START, near, walk

Law = Callable[[Any], str]  # what differs in an answer, "" where nothing does

EXACT = 1e-12  # a path of eight steps rounds some dozens of times by 1e-16
ALIKE = 1e-9  # as a known mistake's path
ABOUT = 1e-3  # a number that was rounded to three digits is taken for the one that was meant

UNCHECKED = "other hyperparameters validated"  # the law that an answer of a few lines may break
BEGINNER = (UNCHECKED, "learning rate validated")  # and those that a first optimizer may

_READS = ("LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_SMALL_INT")  # in a function's bytecode


@dataclass(frozen=True)
class Exercise:
    """A task with its check.

    `name` is that of the class or function to write, or of the number to find; `solution` is one right answer; the
    first of `laws` that is broken says what differs, and `right` what is so if none is.

    Raises: NotImplementedError, from a law, where nothing is written yet.
    """

    name: str
    lesson: str
    task: str
    solution: Any
    hints: tuple[str, ...]
    laws: tuple[Law, ...]
    right: str

    def differs(self, answer: Any) -> str:
        """What differs first between the answer and a right one, in a sentence or two; "" where nothing does."""
        return next(filter(None, (law(answer) for law in self.laws)), "")


# --- is there an answer? ----------------------------------------------------------------------------------------------


def given(answer: Any) -> Any:
    """The answer itself; or, of a function without arguments, what it gives back.

    Raises: NotImplementedError where that is None or an ellipsis.
    """
    value = answer() if callable(answer) else answer
    if value is None or value is ...:
        raise NotImplementedError
    return value


def written(function: Any) -> Any:
    """The function.

    Raises: NotImplementedError where its body is `pass` or `...`: it reads nothing, and has no number to give back.
    """
    code = getattr(function, "__code__", None)
    if code is None:
        return function
    has_number = not all(constant in (None, ...) or isinstance(constant, str) for constant in code.co_consts)
    if not has_number and not any(step.opname.startswith(_READS) for step in dis.get_instructions(code)):
        raise NotImplementedError
    return function


def number(answer: Any) -> float:
    """The answer as one number above 0.

    Raises: ValueError in the reader's words for anything else.
    """
    value = given(answer)
    if not isinstance(value, (int, float, np.number)) or not 0 < value < np.inf:
        raise ValueError(f"the answer must be one number above 0, got {value!r}")
    return float(value)


def likely_cause(found: Any, mistakes: Mapping[str, Any], tolerance: float) -> str:
    """What has gone wrong where the answer is what a known mistake gives, as a sentence; else ""."""
    causes = (cause for cause, result in mistakes.items() if near(found, result, tolerance))
    return next((f"Likely cause: {cause}." for cause in causes), "")


# --- optimizers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Follows:
    """The law that an optimizer takes the reference's path.

    `mistakes` maps a likely cause to the edit of the reference's source that makes the same mistake: who walks as the
    edited one walks is told that cause.
    """

    reference: type[Optimizer]
    mistakes: Mapping[str, Edits]
    keywords: Mapping[str, Any]

    def __call__(self, answer: Any) -> str:
        """Where the answer's path leaves the right one, and why it may."""
        written(getattr(answer, "apply_single", None))
        found, right = walk(answer, **self.keywords), walk(self.reference, **self.keywords)
        if near(found, right, EXACT):
            return ""
        paths = {cause: walk(edited(self.reference, edits), **self.keywords) for cause, edits in self.mistakes.items()}
        return f"{_difference(found, right)} {likely_cause(found, paths, ALIKE) or _clue(found, right)}"


def conforms(*without: str, **keywords: Any) -> Law:
    """The law that an optimizer keeps all laws of `conformance`, but for those named."""

    def law(answer: Any) -> str:
        broken = [finding for finding in conformance(answer, **keywords).broken if finding.law not in without]
        return f"The path is right, but one law is broken. {broken[0].law}: {broken[0].differs}" if broken else ""

    return law


def ignores_scale(**keywords: Any) -> Law:
    """The law that gradients a thousand times as large lead along the same path."""

    def law(answer: Any) -> str:
        plain, scaled = walk(answer, **keywords), walk(answer, 1000 * GRADIENTS, **keywords)
        if near(plain, scaled, EXACT):
            return ""
        ratio = np.linalg.norm(scaled[1] - START) / np.linalg.norm(plain[1] - START)
        return (
            f"With gradients 1000 times as large the path should stay, but the first step is {ratio:.4g} times as long."
        )

    return law


def steps_have_size(rate: float, **keywords: Any) -> Law:
    """The law that each step moves each weight by the learning rate, this way or that, if at all."""

    def law(answer: Any) -> str:
        written(getattr(answer, "apply_single", None))
        sizes = np.abs(np.diff(walk(answer, learning_rate=rate, **keywords), axis=0))
        for step, entry in np.argwhere(~((np.abs(sizes - rate) <= EXACT) | (sizes == 0))):
            size = f"Step {step + 1} moves w[{entry}] by {sizes[step, entry]:.4g}, but each step should by {rate:.4g}."
            return f"{size} Likely cause: more than the sign of the mix enters the step."
        return ""

    return law


def _difference(found: Any, right: Any) -> str:
    """Where two paths part, and by how much."""
    step, entry = next((s, e) for s, e in np.ndindex(*right.shape) if not near(found[s, e], right[s, e], EXACT))
    gradient = GRADIENTS[step - 1, entry]
    place = f"After step {step}, with the gradient {gradient:.4g}, w[{entry}] is"
    if not np.isfinite(found[step, entry]):
        return f"{place} not a finite number, but should be {right[step, entry]:.6g}."
    off = found[step, entry] - right[step, entry]
    return (
        f"{place} {found[step, entry]:.6g}, but should be {right[step, entry]:.6g}: "
        f"{abs(off):.3g} too {'high' if off > 0 else 'low'}."
    )


def _clue(found: Any, right: Any) -> str:
    """What the way in which two paths differ says about the cause."""
    if near(found[1], right[1], EXACT):
        return "The first step is right, so look at what is remembered from step to step."
    ratios = (found[1] - found[0]) / (right[1] - right[0])
    if near(ratios, np.full_like(ratios, ratios[0]), ALIKE):
        return f"The first step is {ratios[0]:.4g} times what it should be, along every axis."
    return "Already the first step differs, so look at the formula, line by line."
