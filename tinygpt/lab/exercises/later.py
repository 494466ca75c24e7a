"""Exercises of the lessons on a real network, on what came after Adam, and on conventions."""

from __future__ import annotations

import math
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from tinygpt import SGD, Adam, Optimizer, OptimizerState, Tensor, nn
from tinygpt.lab.exercises.exercise import (
    ALIKE,
    BEGINNER,
    UNCHECKED,
    Exercise,
    Follows,
    conforms,
    steps_have_size,
    written,
)
from tinygpt.lab.exercises.slips import edited
from tinygpt.lab.exercises.walks import GRADIENTS, START, near, walk

# --- 10: tuning a network ---------------------------------------------------------------------------------------------

RUNS, GOAL, STEPS = 20, 0.012, 80


@cache  # every check would run the same twenty
def train(learning_rate: float, momentum: float = 0.0) -> float:
    """The loss of a small tanh network on sin 3x after 80 steps of SGD: infinity where it runs away."""
    x = np.linspace(-1, 1, 20)[:, None]
    network = nn.MLP((1, 16, 1), Tensor.tanh, np.random.default_rng(0), np.float64)
    optimizer = SGD(network, learning_rate, momentum=momentum)
    for _ in range(STEPS):
        loss = ((network.forward(Tensor(x)) - np.sin(3 * x)) ** 2).mean()
        if not loss.item() < 1e6:
            return math.inf
        optimizer.zero_grad()
        loss.backward()
        optimizer.update()
    return float(loss.item())


def _tune(train: Any) -> Any:
    return min(product((0.03, 0.1, 0.2, 0.3, 0.5), (0.0, 0.5, 0.8, 0.9)), key=lambda setting: train(*setting))


def _tunes_in_time(answer: Any) -> str:
    runs: dict[tuple[float, float], float] = {}
    left = iter(range(RUNS))

    def counted(learning_rate: float, momentum: float = 0.0) -> float:
        if next(left, None) is None:
            raise RuntimeError(f"all {RUNS} runs are used up")
        setting = float(learning_rate), float(momentum)
        runs[setting] = train(*setting)
        return runs[setting]

    found = written(answer)(counted)
    if found is None:
        return "The function gives back None: end it with return."
    if any(near(found, loss, ALIKE) for loss in runs.values()):
        return f"It gives back {found:.4g}, which is a loss. Give back the setting that led to it, a pair (λ, μ)."
    if not (isinstance(found, (tuple, list)) and len(found) == 2):
        raise ValueError(f"the answer must be a pair of numbers, (λ, μ), got {found!r}")
    loss = train(*map(float, found))
    if loss < GOAL:
        return ""
    setting = f"With λ = {found[0]:.4g} and μ = {found[1]:.4g}"
    return f"{setting} the loss is {loss:.3g}, but should be below {GOAL}. {_advice(runs)}"


def _advice(runs: dict[tuple[float, float], float]) -> str:
    """What the runs so far suggest."""
    if not runs:
        return "No run was made: call train(learning_rate, momentum)."
    best = min(runs, key=lambda setting: runs[setting])
    rates = [rate for rate, _ in runs]
    if runs[best] < GOAL:
        own = f"λ = {best[0]:.4g} and μ = {best[1]:.4g} reached {runs[best]:.3g}"
        return f"Likely cause: the best run is not the one given back; {own}."
    if all(momentum == 0 for _, momentum in runs):
        return "Likely cause: no run had momentum, and without it no λ comes so low in so few steps."
    if best[0] == max(rates):
        return "Likely cause: the best run has the largest λ that was tried; try larger ones."
    return "Spread the runs more widely, over λ and over μ."


TUNE = Exercise(
    name="tune",
    lesson="10",
    task=(
        "Write `tune(train)`: call `train(learning_rate, momentum)`, which trains a small network and gives its loss, "
        "at most 20 times, and give back a pair (λ, μ) whose loss is below 0.012."
    ),
    solution=_tune,
    hints=(
        "Rates differ by factors, not by differences: 0.03, 0.1, 0.3, …",
        "Five rates and four momenta are twenty runs.",
        "A run that runs away has an infinite loss, so `min(…, key=…)` never picks it.",
    ),
    laws=(_tunes_in_time,),
    right="Below 0.012 within 20 runs.",
)


# --- 12: Lion ---------------------------------------------------------------------------------------------------------


Lion = edited(  # what remains of Adam: one average, and the sign of the mix m in place of a division
    Adam,
    {
        'v = b2 * state.get("v", 0.0) + (1 - b2) * g**2': 'kept = b2 * state.get("m", 0.0) + (1 - b2) * g',
        "t=t, m=m, v=v": "m=kept",
        "m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)": "",
        "m_hat / (np.sqrt(v_hat) + self.eps)": "np.sign(m)",
    },
)

_LION: dict[str, Any] = {"betas": (0.9, 0.5)}  # so far apart that a sign tells one from the other

