"""Losses: one number that says how wrong a model is."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygpt.tensor import Tensor


def mean_squared_error(prediction: Tensor, target: Any) -> Tensor:
    """The mean of (prediction − target)².

    Shapes: prediction and target alike.
    Raises: ValueError where the shapes differ (broadcasting here is nearly always a mistake).
    """
    wanted = target if isinstance(target, Tensor) else Tensor(target, prediction.dtype if np.isscalar(target) else None)
    if wanted.shape != prediction.shape:
        raise ValueError(f"target must have the prediction's shape {prediction.shape}, got {wanted.shape}: reshape it")
    difference = prediction - wanted
    return (difference * difference).mean()


def cross_entropy(logits: Tensor, targets: Any, ignore_index: int | None = None) -> Tensor:
    """The mean of −log softmax(logits)[target], the surprise at the right class, in nats.

    Targets equal to ignore_index count neither in the sum nor in the mean.

    Shapes: logits (…, classes), targets (…) of integers in [0, classes).
    Raises: ValueError for other shapes or for a class that is not there; TypeError for targets that are no integers.
    """
    classes = logits.shape[-1]
    targets = np.asarray(targets.data if isinstance(targets, Tensor) else targets)
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers, one class each, got dtype {targets.dtype}: use astype(int)")
    if targets.shape != logits.shape[:-1]:
        raise ValueError(f"targets must have shape {logits.shape[:-1]}, one per row of logits, got {targets.shape}")
    rows, flat = logits.reshape((-1, classes)), targets.reshape(-1)
    kept = np.arange(flat.size) if ignore_index is None else np.flatnonzero(flat != ignore_index)
    chosen = flat[kept]
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < classes):
        span = f"{chosen.min()} to {chosen.max()}"
        raise ValueError(f"targets must be in [0, {classes}), got {span}: give the logits more classes")
    if not chosen.size:
        raise ValueError("targets must hold a class that counts, but all are ignored: leave this batch out")
    return -rows.log_softmax(axis=-1)[kept, chosen].mean()
