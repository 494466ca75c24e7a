"""The site in a real browser: its landing page on any screen, and a lesson as JupyterLite opens it."""

import json
import re
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import nbformat
import pytest
import website
from driver import SECOND
from links import NOTEBOOKS, links_in
from playwright.sync_api import Browser, expect

pytestmark = pytest.mark.browser


# --- the landing page ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def landed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    website.land(folder)
    return folder / "index.html"


@pytest.fixture(params=[(theme, width) for theme in ("light", "dark") for width in (360, 1280)], ids=str)
def page(browser: Browser, landed, request):
    """The landing page, from a file and without a network; the test fails if it complains or asks for anything else."""
    theme, width = request.param
    context = browser.new_context(color_scheme=theme, viewport={"width": width, "height": 800}, offline=True)
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else errors.append(request.url)
    )
    page.goto(landed.as_uri())
    yield page
    context.close()
    assert errors == []


def test_the_page_fits_its_screen(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_picture_is_there_and_of_the_pages_theme(page):
    pictures = page.locator("img")
    for number in range(pictures.count()):
        pictures.nth(number).scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every(image => image.complete && image.naturalWidth)")
    theme = "dark" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
    shown = page.evaluate("[...document.images].map(image => image.currentSrc)")
    assert [source for source in shown if f"-{theme}" not in source] == []


def test_the_tab_key_goes_through_every_link_and_shows_where_it_is(page, landed):
    links = links_in(re.sub(r"<(link|img|meta|source)[^>]*>", "", landed.read_text(encoding="utf-8")))
    for link in links:
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        expect(focused).to_have_attribute("href", link)
        assert focused.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"


# --- JupyterLite -----------------------------------------------------------------------------------------------------


class Quiet(SimpleHTTPRequestHandler):
    """A web server of files that prints nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """JupyterLite, built anew."""
    pytest.importorskip("jupyterlite_pyodide_kernel", reason="it wants the extra `site`, and PyPI for its wheels")
    folder = tmp_path_factory.mktemp("site") / "lite"
    website.lite(folder)
    return folder


@pytest.fixture
def address(lite):
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=lite.parent)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_lesson_is_in_it_cell_by_cell(lite):
    for file in NOTEBOOKS:
        assert nbformat.read(lite / "files" / file.name, 4) == nbformat.read(file, 4)


def test_the_wheels_that_its_kernel_loads_are_where_its_worker_looks_for_them(lite):
    (worker,) = (lite / "extensions").rglob("comlink.worker*.js")
    config = json.loads((lite / "jupyter-lite.json").read_text(encoding="utf-8"))["jupyter-config-data"]
    loaded = config["litePluginSettings"][f"{website.KERNEL}:kernel"]["loadPyodideOptions"]["packages"]
    wheels = [worker.parent / name for name in loaded if name.endswith(".whl")]
    assert len(wheels) == len(website.OF_OURS) + 1
    assert [wheel for wheel in wheels if not wheel.is_file()] == []


def test_a_lesson_opens_with_its_stored_pictures_where_no_python_can_be_fetched(browser, address):
    context = browser.new_context(viewport={"width": 1000, "height": 12_000})
    context.route(lambda url: not url.startswith(address), lambda route: route.abort())
    page = context.new_page()
    page.goto(f"{address}/{website.lite_link(NOTEBOOKS[0].name)}")
    stored = [output for cell in nbformat.read(NOTEBOOKS[0], 4).cells for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in stored)
    expect(page.locator(".jp-OutputArea-output img")).to_have_count(pictures, timeout=60 * SECOND)
    assert page.locator(".jp-Dialog").count() == 0
    context.close()
