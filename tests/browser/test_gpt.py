"""A small GPT in a real JupyterLab: its curve grows while the cell runs, and then the figure stands there."""

import nbformat
import pytest
from driver import SECOND
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

CELL = "from tinygpt.lab import GPTLab\nGPTLab(steps=40)"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
GROWS = """() => {
    const frame = document.querySelector('.jp-OutputArea canvas')?.dataset.frame;
    return Number(frame) >= 3 && document.querySelector('.jp-InputPrompt').textContent.includes('*');
}"""


def test_the_curve_grows_while_the_cell_runs_and_then_the_figure_stands_there(lab):
    cells = [nbformat.v4.new_code_cell(CELL)]
    (lab.server.folder / "gpt").mkdir()
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL}), lab.server.folder / "gpt" / "gpt.ipynb"
    )
    lab.visit("gpt/gpt.ipynb", workspace="gpt")
    lab.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-cell'); }")
    lab.page.wait_for_function(GROWS, timeout=60 * SECOND)
    expect(lab.page.locator(".tinygpt-instrument")).to_have_count(1, timeout=120 * SECOND)
    expect(lab.page.locator(".jp-OutputArea canvas")).to_have_count(1)
