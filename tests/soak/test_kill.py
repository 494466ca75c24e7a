"""Processes that are killed while they save, or save the same file at the same time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from time import perf_counter

import numpy as np
import pytest
from optimizer_cases import Model

from tinygpt import SGD

pytestmark = pytest.mark.soak

KILLS = 200
ROUNDS = 100

SAVER = """
import sys
import numpy as np
from tinygpt import SGD, Module, Tensor

class Model(Module):
    def __init__(self):
        self.w = Tensor(np.zeros(100_000), requires_grad=True)

file, first, last = sys.argv[1], *map(int, sys.argv[2:])
optimizer = SGD(Model(), 0.1, momentum=0.9)
print("ready", flush=True)
for n in range(first, last):
    optimizer.updates = n
    optimizer.state["w"]["v"] = np.full(100_000, float(n))
    optimizer.save_state(file)
    print(n, flush=True)
"""


def saver(file: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SAVER, str(file), str(first), str(last)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def saved_in(file: Path) -> int:
    """The number of the save that the file holds, if it is whole."""
    optimizer = SGD(Model(w=np.zeros(100_000)), 0.1, momentum=0.9)
    optimizer.load_state(file)
    assert np.all(optimizer.state["w"]["v"] == optimizer.updates)
    return optimizer.updates


def save_once(file: Path) -> None:
    with saver(file, 0, 1) as process:
        assert process.communicate()[0] == "0\n"


def test_a_kill_in_the_middle_of_saving_leaves_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    file = tmp_path / "sgd.json"
    last, rng = 0, SystemRandom()
    save_once(file)
    for _ in range(KILLS):
        with saver(file, last + 1, sys.maxsize) as process:
            process.stdout.readline()
            began = perf_counter()
            process.stdout.readline()
            a_save = perf_counter() - began
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.uniform(0, 2 * a_save))
            process.kill()
            finished = [last + 2, *map(int, process.stdout.read().split())][-1]
        last = saved_in(file)
        assert last in (finished, finished + 1)
    drafts = [name for name in os.listdir(tmp_path) if name != file.name]
    print(f"{last} saves, {KILLS} kills, {len(drafts)} drafts left")
    assert len(drafts) <= KILLS
    assert all(re.fullmatch(r"\.sgd\.json\.[0-9a-f]{16}\.tmp", name) for name in drafts)


def test_two_who_save_the_same_file_at_the_same_time_never_mix_theirs(tmp_path: Path) -> None:
    file = tmp_path / "sgd.json"
    save_once(file)
    with saver(file, 1, ROUNDS) as one, saver(file, ROUNDS, 2 * ROUNDS) as other:
        while None in (one.poll(), other.poll()):
            saved_in(file)
    assert (one.returncode, other.returncode) == (0, 0)
    assert os.listdir(tmp_path) == [file.name]
