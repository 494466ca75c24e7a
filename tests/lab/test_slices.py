"""Slices: what lies in a plane is shown as it is, and of what does not it is said how much is hidden."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest

from tinygpt import SGD
from tinygpt.lab.networks import losses_at, outputs_at, sine, tanh_net, train, weights_of
from tinygpt.lab.slices import Plane, filter_normalised, pca_plane, random_plane, shadow, surface_of

ROUNDING = 1e-9  # of projections: some fifty products, and the inverse of a 2 × 2 matrix
DATA = sine()


def random_path(records: int, numbers: int, seed: int = 0) -> Any:
    return np.cumsum(np.random.default_rng(seed).normal(size=(records, numbers)), axis=0)


def path_in_a_plane(seed: int = 0) -> tuple[Any, Any, Any]:
    """A path of weights of a net in a plane, with the plane's two directions."""
    net = tanh_net(4, seed)
    rng = np.random.default_rng(seed)
    directions, _ = np.linalg.qr(rng.normal(size=(13, 2)))
    return net, weights_of(net) + np.cumsum(rng.normal(size=(30, 2)), axis=0) @ directions.T, directions.T


@cache
def trained(seed: int = 0) -> tuple[Any, Any]:
    net = tanh_net(8, seed)
    return net, train(net, DATA, partial(SGD, learning_rate=0.2), 300).weights


# --- planes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [pca_plane, lambda path: Plane(path[0], np.stack([path[1], path[2] + path[1]]))])
def test_the_nearest_place_to_a_point_of_the_plane_is_its_own(make: Any) -> None:
    plane = make(random_path(10, 6))
    places = np.random.default_rng(1).normal(size=(7, 2))
    np.testing.assert_allclose(plane.nearest(plane.at(*places.T)), places, atol=ROUNDING)


def test_what_a_plane_leaves_out_is_at_right_angles_to_it() -> None:
    path = random_path(20, 9)
    plane = Plane(path[3], path[4:6] - path[3])  # directions that are neither long nor upright
    off = path - plane.at(*plane.nearest(path).T)
    np.testing.assert_allclose(off @ plane.directions.T, 0, atol=ROUNDING)


def test_places_may_be_a_grid() -> None:
    plane = pca_plane(random_path(10, 6))
    x, y = np.meshgrid(np.arange(4.0), np.arange(3.0))
    assert plane.at(x, y).shape == (3, 4, 6)
    np.testing.assert_allclose(plane.at(x, y)[2, 1], plane.at(1.0, 2.0), atol=ROUNDING)


# --- PCA --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_path_that_lies_in_a_plane_is_explained_wholly_and_without_a_gap(seed: int) -> None:
    net, path, _ = path_in_a_plane(seed)
    cast = shadow(pca_plane(path), net, DATA, path)
    assert cast.explained == pytest.approx(1, abs=ROUNDING)
    np.testing.assert_allclose(cast.gaps, 0, atol=ROUNDING)


@pytest.mark.parametrize("seed", range(3))
def test_the_directions_are_upright_and_of_length_one(seed: int) -> None:
    directions = pca_plane(random_path(20, 7, seed)).directions
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=ROUNDING)


@pytest.mark.parametrize("seed", range(3))
def test_no_other_plane_explains_more(seed: int) -> None:
    net, path = tanh_net(4), random_path(40, 13, seed)
    best = shadow(pca_plane(path), net, DATA, path).explained
    others = [
        shadow(Plane(path.mean(axis=0), np.random.default_rng(i).normal(size=(2, 13))), net, DATA, path).explained
        for i in range(10)
    ]
    assert max(others) < best


def test_the_share_explained_is_that_of_the_two_largest_variances() -> None:
    net, path = tanh_net(4), random_path(40, 13)
    variances = np.linalg.eigvalsh(np.cov(path.T))[::-1]
    explained = shadow(pca_plane(path), net, DATA, path).explained
    assert explained == pytest.approx(variances[:2].sum() / variances.sum(), rel=ROUNDING)


def test_a_pure_random_walk_seems_to_be_explained_by_two_directions() -> None:
    path = random_path(60, 1500)
    spread = np.linalg.svd(path - path.mean(axis=0), compute_uv=False) ** 2
    plane = pca_plane(path)
    kept = np.var(plane.nearest(path), axis=0).sum() / np.var(path, axis=0).sum()
    assert kept == pytest.approx(spread[:2].sum() / spread.sum(), rel=ROUNDING)
    assert kept == pytest.approx((1 + 1 / 4) * 6 / np.pi**2, abs=0.03)  # Antognini and Sohl-Dickstein 2018: 1/k² each


