"""What is measured: each workload prepares once and gives the call to be timed."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from tinygpt import SGD, Adam, Module, RMSProp, Tensor, lab
from tinygpt.lab import RACE, SURFACES, Explorer, descend
from tinygpt.lab.charts.race import RacePicture
from tinygpt.lab.charts.style import styles
from tinygpt.lab.widgets.instrument import Instrument


@dataclass(frozen=True)
class Workload:
    """`prepare` gives the call to be timed; or `figures` brings median, p95 and min of its own making."""

    words: str
    prepare: Callable[[], Callable[[], object]] = lambda: lambda: None
    runs: int = 200
    figures: Callable[[], dict[str, float]] | None = None


def _slider(name: str, low: float, high: float) -> Callable[[], object]:
    """One move of a shared slider: the descents of 200 steps that it concerns, the picture drawn and encoded."""
    explorer = Explorer("rosenbrock", RACE, steps=200)
    values = itertools.cycle(np.linspace(low, high, 101))
    return lambda: setattr(explorer.knobs[name], "value", float(next(values)))


_RACERS = {
    "SGD": partial(SGD, learning_rate=1e-3),
    "momentum": partial(SGD, learning_rate=1e-3, momentum=0.9),
    "Nesterov": partial(SGD, learning_rate=1e-3, momentum=0.9, nesterov=True),
    "RMSProp": partial(RMSProp, learning_rate=1e-3),
    "Adam": partial(Adam, learning_rate=1e-3),
}


def _turn(make: Callable[[], Instrument], name: str, low: float, high: float) -> Callable[[], object]:
    """One move of an instrument's slider, the picture included."""
    figure = make()
    knob = figure.knobs[name]
    whole = isinstance(knob.value, int)
    values = itertools.cycle(range(int(low), int(high) + 1) if whole else np.linspace(low, high, 61).tolist())
    return lambda: setattr(knob, "value", next(values))


def _descent() -> Callable[[], object]:
    """The part of a move that computes."""
    return lambda: descend("rosenbrock", _RACERS, steps=200)


def _paint() -> Callable[[], object]:
    """The part of a move that draws and encodes."""
    surface = SURFACES["rosenbrock"]
    picture, paths, look = RacePicture(surface), descend(surface, _RACERS), styles(_RACERS)

    def call() -> bytes:
        picture.draw(paths, look, surface.start, 200)
        return picture.jpeg()

    return call


class _Pair(Module):
    def __init__(self) -> None:
        self.x = Tensor(-1.2, requires_grad=True)
        self.y = Tensor(1.0, requires_grad=True)


def _rosenbrock_steps() -> Callable[[], object]:
    """1000 Adam steps on Rosenbrock with two scalar parameters."""
    model = _Pair()
    optimizer = Adam(model)

    def call() -> None:
        for _ in range(1000):
            x, y = model.x, model.y
            loss = (1 - x) ** 2 + 100 * (y - x * x) ** 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.update()

    return call


def _import_figures(modules: str, runs: int = 15) -> dict[str, float]:
    """A fresh interpreter that imports and leaves, less one that only leaves."""
    bare, full = [], []
    for _ in range(runs):
        for command, times in (("", bare), (f"import {modules}", full)):
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], check=True)
            times.append(1e3 * (time.perf_counter() - begin))
    beyond = np.array(full) - np.median(bare)
    return {"median": float(np.median(beyond)), "p95": float(np.percentile(beyond, 95)), "min": float(beyond.min())}


MOVES = {  # instrument, knob, from, to; and how many moves are timed
    "microscope": (lab.Microscope, "step", 0, 59, 120),
    "parabola": (lab.Parabola, "learning_rate", 0.5, 1.9, 120),
    "ravine": (lab.Ravine, "theta", 0, 90, 60),
    "phase": (lab.PhasePlot, "momentum", 0.1, 0.95, 120),
    "rate_map": (lab.RateMap, "momentum", 0.1, 0.95, 120),
    "rate_map_anew": (lab.RateMap, "kappa", 10, 500, 10),
    "basin_map_anew": (lab.BasinMap, "learning_rate", 0.002, 0.015, 5),
    "noise": (lab.NoiseLab, "learning_rate", 0.02, 0.5, 120),
    "network": (lab.NetworkLab, "step", 0, 1500, 120),
    "network_anew": (lab.NetworkLab, "learning_rate", 0.1, 0.5, 5),
    "tape": (lab.GradientTape, "x", -2, 2, 120),
    "decay": (lab.DecayLab, "weight_decay", 0.001, 0.5, 120),
    "failure": (lab.FailureLab, "beta2", 0.1, 0.9, 120),
    "spectrum": (lab.SpectrumLab, "newton_schulz_steps", 0, 10, 120),
    "conventions": (lab.Conventions, "learning_rate", 0.01, 0.2, 120),
}

WORKLOADS = {
    "slider": Workload(
        "λ slider: 5 optimizers × 200 steps, and the picture", partial(_slider, "learning_rate", 5e-4, 1.5e-3)
    ),
    "momentum": Workload("μ slider: the 2 optimizers that have it", partial(_slider, "momentum", 0.5, 0.95)),
    "beta": Workload("β₁ slider: Adam", partial(_slider, "beta1", 0.5, 0.95)),
    "descent": Workload("  of the λ slider: the descents", _descent),
    "paint": Workload("  of each: drawing and encoding", _paint),
    "adam": Workload("1000 Adam steps on Rosenbrock, two scalars, float64", _rosenbrock_steps, runs=20),
    "import": Workload("import tinygpt, beyond bare Python", figures=lambda: _import_figures("tinygpt")),
    "numpy": Workload("import numpy, beyond bare Python", figures=lambda: _import_figures("numpy")),
    **{
        name: Workload(f"{make.__name__}: {knob}", partial(_turn, make, knob, low, high), runs)
        for name, (make, knob, low, high, runs) in MOVES.items()
    },
}
