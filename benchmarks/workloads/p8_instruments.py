"""P8: a slider of the lab moves, and the new picture is there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from benchmarks.workload import Goal, Row, Workload

Move = tuple[str, float, float]  # a knob, and the values between which it moves

RACE_MOVES: dict[str, Move] = {
    "λ slider: 5 optimizers × 200 steps, and the picture": ("learning_rate", 5e-4, 1.5e-3),
    "μ slider: the 2 optimizers that have it": ("momentum", 0.5, 0.95),
    "β₁ slider: Adam": ("beta1", 0.5, 0.95),
}
MOVES: dict[str, list[Move]] = {  # of each instrument
    "Microscope": [("step", 0, 59)],
    "Parabola": [("learning_rate", 0.5, 1.9)],
    "Ravine": [("theta", 0, 90)],
    "PhasePlot": [("momentum", 0.1, 0.95)],
    "RateMap": [("momentum", 0.1, 0.95), ("kappa", 10, 500)],
    "BasinMap": [("learning_rate", 0.002, 0.015)],
    "NoiseLab": [("learning_rate", 0.02, 0.5)],
    "NetworkLab": [("step", 0, 1500), ("learning_rate", 0.1, 0.5)],
    "GradientTape": [("x", -2, 2)],
    "DecayLab": [("weight_decay", 0.001, 0.5)],
    "FailureLab": [("beta2", 0.1, 0.9)],
    "SpectrumLab": [("newton_schulz_steps", 0, 10)],
    "Conventions": [("learning_rate", 0.01, 0.2)],
}


def race(move: Move, _: None) -> Iterator[None]:
    """One move of a shared slider: the descents of 200 steps that it concerns, the picture drawn and encoded."""
    from tinygpt.lab import RACE, Explorer

    return _moves(Explorer("rosenbrock", RACE, steps=200), move)


def instrument(name: str, move: Move, _: None) -> Iterator[None]:
    """One move of an instrument's slider, the picture included."""
    from tinygpt import lab

    return _moves(getattr(lab, name)(), move)


def _moves(figure: Any, move: Move) -> Iterator[None]:
    name, low, high = move
    knob = figure.knobs[name]
    whole = isinstance(knob.value, int)
    values = range(int(low), int(high) + 1) if whole else np.linspace(low, high, 61).tolist()
    for value in itertools.cycle(values):
        knob.value = value
        yield


def descents(_: None) -> Iterator[None]:
    """The part of the λ slider's move that computes."""
    from tinygpt.lab import descend

    racers = _racers()
    while True:
        descend("rosenbrock", racers, steps=200)
        yield


def painting(_: None) -> Iterator[None]:
    """The part of a move that draws and encodes."""
    from tinygpt.lab import SURFACES, descend
    from tinygpt.lab.charts.race import RacePicture
    from tinygpt.lab.charts.style import styles

    surface, racers = SURFACES["rosenbrock"], _racers()
    picture, paths, look = RacePicture(surface), descend(surface, racers), styles(racers)
    while True:
        picture.draw(paths, look, surface.start, 200)
        picture.jpeg()
        yield


def _racers() -> dict[str, Any]:
    from tinygpt import SGD, Adam, RMSProp

    return {
        "SGD": partial(SGD, learning_rate=1e-3),
        "momentum": partial(SGD, learning_rate=1e-3, momentum=0.9),
        "Nesterov": partial(SGD, learning_rate=1e-3, momentum=0.9, nesterov=True),
        "RMSProp": partial(RMSProp, learning_rate=1e-3),
        "Adam": partial(Adam, learning_rate=1e-3),
    }


SIXTY_A_SECOND = Goal(plus=16)

P8 = Workload(
    "a slider's move, to the new picture",
    {
        **{
            words: Row("tinygpt", partial(race, move), goal=SIXTY_A_SECOND if "λ" in words else None)
            for words, move in RACE_MOVES.items()
        },
        "  of the λ slider: the descents": Row("tinygpt", descents),
        "  of each: drawing and encoding": Row("tinygpt", painting),
        **{
            f"{name}: {move[0]}": Row("tinygpt", partial(instrument, name, move))
            for name, moves in MOVES.items()
            for move in moves
        },
    },
)
