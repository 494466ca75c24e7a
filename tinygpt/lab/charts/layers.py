"""Layers: where the nodes of a graph are drawn, so that every edge leads from one column to a later one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

ROUNDS = 8  # of putting every node between its neighbours; small graphs need fewer


class Layers(NamedTuple):
    """Places as (column, row), both from 0 on, rows not always whole.

    `places` (nodes, 2); `routes` maps an edge, (node, which of its sources), to the places (n, 2) it comes by, from the
    source to the node; `columns` and `rows` are what all of it takes.
    """

    places: Any
    routes: dict[tuple[int, int], Any]
    columns: int
    rows: float


def layers(sources: Sequence[tuple[int, ...]]) -> Layers:
    """Arrange a graph whose nodes are given by their sources, each node after those.

    A node stands right of all its sources, and a leaf next to the first node that uses it. An edge that passes a column
    takes a place in it, as if there were a node. Within the columns nodes are put between their neighbours.

    Source: Sugiyama, Tagawa and Toda 1981, in its simplest form.
    """
    column = _columns(sources)
    stops: list[list[Hashable]] = [[] for _ in range(max(column) + 1)]
    for node, at in enumerate(column):
        stops[at].append(node)
    routes: dict[tuple[int, int], list[Hashable]] = {}
    for node, own in enumerate(sources):
        for which, source in enumerate(own):
            passed = [(node, which, at) for at in range(column[source] + 1, column[node])]
            for stop in passed:
                stops[stop[2]].append(stop)
            routes[node, which] = [source, *passed, node]
    row = _rows(stops, list(routes.values()))
    place = {stop: (at, row[stop]) for at, some in enumerate(stops) for stop in some}
    return Layers(
        np.array([place[node] for node in range(len(sources))], float),
        {edge: np.array([place[stop] for stop in route], float) for edge, route in routes.items()},
        len(stops),
        max(row.values()) + 1,
    )


def _columns(sources: Sequence[tuple[int, ...]]) -> list[int]:
    column: list[int] = []
    for own in sources:
        column.append(1 + max((column[source] for source in own), default=-1))
    for leaf, own in enumerate(sources):
        users = [column[node] for node, used in enumerate(sources) if leaf in used]
        if not own and users:
            column[leaf] = min(users) - 1
    return column


def _rows(stops: list[list[Hashable]], routes: list[list[Hashable]]) -> dict[Hashable, float]:
    """Every stop as near to its neighbours' middle as a distance of 1 within its column allows."""
    row = {stop: i - (len(some) - 1) / 2 for some in stops for i, stop in enumerate(some)}
    near: dict[Hashable, list[Hashable]] = {stop: [] for stop in row}
    for route in routes:
        for left, right in pairwise(route):
            near[left].append(right)
            near[right].append(left)
    for turn in range(ROUNDS):
        for some in stops if turn % 2 else stops[::-1]:
            wanted = {stop: float(np.mean([row[other] for other in near[stop]] or [row[stop]])) for stop in some}
            some.sort(key=wanted.__getitem__)
            heights = np.array([wanted[stop] for stop in some])
            apart = np.arange(len(some))
            spread = np.maximum.accumulate(heights - apart) + apart
            row.update(zip(some, spread - np.mean(spread - heights), strict=True))
    lowest = min(row.values())
    return {stop: float(height - lowest) for stop, height in row.items()}
