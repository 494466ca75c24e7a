"""Run every workload, or those named, and print one table.

python -m benchmarks                  everything
python -m benchmarks --only slider    one workload
python -m benchmarks --json FILE      also write the figures to a file

The figures are milliseconds of one call. Times drift from machine to machine: compare figures of one run, and take
less than a tenth for noise. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinygpt
from benchmarks.workloads import WORKLOADS, Workload


def measure(call: Callable[[], object], runs: int) -> dict[str, float]:
    """Milliseconds of one call: median, 95th percentile and minimum, after a tenth of the runs to warm up."""
    times = []
    for _ in range(runs // 10 + runs):
        begin = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begin))
    counted = np.array(times[runs // 10 :])
    return {"median": float(np.median(counted)), "p95": float(np.percentile(counted, 95)), "min": float(counted.min())}


def row(workload: Workload) -> dict[str, float]:
    """The figures of one workload; an imported or kernel-side one brings its own."""
    return workload.figures() if workload.figures else measure(workload.prepare(), workload.runs)


def main() -> None:
    """Runs what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(WORKLOADS), default=list(WORKLOADS), help="these alone")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    machine = {
        "tinygpt": tinygpt.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors",
    }
    print(" · ".join(f"{name} {value}" for name, value in machine.items()))
    print(f"{'milliseconds':<58}{'median':>9}{'p95':>9}{'min':>9}")
    figures = {}
    for name in options.only:
        figures[name] = row(WORKLOADS[name])
        values = "".join(f"{figures[name][column]:9.3f}" for column in ("median", "p95", "min"))
        print(f"{WORKLOADS[name].words:<58}{values}", flush=True)
    if options.json:
        options.json.write_text(json.dumps({**machine, "milliseconds": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
