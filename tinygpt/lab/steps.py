"""Steps under a microscope: what an optimizer did in each of them, and how its formula comes to it.

The step is always the optimizer's own. The anatomy of a step names the quantities of the formula and puts this step's
numbers in their places; that its last line is the step really taken is what the tests say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tinygpt.lab.descent import MakeOptimizer, Trajectory, descend
from tinygpt.lab.surfaces import Loss, Point, Surface
from tinygpt.lab.words import number
from tinygpt.module import Module
from tinygpt.optimizers import SGD, AdaGrad, Adam, AdamW, Optimizer, RMSProp
from tinygpt.tensor import Tensor

UPDATE = "Δw"  # the name of the last line of every anatomy


@dataclass(frozen=True)
class Step:
    """One step: where it began, the slope there, what was added, and what the optimizer remembered before and after.

    `number` counts from 1; `position`, `gradient` and `update`, the new position minus the old, have shape (2,);
    `before` and `after` hold copies of all numbers and arrays found in the optimizer's state, by name.
    """

    number: int
    position: Any
    gradient: Any
    update: Any
    before: Mapping[str, Any]
    after: Mapping[str, Any]


@dataclass(frozen=True)
class Walk:
    """The trajectory of an optimizer, its steps up to where it diverged, and itself, as the walk left it."""

    trajectory: Trajectory
    steps: tuple[Step, ...]
    optimizer: Optimizer


class _Recorder(Optimizer):
    """Lets another optimizer do the update, and notes what it did."""

    def __init__(self, module: Module, make: MakeOptimizer) -> None:
        super().__init__(module)
        self.optimizer, self.steps = make(module), list[Step]()

    def update(self) -> None:
        (position,), before = self.module.parameters(), _numbers(self.optimizer)
        w, g = np.copy(position.data), np.copy(position.grad)
        self.optimizer.update()
        self.steps.append(Step(len(self.steps) + 1, w, g, position.data - w, before, _numbers(self.optimizer)))


def walk(surface: Surface | str | Loss, make: MakeOptimizer, start: Point | None = None, steps: int = 100) -> Walk:
    """Let an optimizer walk down the surface, as `descend` does, and keep every step.

    Raises: ValueError for a start that is not two finite numbers, or for negative steps.
    """
    seen = descend(surface, {"it": lambda module: _Recorder(module, make)}, start, steps)["it"]
    recorder: Any = seen.optimizer
    optimizer, done = recorder.optimizer, tuple(recorder.steps[: seen.diverged_at])
    return Walk(replace(seen, optimizer=optimizer), done, optimizer)


def _numbers(optimizer: Optimizer) -> dict[str, Any]:
    """A copy of every number and array in the state, by its path without the parameter's name."""
    found = {}
    for path, value in optimizer.state.flatten():
        array = np.array(value.data if isinstance(value, Tensor) else value)
        if array.dtype.kind in "biuf":
            found[path.removeprefix("position.")] = array[()]
    return found


# --- the anatomy of a step ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """One line of an update: `name = formula`, the number of each letter in the formula, and what it comes to."""

    name: str
    formula: str
    letters: Mapping[str, Any]
    value: Any

    def numbers(self, digits: int = 3) -> str:
        """The formula with each letter replaced by its number, of so many significant digits."""
        longest_first = sorted(self.letters, key=len, reverse=True)
        letter = re.compile("|".join(map(re.escape, longest_first)) or "$^")
        return letter.sub(lambda found: self._number(found[0], digits), self.formula)

    def _number(self, letter: str, digits: int) -> str:
        if letter == "ᵗ":
            return str(self.letters[letter]).translate(_RAISED)
        return number(self.letters[letter], digits)


@dataclass(frozen=True)
class Arrow:
    """A vector (2,) that has a part in the step; one that is not `to_scale` shows a direction only."""

    name: str
    symbol: str
    vector: Any
    to_scale: bool


