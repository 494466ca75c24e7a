"""The optimizers: what PyTorch computes, what the lessons' table says, and the laws that each of them keeps."""

from __future__ import annotations

import inspect
import json
import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optimizer_cases import CLASSES, SETTINGS, Model, every_setting, make, path, step

import tinygpt
from tinygpt import SGD, Adam, AdamW, Module, Optimizer, OptimizerState, Tensor, nn, schedules
from tinygpt.optimizers import clip_gradients

REFERENCE_TOLERANCE = 1e-9  # PyTorch orders its products otherwise: each of 25 steps rounds a few times at 1e-16
TABLE_TOLERANCE = 6e-7  # the lessons' table gives six digits of numbers below 1
ROUNDING = 1e-14  # a step is some ten roundings of 1.1e-16 each
PATH_ROUNDING = 1e-12  # and a path some dozens of steps

REFERENCE = json.loads((Path(__file__).parent / "reference" / "optimizers.json").read_text(encoding="ascii"))
LAWS = settings(max_examples=30)  # each example runs paths of 25 steps
GRADIENTS = np.random.default_rng(0).normal(size=(25, 3))
START = np.array([0.5, -1.0, 2.0])


# --- the same numbers as elsewhere ------------------------------------------------------------------------------------


def difference_from_reference(row: dict[str, Any]) -> float:
    """The largest difference from PyTorch's path, relative to numbers above 1."""
    a, b = (np.array(start) for start in REFERENCE["starts"])
    optimizer = CLASSES[row["class"]](Model(a=a, b=b), **row["hyperparameters"])
    worst = 0.0
    for (g, h), expected in zip(REFERENCE["gradients"], row["path"], strict=True):
        step(optimizer, a=g, b=h)
        found = np.append(optimizer.module.a.data, optimizer.module.b.data)
        worst = max(worst, np.max(np.abs(found - expected) / np.maximum(1, np.abs(expected))))
    return float(worst)


@pytest.mark.parametrize(
    "row", REFERENCE["rows"], ids=lambda row: f"{row['class']}-{'-'.join(map(str, row['hyperparameters'].values()))}"
)
def test_every_step_is_pytorchs(row: dict[str, Any]) -> None:
    assert difference_from_reference(row) <= REFERENCE_TOLERANCE


def test_every_optimizer_has_reference_rows() -> None:
    assert {row["class"] for row in REFERENCE["rows"]} == set(CLASSES)


def test_the_reference_visits_every_hyperparameter_of_every_optimizer() -> None:
    visited = {(row["class"], name) for row in REFERENCE["rows"] for name in row["hyperparameters"]}
    owned = {
        (name, p) for name, c in CLASSES.items() for p in c.__init__.__annotations__ if p not in ("module", "return")
    }
    assert visited == owned


