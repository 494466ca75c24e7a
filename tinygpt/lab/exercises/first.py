"""Exercises of the lessons on gradient descent, the tape, ravines, momentum and noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygpt import SGD
from tinygpt.lab.exercises.exercise import (
    ABOUT,
    BEGINNER,
    EXACT,
    Exercise,
    Follows,
    conforms,
    given,
    likely_cause,
    number,
    written,
)
from tinygpt.lab.exercises.walks import Weights, feed, near

# --- 01: gradient descent ---------------------------------------------------------------------------------------------

GRADIENT_DESCENT = Exercise(
    name="GradientDescent",
    lesson="01",
    task="Write gradient descent: `apply_single` gives back the weight, one step of λ times the gradient further down.",
    solution=SGD,
    hints=(
        "The weight is `parameter.data`, the gradient is `parameter.grad`, and λ is `self.learning_rate`.",
        "The gradient points uphill. Which sign leads down?",
        "One line: give back the weight minus λ times the gradient, and write into neither of them.",
    ),
    laws=(
        Follows(
            SGD,
            {
                "the step is added; it should be subtracted, for the gradient points uphill": {
                    "return w -": "return w +"
                },
                "the gradient is not multiplied by the learning rate": {"- self.learning_rate * g": "- g"},
                "the step is given back, without the weight it starts from": {"return w -": "return -"},
                "the gradient is divided by the learning rate": {
                    "- self.learning_rate * g": "- g / self.learning_rate"
                },
                "only the gradient's sign is used": {"- self.learning_rate * g": "- self.learning_rate * np.sign(g)"},
                "the weight is given back as it was": {"- self.learning_rate * g": ""},
            },
            {"learning_rate": 0.1},
        ),
        conforms(*BEGINNER, learning_rate=0.1),
    ),
    right="Every step is that of tinygpt's own SGD, and the gradient is untouched.",
)


# --- 02: a rule with its derivatives ----------------------------------------------------------------------------------

X, Y, G = np.array([3.0, 5.0, -1.0]), np.array([4.0, -12.0, 0.5]), np.array([1.0, 2.0, -0.5])
SMALL = 1e-6  # half the step of the central differences
MEASURED = 1e-6  # their error: they lose about half of sixteen digits


def _hypotenuse(x: Any, y: Any) -> Any:
    value = np.sqrt(x**2 + y**2)
    return value, (
        lambda g: g * x / value,
        lambda g: g * y / value,
    )


def _measured(rule: Any) -> Any:
    """g times the slopes of a rule's value by x and by y, from central differences."""
    slopes = (
        (rule(X + SMALL, Y)[0] - rule(X - SMALL, Y)[0]) / (2 * SMALL),
        (rule(X, Y + SMALL)[0] - rule(X, Y - SMALL)[0]) / (2 * SMALL),
    )
    return [G * slope for slope in slopes]


_RULE_MISTAKES: dict[str, Callable[..., Any]] = {  # cause: what the two functions would give instead
    "the functions take g but do not multiply by it": lambda x, y, g: (x / np.hypot(x, y), y / np.hypot(x, y)),
    "the two functions have changed places: the first is the slope by x": lambda x, y, g: (
        g * y / np.hypot(x, y),
        g * x / np.hypot(x, y),
    ),
    "the division by the value is missing, which is the derivative of the root": lambda x, y, g: (g * x, g * y),
    "the inner derivative of the squares, 2x and 2y, is missing": lambda x, y, g: (g / (2 * np.hypot(x, y)),) * 2,
    "the 1/2 of the root's derivative is missing": lambda x, y, g: (
        2 * g * x / np.hypot(x, y),
        2 * g * y / np.hypot(x, y),
    ),
    "the sign is turned round": lambda x, y, g: (-g * x / np.hypot(x, y), -g * y / np.hypot(x, y)),
}


