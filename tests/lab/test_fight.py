"""The fair fight: the same walks through every executor, judged by laws that a reader can check by counting."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from readers import Drift, Fragile, Sign

from tinygpt import SGD, Adam, Module
from tinygpt.lab.descent import descend
from tinygpt.lab.fight import RATES, SPREAD, Fight, Serial, fair_fight, start_of
from tinygpt.lab.surfaces import SURFACES, Surface, quadratic

ROUNDING = 1e-9  # exponentials may round otherwise in an array

FEW = 10.0 ** np.array([-2.0, -1.5, -1.0, -0.5])
FIGHTERS: dict[str, Any] = {"SGD": SGD, "momentum": partial(SGD, momentum=0.9), "Adam": Adam, "sign": Sign}


def fought(surface: Any = "quadratic", optimizers: Any = None, executor: Any = None, **options: Any) -> Fight:
    few = {"rates": FEW, "seeds": range(3), "steps": 60, "progress": False, **options}
    return fair_fight(surface, optimizers or FIGHTERS, executor=executor or Serial(), **few)


def assert_same(one: Fight, other: Fight) -> None:
    assert list(one.gaps) == list(other.gaps)
    for label in one.gaps:
        np.testing.assert_array_equal(one.gaps[label], other.gaps[label])


def judged(arrivals: dict[str, Any], rates: Any = FEW) -> Fight:
    """A fight in which everyone arrives when told to, (rates, seeds): a gap of 1 until then, and of 0 from then on."""
    steps = np.arange(101)
    gaps = {label: (steps < np.array(told)[..., None]).astype(float) for label, told in arrivals.items()}
    return Fight(SURFACES["booth"], rates, gaps, 0.5)


NEVER = 1000.0  # beyond the 100 steps of these


# --- through any executor ---------------------------------------------------------------------------------------------


def test_a_cluster_of_two_processes_fights_the_same_fight() -> None:
    distributed = pytest.importorskip("distributed")
    own = type("Own", (Sign,), {"__module__": "__main__"})  # as a notebook defines one: no worker can import it
    fighters = {**FIGHTERS, "own": own}
    with (
        distributed.LocalCluster(
            n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        assert_same(fought("gentle_rosenbrock", fighters, client.get_executor()), fought("gentle_rosenbrock", fighters))


def test_the_pool_of_processes_fights_the_same_fight() -> None:
    own = Surface("own", lambda x, y: x * x + 3 * y * y, (1.0, 1.0), ((0.0, 0.0),))  # a lambda, which no pickle takes
    options: dict[str, Any] = {"rates": FEW, "seeds": range(2), "steps": 30, "progress": False}
    assert_same(fair_fight(own, FIGHTERS, **options), fought(own, **options))


@pytest.fixture(params=["processes are refused", "processes cannot be imported"])
def nothing_beside(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Pyodide lacks, as its Python 3.14 and its Python 3.12 say it; and threads."""

    def lacks(*_: Any, **__: Any) -> None:
        raise NotImplementedError("This Python build lacks multiprocessing.synchronize")

    if request.param == "processes are refused":
        monkeypatch.setattr("concurrent.futures.process._check_system_limits", lacks)
    else:
        monkeypatch.delattr("concurrent.futures.ProcessPoolExecutor", raising=False)
        monkeypatch.setitem(sys.modules, "concurrent.futures.process", None)
    monkeypatch.setattr("threading.Thread.start", lacks)


@pytest.mark.usefixtures("nothing_beside")
def test_a_browser_fights_the_same_fight() -> None:
    options: dict[str, Any] = {"rates": FEW, "seeds": range(2), "steps": 30, "progress": False}
    assert_same(fair_fight("booth", FIGHTERS, **options), fought("booth", **options))


def test_threads_fight_the_same_fight() -> None:
    with ThreadPoolExecutor(2) as threads:
        assert_same(fought(executor=threads), fought())


def test_an_executor_that_is_given_is_left_open() -> None:
    with ThreadPoolExecutor(1) as threads:
        fought(executor=threads)
        assert threads.submit(int).result() == 0


def test_there_is_one_task_for_each_optimizer_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    serial, tasks = Serial(), []
    monkeypatch.setattr(serial, "submit", lambda *task: (tasks.append(task), Serial.submit(serial, *task))[1])
    fought(executor=serial)
    assert len(tasks) == len(FIGHTERS) * 3


