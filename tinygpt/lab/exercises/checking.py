"""The check of an answer, and the hints to it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygpt.lab.exercises.adaptive import ADAPTIVE_LESSONS
from tinygpt.lab.exercises.exercise import Exercise
from tinygpt.lab.exercises.first import FIRST_LESSONS
from tinygpt.lab.exercises.gpt import GPT_LESSONS
from tinygpt.lab.exercises.later import LATER_LESSONS
from tinygpt.lab.exercises.verdict import ALMOST, CORRECT, STILL_TO_WRITE, Hints, Verdict, told

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise for exercise in (*FIRST_LESSONS, *ADAPTIVE_LESSONS, *GPT_LESSONS, *LATER_LESSONS)
}


def check(answer: Any, exercise: str | None = None) -> Verdict:
    """How far an answer is: still to write, almost (and what differs, with a likely cause) or correct.

    A class or function is known by its own name, with or without "My" before it; under another name, and for numbers,
    `exercise` names what it answers: `check(GradientDescent)`, `check(0.1, "ravine_rate")`.

    Raises: ValueError where no exercise has that name.
    """
    task = _find(answer, exercise)
    try:
        with np.errstate(all="ignore"):  # what is not a number is told as such
            text = task.differs(answer)
    except NotImplementedError:
        return Verdict(task.name, STILL_TO_WRITE, task.task)
    except Exception as error:  # whatever the reader's code may raise
        text = told(error)
    return Verdict(task.name, ALMOST, text) if text else Verdict(task.name, CORRECT, task.right)


def hints(exercise: Any) -> Hints:
    """The hints to an exercise, given by its name or by the class or function, to be opened one by one.

    Raises: ValueError where no exercise has that name.
    """
    return Hints(_find(exercise, exercise if isinstance(exercise, str) else None).hints)


def _find(answer: Any, name: str | None) -> Exercise:
    own = getattr(answer, "__name__", type(answer).__name__) if name is None else name
    found = EXERCISES.get(str(own)) or EXERCISES.get(str(own).removeprefix("My"))
    if found is None:
        names = ", ".join(EXERCISES)
        raise ValueError(
            f"an exercise must be one of {names}; got {own!r}: name it after the answer, check(answer, name)"
        )
    return found
