"""A page of JupyterLab, and what the browser tests do with it."""

import itertools
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from links import BADGE, ROOT
from playwright.sync_api import ConsoleMessage, Page, Route
from playwright.sync_api import TimeoutError as NotInTime

BLANK = '<svg xmlns="http://www.w3.org/2000/svg" width="109" height="20"/>'  # the badge's size
SECOND = 1000  # Playwright counts in milliseconds


class Server(NamedTuple):
    """Where JupyterLab answers, and the folder it shows."""

    address: str
    folder: Path


class Lab:
    """One page of JupyterLab. Errors it met are collected in `errors`; the fixture fails the test that left one there.

    `page` is Playwright's, for everything that a reader does by hand.
    """

    copies = itertools.count()

    def __init__(self, page: Page, server: Server) -> None:
        self.page, self.server = page, server
        self.errors: list[str] = []
        page.context.route(lambda address: not address.startswith(server.address), self.keep_inside)
        page.on("pageerror", lambda error: self.errors.append(f"page: {error}"))
        page.on("console", self.note)

    def note(self, message: ConsoleMessage) -> None:
        """Keeps what the console calls an error."""
        if message.type == "error":
            self.errors.append(f"console: {message.text} ({message.location.get('url')})")

    def keep_inside(self, route: Route) -> None:
        """Answers for the world outside: a lesson may show Binder's badge, and must need nothing else of it."""
        if route.request.url == BADGE:
            route.fulfill(content_type="image/svg+xml", body=BLANK)
        else:
            self.errors.append(f"network: the page asks for {route.request.url}")
            route.abort()

    def open(self, name: str) -> None:
        """Opens a copy of a notebook, as it is stored, with a kernel and a workspace of its own; waits for both."""
        copy = f"copy-{next(self.copies)}"
        shutil.copytree(ROOT / "notebooks", self.server.folder / copy)
        self.visit(f"{copy}/{name}", workspace=copy)

    def visit(self, path: str, workspace: str) -> None:
        """Opens a notebook of the server's folder in a workspace, and waits for both it and its kernel."""
        self.page.goto(f"{self.server.address}/lab/workspaces/{workspace}/tree/{path}?reset")
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60 * SECOND)
        self.page.evaluate("""() => {
            const notebook = jupyterapp.shell.currentWidget.content, config = notebook.notebookConfig;
            if (config.windowingMode === "full")  // before JupyterLab 4.3: a page without the cells out of sight
                notebook.notebookConfig = {...config, windowingMode: "none"};
        }""")
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Waits until the kernel is connected and has nothing left to do.

        The notebook's own indicator says idle before the kernel is connected, and what is run then is lost.
        """
        idle = """() => {
            const kernel = jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel;
            return kernel?.connectionStatus === "connected" && kernel.status === "idle";
        }"""
        try:
            self.page.wait_for_function(idle, timeout=60 * SECOND)
        except NotInTime:
            pytest.fail(f"no idle kernel after a minute, but a page that says\n{self.page.inner_text('body')}")

    def run_all(self) -> None:
        """Clears what is stored, runs all cells as the menu does, and waits for the last; a cell's error is raised."""
        self.page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
        run = "jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.hasRun = true; })"
        self.page.evaluate(f"() => {{ window.hasRun = false; {run}; }}")  # braces: evaluate would wait without a limit
        self.page.wait_for_function("window.hasRun", timeout=120 * SECOND)
        self.wait_until_idle()
        for number, cell in enumerate(self.cells()):
            for output in cell.get("outputs", []):
                error = f"cell {number}: {output.get('ename')}: {output.get('evalue')}"
                assert output["output_type"] != "error", error
            assert cell["cell_type"] != "code" or cell["execution_count"], f"cell {number} was not run"

    def cells(self) -> list[dict]:
        """The notebook's cells as the page holds them, those that are out of sight included."""
        return self.page.evaluate("jupyterapp.shell.currentWidget.content.model.toJSON().cells")
