"""The ladder: who may import whom; and that everything public says what it is."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import tinygpt
import tinygpt.lab

PACKAGE = Path(tinygpt.__file__).parent

LADDER: tuple[tuple[str, ...], ...] = (  # a module may import from lower rungs; a package also from within itself
    ("tinygpt.ops", "tinygpt.checkpoint", "tinygpt.memory"),
    ("tinygpt.tensor",),
    ("tinygpt.module", "tinygpt.check"),
    ("tinygpt.state",),
    ("tinygpt.blocks",),
    ("tinygpt.nn", "tinygpt.losses", "tinygpt.optimizers", "tinygpt.schedules"),
    ("tinygpt.text", "tinygpt.corpora"),
    ("tinygpt.pretrained", "tinygpt.training"),
    ("tinygpt.gpt",),
    ("tinygpt.command",),
    ("tinygpt",),
    ("tinygpt.lab.surfaces", "tinygpt.lab.exercises", "tinygpt.lab.linear", "tinygpt.lab.source", "tinygpt.lab.words"),
    ("tinygpt.lab.descent", "tinygpt.lab.gpts", "tinygpt.lab.networks"),
    (
        "tinygpt.lab.failure",
        "tinygpt.lab.fight",
        "tinygpt.lab.graph",
        "tinygpt.lab.maps",
        "tinygpt.lab.noise",
        "tinygpt.lab.ravines",
        "tinygpt.lab.slices",
        "tinygpt.lab.spectrum",
        "tinygpt.lab.steps",
        "tinygpt.lab.study",
    ),
    ("tinygpt.lab.conventions", "tinygpt.lab.decay"),
    ("tinygpt.lab.charts",),
    ("tinygpt.lab.widgets",),
    ("tinygpt.lab",),
)
PACKAGES = ("tinygpt.lab.charts", "tinygpt.lab.exercises", "tinygpt.lab.widgets")
RUNGS = {name: height for height, rung in enumerate(LADDER) for name in rung}
CORE = RUNGS["tinygpt"]

MAY_IMPORT = {  # what else than numpy and the standard library, and who may
    "safetensors": ("tinygpt.pretrained",),
    "matplotlib": ("tinygpt.lab.charts",),
    "PIL": ("tinygpt.lab.charts",),  # which matplotlib brings along
    "ipywidgets": ("tinygpt.lab.widgets",),
    "anywidget": ("tinygpt.lab.widgets",),
    "traitlets": ("tinygpt.lab.widgets",),
    "IPython": ("tinygpt.lab",),
    "av": ("tinygpt.lab.widgets.film",),
    "cloudpickle": ("tinygpt.lab.fight",),
    "tqdm": ("tinygpt.lab.fight", "tinygpt.training"),
}


def name_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}
each_module = pytest.mark.parametrize("module", FILES)


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(place + ".")


def place(module: str) -> str | None:
    """The module's name on the ladder, or that of the package it is a part of."""
    if module in RUNGS:
        return module
    return next((package for package in PACKAGES if is_within(module, package)), None)


