"""Networks: many nets at once are each net alone, and their curvature is what the whole Hessian says."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from tinygpt import SGD, Adam, Module, Tensor, check_gradients
from tinygpt.lab.networks import (
    SETTLED,
    TOO_MUCH,
    Data,
    gradient_at,
    hessian_times,
    loss_of,
    losses_at,
    outputs_at,
    sharpness_along,
    sharpness_limit,
    sine,
    steepest,
    tanh_net,
    train,
    weights_of,
)
from tinygpt.losses import mean_squared_error

ROUNDING = 1e-12  # sums of some hundred products, in another order
DIFFERENCES = 1e-7  # of gradients of size 1, 2e-4 apart: rounding 1e-16 / 1e-4, and the third derivative times 1e-8
MIXED = 20 * SETTLED  # where power iteration stops it may still hold a little of the next direction

DATA = sine()


class Quadratic(Module):
    """A module whose ½ mean error² is ½ wᵀ H w: its answers are points @ w, and H is pointsᵀ points / n."""

    def __init__(self, rows: Any) -> None:
        self.weight = Tensor(np.ones((rows.shape[1], 1)), requires_grad=True)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


def quadratic(eigenvalues: Any, seed: int = 0) -> tuple[Quadratic, Data, Any]:
    """A quadratic of given curvatures along random axes, its data, and its Hessian."""
    n = len(eigenvalues)
    axes, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(n, n)))
    rows = np.sqrt(n * np.array(eigenvalues))[:, None] * axes.T
    return Quadratic(rows), Data(rows, np.zeros((n, 1))), axes @ np.diag(eigenvalues) @ axes.T


def points(net: Module, count: int, seed: int = 0) -> Any:
    """Random weights near those of a net."""
    w = weights_of(net)
    return w + 0.3 * np.random.default_rng(seed).normal(size=(count, len(w)))


def whole_hessian(net: Module, weights: Any) -> Any:
    """Every entry of the Hessian, from gradients alone."""
    step = 1e-5 * np.eye(len(weights))
    rows = (gradient_at(net, DATA, weights + step) - gradient_at(net, DATA, weights - step)) / 2e-5
    return (rows + rows.T) / 2


# --- one net and many -------------------------------------------------------------------------------------------------


def test_the_data_are_points_of_sine_three_x() -> None:
    assert DATA.x.shape == (20, 1)
    np.testing.assert_array_equal(DATA.y, np.sin(3 * DATA.x))


@pytest.mark.parametrize("width", [1, 16, 40])
def test_a_net_has_three_numbers_for_each_neuron_and_one_more(width: int) -> None:
    assert weights_of(tanh_net(width)).shape == (3 * width + 1,)


def test_the_loss_is_half_the_mean_squared_error() -> None:
    net = tanh_net()
    half = 0.5 * mean_squared_error(net(Tensor(DATA.x)), DATA.y).item()
    assert loss_of(net, DATA).item() == pytest.approx(half, rel=ROUNDING)


def test_many_losses_at_once_are_those_of_each_net() -> None:
    nets = [tanh_net(5, seed) for seed in range(7)]
    alone = [loss_of(net, DATA).item() for net in nets]
    together = losses_at(tanh_net(5), DATA, np.stack([weights_of(net) for net in nets]))
    np.testing.assert_allclose(together, alone, rtol=ROUNDING)


def test_losses_come_in_the_shape_of_the_places_asked_for() -> None:
    net = tanh_net(3)
    weights = points(net, 1200).reshape(30, 40, -1)  # more than go through at once
    found = losses_at(net, DATA, weights)
    assert found.shape == (30, 40)
    np.testing.assert_allclose(found[29, 39], losses_at(net, DATA, weights[29, 39]), rtol=ROUNDING)


def test_many_gradients_at_once_are_what_backward_leaves_in_each_net() -> None:
    nets = [tanh_net(5, seed) for seed in range(4)]
    together = gradient_at(tanh_net(5), DATA, np.stack([weights_of(net) for net in nets]))
    for net, found in zip(nets, together, strict=True):
        loss_of(net, DATA).backward()
        alone = np.concatenate([np.ravel(p.grad) for p in net.parameters()])
        np.testing.assert_allclose(found, alone, rtol=1e-9, atol=ROUNDING)


def test_the_gradients_are_those_of_central_differences() -> None:
    net = tanh_net(3)

    def loss(*parameters: Tensor) -> Tensor:
        (w1, b1, w2, b2), x = parameters, Tensor(DATA.x)
        error = (x @ w1 + b1).tanh() @ w2 + b2 - DATA.y
        return 0.5 * (error * error).mean()

    assert check_gradients(loss, *net.parameters())
    assert loss(*net.parameters()).item() == pytest.approx(loss_of(net, DATA).item(), rel=ROUNDING)


def test_answers_are_those_of_each_net() -> None:
    nets = [tanh_net(4, seed) for seed in range(3)]
    together = outputs_at(tanh_net(4), DATA.x, np.stack([weights_of(net) for net in nets]))
    alone = [net(Tensor(DATA.x)).data[:, 0] for net in nets]
    np.testing.assert_allclose(together, alone, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("look", [losses_at, gradient_at, steepest])
def test_looking_leaves_the_net_as_it_was(look: Any) -> None:
    net = tanh_net(4)
    before = [(p.data, p.grad) for p in net.parameters()]
    look(net, DATA, weights_of(net) + 1)
    for p, (data, grad) in zip(net.parameters(), before, strict=True):
        assert p.data is data
        assert p.grad is grad


def test_a_look_that_fails_leaves_the_net_as_it_was() -> None:
    net = tanh_net(4)
    before = weights_of(net)
    with pytest.raises(ValueError, match="shape"):
        gradient_at(net, Data(DATA.x, np.zeros((7, 1))), before + 1)
    np.testing.assert_array_equal(weights_of(net), before)


# --- curvature --------------------------------------------------------------------------------------------------------


def test_hessian_times_a_direction_is_exact_for_a_quadratic() -> None:
    net, data, hessian = quadratic([5.0, 2.0, 0.5, 0.1])
    w, v = np.random.default_rng(1).normal(size=(2, 4))
    np.testing.assert_allclose(hessian_times(net, data, w, v), hessian @ v, atol=1e-10)


def test_hessian_times_a_direction_is_the_whole_hessians_product() -> None:
    net = tanh_net(4)
    w, v = points(net, 2)
    np.testing.assert_allclose(hessian_times(net, DATA, w, v), whole_hessian(net, w) @ v, atol=10 * DIFFERENCES)


def test_the_product_is_linear_in_the_direction() -> None:
    net = tanh_net(4)
    w, v, u = points(net, 3)
    parts = 2 * hessian_times(net, DATA, w, v) - hessian_times(net, DATA, w, u)
    np.testing.assert_allclose(hessian_times(net, DATA, w, 2 * v - u), parts, atol=10 * DIFFERENCES)


def test_the_hessian_is_symmetric() -> None:
    net = tanh_net(4)
    w, v, u = points(net, 3)
    left, right = u @ hessian_times(net, DATA, w, v), v @ hessian_times(net, DATA, w, u)
    assert left == pytest.approx(right, abs=10 * DIFFERENCES)


def test_the_steepest_direction_of_a_quadratic_is_its_largest_eigenvector() -> None:
    net, data, hessian = quadratic([5.0, 1.0, 0.5, 0.1])
    sharpness, v = steepest(net, data, np.zeros(4))
    assert sharpness == pytest.approx(5, rel=SETTLED)
    np.testing.assert_allclose(hessian @ v, 5 * v, atol=0.3)  # a direction's error is the root of its value's


@pytest.mark.parametrize("seed", range(4))
def test_power_iteration_finds_the_largest_eigenvalue_of_the_whole_hessian(seed: int) -> None:
    net = tanh_net(4, seed)
    (w,) = points(net, 1, seed)
    assert steepest(net, DATA, w).sharpness == pytest.approx(np.linalg.eigvalsh(whole_hessian(net, w))[-1], rel=MIXED)


def test_where_the_largest_in_size_is_negative_the_largest_is_still_found() -> None:
    class Saddle(Module):
        """Answers √(10 − 3 u²) and √(10 + v²), whose halved mean of squares has curvatures −1.5 and 0.5."""

        def __init__(self) -> None:
            self.weight = Tensor(np.zeros((2, 1)), requires_grad=True)

        def forward(self, x: Tensor) -> Tensor:
            w = x @ self.weight  # (…, 2, 1), x the identity
            return (10 + w * w * np.array([[-3.0], [1.0]])).sqrt()

    net, data = Saddle(), Data(np.eye(2), np.zeros((2, 1)))
    assert steepest(net, data, np.zeros(2)).sharpness == pytest.approx(0.5, rel=SETTLED)


def test_a_warm_start_finds_what_a_cold_one_finds() -> None:
    net = tanh_net()
    path = train(net, DATA, partial(SGD, learning_rate=0.3), 200, every=20).weights
    cold = [steepest(net, DATA, w).sharpness for w in path]
    np.testing.assert_allclose(sharpness_along(net, DATA, path), cold, rtol=MIXED)


def test_a_direction_found_is_of_length_one() -> None:
    net = tanh_net(3)
    assert np.linalg.norm(steepest(net, DATA, weights_of(net)).direction) == pytest.approx(1, rel=ROUNDING)


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [partial(SGD, learning_rate=0.2, momentum=0.5), partial(Adam, learning_rate=0.01)])
def test_training_is_that_of_a_loop_written_by_hand(make: Any) -> None:
    found, net = train(tanh_net(4), DATA, make, 30, every=10), tanh_net(4)
    optimizer, losses = make(net), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = loss_of(net, DATA)
        loss.backward()
        optimizer.update()
        losses.append(loss.item())
    np.testing.assert_array_equal(found.losses[:-1], losses)
    np.testing.assert_array_equal(found.weights[-1], weights_of(net))


@pytest.mark.parametrize(("steps", "every", "at"), [(30, 10, [0, 10, 20, 30]), (25, 10, [0, 10, 20, 25]), (0, 1, [0])])
def test_weights_are_written_down_at_the_steps_told_and_at_the_end(steps: int, every: int, at: list[int]) -> None:
    found = train(tanh_net(2), DATA, partial(SGD, learning_rate=0.1), steps, every)
    assert found.at.tolist() == at
    np.testing.assert_allclose(losses_at(tanh_net(2), DATA, found.weights), found.losses[at], rtol=1e-9)


def test_records_do_not_change_while_training_goes_on() -> None:
    net = tanh_net(3)
    first = weights_of(net).copy()
    found = train(net, DATA, partial(SGD, learning_rate=0.1), 20, every=1)
    np.testing.assert_array_equal(found.weights[0], first)
    assert len(np.unique(found.weights, axis=0)) == 21


def test_small_steps_of_gradient_descent_lower_the_loss_each_time() -> None:
    assert np.all(np.diff(train(tanh_net(), DATA, partial(SGD, learning_rate=0.1), 200).losses) < 0)


def test_training_on_a_quadratic_contracts_each_eigenvector() -> None:
    net, data, hessian = quadratic([5.0, 1.0, 0.1])
    start = weights_of(net)
    values, axes = np.linalg.eigh(hessian)
    found = train(net, data, partial(SGD, learning_rate=0.3), 20, every=20).weights[-1]
    np.testing.assert_allclose(axes.T @ found, (1 - 0.3 * values) ** 20 * (axes.T @ start), atol=1e-10)


@pytest.mark.parametrize("factor", [0.97, 1.03])
def test_a_quadratic_diverges_just_where_its_sharpness_is_above_the_limit(factor: float) -> None:
    net, data, _ = quadratic([5.0, 1.0, 0.1])
    found = train(net, data, partial(SGD, learning_rate=factor * 2 / 5), 400)
    limit = sharpness_limit(found.optimizer)
    assert limit == pytest.approx(5 / factor, rel=ROUNDING)
    assert (found.diverged_at is not None) == (factor > 1)


@pytest.mark.parametrize("rate", [3.0, 1e10, 1e300])
def test_a_training_that_diverges_is_cut_where_its_loss_is_too_much(rate: float) -> None:
    found = train(tanh_net(), DATA, partial(SGD, learning_rate=rate), 50, every=1)
    end = found.diverged_at
    assert end is not None
    assert np.isnan(found.losses[end:]).all()
    assert np.all(found.losses[:end] < TOO_MUCH)
    assert found.at.tolist() == list(range(end))


@pytest.mark.parametrize(("steps", "every"), [(-1, 1), (5, 0)])
def test_steps_that_make_no_sense_are_refused(steps: int, every: int) -> None:
    with pytest.raises(ValueError, match=rf"got {steps} and {every}"):
        train(tanh_net(2), DATA, Adam, steps, every)


# --- the edge of stability --------------------------------------------------------------------------------------------

LIMITS = {  # hyperparameters: the limit times the learning rate
    "plain": ({}, 2),
    "heavy ball": ({"momentum": 0.9}, 3.8),
    "Nesterov": ({"momentum": 0.9, "nesterov": True}, 3.8 / 2.8),
    "dampened": ({"momentum": 0.5, "dampening": 0.5}, 6),
    "dampened without momentum": ({"dampening": 0.5}, 2),
}


@pytest.mark.parametrize("setting", LIMITS)
@pytest.mark.parametrize("factor", [0.98, 1.02])
def test_the_limit_is_where_a_parabola_begins_to_throw_the_optimizer_out(setting: str, factor: float) -> None:
    hyperparameters, product = LIMITS[setting]
    net, data, _ = quadratic([1.0])
    make = partial(SGD, learning_rate=factor * product, **hyperparameters)
    found = train(net, data, make, 1500)
    assert sharpness_limit(found.optimizer) == pytest.approx(1 / factor, rel=ROUNDING)
    assert (found.losses[0] < np.nan_to_num(found.losses[-1], nan=np.inf)) == (factor > 1)


@pytest.mark.parametrize("make", [Adam, partial(SGD, learning_rate=0.0)])
def test_others_have_no_such_limit(make: Any) -> None:
    assert sharpness_limit(make(tanh_net(2))) is None


def test_sharpness_rises_to_the_limit_and_hovers_there() -> None:
    net = tanh_net()
    found = train(net, DATA, partial(SGD, learning_rate=0.4), 1500, every=15)
    sharpness = sharpness_along(net, DATA, found.weights)
    beyond = int(np.argmax(sharpness > 5))
    assert np.all(sharpness[:beyond] < 5)
    assert np.all(np.abs(sharpness[beyond:] - 5) < 1)
    assert found.losses[-1] < 0.01 * found.losses[0]


def test_weight_decay_takes_its_share_of_the_sharpness_limit() -> None:
    module = tanh_net(2)
    limits = [sharpness_limit(SGD(module, learning_rate=0.1, weight_decay=decay)) for decay in (0.0, 5.0)]
    assert limits == [20.0, 15.0]


def test_full_dampening_has_no_sharpness_limit() -> None:
    assert sharpness_limit(SGD(tanh_net(2), learning_rate=0.1, momentum=0.5, dampening=1.0)) is None
