"""What a check answers: one of three levels, and what differs."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from dataclasses import dataclass
from html import escape

import numpy as np

import tinygpt

STILL_TO_WRITE, ALMOST, CORRECT = LEVELS = ("still to write", "almost", "correct")
_SIGNS = dict(zip(LEVELS, "○◐●", strict=True))
_EDGES = dict(zip(LEVELS, ("dotted", "dashed", "solid"), strict=True))  # words, sign and line: no colour is needed

_OURS = tuple(
    os.path.realpath(path) + os.sep
    for path in (
        os.path.dirname(tinygpt.__file__),
        os.path.dirname(np.__file__),
        *map(sysconfig.get_path, ("stdlib", "purelib", "platlib")),
    )
)


@dataclass(frozen=True)
class Verdict:
    """How far an answer is.

    `level` is "still to write", "almost" or "correct"; `text` says what to do, what differs, or what holds.
    """

    exercise: str
    level: str
    text: str

    def __repr__(self) -> str:
        return f"{_SIGNS[self.level]} {self.exercise}: {self.level}\n{self.text}"

    def _repr_html_(self) -> str:
        return (
            f'<div style="border-left: 4px {_EDGES[self.level]}; padding-left: 0.8em">'
            f"<b>{_SIGNS[self.level]} {escape(self.exercise)}: {self.level}</b><br>{marked(self.text)}</div>"
        )


class Hints(tuple[str, ...]):
    """Hints to an exercise; in a notebook they open one by one, with or without a kernel."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{len(self)} hints. Where they cannot be opened, hints(…)[0] is the first."

    def _repr_html_(self) -> str:
        inner = ""
        for number, hint in reversed(list(enumerate(self, 1))):
            inner = f"<details><summary>Hint {number} of {len(self)}</summary><p>{marked(hint)}</p>{inner}</details>"
        return inner


def told(error: BaseException) -> str:
    """An error in the reader's words: their line where it happened there, and never the way through ours."""
    message = re.sub(r" at 0x[0-9a-f]+", "", str(error)).rstrip(".")  # an address differs from run to run
    what = f"{type(error).__name__}: {message}" if message else type(error).__name__
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_ours(frame.filename)]
    if not own:
        return f"{message or what}."
    last = own[-1]
    place = os.path.basename(last.filename) if os.path.isfile(last.filename) else "your cell"
    line = f", in `{last.line}`" if last.line else ""
    text = f"Your code stopped at line {last.lineno} of {place}{line}, with {what}."
    if "OptimizerState" in message:
        text += ' Likely cause: the state holds no number there yet; state.get("v", 0.0) gives it a start.'
    return text


def _is_ours(file: str) -> bool:
    return file.startswith(("<frozen", "<__array_function__")) or os.path.realpath(file).startswith(_OURS)


def marked(text: str) -> str:
    """The text as HTML, with what stands between backticks set as code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text, quote=False))
