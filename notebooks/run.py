"""Runs the notebooks and stores their outputs, with nothing in the files that changes from run to run.

python notebooks/run.py                        every notebook
python notebooks/run.py notebooks/00-race.ipynb
python notebooks/run.py --check                writes nothing; exits 1 if a file would change
"""

import argparse
import json
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, CellTimeoutError, DeadKernelError

FOLDER = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},  # the version is the reader's affair, and would change with every release
}
CELL_METADATA = {"tags", "jupyter", "jp-MarkdownHeadingCollapsed"}  # what an author sets; the rest is editors' state
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"  # of a kernel that is gone: a reader would see an error


def tidy(notebook: dict[str, Any]) -> str:
    """The text to store for a notebook: its cells, outputs and tags, and nothing that differs from run to run."""
    notebook = nbformat.from_dict(deepcopy(notebook))
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in CELL_METADATA}
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    return nbformat.writes(notebook) + "\n"


def run(file: Path, seconds: int) -> str:
    """The text to store for the notebook in `file`, with its outputs made afresh in its own folder."""
    notebook = nbformat.reads(tidy(json.loads(file.read_text(encoding="utf-8"))), as_version=4)
    NotebookClient(
        notebook,
        timeout=seconds,
        kernel_name="python3",
        resources={"metadata": {"path": str(file.parent)}},
        record_timing=False,
        store_widget_state=False,
        coalesce_streams=True,  # what is printed arrives in pieces, and in how many is chance
    ).execute()
    return tidy(notebook)


def main() -> int:
    """Runs what the command line names; the number is the process's exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="notebooks to run (all of them if none is named)")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if a file would change")
    parser.add_argument("--timeout", type=int, default=120, metavar="SECONDS", help="for one cell (default: 120)")
    arguments = parser.parse_args()

    failed = False
    for file in arguments.files or sorted(FOLDER.glob("*.ipynb")):
        try:
            text = run(file, arguments.timeout)
        except (CellExecutionError, CellTimeoutError, CellControlSignal, DeadKernelError, OSError) as error:
            print(f"{file}: not stored, for it did not run to its end\n{error}", file=sys.stderr)
            failed = True
            continue
        changed = text != file.read_text(encoding="utf-8")
        if changed and not arguments.check:
            file.write_text(text, encoding="utf-8", newline="\n")
        verb = "would change: run it without --check" if arguments.check else "written"
        print(f"{file}: {verb if changed else 'unchanged'}")
        failed |= changed and arguments.check
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
