"""All instruments, by one table: what every one of them must bear, whatever it shows."""

from __future__ import annotations

import base64
import gc
import importlib
import io
import pkgutil
import re
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pytest
from hands import Hands
from ipywidgets.widgets.widget import _instances
from PIL import Image

import tinygpt
from tinygpt import lab
from tinygpt.lab import widgets
from tinygpt.lab.widgets.instrument import Instrument

KILOBYTES_100 = 100_000  # what a stored picture may weigh

STUDY = Path(__file__).parents[2] / "notebooks" / "studies" / "sgd_and_adam.json"
FIGHT: dict[str, Any] = {"rates": [0.001, 0.01, 0.1], "seeds": 6, "steps": 50, "progress": False}
INSTRUMENTS: dict[str, Callable[[], Instrument]] = {
    "Explorer": lambda: lab.Explorer(steps=20),
    "Microscope": lambda: lab.Microscope(steps=20, step=6),
    "RateMap": lambda: lab.RateMap(),
    "Parabola": lambda: lab.Parabola(),
    "Ravine": lambda: lab.Ravine(steps=100),
    "PhasePlot": lambda: lab.PhasePlot(),
    "BasinMap": lambda: lab.BasinMap(),
    "NoiseLab": lambda: lab.NoiseLab(),
    "FairFight": lambda: lab.FairFight(executor=ThreadPoolExecutor(1), **FIGHT),
    "NetworkLab": lambda: lab.NetworkLab(steps=100),
    "GPTLab": lambda: lab.GPTLab(steps=10),
    "GradientTape": lambda: lab.GradientTape(),
    "DecayLab": lambda: lab.DecayLab(),
    "FailureLab": lambda: lab.FailureLab(),
    "SpectrumLab": lambda: lab.SpectrumLab(),
    "Conventions": lambda: lab.Conventions(),
    "RateStudy": lambda: lab.RateStudy(STUDY),
}
DEAR = {"RateMap", "BasinMap", "NetworkLab", "GPTLab"}  # a map or a training at each move
HEAVY = {("NetworkLab", "steps"), ("GPTLab", "steps")}  # whose extreme takes seconds
each_instrument = pytest.mark.parametrize("name", INSTRUMENTS)


@cache
def made(name: str) -> Instrument:
    """An instrument that several tests look at, and that a test which turns its knobs leaves as it was."""
    return INSTRUMENTS[name]()


def ends(knob: Any) -> Iterator[Any]:
    """The extreme values of a knob."""
    if isinstance(knob, ipywidgets.FloatLogSlider):
        yield from (knob.base**knob.min, knob.base**knob.max)
    elif hasattr(knob, "min"):
        yield from (knob.min, knob.max)
    elif isinstance(knob, ipywidgets.Checkbox):
        yield not knob.value
    elif isinstance(knob, ipywidgets.Dropdown):
        yield from (value for _, value in knob._options_full[:: max(1, len(knob._options_full) // 3)])


def test_every_instrument_of_the_package_is_in_the_table() -> None:
    for module in pkgutil.iter_modules(widgets.__path__):
        importlib.import_module(f"{widgets.__name__}.{module.name}")
    own = {kind.__name__ for kind in Instrument.__subclasses__() if kind.__module__.startswith("tinygpt.")}
    assert own == set(INSTRUMENTS)


@each_instrument
def test_an_instrument_that_is_closed_is_forgotten(name: str) -> None:
    instrument = INSTRUMENTS[name]()
    remembered = weakref.ref(instrument)
    instrument.close()
    del instrument
    gc.collect()
    assert remembered() is None


@each_instrument
def test_an_instrument_says_what_it_is_for_in_its_docstring(name: str) -> None:
    assert len(getattr(lab, name).__doc__.splitlines()[0]) > len(name)


@each_instrument
def test_every_knob_has_a_name_for_those_who_do_not_see_it(name: str) -> None:
    assert [key for key, knob in made(name).knobs.items() if not (knob.tooltip and knob.description)] == []


@each_instrument
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
def test_an_instrument_is_drawn_for_every_page(name: str, narrow: bool, theme: str) -> None:
    scene = made(name).make_scene(theme, 1.0, narrow)
    made(name).draw(scene)
    colours = scene.image().getcolors(maxcolors=2**24) or []
    assert (len(colours) > 20, scene.width <= (480 if narrow else 900)) == (True, True)


@each_instrument
def test_what_a_notebook_stores_is_a_small_picture_with_its_caption(name: str) -> None:
    stored = made(name)._repr_mimebundle_()[0]
    png = base64.b64decode(stored["image/png"])
    assert (Image.open(io.BytesIO(png)).format, len(png) <= KILOBYTES_100) == ("PNG", True)
    assert stored["text/plain"] == made(name).caption


@each_instrument
def test_the_copied_line_makes_the_same_figure_and_closed_it_leaves_no_widget(name: str) -> None:
    names = {each: getattr(home, each) for home in (tinygpt, lab) for each in home.__all__}
    extra = {"FairFight": {"executor": ThreadPoolExecutor(1), **FIGHT}}.get(name, {})
    line = made(name).experiment
    for keyword in extra:  # how a fight is computed is no part of it
        line = re.sub(rf"\b{keyword}=(\[.*?\]|[^,)]+)(, )?", "", line)
    before = set(_instances)
    again = eval(line.replace("(", "(**extra, ", 1) if extra else line, {**names, "extra": extra})
    assert again.caption == made(name).caption
    again.close()
    assert [repr(_instances[key]) for key in set(_instances) - before] == []


@each_instrument
def test_no_extreme_of_a_knob_is_an_error_or_says_nan(name: str) -> None:
    figure, wrong = made(name), {}
    for key, knob in figure.knobs.items():
        if (name, key) in HEAVY:
            continue
        before = knob.value
        for value in ends(knob):
            knob.value = value
            if re.search(r"Error:|last run that worked|\bnan\b|\bNone\b", figure.caption):
                wrong[key, value] = figure.caption
        knob.value = before
    assert wrong == {}


@pytest.mark.parametrize("name", [name for name in INSTRUMENTS if name not in DEAR])
def test_random_moves_of_all_that_can_be_moved_are_no_error(name: str) -> None:
    someone = Hands(INSTRUMENTS[name](), np.random.default_rng(0))
    wrong = {someone.move(): someone.wrong() for _ in range(6)}
    assert set(wrong.values()) == {""}, wrong


@each_instrument
def test_reset_gives_the_first_picture_back(name: str) -> None:
    figure = made(name)
    figure.reset()
    before = figure.caption
    knob, value = next(
        (knob, value)
        for kinds in ((ipywidgets.FloatSlider, ipywidgets.FloatLogSlider), (ipywidgets.Dropdown,))
        for knob in figure.knobs.values()
        if isinstance(knob, kinds)
        for value in ends(knob)
        if value != knob.value
    )
    knob.value = value
    figure.reset()
    assert figure.caption == before
