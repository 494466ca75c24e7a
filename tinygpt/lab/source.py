"""The live source of a function, for a lesson to quote instead of copying."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any


class Source(str):
    """Python code that notebooks show highlighted."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        return f"```python\n{self}```"

    def __repr__(self) -> str:
        return str(self)


def show_source(function: Callable[..., Any]) -> Source:
    """The source code of a function or class, as it runs here and now."""
    return Source(textwrap.dedent(inspect.getsource(function)))
