"""Housekeeping: widgets that a cell made before are closed when it runs again, so that nothing piles up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from IPython.core.getipython import get_ipython
from ipywidgets import Widget

_made: dict[str, tuple[str, list[Widget]]] = {}  # by cell: the run that made them, and the widgets


def replace_earlier(widget: Widget) -> None:
    """Close what an earlier run of the cell that is running now had made, and remember this widget as its successor."""
    cell, run = running_cell()
    if cell is None:
        return
    earlier, widgets = _made.get(cell, (run, []))
    if earlier != run:
        for old in widgets:
            close(old)
        widgets = []
    _made[cell] = run, [*widgets, widget]


def running_cell() -> tuple[str | None, str]:
    """The cell that is running now and the run's own name; no cell where no front end such as JupyterLab looks on."""
    kernel = getattr(get_ipython(), "kernel", None)
    parent = kernel.get_parent() if kernel is not None else {}
    return (parent.get("metadata") or {}).get("cellId"), parent.get("header", {}).get("msg_id", "")


def close(widget: Widget) -> None:
    """Close a widget and all that it is made of: children, layouts, styles and links."""
    for part in list(_parts(widget, set())):
        part.close()


def _parts(value: Any, seen: set[int]) -> Iterator[Widget]:
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _parts(item, seen)
    elif isinstance(value, Widget) and id(value) not in seen:
        seen.add(id(value))
        for name in value.keys:
            yield from _parts(getattr(value, name), seen)
        yield value
