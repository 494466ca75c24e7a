"""Every lesson in a real JupyterLab: it shows its stored pictures, runs from top to bottom, and nothing complains."""

import pytest
from driver import SECOND
from links import NOTEBOOKS
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

NO_MODEL = "Error displaying widget"  # what JupyterLab writes in the place of a widget whose kernel is gone


@pytest.mark.parametrize("name", [file.name for file in NOTEBOOKS])
def test_a_lesson_opens_with_its_pictures_and_runs_without_an_error(lab, name):
    lab.page.set_viewport_size({"width": 1280, "height": 15_000})  # JupyterLab renders the cells in sight, no others
    lab.open(name)
    stored = [output for cell in lab.cells() for output in cell.get("outputs", [])]
    pictures = sum("image/png" in output.get("data", {}) for output in stored)
    expect(lab.page.locator(".jp-OutputArea-output img")).to_have_count(pictures, timeout=20 * SECOND)  # lazily drawn
    assert lab.page.get_by_text(NO_MODEL).count() == 0

    lab.run_all()
    assert lab.page.get_by_text(NO_MODEL).count() == 0
