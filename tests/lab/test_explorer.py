"""Explorer: whatever is turned runs the race, repaints once, and keeps the rest as it was. No kernel is needed."""

from __future__ import annotations

import base64
import gc
import io
import math
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
import pytest
from PIL import Image
from readers import Drift, Fragile, Normalised, Scaled, Sign

from tinygpt import SGD, Adam, Module, schedules
from tinygpt.lab import RACE, SURFACES, Explorer, Surface, descend, quadratic
from tinygpt.lab.charts.race import RacePicture
from tinygpt.lab.descent import tuned_learning_rate
from tinygpt.lab.widgets import explorer as module
from tinygpt.lab.widgets.explorer import SAME, TUNED
from tinygpt.lab.widgets.knobs import SHARED, hyperparameters, keywords

FLAT = 100_000  # bytes that an explorer may hold more after many updates; one path kept of each would be more
KILOBYTES_100 = 100_000  # what a stored picture may weigh
STEPS = 20
TWO = {label: RACE[label] for label in ("momentum", "Adam")}  # that have all the shared knobs, where two will do

OWN = [f"{label}.{name}" for label, make in RACE.items() for name in hyperparameters(make)]
every_own_knob = pytest.mark.parametrize("name", OWN)
every_shared_knob = pytest.mark.parametrize("name", SHARED)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Explorers here share their pictures, which take most of their time, and are closed after each test."""
    monkeypatch.setattr(module, "RacePicture", _picture)
    yield
    ipywidgets.Widget.close_all()


_picture = cache(RacePicture)


def made(surface: Any = "quadratic", optimizers: Any = TWO, **options: Any) -> Explorer:
    return Explorer(surface, optimizers, **{"steps": STEPS, **options})


def turned(knob: Any) -> Any:
    """Another value for a knob, far from the one it has."""
    if isinstance(knob, ipywidgets.FloatLogSlider):
        return 1.0 if knob.value < 1e-4 else knob.value * 3
    return knob.value - 0.4 if knob.value >= 0.5 else knob.value + 0.4


def turn(explorer: Explorer, name: str) -> None:
    explorer.knobs[name].value = turned(explorer.knobs[name])


def paths(explorer: Explorer) -> dict[str, bytes]:
    return {label: t.points.tobytes() for label, t in explorer.trajectories.items()}


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> set[str]:
    return {label for label in before | after if before.get(label) != after.get(label)}


def state(explorer: Explorer) -> tuple[Any, ...]:
    return paths(explorer), explorer.picture, explorer.caption


def frames(explorer: Explorer) -> int:
    return explorer.view.frame


# --- every knob -------------------------------------------------------------------------------------------------------


class Turn(NamedTuple):
    """What one turn of a knob changed."""

    paths: set[str]  # whose
    picture: bool
    caption: bool
    frames: int
    values: dict[str, Any]  # of all knobs, afterwards
    others: set[str]  # knobs that another knob turned


@cache
def turning(name: str) -> Turn:
    """What it changes to turn this knob, in a valley that bends."""
    explorer = made("gentle_rosenbrock", RACE)
    explorer.knobs["learning_rate"].value = 0.005
    before, number = state(explorer), frames(explorer)
    values = {knob: widget.value for knob, widget in explorer.knobs.items()}
    turn(explorer, name)
    after = state(explorer)
    turned_to = {knob: widget.value for knob, widget in explorer.knobs.items()}
    return Turn(
        paths=changed(before[0], after[0]),
        picture=before[1] != after[1],
        caption=before[2] != after[2],
        frames=frames(explorer) - number,
        values=turned_to,
        others={knob for knob in values if values[knob] != turned_to[knob]} - {name},
    )


def owners(name: str) -> set[str]:
    """The own knobs of all that share this one."""
    return {knob for knob in OWN if knob.endswith(f".{name}")}


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_turning_a_knob_changes_paths_and_picture_before_it_returns(name: str) -> None:
    assert (bool(turning(name).paths), turning(name).picture) == (True, True)


@pytest.mark.parametrize("name", [*SHARED, *OWN])
def test_turning_a_knob_repaints_once(name: str) -> None:
    assert turning(name).frames == 1


@every_own_knob
def test_a_knob_of_its_own_moves_one_optimizer_and_turns_no_other_knob(name: str) -> None:
    assert (turning(name).paths, turning(name).others) == ({name.partition(".")[0]}, set())


@every_shared_knob
def test_a_shared_knob_turns_the_own_one_of_all_that_have_it(name: str) -> None:
    assert turning(name).others == owners(name)
    assert {turning(name).values[knob] for knob in owners(name)} == {turning(name).values[name]}


@every_shared_knob
def test_a_shared_knob_moves_all_that_have_it_and_no_other(name: str) -> None:
    assert turning(name).paths == {knob.partition(".")[0] for knob in owners(name)}


def test_the_knobs_are_those_of_the_signatures() -> None:
    assert set(made(optimizers=RACE).knobs) == {*SHARED, *OWN, "step"}


def test_the_trajectories_are_what_the_knobs_say() -> None:
    explorer = made("beale", RACE)
    for name, value in [("learning_rate", 0.01), ("momentum", 0.8), ("beta1", 0.5), ("beta2", 0.9)]:
        explorer.knobs[name].value = value
    racers = {
        "SGD": partial(SGD, learning_rate=0.01),
        "momentum": partial(SGD, learning_rate=0.01, momentum=0.8),
        "Nesterov": partial(SGD, learning_rate=0.01, momentum=0.8, nesterov=True),
        "RMSProp": partial(RACE["RMSProp"], learning_rate=0.01),
        "Adam": partial(Adam, learning_rate=0.01, betas=(0.5, 0.9)),
    }
    expected = {label: t.points.tobytes() for label, t in descend("beale", racers, steps=STEPS).items()}
    assert paths(explorer) == expected


def test_turning_a_knob_back_brings_everything_back() -> None:
    explorer = made()
    before = state(explorer)
    value = explorer.knobs["learning_rate"].value
    turn(explorer, "learning_rate")
    explorer.knobs["learning_rate"].value = value
    assert state(explorer) == before


def test_a_knob_set_to_what_it_is_repaints_nothing() -> None:
    explorer = made()
    number = frames(explorer)
    explorer.knobs["momentum"].value = explorer.knobs["momentum"].value
    assert frames(explorer) == number


@pytest.mark.parametrize("end", ["min", "max"])
def test_the_ends_of_every_knob_are_safe_alone(end: str) -> None:
    explorer, failed = made(optimizers=RACE), set()
    for name, knob in explorer.knobs.items():
        before, value = knob.value, getattr(knob, end)
        knob.value = knob.base**value if isinstance(knob, ipywidgets.FloatLogSlider) else value
        failed |= {name} if "Error" in explorer.caption else set()
        knob.value = before
    assert failed == set()


@pytest.mark.parametrize("end", ["min", "max"])
def test_the_ends_of_all_knobs_are_safe_together(end: str) -> None:
    explorer = made(optimizers=RACE)
    for knob in explorer.knobs.values():
        value = getattr(knob, end)
        knob.value = knob.base**value if isinstance(knob, ipywidgets.FloatLogSlider) else value
    assert "Error" not in explorer.caption


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def wired(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Explorer, list[Any]]]:
    """An explorer, and the pictures that it sends to the browser."""
    explorer, sent = made(), []

    def send(data: Any = None, buffers: Any = None, **_: Any) -> None:
        if data["method"] == "update":
            sent.append(data)

    monkeypatch.setattr(explorer.view.comm, "send", send)
    yield explorer, sent
    explorer.close()


ACTIONS: dict[str, Any] = {
    "shared knob": lambda e: turn(e, "learning_rate"),
    "own knob": lambda e: turn(e, "Adam.eps"),
    "knob in the browser": lambda e: e.knobs["momentum"].set_state({"value": 0.5}),
    "start": lambda e: setattr(e, "start", (1.0, 2.0)),
    "start field": lambda e: e._x.set_state({"value": 1.5}),
    "pointer in the browser": lambda e: e.view.set_state({"pointer": [0.3, 0.3]}),
    "arrow key": lambda e: e.view._handle_custom_msg({"nudge": [1, 0]}, []),
    "surface": lambda e: setattr(e.surfaces, "value", "booth"),
    "rates": lambda e: setattr(e.rates, "value", TUNED),
    "checkbox": lambda e: setattr(e.shown["Adam"], "value", False),
    "steps": lambda e: setattr(e.steps, "value", 30),
    "more steps": lambda e: setattr(e.steps, "value", 90),
    "scrub": lambda e: setattr(e.scrub, "value", 3),
    "theme": lambda e: e.view.set_state({"theme": "dark"}),
    "screen": lambda e: e.view.set_state({"ratio": 2.0, "theme": "dark", "narrow": True}),
    "reset of nothing": lambda e: e._reset.click(),
    "restart of nothing": lambda e: e._restart.click(),
}
every_action = pytest.mark.parametrize("action", ACTIONS)


@every_action
def test_whatever_is_done_sends_one_message_with_one_picture(wired: tuple[Explorer, list[Any]], action: str) -> None:
    explorer, sent = wired
    number = frames(explorer)
    ACTIONS[action](explorer)
    assert [message["state"].get("frame") for message in sent] == [number + 1]


def test_a_reset_of_many_knobs_sends_one_picture(wired: tuple[Explorer, list[Any]]) -> None:
    explorer, sent = wired
    for name in explorer.knobs:
        turn(explorer, name)
    explorer.rates.value = TUNED
    sent.clear()
    explorer._reset.click()
    assert len(sent) == 1


# --- one rate for all, or each its own --------------------------------------------------------------------------------


def test_tuned_rates_are_those_of_the_search() -> None:
    explorer = made(tuned=True, optimizers={"SGD": RACE["SGD"], "Adam": Adam})
    found = {label: explorer.knobs[f"{label}.learning_rate"].value for label in ("SGD", "Adam")}
    expected = {label: tuned_learning_rate("quadratic", make) for label, make in (("SGD", SGD), ("Adam", Adam))}
    assert found == pytest.approx(expected)


def test_the_shared_rate_is_then_a_multiple_of_each() -> None:
    explorer = made(tuned=True)
    rates = {label: explorer.knobs[f"{label}.learning_rate"].value for label in TWO}
    explorer.knobs["learning_rate"].value = 0.1
    assert {label: explorer.knobs[f"{label}.learning_rate"].value for label in TWO} == pytest.approx(
        {label: 0.1 * rate for label, rate in rates.items()}
    )


def test_tuned_from_the_beginning_is_tuned_by_the_switch() -> None:
    explorer = made()
    explorer.rates.value = TUNED
    assert state(explorer) == state(made(tuned=True))


def test_switching_there_and_back_brings_everything_back() -> None:
    explorer = made()
    before = state(explorer)
    explorer.rates.value = TUNED
    explorer.rates.value = SAME
    assert state(explorer) == before
    assert explorer.knobs["learning_rate"].description == "λ"


def test_the_switch_says_what_the_knob_means_now() -> None:
    assert made(tuned=True).knobs["learning_rate"].description == "λ ×"


def test_another_surface_has_other_tuned_rates() -> None:
    explorer = made(tuned=True)
    explorer.surfaces.value = "beale"
    rate = explorer.knobs["Adam.learning_rate"].value
    assert rate == pytest.approx(tuned_learning_rate("beale", Adam))


def test_a_readers_surface_is_tuned_apart_from_one_of_the_same_name() -> None:
    explorer = made(quadratic(1000), {"SGD": SGD}, tuned=True)
    explorer.surfaces.value = "quadratic"
    expected = tuned_learning_rate("quadratic", partial(SGD, momentum=0.9))
    assert explorer.knobs["SGD.learning_rate"].value == pytest.approx(expected)


def test_a_rate_that_an_optimizer_refuses_does_not_stop_the_tuning() -> None:
    explorer = made(optimizers={"mine": Refusing, "SGD": RACE["SGD"]})
    explorer.rates.value = TUNED
    assert explorer.knobs["mine.learning_rate"].value <= 1


def test_an_error_in_the_tuning_is_told_in_the_caption() -> None:
    explorer = made(optimizers={"mine": Fragile, "SGD": RACE["SGD"]})
    explorer.rates.value = TUNED
    assert "out of my depth" in explorer.caption or set(explorer.trajectories) == {"mine", "SGD"}


def test_without_any_learning_rate_there_is_nothing_to_tune() -> None:
    explorer = made(optimizers={"mine": partial(Drift, x=0.1)}, tuned=True)
    assert set(explorer.trajectories) == {"mine"}


# --- reset ------------------------------------------------------------------------------------------------------------


def test_resetting_the_knobs_brings_all_of_them_back_and_keeps_the_start() -> None:
    explorer = made(optimizers={**TWO, "Scaled": Scaled})
    knobs = {name: knob for name, knob in explorer.knobs.items() if name != "step"}
    values = {name: knob.value for name, knob in knobs.items()}
    for knob in knobs.values():
        knob.value = not knob.value if isinstance(knob.value, bool) else turned(knob)
    explorer.start = (1.0, 1.0)
    explorer._reset.click()
    assert {name: knob.value for name, knob in knobs.items()} == values
    assert explorer.start == (1.0, 1.0)


def test_resetting_the_knobs_ends_the_tuning() -> None:
    explorer = made()
    before = state(explorer)
    explorer.rates.value = TUNED
    turn(explorer, "learning_rate")
    explorer._reset.click()
    assert (explorer.rates.value, state(explorer)) == (SAME, before)


def test_resetting_the_start_keeps_the_knobs() -> None:
    explorer = made()
    turn(explorer, "momentum")
    before = state(explorer)
    explorer.start = (1.0, 1.0)
    explorer._restart.click()
    assert state(explorer) == before


# --- the surface and the start ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURFACES)
def test_every_surface_of_the_menu_can_be_raced_on(name: str) -> None:
    explorer = made(optimizers=RACE)
    explorer.surfaces.value = name
    assert (explorer.surface, explorer.start) == (SURFACES[name], SURFACES[name].start)
    assert explorer.caption.startswith(SURFACES[name].name)


def test_the_menu_begins_at_the_surface_given() -> None:
    assert made("beale").surfaces.value == "beale"


@pytest.mark.parametrize(
    "surface", [quadratic(50, 30), lambda x, y: x * x + y * y, Surface("mine", lambda x, y: x * x + y * y, (1.0, 1.0))]
)
def test_a_readers_own_surface_is_in_the_menu_and_can_be_come_back_to(surface: Any) -> None:
    explorer = made(surface)
    before = state(explorer)
    explorer.surfaces.value = "booth"
    explorer.surfaces.value = "yours"
    assert state(explorer) == before


def test_two_surfaces_of_one_name_are_two_in_the_menu() -> None:
    explorer = made(quadratic(50, 30))
    explorer.surfaces.set_state({"index": list(explorer._surfaces).index("quadratic")})
    assert explorer.surface is SURFACES["quadratic"]


def test_a_start_given_is_where_all_begin() -> None:
    explorer = made(start=(1.25, -0.5))
    assert {tuple(t.points[0]) for t in explorer.trajectories.values()} == {(1.25, -0.5)}


@pytest.mark.parametrize("point", [(1.0, 2.0), [0.5, -0.5], np.array([1, 2])])
def test_setting_the_start_moves_all(point: Any) -> None:
    explorer = made()
    explorer.start = point
    assert explorer.start == tuple(point)
    assert {tuple(t.points[0]) for t in explorer.trajectories.values()} == {tuple(point)}


@pytest.mark.parametrize(("ratio", "narrow"), [(1.0, False), (2.0, False), (1.0, True)])
def test_the_start_goes_to_where_the_pointer_is(ratio: float, narrow: bool) -> None:
    explorer = made()
    explorer.view.ratio, explorer.view.narrow = ratio, narrow
    picture = explorer._scene()
    right, up = picture.hill.axes.transData.transform((1.25, -0.75)) / ratio
    explorer.view.pointer = [right / picture.width, 1 - up / picture.height]
    assert explorer.start == pytest.approx((1.25, -0.75), abs=1e-3)  # starts are rounded to that


@pytest.mark.parametrize("pointer", [[0.9, 0.5], [0.01, 0.01], [-1.0, 0.5], [0.3, 7.0], [math.nan, 0.5]])
def test_a_pointer_beside_the_hill_moves_nothing(pointer: Any) -> None:
    explorer = made()
    before = state(explorer)
    explorer.view.pointer = pointer
    assert state(explorer) == before


@pytest.mark.parametrize("key", [(1, 0), (-1, 0), (0, 1), (0, -1)])
def test_arrow_keys_move_the_start_that_way(key: tuple[int, int]) -> None:
    explorer = made()
    x, y = explorer.start
    explorer.view._handle_custom_msg({"nudge": list(key)}, [])
    step = 6 / 80  # the bounds are six wide and high
    assert explorer.start == pytest.approx((x + key[0] * step, y + key[1] * step))


@pytest.mark.parametrize("start", [(1e3, 0.0), (-1e30, 1e30), (1e300, 0.0), (0.0, -1e300)])
def test_a_start_far_off_the_map_is_survived(start: Any) -> None:
    explorer = made()
    before = state(explorer)
    explorer.start = start
    explorer.scrub.value = 3
    explorer.scrub.value = STEPS
    explorer._restart.click()
    assert state(explorer) == before


@pytest.mark.parametrize("start", [(math.nan, 0.0), (0.0, math.inf), (-math.inf, math.nan)])
def test_a_start_that_is_no_point_is_told_and_survived(start: Any) -> None:
    explorer = made()
    before = state(explorer)
    explorer.start = start
    assert "start must be two finite numbers" in explorer.caption
    explorer.scrub.value = 3
    assert explorer._repr_mimebundle_()
    explorer.scrub.value = STEPS
    explorer._restart.click()
    assert state(explorer) == before


# --- steps, scrubbing, checkboxes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 7, 60])
def test_the_race_is_as_long_as_the_steps_say(steps: int) -> None:
    explorer = made()
    explorer.steps.value = steps
    assert {len(t.losses) for t in explorer.trajectories.values()} == {steps + 1}
    assert (explorer.scrub.value, explorer.scrub.max, explorer.player.max) == (steps, steps, steps)


def test_a_longer_race_begins_like_the_shorter() -> None:
    explorer = made()
    before = explorer.trajectories
    explorer.steps.value = STEPS + 20
    for label, t in explorer.trajectories.items():
        np.testing.assert_array_equal(t.points[: STEPS + 1], before[label].points)


def test_who_looks_at_a_step_in_the_middle_goes_on_looking_at_it() -> None:
    explorer = made()
    explorer.scrub.value = 12
    explorer.steps.value = 60
    assert explorer.scrub.value == 12


def test_scrubbing_repaints_and_runs_nothing() -> None:
    explorer = made()
    race, picture = explorer.trajectories, explorer.picture
    explorer.scrub.value = 5
    assert explorer.trajectories is race
    assert explorer.picture != picture
    assert f"step 5 of {STEPS}" in explorer.caption


def test_scrubbing_back_shows_what_was_shown() -> None:
    explorer = made()
    before = state(explorer)
    explorer.scrub.value = 5
    explorer.scrub.value = STEPS
    assert state(explorer) == before


@pytest.mark.parametrize("label", TWO)
def test_a_checkbox_takes_one_out_and_puts_it_back(label: str) -> None:
    explorer = made()
    before = state(explorer)
    explorer.shown[label].value = False
    assert set(explorer.trajectories) == set(TWO) - {label}
    assert f"{label} " not in explorer.caption
    explorer.shown[label].value = True
    assert state(explorer) == before


def test_with_all_of_them_out_nobody_runs() -> None:
    explorer = made()
    for box in explorer.shown.values():
        box.value = False
    assert (explorer.trajectories, explorer.caption) == ({}, "quadratic ravine: no optimizer is running.")


def test_knobs_turned_while_one_is_out_count_when_it_comes_back() -> None:
    explorer, other = made(), made()
    explorer.shown["Adam"].value = False
    for each in (explorer, other):
        turn(each, "learning_rate")
    explorer.shown["Adam"].value = True
    assert state(explorer) == state(other)


# --- a reader's own ---------------------------------------------------------------------------------------------------


class Refusing(Sign):
    """Refuses learning rates above 1."""

    def __init__(self, module: Module, learning_rate: float = 0.1) -> None:
        if learning_rate > 1:
            raise ValueError(f"learning_rate must be in [0, 1], got {learning_rate:g}: take less")
        super().__init__(module, learning_rate)


@pytest.mark.parametrize(
    "make", [Sign, Normalised, partial(Scaled, power=0.3), partial(Sign, learning_rate=0.1), lambda m: Sign(m, 0.1)]
)
def test_a_readers_optimizer_joins_the_race(make: Any) -> None:
    explorer = made(optimizers={**TWO, "mine": make})
    own = {knob.partition(".")[2]: widget.value for knob, widget in explorer.knobs.items() if knob.startswith("mine.")}
    expected = descend("quadratic", {"mine": partial(make, **keywords(make, own))}, steps=STEPS)["mine"]
    np.testing.assert_array_equal(explorer.trajectories["mine"].points, expected.points)


@pytest.mark.parametrize("name", ["learning_rate", "power", "every", "centred", "beta1", "beta2"])
def test_every_knob_of_a_readers_optimizer_moves_it(name: str) -> None:
    explorer = made(optimizers={**TWO, "mine": Scaled})
    before, knob = paths(explorer), explorer.knobs[f"mine.{name}"]
    knob.value = {"every": 7, "centred": True}.get(name, turned(knob))
    assert changed(before, paths(explorer)) == {"mine"}


def test_a_readers_default_rate_stands_until_the_shared_one_is_turned() -> None:
    explorer = made(optimizers={**TWO, "mine": Sign})
    assert explorer.knobs["mine.learning_rate"].value == pytest.approx(0.01)
    turn(explorer, "learning_rate")
    assert explorer.knobs["mine.learning_rate"].value == explorer.knobs["learning_rate"].value


def test_what_is_bound_has_no_knob_and_does_not_move() -> None:
    explorer = made(optimizers={"fixed": partial(SGD, learning_rate=0.01, nesterov=False), "free": RACE["SGD"]})
    before = paths(explorer)
    turn(explorer, "learning_rate")
    assert changed(before, paths(explorer)) == {"free"}


def test_hyperparameters_that_are_refused_are_told_and_the_others_run() -> None:
    explorer = made(optimizers=RACE)
    explorer.knobs["momentum"].value = 0.0
    assert set(explorer.trajectories) == set(RACE) - {"Nesterov"}
    assert "Nesterov is not running: nesterov needs momentum > 0 and dampening == 0" in explorer.caption


def test_a_refusal_ends_with_its_cause() -> None:
    explorer = made(optimizers=RACE)
    before = state(explorer)
    explorer.knobs["momentum"].value = 0.0
    explorer.knobs["momentum"].value = 0.9
    assert state(explorer) == before


def test_a_refused_one_that_is_out_of_the_race_is_not_spoken_of() -> None:
    explorer = made(optimizers=RACE)
    explorer.shown["Nesterov"].value = False
    explorer.knobs["momentum"].value = 0.0
    assert "Nesterov" not in explorer.caption


def test_an_error_in_a_readers_optimizer_is_told_and_the_next_good_move_works() -> None:
    explorer = made(optimizers={"SGD": RACE["SGD"], "mine": Fragile})
    explorer.knobs["mine.learning_rate"].value = 0.1
    before = state(explorer)
    explorer.knobs["mine.learning_rate"].value = 10.0
    line = 'line 54 of readers.py, in `raise RuntimeError("out of my depth")`'
    told = f"Your code stopped at {line}, with RuntimeError: out of my depth."
    assert state(explorer) == (*before[:2], f"{told} The picture is of the last run that worked.")
    explorer.knobs["mine.learning_rate"].value = 0.1
    assert state(explorer) == before


def test_an_error_stays_told_while_it_lasts() -> None:
    explorer = made(optimizers={"mine": Fragile})
    explorer.knobs["mine.learning_rate"].value = 10.0
    explorer.scrub.value = 5
    assert "out of my depth" in explorer.caption


def test_after_an_error_the_picture_is_all_of_the_last_run_that_worked() -> None:
    explorer = made(optimizers={"mine": Fragile})
    explorer.knobs["mine.learning_rate"].value = 10.0
    picture = explorer.picture
    explorer.start = (1.0, 1.0)
    explorer.scrub.value = 5
    explorer.scrub.value = STEPS
    assert explorer.picture == picture


def test_an_error_at_the_beginning_reaches_the_reader() -> None:
    with pytest.raises(RuntimeError, match="out of my depth"):
        made(optimizers={"mine": partial(Fragile, learning_rate=2.0)})


@pytest.mark.parametrize("label", ["<b>mine</b>", "a & b", "$\\foo$", "mine.own", "learning_rate", ""])
def test_a_label_may_be_anything_and_is_shown_as_it_is(label: str) -> None:
    explorer = made(optimizers={label: Sign, "Adam": Adam})
    assert set(explorer.trajectories) == {label, "Adam"}
    assert "<b>mine" not in explorer.shown[label].description


def test_no_optimizers_are_no_trouble() -> None:
    assert made(optimizers={}).trajectories == {}


def test_the_race_itself_is_never_changed() -> None:
    before = dict(RACE)
    made(optimizers=RACE).close()
    assert before == RACE


# --- alone, stored, closed --------------------------------------------------------------------------------------------


def test_two_explorers_do_not_move_each_other() -> None:
    explorer, other = made(), made()
    before = state(other), frames(other)
    for action in ("shared knob", "start", "surface", "checkbox", "steps", "scrub", "theme"):
        ACTIONS[action](explorer)
    assert (state(other), frames(other)) == before


def test_two_explorers_alike_show_the_same() -> None:
    assert state(made()) == state(made())


def test_the_stored_output_is_the_caption_and_the_picture() -> None:
    explorer = made()
    data, metadata = explorer._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(data["image/png"])))
    assert data["text/plain"] == explorer.caption == repr(explorer)
    assert (image.format, image.size, metadata["image/png"]["width"]) == ("PNG", (1800, 800), 900)
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == explorer.model_id


@pytest.mark.parametrize("name", ["rastrigin", "levy", "rosenbrock"])
def test_the_stored_picture_is_small_even_of_the_roughest_surfaces(name: str) -> None:
    data, _ = made(name, RACE)._repr_mimebundle_()
    assert len(base64.b64decode(data["image/png"])) <= KILOBYTES_100


def test_the_stored_picture_is_light_and_wide_whatever_the_screen() -> None:
    explorer = made()
    before = explorer._repr_mimebundle_()[0]["image/png"]
    explorer.view.set_state({"ratio": 3.0, "theme": "dark", "narrow": True})
    assert explorer._repr_mimebundle_()[0]["image/png"] == before


def test_the_stored_picture_is_the_step_shown() -> None:
    explorer = made()
    explorer.scrub.value = 5
    early = explorer._repr_mimebundle_()[0]["image/png"]
    explorer.scrub.value = STEPS
    assert explorer._repr_mimebundle_()[0]["image/png"] != early


@pytest.mark.parametrize(("ratio", "narrow", "size"), [(1.5, False, (1350, 600)), (2.0, True, (960, 1240))])
def test_the_picture_fits_the_screen_that_is_reported(ratio: float, narrow: bool, size: tuple[int, int]) -> None:
    explorer = made()
    explorer.view.set_state({"ratio": ratio, "narrow": narrow})
    assert Image.open(io.BytesIO(explorer.picture)).size == size


def test_the_picture_follows_the_theme() -> None:
    explorer = made()
    light = np.mean(Image.open(io.BytesIO(explorer.picture)))
    explorer.view.theme = "dark"
    assert np.mean(Image.open(io.BytesIO(explorer.picture))) < 64 < 192 < light


def test_a_closed_explorer_is_closed() -> None:
    explorer = made()
    explorer.close()
    assert explorer.comm is None


@pytest.mark.parametrize("wrong", [{"surface": "nowhere"}, {"optimizers": [Adam]}, {"optimizers": {"mine": object}}])
def test_one_that_could_not_be_made_dies_in_silence(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with pytest.raises((TypeError, ValueError)):
        Explorer(**wrong)
    gc.collect()
    assert complaints == []


def test_every_control_has_a_name_for_those_who_do_not_see_it() -> None:
    explorer = made()
    knobs = [*explorer.knobs.values(), explorer.surfaces, explorer.steps, explorer.scrub, explorer._x, explorer._y]
    assert [knob for knob in knobs if not (knob.tooltip or knob.description)] == []


def drag(explorer: Explorer, updates: int) -> None:
    """A slider goes to and fro."""
    for i in range(updates):
        explorer.knobs["learning_rate"].value = 10 ** (-4 + 0.025 * (i % 40))


def growth(explorer: Explorer, updates: int) -> int:
    """The bytes that Python holds more after so many updates than before them."""
    tracemalloc.start()
    try:
        drag(explorer, 40)  # every axis and every word that it takes has been drawn now
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        drag(explorer, updates)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


def test_memory_stays_flat_over_two_hundred_updates() -> None:
    assert growth(made(optimizers={"SGD": RACE["SGD"]}, steps=2), 200) <= FLAT


@pytest.mark.soak
def test_memory_stays_flat_over_a_thousand_updates() -> None:
    assert growth(made("rosenbrock", RACE, steps=200), 1000) <= FLAT


def test_surfaces_seen_before_do_not_pile_up() -> None:
    explorer = made(optimizers=RACE)
    for name in SURFACES:
        explorer.surfaces.value = name
    assert len(explorer._scenes) <= 4


def test_reset_gives_a_tuned_figure_back_as_it_was_made() -> None:
    explorer = Explorer("quadratic", steps=20, tuned=True)
    made = explorer.caption
    explorer.rates.value = explorer.rates.options[0]
    explorer.knobs["momentum"].value = 0.5
    explorer._reset.click()
    assert explorer.caption == made


def test_reset_gives_the_start_back_that_the_figure_was_made_with() -> None:
    explorer = Explorer("quadratic", start=(1.0, 2.0), steps=5)
    explorer.start = (0.5, 0.5)
    explorer._restart.click()
    assert explorer.start == (1.0, 2.0)


def test_a_start_off_the_map_is_one_sentence() -> None:
    explorer = Explorer("quadratic", start=(1e9, 0.0), steps=5)
    assert explorer.caption == "quadratic ravine: the start is off the map, so nobody runs."


def test_a_knob_that_one_optimizer_has_runs_no_other() -> None:
    explorer = Explorer("quadratic", steps=20)
    before = dict(explorer.trajectories)
    explorer.knobs["beta1"].value = 0.5
    assert [label for label, t in explorer.trajectories.items() if t is not before[label]] == ["Adam"]


# --- copying the experiment -------------------------------------------------------------------------------------------

NAMES = {"Explorer": Explorer, "RACE": RACE, "SGD": SGD, "Adam": Adam, "partial": partial}


def turn_some(explorer: Explorer) -> None:
    explorer.knobs["momentum"].value = 0.5
    explorer.knobs["learning_rate"].value = 10**-2.025
    explorer.knobs["Adam.beta1"].value = 0.3


EXPERIMENTS: dict[str, Callable[[], Explorer]] = {
    "untouched": lambda: Explorer(steps=20),
    "another surface": lambda: Explorer("himmelblau", {"Adam": Adam}, steps=20),
    "a partial": lambda: Explorer("quadratic", {"mine": partial(SGD, momentum=0.3)}, steps=20),
    "tuned": lambda: Explorer("quadratic", {"SGD": SGD, "Adam": Adam}, steps=20, tuned=True),
    "a start, a step and only some": lambda: Explorer(start=(0, 0), steps=20, step=7, shown=["SGD", "Adam"]),
    "knobs to begin with": lambda: Explorer(steps=20, knobs={"learning_rate": 0.002, "Adam.eps": 1e-3}),
}


@pytest.mark.parametrize("turn", [lambda e: None, turn_some], ids=["as made", "turned"])
@pytest.mark.parametrize("make", EXPERIMENTS)
def test_the_copied_line_makes_the_same_race(make: str, turn: Callable[[Explorer], None]) -> None:
    explorer = EXPERIMENTS[make]()
    if "momentum" in explorer.knobs and "Adam.beta1" in explorer.knobs:
        turn(explorer)
    again = eval(explorer.experiment, dict(NAMES))
    assert (again.caption, again.picture) == (explorer.caption, explorer.picture)


def test_an_untouched_race_is_copied_in_few_words() -> None:
    assert Explorer().experiment == 'Explorer("rosenbrock", RACE)'


def test_the_rounding_of_browsers_turns_no_knob() -> None:
    explorer = Explorer()
    explorer.knobs["momentum"].value = 0.9000000000000001
    assert explorer.experiment == 'Explorer("rosenbrock", RACE)'


def test_a_knob_that_is_not_there_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="knobs must be among learning_rate"):
        Explorer(knobs={"lr": 0.1})


# --- a path recorded elsewhere ----------------------------------------------------------------------------------------

RECORD = np.linspace((-2.0, 1.0), (0.0, 0.0), 11)


def test_a_recorded_path_stands_beside_the_others() -> None:
    explorer = made(optimizers={"Adam": Adam, "PyTorch": RECORD})
    np.testing.assert_array_equal(explorer.trajectories["PyTorch"].points[:11], RECORD)


def test_a_recorded_path_is_told_by_its_losses_on_this_surface() -> None:
    explorer = made(optimizers={"PyTorch": RECORD[:-1]})
    loss = SURFACES["quadratic"].values(*RECORD[-2])
    assert f"Loss above the minimum: PyTorch {loss:.2g}." in explorer.caption


def test_a_recorded_path_has_a_box_and_no_knobs() -> None:
    explorer = made(optimizers={"Adam": Adam, "PyTorch": RECORD})
    knobs = [name for name in explorer.knobs if name.startswith("PyTorch")]
    explorer.shown["PyTorch"].value = False
    assert (knobs, list(explorer.trajectories)) == ([], ["Adam"])


def test_a_recorded_path_alone_makes_a_figure() -> None:
    assert list(made(optimizers={"PyTorch": RECORD}).trajectories) == ["PyTorch"]


def test_a_race_with_a_recorded_path_can_be_copied() -> None:
    explorer = made(optimizers={"Adam": Adam, "PyTorch": RECORD})
    again = eval(explorer.experiment, {**NAMES, "np": np})
    assert (again.caption, again.picture) == (explorer.caption, explorer.picture)


@pytest.mark.parametrize("path", [np.zeros((3, 3)), np.zeros(4), np.zeros((0, 2))])
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(ValueError, match=r"a recorded path must have shape \(steps \+ 1, 2\)"):
        made(optimizers={"PyTorch": path})


# --- found by reading -------------------------------------------------------------------------------------------------


def test_one_whose_path_begins_off_the_map_is_told_while_others_run() -> None:
    explorer = made(optimizers={"far": np.array([(100.0, 0.0), (99.0, 0.0)]), "SGD": SGD})
    assert "far diverged at step 0: it begins off the map." in explorer.caption


def test_a_schedule_is_told_by_its_first_and_its_last_rate() -> None:
    explorer = made(optimizers={"SGD": partial(SGD, learning_rate=schedules.cosine(0.1, STEPS), momentum=0.0)})
    assert re.search(r"λ = 0.1 … 0\.0\d+\.", explorer.caption)


def test_an_unknown_name_to_show_is_refused() -> None:
    with pytest.raises(ValueError, match="shown must be among momentum, Adam, got nope"):
        made(shown=["nope"])


def test_a_figure_that_could_not_be_made_leaves_no_widget_behind() -> None:
    before = len(ipywidgets.widgets.widget._instances)
    with pytest.raises(ValueError, match="knobs must be among"):
        made(knobs={"nope": 1})
    assert len(ipywidgets.widgets.widget._instances) == before


def test_closing_a_figure_closes_all_of_it() -> None:
    before = len(ipywidgets.widgets.widget._instances)
    made().close()
    assert len(ipywidgets.widgets.widget._instances) == before


@pytest.mark.parametrize("surface", [quadratic(50, 30), Surface("bowl", SURFACES["booth"].loss, (1.0, 2.0))])
def test_a_race_on_an_own_surface_is_copied_with_all_that_makes_it(surface: Surface) -> None:
    explorer = made(surface)
    again = eval(explorer.experiment, {**NAMES, "Surface": Surface, surface.loss.__name__: surface.loss})
    assert again.caption == explorer.caption
