"""Every notebook as people run it: cells twice, in any order, alone, interrupted, and with sliders moved meanwhile."""

from __future__ import annotations

import ast
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Person, code_cells, person, words
from links import NOTEBOOKS, ROOT

pytestmark = pytest.mark.soak

SEED = 7
ONE_STEP_MORE = {("02-tape.ipynb", "cell-18")}  # "run the cell a few times and watch": it trains on
WIDGETS = "len(__import__('ipywidgets').widgets.widget._instances)"
TORN = 5  # interrupts of each cell, at moments drawn by chance

LONG = {  # cells that compute for seconds, by what they are in the middle of
    "descend": 'descend("rosenbrock", {"Adam": partial(Adam, learning_rate=0.01)}, steps=20_000)["Adam"].losses[-1]',
    "sweep": 'sum(1 for _ in sweep("rosenbrock", partial(Adam, learning_rate=0.01), np.zeros((400, 2)), 5000))',
    "fight": 'FairFight("gentle_rosenbrock", seeds=4, steps=200, progress=False)',
    "figure": 'Explorer("rosenbrock", steps=20_000)',
}
IMPORTS = """from functools import partial
import numpy as np
from tinygpt import Adam
from tinygpt.lab import Explorer, FairFight, descend
from tinygpt.lab.descent import sweep"""

TRAINING = """from pathlib import Path
import numpy as np
from tinygpt import Adam
from tinygpt.lab import gpts
from tinygpt.training import Trainer
task = gpts.source_of("sorting")
model = gpts.baby_gpt(task)
trainer = Trainer(model, Adam(model, 1e-3), task, 8, np.random.default_rng(0))
if Path("run.json").exists():
    trainer.load("run.json")
trainer.run(300 - trainer.steps, checkpoint="run.json", checkpoint_every=10, progress=False)
print(trainer.losses[-3:])"""

each = pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.name)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Person]:
    """Someone who has just opened a copy of the notebooks."""
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    with person(folder) as reader:
        yield reader


def imports(cells: list[dict[str, Any]]) -> str:
    """All that the notebook imports, as one cell."""
    nodes = [node for cell in cells for node in ast.parse(cell["source"]).body]
    return "\n".join(ast.unparse(node) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom))


def bound(cells: list[dict[str, Any]]) -> set[str]:
    """The names that cells give to something."""
    nodes = [node for cell in cells for node in ast.walk(ast.parse(cell["source"]))]
    names = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def foul(cell: dict[str, Any], ran: Any, cells: list[dict[str, Any]]) -> list[str]:
    """What is wrong with an error: all but a name that a cell of the notebook would have given, told at the cell."""
    if ran.error is None:
        return []
    kind, message, trace = ran.error
    missing = re.match(r"name '(\w+)' is not defined", message)
    own = kind == "NameError" and missing and missing[1] in bound(cells) and "tinygpt/" not in trace
    return [] if own else [f"{cell['id']}: {trace}"]


@each
def test_a_cell_run_twice_and_a_notebook_run_twice_say_what_is_stored(file: Path, reader: Person) -> None:
    cells, wrong, widgets = code_cells(file), [], []
    for times in (2, 1, 1):
        for cell in cells:
            for again in range(times):
                ran = reader.run(cell["source"], cell["id"])
                differs = ran.said != words(cell["outputs"]) and (file.name, cell["id"]) not in ONE_STEP_MORE
                wrong += [(cell["id"], again, ran)] if ran.error or differs else []
        widgets.append(reader.value(WIDGETS))
    assert (wrong, widgets[2]) == ([], widgets[1])


@each
def test_cells_in_any_order_lack_a_name_at_most(file: Path, reader: Person) -> None:
    cells = code_cells(file)
    reader.run(imports(cells))
    order = random.Random(SEED).sample(cells, len(cells))
    ran = {cell["id"]: reader.run(cell["source"], cell["id"]) for cell in order}
    assert [complaint for cell in order for complaint in foul(cell, ran[cell["id"]], cells)] == []


@each
def test_a_cell_after_a_restart_and_the_imports_lacks_a_name_at_most(file: Path, reader: Person) -> None:
    cells, wrong = code_cells(file), []
    for cell in cells:
        reader.restart()
        reader.run(imports(cells))
        wrong += foul(cell, reader.run(cell["source"], cell["id"]), cells)
    assert wrong == []


@each
def test_after_a_restart_the_notebook_says_what_is_stored(file: Path, reader: Person) -> None:
    cells = code_cells(file)
    for cell in cells[: len(cells) // 2]:
        reader.run(cell["source"], cell["id"])
    reader.restart()
    said = {cell["id"]: reader.run(cell["source"], cell["id"]) for cell in cells}
    stored = {cell["id"]: (words(cell["outputs"]), None) for cell in cells}
    assert said == stored


class Chance:
    """An interrupt some time after a cell has begun: as many looks at its output later as chance says."""

    def __init__(self, reader: Person, rng: random.Random) -> None:
        self.reader, self.looks = reader, rng.randint(4, 60)

    def __call__(self, outputs: list[dict[str, Any]]) -> None:
        self.looks -= 1
        if self.looks == 0:
            self.reader.interrupt()


@pytest.mark.parametrize("name", LONG)
def test_what_was_interrupted_runs_to_its_end_the_next_time_and_says_the_same(name: str, reader: Person) -> None:
    reader.run(IMPORTS)
    untorn, rng = reader.run(LONG[name], "a"), random.Random(SEED)
    torn = [reader.run(LONG[name], "a", meanwhile=Chance(reader, rng)) for _ in range(TORN)]
    print(name, "interrupted", sum(ran.error is not None for ran in torn), "times of", TORN)
    assert {ran.error[0] for ran in torn if ran.error} <= {"KeyboardInterrupt"}
    told = [ran.said for ran in torn if "Unexpected exception formatting" not in ran.said]  # IPython's own mishap
    assert [said for said in told if "Traceback" in said] == []
    assert (untorn.error, reader.run(LONG[name], "a")) == (None, untorn)


def test_a_training_that_is_interrupted_goes_on_from_its_checkpoint_to_the_same_end(reader: Person) -> None:
    untorn, rng = reader.run(TRAINING, "a"), random.Random(SEED)
    reader.run('Path("run.json").unlink()')
    torn = [reader.run(TRAINING, "a", meanwhile=Chance(reader, rng)) for _ in range(TORN)]
    print("training interrupted", sum("Stopped after" in ran.said for ran in torn), "times of", TORN)
    assert {ran.error[0] for ran in torn if ran.error} <= {"KeyboardInterrupt"}
    assert (untorn.error, reader.run(TRAINING, "a")) == (None, untorn)


def test_an_interrupt_of_a_gpt_in_training_shows_what_it_reached(reader: Person) -> None:
    looks = iter(range(40))

    def once_it_is_seen(outputs: list[dict[str, Any]]) -> None:
        if outputs and next(looks, None) == 20:
            reader.interrupt()

    reader.run("from tinygpt.lab import GPTLab")
    torn = reader.run("GPTLab(steps=3000)", "a", meanwhile=once_it_is_seen)
    assert (torn.error, "Adam" in torn.said, "3000" in torn.said) == (None, True, False)
