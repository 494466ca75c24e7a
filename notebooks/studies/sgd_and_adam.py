"""SGD and Adam train the same small GPT: how low each comes, by learning rate, and on which tokens.

python notebooks/studies/sgd_and_adam.py                  half an hour on one core; writes sgd_and_adam.json beside it
python notebooks/studies/sgd_and_adam.py --quick FILE     a few steps of everything, to FILE

For every source of text, optimizer and learning rate of its grid the study stores what each seed came to. A seed
draws the weights to start from and all batches, the same for every optimizer. The learning rate is constant, without
warm-up. A loss is the mean over the last steps, each batch before it is learned from, above what one who knows the
source would have: 0 is perfect. null stands for a run that ended in NaN or ∞.

That SGD is slow on rare tokens, and that this makes the gap, is what Kunstner et al. 2024 found with larger models:
https://arxiv.org/abs/2402.19449. Words that are all equally frequent are there to be compared with.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygpt
from tinygpt import SGD, Adam, AdamW, Optimizer
from tinygpt.gpt import GPT, GPTConfig
from tinygpt.losses import cross_entropy
from tinygpt.optimizers import clip_gradients
from tinygpt.text import IGNORED, Addition, Sorting, Source, Task, Tokens


class Words:
    """A language whose words are as unequal as real ones: the k-th most frequent has a probability ∝ 1 / k^exponent.

    Each word is two tokens, its stem and the ending that no other has. Which stem comes next nobody can know; which
    ending belongs to it is to be learned, word by word. With exponent 0 all words are equally frequent.

    Source: Zipf 1935, The Psycho-Biology of Language
    """

    tokenizer = None
    frequent = 10  # words that are called so, and those after the hundredth are called rare
    rare = 100

    def __init__(self, words: int = 1000, length: int = 16, exponent: float = 1.0) -> None:
        self.words, self.length, self.exponent = words, length, exponent
        weights = np.arange(1.0, words + 1) ** -exponent
        self.probabilities = weights / weights.sum()

    def sample(self, count: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        """Words one after the other, and the token that follows each. Shapes: (count, length), both."""
        stems = rng.choice(self.words, (count, self.length // 2 + 1), p=self.probabilities)
        tokens = np.stack([stems, stems + self.words], axis=-1).reshape(count, -1)
        return tokens[:, : self.length], tokens[:, 1 : self.length + 1]


class Run(NamedTuple):
    """What is tried: a row of the results, but for them."""

    source: str
    optimizer: str
    learning_rate: float
    clipped: bool


SOURCES: Mapping[str, Source] = {
    "sorting": Sorting(6),
    "addition": Addition(2),
    "words": Words(),
    "equal words": Words(exponent=0.0),
}
OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "Adam": Adam,
    "AdamW": AdamW,
}
RATES = {  # two for each decade, and of AdamW its default
    "SGD": [0.03, 0.1, 0.3, 1.0, 3.0],
    "momentum": [0.01, 0.03, 0.1, 0.3, 1.0],
    "Adam": [0.0003, 0.001, 0.003, 0.01],
    "AdamW": [0.001],
}
SETTINGS = {
    "layers": 2,
    "width": 48,
    "heads": 3,
    "batch": {"sorting": 32, "addition": 16, "words": 16, "equal words": 16},
    "steps": {"sorting": 400, "addition": 1600, "words": 400, "equal words": 400},
    "last": 50,  # steps over which the loss is averaged
    "seeds": 3,
    "max_norm": 1.0,  # of all gradients together, where they are clipped
    "rates": RATES,
}
QUICK = {
    **SETTINGS,
    "layers": 1,
    "width": 4,
    "heads": 1,
    "batch": dict.fromkeys(SOURCES, 2),
    "steps": dict.fromkeys(SOURCES, 3),
    "last": 2,
    "seeds": 2,
}


def runs() -> list[Run]:
    """All that is tried with clipped gradients: every source, optimizer and learning rate."""
    return [
        Run(source, optimizer, rate, True)
        for source, optimizer in product(SOURCES, OPTIMIZERS)
        for rate in RATES[optimizer]
    ]


def runs_without_clipping(rows: list[dict[str, Any]]) -> list[Run]:
    """The best of each source and optimizer once more, without clipping."""
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if row["clipped"]:
            key = row["source"], row["optimizer"]
            best[key] = min(best.get(key, row), row, key=lambda row: median(row["all"]))
    return [Run(*key, row["learning_rate"], False) for key, row in best.items()]


def median(values: list[float | None]) -> float:
    """The median over the seeds; a run that was not finite is worse than all others."""
    return float(np.median([np.inf if value is None else value for value in values]))


def train(run: Run, seed: int, settings: Mapping[str, Any]) -> dict[str, float] | None:
    """Train one model; its losses by kind of token, and its accuracy on unseen problems where there are such.

    None where the loss was not finite.
    """
    source, steps = SOURCES[run.source], settings["steps"][run.source]
    model = build(source, seed, settings)
    optimizer = OPTIMIZERS[run.optimizer](model, learning_rate=run.learning_rate)
    rng, seen = np.random.default_rng([seed, 1]), []
    with np.errstate(all="ignore"):  # some rates are too large on purpose
        for step in range(steps):
            inputs, targets = source.sample(settings["batch"][run.source], rng)
            logits = model(inputs)
            loss = cross_entropy(logits, targets, ignore_index=IGNORED)
            if not np.isfinite(loss.data):
                return None
            if step >= steps - settings["last"]:
                seen.append((surprises(logits.data, targets), targets))
            model.zero_grad()
            loss.backward()
            if run.clipped:
                clip_gradients(model, settings["max_norm"])
            optimizer.update()
        found = losses(source, *(np.concatenate(parts) for parts in zip(*seen, strict=True)))
        return found | ({"accuracy": source.accuracy(model)} if isinstance(source, Task) else {})


def build(source: Source, seed: int, settings: Mapping[str, Any]) -> GPT:
    """The model for a source, with the weights that a seed draws."""
    size = 2 * source.words if isinstance(source, Words) else source.tokenizer.size
    shape = {name: settings[name] for name in ("layers", "width", "heads")}
    return GPT(GPTConfig(size, source.length, **shape), np.random.default_rng([seed, 0]))


def surprises(logits: Any, targets: Tokens) -> Any:
    """−log softmax(logits)[target] of every token, and 0 of those that are IGNORED. Shapes: those of the targets."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    right = np.take_along_axis(shifted, np.maximum(targets, 0)[..., None], axis=-1)[..., 0]
    return np.where(targets == IGNORED, 0, np.log(np.exp(shifted).sum(axis=-1)) - right)


