"""Surfaces: what the tables say of them, and what anything passed for a surface must do."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from tinygpt import Tensor
from tinygpt.lab.surfaces import SURFACES, Surface, as_surface, quadratic

SIX_DIGITS = 2e-6  # minima are printed to six digits, and the step at x = 1 pushes the cliff's by 1.6e-6
SLOPE_TOLERANCE = 1e-6  # central differences of step 1e-5 lose half of sixteen digits, relative to the largest slope
CURVATURE_TOLERANCE = 1e-6  # differences of slopes over 1e-4 err by its square times a fourth derivative, and rounding
SAME_DEPTH = 1e-9  # a loss this close to the lowest is a lowest one: six digits of position cost h · 1e-12
SAME_PLACE = 2e-3  # and is then this close to a minimum even where the curvature is only .04, as on Matyas
ROUNDING = 1e-12  # of a few dozen operations, relative

REQUIRED = {
    *("quadratic", "rosenbrock", "gentle_rosenbrock", "beale", "himmelblau", "styblinski_tang", "rastrigin"),
    *("ackley", "booth", "matyas", "saddle", "plateau", "cliff"),
}
DEPTHS = {  # the published values at the minima, where they are not zero
    "styblinski_tang": -78.332331,
    "goldstein_price": math.log(3),
    "mccormick": -1.913223,
    "six_hump_camel": -1.031628,
    "saddle": -0.25,
    "monkey_saddle": -54.0,
}
POINTS = {  # values worked out by hand, away from the minima
    "quadratic": ((1, 2), 0.5 + 20),
    "rosenbrock": ((2, 1), 1 + 900),
    "gentle_rosenbrock": ((2, 1), 1 + 90),
    "beale": ((0, 5), 2.25 + 5.0625 + 6.890625),
    "himmelblau": ((0, 1), 100 + 36),
    "styblinski_tang": ((1, -1), -10 - 20 + 15),
    "rastrigin": ((0.5, 1), 20.25 + 1),
    "ackley": ((1, -1), 20 - 20 * math.exp(-0.2)),
    "booth": ((0, 0), 49 + 25),
    "matyas": ((1, -1), 1.0),
    "goldstein_price": ((0, 0), math.log(20 * 30)),
    "mccormick": ((0, 0), 1.0),
    "six_hump_camel": ((1, -1), 1.9 + 1 / 3 - 1),
    "three_hump_camel": ((1, -1), 0.95 + 1 / 6),
    "levy": ((1, 5), 1.0),
    "saddle": ((2, 1), 2.5),
    "monkey_saddle": ((1, 1), -1.5),
    "plateau": ((1, 1), 1 - math.exp(-1) + 0.002),
    "cliff": ((1, 2), 20.7),
}
every_surface = pytest.mark.parametrize("name", SURFACES)


def scattered(surface: Surface, n: int = 40) -> tuple[Any, Any]:
    """Points all over the surface."""
    x, y = np.random.default_rng(1).uniform(*np.transpose(surface.bounds), (n, 2)).T
    return x, y


@cache
def valleys(surface: Surface, n: int = 121) -> list[tuple[float, float, float]]:
    """Every local minimum on a grid, followed down through ever finer grids: x, y, loss."""
    xs, ys, loss = surface.grid(n)
    around = np.pad(loss, 1, constant_values=np.inf)
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    low = np.all([loss <= around[i : i + n, j : j + n] for i, j in shifts], axis=0)
    x, y = xs[np.nonzero(low)[1]], ys[np.nonzero(low)[0]]
    offsets = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * 2), axis=-1).reshape(-1, 2)
    width = np.array([xs[1] - xs[0], ys[1] - ys[0]])
    for _ in range(25):
        near = np.stack([x, y], axis=-1)[:, None] + width * offsets  # (valleys, 81, 2)
        best = np.argmin(surface.values(near[..., 0], near[..., 1]), axis=1)
        x, y = near[np.arange(len(x)), best].T
        width = width / 2
    return list(zip(x, y, surface.values(x, y), strict=True))


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_required_surfaces_are_there() -> None:
    assert set(SURFACES) >= REQUIRED


def test_every_surface_has_a_value_worked_out_by_hand() -> None:
    assert set(POINTS) == set(SURFACES)


def test_no_two_surfaces_share_a_name() -> None:
    assert len({surface.name for surface in SURFACES.values()}) == len(SURFACES)


@every_surface
def test_a_surface_names_its_source_and_its_minima(name: str) -> None:
    assert SURFACES[name].source
    assert SURFACES[name].minima


@every_surface
def test_the_formula_gives_the_value_worked_out_by_hand(name: str) -> None:
    point, value = POINTS[name]
    assert SURFACES[name].values(*map(float, point)) == pytest.approx(value, rel=ROUNDING)


@every_surface
def test_the_lowest_loss_is_the_published_one(name: str) -> None:
    assert SURFACES[name].lowest == pytest.approx(DEPTHS.get(name, 0.0), abs=SIX_DIGITS)


@every_surface
def test_the_start_and_the_minima_lie_within_the_bounds(name: str) -> None:
    surface = SURFACES[name]
    low, high = np.transpose(surface.bounds)
    places = np.array([surface.start, *surface.minima])
    assert np.all((low <= places) & (places <= high))


@every_surface
def test_all_minima_are_equally_low(name: str) -> None:
    values = [float(SURFACES[name].values(*minimum)) for minimum in SURFACES[name].minima]
    assert np.ptp(values) <= SAME_DEPTH


@every_surface
def test_nothing_is_lower_than_the_minima(name: str) -> None:
    surface = SURFACES[name]
    assert min(loss for _, _, loss in valleys(surface)) >= surface.lowest - SAME_DEPTH


@every_surface
def test_every_lowest_point_is_listed_among_the_minima(name: str) -> None:
    surface = SURFACES[name]
    found = [(x, y) for x, y, loss in valleys(surface) if loss <= surface.lowest + SAME_DEPTH]
    assert {min(surface.minima, key=lambda m, p=p: math.dist(m, p)) for p in found} == set(surface.minima)
    assert max(min(math.dist(m, p) for m in surface.minima) for p in found) <= SAME_PLACE


@every_surface
def test_the_minima_are_lower_than_all_around_them(name: str) -> None:
    surface = SURFACES[name]
    angle = np.linspace(0, 2 * np.pi, 72)
    for x, y in surface.minima:
        assert surface.values(x, y) < np.min(surface.values(x + 0.01 * np.cos(angle), y + 0.01 * np.sin(angle)))


@pytest.mark.parametrize("name", set(SURFACES) - {"ackley"})  # whose minimum is the tip of a cone
def test_the_gradient_vanishes_at_the_minima(name: str) -> None:
    surface = SURFACES[name]
    x, y = np.transpose(surface.minima)
    steepest = np.max(surface.curvatures(x, y))
    assert np.max(np.abs(surface.slopes(x, y)[1])) <= SIX_DIGITS * steepest


def test_the_gradient_at_ackleys_tip_points_nowhere_but_outwards_beside_it() -> None:
    angle = np.linspace(0, 2 * np.pi, 12)
    x, y = 1e-6 * np.cos(angle), 1e-6 * np.sin(angle)
    gradients = SURFACES["ackley"].slopes(x, y)[1]
    outwards = 20 * 0.2 / math.sqrt(2)  # the cone's slope
    assert np.einsum("ij,ij->i", gradients, np.stack([x, y], -1) / 1e-6) == pytest.approx(outwards, rel=1e-4)


@every_surface
def test_the_gradient_equals_central_differences(name: str) -> None:
    surface, step = SURFACES[name], 1e-5
    x, y = scattered(surface)
    by_x = surface.values(x + step, y) - surface.values(x - step, y)
    by_y = surface.values(x, y + step) - surface.values(x, y - step)
    measured, gradients = np.stack([by_x, by_y], axis=-1) / (2 * step), surface.slopes(x, y)[1]
    assert np.max(np.abs(gradients - measured)) <= SLOPE_TOLERANCE * np.max(np.abs(measured))


@every_surface
def test_the_loss_of_many_points_is_the_loss_of_each(name: str) -> None:
    surface = SURFACES[name]
    x, y = scattered(surface)
    one_by_one = [float(surface.values(a, b)) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(surface.values(x, y), one_by_one, rtol=ROUNDING)


@every_surface
def test_the_gradient_of_many_points_is_the_gradient_of_each(name: str) -> None:
    surface = SURFACES[name]
    x, y = scattered(surface)
    one_by_one = np.array([surface.slopes(a, b)[1] for a, b in zip(x, y, strict=True)])
    np.testing.assert_allclose(surface.slopes(x, y)[1], one_by_one, rtol=ROUNDING, atol=ROUNDING)


@every_surface
def test_slopes_and_values_give_the_same_loss(name: str) -> None:
    surface = SURFACES[name]
    np.testing.assert_array_equal(surface.slopes(*scattered(surface))[0], surface.values(*scattered(surface)))


@every_surface
def test_the_grid_runs_over_the_bounds_row_by_row_in_y(name: str) -> None:
    surface = SURFACES[name]
    x, y, loss = surface.grid(5)
    assert ((x[0], x[-1]), (y[0], y[-1])) == surface.bounds
    assert loss[1, 3] == pytest.approx(float(surface.values(x[3], y[1])), rel=ROUNDING)


# --- curvatures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [0, 30, 45, 90, -120])
@pytest.mark.parametrize("kappa", [0.5, 1, 10, 1000])
def test_a_ravine_has_curvatures_one_and_kappa_everywhere_at_every_angle(kappa: float, theta: float) -> None:
    surface = quadratic(kappa, theta)
    expected = np.broadcast_to(sorted((1, kappa)), (40, 2))
    np.testing.assert_allclose(surface.curvatures(*scattered(surface)), expected, atol=CURVATURE_TOLERANCE * kappa)


def test_rosenbrocks_curvatures_are_the_eigenvalues_of_its_hessian() -> None:
    x, y = scattered(SURFACES["rosenbrock"])
    hessians = np.array([[2 - 400 * (y - 3 * x**2), -400 * x], [-400 * x, np.full_like(x, 200)]])
    expected = np.linalg.eigvalsh(hessians.transpose(2, 0, 1))
    found = SURFACES["rosenbrock"].curvatures(x, y)
    np.testing.assert_allclose(found, expected, atol=CURVATURE_TOLERANCE * np.max(np.abs(expected)))


def test_curvatures_keep_the_shape_of_the_positions() -> None:
    shapes = [SURFACES["booth"].curvatures(np.zeros(shape), np.zeros(shape)).shape for shape in [(), (3,), (4, 5)]]
    assert shapes == [(2,), (3, 2), (4, 5, 2)]


# --- the ravine -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("theta", [15, 45, 90, 200])
def test_the_start_turns_with_the_ravine(theta: float) -> None:
    start = complex(*quadratic(10, theta).start)
    unturned = start * np.exp(-1j * np.radians(theta))
    assert unturned == pytest.approx(-2.5 + 0.5j, rel=ROUNDING)


@pytest.mark.parametrize("theta", [15, 45, 90, 200])
def test_turning_the_ravine_leaves_the_loss_at_the_start(theta: float) -> None:
    turned, straight = quadratic(30, theta), quadratic(30)
    assert turned.values(*turned.start) == pytest.approx(float(straight.values(*straight.start)), rel=ROUNDING)


# --- what passes for a surface ----------------------------------------------------------------------------------------


def test_a_surface_is_itself() -> None:
    surface = quadratic(3)
    assert as_surface(surface) is surface


@every_surface
def test_a_name_finds_its_surface(name: str) -> None:
    assert as_surface(name) is SURFACES[name]


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"surface must be one of quadratic, rosenbrock, .*, got 'rosenbrok'"):
        as_surface("rosenbrok")


@pytest.mark.parametrize("thing", [3, None, (1.0, 2.0), np.zeros((3, 3))])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match=f"surface must be a Surface, a name or a function.*{type(thing).__name__}"):
        as_surface(thing)


def test_a_function_gives_its_name_to_its_surface() -> None:
    def deep_bowl(x: Any, y: Any) -> Any:
        return x * x + y * y

    assert as_surface(deep_bowl).name == "deep bowl"


class Bowl:
    """A loss that is an object."""

    def __call__(self, x: Any, y: Any) -> Any:
        return x * x + y * y


@pytest.mark.parametrize("loss", [lambda x, y: x * x + y * y, Bowl(), Bowl().__call__])
def test_whatever_can_be_called_is_a_surface(loss: Any) -> None:
    assert as_surface(loss).values(1.0, 2.0) == 5


@pytest.mark.parametrize(
    ("loss", "value", "gradient"),
    [
        (lambda x, y: np.sin(x) + np.exp(y), math.sin(0.5) + math.e**2, (math.cos(0.5), math.e**2)),
        (lambda x, y: np.float64(3) * x * y, 3.0, (6.0, 1.5)),
        (lambda x, y: np.maximum(x, y) ** 2, 4.0, (0.0, 4.0)),
        (lambda x, y: np.power(y, 3), 8.0, (0.0, 12.0)),
        (lambda x, y: abs(x) + np.abs(y), 2.5, (1.0, 1.0)),
    ],
    ids=["sin-and-exp", "numpy-numbers", "maximum", "power", "abs"],
)
def test_numpys_functions_work_in_a_loss(loss: Any, value: float, gradient: tuple[float, float]) -> None:
    found = as_surface(loss).slopes(np.array([0.5]), np.array([2.0]))
    assert (found[0][0], *found[1][0]) == pytest.approx((value, *gradient), rel=ROUNDING)


@pytest.mark.parametrize(
    ("loss", "gradient"),
    [
        (lambda x, y: x * x, (3.0, 0.0)),
        (lambda x, y: y * y, (0.0, 4.0)),
        (lambda x, y: 7.0, (0.0, 0.0)),
        (lambda x, y: Tensor(7.0), (0.0, 0.0)),
        (lambda x, y: x * 0 + 7, (0.0, 0.0)),
    ],
    ids=["y", "x", "both", "both-as-tensor", "both-in-effect"],
)
def test_a_loss_may_ignore_a_coordinate(loss: Any, gradient: tuple[float, float]) -> None:
    surface = as_surface(loss)
    np.testing.assert_array_equal(surface.slopes(np.full(3, 1.5), np.full(3, 2.0))[1], [gradient] * 3)
    assert surface.grid(4)[2].shape == (4, 4)


def test_the_lowest_of_an_unknown_surface_is_the_lowest_on_the_grid() -> None:
    surface = as_surface(lambda x, y: (x - 2) ** 2 + y * 0)
    assert surface.lowest == 0


@pytest.mark.parametrize(
    "loss",
    [lambda x, y: x.log() ** 2 + y * y, lambda x, y: 1 / (x * x - 4) ** 2 + y * y],
    ids=["not-a-number", "infinite"],
)
def test_holes_in_an_unknown_surface_do_not_hide_its_lowest(loss: Any) -> None:
    assert np.isfinite(as_surface(loss).lowest)


def test_a_surface_may_be_written_with_lists() -> None:
    assert hash(Surface("lists", lambda x, y: x * y, [1, 2], [[0, 0]], [[-1, 1], [-1, 1]]))  # pictures are kept by it


def test_a_loss_that_sums_over_the_places_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the loss of .* must have the shape of x, \(4,\), got \(1,\): take no sum$"):
        as_surface(lambda x, y: (x + y).reshape(-1, 1).sum(0)).values(np.zeros(4), np.zeros(4))