def _is_the_rule(rule: Any) -> str:
    result = written(rule)(X, Y)
    shape = "A rule gives back a pair: its value, and a pair of functions of g"
    if not (isinstance(result, tuple) and len(result) == 2):
        return f"{shape}. This gives back {_kind(result)}{': end it with return' if result is None else ''}."
    value, functions = result
    if not near(value, np.hypot(X, Y), MEASURED):
        return f"The value at x = 3, y = 4 is {_first(value)}, but should be 5: √(x² + y²)."
    if not (isinstance(functions, tuple) and len(functions) == 2 and all(map(callable, functions))):
        return f"{shape}. The value is right, but beside it stands {_kind(functions)}."
    found, measured = [function(G) for function in functions], _measured(rule)
    for name, slope, expected in zip("xy", found, measured, strict=True):
        if not near(slope, expected, MEASURED):
            place = f"The derivative by {name} at x = 3, y = 4 is {_first(slope)}"
            mistakes = {cause: mistake(X, Y, G) for cause, mistake in _RULE_MISTAKES.items()}
            cause = likely_cause(found, mistakes, MEASURED)
            return f"{place}, but small steps measure {expected[0]:.6g}. {cause}".rstrip()
    return ""


def _first(values: Any) -> str:
    return f"{np.ravel(values)[0]:.6g}"


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return {"NoneType": "None", "function": "one function alone"}.get(
        type(value).__name__, f"one {type(value).__name__}"
    )


HYPOTENUSE = Exercise(
    name="hypotenuse",
    lesson="02",
    task="Write the rule of √(x² + y²): its value, and under it one function of g for x and one for y.",
    solution=_hypotenuse,
    hints=(
        "Take `ops.divide` as a model: first the value, then `return value, (lambda g: …, lambda g: …)`.",
        "The derivative of √u is 1 / (2√u), and the inner derivative of x² + y² by x is 2x. What remains of the 2?",
        "By x: g · x / value.",
    ),
    laws=(_is_the_rule,),
    right="Value and derivatives are what small steps measure.",
)


# --- 03: the best rate for a ravine -----------------------------------------------------------------------------------

FLAT, STEEP = 2.0, 13.0  # the curvatures that the reader is to find
_ANGLE = math.radians(25)


def hidden_ravine(x: Any, y: Any) -> Any:
    """A ravine whose curvatures are for the reader to find: a loss of x and y, like any surface's."""
    u, v = math.cos(_ANGLE) * x + math.sin(_ANGLE) * y, math.cos(_ANGLE) * y - math.sin(_ANGLE) * x
    return 0.5 * (FLAT * u * u + STEEP * v * v)


def _suits_the_ravine(answer: Any) -> str:
    rate, best = number(answer), 2 / (FLAT + STEEP)
    if abs(rate / best - 1) <= 0.05:
        return ""
    text = f"A step multiplies the steep direction by {1 - rate * STEEP:.3g} and the flat one by {1 - rate * FLAT:.3g}."
    mistakes = {
        "this is 2/h of the steep direction, the border of stability": 2 / STEEP,
        "this is 1/h of the steep direction, which arrives at once while the flat one crawls": 1 / STEEP,
        "this is 2/h of the flat direction, and the steep one runs away": 2 / FLAT,
        "this is 1/h of the flat direction, and the steep one runs away": 1 / FLAT,
        "2/(κ + 1) is right where the flat curvature is 1; here it is not": 2 / (STEEP / FLAT + 1),
        "this is 1/(h₁ + hₙ); a factor of 2 is missing": 1 / (FLAT + STEEP),
    }
    otherwise = f"λ is too {'large' if rate > best else 'small'}: the two should shrink alike."
    return f"{text} {likely_cause(rate, mistakes, ABOUT) or otherwise}"


RAVINE_RATE = Exercise(
    name="ravine_rate",
    lesson="03",
    task="Find the λ with which gradient descent goes down `hidden_ravine` fastest, to 5 %.",
    solution=2 / (FLAT + STEEP),
    hints=(
        "Walk a few steps with a small λ. The fast part of the path shows the steep direction, the rest the flat one.",
        "Each direction shrinks by 1 − λh a step. Measure the factor in both, and you have both curvatures.",
        "The best λ makes both factors equal in size: 1 − λh₁ = −(1 − λhₙ).",
    ),
    laws=(_suits_the_ravine,),
    right="Steep and flat direction shrink by the same factor a step, and no other λ is faster.",
)


# --- 04: heavy ball ---------------------------------------------------------------------------------------------------

CURVATURES, BALL_START, GOAL = np.array([1.0, 100.0]), np.array([1.0, 0.37]), 1e-6
ALLOWED, CRAWLS = 45, 1000  # steps


