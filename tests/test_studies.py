"""The studies: what is stored is what the script would make, and its language and its measures are what they say."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

SCRIPT = Path(__file__).parent.parent / "notebooks" / "studies" / "sgd_and_adam.py"
STORED = json.loads(SCRIPT.with_suffix(".json").read_text(encoding="utf-8"))

study = SimpleNamespace(**runpy.run_path(str(SCRIPT)))


def tried(rows: list[dict[str, Any]]) -> Counter[Any]:
    return Counter(tuple(row[name] for name in study.Run._fields) for row in rows)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The rows of the quick study, stopped after its first, whose loss is said to be 7, and gone on with."""
    file = tmp_path_factory.mktemp("study") / "quick.json"
    first = study.runs()[0]._asdict() | {"all": [7.0, 7.0], "accuracy": [0.0, 0.0]}
    file.write_text(json.dumps(study.head(study.QUICK) | {"rows": [first]}), encoding="utf-8")
    command = [sys.executable, "-W", "error", str(SCRIPT), "--quick", str(file)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(file.read_text(encoding="utf-8"))["rows"]


# --- what is stored ---------------------------------------------------------------------------------------------------


def test_the_stored_settings_are_those_of_the_script() -> None:
    assert STORED["settings"] == study.SETTINGS


def test_the_stored_rows_are_those_that_the_script_would_make() -> None:
    rows = STORED["rows"]
    assert tried(rows) == Counter([*study.runs(), *study.runs_without_clipping(rows)])


def test_every_stored_measure_has_a_value_for_each_seed() -> None:
    seeds = STORED["settings"]["seeds"]
    lists = [value for row in STORED["rows"] for value in row.values() if isinstance(value, list)]
    assert {len(values) for values in lists} == {seeds}


def test_no_best_learning_rate_is_at_the_border_of_those_that_were_tried() -> None:
    grids = STORED["settings"]["rates"]
    best = [row for row in STORED["rows"] if not row["clipped"] and len(grids[row["optimizer"]]) > 1]
    ends = [row for row in best if row["learning_rate"] in (grids[row["optimizer"]][0], grids[row["optimizer"]][-1])]
    assert ends == []


# --- the script -------------------------------------------------------------------------------------------------------


def test_the_quick_study_has_a_row_for_everything_that_is_tried(quick: list[dict[str, Any]]) -> None:
    assert tried(quick) == Counter([*study.runs(), *study.runs_without_clipping(quick)])


def test_the_quick_study_measures_what_the_stored_one_measures(quick: list[dict[str, Any]]) -> None:
    names, stored = ({row["source"]: sorted(row) for row in rows} for rows in (quick, STORED["rows"]))
    assert names == stored


def test_a_study_that_was_stopped_goes_on_from_there(quick: list[dict[str, Any]]) -> None:
    assert [row["all"] for row in quick].count([7.0, 7.0]) == 1


def test_a_run_is_the_same_every_time(quick: list[dict[str, Any]]) -> None:
    run = study.Run("words", "Adam", 0.01, True)
    row = next(row for row in quick if tried([row]) == Counter([run]))
    assert study.tried(run, study.QUICK) == row


def test_a_run_that_is_not_finite_has_no_loss() -> None:
    settings = {**study.QUICK, "steps": dict.fromkeys(study.SOURCES, 30), "seeds": 1}
    row = study.tried(study.Run("sorting", "SGD", 1e30, False), settings)
    assert row["all"] == [None]


def test_the_best_of_each_optimizer_is_run_without_clipping() -> None:
    rows = [
        {"source": "s", "optimizer": "o", "learning_rate": rate, "clipped": True, "all": losses}
        for rate, losses in ((0.1, [3.0, 1.0, 9.0]), (0.2, [2.0, 2.0, 2.0]), (0.3, [0.0, None, None]))
    ]
    assert study.runs_without_clipping(rows) == [study.Run("s", "o", 0.2, False)]


# --- the language -----------------------------------------------------------------------------------------------------


def test_an_ending_follows_its_stem() -> None:
    source = study.Words(words=20, length=9)
    inputs, targets = source.sample(50, np.random.default_rng(0))
    assert (inputs.shape, targets.shape) == ((50, 9), (50, 9))
    np.testing.assert_array_equal(targets[:, 0::2], inputs[:, 0::2] + 20)
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])


def test_a_word_is_drawn_in_proportion_to_one_over_its_rank() -> None:
    source = study.Words(words=4, length=400)
    inputs, _ = source.sample(500, np.random.default_rng(0))
    found = np.bincount(inputs[:, 0::2].ravel(), minlength=4) / inputs[:, 0::2].size
    np.testing.assert_allclose(found, np.array([12, 6, 4, 3]) / 25, atol=0.006)  # four deviations of 100 000 draws


def test_of_equal_words_none_is_frequent() -> None:
    np.testing.assert_allclose(study.Words(words=5, exponent=0.0).probabilities, 0.2)


# --- the measures -----------------------------------------------------------------------------------------------------


def test_who_knows_the_language_has_a_loss_of_zero() -> None:
    source = study.Words(words=300, length=16)
    inputs, targets = source.sample(40, np.random.default_rng(0))
    surprise = np.where(inputs < 300, 0.0, -np.log(source.probabilities[targets % 300]))
    assert study.losses(source, surprise, targets) == pytest.approx({"all": 0, "frequent": 0, "rare": 0}, abs=1e-12)


def test_only_endings_are_frequent_or_rare() -> None:
    source = study.Words(words=300)
    targets = np.array([[0, 299, 300, 309, 310, 399, 400, 599]])
    surprise = np.array([[9.0, 9.0, 1.0, 3.0, 9.0, 9.0, 5.0, 7.0]])
    found = study.losses(source, surprise, targets)
    assert (found["frequent"], found["rare"]) == (2, 6)


def test_what_is_ignored_is_no_surprise() -> None:
    logits = np.log(np.array([[0.25, 0.75], [0.5, 0.5]]))
    np.testing.assert_allclose(study.surprises(logits, np.array([1, -1])), [-np.log(0.75), 0])