DEFAULTS = {
    "SGD": {"momentum": 0.0, "weight_decay": 0.0, "dampening": 0.0, "nesterov": False},
    "Adam": {"learning_rate": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "AdamW": {"learning_rate": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01},
    "RMSProp": {"alpha": 0.99, "eps": 1e-8},
    "AdaGrad": {"eps": 1e-10},
}


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_not_said_is_as_in_pytorch_or_must_be_said(name: str) -> None:
    parameters = inspect.signature(CLASSES[name]).parameters.values()
    assert {p.name: p.default for p in parameters if p.default is not p.empty} == DEFAULTS[name]


@pytest.mark.parametrize(
    ("name", "setting", "expected"),
    [
        ("SGD", {}, (0.9, 0.85, 0.875)),
        ("SGD", {"weight_decay": 0.1}, (0.89, 0.8311, 0.847789)),
        ("SGD", {"momentum": 0.9}, (0.9, 0.76, 0.659)),
        ("SGD", {"momentum": 0.9, "dampening": 0.1}, (0.9, 0.765, 0.666)),
        ("SGD", {"momentum": 0.9, "nesterov": True}, (0.81, 0.634, 0.5681)),
        ("Adam", {}, (0.9, 0.806782, 0.750416)),
        ("Adam", {"eps": 0.1}, (0.909091, 0.826342, 0.77738)),
        ("Adam", {"weight_decay": 0.1}, (0.9, 0.805772, 0.742195)),
        ("AdamW", {"weight_decay": 0.1}, (0.89, 0.787882, 0.723637)),
        ("Adam", {"betas": (0.9, 0.5)}, (0.9, 0.795795, 0.721256)),
    ],
)
def test_three_steps_are_those_of_the_lessons_table(name: str, setting: dict[str, Any], expected: Any) -> None:
    points = path(make(name, Model(w=1.0), **setting), (1, 0.5, -0.25))
    np.testing.assert_allclose(points, expected, rtol=0, atol=TABLE_TOLERANCE)


@pytest.mark.parametrize(
    ("name", "decay", "expected"),
    [
        ("Adam", 1e-4, 1.098),
        ("Adam", 1e-2, 1.098),
        ("Adam", 1.0, 1.098),
        ("AdamW", 1e-4, 1.9998),
        ("AdamW", 1e-2, 1.980),
        ("AdamW", 1.0, 0.732),
    ],
)
def test_without_data_adam_decays_alike_at_any_strength_and_adamw_in_proportion(
    name: str, decay: float, expected: float
) -> None:
    points = path(make(name, Model(w=2.0), learning_rate=0.01, weight_decay=decay), np.zeros(100))
    lesson_rounding = 1e-3  # the lesson gives three decimals; at decay 1e-4 eps shows in the fourth
    assert points[-1] == pytest.approx(expected, abs=lesson_rounding)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_infinite_weight_that_does_not_decay_stays_infinite(name: str) -> None:
    assert path(make(name, Model(w=np.inf), weight_decay=0.0), [1.0]) == [np.inf]


def test_gradient_descent_without_momentum_keeps_no_state() -> None:
    optimizer = make("SGD", Model(w=1.0))
    step(optimizer, w=1.0)
    assert optimizer.state.flatten() == []


# --- the laws of each formula -----------------------------------------------------------------------------------------


@LAWS
@given(w=st.integers(-1000, 1000), h=st.integers(1, 64), rate=st.integers(0, 64))
def test_gradient_descent_on_a_parabola_contracts_by_exactly_one_minus_rate_times_curvature(
    w: int, h: int, rate: int
) -> None:
    model, curvature, learning_rate = Model(w=float(w)), h / 8, rate / 16  # binary fractions: no product is rounded
    (0.5 * curvature * model.w * model.w).backward()
    SGD(model, learning_rate).update()
    assert model.w.item() == (1 - learning_rate * curvature) * w


def distance_after_many_steps(rate: float, curvature: float, **setting: Any) -> float:
    model = Model(w=1.0)
    optimizer = SGD(model, rate, **setting)
    for _ in range(1000):
        step(optimizer, w=curvature * model.w.data)
        if abs(model.w.item()) > 1e3:
            break
    return abs(model.w.item())


STABILITY_LIMITS = [
    *(({"momentum": mu}, 2 * (1 + mu)) for mu in (0.0, 0.5, 0.9)),
    *(({"momentum": mu, "nesterov": True}, (2 + 2 * mu) / (1 + 2 * mu)) for mu in (0.5, 0.9)),
]


@pytest.mark.parametrize("curvature", [0.5, 20.0])
@pytest.mark.parametrize(("setting", "limit"), STABILITY_LIMITS)
def test_momentum_converges_just_below_its_stability_limit(
    setting: dict[str, Any], limit: float, curvature: float
) -> None:
    assert distance_after_many_steps(0.99 * limit / curvature, curvature, **setting) < 1e-6


@pytest.mark.parametrize("curvature", [0.5, 20.0])
@pytest.mark.parametrize(("setting", "limit"), STABILITY_LIMITS)
def test_momentum_diverges_just_above_its_stability_limit(
    setting: dict[str, Any], limit: float, curvature: float
) -> None:
    assert distance_after_many_steps(1.01 * limit / curvature, curvature, **setting) > 1e3


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSProp", "AdaGrad"])
@LAWS
@given(power=st.integers(-60, 60))
def test_without_eps_the_path_of_an_adaptive_optimizer_ignores_the_scale_of_the_loss(name: str, power: int) -> None:
    scaled = path(make(name, Model(w=START), eps=0), 2.0**power * GRADIENTS)  # a power of two rounds nothing
    np.testing.assert_array_equal(scaled, path(make(name, Model(w=START), eps=0), GRADIENTS))


@pytest.mark.parametrize("setting", [setting for name, setting in SETTINGS if name == "SGD"])
@LAWS
@given(power=st.integers(-60, 60))
def test_the_path_of_sgd_from_zero_scales_with_the_loss(setting: dict[str, Any], power: int) -> None:
    scaled = path(make("SGD", Model(w=np.zeros(3)), **setting), 2.0**power * GRADIENTS)
    np.testing.assert_array_equal(scaled, 2.0**power * path(make("SGD", Model(w=np.zeros(3)), **setting), GRADIENTS))


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@LAWS
@given(size=st.floats(1e-100, 1e100), sign=st.sampled_from([-1, 1]), rate=st.floats(1e-6, 10))
def test_without_eps_the_first_step_of_adam_is_the_learning_rate_against_the_sign(
    name: str, size: float, sign: int, rate: float
) -> None:
    model = Model(w=0.0)
    step(make(name, model, learning_rate=rate, eps=0), w=sign * size)
    assert model.w.item() == pytest.approx(-rate * sign, rel=ROUNDING)


@pytest.mark.parametrize("setting", [setting for name, setting in SETTINGS if name == "SGD"])
@LAWS
@given(angle=st.floats(-4, 4))
def test_a_rotation_of_the_landscape_rotates_the_path_of_sgd(setting: dict[str, Any], angle: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    straight = path(make("SGD", Model(w=START[:2]), **setting), GRADIENTS[:, :2])
    turned = path(make("SGD", Model(w=turn @ START[:2]), **setting), GRADIENTS[:, :2] @ turn.T)
    np.testing.assert_allclose(turned, straight @ turn.T, rtol=0, atol=PATH_ROUNDING)


def test_without_gradients_adamw_shrinks_every_weight_by_one_minus_rate_times_decay() -> None:
    points = path(AdamW(Model(w=START), learning_rate=0.1, weight_decay=0.3), np.zeros((25, 3)))
    shrunk = START * (1 - 0.1 * 0.3) ** np.arange(1, 26)[:, None]
    np.testing.assert_allclose(points, shrunk, rtol=PATH_ROUNDING)


@pytest.mark.parametrize("dampening", [0.1, 0.5, 2.0])
def test_dampening_without_momentum_changes_nothing(dampening: float) -> None:
    damped = path(SGD(Model(w=START), 0.1, dampening=dampening), GRADIENTS)
    np.testing.assert_array_equal(damped, path(SGD(Model(w=START), 0.1), GRADIENTS))


def test_adamw_without_decay_is_adam() -> None:
    decoupled = path(AdamW(Model(w=START), 0.1, weight_decay=0), GRADIENTS)
    np.testing.assert_array_equal(decoupled, path(Adam(Model(w=START), 0.1), GRADIENTS))


@every_setting
def test_a_learning_rate_of_zero_moves_nothing(name: str, setting: dict[str, Any]) -> None:
    points = path(make(name, Model(w=START), learning_rate=0, **setting), GRADIENTS)
    np.testing.assert_array_equal(points, np.broadcast_to(START, points.shape))


def swapped(setting: dict[str, Any], **others: Any) -> dict[str, Any]:
    """The setting with other values where it has one by that name."""
    return {key: others.get(key, value) for key, value in setting.items()}


@every_setting
def test_in_a_mirror_every_path_is_mirrored(name: str, setting: dict[str, Any]) -> None:
    mirror = np.array([1, -1, -1])
    mirrored = path(make(name, Model(w=START * mirror), **setting), GRADIENTS * mirror)
    np.testing.assert_array_equal(mirrored, path(make(name, Model(w=START), **setting), GRADIENTS) * mirror)


@every_setting
def test_coordinates_in_another_order_make_the_same_path_in_that_order(name: str, setting: dict[str, Any]) -> None:
    order = [2, 0, 1]
    reordered = path(make(name, Model(w=START[order]), **setting), GRADIENTS[:, order])
    np.testing.assert_array_equal(reordered, path(make(name, Model(w=START), **setting), GRADIENTS)[:, order])


@every_setting
def test_parameters_in_another_order_make_the_same_paths(name: str, setting: dict[str, Any]) -> None:
    ends = []
    for names in (("a", "b"), ("b", "a")):
        model = Model(**{n: {"a": START, "b": -2 * START}[n] for n in names})
        optimizer = make(name, model, **setting)
        for gradient in GRADIENTS:
            step(optimizer, a=gradient, b=gradient[::-1])
        ends.append([model.a.data, model.b.data])
    np.testing.assert_array_equal(*ends)


@every_setting
def test_a_shift_of_the_landscape_shifts_the_path_where_nothing_decays(name: str, setting: dict[str, Any]) -> None:
    plain = swapped(setting, weight_decay=0.0)
    shift = np.array([10.0, -20.0, 0.5])
    shifted = path(make(name, Model(w=START + shift), **plain), GRADIENTS)
    straight = path(make(name, Model(w=START), **plain), GRADIENTS)
    np.testing.assert_allclose(shifted - shift, straight, rtol=0, atol=PATH_ROUNDING)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "RMSProp", "AdaGrad"])