def _ball_steps(rate: float, momentum: float) -> float:
    """How many steps SGD takes to the goal: infinity where it runs away, CRAWLS where it takes that many or more."""
    module = Weights(w=BALL_START)
    optimizer = SGD(module, rate, momentum=momentum)
    for step in range(CRAWLS):
        w = module.w.data
        loss = 0.5 * np.sum(CURVATURES * w**2)
        if not loss < 1e12:
            return math.inf
        if loss < GOAL:
            return step
        feed(optimizer, w=CURVATURES * w)
    return CRAWLS


def _rolls_in_time(answer: Any) -> str:
    pair = given(answer)
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
        raise ValueError(f"the answer must be a pair of numbers, (λ, μ), got {pair!r}")
    rate, momentum = map(float, pair)
    if not 0 <= momentum < 1:
        raise ValueError(f"μ must be in [0, 1), got {momentum}: with 1 the ball never comes to rest")
    steps = _ball_steps(rate, momentum)
    if steps <= ALLOWED:
        return ""
    if steps == math.inf:
        return (
            f"The ball runs away: λ · 100 = {100 * rate:.3g} is beyond the limit 2(1 + μ) = {2 * (1 + momentum):.3g}. "
            "Likely cause: λ is too large for the steep direction."
        )
    amount = f"{steps} steps" if steps < CRAWLS else f"{CRAWLS} steps or more"
    return f"It takes {amount}, and {ALLOWED} are allowed. Likely cause: {_why_slow(rate, momentum)}."


def _why_slow(rate: float, momentum: float) -> str:
    if math.isclose(rate, 4 / 11**2, rel_tol=0.01) and math.isclose(momentum, (9 / 11) ** 2, rel_tol=0.01):
        return "this is the textbook's pair, which is fastest after very many steps, but pays for it in the first ones"
    if momentum == 0:
        return "without momentum the flat direction crawls"
    if rate < (1 - math.sqrt(momentum)) ** 2:  # no swinging at curvature 1
        return "λ is too small for this μ, and the flat direction crawls"
    return "μ is too large: the ball swings to and fro, and a step shrinks the swing by √μ only"


HEAVY_BALL = Exercise(
    name="heavy_ball",
    lesson="04",
    task=(
        "Find a pair (λ, μ) with which the heavy ball, from (1, 0.37) on ½(x² + 100 y²), "
        "comes below 1e-6 in 45 steps or fewer."
    ),
    solution=(0.03, 0.7),
    hints=(
        "While the ball swings, the loss shrinks by μ a step. From about 7 to 1e-6 in 45 steps: how large may μ be?",
        "The flat direction swings, and does not crawl, where λ is larger than (1 − √μ)².",
        "Look near μ = 0.7, with λ between 0.025 and 0.035.",
    ),
    laws=(_rolls_in_time,),
    right="The ball arrives in 45 steps or fewer. The textbook's pair, unrounded, would need 63.",
)


# --- 05: noise --------------------------------------------------------------------------------------------------------

FLOOR, MOMENTUM, SEEDS = 0.1, 0.9, 20


def measured_floor(learning_rate: float, momentum: float = MOMENTUM) -> float:
    """The mean of w² on ½w² with gradient noise of variance 1, over 20 seeds and steps 500 to 3000."""
    noise = np.stack([np.random.default_rng(seed).normal(size=3000) for seed in range(SEEDS)], axis=1)
    module = Weights(w=np.zeros(SEEDS))
    optimizer = SGD(module, learning_rate, momentum=momentum)
    squares = np.empty_like(noise)
    for step, row in enumerate(noise):
        feed(optimizer, w=module.w.data + row)
        squares[step] = module.w.data**2
    return float(np.mean(squares[500:]))


