"""Run every workload, or those named, for tinygpt and each framework that is installed, and print one table.

python -m benchmarks                            everything
python -m benchmarks --only P4 --peer torch     these workloads; tinygpt beside these frameworks
python -m benchmarks --threads 1                pinned to one processor
python -m benchmarks --json FILE                also write the figures to a file

Before anything is timed, the frameworks' numbers are checked to agree: "differs" is the largest difference from
tinygpt's, relative to the largest number. "ours" is tinygpt's minimum divided by the row's, and a goal is for that.
Times drift from machine to machine and from run to run: compare the figures of one run, and take less than a tenth
for noise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.runner import IDLE, Result, Run, load_when_idle
from benchmarks.workload import OURS
from benchmarks.workloads import WORKLOADS

PEERS = ("torch", "jax", "micrograd", "autograd")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def main() -> None:
    """Runs what the command line names."""
    options = command_line().parse_args()
    if options.threads:
        pin(options.threads)
    machine = {**about(options.peer), "threads": options.threads, "load": load_when_idle(options.patience)}
    print_head(machine)
    tables = {}
    for name in WORKLOADS:
        if any(name in chosen for chosen in options.only):
            tables[name] = measured(name, options)
    if options.json:
        content = {"machine": machine, "workloads": tables}
        options.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if wrong := [f"{name} {label}" for name in tables for label, row in tables[name]["rows"].items() if row["wrong"]]:
        sys.exit(f"all rows must run and agree, got otherwise in {', '.join(wrong)}: read their notes above")


def measured(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """A workload's part of the table, which is printed, too."""
    workload = WORKLOADS[name]
    print(f"{name}  {workload.title}; {workload.unit}", flush=True)
    with Run(name, {OURS, "numpy", *options.peer}) as run:
        run.compare()
        run.time(options.rounds, options.seconds)
    rows = table(run.results)
    for label, row in rows.items():
        print(line_of(label, row), flush=True)
    return {"title": workload.title, "unit": workload.unit, "rows": rows}


def command_line() -> argparse.ArgumentParser:
    """What can be asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = f"these workloads: {', '.join(WORKLOADS)}; P4 takes all that begin so"
    parser.add_argument("--only", nargs="+", type=beginning_so, default=[list(WORKLOADS)], metavar="P", help=known)
    parser.add_argument("--peer", nargs="*", choices=PEERS, default=PEERS, help="these frameworks beside tinygpt")
    parser.add_argument("--threads", type=int, help="pin every process to so many processors")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each row (5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a turn (0.5)")
    parser.add_argument("--patience", type=float, default=120, help="seconds to wait for an idle machine (120)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    return parser


def beginning_so(text: str) -> list[str]:
    """The workloads whose names begin so."""
    if not (names := [name for name in WORKLOADS if name.startswith(text)]):
        raise argparse.ArgumentTypeError(
            f"must begin a workload's name, got {text}: take one of {', '.join(WORKLOADS)}"
        )
    return names


def pin(threads: int) -> None:
    """Let this process, and those that it starts, use so many processors."""
    os.environ.update(dict.fromkeys(THREADS, str(threads)))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def about(peers: list[str]) -> dict[str, Any]:
    """The machine and the versions."""
    from tinygpt import __version__

    blas = np.show_config("dicts")["Build Dependencies"]["blas"]
    versions = {"tinygpt": __version__, "Python": platform.python_version(), "numpy": np.__version__}
    return {
        "versions": versions | {blas["name"]: blas["version"]} | {peer: _version(peer) for peer in peers},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": os.cpu_count(),
    }


def print_head(machine: dict[str, Any]) -> None:
    """The machine, and what the columns are."""
    load = machine["load"]
    quiet = "unknown" if load is None else f"{load:.2f}" + (", idle" if load <= IDLE else ", NOT IDLE")
    print(" · ".join(f"{name} {number}" for name, number in machine["versions"].items()))
    print(f"{machine['system']} · {machine['processor']} · {machine['processors']} processors")
    print(f"threads: {machine['threads'] or 'as many as each framework takes'} · load average at the start: {quiet}")
    print(f"\n{'':<53}{'median':>9}{'p95':>9}{'min':>9}{'ours':>8}{'differs':>9}  goal")


def table(results: dict[str, Result]) -> dict[str, dict[str, Any]]:
    """Each row's figures, ratio, difference, and goal."""
    rows: dict[str, dict[str, Any]] = {}
    for label, result in results.items():
        summary = result.summary()
        ours = results.get(OURS, result).summary()
        row = {**summary, "difference": result.difference, "note": result.note, "wrong": result.wrong}
        if summary and ours:
            if OURS in results:
                row["ratio"] = ours["min"] / summary["min"]
            if goal := result.row.goal:
                row |= {"goal": str(goal), "met": goal.met(ours["min"], summary["min"])}
        rows[label] = row
    return rows


def line_of(label: str, row: dict[str, Any]) -> str:
    """A row as it is printed."""
    if row["note"]:
        return f"  {label:<51}  {row['note']}"
    figures = "".join(f"{_short(row[column]):>9}" for column in ("median", "p95", "min"))
    ratio = f"{row['ratio']:.3f}" if "ratio" in row else ""
    difference = "" if row["difference"] is None else f"{row['difference']:.0e}"
    goal = f"{row['goal']}  {'met' if row['met'] else 'MISSED'}" if "goal" in row else ""
    return f"  {label:<51}{figures}{ratio:>8}{difference:>9}  {goal}".rstrip()


def _short(number: float) -> str:
    """Three digits that count."""
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}" if abs(number) < 1000 else f"{number:.0f}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The processor's name, which on Linux stands in a file."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main()
