"""The documents agree with each other, with pyproject.toml, and with the files that are there."""

import re
import subprocess
import sys

import pytest
from links import NOTEBOOKS, PROJECT, ROOT, binder_link, binder_links_in, links_in, pictures_without_text, unresolved
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import tinygpt

DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
DOCUMENTS += [f"notebooks/{name}.md" for name in ("README", "TEACHING", "CLASSROOM")]
NAMES = [file.name for file in NOTEBOOKS]


def read(name):
    """The text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def commands(python):
    """The README's commands, a line each in its fenced blocks, that begin with this Python."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", read("README.md"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(f"{python} -m venv .venv && ")]


# --- the README's commands -------------------------------------------------------------------------------------------


def test_one_command_opens_the_lessons_and_one_runs_the_tests():
    lessons, tests = commands("python3")
    assert lessons.endswith('install -e ".[lab]" && .venv/bin/jupyter lab notebooks/00-race.ipynb')
    assert tests.endswith('install -e ".[test]" && .venv/bin/pytest')
    assert {"bench", "lab", "pretrained", "video", "cluster", "site", "test", "dev"} == set(
        PROJECT["optional-dependencies"]
    )


def test_the_commands_for_windows_do_the_same():
    translated = [
        line.replace("python3 ", "py ").replace(".venv/bin/", ".venv/Scripts/") for line in commands("python3")
    ]
    assert commands("py") == [line.replace("/", "\\") for line in translated]


@pytest.mark.skipif(sys.platform == "win32", reason="it is a shell script")
def test_ci_runs_the_readmes_test_command():
    said = subprocess.run([ROOT / ".ci" / "run", "--show"], capture_output=True, text=True, check=True).stdout
    assert said.strip() == commands("python3")[1]


def test_the_workflow_runs_what_ci_runs():
    workflow = read(".github/workflows/ci.yml")
    assert "run: .ci/run" in workflow
    assert "run: .ci/oldest" in workflow
    assert "pytest -m soak tests/soak/test_processors.py" in workflow
    for check in ("ruff check .", "ruff format --check .", "mypy"):
        assert f"run: {check}\n" in workflow
        assert check in read("CONTRIBUTING.md")


# --- links -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_resolve(name):
    assert unresolved(read(name), (ROOT / name).parent) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pictures_have_a_text_in_their_place(name):
    assert pictures_without_text(read(name)) == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_binder_links_are_made_from_the_projects_address(name):
    assert set(binder_links_in(read(name))) <= set(map(binder_link, NAMES))


def test_the_readme_opens_the_first_lesson_on_binder():
    assert binder_link("00-race.ipynb") in binder_links_in(read("README.md"))


def test_the_index_lists_every_notebook_and_its_binder_link():
    index = read("notebooks/README.md")
    assert [link for link in links_in(index) if re.fullmatch(r"[\w-]+\.ipynb", link)] == NAMES
    assert binder_links_in(index) == list(map(binder_link, NAMES))


# --- what is there ---------------------------------------------------------------------------------------------------


def files(folder):
    """The sources in a folder, as paths from the root with a slash before them."""
    return {
        f"/{file.relative_to(ROOT).as_posix()}" for kind in ("py", "js", "css") for file in folder.rglob(f"*.{kind}")
    }


def test_the_architecture_names_every_file_of_the_package_and_none_that_is_not_there():
    named = {f"/{name}" for name in re.findall(r"\w[\w./-]*\.(?:py|js|css)\b", read("ARCHITECTURE.md"))}
    there = set().union(*(files(ROOT / folder) for folder in ("tinygpt", "tests", "notebooks", "benchmarks")))
    package = {file for file in there if file.startswith("/tinygpt/") and not file.endswith("/__init__.py")}
    assert [file for file in sorted(package) if not file.endswith(tuple(named))] == []
    assert [name for name in sorted(named) if not any(file.endswith(name) for file in there)] == []


def test_the_version_is_stated_once():
    assert PROJECT.get("version") is None
    homes = [file for file in (ROOT / "tinygpt").rglob("*.py") if "__version__ =" in file.read_text(encoding="utf-8")]
    assert homes == [ROOT / "tinygpt" / "__init__.py"]


def test_the_changelog_speaks_of_this_version():
    assert re.findall(r"^## \[(\d\S*)\]", read("CHANGELOG.md"), re.MULTILINE)[0] == tinygpt.__version__


def test_the_citation_is_of_this_version_and_this_repository():
    fields = dict(re.findall(r"^([\w-]+): \"?(.*?)\"?$", read("CITATION.cff"), re.MULTILINE))
    assert fields["version"] == tinygpt.__version__
    assert fields["repository-code"] == PROJECT["urls"]["Repository"]
    assert fields["license"] == PROJECT["license"]


# --- Binder ----------------------------------------------------------------------------------------------------------


def pins():
    """Binder's packages and their versions."""
    lines = [line for line in read("binder/requirements.txt").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==\S+", line)] == []
    return {canonicalize_name(name): Version(version) for name, version in (line.split("==") for line in lines)}


def test_binder_pins_what_the_lessons_need():
    for need in map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"]):
        assert need.specifier.contains(pins()[canonicalize_name(need.name)]), need


def test_binder_installs_the_package_itself_last_and_alone():
    assert "tinygpt" not in pins()
    assert re.search(r"^pip install .*--no-deps \.$", read("binder/postBuild"), re.MULTILINE)


def test_binders_python_is_one_the_package_runs_on():
    version = re.fullmatch(r"python-(\d+\.\d+)\n", read("binder/runtime.txt"))[1]
    assert Requirement(f"python{PROJECT['requires-python']}").specifier.contains(version)
