"""Networks: a net so small that everything about its training can be measured, its curvature included.

All weights of a net, one after another, make one vector; a stack of such vectors is many nets, which one pass of the
tape computes together: the shape of a weight gains the stack's axis in front, and broadcasting does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tinygpt.lab.linear import limit
from tinygpt.module import Module
from tinygpt.nn import MLP
from tinygpt.optimizers import SGD, Optimizer
from tinygpt.tensor import Tensor, no_grad

MakeOptimizer = Callable[[Module], Optimizer]  # an Optimizer subclass, or a partial of one

TOO_MUCH = 1e4  # a loss that is not below this has diverged; it begins below 1
HALF_STEP = 1e-4  # to either side for a Hessian: its error is the square of this, its rounding about 1e-16 over this
SETTLED = 1e-3  # power iteration ends where the sharpness changes by less, relative to itself …
MOST_ITERATIONS = 50  # … or with this one
TOGETHER = 500  # nets in one pass: more of them leave the processor's cache


class Data(NamedTuple):
    """What a net is to fit: y at each x. Shapes: (points, 1) both."""

    x: Any
    y: Any


class Steepest(NamedTuple):
    """The largest eigenvalue of a Hessian and its direction, a unit vector: where the loss bends most."""

    sharpness: float
    direction: Any


@dataclass(frozen=True)
class Training:
    """What full-batch training did.

    `losses` (steps + 1,) begin before the first update; `weights` (records, numbers) are those at the steps `at`
    (records,). From `diverged_at` on, the first step whose loss is not below TOO_MUCH, losses are NaN and nothing is
    recorded. `optimizer` is the one that trained, as training left it.
    """

    losses: Any
    weights: Any
    at: Any
    diverged_at: int | None
    optimizer: Optimizer


def sine(points: int = 20) -> Data:
    """Points of sin 3x, evenly from −1 to 1."""
    x = np.linspace(-1, 1, points)[:, None]
    return Data(x, np.sin(3 * x))


def tanh_net(width: int = 16, seed: int = 0) -> MLP:
    """A net of one input, one tanh layer and one output, in float64: 3 · width + 1 numbers."""
    return MLP((1, width, 1), Tensor.tanh, np.random.default_rng(seed), np.float64)


def loss_of(module: Module, data: Data) -> Tensor:
    """½ mean (f(x) − y)², of one net or of each in a stack."""
    error: Tensor = module(Tensor(data.x)) - data.y
    return 0.5 * (error * error).mean(axis=(-2, -1))


def weights_of(module: Module) -> Any:
    """All numbers of a module, one after another. Shape: (numbers,)."""
    return np.concatenate([np.ravel(p.data) for p in module.parameters()])


@contextmanager
def stacked(module: Module, weights: Any) -> Iterator[list[Tensor]]:
    """Inside, a module of linear layers is a stack of nets with these weights; afterwards it is what it was.

    Gives its parameters. Shapes: weights (stack, numbers).
    """
    parameters = list(module.parameters())
    before = [(p.data, p.grad) for p in parameters]
    ends = np.cumsum([p.size for p in parameters])
    for p, piece in zip(parameters, np.split(weights, ends[:-1], axis=1), strict=True):
        row = (1,) * (2 - p.ndim)  # a bias becomes a row, so that it meets the points as before
        p.data, p.grad = piece.reshape(-1, *row, *p.shape), None
    try:
        yield parameters
    finally:
        for p, (data, grad) in zip(parameters, before, strict=True):
            p.data, p.grad = data, grad


def losses_at(module: Module, data: Data, weights: Any) -> Any:
    """The losses of many nets. Shapes: weights (…, numbers) → (…)."""
    stack = np.reshape(weights, (-1, np.shape(weights)[-1]))
    losses = np.empty(len(stack))
    with no_grad(), np.errstate(all="ignore"):  # far out a loss may overflow: it is infinite then
        for i in range(0, len(stack), TOGETHER):
            with stacked(module, stack[i : i + TOGETHER]):
                losses[i : i + TOGETHER] = loss_of(module, data).data
    return losses.reshape(np.shape(weights)[:-1])


def outputs_at(module: Module, x: Any, weights: Any) -> Any:
    """What many nets answer to the same inputs. Shapes: x (points, 1), weights (stack, numbers) → (stack, points)."""
    with no_grad(), stacked(module, weights):
        return module(Tensor(x)).data[..., 0]


def gradient_at(module: Module, data: Data, weights: Any) -> Any:
    """The gradient of the loss at each of many weights, from one pass of the tape.

    Shapes: weights (…, numbers) → (…, numbers).
    """
    stack = np.reshape(weights, (-1, np.shape(weights)[-1]))
    with stacked(module, stack) as parameters:
        loss_of(module, data).backward(np.ones(len(stack)))
        pieces = [p.grad.reshape(len(stack), -1) for p in parameters]
    return np.concatenate(pieces, axis=1).reshape(np.shape(weights))


def hessian_times(module: Module, data: Data, weights: Any, direction: Any) -> Any:
    """The Hessian times a direction v, from two gradients a little apart; no Hessian is ever made.

        H v ≈ (g(w + ε v) − g(w − ε v)) / 2ε        with ε = HALF_STEP and v of length about 1

    Shapes: weights and direction (…, numbers) → (…, numbers).
    """
    v = HALF_STEP * direction
    ahead, behind = gradient_at(module, data, np.stack([weights + v, weights - v]))
    return (ahead - behind) / (2 * HALF_STEP)


def steepest(module: Module, data: Data, weights: Any, direction: Any = None, shift: float = 0.0) -> Steepest:
    """The Hessian's largest eigenvalue at the weights, by power iteration: a direction it multiplies most wins.

        v ← (H − shift) v / ‖(H − shift) v‖        sharpness = vᵀ H v

    It begins with the direction (that of a place near by saves iterations; else a random one) and ends where the
    sharpness changes by less than SETTLED of itself. Power iteration finds the eigenvalue of largest size; where that
    is negative, a shift by it makes the largest one the largest in size, and the search is done once more.

    Shapes: weights, direction (numbers,).
    Source: Cohen et al. 2021, section 2, for what sharpness has to do with training. https://arxiv.org/abs/2103.00065
    """
    v = np.random.default_rng(0).normal(size=np.shape(weights)) if direction is None else direction
    v = v / np.linalg.norm(v)
    value = np.inf
    for _ in range(MOST_ITERATIONS):
        product = hessian_times(module, data, weights, v) - shift * v
        before, value = value, float(v @ product)
        v = product / (np.linalg.norm(product) or 1.0)
        if abs(value - before) <= SETTLED * abs(value + shift):
            break
    if value < 0 and not shift:
        return steepest(module, data, weights, shift=value)
    return Steepest(value + shift, v)


def train(module: Module, data: Data, make: MakeOptimizer, steps: int, every: int = 10) -> Training:
    """Train on all data at once for some steps, and write the weights down every so many and at the end.

    Raises: ValueError unless steps >= 0 and every >= 1.
    """
    if steps < 0 or every < 1:
        raise ValueError(f"steps must be >= 0 and every >= 1, got {steps} and {every}: raise the one that is too low")
    optimizer, losses = make(module), np.full(steps + 1, np.nan)
    weights, at = [], []
    with np.errstate(all="ignore"):  # what overflows has diverged
        for step in range(steps + 1):
            loss = loss_of(module, data)
            if not loss.data < TOO_MUCH:  # nor is NaN
                break
            losses[step] = loss.data
            if step % every == 0 or step == steps:
                weights.append(weights_of(module))
                at.append(step)
            if step < steps:
                optimizer.zero_grad()
                loss.backward()
                optimizer.update()
    lost = np.flatnonzero(np.isnan(losses))
    return Training(losses, np.array(weights), np.array(at), int(lost[0]) if lost.size else None, optimizer)


def sharpness_along(module: Module, data: Data, path: Any) -> Any:
    """The sharpness at each point of a path, each search begun where the last one ended.

    Shapes: path (records, numbers) → (records,).
    """
    found, direction = [], None
    for weights in path:
        sharpness, direction = steepest(module, data, weights, direction)
        found.append(sharpness)
    return np.array(found)


def sharpness_limit(optimizer: Optimizer) -> float | None:
    """The sharpness that a step of SGD bears: beyond it the steepest direction swings more widely with every step.

    2 / λ for plain gradient descent; with momentum, what `linear.limit` says of the product λh. Weight decay takes its
    share: it is curvature too.

    None for other classes, which have no such limit, and where λ = 0 or τ ≥ 1.
    """
    if not isinstance(optimizer, SGD) or optimizer.learning_rate == 0:
        return None
    tau = optimizer.dampening if optimizer.momentum else 0.0
    if tau >= 1:
        return None
    return float(limit(optimizer.momentum, optimizer.nesterov, tau) / optimizer.learning_rate - optimizer.weight_decay)