@dataclass(frozen=True)
class Ellipse:
    """Where the step could have ended, had the averaged gradient pointed another way: the preconditioner's picture.

    `middle` (2,) is where it begins, `axes` (2,) are its half-lengths, λ‖m̂‖ / (√v̂ + ε), and the step's end lies on it.
    `shortened` (2,) is by how much ε makes each of them shorter: ε / (√v̂ + ε). `symbol` is what they go by.
    """

    middle: Any
    axes: Any
    shortened: Any
    symbol: str


@dataclass(frozen=True)
class Anatomy:
    """The lines of an update in the order of its formula, the last being the update; and what is drawn of them.

    `box`, where there is one, is λ, the half-width of a square about `ellipse.middle`.
    """

    lines: tuple[Line, ...]
    arrows: tuple[Arrow, ...] = ()
    ellipse: Ellipse | None = None
    box: Any = None


@dataclass
class _Page:
    """Lines as they are written: a letter that has been given a number keeps it for those below."""

    letters: dict[str, Any]
    lines: list[Line] = field(default_factory=list)

    def write(self, name: str, formula: str, value: Any) -> Any:
        self.lines.append(Line(name, formula, dict(self.letters), value))
        self.letters[name] = value
        return value


def anatomy(optimizer: Optimizer, step: Step) -> Anatomy:
    """How the optimizer came to a step of its; for a class that is not known here, all that its state holds.

    A subclass that leaves `apply_single` and `update` as they are counts as what it stands on.
    """
    page = _Page({"w": step.position, "∂loss/∂w": step.gradient})
    made = type(optimizer)
    write = _ANATOMIES.get(made.apply_single, _unknown) if made.update is Optimizer.update else _unknown
    with np.errstate(all="ignore"):  # 0 / 0, where a gradient is 0 and ε as well
        return write(page, optimizer, step)


def _gradient(page: _Page, decay: Any, step: Step) -> Any:
    """g, with the weight decay that enters it."""
    if not np.any(decay):
        return page.write("g", "∂loss/∂w", step.gradient)
    page.letters["decay"] = decay
    return page.write("g", "∂loss/∂w + decay · w", step.gradient + decay * step.position)


def _sgd(page: _Page, sgd: Any, step: Step) -> Anatomy:
    rate, mu = sgd.learning_rate_at(step.number - 1), sgd.momentum
    page.letters.update({"λ": rate})
    g = _gradient(page, sgd.weight_decay, step)
    if "v" not in step.after:
        page.write(UPDATE, "−λ · g", -rate * g)
        return Anatomy(tuple(page.lines), (Arrow("gradient", "−λg", -rate * g, True),))
    tau, old = sgd.dampening * (mu != 0), step.before.get("v")
    page.letters.update({"μ": mu, "τ": tau})
    if old is None:
        v = page.write("v", "g", step.after["v"])
        pull, symbol, carried = g, "−λg", 0 * g
    else:
        page.letters["v"] = old
        plain = not np.any(tau)
        v = page.write("v", "μ · v + g" if plain else "μ · v + (1 − τ) · g", step.after["v"])
        pull, symbol, carried = (1 - tau) * g, "−λg" if plain else "−λ(1 − τ)g", mu * old
    if sgd.nesterov:
        pull, carried = g, mu * v
        page.write(UPDATE, "−λ · (g + μ · v)", -rate * (g + mu * v))
    else:
        page.write(UPDATE, "−λ · v", -rate * v)
    arrows = Arrow("gradient", symbol, -rate * pull, True), Arrow("momentum", "−λμv", -rate * carried, True)
    return Anatomy(tuple(page.lines), arrows)


def _adam(page: _Page, adam: Any, step: Step) -> Anatomy:
    return _adams(page, adam, step, _gradient(page, adam.weight_decay, step), decoupled=0.0)


def _adamw(page: _Page, adamw: Any, step: Step) -> Anatomy:
    return _adams(page, adamw, step, _gradient(page, 0.0, step), decoupled=adamw.weight_decay)


