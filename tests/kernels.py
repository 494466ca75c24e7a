"""A kernel that a person uses: cells in any order, again, interrupted, and a slider that is moved while one runs."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager

PATIENCE = 600  # seconds for one cell, on a machine that has other things to do
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Ran(NamedTuple):
    """What a cell said (streams and text/plain), and its error as (name, message, traceback), if there was one."""

    said: str
    error: tuple[str, str, str] | None


def words(outputs: list[dict[str, Any]]) -> str:
    """What a reader without eyes for pictures has of outputs, stored or live."""
    found = []
    for output in outputs:
        text = output.get("text", output.get("data", {}).get("text/plain", ""))
        found.append("".join(text).rstrip("\n"))
    return "\n".join(filter(None, found))


def code_cells(file: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook, each with its text as one string."""
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return [{**cell, "source": "".join(cell["source"])} for cell in cells if cell["cell_type"] == "code"]


class Person:
    """Someone with a kernel, as a front end such as JupyterLab gives it to them."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient) -> None:
        self.manager, self.client = manager, client

    def run(self, source: str, cell: str = "", meanwhile: Callable[[list[dict[str, Any]]], None] | None = None) -> Ran:
        """Run a cell to its end; `meanwhile` is called again and again until then, with the outputs there are."""
        content = {"code": source, "silent": False, "store_history": True, "user_expressions": {}}
        content |= {"allow_stdin": False, "stop_on_error": False}
        request = self.client.session.msg("execute_request", content, metadata={"cellId": cell} if cell else {})
        self.client.shell_channel.send(request)
        outputs: list[dict[str, Any]] = []
        error, clears, end = None, False, time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if meanwhile is not None:
                meanwhile(outputs)
            try:
                message = self.client.get_iopub_msg(timeout=0.05 if meanwhile else 5)
            except Empty:
                assert self.manager.is_alive(), "the kernel died"
                continue
            if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "clear_output":
                clears = True
            elif kind == "error":
                error = content["ename"], content["evalue"], _COLOURS.sub("", "\n".join(content["traceback"]))
            elif kind in ("stream", "display_data", "execute_result"):
                if clears:
                    outputs, clears = [], False
                outputs.append(content)
            elif kind == "status" and content["execution_state"] == "idle":
                return Ran(words(outputs), error)
        raise AssertionError(f"not done after {PATIENCE} seconds: {source}")

    def value(self, expression: str) -> Any:
        """What a Python expression, of JSON's kinds, is in the kernel."""
        ran = self.run(f"import json as _json; print(_json.dumps({expression}))")
        assert ran.error is None, ran.error
        return json.loads(ran.said.splitlines()[-1])

    def interrupt(self) -> None:
        """Press the button with the black square."""
        self.manager.interrupt_kernel()

    def restart(self) -> None:
        """Press the button with the round arrow."""
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE)


@contextmanager
def person(folder: Path) -> Iterator[Person]:
    """Someone with a fresh kernel, which works in this folder."""
    manager = KernelManager(kernel_name="python3")
    # a kernel that knows of pytest would not show what its processes say
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    manager.start_kernel(cwd=str(folder), env=environment)
    client = manager.client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE)
        yield Person(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