def imports(module: str, source: str, is_package: bool = False) -> set[str]:
    """Every module that the source imports, at whatever depth; submodules by their own name.

    What is under `if __name__ == "__main__":` does not count: who runs a module as a program stands above the ladder.
    """
    found = set()
    tree = ast.parse(source)
    tree.body = [node for node in tree.body if ast.unparse(node).partition("\n")[0] != "if __name__ == '__main__':"]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = module.split(".")
            here = parents[: len(parents) - node.level + is_package] if node.level else []
            origin = ".".join([*here, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{origin}.{alias.name}"
                found.add(inner if inner in FILES or not is_within(origin, "tinygpt") else origin)
    return found


def imports_of(module: str) -> set[str]:
    return imports(module, FILES[module].read_text(encoding="utf-8"), FILES[module].name == "__init__.py")


def complaints(module: str, imported: set[str]) -> list[str]:
    """What the ladder says against these imports."""
    own = place(module)
    if own is None:
        return [f"{module} has no place on the ladder"]
    wrong = []
    for name in sorted(imported):
        if is_within(name, "tinygpt"):
            other = place(name)
            inside = own == other and own in PACKAGES
            if other is None or not (inside or RUNGS[other] < RUNGS[own]):
                wrong.append(f"{module} must not import {name}: it is not below it")
            elif not inside and own == "tinygpt.lab.exercises" and RUNGS[other] > CORE:
                wrong.append(f"{module} must not import {name}: it stands on the core alone")
        elif not allowed(module, name):
            wrong.append(f"{module} must not import {name}")
    return wrong


def allowed(module: str, name: str) -> bool:
    root = name.partition(".")[0]
    if is_within(name, "matplotlib.pyplot"):
        return False
    if root in sys.stdlib_module_names or root == "numpy":
        return True
    return any(is_within(module, place) for place in MAY_IMPORT.get(root, ()))


# --- the ladder ------------------------------------------------------------------------------------------------------


@each_module
def test_imports_go_only_down_the_ladder(module: str) -> None:
    assert complaints(module, imports_of(module)) == []


def test_imports_make_no_circle() -> None:
    graph = {module: {name for name in imports_of(module) if name in FILES} for module in FILES}
    assert set(TopologicalSorter(graph).static_order()) == set(FILES)


def test_the_calculus_knows_numpy_only() -> None:
    third = {name.partition(".")[0] for name in imports_of("tinygpt.ops")} - sys.stdlib_module_names
    assert third == {"numpy"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tinygpt.ops", "from tinygpt.tensor import Tensor"),
        ("tinygpt.ops", "from tinygpt import tensor"),
        ("tinygpt.ops", "from . import tensor"),
        ("tinygpt.ops", "from .tensor import Tensor"),
        ("tinygpt.tensor", "def f():\n    import tinygpt.module"),
        ("tinygpt.tensor", "from tinygpt import Module"),
        ("tinygpt.tensor", "import tinygpt"),
        ("tinygpt.nn", "from tinygpt import losses"),
        ("tinygpt.gpt", "if __name__ != '__main__':\n    from tinygpt.command import main"),
        ("tinygpt.module", "if TYPE_CHECKING:\n    from tinygpt.optimizers import Optimizer"),
        ("tinygpt.tensor", "import scipy"),
        ("tinygpt.optimizers", "import matplotlib"),
        ("tinygpt.lab.exercises", "from tinygpt.lab.surfaces import Surface"),
        ("tinygpt.lab.surfaces", "from tinygpt.lab.charts import Chart"),
        ("tinygpt.lab.descent", "import matplotlib.figure"),
        ("tinygpt.lab.charts.paths", "import matplotlib.pyplot as plt"),
        ("tinygpt.lab.charts.paths", "from matplotlib import pyplot"),
        ("tinygpt.lab.charts.paths", "from matplotlib.pyplot import figure"),
        ("tinygpt.lab.charts.paths", "from tinygpt.lab.widgets import Explorer"),
        ("tinygpt.lab.charts.paths", "import ipywidgets"),
        ("tinygpt.lab.widgets.explorer", "from matplotlib.figure import Figure"),
        ("tinygpt.lab.widgets.explorer", "from tinygpt.lab import Explorer"),
        ("tinygpt.new", ""),
        ("tinygpt.lab.new", ""),
        ("tinygpt.lab.chartsy", ""),
    ],
)
def test_the_ladder_finds_what_is_wrong(module: str, source: str) -> None:
    assert len(complaints(module, imports(module, source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("tinygpt.nn", "from tinygpt import ops, tensor\nimport numpy as np\nimport math"),
        ("tinygpt", "from tinygpt import nn\nfrom tinygpt.module import Module"),
        ("tinygpt.gpt", "if __name__ == '__main__':\n    from tinygpt.command import main"),
        ("tinygpt.lab.surfaces", "from tinygpt import Tensor"),
        ("tinygpt.lab.exercises", "from tinygpt import Optimizer, Tensor"),
        ("tinygpt.lab.charts.paths", "from matplotlib.figure import Figure\nfrom tinygpt.lab.descent import descend"),
        ("tinygpt.lab.charts.paths", "import tinygpt.lab.charts.style\nfrom .style import colours"),
        ("tinygpt.lab.widgets.explorer", "import ipywidgets\nimport anywidget\nimport traitlets"),
        ("tinygpt.lab", "from tinygpt.lab.surfaces import SURFACES\nfrom tinygpt.lab.widgets import Explorer"),
    ],
)
def test_the_ladder_lets_the_rest_pass(module: str, source: str) -> None:
    assert complaints(module, imports(module, source)) == []


# --- import tinygpt --------------------------------------------------------------------------------------------------


def test_importing_tinygpt_imports_nothing_but_numpy() -> None:
    program = (
        "import sys, numpy, numpy.random; before = set(sys.modules); import tinygpt;"
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["tinygpt"]


def test_importing_tinygpt_leaves_its_lab_alone() -> None:
    program = "import sys, tinygpt; print(*[m for m in sys.modules if m.startswith('tinygpt.lab')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_package_offers_the_names_of_the_contract() -> None:
    core = {"Tensor", "Module", "Optimizer", "OptimizerState", "SGD", "Adam", "AdamW", "RMSProp", "AdaGrad"}
    assert core | {"no_grad", "check_gradients", "nn"} <= set(tinygpt.__all__)


def test_every_name_offered_is_there() -> None:
    assert [name for name in tinygpt.__all__ if not hasattr(tinygpt, name)] == []


# --- words and classes -----------------------------------------------------------------------------------------------


def definitions(tree: ast.AST, prefix: str = "") -> list[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions and classes, with the public methods of those; a property counts once."""
    found: list[tuple[str, ast.FunctionDef | ast.ClassDef]] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            if not any(isinstance(d, ast.Attribute) and d.attr == "setter" for d in node.decorator_list):
                found.append((prefix + node.name, node))
            if isinstance(node, ast.ClassDef):
                found += definitions(node, f"{prefix}{node.name}.")
    return found


@each_module
def test_everything_public_has_a_docstring(module: str) -> None:
    tree = ast.parse(FILES[module].read_text(encoding="utf-8"))
    nodes = [(module, tree), *definitions(tree)]
    assert [name for name, node in nodes if not ast.get_docstring(node)] == []


def test_a_class_of_the_package_has_no_grandparent_in_it() -> None:
    bases = {
        node.name: {base.id for base in node.bases if isinstance(base, ast.Name)}
        for file in FILES.values()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }
    parents = {name: own & set(bases) for name, own in bases.items()}
    assert [name for name, own in parents.items() if any(parents[parent] for parent in own)] == []


# --- the lab's front door ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tinygpt.lab.__all__)
def test_every_name_the_lab_offers_is_there(name: str) -> None:
    assert getattr(tinygpt.lab, name).__doc__


def test_no_name_the_lab_offers_is_that_of_a_module_beside_it() -> None:
    modules = {module.rpartition(".")[2] for module in FILES if module.rpartition(".")[0] == "tinygpt.lab"}
    assert modules & set(tinygpt.lab.__all__) == set()


def test_the_lab_knows_no_other_names() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Explorers'"):
        _ = tinygpt.lab.Explorers


def test_computing_does_not_wait_for_drawing() -> None:
    heavy = "{'matplotlib', 'ipywidgets'}"
    program = f"import sys; from tinygpt.lab import descend, fair_fight; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
