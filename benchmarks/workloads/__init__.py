"""What is measured."""

from __future__ import annotations

from benchmarks.workload import Workload
from benchmarks.workloads.p1_rosenbrock import P1, P1B
from benchmarks.workloads.p2_moons import P2
from benchmarks.workloads.p3_mlp import P3
from benchmarks.workloads.p4_gpt import P4, P4B, P4M, P4R
from benchmarks.workloads.p5_adam import P5, P5B
from benchmarks.workloads.p6_starts import P6
from benchmarks.workloads.p7_import import P7
from benchmarks.workloads.p8_instruments import P8

WORKLOADS: dict[str, Workload] = {
    "P1": P1,
    "P1b": P1B,
    "P2": P2,
    "P3": P3,
    "P4": P4,
    "P4b": P4B,
    "P4m": P4M,
    "P4r": P4R,
    "P5": P5,
    "P5b": P5B,
    "P6": P6,
    "P7": P7,
    "P8": P8,
}
