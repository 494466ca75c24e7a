"""An exported page in a real browser, from a file and without a kernel: its sliders answer, and it asks for nothing."""

import pytest
from playwright.sync_api import Browser, Page, expect

from tinygpt.lab import Explorer
from tinygpt.lab.widgets.export import export_html

pytestmark = pytest.mark.browser

SOON = 3000  # milliseconds, from opening the page to the first drag that shows
RATES, MOMENTA = [0.001, 0.003, 0.01], [0.0, 0.5, 0.9]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "race.html"
    export_html(Explorer("gentle_rosenbrock"), file, {"learning_rate": RATES, "momentum": MOMENTA}, "The race")
    return file


@pytest.fixture
def page(browser: Browser, file):
    context = browser.new_context(viewport={"width": 1000, "height": 800}, offline=True)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith("file:") else errors.append(request.url))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert errors == []


def shown(page: Page) -> str:
    return page.locator("canvas").evaluate("canvas => canvas.toDataURL()")


def test_the_first_drag_shows_soon_after_opening(page):
    canvas = page.locator("canvas")
    page.get_by_label("learning rate λ").fill("2", timeout=SOON)
    expect(canvas).to_have_attribute("data-frame", "8", timeout=SOON)


@pytest.mark.parametrize("name", ["learning rate λ", "momentum μ"])
def test_an_arrow_key_on_a_slider_changes_picture_and_caption(page, name):
    expect(page.locator("canvas")).to_have_attribute("data-frame", "2")
    before = shown(page), page.locator("#caption").inner_text()
    page.get_by_label(name).focus()
    page.keyboard.press("ArrowRight" if name.startswith("learning") else "ArrowLeft")
    expect(page.locator("canvas")).not_to_have_attribute("data-frame", "2")
    after = shown(page), page.locator("#caption").inner_text()
    assert (after[0] != before[0], after[1] != before[1]) == (True, True)


def test_a_slider_says_its_value(page):
    expect(page.get_by_label("momentum μ")).to_have_attribute("aria-valuetext", "0.9")


def test_the_page_fits_a_telephone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