def _adams(page: _Page, adam: Any, step: Step, g: Any, decoupled: Any) -> Anatomy:
    """What Adam and AdamW share; `decoupled` is the decay that the last line subtracts."""
    rate, (b1, b2), t = adam.learning_rate_at(step.number - 1), adam.betas, int(step.after["t"])
    page.letters.update({"λ": rate, "β₁": b1, "β₂": b2, "ε": adam.eps, "ᵗ": t})
    page.letters.update({letter: step.before.get(letter, 0.0) for letter in "mv"})
    m = page.write("m", "β₁ · m + (1 − β₁) · g", step.after["m"])
    v = page.write("v", "β₂ · v + (1 − β₂) · g²", step.after["v"])
    m_hat = page.write("m̂", "m / (1 − β₁ᵗ)", m / (1 - b1**t))
    v_hat = page.write("v̂", "v / (1 − β₂ᵗ)", v / (1 - b2**t))
    size, shrinkage = np.sqrt(v_hat) + adam.eps, decoupled * step.position
    arrows = [Arrow("gradient", "−g", -g, False), Arrow("mean gradient", "−m̂", -m_hat, False)]
    if np.any(decoupled):
        page.letters["decay"] = decoupled
        page.write(UPDATE, "−λ · (decay · w + m̂ / (√v̂ + ε))", -rate * (shrinkage + m_hat / size))
        arrows.append(Arrow("decay", "−λ · decay · w", -rate * shrinkage, True))
    else:
        page.write(UPDATE, "−λ · m̂ / (√v̂ + ε)", -rate * m_hat / size)
    return _divided(page, arrows, step.position - rate * shrinkage, rate, m_hat, size, adam.eps)


def _rmsprop(page: _Page, rmsprop: Any, step: Step) -> Anatomy:
    page.letters["α"] = rmsprop.alpha
    return _by_size(page, rmsprop, step, "α · v + (1 − α) · g²")


def _adagrad(page: _Page, adagrad: Any, step: Step) -> Anatomy:
    return _by_size(page, adagrad, step, "v + g²")


def _by_size(page: _Page, optimizer: Any, step: Step, formula: str) -> Anatomy:
    """What RMSProp and AdaGrad share; the formula is that of v."""
    rate, eps = optimizer.learning_rate_at(step.number - 1), optimizer.eps
    page.letters.update({"λ": rate, "ε": eps, "v": step.before.get("v", 0.0)})
    g = _gradient(page, 0.0, step)
    size = np.sqrt(page.write("v", formula, step.after["v"])) + eps
    page.write(UPDATE, "−λ · g / (√v + ε)", -rate * g / size)
    return _divided(page, [Arrow("gradient", "−g", -g, False)], step.position, rate, g, size, eps)


def _divided(page: _Page, arrows: list[Arrow], middle: Any, rate: Any, mean: Any, size: Any, eps: Any) -> Anatomy:
    """With the ellipse and the box of a step of λ · mean / size."""
    axes = rate * np.linalg.norm(mean) / size * np.ones(2)
    symbol = "1/(√v̂ + ε)" if "v̂" in page.letters else "1/(√v + ε)"
    drawable = np.isfinite(axes).all() and axes.all()
    ellipse = Ellipse(middle, axes, eps / size * np.ones(2), symbol) if drawable else None
    return Anatomy(tuple(page.lines), tuple(arrows), ellipse, rate * np.ones(2))


def _unknown(page: _Page, _: Optimizer, step: Step) -> Anatomy:
    """The step of a reader's own class."""
    g = _gradient(page, 0.0, step)
    for name, value in step.after.items():
        page.write(name, "", value)
    page.write(UPDATE, "", step.update)
    return Anatomy(tuple(page.lines), (Arrow("gradient", "−g", -g, False),))


_ANATOMIES: dict[Any, Callable[[_Page, Any, Step], Anatomy]] = {
    SGD.apply_single: _sgd,
    Adam.apply_single: _adam,
    AdamW.apply_single: _adamw,
    RMSProp.apply_single: _rmsprop,
    AdaGrad.apply_single: _adagrad,
}

_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
