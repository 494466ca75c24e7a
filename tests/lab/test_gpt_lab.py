"""GPTLab: every knob starts a training, the curve grows while it runs, and nothing that a reader does kills it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygpt import SGD, Adam, Optimizer, OptimizerState, Tensor
from tinygpt.lab import GPTLab, gpts
from tinygpt.lab.widgets import gpt_lab
from tinygpt.text import Sorting


@pytest.fixture(autouse=True)
def small_trainings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A smaller task and a smaller model: these tests are about the figure."""
    monkeypatch.setitem(gpts.SUBJECTS, "sorting", partial(Sorting, 3, 4))
    monkeypatch.setattr(gpt_lab, "baby_gpt", partial(gpts.baby_gpt, layers=1, heads=2, width=16))
    gpts.source_of.cache_clear()
    yield
    gpts.source_of.cache_clear()


class Fixed(Optimizer):
    """Takes no learning rate."""

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - 0.01 * np.sign(parameter.grad)


class Fails(Optimizer):
    """Someone's unfinished code."""

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        raise ZeroDivisionError("my own mistake")


class Stopped(SGD):
    """Interrupted in the fifth update."""

    def update(self) -> None:
        if self.updates == 4:
            raise KeyboardInterrupt
        super().update()


OWN = {"Adam": Adam, "fixed": Fixed, "fails": Fails, "stopped": partial(Stopped, learning_rate=0.1)}


def test_a_figure_is_a_training_of_its_steps() -> None:
    assert len(GPTLab(steps=12).runs[-1].losses) == 12


def test_a_knob_that_turns_starts_another_training() -> None:
    figure = GPTLab(steps=10)
    figure.knobs["learning_rate"].value = 0.01
    assert [run.learning_rate for run in figure.runs] == pytest.approx([0.001, 0.01])


def test_only_the_last_curves_stay() -> None:
    figure = GPTLab(steps=10)
    for seed in range(1, 8):
        figure.knobs["seed"].value = seed
    assert len(figure.runs) == gpt_lab.KEPT + 1


def test_curves_of_another_subject_are_not_compared() -> None:
    figure = GPTLab(steps=10)
    figure.knobs["subject"].value = "addition"
    assert [run.subject for run in figure.runs] == ["addition"]


def test_another_optimizer_begins_with_its_own_learning_rate() -> None:
    figure = GPTLab(steps=10, optimizers={"Adam": Adam, "bold": partial(SGD, learning_rate=0.1)})
    figure.knobs["optimizer"].value = "bold"
    assert (figure.knobs["learning_rate"].value, len(figure.runs)) == (pytest.approx(0.1), 2)


def test_the_learning_rate_that_is_given_holds() -> None:
    assert GPTLab(steps=10, optimizer="momentum", learning_rate=0.1).runs[-1].learning_rate == pytest.approx(0.1)


def test_warm_up_and_decay_reach_the_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = []

    class Told(SGD):
        def update(self) -> None:
            rates.append(self.learning_rate)
            super().update()

    GPTLab(steps=20, learning_rate=0.1, warmup=10, decay=True, optimizer="told", optimizers={"told": Told})
    assert (rates[0] < rates[9], rates[-1] < 0.01) == (True, True)


def test_an_optimizer_without_a_learning_rate_can_train() -> None:
    assert len(GPTLab(steps=10, optimizer="fixed", optimizers=OWN).runs[-1].losses) == 10


def test_a_mistake_in_the_cells_own_code_is_raised() -> None:
    with pytest.raises(ZeroDivisionError, match="my own mistake"):
        GPTLab(steps=10, optimizer="fails", optimizers=OWN)


def test_a_mistake_after_a_knob_turned_is_told_and_the_last_training_stays() -> None:
    figure = GPTLab(steps=10, optimizers=OWN)
    figure.knobs["optimizer"].value = "fails"
    assert ("ZeroDivisionError: my own mistake" in figure.caption, len(figure.runs)) == (True, 1)


def test_after_a_mistake_the_next_training_runs() -> None:
    figure = GPTLab(steps=10, optimizers=OWN)
    figure.knobs["optimizer"].value = "fails"
    figure.knobs["optimizer"].value = "Adam"
    assert (len(figure.runs), "by Adam" in figure.caption) == (2, True)


def test_an_interrupt_ends_the_training_and_shows_what_it_reached() -> None:
    figure = GPTLab(steps=10, optimizer="stopped", optimizers=OWN)
    assert (len(figure.runs[-1].losses), figure.knobs["step"].max, figure.runs[-1].moments[-1].step) == (4, 4, 4)


def test_the_curve_grows_while_it_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpt_lab, "REPAINT", 0.0)
    figure = GPTLab(steps=10)
    before = figure.view.frame
    figure.knobs["seed"].value = 1
    assert figure.view.frame - before == 10 + 1


@pytest.mark.parametrize(("cell", "expected"), [(None, []), ("a", ["display", "clear"])], ids=["nobody", "a cell"])
def test_the_picture_stands_below_a_running_cell_that_someone_looks_at(
    cell: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(gpt_lab, "running_cell", lambda: (cell, ""))
    monkeypatch.setattr(gpt_lab, "display", lambda _: calls.append("display"))
    monkeypatch.setattr(gpt_lab, "clear_output", lambda wait: calls.append("clear"))
    GPTLab(steps=10)
    assert calls == expected


def test_what_stood_below_the_cell_goes_when_a_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(gpt_lab, "running_cell", lambda: ("a", ""))
    monkeypatch.setattr(gpt_lab, "display", lambda _: calls.append("display"))
    monkeypatch.setattr(gpt_lab, "clear_output", lambda wait: calls.append("clear"))
    with pytest.raises(ZeroDivisionError):
        GPTLab(steps=10, optimizer="fails", optimizers=OWN)
    assert calls == ["display", "clear"]


def test_an_earlier_step_shows_what_was_answered_then() -> None:
    figure = GPTLab(steps=20)
    figure.knobs["step"].value = 0
    assert "step 0 of 20" in figure.caption


def test_turning_back_in_time_trains_nothing() -> None:
    figure = GPTLab(steps=20)
    figure.knobs["step"].value = 5
    assert len(figure.runs) == 1


def test_a_training_that_diverges_is_told() -> None:
    figure = GPTLab(steps=10, optimizer="wild", optimizers={"wild": partial(SGD, learning_rate=1e30)})
    assert "Training diverges after step" in figure.caption


def test_the_caption_tells_bounds_and_no_digits() -> None:
    figure = GPTLab(steps=300, optimizer="bold", optimizers={"bold": partial(Adam, learning_rate=5e-3)})
    assert "it answers at least 9" in figure.caption


def test_prose_is_written_and_not_examined() -> None:
    assert "questions" not in GPTLab("prose", steps=10).caption


@pytest.mark.parametrize(("keyword", "value"), [("subject", "history"), ("optimizer", "Nobody")])
def test_a_subject_or_optimizer_that_is_not_there_is_named(keyword: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{keyword} must be one of .*, got '{value}'"):
        GPTLab(**{"steps": 10, keyword: value})  # type: ignore[arg-type]
