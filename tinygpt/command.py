"""The command `tinygpt`: train a GPT on a text or a task, and let it write.

A run lives in a folder: settings.json says how it is trained, tokenizer.json turns text into tokens and back, and
checkpoint.json holds what was learned. With these three it goes on, or writes, on any machine.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from tinygpt import checkpoint, pretrained
from tinygpt.corpora import python_documentation, read_text, tiny_shakespeare
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.optimizers import SGD, Adam, AdamW, Optimizer
from tinygpt.schedules import Schedule, cosine, warmup
from tinygpt.text import (
    Addition,
    BytePairTokenizer,
    CharacterTokenizer,
    Passages,
    Sorting,
    Task,
    Tokenizer,
    load_tokenizer,
    split,
)
from tinygpt.training import Trainer

SETTINGS, TOKENIZER, CHECKPOINT = "settings.json", "tokenizer.json", "checkpoint.json"

TEXTS: dict[str, Callable[[], str]] = {"python-docs": python_documentation, "shakespeare": tiny_shakespeare}
TASKS: dict[str, Callable[[], Task]] = {"addition": Addition, "sorting": Sorting}
OPTIMIZERS: dict[str, tuple[Callable[[GPT, Any], Optimizer], float]] = {  # and their usual learning rates
    "adamw": (AdamW, 1e-3),
    "adam": (Adam, 1e-3),
    "sgd": (lambda model, rate: SGD(model, rate, momentum=0.9), 0.1),
}
CONTEXT = 64  # tokens, for a text; a task has the length of its problems
MAY_CHANGE = ("text", "steps")  # where the text lies, and how far to go: it is the same run

TRAIN_EXAMPLES = """examples:
  %(prog)s book.txt
  %(prog)s --data python-docs --vocabulary 1024 --out docs
  %(prog)s --data addition --out sums

Where the folder holds a run of the same settings, it goes on, bit for bit as if it had never stopped; with more
--steps, beyond its end. Ctrl-C stops a run, and loses nothing.
"""

GENERATE_EXAMPLES = """examples:
  %(prog)s run
  %(prog)s run --prompt "The function " --length 1000 --temperature 0.5
  %(prog)s sums --prompt 27+85= --length 4 --temperature 0
  %(prog)s gpt2 --prompt "The meaning of life is" --length 50
"""


def main(arguments: Sequence[str] | None = None, prog: str = "tinygpt") -> int:
    """Do what the command line says; returns the exit code, 2 for an error and 130 for an interrupt."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace", line_buffering=True)  # a terminal shows ? for what it lacks
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(prog).parse_args(arguments)
    options.prog, options.again = prog, f"{prog} {shlex.join(arguments)}"
    try:
        return int(options.do(options))
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError, MemoryError, RuntimeError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2


def train(options: argparse.Namespace) -> int:
    """Train a GPT, from the start or from where the run in its folder is."""
    folder = Path(options.out)
    begun = (folder / CHECKPOINT).exists()
    data = _data(options)
    settings = _settings(options, data)
    _require_same(folder, settings) if begun else _require_free(folder)
    tokenizer = load_tokenizer(folder / TOKENIZER) if begun else _new_tokenizer(data, settings["vocabulary"])
    source, unseen = _sources(data, tokenizer, settings["context"])
    weights, batches = np.random.default_rng(settings["seed"]).spawn(2)
    model = _model(settings, tokenizer, weights)
    optimizer = OPTIMIZERS[settings["optimizer"]][0](model, _schedule(settings))
    trainer = Trainer(model, optimizer, source, settings["batch"], batches)
    if begun:
        trainer.load(folder / CHECKPOINT)
    _keep(folder, settings, tokenizer)
    print(f"{folder}: a GPT of {sum(p.size for p in model.parameters()):,} weights for {tokenizer.size:,} tokens")
    if begun:
        print(f"goes on after step {trainer.steps:,}")

    def report(trainer: Trainer) -> None:
        _report(trainer, model, unseen)

    trainer.run(
        max(0, options.steps - trainer.steps),
        after=report,
        every=options.every,
        checkpoint=folder / CHECKPOINT,
        progress=sys.stderr.isatty(),
    )
    if trainer.steps < options.steps:
        print(f"The same command does that: {options.again}")
        return 130
    if trainer.steps % options.every:
        report(trainer)
    print(f"{folder} is trained. Let it write: {options.prog} generate {shlex.quote(str(folder))}")
    return 0


def generate(options: argparse.Namespace) -> int:
    """Let a trained GPT write."""
    model, tokenizer = _trained(options.model)
    prompt = _opening(tokenizer) if options.prompt is None else options.prompt
    rng = np.random.default_rng(options.seed)
    tokens = model.generate(tokenizer.encode(prompt), options.length, options.temperature, options.top_k, rng)
    print(tokenizer.decode(tokens))
    return 0


# --- a run ------------------------------------------------------------------------------------------------------------


def _data(options: argparse.Namespace) -> Task | str:
    if options.data in TASKS:
        return TASKS[options.data]()
    return TEXTS[options.data]() if options.data else read_text(options.text)


