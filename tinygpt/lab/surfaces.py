"""Surfaces: hills of two coordinates for optimizers to walk on.

`loss(x, y)` is written once, with Tensor operations, and serves both the contours and the gradients. It is elementwise:
x and y may be single numbers, a grid, or the positions of many optimizers at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from numbers import Real
from typing import Any

import numpy as np

from tinygpt.tensor import Tensor, no_grad

Point = tuple[float, float]
Loss = Callable[[Any, Any], Any]

_LIBRARY = "Surjanovic and Bingham 2013, Virtual Library of Simulation Experiments. https://www.sfu.ca/~ssurjano/"


@dataclass(frozen=True)
class Surface:
    """A loss of x and y, with what a figure and a test need to know of it.

    `start` is a telling place to begin; `minima` holds every lowest point in `bounds`, ((x0, x1), (y0, y1));
    `gradient_noise(rng)`, where there is some, draws what a mini-batch would add to the gradient.
    """

    name: str
    loss: Loss
    start: Point
    minima: tuple[Point, ...] = ()
    bounds: tuple[Point, Point] = ((-2.0, 2.0), (-2.0, 2.0))
    source: str = ""
    gradient_noise: Callable[[np.random.Generator], Any] | None = None

    def __post_init__(self) -> None:
        """Lists serve as well as tuples, but would make a surface no key."""
        for name in ("start", "minima", "bounds"):
            object.__setattr__(self, name, _tuples(getattr(self, name)))

    @cached_property
    def lowest(self) -> float:
        """The loss at the minima; where none is known, the lowest on a grid over the bounds."""
        values = np.array([self.values(x, y) for x, y in self.minima] or self.grid()[2])
        return float(np.min(values, where=np.isfinite(values), initial=np.inf)) if np.isfinite(values).any() else 0.0

    def values(self, x: Any, y: Any) -> Any:
        """The loss at arrays of positions."""
        with no_grad(), np.errstate(all="ignore"):  # a surface may be infinite, or nowhere, at some places
            x, y = Tensor(x), Tensor(y)
            return np.asarray(_as_array(self._given(self.loss(x, y), np.broadcast_shapes(x.shape, y.shape))))

    def slopes(self, x: Any, y: Any) -> tuple[Any, Any]:
        """The losses (…) and their gradients (…, 2) at arrays of positions (…), from the tape."""
        here = Tensor(x, float, requires_grad=True), Tensor(y, float, requires_grad=True)
        loss = self._given(self.loss(*here), here[0].shape)
        if isinstance(loss, Tensor) and loss.requires_grad:
            loss.backward(_ones(loss.shape))
        gradients = np.zeros((*here[0].shape, 2))
        for axis, position in enumerate(here):
            if position.grad is not None:
                gradients[..., axis] = position.grad
        return _as_array(loss), gradients

    def _given(self, loss: Any, shape: tuple[int, ...]) -> Any:
        """What the reader's function gave, if that can be the loss at positions of this shape.

        Raises: TypeError or ValueError if it cannot.
        """
        if not isinstance(loss, (Tensor, np.ndarray, Real)):
            name = type(loss).__name__
            raise TypeError(f"the loss of {self.name} must be a Tensor made of x and y, got {name}: return x * x, say")
        if np.shape(_as_array(loss)) not in ((), shape):
            found = np.shape(_as_array(loss))
            raise ValueError(f"the loss of {self.name} must have the shape of x, {shape}, got {found}: take no sum")
        return loss

    def curvatures(self, x: Any, y: Any, step: float = 1e-4) -> Any:
        """The Hessian's eigenvalues at arrays of positions, the larger last, by central differences of the slopes.

        Shapes: x, y (…) → (…, 2).
        """
        x, y = np.asarray(x, float), np.asarray(y, float)
        _, g = self.slopes(np.stack([x + step, x - step, x, x]), np.stack([y, y, y + step, y - step]))
        by_x, by_y = (g[0] - g[1]) / (2 * step), (g[2] - g[3]) / (2 * step)  # rows of the Hessian, (…, 2)
        hxx, hxy, hyy = by_x[..., 0], (by_x[..., 1] + by_y[..., 0]) / 2, by_y[..., 1]
        middle, spread = (hxx + hyy) / 2, np.hypot((hxx - hyy) / 2, hxy)
        return np.stack([middle - spread, middle + spread], axis=-1)

    def grid(self, n: int = 120) -> tuple[Any, Any, Any]:
        """x (n,), y (n,) and the losses (n, n), row by row in y, over the bounds."""
        x, y = (np.linspace(low, high, n) for low, high in self.bounds)
        return x, y, np.broadcast_to(self.values(*np.meshgrid(x, y)), (n, n))


@lru_cache
def _ones(shape: tuple[int, ...]) -> Any:
    return np.ones(shape)


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, (list, tuple)) else value


def _as_array(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def as_surface(surface: Surface | str | Loss) -> Surface:
    """A Surface; or the one of that name; or a plain function of x and y made into one.

    Raises: ValueError for a name that is not in SURFACES; TypeError for anything else.
    """
    if isinstance(surface, Surface):
        return surface
    if isinstance(surface, str):
        if surface not in SURFACES:
            raise ValueError(f"surface must be one of {', '.join(SURFACES)}, got {surface!r}")
        return SURFACES[surface]
    if not callable(surface):
        raise TypeError(f"surface must be a Surface, a name or a function of x and y, got {type(surface).__name__}")
    name = getattr(surface, "__name__", type(surface).__name__)
    return Surface("your surface" if name == "<lambda>" else name.replace("_", " "), surface, (-1.5, 1.0))


def quadratic(kappa: float = 10.0, theta: float = 0.0) -> Surface:
    """A ravine: ½ (h₁ u² + h₂ v²) with curvatures h₁ = 1 and h₂ = κ along axes u, v that are turned by θ (in degrees).

    The start turns with the ravine, so that θ changes nothing but the angle to the coordinates.
    """
    c, s = math.cos(math.radians(theta)), math.sin(math.radians(theta))

    def loss(x: Any, y: Any) -> Any:
        u, v = c * x + s * y, c * y - s * x
        return 0.5 * (u * u + kappa * (v * v))

    start = (-2.5 * c - 0.5 * s, 0.5 * c - 2.5 * s)
    return Surface("quadratic ravine", loss, start, ((0.0, 0.0),), ((-3.0, 3.0), (-3.0, 3.0)), "½xᵀRΛRᵀx")


def _rosenbrock(b: float) -> Loss:
    return lambda x, y: (1 - x) ** 2 + b * (y - x * x) ** 2


def _beale(x: Any, y: Any) -> Any:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _himmelblau(x: Any, y: Any) -> Any:
    return (x * x + y - 11) ** 2 + (x + y * y - 7) ** 2


def _styblinski_tang(x: Any, y: Any) -> Any:
    return 0.5 * (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y)


def _rastrigin(x: Any, y: Any) -> Any:
    return 20 + x * x - 10 * (2 * np.pi * x).cos() + y * y - 10 * (2 * np.pi * y).cos()


def _ackley(x: Any, y: Any) -> Any:
    hills = ((2 * np.pi * x).cos() + (2 * np.pi * y).cos()) * 0.5
    return 20 + math.e - 20 * (-0.2 * (0.5 * (x * x + y * y)).sqrt()).exp() - hills.exp()


def _booth(x: Any, y: Any) -> Any:
    return (x + 2 * y - 7) ** 2 + (2 * x + y - 5) ** 2


def _matyas(x: Any, y: Any) -> Any:
    return 0.26 * (x * x + y * y) - 0.48 * x * y


def _goldstein_price(x: Any, y: Any) -> Any:
    a = (x + y + 1) ** 2 * (19 - 14 * x + 3 * x * x - 14 * y + 6 * x * y + 3 * y * y)
    b = (2 * x - 3 * y) ** 2 * (18 - 32 * x + 12 * x * x + 48 * y - 36 * x * y + 27 * y * y)
    return ((1 + a) * (30 + b)).log()


def _mccormick(x: Any, y: Any) -> Any:
    return (x + y).sin() + (x - y) ** 2 - 1.5 * x + 2.5 * y + 1


def _six_hump_camel(x: Any, y: Any) -> Any:
    x2, y2 = x * x, y * y
    return (4 - 2.1 * x2 + x2 * x2 / 3) * x2 + x * y + (4 * y2 - 4) * y2


def _three_hump_camel(x: Any, y: Any) -> Any:
    x2 = x * x
    return 2 * x2 - 1.05 * x2 * x2 + x2 * x2 * x2 / 6 + x * y + y * y


def _levy(x: Any, y: Any) -> Any:
    a, b = 1 + (x - 1) / 4, 1 + (y - 1) / 4
    first = (np.pi * a).sin() ** 2 + (a - 1) ** 2 * (1 + 10 * (np.pi * a + 1).sin() ** 2)
    return first + (b - 1) ** 2 * (1 + (2 * np.pi * b).sin() ** 2)


def _saddle(x: Any, y: Any) -> Any:
    return x**4 / 4 - x**2 / 2 + y**2 / 2


def _monkey_saddle(x: Any, y: Any) -> Any:
    r2 = x * x + y * y
    return x**3 - 3 * x * y * y + r2 * r2 / 8


def _plateau(x: Any, y: Any) -> Any:
    r2 = x * x + y * y
    return 1 - (-0.5 * r2).exp() + 0.001 * r2


def _cliff(x: Any, y: Any) -> Any:
    return 0.5 * x * x + 0.05 * y * y + 40 * (20 * (x - 1)).sigmoid()


def _square(half: float) -> tuple[Point, Point]:
    return ((-half, half), (-half, half))


_ROSENBROCK = "Rosenbrock 1960, An automatic method for finding the greatest or least value. 10.1093/comjnl/3.3.175"
_HIMMELBLAU = ((3.0, 2.0), (-2.805118, 3.131312), (-3.779310, -3.283186), (3.584428, -1.848126))
_SIX_HUMP = ((0.089842, -0.712656), (-0.089842, 0.712656))
_MONKEY = tuple((6 * math.cos(a), 6 * math.sin(a)) for a in (math.pi, math.pi / 3, -math.pi / 3))

SURFACES: dict[str, Surface] = {
    "quadratic": quadratic(),
    "rosenbrock": Surface(
        "Rosenbrock", _rosenbrock(100), (-1.2, 1.0), ((1.0, 1.0),), ((-2.0, 2.0), (-1.0, 3.0)), _ROSENBROCK
    ),
    "gentle_rosenbrock": Surface(
        "gentle Rosenbrock", _rosenbrock(10), (-1.2, 1.0), ((1.0, 1.0),), ((-2.0, 2.0), (-1.0, 3.0)), _ROSENBROCK
    ),
    "beale": Surface("Beale", _beale, (1.0, 1.0), ((3.0, 0.5),), _square(4.5), _LIBRARY),
    "himmelblau": Surface("Himmelblau", _himmelblau, (-0.27, -0.92), _HIMMELBLAU, _square(5.0), _LIBRARY),
    "styblinski_tang": Surface(
        "Styblinski–Tang", _styblinski_tang, (0.2, 0.6), ((-2.903534, -2.903534),), _square(5.0), _LIBRARY
    ),
    "rastrigin": Surface("Rastrigin", _rastrigin, (-2.0, 3.5), ((0.0, 0.0),), _square(5.12), _LIBRARY),
    "ackley": Surface("Ackley", _ackley, (2.5, -1.7), ((0.0, 0.0),), _square(5.0), _LIBRARY),
    "booth": Surface("Booth", _booth, (-7.0, 6.0), ((1.0, 3.0),), _square(10.0), _LIBRARY),
    "matyas": Surface("Matyas", _matyas, (-8.0, 3.0), ((0.0, 0.0),), _square(10.0), _LIBRARY),
    "goldstein_price": Surface(
        "Goldstein–Price (log)", _goldstein_price, (-1.5, 0.5), ((0.0, -1.0),), _square(2.0), _LIBRARY
    ),
    "mccormick": Surface(
        "McCormick", _mccormick, (3.0, -2.0), ((-0.547198, -1.547198),), ((-1.5, 4.0), (-3.0, 4.0)), _LIBRARY
    ),
    "six_hump_camel": Surface(
        "six-hump camel", _six_hump_camel, (1.1, 0.4), _SIX_HUMP, ((-2.0, 2.0), (-1.0, 1.0)), _LIBRARY
    ),
    "three_hump_camel": Surface(
        "three-hump camel", _three_hump_camel, (-1.0, 1.4), ((0.0, 0.0),), _square(2.0), _LIBRARY
    ),
    "levy": Surface("Lévy", _levy, (-6.0, 4.0), ((1.0, 1.0),), _square(10.0), _LIBRARY),
    "saddle": Surface(
        "saddle", _saddle, (1e-6, 1.5), ((1.0, 0.0), (-1.0, 0.0)), _square(2.0), "x⁴/4 − x²/2 + y²/2, bounded below"
    ),
    "monkey_saddle": Surface(
        "monkey saddle", _monkey_saddle, (0.5, 0.1), _MONKEY, _square(7.0), "x³ − 3xy² + r⁴/8, bounded below"
    ),
    "plateau": Surface("plateau", _plateau, (-4.0, 2.5), ((0.0, 0.0),), _square(5.0), "1 − e^(−r²/2) + .001r²"),
    "cliff": Surface(
        "cliff", _cliff, (1.05, 2.0), ((0.0, 0.0),), ((-3.0, 3.0), (-3.0, 3.0)), "½x² + .05y² + 40·sigmoid(20(x − 1))"
    ),
}
