"""The laws that every optimizer keeps, and a check of them for any class."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygpt import Optimizer, Tensor
from tinygpt.lab.exercises.verdict import marked, told
from tinygpt.lab.exercises.walks import MakeOptimizer, Weights, feed, made, near, walk

_rng = np.random.default_rng(0)
START, OTHER_START = _rng.normal(size=(2, 2, 3))
STEPS = _rng.normal(size=(6, 2, 3))  # a gradient for each step
OTHER_STEPS = _rng.normal(size=(6, 2, 3))
ROUNDING = 1e-12  # whole arrays and pieces of them may be rounded differently


class Finding(NamedTuple):
    """One law, whether it is kept, and what differs where it is not."""

    law: str
    passed: bool
    differs: str


@dataclass(frozen=True)
class Report:
    """What `conformance` found, law by law."""

    name: str
    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """Whether all laws are kept."""
        return not self.broken

    @property
    def broken(self) -> tuple[Finding, ...]:
        """The laws that are not kept."""
        return tuple(finding for finding in self.findings if not finding.passed)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return f"<div>{'<br>'.join(map(marked, self._lines()))}</div>"

    def _lines(self) -> list[str]:
        title = f"{self.name} keeps {len(self.findings) - len(self.broken)} of {len(self.findings)} laws"
        return [title, *(f"✓ {law}" if passed else f"✗ {law}: {differs}" for law, passed, differs in self.findings)]


def conformance(optimizer: MakeOptimizer, **keywords: Any) -> Report:
    """Try every law of LAWS on an Optimizer subclass, made with these keywords.

    Where it takes no step at all, or never the same one twice, there is nothing to compare, and the other laws are left
    out. A learning rate that the class asks for and nobody gives is 0.1.
    """
    name = getattr(getattr(optimizer, "func", optimizer), "__name__", "the optimizer")
    if "learning_rate" in _parameters(optimizer):
        keywords.setdefault("learning_rate", _parameters(optimizer)["learning_rate"].default)
        if keywords["learning_rate"] is inspect.Parameter.empty:
            keywords["learning_rate"] = 0.1
    make = partial(optimizer, **keywords) if callable(optimizer) else optimizer
    findings = []
    for law, differs in LAWS.items():
        with np.errstate(all="ignore"):
            try:
                text = differs(make)
            except NotImplementedError:
                text = "apply_single is still to write."
            except Exception as error:  # whatever the reader's code may raise
                text = told(error)
        findings.append(Finding(law, not text, text))
        if text and law in FIRST:
            break
    return Report(name, tuple(findings))


# --- the laws: each gives what differs, or nothing --------------------------------------------------------------------


def _takes_steps(make: MakeOptimizer) -> str:
    return "" if np.isfinite(walk(make, STEPS, START)).all() else "a weight became infinite or not a number."


def _is_deterministic(make: MakeOptimizer) -> str:
    same = np.array_equal(*(walk(make, STEPS, START) for _ in range(2)))
    return "" if same else "two runs from the same start differ: draw from an rng that is seeded in __init__."


def _leaves_gradients_alone(make: MakeOptimizer) -> str:
    given: list[Any] = []
    module = Weights(w=START)
    optimizer = made(make, module)
    for step, gradient in enumerate(STEPS, 1):
        feed(optimizer, w=gradient)
        given.append(module.w.grad)
        for earlier, (array, original) in enumerate(zip(given, STEPS, strict=False), 1):
            if not np.array_equal(array, original):
                return f"step {step} changed the gradient of step {earlier}: write `g = g * 2`, never `g *= 2`."
    return ""


def _leaves_weights_alone(make: MakeOptimizer) -> str:
    module = Weights(w=START)
    optimizer = made(make, module)
    for step, gradient in enumerate(STEPS, 1):
        array, original = module.w.data, np.array(module.w.data)
        feed(optimizer, w=gradient)
        if not np.array_equal(array, original):
            return f"step {step} wrote into the old weights: return `w - step`, never `w -= step`."
    return ""


def _keeps_shapes(make: MakeOptimizer) -> str:
    for shape in ((), (3,), (2, 3), (1, 1)):
        walk(make, np.ones((2, *shape)), np.ones(shape))  # update() says what is wrong
    return ""


def _keeps_precision(make: MakeOptimizer) -> str:
    module = Weights(w=START.astype(np.float32))
    optimizer = made(make, module)
    for gradient in STEPS[:2]:
        module.w.grad = gradient.astype(np.float32)
        value = optimizer.apply_single(module.w, optimizer.state["w"])
        value = value.data if isinstance(value, Tensor) else value
        named = [("the new weight", value), *optimizer.state.flatten()]
        for name, found in named:
            if isinstance(found, (np.ndarray, np.floating)) and found.dtype.kind == "f" and found.dtype != np.float32:
                return f"{name} became {found.dtype}: a Python float keeps float32, a NumPy float64 does not."
        module.w.data = np.asarray(value)
    return ""


def _skips_none(make: MakeOptimizer) -> str:
    module = Weights(w=START, idle=OTHER_START)
    optimizer = made(make, module)
    feed(optimizer, w=STEPS[0])
    if not np.array_equal(module.idle.data, OTHER_START):
        return "a parameter without a gradient moved: leave update() to the base class."
    if "idle" in optimizer.state:
        return "a parameter without a gradient got a state: make it when apply_single first reads it."
    return ""


def _keeps_states_apart(make: MakeOptimizer) -> str:
    alone = walk(make, STEPS, START)[-1]
    for order in (("w", "other"), ("other", "w")):
        module = Weights(**{name: {"w": START, "other": OTHER_START}[name] for name in order})
        optimizer = made(make, module)
        for w, other in zip(STEPS, OTHER_STEPS, strict=True):
            feed(optimizer, w=w, other=other)
        if not np.array_equal(module.w.data, alone):
            return "a parameter walks elsewhere beside another than alone: keep all memory in the `state` given."
    return ""


def _round_trips(make: MakeOptimizer) -> str:
    first, module = _after(make, STEPS)
    with tempfile.TemporaryDirectory() as folder:
        saved, again = (os.path.join(folder, name) for name in ("state.json", "again.json"))
        first.save_state(saved)
        second = made(make, module)
        second.load_state(saved)
        second.save_state(again)
        with open(saved, "rb") as one, open(again, "rb") as other:
            same = one.read() == other.read()
    return "" if same else "a state that was saved and loaded is not what it was: keep arrays and numbers in it."


def _resumes(make: MakeOptimizer) -> str:
    for dtype in (np.float32, np.float64):
        (_, whole), (half, module) = _after(make, STEPS, dtype), _after(make, STEPS[:3], dtype)
        continued = Weights(w=module.w.data)
        with tempfile.TemporaryDirectory() as folder:
            file = os.path.join(folder, "state.json")
            half.save_state(file)
            resumed = made(make, continued)
            resumed.load_state(file)
        for gradient in STEPS[3:]:
            feed(resumed, w=gradient)
        if not np.array_equal(continued.w.data, whole.w.data):
            return "saved, loaded and continued, it walks elsewhere: keep all memory in `state`, none on self."
    return ""


def _survives_zero(make: MakeOptimizer) -> str:
    end = walk(make, np.zeros((2, 2, 3)), START)[-1]
    return "" if np.isfinite(end).all() else "a gradient of 0 gives no number: add a small eps where you divide."


def _is_elementwise(make: MakeOptimizer) -> str:
    if not getattr(made(make, Weights(w=START)).apply_single, "elementwise", False):
        return ""
    whole = walk(make, STEPS, START)
    rows = [walk(make, STEPS[:, row], START[row]) for row in range(2)]
    same = near(whole, np.stack(rows, axis=1), ROUNDING)
    return "" if same else "a row walks elsewhere alone than in the whole: take the mark @elementwise away."


def _takes_schedules(make: MakeOptimizer) -> str:
    if "learning_rate" not in _parameters(make):
        return ""
    asked: set[int] = set()
    rate = _parameters(make)["learning_rate"].default

    def schedule(updates: int) -> float:
        asked.add(updates)
        return rate(updates) if callable(rate) else rate  # type: ignore[no-any-return]

    scheduled = walk(make, STEPS, START, learning_rate=schedule)
    if not np.array_equal(scheduled, walk(make, STEPS, START)):
        return "a schedule that is constant leads elsewhere than the number: read self.learning_rate in apply_single."
    if not asked.issuperset(range(len(STEPS))):
        return "a schedule is not asked at every step: read self.learning_rate in apply_single."
    return ""


def _checks_the_learning_rate(make: MakeOptimizer) -> str:
    if "learning_rate" not in _parameters(make):
        return ""
    wrong = [rate for rate in (-1.0, np.nan) if _accepts(make, learning_rate=rate)]
    remedy = "set self.learning_rate in __init__ and the base class refuses it"
    return f"learning_rate = {wrong[0]} is accepted: {remedy}." if wrong else ""


def _checks_the_rest(make: MakeOptimizer) -> str:
    for name, parameter in _parameters(make).items():
        default = parameter.default
        if isinstance(default, tuple) and all(type(number) is float for number in default):
            wrong: Any = (np.nan,) * len(default)
        elif type(default) in (float, int) and name != "learning_rate":
            wrong = np.nan
        else:
            continue
        if _accepts(make, **{name: wrong}):
            return f"{name} = {wrong} is accepted: raise a ValueError in __init__ unless it is within its limits."
    return ""


LAWS: dict[str, Callable[[MakeOptimizer], str]] = {
    "takes steps": _takes_steps,
    "deterministic": _is_deterministic,
    "gradient untouched": _leaves_gradients_alone,
    "old weights untouched": _leaves_weights_alone,
    "shape kept": _keeps_shapes,
    "float32 stays float32": _keeps_precision,
    "None gradients skipped": _skips_none,
    "each parameter has its own state": _keeps_states_apart,
    "state round-trips": _round_trips,
    "resume exact": _resumes,
    "a zero gradient survived": _survives_zero,
    "elementwise mark true": _is_elementwise,
    "schedules work": _takes_schedules,
    "learning rate validated": _checks_the_learning_rate,
    "other hyperparameters validated": _checks_the_rest,
}
FIRST = ("takes steps", "deterministic")  # without these the others have nothing to compare


def _after(make: MakeOptimizer, steps: Any, dtype: Any = np.float64) -> tuple[Optimizer, Weights]:
    """An optimizer that has taken these steps, and its module."""
    module = Weights(w=START.astype(dtype))
    optimizer = made(make, module)
    for gradient in steps:
        feed(optimizer, w=gradient)
    return optimizer, module


def _parameters(make: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(make).parameters) if callable(make) else {}


def _accepts(make: MakeOptimizer, **keywords: Any) -> bool:
    try:
        make(Weights(w=START), **keywords)
    except ValueError:
        return False
    return True