def _settings(options: argparse.Namespace, data: Task | str) -> dict[str, Any]:
    """What decides how a run goes."""
    if isinstance(data, Task) and (options.context or options.vocabulary):
        raise ValueError(f"--context and --vocabulary are for texts, but {options.data} is a task: leave them out")
    same = ("layers", "heads", "width", "dropout", "vocabulary", "batch", "optimizer", "warmup", "seed", "steps")
    return {
        "data": options.data or "a text",
        "text": options.text,
        "sha256": None if isinstance(data, Task) else hashlib.sha256(data.encode()).hexdigest(),
        "context": data.length if isinstance(data, Task) else options.context or CONTEXT,
        "learning_rate": OPTIMIZERS[options.optimizer][1] if options.learning_rate is None else options.learning_rate,
        **{name: getattr(options, name) for name in same},
    }


def _new_tokenizer(data: Task | str, vocabulary: int | None) -> Tokenizer:
    if isinstance(data, Task):
        return data.tokenizer
    return CharacterTokenizer.of(data) if vocabulary is None else BytePairTokenizer.train(data, vocabulary)


def _sources(data: Task | str, tokenizer: Tokenizer, context: int) -> tuple[Task | Passages, Task | Passages]:
    """What to train on, and what to test on, which the training never shows."""
    if isinstance(data, Task):
        return data, data
    seen, unseen = split(tokenizer.encode(data))
    return Passages(seen, context, tokenizer), Passages(unseen, context, tokenizer)


def _model(settings: Mapping[str, Any], tokenizer: Tokenizer, rng: np.random.Generator | None = None) -> GPT:
    shape = {name: settings[name] for name in ("layers", "heads", "width", "dropout")}
    return GPT(GPTConfig(tokenizer.size, settings["context"], **shape), rng)


def _schedule(settings: Mapping[str, Any]) -> Schedule:
    """Up in the warm-up, then down along a cosine to a tenth."""
    rate = settings["learning_rate"]
    falling = cosine(rate, settings["steps"], end=rate / 10)
    return warmup(falling, settings["warmup"]) if settings["warmup"] else falling


# --- its folder -------------------------------------------------------------------------------------------------------


def _require_free(folder: Path) -> None:
    """Raise a ValueError for a folder that holds other things."""
    others = [file.name for file in folder.iterdir()] if folder.exists() else []
    if any(not name.startswith(".") and name not in (SETTINGS, TOKENIZER) for name in others):
        raise ValueError(f"{folder} must be empty or hold a run, but it holds other files: take another with --out")