@LAWS
@given(powers=st.lists(st.integers(-60, 60), min_size=3, max_size=3))
def test_without_eps_an_adaptive_optimizer_ignores_the_scale_of_each_slope(name: str, powers: list[int]) -> None:
    scaled = path(make(name, Model(w=START), eps=0), 2.0 ** np.array(powers) * GRADIENTS)
    np.testing.assert_array_equal(scaled, path(make(name, Model(w=START), eps=0), GRADIENTS))


@pytest.mark.parametrize("setting", [setting for name, setting in SETTINGS if name == "SGD"])
@LAWS
@given(power=st.integers(-60, 60))
def test_sgd_divides_a_loss_that_is_larger_by_a_rate_that_is_smaller(setting: dict[str, Any], power: int) -> None:
    plain, factor = swapped(setting, weight_decay=0.0), 2.0**power
    scaled = path(make("SGD", Model(w=START), **{**plain, "learning_rate": 0.1 / factor}), factor * GRADIENTS)
    np.testing.assert_array_equal(scaled, path(make("SGD", Model(w=START), **plain), GRADIENTS))


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_decay_is_a_slope_of_the_weights_own_square(name: str) -> None:
    decaying, by_hand = make(name, Model(w=START), weight_decay=0.3), make(name, Model(w=START))
    for gradient in GRADIENTS:
        step(decaying, w=gradient)
        step(by_hand, w=gradient + 0.3 * by_hand.module.w.data)
    np.testing.assert_array_equal(decaying.module.w.data, by_hand.module.w.data)


def test_the_averages_of_adamw_never_see_its_decay() -> None:
    decaying, plain = AdamW(Model(w=START), 0.1, weight_decay=0.3), Adam(Model(w=START), 0.1)
    for gradient in GRADIENTS:
        w, step_of_adam = decaying.module.w.data, plain.module.w.data
        step(decaying, w=gradient)
        step(plain, w=gradient)
        step_of_adam = plain.module.w.data - step_of_adam
        np.testing.assert_allclose(decaying.module.w.data, w + step_of_adam - 0.1 * 0.3 * w, rtol=0, atol=ROUNDING)
    assert [value.tolist() for _, value in decaying.state.flatten() if isinstance(value, np.ndarray)] == [
        value.tolist() for _, value in plain.state.flatten() if isinstance(value, np.ndarray)
    ]


