"""Studies: what many training runs came to, read from the file that is stored beside the script which made them."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygpt.optimizers import Adam, AdamW

ALL = "all"  # tokens, whose loss every study has
UNTUNED = {kind.__name__: inspect.signature(kind).parameters["learning_rate"].default for kind in (Adam, AdamW)}


@dataclass(frozen=True)
class Sweep:
    """What one optimizer came to, by learning rate.

    `losses` (rates, seeds) are infinite where a run was not finite; `accuracies` are of the same shape, and NaN there
    and where nothing was examined. `untuned` is which rate is the optimizer's default, if it has one and it was tried;
    `unclipped` maps learning rates to the median loss without clipping.
    """

    rates: Any
    losses: Any
    accuracies: Any
    untuned: int | None
    unclipped: Mapping[float, float]

    @property
    def medians(self) -> Any:
        """The median loss over the seeds, (rates,)."""
        return np.median(self.losses, axis=1)

    @property
    def best(self) -> int:
        """Which learning rate has the lowest median."""
        return int(self.medians.argmin())

    @property
    def is_tuned(self) -> bool:
        """Whether there were learning rates to choose from."""
        return len(self.rates) > 1

    @property
    def at_border(self) -> bool:
        """Whether the best is the first or the last that was tried, so that there may be better ones beyond."""
        return self.best in (0, len(self.rates) - 1)


@dataclass(frozen=True)
class Study:
    """Runs of several optimizers on several sources: a row for each learning rate, with a list over the seeds."""

    settings: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]

    @property
    def sources(self) -> list[str]:
        """What was trained on."""
        return list(dict.fromkeys(row["source"] for row in self.rows))

    def tokens(self, source: str) -> list[str]:
        """Whose losses were measured on a source: those of all tokens, and of kinds of them."""
        kinds = dict.fromkeys(name for row in self.rows if row["source"] == source for name in row)
        return [kind for kind in kinds if kind in (ALL, "frequent", "rare")]

    def sweeps(self, source: str, tokens: str = ALL) -> dict[str, Sweep]:
        """Every optimizer's results on a source, for the loss of these tokens."""
        mine = [row for row in self.rows if row["source"] == source]
        labels = dict.fromkeys(row["optimizer"] for row in mine)
        return {label: _sweep(label, [row for row in mine if row["optimizer"] == label], tokens) for label in labels}


def read_study(file: str | os.PathLike[str]) -> Study:
    """The study that a script wrote to a file.

    Raises: ValueError for a file that holds something else; OSError from the disk.
    """
    with open(file, encoding="utf-8") as stream:
        try:
            content = json.load(stream)
            study = Study(content["settings"], content["rows"])
            for source in study.sources:
                study.sweeps(source)
        except (ValueError, KeyError, TypeError) as error:
            name = os.path.basename(file)
            raise ValueError(f"{name} must hold a study, but {error!r}: run the script beside it again") from error
    return study


def _sweep(label: str, rows: Sequence[Mapping[str, Any]], tokens: str) -> Sweep:
    clipped = sorted((row for row in rows if row["clipped"]), key=lambda row: row["learning_rate"])
    rates = [row["learning_rate"] for row in clipped]
    return Sweep(
        np.array(rates, float),
        np.array([_numbers(row, tokens, np.inf) for row in clipped]),
        np.array([_numbers(row, "accuracy", np.nan) for row in clipped]),
        rates.index(UNTUNED[label]) if UNTUNED.get(label) in rates else None,
        {row["learning_rate"]: float(np.median(_numbers(row, tokens, np.inf))) for row in rows if not row["clipped"]},
    )


def _numbers(row: Mapping[str, Any], name: str, missing: float) -> list[float]:
    """A measure over the seeds; `missing` where a run was not finite, or nothing was measured."""
    return [missing if value is None else float(value) for value in row.get(name, [None] * len(row[ALL]))]