def test_the_bar_counts_the_tasks(capsys: pytest.CaptureFixture[str]) -> None:
    fought(progress=True)
    assert "fair fight" in capsys.readouterr().err


def test_without_progress_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    fought()
    assert capsys.readouterr() == ("", "")


def test_where_there_is_no_tqdm_there_is_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert_same(fought(progress=True), fought())
    assert capsys.readouterr() == ("", "")


def test_what_fails_in_a_readers_own_code_is_raised() -> None:
    with pytest.raises(RuntimeError, match="out of my depth"):
        fought(optimizers={"fragile": Fragile}, rates=np.array([0.1, 2.0]))


# --- what is walked ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", FIGHTERS)
def test_each_walk_is_the_one_that_descend_walks(label: str) -> None:
    surface, fight = SURFACES["beale"], fought("beale")
    walk = descend(surface, {"it": partial(FIGHTERS[label], learning_rate=FEW[2])}, start_of(surface, 1), 60)["it"]
    expected = np.maximum(walk.losses - surface.lowest, 0)
    np.testing.assert_allclose(fight.gaps[label][2, 1], expected, rtol=ROUNDING)


def test_everybody_has_the_same_budget() -> None:
    assert {gaps.shape for gaps in fought().gaps.values()} == {(4, 3, 61)}


def test_everybody_starts_from_the_same_places() -> None:
    starts = np.array([gaps[:, :, 0] for gaps in fought().gaps.values()])  # (optimizers, rates, seeds)
    np.testing.assert_array_equal(starts, np.broadcast_to(starts[0, 0], starts.shape))


@pytest.mark.parametrize("name", SURFACES)
def test_a_seed_moves_the_start_by_a_tenth_of_the_width_at_most(name: str) -> None:
    surface = SURFACES[name]
    moved = [np.subtract(start_of(surface, seed), surface.start) for seed in range(20)]
    assert np.all(np.abs(moved) <= SPREAD * np.diff(surface.bounds)[:, 0])


def test_each_seed_is_another_start() -> None:
    assert len({start_of(SURFACES["beale"], seed) for seed in range(20)}) == 20


class Bounded(Sign):
    """Refuses what is above .05."""

    def __init__(self, module: Module, learning_rate: float = 0.01) -> None:
        if learning_rate > 0.05:
            raise ValueError(f"learning_rate must be in [0, 0.05], got {learning_rate}")
        super().__init__(module, learning_rate)


def test_a_rate_that_is_refused_does_not_arrive() -> None:
    gaps = fought(optimizers={"bounded": Bounded}).gaps["bounded"]
    assert np.isnan(gaps).all(axis=(1, 2)).tolist() == [False, False, True, True]


def test_an_optimizer_that_refuses_every_rate_says_so() -> None:
    with pytest.raises(ValueError, match=r"learning_rate must be in \[0, 0.05\]"):
        fought(optimizers={"bounded": Bounded}, rates=np.array([1.0, 2.0]))


# --- how it is judged -------------------------------------------------------------------------------------------------


def test_gradient_descent_arrives_at_the_step_that_its_contraction_says() -> None:
    surface, rate = quadratic(1.0), FEW[1]
    arrivals = fought(surface, {"SGD": SGD}, steps=400).standings["SGD"].arrivals
    loss = 0.5 * np.square(start_of(surface, 0)).sum()
    assert arrivals[1, 0] == np.ceil(np.log(1e-3 / loss) / (2 * np.log(1 - rate)))


def test_the_best_rate_is_that_of_the_smallest_median() -> None:
    standing = judged({"it": [[50, 50, 50], [10, 10, 90], [5, 60, 60], [NEVER] * 3]}).standings["it"]
    assert (standing.steps, standing.rate, standing.at_best.tolist()) == (10, FEW[1], [10, 10, 90])


def test_the_width_counts_the_decades_at_which_most_starts_arrive() -> None:
    standing = judged({"it": [[NEVER] * 3, [9, 9, NEVER], [9, 9, 9], [9, NEVER, NEVER]]}).standings["it"]
    assert (standing.width, standing.open_ended) == (pytest.approx(2 * 0.5), False)


def test_half_the_starts_are_not_most() -> None:
    assert judged({"it": [[9, 9, NEVER, NEVER], *[[NEVER] * 4] * 3]}).standings["it"].width == 0


