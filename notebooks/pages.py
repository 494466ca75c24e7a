"""Write the figures that need no kernel: pages of precomputed pictures, each in one file, for any web server or none.

python notebooks/pages.py          into the folder build/site/
python notebooks/pages.py FOLDER   elsewhere
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinygpt import Adam
from tinygpt.lab import Explorer, Ravine
from tinygpt.lab.widgets.export import export_html
from tinygpt.lab.widgets.instrument import Instrument

FOLDER = "build/site"


class Page(NamedTuple):
    """What a page shows, and which values its sliders have."""

    title: str
    words: str
    figure: Callable[[], Instrument]
    knobs: Mapping[str, Sequence[float]]


PAGES = {
    "race": Page(
        "The race: five optimizers on one hill",
        "The learning rate λ is that of all five; the momentum μ concerns two of them. Who wins, and who flies off?",
        lambda: Explorer("gentle_rosenbrock"),
        {"learning_rate": np.geomspace(1e-4, 0.1, 13), "momentum": [0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.94, 0.98]},
    ),
    "ravine": Page(
        "The ravine: what rotation does to each family",
        "κ is how much steeper the ravine is across than along; θ turns it, and the start with it.",
        Ravine,
        {"kappa": np.geomspace(1, 1000, 10), "theta": np.linspace(0, 90, 13)},
    ),
    "adam": Page(
        "Adam: what its two averages do",
        "β₁ is how long Adam remembers the gradient's mean, β₂ how long its size.",
        lambda: Explorer("rosenbrock", {"Adam": Adam}, knobs={"learning_rate": 0.1}),
        {"beta1": [0, 0.3, 0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.96, 0.99], "beta2": [0, 0.3, 0.5, 0.7, 0.9, 0.97, 0.999]},
    ),
}


def write(folder: Path) -> None:
    """Write every page, and say how large it is."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        file = folder / f"{name}.html"
        size = export_html(page.figure(), file, page.knobs, page.title, page.words)
        print(f"{file}: {size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER))