@pytest.mark.parametrize("dampening", [0.0, 0.25])
def test_under_a_constant_slope_momentum_sums_a_geometric_series(dampening: float) -> None:
    points = path(SGD(Model(w=0.0), 1.0, momentum=0.5, dampening=dampening), [1.0] * 25)
    n = np.arange(25)
    velocity = 0.5**n + (1 - dampening) * (1 - 0.5**n) / (1 - 0.5)  # the first is the slope itself, undampened
    np.testing.assert_allclose(np.diff(points, prepend=0), -velocity, rtol=0, atol=PATH_ROUNDING)


@pytest.mark.parametrize(("name", "setting"), [("Adam", {"betas": (0, 0)}), ("RMSProp", {"alpha": 0})])
def test_without_eps_and_without_memory_a_step_is_the_rate_against_the_sign(name: str, setting: Any) -> None:
    points = path(make(name, Model(w=START), eps=0, **setting), GRADIENTS)
    steps = np.diff(points, axis=0, prepend=START[None])
    np.testing.assert_allclose(steps, -0.1 * np.sign(GRADIENTS), rtol=0, atol=ROUNDING)


def test_the_last_step_of_adagrad_ignores_the_order_of_the_slopes_before_it() -> None:
    last = [path(make("AdaGrad", Model(w=START)), np.append(g, [START], axis=0)) for g in (GRADIENTS, GRADIENTS[::-1])]
    steps = [points[-1] - points[-2] for points in last]
    np.testing.assert_allclose(*steps, rtol=0, atol=ROUNDING)


# --- what every optimizer keeps to ------------------------------------------------------------------------------------


def test_every_optimizer_has_settings_here() -> None:
    assert {name for name, _ in SETTINGS} == set(CLASSES)


@pytest.mark.parametrize("name", CLASSES)
def test_every_optimizer_is_exported_and_one_level_below_the_base(name: str) -> None:
    assert getattr(tinygpt, name).__bases__ == (Optimizer,)


@every_setting
def test_a_parameter_counts_its_own_steps(name: str, setting: dict[str, Any]) -> None:
    model = Model(often=START, seldom=START)
    optimizer = make(name, model, **setting)
    for i, gradient in enumerate(GRADIENTS[:10]):
        step(optimizer, often=-gradient, seldom=gradient if i % 3 == 0 else None)
    alone = path(make(name, Model(w=START), **setting), GRADIENTS[:10:3])
    np.testing.assert_array_equal(model.seldom.data, alone[-1])


@every_setting
def test_a_parameter_without_gradient_is_skipped_and_gets_no_state(name: str, setting: dict[str, Any]) -> None:
    model = Model(a=START, b=START)
    before = model.b.data
    optimizer = make(name, model, **setting)
    step(optimizer, a=GRADIENTS[0])
    assert "b" not in optimizer.state
    assert model.b.data is before


@every_setting
def test_a_frozen_parameter_stays_even_if_it_has_a_gradient(name: str, setting: dict[str, Any]) -> None:
    model = Model(a=START, b=START)
    before = model.b.data
    model.freeze("b")
    optimizer = make(name, model, **setting)
    step(optimizer, a=GRADIENTS[0], b=GRADIENTS[1])
    assert "b" not in optimizer.state
    assert model.b.data is before


@every_setting
def test_a_parameter_frozen_for_a_while_goes_on_as_if_that_time_had_not_been(
    name: str, setting: dict[str, Any]
) -> None:
    model = Model(w=START)
    optimizer = make(name, model, **setting)
    path(optimizer, GRADIENTS[:5])
    model.freeze("w")
    path(optimizer, GRADIENTS[5:8])
    model.unfreeze("w")
    points = path(optimizer, GRADIENTS[8:])
    uninterrupted = path(make(name, Model(w=START), **setting), np.delete(GRADIENTS, slice(5, 8), axis=0))
    np.testing.assert_array_equal(points[-1], uninterrupted[-1])


@every_setting
@pytest.mark.parametrize("shape", [(3,), (1, 3), (0, 2)])
def test_no_array_that_can_be_seen_is_written(name: str, setting: dict[str, Any], shape: tuple[int, ...]) -> None:
    model = Model(w=np.ones(shape))
    optimizer = make(name, model, **setting)
    for gradient in GRADIENTS[:4]:
        model.w.grad = np.resize(gradient, shape)
        seen = [model.w.data, model.w.grad, *(v for _, v in optimizer.state.flatten() if isinstance(v, np.ndarray))]
        for array in seen:
            array.flags.writeable = False
        optimizer.update()  # raises where it writes into one of them
    assert model.w.data.flags.writeable  # the last value is new


@every_setting
def test_parameters_gradients_and_state_share_no_memory(name: str, setting: dict[str, Any]) -> None:
    model = Model(w=START)
    optimizer = make(name, model, **setting)
    for gradient in GRADIENTS[:3]:
        step(optimizer, w=gradient)
        arrays = [model.w.data, model.w.grad]
        arrays += [value for _, value in optimizer.state.flatten() if isinstance(value, np.ndarray)]
        assert not any(np.shares_memory(x, y) for i, x in enumerate(arrays) for y in arrays[:i])