def _require_same(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise a ValueError for the folder of a run with other settings, naming one."""
    for name, saved in _read_settings(folder).items():
        if name not in MAY_CHANGE and settings.get(name) != saved:
            found, wanted = _option(name, saved), _option(name, settings.get(name))
            raise ValueError(f"{folder} holds a run {found}, not {wanted}: take another folder with --out")


def _option(name: str, value: Any) -> str:
    """A setting as it is given on the command line."""
    if name in ("data", "sha256"):
        return f"on {value}" if name == "data" else f"on the text with the sha256 {str(value)[:8]}…"
    return f"with --{name.replace('_', '-')} {value}" if value is not None else f"without --{name}"


def _keep(folder: Path, settings: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tmp"):  # by a process that was killed as it saved
        left.unlink()
    tokenizer.save(folder / TOKENIZER)
    with checkpoint.replacing(folder / SETTINGS) as draft:
        draft.write(json.dumps(settings, indent=2).encode())


def _read_settings(folder: Path) -> dict[str, Any]:
    file = folder / SETTINGS
    try:
        settings = json.loads(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file} must be as train writes it, but {error}: take another folder") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{file} must be as train writes it, but it holds something else: take another folder")
    return settings


def _trained(name: str) -> tuple[GPT, Tokenizer]:
    """The model and the tokenizer of the run in that folder, or of a GPT-2: in a folder, or published by that name."""
    folder = Path(name)
    if (folder / CHECKPOINT).exists():
        tokenizer = load_tokenizer(folder / TOKENIZER)
        model = _model(_read_settings(folder), tokenizer)
        model.load_weights(folder / CHECKPOINT)
        return model, tokenizer
    if not (folder / pretrained.CONFIG).exists() and name not in pretrained.RELEASES:
        raise ValueError(
            f"{name} must be the folder of a run, with its {CHECKPOINT}, that of a GPT-2, with its "
            f"{pretrained.CONFIG}, or one of {', '.join(pretrained.RELEASES)}: train one first"
        )
    gpt2 = GPT.from_pretrained(name)
    return gpt2, BytePairTokenizer.from_gpt2(folder if folder.is_dir() else pretrained.download(name))


# --- what is shown ----------------------------------------------------------------------------------------------------


def _report(trainer: Trainer, model: GPT, unseen: Task | Passages) -> None:
    """How far the run is, how well its model does on what it has not seen, and what it writes by now."""
    rng = np.random.default_rng(0)
    if isinstance(unseen, Task):
        result = f"{unseen.accuracy(model):.0%} of unseen problems right"
        tokens = model.generate(unseen.examination(1, rng)[0][0], unseen.answer_length, temperature=0)
    else:
        result = f"{trainer.evaluate(unseen):.3f} on unseen text"
        tokens = model.generate(unseen.tokens[:1], 200, temperature=0.8, rng=rng)
    speed = f"{trainer.tokens_per_second:,.0f} tokens/s"
    print(f"step {trainer.steps:,}   loss {trainer.evaluate():.3f}   {result}   {speed}")
    if unseen.tokenizer:
        print(textwrap.indent(unseen.tokenizer.decode(tokens), "    "))


def _opening(tokenizer: Tokenizer) -> str:
    """What a text begins with that has no other beginning: a new line."""
    if not {"\n", b"\n"} & set(tokenizer.vocabulary):
        alphabet = "".join(tokenizer.vocabulary)
        raise ValueError(f"this model must be given a beginning, of the characters {alphabet}: use --prompt")
    return "\n"


# --- the command line -------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """Errors of one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that tells the defaults."""

    def _get_help_string(self, action: argparse.Action) -> str:
        told = action.default not in (None, argparse.SUPPRESS)
        return f"{action.help} (default: %(default)s)" if told else str(action.help)


def _whole(least: int) -> Callable[[str], int]:
    """The reader of a whole number that is at least so large."""

    def read(word: str) -> int:
        if not (word.isdecimal() and int(word) >= least):
            raise argparse.ArgumentTypeError(f"must be a whole number >= {least}, got {word!r}")
        return int(word)

    return read


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = _Parser(prog, description="Train a small GPT on a text or a task, and let it write.")
    commands = parser.add_subparsers(required=True, metavar="train | generate", title="commands")
    _describe_train(
        commands.add_parser(
            "train",
            help="train a GPT, or go on with one",
            usage="%(prog)s (TEXT | --data NAME) [options]",
            description="Train a GPT. Left to its defaults it takes some minutes.",
            epilog=TRAIN_EXAMPLES,
            formatter_class=_Help,
        )
    )
    _describe_generate(
        commands.add_parser(
            "generate",
            help="let a GPT write",
            usage="%(prog)s MODEL [options]",
            description="Let a trained GPT go on with a text.",
            epilog=GENERATE_EXAMPLES,
            formatter_class=_Help,
        )
    )
    return parser


def _describe_train(parser: argparse.ArgumentParser) -> None:
    count, natural = _whole(1), _whole(0)
    parser.set_defaults(do=train)
    group = parser.add_argument_group("what to learn")
    one = group.add_mutually_exclusive_group(required=True)
    one.add_argument("text", nargs="?", metavar="TEXT", help="the path of a text in UTF-8")
    names = [*TEXTS, *TASKS]
    one.add_argument("--data", choices=names, metavar="NAME", help=f"or one of {', '.join(names)}")
    group.add_argument("--vocabulary", type=count, metavar="N", help="tokens: so many byte pairs (default: characters)")
    group = parser.add_argument_group("the model")
    group.add_argument("--layers", type=count, default=4, metavar="N", help="transformer blocks")
    group.add_argument("--heads", type=count, default=4, metavar="N", help="attention heads in each")
    group.add_argument("--width", type=count, default=128, metavar="N", help="numbers that stand for a token")
    group.add_argument("--context", type=count, metavar="N", help=f"tokens of a text read at once (default: {CONTEXT})")
    group.add_argument("--dropout", type=float, default=0.0, metavar="P", help="share of numbers left out")
    group = parser.add_argument_group("its training")
    group.add_argument("--steps", type=count, default=2000, metavar="N", help="when to end")
    group.add_argument("--batch", type=count, default=16, metavar="N", help="examples in a step")
    group.add_argument("--optimizer", choices=OPTIMIZERS, default="adamw", metavar="NAME", help=", ".join(OPTIMIZERS))
    rates = ", ".join(f"{rate} for {name}" for name, (_, rate) in OPTIMIZERS.items())
    group.add_argument("--learning-rate", type=float, metavar="X", help=f"at its highest (default: {rates})")
    group.add_argument("--warmup", type=natural, default=100, metavar="N", help="steps until it is highest")
    group.add_argument("--seed", type=natural, default=0, metavar="N", help="another seed, another run")
    group = parser.add_argument_group("the run")
    group.add_argument("--out", default="run", metavar="FOLDER", help="where it is kept")
    group.add_argument("--every", type=count, default=250, metavar="N", help="steps from one report to the next")


def _describe_generate(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(do=generate)
    sizes = ", ".join(pretrained.RELEASES)
    parser.add_argument("model", metavar="MODEL", help=f"the folder of a run, or of a GPT-2; or {sizes} (fetched)")
    parser.add_argument("--prompt", metavar="TEXT", help="what to go on with (default: a new line)")
    parser.add_argument("--length", type=_whole(0), default=500, metavar="N", help="how many tokens to write")
    parser.add_argument(
        "--temperature", type=float, default=0.8, metavar="X", help="0: the likeliest; above: by chance"
    )
    parser.add_argument("--top-k", type=_whole(1), metavar="N", help="only the N likeliest (default: all)")
    parser.add_argument("--seed", type=_whole(0), metavar="N", help="the same text every time (default: another)")
