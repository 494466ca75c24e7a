"""Figures as people use them: thousands of moves, from two hands at once, and nothing piles up."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hands import Hands
from ipywidgets.widgets.widget import _instances
from test_instruments import HEAVY, INSTRUMENTS, each_instrument

from tinygpt.lab.widgets.instrument import Instrument

pytestmark = pytest.mark.soak

MOVES = 2000
DEAR = {
    "Explorer": 800,
    "Ravine": 600,
    "RateMap": 120,
    "BasinMap": 200,
    "GPTLab": 60,
    "NetworkLab": 200,
}  # a dear move each
TOGETHER = 100  # moves of each of two hands
MEGABYTES_10 = 10_000_000  # what the process may have more each time it is looked at, though nothing is kept


@pytest.fixture
def figure(name: str) -> Iterator[Instrument]:
    figure = INSTRUMENTS[name]()
    yield figure
    figure.close()


def hands(name: str, figure: Instrument, seed: int = 0) -> Hands:
    return Hands(figure, np.random.default_rng(seed), {knob for heavy, knob in HEAVY if heavy == name})


def moved(hands: Hands, times: int) -> dict[str, str]:
    """What was wrong, by the move after which it was; the figure is as it was at first then."""
    wrong = {}
    for _ in range(times):
        move = hands.move()
        if said := hands.wrong():
            wrong[move] = said
    hands.figure.view.set_state({"ratio": 1.0, "theme": "light", "narrow": False})
    hands.figure.reset()
    hands.figure._scenes.clear()
    return wrong


def held() -> tuple[int, int]:
    """The bytes of memory that the process has, and the widgets that the kernel has."""
    gc.collect()
    with suppress(OSError, AttributeError):  # where the C library can give back what is free already
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(_instances)


@each_instrument
def test_no_move_of_thousands_is_an_error_and_after_the_first_quarter_they_take_up_nothing(
    name: str, figure: Instrument
) -> None:
    someone, quarter, wrong, levels = hands(name, figure), DEAR.get(name, MOVES) // 4, {}, []
    for _ in range(4):
        wrong |= moved(someone, quarter)
        levels.append(held())
    memory, widgets = zip(*levels, strict=True)
    print(f"{name}: {4 * quarter} moves, {[level - memory[0] for level in memory]} bytes more, {widgets} widgets")
    assert (wrong, len(set(widgets)), min(memory[1:]) - memory[0] < MEGABYTES_10) == ({}, 1, True)


@each_instrument
def test_two_hands_at_once_leave_the_figure_as_its_knobs_say(name: str, figure: Instrument) -> None:
    errors: list[Any] = []

    def play(someone: Hands) -> None:
        try:
            for _ in range(min(TOGETHER, DEAR.get(name, MOVES) // 4)):
                someone.move()
        except Exception as error:
            errors.append(error)

    players = [Thread(target=play, args=(hands(name, figure, seed),)) for seed in (1, 2)]
    for player in players:
        player.start()
    for player in players:
        player.join()
    before = figure.caption
    with figure.one_run():
        pass
    assert (errors, figure.caption) == ([], before)