@pytest.mark.parametrize("end", [0, 3])
def test_a_width_that_reaches_an_end_of_the_grid_may_be_wider(end: int) -> None:
    arrivals = np.full((4, 3), NEVER)
    arrivals[end] = 9
    assert judged({"it": arrivals}).standings["it"].open_ended


def test_one_who_never_arrives_has_no_width_and_endless_steps() -> None:
    standing = judged({"it": np.full((4, 3), NEVER)}).standings["it"]
    assert (standing.steps, standing.width) == (np.inf, 0)


def test_the_quickest_stands_first_and_among_equals_the_widest() -> None:
    rows = {"slow": [20, 20, 20, 20], "narrow": [5, NEVER, NEVER, NEVER], "wide": [5, 5, 5, 5]}
    assert list(judged({label: np.tile(row, (3, 1)).T for label, row in rows.items()}).standings) == [
        "wide",
        "narrow",
        "slow",
    ]


def test_one_who_drifts_away_never_arrives() -> None:
    drift = partial(lambda module, learning_rate: Drift(module, learning_rate))
    assert fought("booth", {"drift": drift}).standings["drift"].steps == np.inf


def test_to_judge_by_less_is_to_fight_with_less() -> None:
    again = fought().judged(tolerance=1e-2, steps=30, starts=2)
    fresh = fought(tolerance=1e-2, steps=30, seeds=range(2))
    assert_same(again, fresh)
    for label, standing in fresh.standings.items():
        np.testing.assert_array_equal(again.standings[label].arrivals, standing.arrivals)


# --- chance -----------------------------------------------------------------------------------------------------------


def versus(mine: Any, theirs: Any) -> Fight:
    """Two whose arrivals at their only good rate are these."""
    rest = [[NEVER] * len(mine)] * 3
    return judged({"mine": [mine, *rest], "theirs": [theirs, *rest]})


@pytest.mark.parametrize(
    ("mine", "theirs", "chance"),
    [
        ([1] * 10, [2] * 10, 2 / 1024),  # ten heads, or ten tails
        ([1] * 9 + [3], [2] * 10, 2 * 11 / 1024),
        ([1, 3], [2, 2], 1.0),
        ([1] * 5 + [2], [2] * 6, 2 / 32),  # a tie is no toss
        ([1, 1], [1, 1], 1.0),
        ([1] * 8 + [NEVER], [2] * 9, 2 * 10 / 512),  # not to arrive is to lose
    ],
)
def test_the_chance_is_that_of_coins(mine: Any, theirs: Any, chance: float) -> None:
    fight = versus(mine, theirs)
    assert fight.chance("mine", "theirs") == fight.chance("theirs", "mine") == pytest.approx(chance)


def test_ties_are_between_neighbours_who_arrive() -> None:
    rows = {"first": [1] * 6, "second": [1] * 5 + [2], "third": [50] * 6, "fourth": [NEVER] * 6, "fifth": [NEVER] * 6}
    fight = judged({label: [row, *[[NEVER] * 6] * 3] for label, row in rows.items()})
    assert fight.ties == [("first", "second")]


def test_nobody_differs_from_themselves() -> None:
    fight = fought()
    assert all(fight.within_noise(label, label) for label in fight.gaps)


def test_five_starts_are_too_few_to_tell_anyone_apart() -> None:
    assert [versus([1] * n, [2] * n).within_noise("mine", "theirs") for n in (5, 6)] == [True, False]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rates", [[0.1], [0.1, 0.1], [0.2, 0.1], [0.0, 0.1], [[0.1, 0.2]]])
def test_rates_are_a_grid_that_grows(rates: Any) -> None:
    with pytest.raises(ValueError, match="rates must be two or more positive numbers that grow"):
        fought(rates=rates)


@pytest.mark.parametrize("wrong", [{"seeds": ()}, {"steps": 0}, {"tolerance": 0.0}])
def test_what_makes_no_fight_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a fight needs optimizers, seeds"):
        fought(**wrong)


def test_nobody_cannot_fight() -> None:
    with pytest.raises(ValueError, match="a fight needs optimizers"):
        fair_fight("booth", {})


def test_the_grid_has_four_rates_in_each_decade() -> None:
    np.testing.assert_allclose(np.diff(np.log10(RATES)), 0.25)