@every_setting
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_parameters_and_state_keep_their_dtype_whatever_numbers_the_hyperparameters_are(
    name: str, setting: dict[str, Any], shape: tuple[int, ...], dtype: Any
) -> None:
    wide = {k: tuple(map(np.float64, v)) if k == "betas" else np.float64(v) for k, v in setting.items()}
    model = Model(w=np.ones(shape, dtype))
    optimizer = make(name, model, learning_rate=np.float64(0.1), **wide)
    for _ in range(3):
        step(optimizer, w=np.ones(shape))
    slots = [value for _, value in optimizer.state.flatten() if not isinstance(value, int)]
    assert {model.w.dtype, *(slot.dtype for slot in slots)} == {np.dtype(dtype)}


@every_setting
def test_a_single_number_goes_the_way_of_a_vector_of_one(name: str, setting: dict[str, Any]) -> None:
    number = path(make(name, Model(w=0.5), **setting), GRADIENTS[:, 0])
    vector = path(make(name, Model(w=np.array([0.5])), **setting), GRADIENTS[:, :1])
    np.testing.assert_allclose(number, vector[:, 0], rtol=PATH_ROUNDING)


@every_setting
def test_tied_parameters_are_updated_once(name: str, setting: dict[str, Any]) -> None:
    weight = Tensor(START, requires_grad=True)
    tied = Model(first=weight, second=Model(again=weight))
    optimizer = make(name, tied, **setting)
    for gradient in GRADIENTS:
        step(optimizer, first=gradient)
    assert list(optimizer.state) in (["first"], [])
    np.testing.assert_array_equal(weight.data, path(make(name, Model(w=START), **setting), GRADIENTS)[-1])


@every_setting
def test_zero_grad_forgets_gradients_and_nothing_else(name: str, setting: dict[str, Any]) -> None:
    model = Model(w=START)
    optimizer = make(name, model, **setting)
    step(optimizer, w=GRADIENTS[0])
    value, slots = model.w.data, optimizer.state.flatten()
    optimizer.zero_grad()
    assert model.w.grad is None
    assert model.w.data is value
    assert all(x is y for (_, x), (_, y) in zip(slots, optimizer.state.flatten(), strict=True))


@every_setting
def test_a_network_learns_with_every_optimizer(name: str, setting: dict[str, Any]) -> None:
    model = nn.MLP((1, 8, 1), Tensor.tanh, np.random.default_rng(0))
    x = np.linspace(-2, 2, 16, dtype=np.float32)[:, None]
    optimizer = make(
        name, model, learning_rate=0.02, **{**setting, "weight_decay": 0} if "weight_decay" in setting else setting
    )
    losses = []
    for _ in range(150):
        loss = ((model(Tensor(x)) - np.sin(x)) ** 2).mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.update()
    assert losses[-1] < 0.5 * losses[0]


# --- elementwise methods, and arrays of hyperparameters ---------------------------------------------------------------


@every_setting
def test_an_elementwise_optimizer_gives_the_same_on_pieces(name: str, setting: dict[str, Any]) -> None:
    assert CLASSES[name].apply_single.elementwise
    whole = path(make(name, Model(w=START), **setting), GRADIENTS)
    pieces = [path(make(name, Model(w=START[s]), **setting), GRADIENTS[:, s]) for s in (slice(0, 1), slice(1, 3))]
    np.testing.assert_array_equal(whole, np.concatenate(pieces, axis=1))


GRIDS: list[tuple[str, dict[str, list[Any]]]] = [
    (
        "SGD",
        {"learning_rate": [0.0, 0.1, 1.0], "momentum": [0.0, 0.9], "weight_decay": [0.0, 0.1], "dampening": [0.0, 0.5]},
    ),
    ("SGD", {"learning_rate": [0.01, 0.1], "momentum": [0.5, 0.9], "weight_decay": [0.0, 0.1], "nesterov": [True]}),
    (
        "Adam",
        {
            "learning_rate": [0.01, 0.1],
            "betas": [(0.0, 0.5), (0.9, 0.999)],
            "eps": [1e-8, 0.1],
            "weight_decay": [0.0, 0.1],
        },
    ),
    (
        "AdamW",
        {
            "learning_rate": [0.01, 0.1],
            "betas": [(0.0, 0.5), (0.9, 0.999)],
            "eps": [1e-8, 0.1],
            "weight_decay": [0.0, 0.1],
        },
    ),
    ("RMSProp", {"learning_rate": [0.01, 0.1], "alpha": [0.0, 0.5, 1.0], "eps": [1e-8, 0.1]}),
    ("AdaGrad", {"learning_rate": [0.01, 0.1], "eps": [1e-10, 0.1]}),
]


@pytest.mark.parametrize(("name", "grid"), GRIDS, ids=[f"{name}-{len(grid)}" for name, grid in GRIDS])
def test_one_run_with_arrays_of_hyperparameters_is_a_run_per_cell(name: str, grid: dict[str, list[Any]]) -> None:
    cells = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    arrays = {key: np.array([cell[key] for cell in cells]) for key in grid if key != "nesterov"}
    if "betas" in arrays:
        arrays["betas"] = tuple(arrays["betas"].T)
    if "nesterov" in grid:
        arrays["nesterov"] = True
    together = path(make(name, Model(w=np.full(len(cells), 0.5)), **arrays), np.repeat(GRADIENTS[:, :1], len(cells), 1))
    apart = np.array([path(make(name, Model(w=0.5), **cell), GRADIENTS[:, 0]) for cell in cells]).T
    np.testing.assert_allclose(together, apart, rtol=PATH_ROUNDING, atol=PATH_ROUNDING)


