"""Export: a page that holds what the figure showed at every combination of its knobs."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tinygpt import SGD
from tinygpt.lab import Explorer, PhasePlot
from tinygpt.lab.widgets import export
from tinygpt.lab.widgets.export import export_html

ROOT = Path(__file__).parents[2]
KNOBS = {"learning_rate": [0.01, 0.1], "momentum": [0.0, 0.5, 0.9]}


def figure() -> Explorer:
    return Explorer("quadratic", {"SGD": SGD}, steps=10)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "page.html"
    export_html(figure(), file, KNOBS, "A <race>")
    return file.read_text(encoding="utf-8")


def load_script(file: Path) -> Any:
    """A script that is no part of a package, as a module."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held(page: str) -> Any:
    """The data of the page."""
    found = re.search(r'<script type="application/json" id="frames">(.*?)</script>', page, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_there_is_a_picture_and_a_caption_for_each_combination(page: str) -> None:
    data = held(page)
    assert (len(data["images"]), len(data["captions"])) == (6, 6)


def test_the_captions_are_those_of_the_figure_the_first_knob_outermost(page: str) -> None:
    same, captions = figure(), []
    for rate in KNOBS["learning_rate"]:
        for momentum in KNOBS["momentum"]:
            same.knobs["learning_rate"].value, same.knobs["momentum"].value = rate, momentum
            captions.append(same.caption)
    assert held(page)["captions"] == captions


def test_the_pictures_are_all_different_and_of_the_page_s_size(page: str) -> None:
    images = held(page)["images"]
    sizes = {Image.open(io.BytesIO(base64.b64decode(image))).size for image in images}
    assert (len(set(images)), sizes) == (6, {(1350, 600)})


def test_a_slider_has_its_name_its_values_and_a_place_to_begin(page: str) -> None:
    knob = held(page)["knobs"][1]
    assert knob == {"name": "momentum μ", "symbol": "μ", "values": ["0", "0.5", "0.9"], "at": 2}


def test_the_figure_comes_back_to_where_it_was(tmp_path: Path) -> None:
    kept = figure()
    before = kept.caption, kept.picture
    export_html(kept, tmp_path / "page.html", KNOBS)
    assert (kept.caption, kept.picture) == before


def test_the_page_asks_for_nothing_from_elsewhere(page: str) -> None:
    asked: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            asked.extend(str(value) for name, value in attrs if name in ("src", "href", "srcset", "action"))

    Reader().feed(page)
    assert (asked, re.findall(r"url\(|@import|fetch\(|import\(", page)) == ([], [])


def test_words_in_the_page_cannot_be_markup(page: str) -> None:
    assert ("<race>" in page, page.count("A &lt;race&gt;")) == (False, 2)


def test_a_caption_cannot_end_the_script(tmp_path: Path) -> None:
    export_html(Explorer("quadratic", {"</script><b>": SGD}, steps=3), tmp_path / "page.html", {"momentum": [0.5]})
    assert "</script><b>" in held((tmp_path / "page.html").read_text(encoding="utf-8"))["captions"][0]


def test_an_unknown_knob_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"knobs must be among learning_rate, momentum.*, got 'beta9'"):
        export_html(figure(), tmp_path / "page.html", {"beta9": [0.1]})


def test_a_page_that_grew_too_large_is_refused_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST", 10_000)
    with pytest.raises(ValueError, match="take fewer values"):
        export_html(figure(), tmp_path / "page.html", KNOBS)
    assert not (tmp_path / "page.html").exists()


# --- the pages of the series ------------------------------------------------------------------------------------------


def test_the_pages_of_the_series_turn_knobs_that_their_figures_have() -> None:
    pages = load_script(ROOT / "notebooks" / "pages.py").PAGES
    assert {name: set(page.knobs) - set(page.figure().knobs) for name, page in pages.items()} == {
        "race": set(),
        "ravine": set(),
        "adam": set(),
    }


def test_two_values_that_a_slider_cuts_to_one_are_one_position(tmp_path: Path) -> None:
    figure = PhasePlot()
    export_html(figure, tmp_path / "page.html", {"product": [0.1, 1.0], "momentum": [0.5, 0.99, 1.0]})
    data = held((tmp_path / "page.html").read_text(encoding="utf-8"))
    figure.knobs["product"].value, figure.knobs["momentum"].value = 1.0, 0.5
    assert (len(data["images"]), data["captions"][2]) == (4, figure.caption)
