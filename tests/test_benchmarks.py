"""The benchmarks compute what they say, in every framework that is here; how long it takes is no matter of tests."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import islice
from typing import Any

import pytest
from links import ROOT

from benchmarks import __main__ as command
from benchmarks import runner, worker
from benchmarks.__main__ import line_of, table
from benchmarks.runner import Run, difference
from benchmarks.workload import OURS, Goal, Row, Workload
from benchmarks.workloads import WORKLOADS

STEPS = 2  # of a tiny workload

HERE = [
    pytest.param(workload, row, id=f"{name} {label}")
    for name, workload in WORKLOADS.items()
    for label, row in workload.rows.items()
    if find_spec(row.package)
]
COMPARED = [
    pytest.param(workload, row, id=f"{name} {label}")
    for name, workload in WORKLOADS.items()
    for label, row in workload.rows.items()
    if workload.tolerance and label != OURS and find_spec(row.package)
]


def test_the_table_holds_every_workload() -> None:
    assert {name[:2] for name in WORKLOADS} == {f"P{number}" for number in range(1, 9)}


def test_every_group_has_a_goal() -> None:
    with_goal = {name[:2] for name, workload in WORKLOADS.items() for row in workload.rows.values() if row.goal}
    assert with_goal == {name[:2] for name in WORKLOADS}


@pytest.mark.parametrize(("workload", "row"), HERE)
def test_a_row_runs(workload: Workload, row: Row) -> None:
    if row.figures:
        assert all(math.isfinite(figure) for figure in row.figures(workload.tiny))
    else:
        assert len(list(islice(row.steps(workload.tiny), STEPS))) == STEPS


@pytest.mark.parametrize(("workload", "row"), COMPARED)
def test_a_row_computes_what_tinygpt_computes(workload: Workload, row: Row) -> None:
    ours, theirs = (
        [worker.sample(value) for value in islice(steps(workload.tiny), STEPS) if value is not None]
        for steps in (workload.rows[OURS].steps, row.steps)
    )
    assert not theirs or difference(ours, theirs) <= workload.tolerance


# --- rows that agree, and rows that do not ---------------------------------------------------------------------------


def one(value: Any) -> Row:
    """A row that yields this, again and again."""

    def steps(_: None) -> Iterator[Any]:
        while True:
            yield value

    return Row("numpy", steps)


def lacking(_: None) -> Iterator[Any]:
    import no_such_framework

    yield no_such_framework


def failing(_: None) -> Iterator[Any]:
    yield 1 / 0


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> dict[str, runner.Result]:
    """What a run makes of rows that differ, lack their framework or fail."""
    rows = {
        OURS: one([2.0, 4.0]),
        "same": one([2.0, 4.0]),
        "near": one([2.0, 4.01]),
        "far": one([2.0, 4.1]),
        "NaN": one([2.0, math.nan]),
        "limit": one(None),
        "lacking": Row("numpy", lacking),
        "failing": Row("numpy", failing),
        "figures": Row("numpy", figures=lambda _: [7.0]),
        "not asked for": Row("other", one(0.0).steps),
    }
    monkeypatch.setitem(WORKLOADS, "P0", Workload("a trial", rows, tolerance=0.01, rounds=2))
    monkeypatch.setattr(runner, "_process", lambda: ThreadPoolExecutor(1))  # whose threads see this table
    worker.steps.cache_clear()
    with Run("P0", {"numpy"}) as run:
        run.compare()
        run.time(rounds=3, seconds=0)
    worker.steps.cache_clear()
    return run.results


def test_a_difference_is_relative_to_the_largest_number(ran: dict[str, runner.Result]) -> None:
    assert ran["near"].difference == pytest.approx(0.01 / 4)


@pytest.mark.parametrize("label", ["far", "NaN"])
def test_a_row_that_disagrees_is_wrong_and_not_timed(ran: dict[str, runner.Result], label: str) -> None:
    assert ran[label].wrong
    assert ran[label].values == []


@pytest.mark.parametrize("label", [OURS, "same", "near", "limit"])
def test_a_row_that_agrees_is_timed_in_each_round(ran: dict[str, runner.Result], label: str) -> None:
    assert not ran[label].wrong
    assert len(ran[label].values) == 2


def test_a_row_without_its_framework_says_so_and_is_not_wrong(ran: dict[str, runner.Result]) -> None:
    assert not ran["lacking"].wrong
    assert line_of("lacking", table(ran)["lacking"]).endswith("no_such_framework is not installed")


def test_a_row_that_fails_is_wrong_and_the_others_go_on(ran: dict[str, runner.Result]) -> None:
    assert ran["failing"].wrong
    assert "ZeroDivisionError" in ran["failing"].note


def test_a_row_may_bring_its_own_figures(ran: dict[str, runner.Result]) -> None:
    assert ran["figures"].values == [7.0, 7.0]


def test_a_row_of_a_framework_not_asked_for_stays_out(ran: dict[str, runner.Result]) -> None:
    assert "not asked for" not in ran


# --- goals and figures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "words", "limit"),
    [(Goal(0.5), "≤ 0.5 ×", 5.0), (Goal(1, 15), "≤ it + 15", 25.0), (Goal(plus=16), "≤ 16", 16.0)],
)
def test_a_goal_is_met_up_to_its_limit(goal: Goal, words: str, limit: float) -> None:
    assert (str(goal), goal.met(limit, 10.0), goal.met(limit + 0.1, 10.0)) == (words, True, False)


def test_ratio_and_goal_are_of_tinygpt_by_the_row_minimum_by_minimum() -> None:
    peer = runner.Result(Row("torch", goal=Goal(0.5)), [10.0, 30.0, 50.0])
    row = table({OURS: runner.Result(Row("tinygpt"), [4.0, 40.0]), "torch": peer})["torch"]
    assert (row["median"], row["min"], row["ratio"], row["met"]) == (30.0, 10.0, 0.4, True)


def test_where_tinygpt_has_no_rival_a_goal_is_the_row_s_own() -> None:
    row = table({"slider": runner.Result(Row("tinygpt", goal=Goal(plus=16)), [17.0])})["slider"]
    assert row["met"] is False
    assert "ratio" not in row


def test_a_turn_counts_one_step_however_long_it_takes() -> None:
    assert len(worker.times(iter([None, None]), seconds=0)) == 1


def test_a_row_that_is_wrong_is_an_error_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "P2", "P3", "--patience", "0"])
    monkeypatch.setattr(command, "measured", lambda name, _: {"rows": {"torch": {"wrong": name == "P3"}}})
    with pytest.raises(SystemExit, match="got otherwise in P3 torch: read"):
        command.main()


def test_a_workload_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--only", "P9"])
    with pytest.raises(SystemExit):
        command.main()
    assert "must begin a workload's name, got P9: take one of P1, " in capsys.readouterr().err


def test_the_command_writes_what_it_measured(tmp_path: Any) -> None:
    file = tmp_path / "figures.json"
    command = ["--only", "P2", "--peer", "--rounds", "1", "--seconds", "0", "--patience", "0", "--json", str(file)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = json.loads(file.read_text(encoding="utf-8"))["workloads"]["P2"]["rows"]
    assert list(rows) == [OURS, "NumPy by hand"]
    assert rows["NumPy by hand"]["difference"] <= WORKLOADS["P2"].tolerance
    assert "≤ 2 ×" in done.stdout
