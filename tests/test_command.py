"""The command line: what it trains, keeps, shows and refuses."""

from __future__ import annotations

import argparse
import io
import json
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygpt
from tinygpt import checkpoint, command
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.text import load_tokenizer

PROSE = "The cat sat on the mat, and the dog sat on the cat.\n" * 20
SMALL = ["--layers", "1", "--heads", "1", "--width", "8", "--batch", "2", "--warmup", "1", "--every", "4"]
FILES = ["checkpoint.json", "settings.json", "tokenizer.json"]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "prose.txt").write_text(PROSE, encoding="utf-8")
    return tmp_path / "prose.txt"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """What a command line does: its exit code, and what it writes to stdout and stderr."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        try:
            code = command.main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def train(run: Run, text: Path, out: Path) -> Run:
    """A training of a tiny GPT on the prose, four steps if not told otherwise."""
    return lambda *options: run("train", text, "--out", out, *SMALL, "--context", 8, "--steps", 4, *options)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def steps(folder: Path) -> int:
    return len(checkpoint.load(folder / "checkpoint.json")["losses"])


# --- train ------------------------------------------------------------------------------------------------------------


def test_a_run_is_kept_in_three_files(train: Run, out: Path) -> None:
    code, _, _ = train()
    assert (code, names(out), steps(out)) == (0, FILES, 4)


def test_a_run_tells_where_it_is_and_what_its_model_writes(train: Run, out: Path) -> None:
    told = train("--steps", 5, "--every", 2)[1].splitlines()
    assert [line.split("   ")[0] for line in told if line.startswith("step")] == ["step 2", "step 4", "step 5"]
    assert " on unseen text " in told[1]
    assert told[2].startswith("    ")
    assert told[-1] == f"{out} is trained. Let it write: tinygpt generate {out}"


@pytest.mark.parametrize("task", command.TASKS)
def test_a_task_is_examined(task: str, run: Run, out: Path) -> None:
    code, told, _ = run("train", "--data", task, "--out", out, *SMALL, "--steps", 2)
    assert (code, names(out)) == (0, FILES)
    assert "% of unseen problems right" in told


@pytest.mark.parametrize("name", command.TEXTS)
def test_a_text_that_comes_along_is_read(name: str, run: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.TEXTS, name, lambda: PROSE)
    assert run("train", "--data", name, "--out", out, *SMALL, "--steps", 2)[0] == 0
    assert load_tokenizer(out / "tokenizer.json").size == len(set(PROSE))


def test_a_text_is_read_in_byte_pairs_where_a_vocabulary_is_asked_for(train: Run, out: Path) -> None:
    assert train("--vocabulary", 270)[0] == 0
    assert load_tokenizer(out / "tokenizer.json").size == 270


@pytest.mark.parametrize("optimizer", command.OPTIMIZERS)
def test_each_optimizer_trains(optimizer: str, train: Run, out: Path) -> None:
    assert train("--optimizer", optimizer)[0] == 0
    saved = checkpoint.load(out / "checkpoint.json")["optimizer"]["class"]
    assert (saved.lower(), json.loads((out / "settings.json").read_text())["optimizer"]) == (optimizer, optimizer)


def test_the_learning_rate_warms_up_and_falls_to_a_tenth() -> None:
    schedule = command._schedule({"learning_rate": 1.0, "steps": 100, "warmup": 10})
    assert [schedule(0), max(map(schedule, range(101))) > 0.95, schedule(100)] == [pytest.approx(0.1), True, 0.1]


def test_without_warmup_it_begins_at_its_highest() -> None:
    assert command._schedule({"learning_rate": 1.0, "steps": 100, "warmup": 0})(0) == 1.0


def test_it_trains_without_tqdm(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert train()[::2] == (0, "")


def test_a_terminal_gets_a_bar(train: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "4/4 " in train()[2]


# --- to go on ---------------------------------------------------------------------------------------------------------


def test_ctrl_c_saves_and_says_how_to_go_on_as_if_never_stopped(
    train: Run, text: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train()
    whole = content(out)
    shutil.rmtree(out)
    with monkeypatch.context() as patch:
        patch.setattr(command, "_report", lambda *_: signal.raise_signal(signal.SIGINT))
        code, told, _ = train("--every", 2)
    assert (code, steps(out)) == (130, 2)
    again = f"train {text} --out {out} {' '.join(SMALL)} --context 8 --steps 4 --every 2"
    assert told.splitlines()[-1] == f"The same command does that: tinygpt {again}"
    assert (train()[0], content(out)) == (0, whole)


def test_what_a_killed_run_left_is_cleared_away(train: Run, out: Path) -> None:
    out.mkdir()
    (out / ".0123456789abcdef.tmp").write_text("half a checkpoint", encoding="utf-8")
    assert (train()[0], names(out)) == (0, FILES)


def test_a_run_that_is_done_is_not_done_again(train: Run, out: Path) -> None:
    train()
    before = content(out)
    assert (train()[0], content(out)) == (0, before)


def test_more_steps_go_on_beyond_the_end(train: Run, out: Path) -> None:
    train()
    losses = checkpoint.load(out / "checkpoint.json")["losses"]
    assert train("--steps", 6)[0] == 0
    assert (steps(out), list(checkpoint.load(out / "checkpoint.json")["losses"][:4])) == (6, list(losses))


def test_a_text_may_move(train: Run, run: Run, text: Path, out: Path) -> None:
    train()
    moved = text.rename(text.with_name("moved.txt"))
    assert run("train", moved, "--out", out, *SMALL, "--context", 8, "--steps", 6)[0] == 0
    assert steps(out) == 6


OTHERS = {
    "layers": ("--layers 2", "holds a run with --layers 1, not with --layers 2"),
    "heads": ("--heads 2", "--heads 1, not with --heads 2"),
    "width": ("--width 16", "--width 8, not with --width 16"),
    "context": ("--context 9", "--context 8, not with --context 9"),
    "dropout": ("--dropout 0.5", "--dropout 0.0, not with --dropout 0.5"),
    "vocabulary": ("--vocabulary 260", "without --vocabulary, not with --vocabulary 260"),
    "batch": ("--batch 3", "--batch 2, not with --batch 3"),
    "optimizer": ("--optimizer adam", "--optimizer adamw, not with --optimizer adam"),
    "learning_rate": ("--learning-rate 0.1", "--learning-rate 0.001, not with --learning-rate 0.1"),
    "warmup": ("--warmup 2", "--warmup 1, not with --warmup 2"),
    "seed": ("--seed 1", "--seed 0, not with --seed 1"),
}


@pytest.mark.parametrize(("option", "says"), OTHERS.values(), ids=OTHERS)
def test_a_run_of_other_settings_is_left_alone(option: str, says: str, train: Run, out: Path) -> None:
    train("--steps", 2)
    before = content(out)
    code, _, complaint = train(*option.split())
    assert (code, says in complaint, complaint.count("\n"), content(out)) == (2, True, 1, before)


def test_every_setting_that_decides_has_a_row() -> None:
    [train] = [
        parser
        for action in command._parser("")._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, parser in action.choices.items()
        if name == "train"
    ]
    shown = {"help", "out", "every"}
    assert {action.dest for action in train._actions} - shown - {"data", "text", "steps"} == set(OTHERS)


@pytest.mark.parametrize("data", ["another text", "a task"])
def test_a_run_on_other_data_is_left_alone(data: str, train: Run, run: Run, text: Path, out: Path) -> None:
    train("--steps", 2)
    before = content(out)
    if data == "another text":
        text.write_text(PROSE + "The end.", encoding="utf-8")
        code, _, complaint = train()
    else:
        code, _, complaint = run("train", "--data", "sorting", "--out", out, *SMALL)
    assert (code, " holds a run on " in complaint, content(out)) == (2, True, before)


# --- errors -----------------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, str]] = {
    "nothing": ("train", "one of the arguments TEXT --data is required; see tinygpt train --help"),
    "no command": ("", "the following arguments are required"),
    "two texts": ("train {text} --data addition", "not allowed with argument"),
    "an unknown task": ("train --data chess", "invalid choice: 'chess'"),
    "no such text": ("train missing.txt", "missing.txt must be a text file, but there is none"),
    "no text": ("train {folder}", "Is a directory"),
    "a short text": ("train {short}", "take a longer text"),
    "no layers": ("train {text} --layers 0", "argument --layers: must be a whole number >= 1, got '0'"),
    "a half step": ("train {text} --steps 1.5", "argument --steps: must be a whole number >= 1, got '1.5'"),
    "heads that do not fit": ("train {text} --heads 3", "heads must divide width, got heads=3 and width=128"),
    "dropout of all": ("train {text} --dropout 1", "dropout must be in [0, 1), got 1.0"),
    "a rate below zero": ("train {text} --learning-rate -1", "learning_rate must be >= 0, got "),
    "a vocabulary for a task": ("train --data addition --vocabulary 300", "are for texts, but addition is a task"),
    "a context for a task": ("train --data addition --context 30", "are for texts, but addition is a task"),
    "too few byte pairs": ("train {text} --vocabulary 10", "size must be >= 256"),
    "too many byte pairs": ("train {text} --vocabulary 9999", "for this text, got 9999"),
    "no run": ("generate {folder}", "must be the folder of a run, but there is no checkpoint.json in it"),
}


@pytest.mark.parametrize(("arguments", "says"), WRONG.values(), ids=WRONG)
def test_an_error_is_one_line_and_leaves_no_run(arguments: str, says: str, run: Run, text: Path, out: Path) -> None:
    (folder := text.parent / "folder").mkdir()
    (short := text.parent / "short.txt").write_text("too short", encoding="utf-8")
    words = [word.format(text=text, folder=folder, short=short) for word in arguments.split()]
    place = ["--out", str(out)] if words[:1] == ["train"] else []
    code, _, complaint = run(*words, *place)
    assert (code, complaint.count("\n"), says in complaint) == (2, 1, True), complaint
    assert not (out / "checkpoint.json").exists()


def test_after_a_mistake_the_folder_is_free(train: Run, out: Path) -> None:
    assert train("--learning-rate", -1)[0] == 2
    assert (train()[0], steps(out)) == (0, 4)


def test_a_folder_with_other_things_is_left_alone(train: Run, out: Path) -> None:
    out.mkdir()
    (out / "diary.txt").write_text("Dear diary", encoding="utf-8")
    code, _, complaint = train()
    assert (code, names(out)) == (2, ["diary.txt"])
    assert "must be empty or hold a run, but it holds other files: take another with --out" in complaint


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["cut", "missing", "a list"])
def test_a_damaged_run_is_an_error_of_one_line(name: str, damage: str, train: Run, run: Run, out: Path) -> None:
    train()
    raw = (out / name).read_bytes()
    (out / name).unlink()
    if damage != "missing":
        (out / name).write_bytes(raw[:-9] if damage == "cut" else b"[]")
    for code, _, complaint in [run("generate", out)] + ([] if damage == "missing" else [train()]):
        assert (code, complaint.count("\n"), name in complaint) == (2, 1, True)


def test_ctrl_c_before_there_is_anything_to_save_is_quiet(run: Run, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(command.TEXTS, "python-docs", lambda: signal.raise_signal(signal.SIGINT))
    assert run("train", "--data", "python-docs", "--out", out) == (130, "", "Stopped.\n")


# --- generate ---------------------------------------------------------------------------------------------------------


def test_a_run_writes_what_its_model_says(train: Run, run: Run, out: Path) -> None:
    train()
    tokenizer = load_tokenizer(out / "tokenizer.json")
    model = GPT(GPTConfig(tokenizer.size, 8, layers=1, heads=1, width=8))
    model.load_weights(out / "checkpoint.json")
    tokens = model.generate(tokenizer.encode("The "), 30, 0.5, top_k=3, rng=np.random.default_rng(7))
    options = ["--prompt", "The ", "--length", "30", "--temperature", "0.5", "--top-k", "3", "--seed", "7"]
    assert run("generate", out, *options) == (0, tokenizer.decode(tokens) + "\n", "")


def test_without_a_seed_it_writes_another_text_each_time(train: Run, run: Run, out: Path) -> None:
    train()
    seeds: list[list[str]] = [[], [], ["--seed", "1"], ["--seed", "1"]]
    written = {run("generate", out, "--length", 50, *seed)[1] for seed in seeds}
    assert len(written) == 3


def test_a_text_begins_with_a_new_line(train: Run, run: Run, out: Path) -> None:
    train("--vocabulary", 260)
    assert run("generate", out, "--length", 0) == (0, "\n\n", "")


def test_a_task_must_be_given_a_question(run: Run, out: Path) -> None:
    run("train", "--data", "addition", "--out", out, *SMALL, "--steps", 1)
    code, _, complaint = run("generate", out)
    assert (code, complaint.count("\n"), "use --prompt" in complaint) == (2, 1, True)
    assert len(run("generate", out, "--prompt", "27+85=", "--length", 4)[1]) == len("27+85=211;\n")


def test_a_prompt_of_other_characters_is_an_error(train: Run, run: Run, out: Path) -> None:
    train()
    code, _, complaint = run("generate", out, "--prompt", "Ünter")
    assert (code, complaint.count("\n"), "'Ü'" in complaint) == (2, 1, True)


def test_a_terminal_that_lacks_a_character_shows_another(
    train: Run, text: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text.write_text(PROSE.replace("cat", "čat"), encoding="utf-8")
    train()
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    assert command.main(["generate", str(out), "--prompt", "The čat", "--length", "0"]) == 0
    narrow.seek(0)
    assert narrow.read() == "The ?at\n"


# --- as a program -----------------------------------------------------------------------------------------------------


def test_the_program_stops_at_ctrl_c_and_goes_on(run: Run, text: Path, out: Path) -> None:
    train = ["train", str(text), "--out", str(out), *SMALL, "--context", "8", "--steps"]
    program = [sys.executable, "-W", "error", "-m", "tinygpt.gpt"]
    with subprocess.Popen([*program, *train, "1000000"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith("step 4"):
            pass
        process.send_signal(signal.SIGINT)
        told = process.stdout.read().splitlines()
    assert (process.returncode, told[-1].startswith("The same command does that: python -m tinygpt.gpt train")) == (
        130,
        True,
    )
    done = steps(out)
    assert done >= 4
    assert (run(*train, done + 2)[0], steps(out)) == (0, done + 2)


def test_the_package_comes_with_the_command() -> None:
    project = tomllib.loads((Path(tinygpt.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, function = project["project"]["scripts"]["tinygpt"].partition(":")
    assert getattr(sys.modules[module], function) is command.main


@pytest.mark.parametrize("name", ["train", "generate"])
def test_help_has_a_word_for_every_option_and_an_example(name: str, run: Run) -> None:
    code, told, _ = run(name, "--help")
    assert (code, "None" in told, f"tinygpt {name} " in told.partition("examples:")[2]) == (0, False, True)
