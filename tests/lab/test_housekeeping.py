"""Housekeeping: a cell that runs again leaves nothing of its first run behind."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import ipywidgets
import pytest
from ipywidgets.widgets.widget import _instances

from tinygpt.lab import Explorer
from tinygpt.lab.widgets import housekeeping
from tinygpt.lab.widgets.housekeeping import close, replace_earlier


class Kernel:
    """A kernel that is running a cell."""

    def __init__(self) -> None:
        self.parent: dict[str, Any] = {}

    def run(self, cell: str | None, run: str) -> None:
        self.parent = {"header": {"msg_id": run}, "metadata": {} if cell is None else {"cellId": cell}}

    def get_parent(self) -> dict[str, Any]:
        return self.parent


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    kernel = Kernel()
    monkeypatch.setattr(housekeeping, "get_ipython", lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setattr(housekeeping, "_made", {})
    return kernel


def made(*, kernel: Kernel, cell: str | None, run: str) -> ipywidgets.Widget:
    """A widget that this run of the cell makes."""
    kernel.run(cell, run)
    widget = ipywidgets.VBox([ipywidgets.FloatSlider()])
    replace_earlier(widget)
    return widget


def is_open(widget: ipywidgets.Widget) -> bool:
    return widget.comm is not None


def test_the_second_run_of_a_cell_closes_what_the_first_made(kernel: Kernel) -> None:
    first = made(kernel=kernel, cell="a", run="1")
    second = made(kernel=kernel, cell="a", run="2")
    assert (is_open(first), is_open(first.children[0]), is_open(second)) == (False, False, True)


def test_two_widgets_of_one_run_live_beside_each_other(kernel: Kernel) -> None:
    pair = [made(kernel=kernel, cell="a", run="1") for _ in range(2)]
    assert all(map(is_open, pair))


def test_a_run_closes_both_that_the_one_before_made(kernel: Kernel) -> None:
    pair = [made(kernel=kernel, cell="a", run="1") for _ in range(2)]
    made(kernel=kernel, cell="a", run="2")
    assert not any(map(is_open, pair))


def test_another_cell_closes_nothing(kernel: Kernel) -> None:
    first = made(kernel=kernel, cell="a", run="1")
    made(kernel=kernel, cell="b", run="2")
    assert is_open(first)


def test_where_cells_have_no_names_nothing_is_closed(kernel: Kernel) -> None:
    first = made(kernel=kernel, cell=None, run="1")
    made(kernel=kernel, cell=None, run="2")
    assert is_open(first)


def test_what_the_reader_closed_already_is_no_trouble(kernel: Kernel) -> None:
    made(kernel=kernel, cell="a", run="1").close()
    assert is_open(made(kernel=kernel, cell="a", run="2"))


def test_without_a_kernel_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "get_ipython", lambda: None)
    widget = ipywidgets.FloatSlider()
    replace_earlier(widget)
    assert is_open(widget)


def test_an_explorer_replaces_the_one_that_its_cell_made_before(kernel: Kernel) -> None:
    kernel.run("a", "1")
    first = Explorer("quadratic", {}, steps=1)
    kernel.run("a", "2")
    second = Explorer("quadratic", {}, steps=1)
    assert (is_open(first), is_open(second)) == (False, True)


@pytest.mark.parametrize(
    "make",
    [
        ipywidgets.FloatSlider,
        lambda: ipywidgets.VBox([ipywidgets.HBox([ipywidgets.Play(), ipywidgets.Button()])]),
        lambda: ipywidgets.Accordion([ipywidgets.VBox([ipywidgets.HTML("x")])]),
        lambda: Explorer("quadratic", steps=1),
        lambda: Explorer("quadratic", {"a path": [(0.0, 0.0)]}, steps=1),
    ],
    ids=["slider", "boxes", "fold", "explorer", "explorer without knobs"],
)
def test_closing_a_widget_closes_all_that_came_with_it(make: Any) -> None:
    before = set(_instances)
    close(make())
    assert [repr(_instances[key]) for key in set(_instances) - before] == []


def test_closing_twice_is_closing() -> None:
    widget = ipywidgets.VBox([ipywidgets.FloatSlider()])
    close(widget)
    close(widget)
    assert not is_open(widget)


def test_a_widget_within_itself_is_closed_once() -> None:
    outer, inner = ipywidgets.VBox(), ipywidgets.VBox()
    outer.children, inner.children = [inner], [outer]
    close(outer)
    assert not is_open(inner)
