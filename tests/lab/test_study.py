"""Studies in the lab: the best learning rate of each optimizer, its default, and what is said of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygpt.lab.charts.study import StudyPicture, study_caption
from tinygpt.lab.study import UNTUNED, Study, read_study
from tinygpt.lab.widgets.rate_study import RateStudy

SETTINGS = {"layers": 2, "width": 8, "max_norm": 1.0, "steps": {"a": 9, "b": 8}, "batch": {"a": 3, "b": 4}}


def row(optimizer: str, rate: float, losses: list[float | None], clipped: bool = True, **more: Any) -> dict[str, Any]:
    named = {"source": "a", "optimizer": optimizer, "learning_rate": rate, "clipped": clipped, "all": losses}
    return {**named, **more}


ROWS = [
    row("SGD", 1.0, [0.5, None, None], accuracy=[0.1, None, None]),
    row("SGD", 0.1, [0.4, 0.2, 0.3], accuracy=[0.5, 0.75, 0.25]),
    row("SGD", 0.01, [2.0, 2.0, 2.0], accuracy=[0.0, 0.0, 0.0]),
    row("Adam", 0.001, [0.06, 0.05, 0.07], accuracy=[0.9, 1.0, 0.8]),
    row("Adam", 0.01, [0.01, 0.02, 0.03], accuracy=[1.0, 1.0, 1.0]),
    row("AdamW", 0.001, [0.05, 0.05, 0.05], accuracy=[0.9, 0.9, 0.9]),
    row("SGD", 0.1, [0.7, None, 0.8], clipped=False, accuracy=[0.5, None, 0.25]),
    row("SGD", 0.1, [1.0, 1.0, 1.0], source="b", rare=[4.0, 6.0, 5.0]),
]
STUDY = Study(SETTINGS, ROWS)


def file_of(folder: Path, content: Any) -> Path:
    file = folder / "study.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.fixture
def figure(tmp_path: Path) -> RateStudy:
    return RateStudy(file_of(tmp_path, {"settings": SETTINGS, "rows": ROWS}))


def test_the_best_learning_rate_has_the_lowest_median() -> None:
    sgd = STUDY.sweeps("a")["SGD"]
    assert (sgd.rates[sgd.best], sgd.medians[sgd.best], sgd.at_border) == (0.1, 0.3, False)


def test_most_runs_of_a_learning_rate_that_diverge_make_it_infinitely_bad() -> None:
    np.testing.assert_array_equal(STUDY.sweeps("a")["SGD"].medians, [2, 0.3, np.inf])


def test_the_best_at_an_end_of_the_grid_is_at_its_border() -> None:
    assert STUDY.sweeps("a")["Adam"].at_border


def test_untuned_is_the_default_of_the_class() -> None:
    sweeps = STUDY.sweeps("a")
    assert UNTUNED == {"Adam": 1e-3, "AdamW": 1e-3}
    assert [sweep.untuned for sweep in sweeps.values()] == [None, 0, 0]


def test_the_loss_of_rare_tokens_is_another_one() -> None:
    assert (STUDY.tokens("a"), STUDY.tokens("b")) == (["all"], ["all", "rare"])
    assert STUDY.sweeps("b", "rare")["SGD"].medians == [5]


@pytest.mark.parametrize("content", [{}, [], {"settings": {}, "rows": [{"source": "a"}]}, {"settings": {}, "rows": 3}])
def test_what_is_no_study_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ValueError, match=r"study\.json must hold a study"):
        read_study(file_of(tmp_path, content))


def test_a_file_that_is_no_json_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.json"
    file.write_text("loss 3", encoding="utf-8")
    with pytest.raises(ValueError, match=r"study\.json must hold a study"):
        read_study(file)


# --- words and picture ------------------------------------------------------------------------------------------------


def test_the_caption_has_every_number() -> None:
    assert study_caption("a", "all", SETTINGS, STUDY.sweeps("a")) == (
        "a, all tokens: a GPT of 2 layers and width 8 after 9 steps of 3 examples, λ constant, gradients clipped to "
        "norm 1. Loss above the floor, the least possible; median of 3 seeds. "
        "Untuned: Adam 0.06 and 90 % right at λ = 0.001; AdamW 0.05 and 90 % right at λ = 0.001. "
        "Tuned: Adam 0.02 and 100 % right at λ = 0.01, the best of 2; "
        "SGD 0.3 and 50 % right at λ = 0.1, the best of 3. "
        "The best λ is the first or last that was tried, and there may be better ones: Adam. "
        "Without clipping: SGD 0.8 at λ = 0.1."
    )


def test_a_study_without_any_finite_loss_can_be_drawn_and_told() -> None:
    sweeps = Study(SETTINGS, [row("SGD", 0.1, [None] * 3), row("SGD", 1.0, [None] * 3)]).sweeps("a")
    StudyPicture().draw("a", "all", sweeps)
    assert "SGD diverged at λ = 0.1" in study_caption("a", "all", SETTINGS, sweeps)


def test_where_a_source_has_no_such_tokens_all_are_shown(figure: RateStudy) -> None:
    figure.knobs["tokens"].value = "rare"
    told = [figure.caption.partition(":")[0]]
    figure.knobs["source"].value = "b"
    told.append(figure.caption.partition(":")[0])
    assert told == ["a, all tokens", "b, rare tokens"]


def test_a_source_that_was_not_studied_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="source must be one of a, b, got 'c'"):
        RateStudy(file_of(tmp_path, {"settings": SETTINGS, "rows": ROWS}), "c")
