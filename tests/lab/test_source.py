"""The source that a lesson quotes is the source that runs."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from tinygpt import SGD, Adam, Optimizer, optimizers
from tinygpt.lab.source import as_code, show_source

QUOTED = [SGD.apply_single, Adam.apply_single, Adam, Optimizer.update, show_source]
every_quotation = pytest.mark.parametrize("quoted", QUOTED, ids=lambda quoted: quoted.__qualname__)


@every_quotation
def test_a_quotation_is_whole_and_can_be_read_by_itself(quoted: Any) -> None:
    (node,) = ast.parse(show_source(quoted)).body
    assert node.name == quoted.__name__  # type: ignore[attr-defined]


@every_quotation
def test_every_line_quoted_stands_in_the_package(quoted: Any) -> None:
    lines = {line.strip() for line in inspect.getsource(inspect.getmodule(quoted)).splitlines()}
    assert {line.strip() for line in show_source(quoted).splitlines()} <= lines


@every_quotation
def test_a_quotation_begins_at_the_margin(quoted: Any) -> None:
    assert not show_source(quoted)[0].isspace()


def test_what_runs_is_what_is_quoted() -> None:
    names = dict(vars(optimizers))
    exec(show_source(SGD.apply_single), names)
    assert names["apply_single"].__code__.co_code == SGD.apply_single.__code__.co_code


@every_quotation
def test_a_notebook_shows_it_as_python(quoted: Any) -> None:
    source = show_source(quoted)
    assert source._repr_markdown_() == f"```python\n{source}```"
    assert source.endswith("\n")


@every_quotation
def test_without_a_notebook_it_reads_as_it_is(quoted: Any) -> None:
    assert repr(show_source(quoted)) == "".join(show_source(quoted))


def test_a_function_without_a_name_is_left_for_its_maker_to_name() -> None:
    assert as_code({"loss": lambda x: x}) == '{"loss": your_function}'