def losses(source: Source, surprise: Any, targets: Tokens) -> dict[str, float]:
    """The mean surprise above what one who knows the source would have: at all tokens, and at kinds of them."""
    if not isinstance(source, Words):
        return {"all": float(surprise[targets != IGNORED].mean())}
    rank = targets - source.words  # of endings, from 0; negative of stems
    least = np.where(rank < 0, -np.log(source.probabilities[np.minimum(targets, source.words - 1)]), 0)
    kinds = {"frequent": (rank >= 0) & (rank < source.frequent), "rare": rank >= source.rare}
    kinds = kinds if source.exponent else {}  # where none are
    found = {"all": float((surprise - least).mean())}
    return found | {kind: float(surprise[there].mean()) if there.any() else 0.0 for kind, there in kinds.items()}


def tried(run: Run, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the results: what was tried, and for each measure a list over the seeds."""
    found = [train(run, seed, settings) for seed in range(settings["seeds"])]
    names = dict.fromkeys(name for result in found if result for name in result) or ["all"]
    return run._asdict() | {name: [result and round(result[name], 5) for result in found] for name in names}


def head(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored before the rows: with what, and how, they were made."""
    versions = {"tinygpt": tinygpt.__version__, "numpy": np.__version__, "python": platform.python_version()}
    return {"versions": versions, "settings": settings}


def conduct(file: Path, settings: Mapping[str, Any], workers: int = 1) -> None:
    """Write the study to a file, one row a line, and after each row: a study that was stopped goes on from there."""
    made = head(settings)
    stored = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    rows = stored["rows"] if {name: stored.get(name) for name in made} == made else []
    with ProcessPoolExecutor(workers) as pool:
        for all_of in (lambda _: runs(), runs_without_clipping):
            there = {tuple(row[name] for name in Run._fields) for row in rows}
            wanted = [run for run in all_of(rows) if run not in there]
            for row in pool.map(tried, wanted, [settings] * len(wanted)):
                rows.append(row)
                lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
                file.write_text(f'{json.dumps(made)[:-1]}, "rows": [\n{lines}\n]}}\n', encoding="utf-8")
                print(json.dumps(row), flush=True)


def main() -> None:
    """Writes what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", type=Path, metavar="FILE", help="a few steps of everything, to this file")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args()
    file = options.quick or Path(__file__).with_suffix(".json")
    conduct(file, QUICK if options.quick else SETTINGS, options.workers)


if __name__ == "__main__":
    main()
