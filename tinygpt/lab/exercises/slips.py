"""Slips of the pen: an optimizer's own source with an edit or two, for a mistake is a formula that is nearly right."""

from __future__ import annotations

import hashlib
import inspect
import linecache
import textwrap
from collections.abc import Mapping
from functools import cache
from typing import Any

from tinygpt import Optimizer

Edits = Mapping[str, str]  # what stands in the source → what is put there


def edited(optimizer: type[Optimizer], edits: Edits) -> Any:
    """That optimizer class with these edits in its formula; `inspect.getsource` shows them.

    Raises: ValueError where an edit finds nothing to replace.
    """
    source = _source(optimizer.apply_single)
    for old, new in edits.items():
        if old not in source:
            raise ValueError(f"an edit must find its text in {optimizer.__name__}.apply_single, got {old!r}: adapt it")
        source = source.replace(old, new)
    file = f"<{optimizer.__name__} {hashlib.sha256(source.encode()).hexdigest()[:8]}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = dict(optimizer.apply_single.__globals__)
    exec(compile(source, file, "exec"), names)  # noqa: S102  the package's own lines, edited by its own tables
    return type(optimizer.__name__, (optimizer,), {"apply_single": names["apply_single"]})


@cache  # finding where a method ends takes milliseconds
def _source(function: Any) -> str:
    return textwrap.dedent(inspect.getsource(function))
