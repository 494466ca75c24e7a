"""The notebooks as text: short cells, prose, captions, links that lead somewhere, and nothing an editor left behind."""

import ast
import base64
import importlib.util
import json
import re

import pytest
from links import NOTEBOOKS, ROOT, binder_link, binder_links_in, links_in, pictures_without_text, unresolved

NAMES = [file.name for file in NOTEBOOKS]
LESSONS = NOTEBOOKS[1:]  # the first has a race and a self-test; these have predictions and exercises
MAP = "Map of the series"  # the heading, in the first notebook, over the table of them all
LINES = 10  # of a code cell: a reader takes it in at a glance
CAPTION = 40  # letters: fewer cannot say what a picture shows
PICTURE, NOTEBOOK = 100_000, 1_000_000  # bytes: Binder, GitHub and a phone shall open it at once

each_lesson = pytest.mark.parametrize("file", LESSONS, ids=NAMES[1:])
each = pytest.mark.parametrize("file", NOTEBOOKS, ids=NAMES)


def run_module():
    """`notebooks/run.py`, which is a script and no part of a package."""
    spec = importlib.util.spec_from_file_location("run", ROOT / "notebooks" / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(file, *kinds):
    """The cells of these kinds as (number, cell, text)."""
    notebook = json.loads(file.read_text(encoding="utf-8"))
    every = [(number, cell, "".join(cell["source"])) for number, cell in enumerate(notebook["cells"])]
    return [entry for entry in every if not kinds or entry[1]["cell_type"] in kinds]


def prose(file):
    return [text for _, _, text in cells(file, "markdown")]


def outputs(file):
    """Every stored output as (number of its cell, output)."""
    return [(number, output) for number, cell, _ in cells(file, "code") for output in cell["outputs"]]


def code_that(file, is_wrong):
    """The code cells, by number, of which `is_wrong(text)` holds."""
    return {number: text for number, _, text in cells(file, "code") if is_wrong(text)}


def is_python(text):
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return "get_ipython" not in text


def test_there_are_notebooks():
    assert NAMES[:1] == ["00-race.ipynb"]


@each
def test_a_name_is_a_number_and_one_idea(file):
    assert re.fullmatch(r"\d\d-[a-z]+(-[a-z]+)*\.ipynb", file.name)


def test_numbers_are_given_once_and_without_gaps():
    numbers = [int(name[:2]) for name in NAMES]
    assert sorted(numbers) == list(range(len(numbers)))


# --- code ------------------------------------------------------------------------------------------------------------


@each
def test_code_cells_are_short(file):
    assert not code_that(file, lambda text: len(text.splitlines()) > LINES)


@each
def test_code_is_python_without_magics(file):
    assert not code_that(file, lambda text: not is_python(text))


@each
def test_no_pyplot(file):
    assert not code_that(file, re.compile(r"\b(plt|pyplot|pylab)\b").search)


@each
def test_no_line_ends_in_a_semicolon(file):
    assert not code_that(file, re.compile(r";\s*(#.*)?$", re.MULTILINE).search)


@each
def test_functions_are_defined_in_exercises_only(file):
    definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for number, cell, text in cells(file, "code"):
        if not {"exercise", "solution"} & set(cell["metadata"].get("tags", [])):
            assert not [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, definition)], number


def test_no_code_cell_stands_in_two_notebooks():
    homes = {}
    for file in NOTEBOOKS:
        for _, _, text in cells(file, "code"):
            imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(text).body)
            if not imports and text != "predictions()":
                homes.setdefault(ast.dump(ast.parse(text)), set()).add(file.name)
    assert [names for names in homes.values() if len(names) > 1] == []


# --- prose -----------------------------------------------------------------------------------------------------------


@each
def test_at_least_half_of_the_cells_are_prose(file):
    assert 15 <= len(cells(file)) <= 30
    assert 2 * len(cells(file, "markdown")) >= len(cells(file))


@each
def test_the_first_cell_introduces_the_lesson(file):
    first = prose(file)[0]
    assert cells(file)[0][1]["cell_type"] == "markdown"
    assert re.match(rf"# {file.name[:2]} · \w", first)
    assert "**After this you can**" in first
    assert re.search(r"\*\*Minutes:\*\* \d+ · \*\*Prerequisites:\*\* \w", first)
    assert binder_links_in(first) == [binder_link(file.name)]


@each
def test_the_last_cell_names_its_sources(file):
    assert cells(file)[-1][1]["cell_type"] == "markdown"
    assert re.search(r"\*\*Sources.*https://", prose(file)[-1])


@each
@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
def test_the_first_and_the_last_cell_lead_on(file, place):
    ways = re.search(r"previous: (.*?) · \[map of the series\]\((.*?)\) · next: (.*)", prose(file)[place])
    assert ways, "it needs a line 'previous: … · [map of the series](…) · next: …'"
    before, map_of_all, after = ways.groups()
    index = NAMES.index(file.name)
    assert links_in(before) == NAMES[max(index - 1, 0) : index]
    assert links_in(after) == NAMES[index + 1 : index + 2]
    assert map_of_all.removeprefix("00-race.ipynb") == "#" + MAP.replace(" ", "-")


