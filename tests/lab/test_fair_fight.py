"""The fair fight as an instrument: it is fought once, judged by its knobs, and told in words."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from readers import Drift, Sign

from tinygpt import SGD, Adam
from tinygpt.lab.charts.fight import fight_caption
from tinygpt.lab.fight import Fight
from tinygpt.lab.surfaces import SURFACES
from tinygpt.lab.widgets.explorer import RACE
from tinygpt.lab.widgets.fair_fight import FairFight

RATES = (10.0 ** np.arange(-3, 0.1, 0.5)).tolist()
TURNED: dict[str, Any] = {"tolerance": 1e-2, "steps": 30, "seeds": 5}


def fights(**options: Any) -> FairFight:
    few = {"surface": "quadratic", "rates": RATES, "seeds": 6, "steps": 80, "progress": False, **options}
    with ThreadPoolExecutor(1) as thread:
        return FairFight(executor=thread, **few)


@pytest.fixture(scope="module")
def made() -> FairFight:
    return fights()


@pytest.fixture
def fight(made: FairFight) -> Iterator[FairFight]:
    yield made
    made.view.theme, made.view.narrow = "light", False
    made.reset()


# --- the instrument ---------------------------------------------------------------------------------------------------


def test_everyone_of_the_race_fights(fight: FairFight) -> None:
    assert set(fight.fight.standings) == set(RACE)


def test_what_an_optimizer_leaves_free_is_at_its_default() -> None:
    given, bound = (
        fights(optimizers={"momentum": make}).fight.gaps["momentum"]
        for make in (RACE["momentum"], partial(SGD, momentum=0.9))
    )
    np.testing.assert_array_equal(given, bound)


@pytest.mark.parametrize("name", TURNED)
@pytest.mark.parametrize("narrow", [False, True])
def test_every_knob_changes_picture_and_caption(fight: FairFight, name: str, narrow: bool) -> None:
    fight.view.narrow = narrow
    before = fight.picture, fight.caption
    fight.knobs[name].value = TURNED[name]
    assert fight.picture != before[0]
    assert fight.caption != before[1]


@pytest.mark.parametrize("name", TURNED)
def test_to_judge_by_a_knob_is_to_fight_so(fight: FairFight, name: str) -> None:
    fight.knobs[name].value = TURNED[name]
    assert fights(**{name: TURNED[name]}).caption == fight.caption


def test_the_experiment_makes_the_figure_again(fight: FairFight) -> None:
    for name, value in TURNED.items():
        fight.knobs[name].value = value
    with ThreadPoolExecutor(1) as thread:
        again = eval(fight.experiment, {"FairFight": partial(FairFight, executor=thread, progress=False)})
    assert again.caption == fight.caption


def test_a_knob_walks_nothing_again(monkeypatch: pytest.MonkeyPatch, fight: FairFight) -> None:
    monkeypatch.setattr(Executor, "submit", None)
    fight.knobs["steps"].value = 30
    assert "30 steps at most" in fight.caption


def test_what_is_stored_has_picture_and_caption(fight: FairFight) -> None:
    stored, _ = fight._repr_mimebundle_()
    assert stored["text/plain"] == fight.caption
    assert base64.b64decode(stored["image/png"]).startswith(b"\x89PNG")


def test_dark_and_light_are_two_pictures_of_the_same_words(fight: FairFight) -> None:
    light = fight.picture, fight.caption
    fight.view.theme = "dark"
    assert fight.picture != light[0]
    assert fight.caption == light[1]


@pytest.mark.parametrize("narrow", [False, True])
def test_ties_are_drawn(fight: FairFight, narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    fight.view.narrow = narrow
    fight.knobs["seeds"].value = 1  # a single start tells nobody apart
    with_ties = fight.picture
    monkeypatch.setattr(Fight, "ties", [])
    fight.draw(scene := fight.make_scene("light", 1.0, narrow))
    assert scene.jpeg() != with_ties


def test_one_who_never_arrives_is_drawn_as_well() -> None:
    drift = partial(lambda module, learning_rate=0.1: Drift(module, learning_rate))
    said = fights(optimizers={"drift": drift, "sign": Sign}, surface="booth").caption
    assert "At no λ do most starts arrive: drift" in said


# --- the caption ------------------------------------------------------------------------------------------------------


def test_the_caption_names_the_budget(fight: FairFight) -> None:
    budget = "each optimizer tries 7 learning rates from 0.001 to 1, from 6 starts each, 80 steps at most."
    assert fight.caption.startswith(f"quadratic ravine: {budget}")


def test_the_caption_lists_the_steps_of_each_at_its_best(fight: FairFight) -> None:
    standings = fight.fight.standings
    said = re.findall(r"(\w+) ([\d.]+) \(λ = ([\d.]+)", fight.caption)
    assert [label for label, *_ in said] == list(standings)
    for label, steps, rate in said:
        assert float(steps) == pytest.approx(standings[label].steps, rel=0.005)  # three digits
        assert float(rate) == pytest.approx(standings[label].rate, rel=0.005)


def test_the_caption_lists_the_decades(fight: FairFight) -> None:
    said = dict(re.findall(r"(\w+) (?:≥ )?([\d.]+)(?=[,.])", fight.caption.split("most starts arrive: ")[1]))
    for label, standing in fight.fight.standings.items():
        assert float(said[label].rstrip(".")) == pytest.approx(standing.width)


def judged(**arrivals: Any) -> str:
    """The caption of a fight in which everybody arrives so, (starts,), at the first of two λ alone."""
    steps, never = np.arange(101), np.full(len(next(iter(arrivals.values()))), math.inf)
    gaps = {label: (steps < np.array([told, never])[..., None]).astype(float) for label, told in arrivals.items()}
    return fight_caption(Fight(SURFACES["booth"], np.array([0.1, 1.0]), gaps, 0.5))


def test_what_is_within_the_noise_is_said_to_be() -> None:
    said = judged(Adam=[10] * 8, RMSProp=[11, 9] * 4)
    assert "The difference is within the noise (sign test) between Adam and RMSProp, p = 1." in said


def test_what_is_not_is_said_not_to_be() -> None:
    assert "Each differs from the next by more than the noise (p ≤ 0.05)." in judged(Adam=[9] * 8, RMSProp=[11] * 8)


def test_few_starts_are_said_to_be_few() -> None:
    few, enough = (judged(Adam=[9] * n, RMSProp=[9] * n) for n in (5, 6))
    assert "Fewer than 6 starts cannot tell anyone apart." in few
    assert "Fewer" not in enough


def test_starts_that_do_not_arrive_are_counted() -> None:
    assert "Adam 9 (λ = 0.1, 4 of 6 starts)" in judged(Adam=[9, 9, math.inf, 9, 9, math.inf])


@pytest.mark.parametrize("values", [{"steps": 1}, {"tolerance": 1e-8}, {"tolerance": 100.0}, {"seeds": 1, "steps": 1}])
def test_no_caption_says_nan_or_inf(fight: FairFight, values: dict[str, Any]) -> None:
    for name, value in values.items():
        fight.knobs[name].value = value
    assert not re.search(r"\b(nan|inf)\b|Error", fight.caption), fight.caption


def test_a_readers_function_and_class_may_fight() -> None:
    def bowl(x: Any, y: Any) -> Any:
        return x * x + 2 * y * y

    assert fights(surface=bowl, optimizers={"mine": Sign, "Adam": Adam}).caption.startswith("bowl: ")


def test_a_plain_class_fights_with_its_own_defaults() -> None:
    given, bound = (fights(optimizers={"it": make}).fight.gaps["it"] for make in (SGD, partial(SGD, momentum=0.0)))
    np.testing.assert_array_equal(given, bound)
