"""P7: how long an import takes."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import partial
from importlib.util import find_spec

from benchmarks.workload import Goal, Row, Workload


def beyond_bare(package: str, runs: int) -> list[float]:
    """Milliseconds that a fresh interpreter takes to import and leave, less the least of one that only leaves."""
    if find_spec(package) is None:
        raise ModuleNotFoundError(name=package)
    pairs = [(_milliseconds(""), _milliseconds(f"import {package}")) for _ in range(runs)]
    bare = min(pair[0] for pair in pairs)
    return [full - bare for _, full in pairs]


def _milliseconds(program: str) -> float:
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return 1e3 * (time.perf_counter() - begin)


GOALS = {"numpy": Goal(times=1, plus=15)}

P7 = Workload(
    "import, beyond bare Python",
    {
        package: Row(package, figures=partial(beyond_bare, package), goal=GOALS.get(package))
        for package in ("tinygpt", "numpy", "torch", "jax", "autograd")
    },
    size=3,
    tiny=1,
)
