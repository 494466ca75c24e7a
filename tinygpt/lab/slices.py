"""Slices: planes through the space of all weights, on which a path of many dimensions is drawn, and what they hide.

A point of the plane is origin + x · first + y · second. A path is drawn at its shadow, the nearest points of the plane;
the loss there is not the loss that training had, and `Shadow.gaps` says by how much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygpt.lab.networks import Data, losses_at, stacked
from tinygpt.lab.surfaces import Surface
from tinygpt.module import Module

ROOM = 0.2  # around a path on its plane, as a fraction of the path's extent


@dataclass(frozen=True)
class Plane:
    """All points origin + x · first + y · second. Shapes: origin (numbers,), directions (2, numbers)."""

    origin: Any
    directions: Any

    def at(self, x: Any, y: Any) -> Any:
        """The weights at places on the plane. Shapes: x, y (…) → (…, numbers)."""
        return self.origin + np.stack([x, y], axis=-1) @ self.directions

    def nearest(self, weights: Any) -> Any:
        """The places x, y on the plane that are nearest to some weights. Shapes: (…, numbers) → (…, 2)."""
        return (weights - self.origin) @ np.linalg.pinv(self.directions)


@dataclass(frozen=True)
class Shadow:
    """A path as a plane shows it.

    `points` (records, 2) are the nearest places on the plane; `explained`, in [0, 1], is the share of the path's
    variance that lies along the plane; `losses` (records,) are those at the shadow and `true_losses` those of the path.
    """

    points: Any
    explained: float
    losses: Any
    true_losses: Any

    @property
    def gaps(self) -> Any:
        """How far the plane's loss is from the true one. Shape: (records,)."""
        return np.abs(self.losses - self.true_losses)


def pca_plane(path: Any) -> Plane:
    """The plane that keeps most of a path: through its mean, along the two directions in which it varies most.

    path − mean = U Σ Vᵀ        the directions are the first two rows of Vᵀ, each signed so that the path ends ahead

    Shapes: path (records, numbers).
    """
    mean = path.mean(axis=0)
    _, _, directions = np.linalg.svd(path - mean, full_matrices=False)
    first_two = np.resize(directions[:2], (2, path.shape[1]))  # a path of one point has but one direction
    signs = np.where(first_two @ (path[-1] - mean) < 0, -1.0, 1.0)
    return Plane(mean, signs[:, None] * first_two)


def filter_normalised(module: Module, weights: Any, rng: np.random.Generator) -> Any:
    """A random direction in which every neuron's weights move as far as they are long.

    d ← d ‖w‖ / ‖d‖        for each neuron's incoming weights (a column), and for each bias

    So a net whose neurons are scaled up and down without changing its output is cut by the same slice.

    Shapes: weights (numbers,) → (numbers,).
    Source: Li et al. 2018, section 4, which leaves the biases where they are. https://arxiv.org/abs/1712.09913
    """
    pieces = []
    with stacked(module, weights[None]) as parameters:
        for (w,) in (p.data for p in parameters):  # (inputs, neurons)
            d = rng.normal(size=w.shape)
            pieces.append(np.ravel(d * np.linalg.norm(w, axis=0) / np.linalg.norm(d, axis=0)))
    return np.concatenate(pieces)


def random_plane(module: Module, weights: Any, seed: int = 0) -> Plane:
    """The plane through some weights of a module, along two filter-normalised random directions."""
    rng = np.random.default_rng(seed)
    return Plane(weights, np.stack([filter_normalised(module, weights, rng) for _ in range(2)]))


def shadow(plane: Plane, module: Module, data: Data, path: Any) -> Shadow:
    """What a plane shows of a path. Shapes: path (records, numbers)."""
    points = plane.nearest(path)
    total = np.var(path, axis=0).sum()
    kept = np.var(plane.at(*points.T), axis=0).sum()
    return Shadow(
        points,
        float(kept / total) if total else 1.0,
        losses_at(module, data, plane.at(*points.T)),
        losses_at(module, data, path),
    )


def surface_of(plane: Plane, module: Module, data: Data, points: Any) -> Surface:
    """The loss over a plane as a surface with room for some points. Shapes: points (records, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    room = ROOM * max(float(np.max(high - low)), 1e-9)
    (left, bottom), (right, top) = (low - room).tolist(), (high + room).tolist()

    def loss(x: Any, y: Any) -> Any:
        return losses_at(module, data, plane.at(np.asarray(x), np.asarray(y)))

    surface = Surface("plane", loss, tuple(points[0].tolist()), bounds=((left, right), (bottom, top)))
    vars(surface)["lowest"] = 0.0  # which no loss is below; to search the plane for its lowest would take a map more
    return surface