def test_the_grids_cover_every_optimizer() -> None:
    assert {name for name, _ in GRIDS} == set(CLASSES)


def test_arrays_of_hyperparameters_broadcast_against_the_parameter() -> None:
    rates, momenta = np.array([[0.1], [0.2]]), np.array([0.0, 0.5, 0.9])
    points = path(SGD(Model(w=np.ones((2, 3))), rates, momentum=momenta), GRADIENTS[:, :, None][:, :2] * np.ones(3))
    cell = path(SGD(Model(w=1.0), 0.2, momentum=0.9), GRADIENTS[:, 1])
    np.testing.assert_allclose(points[:, 1, 2], cell, rtol=PATH_ROUNDING, atol=PATH_ROUNDING)


def test_arrays_that_would_enlarge_the_parameter_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must return an array of shape \(3,\) for w, got shape \(2, 3\)"):
        step(SGD(Model(w=START), np.array([[0.1], [0.2]])), w=GRADIENTS[0])


def test_no_array_of_hyperparameters_is_written() -> None:
    arrays = [np.full(3, 0.5) for _ in range(5)]
    for array in arrays:
        array.flags.writeable = False
    rate, b1, b2, eps, decay = arrays
    points = path(Adam(Model(w=START), rate, (b1, b2), eps, decay), GRADIENTS)  # raises where it writes into one
    assert np.all(np.isfinite(points))


@pytest.mark.parametrize("name", CLASSES)
def test_an_override_loses_the_elementwise_mark(name: str) -> None:
    class Override(CLASSES[name]):  # type: ignore[misc, name-defined]
        def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
            return super().apply_single(parameter, state)

    assert not getattr(Override.apply_single, "elementwise", False)


class NormalizedDescent(Optimizer):
    """Every step has the same length, over the whole parameter: not elementwise."""

    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.learning_rate * parameter.grad / np.linalg.norm(parameter.grad)


@pytest.mark.parametrize("shape", [(1,), (3, 4), (500, 1000)])
def test_an_optimizer_that_is_not_elementwise_sees_whole_parameters(shape: tuple[int, ...]) -> None:
    model, rng = Model(a=np.zeros(shape), b=np.zeros(shape)), np.random.default_rng(0)
    step(NormalizedDescent(model, 0.1), a=rng.normal(size=shape), b=rng.normal(size=shape))
    assert [np.linalg.norm(p.data) for p in model.parameters()] == pytest.approx([0.1, 0.1], rel=PATH_ROUNDING)


# --- what a subclass may do -------------------------------------------------------------------------------------------


class Returns(Optimizer):
    """Gives whatever it was told as the parameter's new value."""

    def __init__(self, module: Module, value: Any) -> None:
        super().__init__(module)
        self.value = value

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return self.value


@pytest.mark.parametrize(
    "value",
    [np.array([1.0, 2.0]), Tensor([1.0, 2.0]), Tensor([1.0, 2.0], requires_grad=True), np.array([1, 2]), [1.0, 2.0]],
    ids=["array", "tensor", "trainable tensor", "integers", "list"],
)
def test_the_value_of_apply_single_becomes_the_parameter_in_its_own_dtype(value: Any) -> None:
    model = Model(w=np.zeros(2, np.float32))
    step(Returns(model, value), w=np.ones(2))
    assert isinstance(model.w.data, np.ndarray)
    assert model.w.dtype == np.float32
    assert model.w.data.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("value", [2.5, np.float64(2.5), np.array(2.5), Tensor(2.5)])
def test_a_parameter_without_dimensions_takes_any_single_number(value: Any) -> None:
    model = Model(w=np.float32(0))
    step(Returns(model, value), w=1)
    assert (model.w.item(), model.w.dtype, model.w.shape) == (2.5, np.float32, ())


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.ones(3), r"shape \(3,\): return the parameter's new value"),
        (np.ones((1, 2)), r"shape \(1, 2\): return"),
        (Tensor(np.ones(1)), r"shape \(1,\): return"),
        (1.0, r"shape \(\): return"),
        (None, "None: end it with return"),
    ],
)
def test_a_value_of_another_shape_is_refused(value: Any, found: str) -> None:
    model = Model(w=np.zeros(2))
    with pytest.raises(
        ValueError, match=rf"^Returns\.apply_single must return an array of shape \(2,\) for w, got {found}"
    ):
        step(Returns(model, value), w=np.ones(2))
    assert model.w.data.tolist() == [0, 0]


def test_an_optimizer_without_its_formula_says_what_to_write() -> None:
    with pytest.raises(NotImplementedError, match=r"^Optimizer\.apply_single\(parameter, state\): yours to write$"):
        step(Optimizer(Model(w=START)), w=GRADIENTS[0])


def test_apply_single_gets_the_state_kept_under_the_parameters_whole_name() -> None:
    model = nn.MLP((1, 2, 1), rng=np.random.default_rng(0))
    optimizer = Adam(model)
    model(Tensor(np.ones((1, 1), np.float32))).sum().backward()
    optimizer.update()
    assert optimizer.state["layers.0.weight"]["m"].shape == (1, 2)


# --- schedules --------------------------------------------------------------------------------------------------------


class Recorder(Optimizer):
    """Writes down the learning rate that its formula sees."""

    def __init__(self, module: Module, learning_rate: Any) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate
        self.seen: list[Any] = []

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        self.seen.append(self.learning_rate)
        return parameter.data