LION = Exercise(
    name="Lion",
    lesson="12",
    task="Write Lion without decay: step by λ against the sign of β₁ m + (1 − β₁) g, then let m = β₂ m + (1 − β₂) g.",
    solution=Lion,
    hints=(
        'One average is kept: `m = state.get("m", 0.0)`.',
        "The step mixes the old m with g by β₁, and only the sign of the mix counts: `np.sign`.",
        "What is kept for the next step is mixed by β₂, from the same old m.",
    ),
    laws=(
        steps_have_size(0.1, **_LION),
        Follows(
            Lion,
            {
                "this is the sign of g alone: m is not kept in the state, or is not in the mix": {
                    "np.sign(m)": "np.sign(g)"
                },
                "β₁ and β₂ have changed places": {"(b1, b2) =": "(b2, b1) ="},
                "m is brought up to date before the step; the step uses the old m": {
                    "np.sign(m)": "np.sign(b1 * kept + (1 - b1) * g)"
                },
                "the step takes the sign of the new m, and β₁ plays no part": {"np.sign(m)": "np.sign(kept)"},
                "one β does both; β₁ is for the step, β₂ for what is kept": {"m=kept": "m=m"},
                "the step is added; it should be subtracted": {"return w -": "return w +"},
            },
            {"learning_rate": 0.1, **_LION},
        ),
        conforms(UNCHECKED, learning_rate=0.1),
    ),
    right="Every step has the size λ along every axis, and goes where Lion's goes.",
)


# --- 13: a mystery trace ----------------------------------------------------------------------------------------------


class _Mystery(Optimizer):
    """What Keras calls SGD with nesterov (https://keras.io/api/optimizers/sgd/)."""

    def __init__(self, module: Any, learning_rate: Any) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        step = self.learning_rate * parameter.grad
        v = 0.9 * state.get("v", 0.0) - step
        state["v"] = v
        return parameter.data + 0.9 * v - step


def _dropping(updates: int) -> float:
    return 0.1 if updates < 4 else 0.01


class Trace(NamedTuple):
    """A run of one weight. Shapes: gradients and learning_rates (steps,), weights (steps + 1,)."""

    gradients: Any
    learning_rates: Any
    weights: Any

    def __repr__(self) -> str:
        rows = zip(self.gradients, self.learning_rates, self.weights[1:], strict=True)
        start = f"w starts at {self.weights[0]:g}\ngradient     λ          w after the step"
        return "\n".join([start, *(f"{g:8.2f}  {rate:5.2f}  {w:20.12f}" for g, rate, w in rows)])


def mystery() -> Trace:
    """The trace of an optimizer that the reader is to find, with a learning rate that drops after four steps."""
    rates = np.array([_dropping(updates) for updates in range(len(GRADIENTS))])
    return Trace(GRADIENTS[:, 0], rates, walk(_Mystery, GRADIENTS[:, 0], START[0], learning_rate=_dropping))


_OUTSIDE = {"step = self.learning_rate * ": "step = "}

MYSTERY = Exercise(
    name="Mystery",
    lesson="13",
    task="Write the optimizer that made `mystery()`, with no hyperparameter but learning_rate, to twelve digits.",
    solution=_Mystery,
    hints=(
        "From w = 1, with g = 1 and λ = 0.1, the first step is 0.19 long. Which kind of momentum gives (1 + μ) λ g?",
        "Up to step 4 PyTorch's Nesterov fits. Where does it part, and what changes there?",
        "λ is inside the velocity: v = μ v − λ g, then w + μ v − λ g.",
    ),
    laws=(
        Follows(
            _Mystery,
            {
                "λ multiplies the whole velocity, as in PyTorch; here it enters with each gradient and stays": {
                    **_OUTSIDE,
                    "+ 0.9 * v - step": "+ self.learning_rate * (0.9 * v - step)",
                },
                "this is heavy ball as in PyTorch; the trace looks ahead as Nesterov does": {
                    **_OUTSIDE,
                    "+ 0.9 * v - step": "+ self.learning_rate * v",
                },
                "λ is in its place, but the step is v itself; the trace looks ahead as Nesterov does": {
                    "+ 0.9 * v - step": "+ v"
                },
                "there is no momentum": {"+ 0.9 * v - step": "- step"},
                "the velocity is dampened by 1 − μ; the trace takes all of the gradient": {
                    "0.0) - step": "0.0) - 0.1 * step"
                },
                "μ is 0.99; the first step, (1 + μ) λ g, tells it": {"0.9": "0.99"},
                "μ is 0.5; the first step, (1 + μ) λ g, tells it": {"0.9": "0.5"},
            },
            {"learning_rate": _dropping},
        ),
        conforms(*BEGINNER, learning_rate=0.1),
    ),
    right="The trace is matched: Keras' SGD with nesterov, whose velocity has λ inside.",
)

LATER_LESSONS = (TUNE, LION, MYSTERY)
