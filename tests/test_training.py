"""Training: the loop is the textbook's, and a run that was stopped goes on as if it had not been."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import training_cases
from training_cases import RUNS, TOKENS, a_trainer

from tinygpt import SGD, Adam, Tensor, checkpoint, nn
from tinygpt.gpt import GPT
from tinygpt.losses import cross_entropy
from tinygpt.module import weights_of
from tinygpt.optimizers import clip_gradients
from tinygpt.text import Passages, Sorting
from tinygpt.training import Trainer

each_run = pytest.mark.parametrize("run", RUNS)


def exactly(value: Any) -> Any:
    """Something that is equal only where every bit is."""
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: exactly(item) for key, item in value.items()}
    return repr(value)


def snapshot(trainer: Trainer) -> Any:
    """All that training changes."""
    model, optimizer = trainer.model, trainer.optimizer
    generators = {"batches": trainer.rng, "dropout": model.dropout.rng if isinstance(model, GPT) else trainer.rng}
    return exactly(
        {
            "weights": weights_of(model),
            "state": dict(optimizer.state.flatten()),
            "updates": optimizer.updates,
            "losses": trainer.losses,
            "generators": {name: rng.bit_generator.state for name, rng in generators.items()},
        }
    )


def run(trainer: Trainer, steps: int, **options: Any) -> Trainer:
    trainer.run(steps, progress=False, **options)
    return trainer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.json"


# --- the loop ---------------------------------------------------------------------------------------------------------


def test_a_step_is_what_the_textbook_writes() -> None:
    trainer, by_hand = a_trainer(), a_trainer()
    model, optimizer = by_hand.model, by_hand.optimizer
    for _ in range(3):
        inputs, targets = by_hand.source.sample(by_hand.batch_size, by_hand.rng)
        loss = cross_entropy(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(model, 1.0)
        optimizer.update()
        by_hand.losses.append(loss.item())
    assert snapshot(run(trainer, 3)) == snapshot(by_hand)


def test_a_step_returns_the_loss_that_it_remembers() -> None:
    trainer = a_trainer()
    assert [trainer.step(), trainer.step()] == trainer.losses


def test_a_run_does_the_steps_that_it_is_told() -> None:
    assert run(run(a_trainer(), 3), 2).steps == 5


def test_gradients_are_clipped_to_the_norm() -> None:
    trainer = a_trainer("SGD", learning_rate=1.0, max_norm=0.01)
    before = weights_of(trainer.model)
    trainer.step()
    moved = [np.sum((p.data - before[name]).astype(np.float64) ** 2) for name, p in trainer.model.named_parameters()]
    assert np.sqrt(np.sum(moved)) == pytest.approx(0.01, rel=1e-3)  # float32 weights round the small difference


def test_without_a_norm_nothing_is_clipped() -> None:
    assert snapshot(run(a_trainer(max_norm=None), 2)) == snapshot(run(a_trainer(max_norm=1e9), 2))


def test_a_model_learns() -> None:
    trainer = run(a_trainer(dropout=0.0, learning_rate=0.03), 150)
    assert np.mean(trainer.losses[-10:]) < 0.5 * trainer.losses[0]


def test_what_is_ignored_teaches_nothing() -> None:
    task = Sorting(count=2, symbols=3)
    trainer = a_trainer(dropout=0.0)
    trainer.source = task
    rng = np.random.default_rng(5)
    inputs, targets = task.sample(trainer.batch_size, rng)
    answers = slice(task.prompt_length - 1, None)
    loss = cross_entropy(trainer.model(inputs)[:, answers], targets[:, answers])
    assert trainer.evaluate(batches=1, seed=5) == pytest.approx(loss.item(), rel=1e-6)  # float32 sums another way


def test_after_is_called_after_every_so_many_steps_of_the_whole_run() -> None:
    trainer, seen = run(a_trainer(), 2), []
    run(trainer, 7, after=lambda trainer: seen.append(trainer.steps), every=3)
    assert seen == [3, 6, 9]


def test_speed_counts_the_tokens_of_the_last_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))  # each step takes one second
    trainer = run(a_trainer(), 4)
    assert trainer.tokens_per_second == trainer.batch_size * trainer.source.length


# --- evaluation -------------------------------------------------------------------------------------------------------


def test_to_evaluate_changes_nothing() -> None:
    trainer = run(a_trainer(), 2)
    before = snapshot(trainer)
    trainer.evaluate()
    assert snapshot(trainer) == before


def test_an_evaluation_is_the_same_each_time_and_leaves_nothing_out() -> None:
    trainer = a_trainer(dropout=0.5)
    with_dropout = trainer.evaluate()
    trainer.model.dropout.probability = 0.0
    assert trainer.evaluate() == with_dropout


def test_after_an_evaluation_each_module_is_in_the_mode_it_had() -> None:
    trainer = a_trainer()
    trainer.model.norm.eval()
    modes = [module.training for module in trainer.model.modules()]
    trainer.evaluate()
    assert [module.training for module in trainer.model.modules()] == modes


def test_to_evaluate_is_to_average_the_loss_on_the_source_given() -> None:
    trainer, other = a_trainer(dropout=0.0), Passages(TOKENS[::-1], 6)
    rng = np.random.default_rng(7)
    batches = [other.sample(trainer.batch_size, rng) for _ in range(4)]
    mean = np.mean([cross_entropy(trainer.model(inputs), targets).item() for inputs, targets in batches])
    assert trainer.evaluate(other, batches=4, seed=7) == pytest.approx(mean, rel=1e-12)


# --- stop and go on ---------------------------------------------------------------------------------------------------


@each_run
def test_to_save_load_and_go_on_is_never_to_have_stopped(run: str, file: Path) -> None:
    trainer = a_trainer(**RUNS[run])
    trainer.run(4, progress=False)
    trainer.save(file)
    trainer.run(4, progress=False)
    fresh = a_trainer(**RUNS[run], seed=9)
    fresh.load(file)
    fresh.run(4, progress=False)
    assert snapshot(fresh) == snapshot(trainer)


def test_to_go_on_in_another_process_is_never_to_have_stopped(file: Path) -> None:
    run(a_trainer(), 4, checkpoint=file)
    program = [sys.executable, "-W", "error", training_cases.__file__, "Adam", str(file), "3", "100"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    fresh = a_trainer(seed=9)
    fresh.load(file)
    assert (done.stdout.split(), snapshot(fresh)) == (["5", "6", "7"], snapshot(run(a_trainer(), 7)))


def test_a_generator_that_many_draw_from_is_saved_once(file: Path) -> None:
    rng = np.random.default_rng(0)
    model = GPT(a_trainer().model.config, rng)
    Trainer(model, Adam(model), Passages(TOKENS, 6), 3, rng).save(file)
    assert list(checkpoint.load(file)["generators"]) == ["rng"]


def test_generators_are_found_wherever_they_are(file: Path) -> None:
    trainer = a_trainer()
    one, two, three = (np.random.default_rng(i) for i in range(3))
    trainer.model._hidden, trainer.model.many, trainer.optimizer.noise = one, [{"a": two}, (one,)], three
    trainer.save(file)
    names = ["rng", "model.dropout.rng", "model._hidden", "model.many.0.a", "optimizer.noise"]
    assert sorted(checkpoint.load(file)["generators"]) == sorted(names)


def test_a_checkpoint_is_a_file_of_weights_too(file: Path) -> None:
    trainer = run(a_trainer(), 2, checkpoint=file)
    model = a_trainer(seed=9).model
    model.load_weights(file)
    assert exactly(weights_of(model)) == exactly(weights_of(trainer.model))


def test_a_checkpoint_is_written_every_so_often_and_at_the_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[int] = []
    monkeypatch.setattr(Trainer, "save", lambda trainer, _: saved.append(trainer.steps))
    run(run(run(a_trainer(), 2), 6, checkpoint=file, checkpoint_every=4), 1, checkpoint=file)
    assert saved == [4, 8, 9]


def test_a_loss_that_is_no_number_stops_the_run_and_spares_the_checkpoint(file: Path) -> None:
    trainer = run(a_trainer(), 2, checkpoint=file)
    trainer.model.norm.weight.data = np.full(8, np.nan, np.float32)
    before = snapshot(trainer)
    with pytest.raises(
        FloatingPointError, match=r"^the loss must be finite, got nan in step 3: lower the learning rate$"
    ):
        run(trainer, 5, checkpoint=file)
    fresh = a_trainer()
    fresh.load(file)
    assert (snapshot(trainer) == before, fresh.steps, np.isfinite(fresh.step())) == (True, 2, True)


# --- interrupts -------------------------------------------------------------------------------------------------------


def interrupted_at(event: int, trainer: Trainer) -> bool:
    """Whether a step, interrupted as Python comes to that line of its code, counting from 0, was long enough for it."""
    lines = iter(range(event + 1))

    def trace(frame: Any, what: str, _: Any) -> Any:
        if what == "line" and next(lines, None) is None:
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        trainer.step()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_a_step_interrupted_anywhere_has_happened_or_not() -> None:
    trainer, after = run(a_trainer(), 2), snapshot(run(a_trainer(), 3))
    before, event = snapshot(trainer), 0
    while interrupted_at(event, trainer) and snapshot(trainer) == before:
        event += 19  # not every one, for there are some thousand
    assert (event > 1000, snapshot(trainer)) == (True, after)


def test_a_step_interrupted_at_its_very_end_has_not_happened() -> None:
    class Interrupted(list[float]):
        def append(self, loss: float) -> None:
            super().append(loss)
            raise KeyboardInterrupt

    trainer = run(a_trainer(), 2)
    before = snapshot(trainer)
    trainer.losses = Interrupted(trainer.losses)
    with pytest.raises(KeyboardInterrupt):
        trainer.step()
    assert snapshot(trainer) == before


@pytest.mark.parametrize("with_file", [True, False])
def test_ctrl_c_ends_the_run_and_says_how_to_go_on(
    with_file: bool, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = a_trainer()
    run(
        trainer,
        1000,
        after=lambda trainer: signal.raise_signal(signal.SIGINT),
        every=3,
        checkpoint=file if with_file else None,
    )
    saved = f", saved in {file}" if with_file else ""
    assert capsys.readouterr().out == f"Stopped after 3 of 1,000 steps{saved}. To go on, run 997 more.\n"


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(file: Path) -> None:
    class Interrupted(Passages):
        def sample(self, count: int, rng: np.random.Generator) -> Any:
            batch = super().sample(count, rng)
            if next(draws) == 4:
                raise KeyboardInterrupt
            return batch

    draws = iter(range(100))
    trainer, fresh = a_trainer(), a_trainer(seed=9)
    trainer.source = Interrupted(TOKENS, 6)
    run(trainer, 8, checkpoint=file)
    fresh.load(file)
    whole = snapshot(run(a_trainer(), 8))
    assert (snapshot(run(trainer, 4)), snapshot(run(fresh, 4))) == (whole, whole)


def killed_again_and_again(times: int, file: Path) -> Iterator[tuple[int, Trainer]]:
    """The last step that a killed process told of, and what its checkpoint holds; each goes on from the one before."""
    rng = np.random.default_rng(times)
    program = [sys.executable, training_cases.__file__, "Adam", str(file), "1000000", "2"]
    for _ in range(times):
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            told = [int(process.stdout.readline()) for _ in range(rng.integers(2, 12))][-1]
            process.kill()  # wherever it is by now
        trainer = a_trainer(seed=9)
        trainer.load(file)
        yield told, trainer


def assert_a_kill_loses_no_more_than_the_steps_since_the_checkpoint(times: int, file: Path) -> None:
    spared = a_trainer()
    for told, trainer in killed_again_and_again(times, file):
        assert trainer.steps >= told // 2 * 2
        assert snapshot(run(spared, trainer.steps - spared.steps)) == snapshot(trainer)


def test_a_kill_loses_no_more_than_the_steps_since_the_checkpoint(file: Path) -> None:
    assert_a_kill_loses_no_more_than_the_steps_since_the_checkpoint(3, file)


@pytest.mark.soak
def test_fifty_kills_lose_no_more_than_the_steps_since_the_checkpoint(file: Path) -> None:
    assert_a_kill_loses_no_more_than_the_steps_since_the_checkpoint(50, file)


# --- what is refused --------------------------------------------------------------------------------------------------

OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "heads": ({"heads": 4}, r"^heads must be 4, as in run\.json, got 2: build the model that was saved$"),
    "dropout": ({"dropout": 0.3}, r"^dropout must be 0\.3, as in run\.json, got 0\.1: build the model that was saved$"),
    "layers": ({"layers": 2}, r"^layers must be 2, as in run\.json, got 1: build the model that was saved$"),
    "precision": (
        {"dtype": np.float64},
        r"^token_embedding\.weight must be of float64, as in run\.json, got float32: build the model that was saved$",
    ),
    "optimizer": (
        {"optimizer": "SGD", "learning_rate": 0.1},
        r"^run\.json holds the state of SGD, not of Adam$",
    ),
    "generator": ({"generator": "SFC64"}, r"^rng must draw from SFC64, as it did in run\.json, got PCG64$"),
}


def assert_refused(trainer: Trainer, file: Path, says: str) -> None:
    """Loading raises a one-line ValueError with these words, and changes nothing."""
    before = snapshot(trainer)
    with pytest.raises(ValueError, match=says) as caught:
        trainer.load(file)
    assert "\n" not in str(caught.value)
    assert snapshot(trainer) == before


@pytest.mark.parametrize(("other", "says"), OTHERS.values(), ids=OTHERS)
def test_the_file_of_another_run_is_refused_and_says_what_differs(other: Any, says: str, file: Path) -> None:
    run(a_trainer(**other), 2, checkpoint=file)
    assert_refused(run(a_trainer(seed=9), 3), file, says)


class Sum(nn.Module):
    """A model without a config."""

    def __init__(self, **sizes: int) -> None:
        for name, size in sizes.items():
            setattr(self, name, Tensor.zeros(size, requires_grad=True))


def a_trainer_of(model: nn.Module) -> Trainer:
    return Trainer(model, SGD(model, 0.1), Passages(TOKENS, 6), 3, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ({"a": 3}, r"^run\.json lacks b: "),
        ({"a": 3, "b": 2, "c": 1}, r"^run\.json has c, which this module does not: "),
        (
            {"a": 3, "b": 1},
            r"^b must have shape \(2,\), but in run\.json it has \(1,\): build the module that was saved$",
        ),
    ],
)
def test_the_file_of_a_model_with_other_parameters_is_refused(sizes: dict[str, int], says: str, file: Path) -> None:
    a_trainer_of(Sum(**sizes)).save(file)
    assert_refused(a_trainer_of(Sum(a=3, b=2)), file, says)


def test_the_file_of_an_optimizer_that_trained_another_part_is_refused(file: Path) -> None:
    trainer = run(a_trainer(), 2)
    trainer.save(file)
    content = checkpoint.load(file)
    name, _ = content["optimizer"]["parameters"].popitem()
    content["optimizer"]["state"].pop(name)
    checkpoint.save(file, content)
    assert_refused(trainer, file, rf"^run\.json .*{name}")


def test_a_file_with_generators_shared_in_another_way_is_refused(file: Path) -> None:
    trainer = a_trainer()
    trainer.rng = trainer.model.dropout.rng
    trainer.save(file)
    assert_refused(
        a_trainer(), file, r"^run\.json holds the random generators rng, but this run has rng, model\.dropout\.rng: "
    )


@pytest.mark.parametrize("kind", ["weights", "state"])
def test_a_file_of_weights_or_of_a_state_alone_is_refused(kind: str, file: Path) -> None:
    trainer = run(a_trainer(), 2)
    trainer.model.save_weights(file) if kind == "weights" else trainer.optimizer.save_state(file)
    assert_refused(
        trainer, file, r"^run\.json must hold a training run, but it holds something else: pick another file$"
    )


def test_a_damaged_file_is_refused(file: Path) -> None:
    trainer = run(a_trainer(), 2, checkpoint=file)
    whole = file.read_bytes()
    for position in range(0, len(whole), len(whole) // 20):
        file.write_bytes(whole[:position] + b"#" + whole[position + 1 :])
        assert_refused(trainer, file, r"^run\.json must be a whole tinygpt checkpoint, but .*: save it again$")


@pytest.mark.parametrize("part", ["config", "weights", "optimizer", "generators", "losses"])
@pytest.mark.parametrize("instead", [None, 3, {}], ids=["missing", "a number", "empty"])
def test_a_file_with_a_part_that_save_never_writes_is_refused(part: str, instead: Any, file: Path) -> None:
    run(a_trainer(), 2, checkpoint=file)
    content = checkpoint.load(file)
    content[part] = instead
    checkpoint.save(file, content if instead is not None else {k: v for k, v in content.items() if k != part})
    assert_refused(run(a_trainer(seed=9), 1), file, r"run\.json")


def test_a_missing_file_is_file_not_found(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        a_trainer().load(file)


def test_an_optimizer_of_another_model_is_refused() -> None:
    trainer, other = a_trainer(), a_trainer()
    with pytest.raises(ValueError, match=r"^the optimizer must train this model, but it was built for another: "):
        Trainer(trainer.model, other.optimizer, trainer.source, 3, trainer.rng)


def test_an_optimizer_may_train_a_part_of_the_model() -> None:
    trainer = a_trainer()
    before = exactly(trainer.model.token_embedding.weight.data)
    head = Adam(trainer.model.norm)
    Trainer(trainer.model, head, trainer.source, 3, trainer.rng).step()
    assert (exactly(trainer.model.token_embedding.weight.data), head.updates) == (before, 1)


@pytest.mark.parametrize("batch_size", [0, -1, float("nan")])
def test_a_batch_holds_an_example(batch_size: Any) -> None:
    trainer = a_trainer()
    with pytest.raises(ValueError, match=r"^batch_size must be >= 1, got "):
        Trainer(trainer.model, trainer.optimizer, trainer.source, batch_size, trainer.rng)


@pytest.mark.parametrize("wrong", [{"steps": -1}, {"steps": 1, "every": 0}, {"steps": 1, "checkpoint_every": 0}])
def test_steps_are_counted_in_whole_ones(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^steps must be >= 0, every and checkpoint_every >= 1, got "):
        a_trainer().run(**wrong)


# --- the bar ----------------------------------------------------------------------------------------------------------


def test_a_bar_tells_loss_and_speed(capsys: pytest.CaptureFixture[str]) -> None:
    trainer = a_trainer()
    trainer.run(3)
    shown = capsys.readouterr().err
    assert "3/3 " in shown
    assert f"loss {trainer.losses[-1]:.3f}, {trainer.tokens_per_second:,.0f} tokens/s" in shown


@pytest.mark.parametrize("missing", [True, False])
def test_without_tqdm_or_progress_a_run_is_silent(
    missing: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    a_trainer().run(3, progress=missing)
    assert capsys.readouterr() == ("", "")


def test_importing_training_imports_nothing_but_numpy() -> None:
    program = (
        "import sys, numpy, numpy.random; before = set(sys.modules); import tinygpt.training;"
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"numpy", "tinygpt"}