def _lies_on_the_floor(answer: Any) -> str:
    rate = number(answer)
    floor = measured_floor(rate)
    if abs(floor / FLOOR - 1) <= 0.1:
        return ""
    text = (
        f"Over {SEEDS} seeds the mean of w² is {floor:.2g}, but should be {FLOOR}."
        if floor < 1e3
        else f"With λ = {rate:.3g} the walk runs away."
    )
    mistakes = {
        "this is the λ for gradient descent without momentum; momentum 0.9 makes each step ten times as long": 2 / 11,
        "this is the floor itself, taken as λ": FLOOR,
        "this is half of what is right; the formula's 2(1 + μ) matters": 0.01,
    }
    otherwise = f"λ is too {'large' if floor > FLOOR else 'small'}: the floor grows with it."
    return f"{text} {likely_cause(rate, mistakes, ABOUT) or otherwise}"


FLOOR_RATE = Exercise(
    name="floor_rate",
    lesson="05",
    task="Find the λ whose noise floor, the mean of w² on ½w² with noise of variance 1 and momentum 0.9, is 0.1.",
    solution=0.38 / 19.1,
    hints=(
        "The floor is λ (1 + μ) / ((1 − μ) (2 (1 + μ) − λh)) · s²/h.",
        "Here h = 1 and s² = 1. For small λ the floor is about λ / (2 (1 − μ)).",
        "Solve 1.9 λ / (0.1 (3.8 − λ)) = 0.1 for λ.",
    ),
    laws=(_lies_on_the_floor,),
    right="The floor, measured over 20 seeds, is 0.1 to a tenth of it.",
)

POINTS = np.array([[9.0, -7.0], [4.0, -3.0], [1.0, 2.0], [-1.0, 0.5], [0.5, -0.25], [-0.25, 0.125]])
TAIL = 4


def _tail_average(points: Any, tail: int) -> Any:
    return points[-tail:].mean(axis=0)


_AVERAGE_MISTAKES: dict[str, Callable[..., Any]] = {
    "all points are averaged, the far ones of the start too": lambda p, n: np.mean(p, axis=0),
    "the first points are averaged in place of the last": lambda p, n: np.mean(p[:n], axis=0),
    "x and y are averaged together; axis=0 keeps them apart": lambda p, n: np.mean(p[-n:]),
    "the average runs over x and y; axis=0 runs over the steps": lambda p, n: np.mean(p[-n:], axis=1),
    "the sum is not divided by the number of points": lambda p, n: np.sum(p[-n:], axis=0),
    "the start is cut off by the number of points to keep": lambda p, n: np.mean(p[n:], axis=0),
    "one point too many is averaged": lambda p, n: np.mean(p[-n - 1 :], axis=0),
    "the last point is left out": lambda p, n: np.mean(p[-n:-1], axis=0),
    "this is the last point, which still jumps about": lambda p, n: p[-1],
}


def _averages_the_tail(answer: Any) -> str:
    points = POINTS.copy()
    found, right = written(answer)(points, TAIL), _tail_average(POINTS, TAIL)
    if found is None:
        return "The function gives back None: end it with return."
    if not near(points, POINTS, 0):
        return "The average is taken, but the points were written into: make a new array."
    if not near(found, right, EXACT):
        text = f"Of {len(POINTS)} points the last {TAIL} average to {_list(right)}, but this gives {_list(found)}."
        return f"{text} {likely_cause(found, {c: f(POINTS, TAIL) for c, f in _AVERAGE_MISTAKES.items()}, EXACT)}"
    if not near(answer(POINTS, 1), POINTS[-1], EXACT):
        return f"A tail of 1 is the last point, {_list(POINTS[-1])}, but this gives {_list(answer(POINTS, 1))}."
    return ""


def _list(values: Any) -> str:
    return f"({', '.join(f'{value:.4g}' for value in np.ravel(values))})" if np.ndim(values) else f"{values:.4g}"


TAIL_AVERAGE = Exercise(
    name="tail_average",
    lesson="05",
    task="Write `tail_average(points, tail)`: the mean of the last `tail` points of a path, of shape (steps, 2).",
    solution=_tail_average,
    hints=(
        "`points[-tail:]` are the last ones.",
        "Average over the steps, and keep x and y apart.",
        "`mean(axis=0)` runs over the steps.",
    ),
    laws=(_averages_the_tail,),
    right="The mean of the last points, x and y apart. Use it on a noisy path and see how much closer it lies.",
)


FIRST_LESSONS = (GRADIENT_DESCENT, HYPOTENUSE, RAVINE_RATE, HEAVY_BALL, FLOOR_RATE, TAIL_AVERAGE)
