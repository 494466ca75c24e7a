"""A small GPT in training: what is kept of it, and that it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygpt import SGD, Adam
from tinygpt.lab.gpts import (
    BATCH,
    MOMENTS,
    PASSAGE,
    PROMPT,
    SUBJECTS,
    GPTRun,
    baby_gpt,
    examine,
    layers_of,
    schedule,
    source_of,
    train_gpt,
)
from tinygpt.losses import cross_entropy
from tinygpt.text import IGNORED, Passages, Sorting


def trained(steps: int, make: Any = Adam, source: Any = None, seed: int = 0) -> Any:
    source = source or Sorting(3, 4)
    model = baby_gpt(source, seed, layers=1, heads=2, width=16)
    run = GPTRun("Adam", "sorting", 1e-3, steps, tuple(layers_of(model)))
    for _ in train_gpt(model, make(model), source, seed, run):
        pass
    return model, run


def test_a_run_has_a_loss_for_each_step() -> None:
    assert len(trained(7)[1].losses) == 7


@pytest.mark.parametrize("steps", [5, 40, 100])
def test_the_moments_go_from_the_beginning_to_the_end(steps: int) -> None:
    at = [moment.step for moment in trained(steps)[1].moments]
    assert (at[0], at[-1], len(at)) == (0, steps, min(steps, MOMENTS) + 1)


def test_a_small_gpt_learns_to_sort() -> None:
    _, run = trained(300, lambda model: Adam(model, 5e-3))
    assert (run.moments[0].accuracy, run.moments[-1].accuracy > 0.9) == (0.0, True)


def test_what_is_right_is_sorted() -> None:
    moment = trained(150, lambda model: Adam(model, 5e-3))[1].moments[-1]
    sorted_ones = tuple("".join(sorted(line[:3])) == line[4:] for line in moment.lines)
    assert moment.right == sorted_ones


def test_the_accuracy_is_the_share_of_right_answers() -> None:
    moment = trained(100, lambda model: Adam(model, 5e-3))[1].moments[-1]
    assert moment.accuracy == np.mean(moment.right)


def test_the_same_seed_gives_the_same_run() -> None:
    assert trained(20)[1].losses == trained(20)[1].losses


def test_another_seed_gives_another_run() -> None:
    assert trained(5)[1].losses != trained(5, seed=1)[1].losses


def test_looking_on_does_not_change_what_is_learned() -> None:
    source, losses = Sorting(3, 4), []
    model = baby_gpt(source, layers=1, heads=2, width=16)
    for looks in (False, True):
        fresh = baby_gpt(source, layers=1, heads=2, width=16)
        run = GPTRun("Adam", "sorting", 1e-3, 10, tuple(layers_of(model)))
        for _ in train_gpt(fresh, Adam(fresh), source, 0, run):
            if looks:
                examine(fresh, source, 0)
        losses.append(run.losses)
    assert losses[0] == losses[1]


def test_a_training_that_diverges_ends_there() -> None:
    _, run = trained(200, lambda model: SGD(model, 1e30))
    assert (run.diverged, len(run.losses) < 200) == (True, True)


def test_the_gradients_are_those_of_every_layer() -> None:
    model, run = trained(2)
    assert len(run.moments[-1].gradients) == len(layers_of(model)) == len(run.layers) == 4


def test_a_layers_gradient_is_its_root_mean_square() -> None:
    source = Sorting(3, 4)
    model = baby_gpt(source, layers=1, heads=2, width=16)
    measured = examine(model, source, 0).gradients[1]
    inputs, targets = source.sample(BATCH, np.random.default_rng(0))
    cross_entropy(model(inputs), targets, ignore_index=IGNORED).backward()
    assert measured == pytest.approx(np.sqrt(np.mean(model.position_embedding.weight.grad**2)), rel=1e-6)  # float32


def test_examining_leaves_no_gradient_behind() -> None:
    model = baby_gpt(Sorting(3, 4), layers=1, heads=2, width=16)
    examine(model, Sorting(3, 4), 0)
    assert [name for name, parameter in model.named_parameters() if parameter.grad is not None] == []


def test_prose_is_written_from_the_prompt() -> None:
    text = np.arange(100) % 3
    source = Passages(text, 8, source_of("sorting").tokenizer)
    model = baby_gpt(source, layers=1, heads=2, width=16)
    with pytest.raises(ValueError, match="T"):
        examine(model, source, 0)  # this tokenizer knows digits alone


def test_prose_has_the_length_that_is_asked_for() -> None:
    source = source_of("prose")
    moment = examine(baby_gpt(source, layers=1, heads=2, width=16), source, 0)
    assert ("\n".join(moment.lines).startswith(PROMPT), len("\n".join(moment.lines))) == (True, len(PROMPT) + PASSAGE)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_source_is_made_once(subject: str) -> None:
    assert source_of(subject) is source_of(subject)


def test_a_moment_is_the_last_one_up_to_a_step() -> None:
    run = trained(40)[1]
    assert [run.at(step).step for step in (0, 1, 2, 3, 40, 99)] == [0, 0, 2, 2, 40, 40]


def test_a_smooth_curve_begins_with_the_first_loss_and_averages_the_last() -> None:
    run = trained(200)[1]
    smooth = run.smooth()
    assert (len(smooth), smooth[0], smooth[-1]) == (200, run.losses[0], pytest.approx(np.mean(run.losses[-4:])))


@pytest.mark.parametrize(
    ("warm", "decays", "expected"), [(0, False, (1, 1)), (10, False, (0.1, 1)), (0, True, (1, 0)), (10, True, (0.1, 0))]
)
def test_a_schedule_warms_up_and_decays(warm: int, decays: bool, expected: tuple[float, float]) -> None:
    rate = schedule(1.0, 100, warm, decays)
    ends = (rate(0), rate(100)) if callable(rate) else (rate, rate)
    assert ends == pytest.approx(expected)
