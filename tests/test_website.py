"""The site: its landing page leads to what the build makes, and a browser gets what the lessons import."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
import website
from links import NOTEBOOKS, PROJECT, ROOT, binder_link, links_in
from packaging.requirements import Requirement
from packaging.version import Version

NAMES = [file.name for file in NOTEBOOKS]
REPOSITORY = PROJECT["urls"]["Repository"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the landing page."""
    folder = tmp_path_factory.mktemp("site")
    website.land(folder)
    return folder


@pytest.fixture(scope="module")
def page(site):
    return (site / "index.html").read_text(encoding="utf-8")


def targets(page):
    """The page's own links and pictures."""
    found = links_in(page) + re.findall(r'srcset="([^"]+)"', page)
    return {target for target in found if not re.match(r"\w+:", target)}


# --- the landing page ------------------------------------------------------------------------------------------------


def test_every_link_leads_to_what_the_build_makes(site, page):
    made = {file.name for file in site.iterdir()} | {f"{name}.html" for name in website.PAGES}
    lessons = {website.lite_link(name) for name in NAMES}  # what of JupyterLite is built, a soak test tells
    assert targets(page) - made - lessons == set()


def test_everything_made_is_linked(site, page):
    made = {file.name for file in site.iterdir()} - {"index.html"}
    assert made - targets(page) == {"race.png"}
    assert 'content="https://tinygpt.github.io/tinygpt/race.png"' in page
    assert {f"{name}.html" for name in website.PAGES} <= targets(page)


def test_it_lists_every_lesson_in_order_with_its_binder(page):
    table = page[page.index('class="lessons"') :]
    links = links_in(table[: table.index("</ol>")])
    assert links == [link for name in NAMES for link in (website.lite_link(name), binder_link(name))]


def test_links_into_the_repository_lead_to_files_and_headings(page):
    inside = re.findall(rf'"{REPOSITORY}/blob/HEAD/([^"]+)"', page)
    assert [file for file in inside if not (ROOT / file).exists()] == []
    assert f'"{REPOSITORY}#two-commands"' in page
    assert "\n## Two commands\n" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_picture_is_told_in_words(page):
    hero = re.search(r'<img src="hero-light.webp"[^>]*alt="([^"]*)"', page)[1]
    assert re.search(r"gentle Rosenbrock from .* First below 0.001: ", hero)


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_page_has_the_colours_of_the_figures(page, name):
    for label, style in website.STYLES.items():
        assert f"--{label}: {style.line(website.THEMES[name])};" in page
        assert f'stroke="var(--{label})"' in page
    assert f"--page: {website.THEMES[name].page};" in page


def test_every_tag_is_closed_and_every_id_is_single(page):
    open_tags, ids, void = [], [], {"meta", "link", "img", "source", "path", "html", "br"}

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            ids.extend(value for name, value in attributes if name == "id")
            if tag not in void:
                open_tags.append(tag)

        def handle_endtag(self, tag):
            if tag not in void:
                assert open_tags.pop() == tag

    Reader().feed(page)
    assert open_tags == []
    assert len(ids) == len(set(ids))


# --- what a browser gets ---------------------------------------------------------------------------------------------


def needs():
    """What the lessons need, by name; JupyterLab is the page itself."""
    every = map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"])
    return {need.name: need.specifier for need in every if need.name != "jupyterlab"}


def pyodide():
    """The Pyodide that CONTRIBUTING.md speaks of, and its packages by name."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    release, rows = re.search(r"\| package \| Pyodide (\S+) \|\n\|---\|---\|\n((?:\|.*\|\n)+)", text).groups()
    return release, dict(re.findall(r"\| (\S+) \| (\S+) \|", rows))


def test_a_browser_gets_all_that_the_lessons_need():
    assert set(needs()) <= {*website.OF_PYODIDE, *website.OF_OURS}


def test_pyodide_has_versions_that_the_package_takes():
    _, packages = pyodide()
    assert set(packages) == {*website.OF_PYODIDE, "Python"}
    assert Version(packages["Python"]) in Requirement(f"python{PROJECT['requires-python']}").specifier
    for name in packages.keys() & needs().keys():
        assert Version(packages[name]) in needs()[name], name


def test_the_documented_pyodide_is_the_one_that_is_loaded():
    constants = pytest.importorskip("jupyterlite_pyodide_kernel.constants", reason="it wants the extra `site`")
    release, packages = pyodide()
    assert release == constants.PYODIDE_VERSION
    assert packages["Python"].startswith(constants.PYODIDE_PYTHON_VERSION)


# --- the workflow ----------------------------------------------------------------------------------------------------


def test_the_workflow_builds_by_the_documented_commands_and_publishes_what_they_make():
    workflow = (ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    for command in ('pip install -e ".[site]"', "python notebooks/website.py"):
        assert f"run: {command}\n" in workflow
        assert f"    {command}" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"path: {website.FOLDER}\n" in workflow
