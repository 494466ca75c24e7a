"""Source: live code for a lesson to quote instead of copying, and values as the code that makes them."""

from __future__ import annotations

import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np


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


def as_code(value: Any) -> str:
    """The Python that makes a value: functions and classes by name, partials, mappings and surfaces written out.

    A function without a name is `your_function`, for its maker to name.
    """
    if isinstance(value, partial):
        keywords = ", ".join(f"{name}={as_code(v)}" for name, v in value.keywords.items())
        return f"partial({as_code(value.func)}, {keywords})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{as_code(key)}: {as_code(v)}" for key, v in value.items()) + "}"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return f"{value:.6g}" if float(f"{value:.6g}") == value else repr(value)
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()})"
    if is_dataclass(value) and not isinstance(value, type):
        held = [(f, getattr(value, f.name)) for f in fields(value)]
        named = [f"{f.name}={as_code(v)}" for f, v in held if f.default is MISSING or v != f.default]
        return f"{type(value).__name__}({', '.join(named)})"
    return getattr(value, "__name__", repr(value)).replace("<lambda>", "your_function")