def test_a_path_ends_ahead_of_its_middle_whatever_the_signs_of_svd() -> None:
    path = random_path(20, 7)
    for each in (path, 2 * path.mean(axis=0) - path):
        plane = pca_plane(each)
        assert np.all(plane.nearest(each)[-1] >= 0)


@pytest.mark.parametrize("records", [1, 2])
def test_the_shortest_paths_have_a_plane_too(records: int) -> None:
    net = tanh_net(4)
    path = weights_of(net) + random_path(records, 13)
    cast = shadow(pca_plane(path), net, DATA, path)
    assert cast.explained == pytest.approx(1, abs=ROUNDING)
    np.testing.assert_allclose(cast.losses, cast.true_losses, atol=ROUNDING)


# --- random slices ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_filter_normalisation_keeps_the_norm_of_every_neuron(seed: int) -> None:
    net = tanh_net(6, seed)
    direction = filter_normalised(net, weights_of(net), np.random.default_rng(seed))
    first, bias, second, last = np.split(direction, np.cumsum([p.size for p in net.parameters()])[:-1])
    w1, b1, w2, b2 = (p.data for p in net.parameters())
    np.testing.assert_allclose(np.abs(first), np.abs(w1[0]), rtol=ROUNDING)  # one input: each neuron is one number
    np.testing.assert_allclose(np.abs(bias), np.abs(b1), rtol=ROUNDING)
    assert np.linalg.norm(second) == pytest.approx(np.linalg.norm(w2), rel=ROUNDING)
    assert abs(last[0]) == pytest.approx(abs(b2[0]), rel=ROUNDING)


def test_a_direction_grows_with_the_neurons_it_belongs_to() -> None:
    net, net_of_larger = tanh_net(6), tanh_net(6)
    net_of_larger.layers[1].weight.data = 10 * net_of_larger.layers[1].weight.data
    one, ten = (filter_normalised(each, weights_of(each), np.random.default_rng(0)) for each in (net, net_of_larger))
    np.testing.assert_allclose(ten / one, np.repeat([1, 1, 10, 1], [6, 6, 6, 1]), rtol=ROUNDING)


def test_the_random_slice_goes_through_the_weights_given() -> None:
    net, path = trained()
    plane = random_plane(net, path[-1], seed=3)
    np.testing.assert_array_equal(plane.at(0.0, 0.0), path[-1])
    assert shadow(plane, net, DATA, path).gaps[-1] == pytest.approx(0, abs=ROUNDING)


def test_other_seeds_give_other_slices_and_the_same_seed_the_same() -> None:
    net, path = trained()
    one, same, other = (random_plane(net, path[-1], seed).directions for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.allclose(one, other)


# --- shadows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda net, path: pca_plane(path), lambda net, path: random_plane(net, path[-1])])
def test_a_shadow_tells_the_losses_of_the_plane_and_of_the_path(make: Any) -> None:
    net, path = trained()
    plane = make(net, path)
    cast = shadow(plane, net, DATA, path)
    np.testing.assert_array_equal(cast.true_losses, losses_at(net, DATA, path))
    np.testing.assert_array_equal(cast.losses, losses_at(net, DATA, plane.at(*cast.points.T)))
    assert 0 < cast.explained < 1
    assert cast.gaps.max() > 1e-3


def test_the_surface_of_a_plane_is_the_loss_at_its_points() -> None:
    net, path = trained()
    plane = pca_plane(path)
    cast = shadow(plane, net, DATA, path)
    surface = surface_of(plane, net, DATA, cast.points)
    np.testing.assert_allclose(surface.values(*cast.points.T), cast.losses, rtol=ROUNDING)


def test_the_surface_has_room_for_all_of_the_path() -> None:
    net, path = trained()
    plane = pca_plane(path)
    points = shadow(plane, net, DATA, path).points
    (left, right), (bottom, top) = surface_of(plane, net, DATA, points).bounds
    assert np.all((points > (left, bottom)) & (points < (right, top)))


def test_nets_on_a_slice_answer_as_their_weights_say() -> None:
    net, path = trained()
    answers = outputs_at(net, DATA.x, path)
    np.testing.assert_allclose(0.5 * np.mean((answers - DATA.y[:, 0]) ** 2, axis=1), losses_at(net, DATA, path))
