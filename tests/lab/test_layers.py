"""Layers: every edge leads on, and nobody stands on another."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygpt.lab.charts.layers import layers

LAWS = settings(max_examples=40)
APART = 1 - 1e-9  # rows are distances of 1, but for rounding


@st.composite
def graphs(draw: st.DrawFn) -> list[tuple[int, ...]]:
    """Up to twelve nodes, each with up to three earlier ones as sources."""
    size = draw(st.integers(1, 12))
    return [tuple(draw(st.lists(st.integers(0, i - 1), max_size=3)) if i else ()) for i in range(size)]


@LAWS
@given(graphs())
def test_every_node_stands_right_of_its_sources(sources: list[tuple[int, ...]]) -> None:
    column = layers(sources).places[:, 0]
    assert all(column[source] < column[node] for node, own in enumerate(sources) for source in own)


@LAWS
@given(graphs())
def test_nodes_of_one_column_keep_a_distance(sources: list[tuple[int, ...]]) -> None:
    places = layers(sources).places
    assert all(abs(a[1] - b[1]) > APART for a, b in combinations(places, 2) if a[0] == b[0])


@LAWS
@given(graphs())
def test_an_edge_goes_from_its_source_to_its_node_by_every_column_between(sources: list[tuple[int, ...]]) -> None:
    found = layers(sources)
    for node, own in enumerate(sources):
        for which, source in enumerate(own):
            route = found.routes[node, which]
            np.testing.assert_array_equal(route[[0, -1]], found.places[[source, node]])
            np.testing.assert_array_equal(np.diff(route[:, 0]), 1)


@LAWS
@given(graphs())
def test_an_edge_passes_no_node(sources: list[tuple[int, ...]]) -> None:
    found = layers(sources)
    for route in found.routes.values():
        for stop in route[1:-1]:
            assert all(abs(stop[1] - place[1]) > APART for place in found.places if place[0] == stop[0])


@LAWS
@given(graphs())
def test_all_of_it_is_as_large_as_it_says(sources: list[tuple[int, ...]]) -> None:
    found = layers(sources)
    stops = np.concatenate([found.places, *found.routes.values()])
    assert stops.min() == 0
    assert stops[:, 0].max() + 1 == found.columns
    assert stops[:, 1].max() + 1 == pytest.approx(found.rows)


def test_a_chain_is_a_straight_line() -> None:
    assert layers([(), (0,), (1,), (2,)]).places.tolist() == [[0, 0], [1, 0], [2, 0], [3, 0]]


def test_a_leaf_stands_next_to_its_first_user() -> None:
    assert layers([(), (0,), (1,), (), (2, 3)]).places[3, 0] == 2