def test_the_formula_sees_the_schedules_number_for_updates_counted_from_zero() -> None:
    optimizer = Recorder(Model(a=START, b=START), lambda n: 10 + n)
    for _ in range(3):
        step(optimizer, a=START, b=START)
    assert optimizer.seen == [10, 10, 11, 11, 12, 12]
    assert {type(rate) for rate in optimizer.seen} == {float}


@every_setting
def test_a_schedule_gives_the_path_of_changing_the_number_by_hand(name: str, setting: dict[str, Any]) -> None:
    schedule = schedules.warmup(schedules.cosine(0.5, 20), 5)
    by_hand = make(name, Model(w=START), **setting)
    points = []
    for n, gradient in enumerate(GRADIENTS):
        by_hand.learning_rate = schedule(n)
        points.append(path(by_hand, [gradient])[0])
    scheduled = path(make(name, Model(w=START), learning_rate=schedule, **setting), GRADIENTS)
    np.testing.assert_array_equal(scheduled, points)


def test_updates_are_counted_even_where_no_parameter_has_a_gradient() -> None:
    optimizer = Recorder(Model(w=START), lambda n: n)
    for gradient in (None, None, START):
        step(optimizer, w=gradient)
    assert optimizer.seen == [2]


@pytest.mark.parametrize("wrong", [np.nan, -0.1, None, "a word"])
def test_a_schedule_that_gives_no_rate_is_an_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match=rf"^learning_rate must be >= 0, got {wrong!r}$"):
        step(SGD(Model(w=START), lambda n: wrong), w=GRADIENTS[0])


@every_setting
def test_an_update_without_a_rate_changes_nothing(name: str, setting: dict[str, Any]) -> None:
    model = Model(w=START)
    optimizer = make(name, model, learning_rate=lambda n: np.nan if n == 2 else 0.1, **setting)
    path(optimizer, GRADIENTS[:2])
    before = [model.w.data, optimizer.updates, *(value for _, value in optimizer.state.flatten())]
    with pytest.raises(ValueError, match="learning_rate"):
        step(optimizer, w=GRADIENTS[2])
    after = [model.w.data, optimizer.updates, *(value for _, value in optimizer.state.flatten())]
    assert [x is y for x, y in zip(before, after, strict=True)] == [True] * len(before)


# --- the state --------------------------------------------------------------------------------------------------------


def test_reading_a_missing_key_makes_a_state_there() -> None:
    state = OptimizerState()
    assert isinstance(state["layers.0.weight"]["deeper"], OptimizerState)
    assert state == {"layers.0.weight": {"deeper": {}}}


@pytest.mark.parametrize("default", [None, 0.0, [], "word"])
def test_get_stores_the_default_where_the_key_is_missing(default: Any) -> None:
    state = OptimizerState()
    assert state.get("t", default) is default
    assert state == {"t": default}


def test_get_returns_what_is_there_and_leaves_it() -> None:
    state = OptimizerState(t=0)
    assert state.get("t", 5) == 0
    assert state == {"t": 0}


def test_get_without_a_default_stores_none() -> None:
    state = OptimizerState()
    assert state.get("t") is None
    assert state == {"t": None}


def test_in_and_iteration_create_nothing() -> None:
    state = OptimizerState()
    assert "m" not in state
    assert (list(state), state.flatten(), dict(state)) == ([], [], {})


def test_flatten_gives_every_value_with_its_path_in_order() -> None:
    state, m = OptimizerState(), np.ones(2)
    state["layers.0.weight"]["m"] = m
    state["layers.0.weight"]["t"] = 3
    state["layers.0.bias"]["fast"]["m"] = 0.0
    state["empty"]
    assert state.flatten() == [("layers.0.weight.m", m), ("layers.0.weight.t", 3), ("layers.0.bias.fast.m", 0.0)]


# --- hyperparameters that make no sense -------------------------------------------------------------------------------

NUMBERS = [
    *(("SGD", key, ">= 0") for key in ("learning_rate", "momentum", "weight_decay", "dampening")),
    *((name, key, ">= 0") for name in ("Adam", "AdamW") for key in ("learning_rate", "eps", "weight_decay")),
    ("RMSProp", "learning_rate", ">= 0"),
    ("RMSProp", "alpha", r"in \[0, 1\]"),
    ("RMSProp", "eps", ">= 0"),
    ("AdaGrad", "learning_rate", ">= 0"),
    ("AdaGrad", "eps", ">= 0"),
]
NO_NUMBERS = {
    "minus infinity": -np.inf,
    "none": None,
    "word": "fast",
    "digits as a word": "0.1",
    "digits as bytes": b"1",
    "list": [0.1, 0.2],
    "complex": 1j,
    "object": object(),
    "array with a negative": np.array([0.1, -0.1]),
    "array with nan": np.array([0.1, np.nan]),
    "array of words": np.array(["a", "b"]),
    "complex array": np.array([0.1j]),
    "beyond float": 10**400,
}


@pytest.mark.parametrize("wrong", [-1.0, np.nan])
@pytest.mark.parametrize(("name", "key", "limits"), NUMBERS)
def test_a_negative_hyperparameter_or_nan_is_refused(name: str, key: str, limits: str, wrong: float) -> None:
    with pytest.raises(ValueError, match=rf"^{key} must be {limits}, got {wrong}$"):
        make(name, Model(w=START), **{key: wrong})