@each
def test_links_resolve(file):
    text = "\n\n".join(prose(file))
    assert unresolved(text, file.parent) == []


@each
def test_pictures_in_the_prose_have_a_text_in_their_place(file):
    assert [picture for text in prose(file) for picture in pictures_without_text(text)] == []


def test_the_map_lists_every_notebook():
    (table,) = [text for text in prose(NOTEBOOKS[0]) if f"# {MAP}" in text]
    assert links_in(table) == NAMES


@each
def test_the_map_and_the_index_tell_the_minutes_of_the_lesson(file):
    minutes = re.search(r"\*\*Minutes:\*\* (\d+)", prose(file)[0])[1]
    row = rf"\[\d\d · [^\]]*\]\({file.name}\).*\| {minutes} \|"
    index = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert [bool(re.search(row, text)) for text in ("\n".join(prose(NOTEBOOKS[0])), index)] == [True, True]


@each
def test_the_teachers_guide_has_a_chapter_for_the_lesson(file):
    title = re.match(r"# (\d\d · .*)", prose(file)[0])[1]
    assert f"\n## {title}\n" in (ROOT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")


# --- predictions and exercises ---------------------------------------------------------------------------------------


def tagged(file, tag):
    """The code cells with a tag, as (number, cell, text)."""
    return [entry for entry in cells(file, "code") if tag in entry[1]["metadata"].get("tags", [])]


def told(file):
    """What every code cell printed or returned, by number of the cell."""
    words = {}
    for number, output in outputs(file):
        data = output.get("data", {}).get("text/plain", output.get("text", ""))
        words[number] = words.get(number, "") + "".join(data)
    return words


def defined(text):
    """The names that a cell binds, those inside of functions and classes left out."""
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        else:
            stores = [n for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
            names |= {name.id for name in stores}
    return names


@each_lesson
def test_a_lesson_asks_for_predictions_and_lists_them_at_its_end(file):
    asked = [text for _, _, text in cells(file, "code") if "predict(" in text]
    assert len(asked) >= 2
    assert cells(file, "code")[-1][2] == "predictions()"


@each_lesson
def test_a_prediction_is_stored_unanswered_and_its_code_which_holds_the_answer_is_folded(file):
    for number, cell, text in cells(file, "code"):
        if "predict(" in text:
            assert cell["metadata"].get("jupyter") == {"source_hidden": True}
            assert told(file)[number].startswith("Prediction: ")
            assert "(not answered yet)" in told(file)[number]


@each_lesson
def test_every_stub_is_stored_as_still_to_write_and_every_solution_as_correct(file):
    levels = {sign: [number for number, words in told(file).items() if sign in words] for sign in "○◐●"}
    solutions = {number for number, _, _ in tagged(file, "solution")}
    assert levels["○"]
    assert levels["◐"] == []
    assert set(levels["●"]) == {number for number in solutions if "check(" in cells(file)[number][2]} != set()
    assert not solutions & set(levels["○"])


@each_lesson
def test_solutions_are_folded_and_leave_the_readers_names_alone(file):
    own = set().union(*(defined(text) for _, _, text in tagged(file, "exercise")))
    for _, cell, text in tagged(file, "solution"):
        assert cell["metadata"].get("jupyter") == {"source_hidden": True}
        assert not own & defined(text)


# --- outputs ---------------------------------------------------------------------------------------------------------


@each
def test_the_file_is_what_run_py_stores(file):
    stored = file.read_text(encoding="utf-8")
    assert run_module().tidy(json.loads(stored)) == stored, f"run: python notebooks/run.py notebooks/{file.name}"


@each
def test_every_code_cell_was_run_once_and_in_order(file):
    counts = [cell["execution_count"] for _, cell, text in cells(file, "code") if text.strip()]
    assert counts == list(range(1, len(counts) + 1))
    assert outputs(file)


@each
def test_no_error_is_stored(file):
    streams = [number for number, output in outputs(file) if output.get("name") == "stderr"]
    errors = [number for number, output in outputs(file) if output["output_type"] == "error"]
    assert (streams, errors) == ([], [])


@each
def test_no_widget_is_stored(file):
    text = file.read_text(encoding="utf-8")
    assert "widget-view+json" not in text
    assert "widget-state+json" not in text


@each
def test_a_picture_has_a_caption_and_is_small(file):
    for number, output in outputs(file):
        data = output.get("data", {})
        for kind in ("image/png", "image/jpeg"):
            if kind in data:
                assert len(base64.b64decode("".join(data[kind]))) <= PICTURE, f"cell {number}"
                caption = "".join(data.get("text/plain", ""))
                assert len(caption) >= CAPTION, f"cell {number}: {caption!r} says too little"
                assert not caption.startswith("<"), f"cell {number}: {caption!r} is an object's address or class"


@each
def test_a_notebook_is_small(file):
    assert file.stat().st_size <= NOTEBOOK
