"""The four labs about weights at work: every knob shows, and the experiment line remakes what is shown."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from PIL import Image

from tinygpt.lab.conventions import CONVENTIONS, PROBLEMS
from tinygpt.lab.widgets.conventions_lab import Conventions
from tinygpt.lab.widgets.decay_lab import DecayLab
from tinygpt.lab.widgets.failure_lab import FailureLab
from tinygpt.lab.widgets.spectrum_lab import SpectrumLab

LABS: dict[str, Callable[..., Any]] = {lab.__name__: lab for lab in (Conventions, DecayLab, FailureLab, SpectrumLab)}
ADAMS = {"left": "Adam + L2", "right": "momentum, dampened from step 1"}  # which have every setting between them
every_lab = pytest.mark.parametrize("name", LABS)


@cache
def made(name: str) -> Any:
    """A lab that several tests turn: each finds it as it was at first."""
    return LABS[name](**ADAMS) if name == "Conventions" else LABS[name]()


@pytest.fixture
def lab(name: str) -> Any:
    found = made(name)
    found.view.theme, found.view.narrow = "light", False
    found.reset()
    return found


def third(knob: Any) -> Any:
    """A value a third of the way along a slider, where the browser can put it."""
    if not hasattr(knob, "step"):
        return knob.value
    value = knob.min + (knob.max - knob.min) // (3 * knob.step) * knob.step
    return knob.base**value if hasattr(knob, "base") else value


def ends(knob: Any) -> tuple[Any, Any]:
    """The two outermost values of a knob."""
    if hasattr(knob, "options"):
        return knob.options[0], knob.options[-1]
    if isinstance(knob.value, bool):
        return False, True
    base = getattr(knob, "base", None)
    return (base**knob.min, base**knob.max) if base else (knob.min, knob.max)


# of labs made for this alone: those that are kept here may be closed by a test elsewhere that closes all
KNOBS = [(name, knob) for name, kind in LABS.items() for knob in kind().knobs]
every_knob = pytest.mark.parametrize(("name", "knob"), KNOBS, ids=[f"{name}-{knob}" for name, knob in KNOBS])


@every_knob
def test_every_knob_changes_the_picture(lab: Any, knob: str) -> None:
    low, high = ends(lab.knobs[knob])
    lab.knobs[knob].value = low
    first = lab.picture
    lab.knobs[knob].value = high
    assert lab.picture != first


@every_lab
def test_all_knobs_at_their_ends_at_once_tell_no_error(lab: Any) -> None:
    said = []
    for end in (0, 1):
        for knob in lab.knobs.values():
            knob.value = ends(knob)[end]
            said.append(lab.caption)
    assert [caption for caption in said if "Error" in caption or "nan" in caption] == []


@every_lab
def test_the_experiment_line_remakes_the_caption(lab: Any) -> None:
    for knob in lab.knobs.values():
        knob.value = third(knob)
    again = eval(lab.experiment, dict(LABS))
    assert again.caption == lab.caption


@every_lab
def test_reset_brings_the_first_picture_back(lab: Any) -> None:
    first = lab.picture
    for knob in lab.knobs.values():
        knob.value = ends(knob)[1]
    lab.reset()
    assert lab.picture == first


@every_lab
def test_a_reader_without_a_kernel_has_the_picture_and_the_caption(lab: Any) -> None:
    bundle, _ = lab._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert (image.format, bundle["text/plain"]) == ("PNG", lab.caption)


@every_lab
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("narrow", "width"), [(False, 900), (True, 480)])
def test_the_picture_fits_the_page(lab: Any, theme: str, narrow: bool, width: int) -> None:
    lab.view.theme, lab.view.narrow = theme, narrow
    assert Image.open(io.BytesIO(lab.picture)).width == width


@every_lab
@pytest.mark.parametrize(("right", "up"), [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_each_arrow_key_turns_a_knob(lab: Any, right: int, up: int) -> None:
    before = [knob.value for knob in lab.knobs.values()]
    lab.nudged(right, up)
    assert sum(a != b for a, b in zip(before, [knob.value for knob in lab.knobs.values()], strict=True)) == 1


@every_lab
def test_a_click_beside_all_panels_turns_nothing(lab: Any) -> None:
    before = [knob.value for knob in lab.knobs.values()]
    lab.pointed(lab.make_scene("light", 1.0, False), 1.0, 1.0)
    assert [knob.value for knob in lab.knobs.values()] == before


@pytest.mark.parametrize("name", ["Conventions"])
@pytest.mark.parametrize(
    ("convention", "problem"),
    [*((convention, "ravine") for convention in CONVENTIONS), *(("AdamW", problem) for problem in PROBLEMS)],
)
def test_every_convention_and_every_problem_can_be_chosen(lab: Any, convention: str, problem: str) -> None:
    with lab.one_run():
        lab.knobs["right"].value, lab.knobs["problem"].value = convention, problem
    assert f"against {convention}" in lab.caption.partition(f"On {problem},")[0]