@pytest.mark.parametrize("wrong", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_a_hyperparameter_that_is_no_number_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"^momentum must be >= 0, got "):
        SGD(Model(w=START), 0.1, momentum=wrong)


def test_the_table_of_hyperparameters_is_complete() -> None:
    annotated = {(name, key) for name, c in CLASSES.items() for key in c.__init__.__annotations__}
    others = {"module", "return", "nesterov", "betas"}
    assert {(name, key) for name, key, _ in NUMBERS} == {(name, key) for name, key in annotated if key not in others}


@pytest.mark.parametrize("name", CLASSES)
def test_a_learning_rate_is_checked_when_it_is_changed_too(name: str) -> None:
    optimizer = make(name, Model(w=START))
    with pytest.raises(ValueError, match=r"^learning_rate must be >= 0, got nan$"):
        optimizer.learning_rate = np.nan
    assert optimizer.learning_rate == 0.1


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
@pytest.mark.parametrize(
    "betas",
    [
        (1, 0.9),
        (0.9, 1.0),
        (0.9, 1.5),
        (-0.1, 0.9),
        (0.9, np.nan),
        (None, 0.9),
        (0.9,),
        (0.9, 0.99, 0.999),
        0.9,
        None,
        "ab",
        (0.9, np.array([0.5, 1.0])),
    ],
)
def test_betas_that_are_no_pair_below_one_are_refused(name: str, betas: Any) -> None:
    with pytest.raises(ValueError, match=r"^betas must be (a pair of numbers )?in \[0, 1[)\]], got "):
        make(name, Model(w=START), betas=betas)


def test_rmsprop_refuses_an_alpha_above_one() -> None:
    with pytest.raises(ValueError, match=r"^alpha must be in \[0, 1\], got 1\.01$"):
        make("RMSProp", Model(w=START), alpha=1.01)


@pytest.mark.parametrize(
    "setting",
    [
        {},
        {"momentum": 0},
        {"momentum": 0.9, "dampening": 0.1},
        {"momentum": np.array([0.0, 0.9, 0.9])},
        {"momentum": 0.9, "dampening": np.array([0.0, 0.0, 0.1])},
    ],
)
def test_nesterov_without_momentum_or_with_dampening_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^nesterov needs momentum > 0 and dampening == 0, got momentum=.* and damp"):
        SGD(Model(w=START), 0.1, nesterov=True, **setting)


@pytest.mark.parametrize("name", CLASSES)
def test_a_list_of_parameters_in_place_of_the_model_is_refused(name: str) -> None:
    for habit in (list(Model(w=START).parameters()), Model(w=START).parameters(), Tensor(START), None, Model):
        with pytest.raises(TypeError, match=rf"^{name} needs a Module, got \w+: pass the model, not its parameters$"):
            make(name, habit)  # type: ignore[arg-type]


# --- clipping --------------------------------------------------------------------------------------------------------


class Two(Module):
    """Gradients of length 13 together: 3, 4 and 12."""

    def __init__(self, factor: float = 1.0, dtype: Any = np.float64) -> None:
        self.a = Tensor(np.zeros(2, dtype), requires_grad=True)
        self.b = Tensor(np.zeros((1, 1), dtype), requires_grad=True)
        self.c = Tensor(np.zeros(1, dtype), requires_grad=True)
        self.a.grad, self.b.grad = np.array([3, 4], dtype) * dtype(factor), np.array([[12]], dtype) * dtype(factor)


def clipped_length(max_norm: float, factor: float = 1.0) -> float:
    module = Two(factor)
    clip_gradients(module, max_norm)
    return float(np.hypot(np.hypot(*module.a.grad), module.b.grad.item()))


def test_clipping_returns_the_length_before() -> None:
    assert clip_gradients(Two(), 1.0) == 13


@pytest.mark.parametrize("factor", [1, 1e6])
def test_long_gradients_are_shortened_to_the_limit(factor: float) -> None:
    assert clipped_length(1.0, factor) == pytest.approx(1, rel=1e-6 / 13)  # PyTorch's 1e-6 beside the length


def test_gradients_within_the_limit_stay_the_same_arrays() -> None:
    module = Two()
    before = module.a.grad
    clip_gradients(module, 14)
    assert module.a.grad is before


def test_clipping_writes_into_no_gradient() -> None:
    module = Two()
    before = module.a.grad
    clip_gradients(module, 1)
    assert before.tolist() == [3, 4]


def test_clipping_keeps_the_direction() -> None:
    module = Two()
    clip_gradients(module, 1)
    assert module.a.grad[0] / module.b.grad.item() == pytest.approx(3 / 12, rel=1e-15)


def test_clipping_keeps_float32() -> None:
    module = Two(dtype=np.float32)
    clip_gradients(module, 1)
    assert module.a.grad.dtype == np.float32


def test_clipping_to_zero_stops_everything() -> None:
    assert clipped_length(0.0) == 0


def test_without_gradients_the_length_is_zero() -> None:
    module = Two()
    module.zero_grad()
    assert clip_gradients(module, 1) == 0


@pytest.mark.parametrize("max_norm", [-1, np.nan])
def test_clipping_wants_a_length(max_norm: float) -> None:
    with pytest.raises(ValueError, match=r"^max_norm must be >= 0, got "):
        clip_gradients(Two(), max_norm)
