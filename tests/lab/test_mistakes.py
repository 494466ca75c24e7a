"""A reader's own code that fails, in every figure that takes an optimizer, a surface or a function of theirs."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tinygpt import Module, Optimizer, OptimizerState, Tensor, lab
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.optimizers import elementwise

FIGHT: dict[str, Any] = {"rates": [0.001, 0.01], "seeds": 2, "steps": 5, "progress": False}
MAKERS: dict[str, Callable[[Any], Instrument]] = {
    "Explorer": lambda mine: lab.Explorer("quadratic", {"mine": mine}, steps=5),
    "Microscope": lambda mine: lab.Microscope(mine, steps=5),
    "RateMap": lambda mine: lab.RateMap(optimizer=mine, over="bent"),
    "Ravine": lambda mine: lab.Ravine({"mine": mine}, steps=5),
    "BasinMap": lambda mine: lab.BasinMap(optimizer=mine),
    "FairFight": lambda mine: lab.FairFight(optimizers={"mine": mine}, executor=ThreadPoolExecutor(1), **FIGHT),
    "NetworkLab": lambda mine: lab.NetworkLab(0.4, "mine", width=2, steps=100, optimizers={"mine": mine}),
    "GPTLab": lambda mine: lab.GPTLab(optimizer="mine", steps=10, optimizers={"mine": mine}),
}
HILLS: dict[str, Callable[[Any], Instrument]] = {
    "Explorer": lambda hill: lab.Explorer(hill, steps=5),
    "Microscope": lambda hill: lab.Microscope("SGD", hill, steps=5),
    "RateMap": lambda hill: lab.RateMap(hill),
    "BasinMap": lambda hill: lab.BasinMap(lab.Surface("my hill", hill, (1.0, 1.0), ((0.0, 0.0), (1.0, 0.0)))),
    "FairFight": lambda hill: lab.FairFight(hill, executor=ThreadPoolExecutor(1), **FIGHT),
    "GradientTape": lambda hill: lab.GradientTape(hill),
}
TURNS: dict[str, tuple[str, Any]] = {  # that make each figure ask the reader's code again
    "Explorer": ("learning_rate", 0.02),
    "Microscope": ("learning_rate", 0.02),
    "RateMap": ("learning_rate", 0.02),
    "Ravine": ("theta", 30.0),
    "BasinMap": ("learning_rate", 0.02),
    "NetworkLab": ("seed", 1),
    "GPTLab": ("seed", 1),
    "GradientTape": ("x", 2.0),
}
MISTAKES: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda w: None,
    "another shape": lambda w: np.zeros((3, 3, 3)),
    "words": lambda w: "w - λg",
}


class Mine(Optimizer):
    """Gradient descent, until `mistake` says what it gives back instead."""

    mistake: Callable[[Any], Any] | None = None

    def __init__(self, module: Module, learning_rate: Any = 0.01, bent: Any = 0.5) -> None:
        super().__init__(module)
        self.learning_rate, self.bent = learning_rate, bent

    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        if Mine.mistake is not None:
            return Mine.mistake(parameter.data)
        return parameter.data - self.learning_rate * parameter.grad


def slip(*_: Any) -> Any:
    raise ZeroDivisionError("my own slip")


@pytest.fixture(autouse=True)
def no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mine, "mistake", None)


def fails(make: Callable[[], Any]) -> Exception:
    with pytest.raises(Exception, match=r"\A.+\Z") as raised:  # in one line
        make()
    return raised.value


@pytest.mark.parametrize("name", MAKERS)
def test_an_optimizer_that_fails_in_the_cell_is_raised_with_the_readers_line_as_the_last(name: str) -> None:
    Mine.mistake = slip
    last = traceback.extract_tb(fails(lambda: MAKERS[name](Mine)).__traceback__)[-1]
    assert (last.filename, last.line) == (__file__, 'raise ZeroDivisionError("my own slip")')


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", MAKERS)
def test_an_optimizer_that_gives_something_else_back_is_named_in_one_line(name: str, mistake: str) -> None:
    Mine.mistake = MISTAKES[mistake]
    assert "Mine" in str(fails(lambda: MAKERS[name](Mine)))


@pytest.mark.parametrize("name", MAKERS)
def test_an_optimizer_that_gives_nan_is_told_in_words(name: str) -> None:
    Mine.mistake = lambda w: np.full_like(w, np.nan)
    caption = MAKERS[name](Mine).caption
    assert ("nan" in caption) == (name == "Microscope")  # which tells what the update is, whatever it is


@pytest.mark.parametrize("name", MAKERS.keys() & TURNS.keys())
def test_an_optimizer_that_fails_later_is_told_with_its_line_and_the_figure_lives_on(name: str) -> None:
    figure = MAKERS[name](Mine)
    picture, (knob, value) = figure.picture, TURNS[name]
    Mine.mistake = slip
    figure.knobs[knob].value = value
    told = figure.caption, figure.picture
    Mine.mistake = None
    figure.reset()
    where = 'of test_mistakes.py, in `raise ZeroDivisionError("my own slip")`'
    assert (where in told[0], told[1] == picture, "last run" in figure.caption) == (True, True, False)


@pytest.mark.parametrize("name", HILLS)
def test_a_surface_that_fails_in_the_cell_is_raised_with_the_readers_line_as_the_last(name: str) -> None:
    last = traceback.extract_tb(fails(lambda: HILLS[name](lambda x, y: slip(x))).__traceback__)[-1]
    assert (last.filename, last.line) == (__file__, 'raise ZeroDivisionError("my own slip")')


@pytest.mark.parametrize("name", HILLS.keys() & TURNS.keys())
def test_a_surface_that_fails_later_is_told_with_its_line(name: str) -> None:
    slips: list[bool] = []
    figure = HILLS[name](lambda x, y: slip() if slips else x * x + y * y)
    slips.append(True)
    knob, value = TURNS[name]
    figure.knobs[knob].value = value
    assert 'in `raise ZeroDivisionError("my own slip")`' in figure.caption


@pytest.mark.parametrize("name", HILLS)
@pytest.mark.parametrize("given", [None, "x²", [1, 2, 3, 4, 5]], ids=["nothing", "words", "a list"])
def test_a_surface_that_gives_something_else_is_one_line(name: str, given: Any) -> None:
    told = str(fails(lambda: HILLS[name](lambda x, y: given)))
    assert re.match("the (loss of|expression) .*must .*got ", told)


@pytest.mark.parametrize("name", HILLS)
def test_a_surface_that_is_nowhere_a_number_is_told_in_words(name: str) -> None:
    caption = HILLS[name](lambda x, y: (x * 0 + y * 0) / 0.0).caption
    assert "nan" not in caption
