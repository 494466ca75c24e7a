"""Every lesson in a real JupyterLab: it shows its stored pictures, runs, answers its reader, and nothing complains."""

import re

import pytest
from driver import SECOND
from links import NOTEBOOKS
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

NO_MODEL = "Error displaying widget"  # what JupyterLab writes in the place of a widget whose kernel is gone


def answer_the_first_prediction(lab):
    """Chooses something, commits, and is told the truth."""
    asked = lab.page.locator(".tinygpt-prediction").first
    asked.scroll_into_view_if_needed()
    choices = asked.get_by_role("radio")
    if choices.count():
        choices.first.check()
    else:
        asked.get_by_role("textbox").fill("1")
    asked.get_by_role("button", name="commit").click()
    expect(asked.get_by_role("status")).to_have_text(re.compile("^(Right|You said)"), timeout=20 * SECOND)


def move_the_main_control(lab):
    """Presses an arrow key on the first slider of the first figure, towards the end that is farther; it repaints."""
    figure = lab.page.locator(".tinygpt-instrument").first
    figure.scroll_into_view_if_needed()
    canvas = figure.locator("canvas")
    expect(canvas).to_have_attribute("data-frame", re.compile(r"\d"), timeout=20 * SECOND)
    lab.wait_until_idle()
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    handle = figure.locator(".noUi-handle").first
    handle.focus()
    low, now, high = (float(handle.get_attribute(f"aria-value{which}")) for which in ("min", "now", "max"))
    lab.page.keyboard.press("ArrowRight" if now - low <= high - now else "ArrowLeft")
    changed = "([canvas, before]) => canvas.toDataURL() !== before"
    lab.page.wait_for_function(changed, arg=[canvas.element_handle(), before], timeout=20 * SECOND)


@pytest.mark.parametrize("name", [file.name for file in NOTEBOOKS])
def test_a_lesson_opens_with_its_pictures_runs_and_answers_its_reader(lab, name):
    lab.page.set_viewport_size({"width": 1280, "height": 15_000})  # JupyterLab renders the cells in sight, no others
    lab.open(name)
    stored = [output for cell in lab.cells() for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in stored)
    expect(lab.page.locator(".jp-OutputArea-output img")).to_have_count(pictures, timeout=20 * SECOND)  # lazily drawn
    assert lab.page.get_by_text(NO_MODEL).count() == 0

    lab.run_all()
    assert lab.page.get_by_text(NO_MODEL).count() == 0
    if lab.page.locator(".tinygpt-prediction").count():
        answer_the_first_prediction(lab)
    move_the_main_control(lab)
