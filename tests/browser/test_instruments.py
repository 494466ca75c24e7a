"""Every instrument in a real JupyterLab: it shows, its slider repaints it, no label is clipped, nothing complains."""

import re

import nbformat
import pytest
from driver import SECOND
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CELLS = {  # the instrument, and the name of a slider of it
    "Explorer()": "learning rate λ",
    "Microscope(step=6)": "learning rate λ",
    "RateMap()": "learning rate λ",
    "Parabola()": "learning rate λ",
    "Ravine(theta=30)": "angle θ",
    "PhasePlot()": "momentum μ",
    "BasinMap()": "learning rate λ",
    "NoiseLab()": "learning rate λ",
    "FairFight(rates=[0.01, 0.1], seeds=6, steps=50, progress=False)": "steps",
    "NetworkLab(steps=200)": "the step shown",
    "GPTLab(steps=20)": "the step shown",
    "GradientTape()": "x",
    "DecayLab()": "learning rate λ",
    "FailureLab()": "learning rate λ",
    "SpectrumLab()": "Newton–Schulz steps",
    "Conventions()": "learning rate λ",
}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
CLIPPED = """figure => [...figure.querySelectorAll('.widget-label, .widget-readout, button')]
    .filter(e => e.clientWidth && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent || e.title)"""


@pytest.fixture(scope="module")
def notebook(server):
    """A notebook with a cell for each instrument."""
    cells = [nbformat.v4.new_code_cell(f"from tinygpt import lab\nlab.{call}") for call in CELLS]
    written = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    (server.folder / "instruments").mkdir()
    nbformat.write(written, server.folder / "instruments" / "all.ipynb")
    return "instruments/all.ipynb"


@pytest.mark.parametrize("width", [1400, 1000, 700])
def test_every_instrument_shows_repaints_and_fits(lab, notebook, width):
    lab.page.set_viewport_size({"width": width, "height": 1000})
    lab.visit(notebook, workspace=f"instruments-{width}")
    lab.page.evaluate("jupyterapp.commands.execute('application:toggle-left-area')")
    lab.run_all()
    for number, (call, slider) in enumerate(CELLS.items()):
        cell = lab.page.locator(".jp-CodeCell").nth(number)
        cell.scroll_into_view_if_needed()
        figure = cell.locator(".tinygpt-instrument")
        canvas = figure.locator("canvas")
        expect(canvas).to_have_attribute("data-frame", re.compile(r"\d"), timeout=20 * SECOND)
        assert figure.evaluate(CLIPPED) == [], call
        before = canvas.evaluate("canvas => canvas.toDataURL()")
        handle = figure.get_by_role("slider", name=slider).first
        handle.focus()
        lab.page.keyboard.press("ArrowLeft")
        changed = "([canvas, before]) => canvas.toDataURL() !== before"
        lab.page.wait_for_function(changed, arg=[canvas.element_handle(), before], timeout=20 * SECOND)
        lab.wait_until_idle()


def test_every_instrument_follows_the_page_into_the_dark(lab, notebook):
    lab.page.set_viewport_size({"width": 1200, "height": 12_000})
    lab.visit(notebook, workspace="instruments-dark")
    lab.run_all()
    expect(lab.page.locator(".tinygpt-instrument canvas[data-frame]")).to_have_count(len(CELLS), timeout=60 * SECOND)
    corner = "canvas => canvas.getContext('2d').getImageData(2, 2, 1, 1).data[0]"
    every = "() => [...document.querySelectorAll('.tinygpt-instrument canvas')].map({corner})"
    try:
        lab.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
        dark = f"() => ({every.replace('{corner}', corner)})().every(value => value < 40)"
        lab.page.wait_for_function(dark, timeout=60 * SECOND)
    finally:
        lab.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Light' })")
