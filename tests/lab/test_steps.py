"""Steps: what is recorded is what was done, and the anatomy's formulas come to it, in numbers and in words."""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from optimizer_cases import CLASSES
from readers import Drift, Fragile, Normalised, Scaled, Sign

from tinygpt import SGD, AdaGrad, Adam, AdamW, Module, Optimizer, OptimizerState, RMSProp, Tensor
from tinygpt.lab.descent import descend
from tinygpt.lab.steps import UPDATE, Anatomy, Line, Step, anatomy, walk
from tinygpt.lab.words import number

ROUNDING = 1e-13  # of ten roundings, in steps of a length near that of the position
WORDS_ROUNDING = 1e-10  # √v̂ + ε from numbers of 17 digits, where 1 − β₂ cancels three of them

SETTINGS: dict[str, Any] = {
    "SGD": partial(SGD, learning_rate=0.05),
    "SGD decay": partial(SGD, learning_rate=0.05, weight_decay=0.3),
    "momentum": partial(SGD, learning_rate=0.02, momentum=0.9),
    "momentum, decay, dampening": partial(SGD, learning_rate=0.05, momentum=0.7, weight_decay=0.1, dampening=0.4),
    "dampened away": partial(SGD, learning_rate=0.02, momentum=0.9, dampening=1.0),
    "dampening without momentum": partial(SGD, learning_rate=0.05, dampening=0.4),
    "Nesterov": partial(SGD, learning_rate=0.02, momentum=0.9, nesterov=True),
    "Nesterov decay": partial(SGD, learning_rate=0.02, momentum=0.5, weight_decay=0.1, nesterov=True),
    "momentum by axis": partial(SGD, learning_rate=0.02, momentum=np.array([0.0, 0.9]), dampening=0.5),
    "schedule": partial(SGD, learning_rate=lambda t: 0.05 / (1 + t)),
    "RMSProp": partial(RMSProp, learning_rate=0.02),
    "RMSProp forgetful": partial(RMSProp, learning_rate=0.02, alpha=0.5, eps=0.1),
    "AdaGrad": partial(AdaGrad, learning_rate=0.5),
    "AdaGrad large eps": partial(AdaGrad, learning_rate=0.5, eps=1.0),
    "Adam": partial(Adam, learning_rate=0.1),
    "Adam decay": partial(Adam, learning_rate=0.1, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.1),
    "Adam without memory": partial(Adam, learning_rate=0.1, betas=(0.0, 0.0)),
    "AdamW": partial(AdamW, learning_rate=0.1),
    "AdamW decay": partial(AdamW, learning_rate=0.1, betas=(0.8, 0.95), weight_decay=0.5),
    "Adam schedule": partial(Adam, learning_rate=lambda t: 0.1 * 0.9**t),
    "Adam by axis": partial(Adam, learning_rate=np.array([0.1, 0.02])),
}
OWN: dict[str, Any] = {"Sign": Sign, "Normalised": Normalised, "Scaled": Scaled, "Drift": partial(Drift, x=0.01)}
DIVIDING = [label for label, make in SETTINGS.items() if make.func is not SGD]
every_setting = pytest.mark.parametrize("label", SETTINGS)
every_dividing = pytest.mark.parametrize("label", DIVIDING)
every_own = pytest.mark.parametrize("label", OWN)


def anatomies(label: str, surface: Any = "quadratic", steps: int = 12) -> list[tuple[Step, Anatomy]]:
    """Every step of a walk, with its anatomy."""
    seen = walk(surface, {**SETTINGS, **OWN}[label], steps=steps)
    assert len(seen.steps) == steps
    return [(step, anatomy(seen.optimizer, step)) for step in seen.steps]


# --- the record -------------------------------------------------------------------------------------------------------


@every_setting
def test_a_watched_walk_is_that_of_one_unwatched(label: str) -> None:
    watched = walk("beale", SETTINGS[label], steps=40).trajectory
    alone = descend("beale", {"it": SETTINGS[label]}, steps=40)["it"]
    np.testing.assert_array_equal(watched.points, alone.points)


@pytest.mark.parametrize("label", [*SETTINGS, *OWN])
def test_each_step_leads_from_one_point_of_the_walk_to_the_next(label: str) -> None:
    seen = walk("quadratic", {**SETTINGS, **OWN}[label], steps=20)
    points = seen.trajectory.points
    np.testing.assert_array_equal([step.position for step in seen.steps], points[:-1])
    np.testing.assert_array_equal([step.update for step in seen.steps], np.diff(points, axis=0))


def test_the_gradient_is_the_surfaces() -> None:
    for step, _ in anatomies("Adam", "rosenbrock"):
        x, y = step.position
        np.testing.assert_allclose(step.gradient, [-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])


@every_setting
def test_what_was_remembered_after_a_step_is_there_before_the_next(label: str) -> None:
    steps = [step for step, _ in anatomies(label)]
    for one, two in pairwise(steps):
        assert one.after.keys() == two.before.keys()
        for name, value in one.after.items():
            np.testing.assert_array_equal(value, two.before[name])


def test_the_record_ends_with_what_the_optimizer_remembers() -> None:
    seen = walk("booth", Adam, steps=9)
    state = seen.optimizer.state["position"]
    assert {name: np.array_equal(value, state[name]) for name, value in seen.steps[-1].after.items()} == {
        "t": True,
        "m": True,
        "v": True,
    }


class Hoarder(Optimizer):
    """Remembers all kinds of things, and writes into them."""

    def __init__(self, module: Module) -> None:
        super().__init__(module)
        self.state["shared"]["total"] = 0.0

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        buffer = state.get("buffer", np.zeros(2))
        buffer += 1
        state["tensor"], state["word"], state["deep"]["inner"] = Tensor([1.0, 2.0]), "text", np.eye(2)
        self.state["shared"]["total"] += 1
        return parameter.data - 0.01 * parameter.grad


def test_all_that_is_a_number_or_an_array_is_found_wherever_it_is() -> None:
    found = walk("booth", Hoarder, steps=1).steps[0].after
    assert set(found) == {"shared.total", "buffer", "tensor", "deep.inner"}


def test_the_record_is_a_copy() -> None:
    steps = walk("booth", Hoarder, steps=3).steps
    assert [step.after["buffer"].tolist() for step in steps] == [[1, 1], [2, 2], [3, 3]]


def test_steps_count_from_one() -> None:
    assert [step.number for step, _ in anatomies("SGD", steps=3)] == [1, 2, 3]


def test_a_walk_that_diverges_has_the_steps_up_to_there() -> None:
    seen = walk("quadratic", partial(SGD, learning_rate=1.0), steps=50)
    assert len(seen.steps) == seen.trajectory.diverged_at
    assert np.isfinite([step.gradient for step in seen.steps]).all()


def test_a_start_off_the_map_has_no_steps() -> None:
    assert walk("quadratic", Adam, start=(1e9, 0.0)).steps == ()


def test_the_trajectory_keeps_the_real_optimizer() -> None:
    seen = walk("booth", Adam, steps=2)
    assert type(seen.trajectory.optimizer) is Adam
    assert seen.trajectory.optimizer is seen.optimizer


def test_an_error_of_the_optimizer_is_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="out of my depth"):
        walk("booth", partial(Fragile, learning_rate=2.0))


# --- the formula ------------------------------------------------------------------------------------------------------


def calculated(words: str) -> Any:
    """What a formula with its numbers comes to, as Python counts."""
    code = re.sub(r"\(([^()]*,[^()]*)\)", r"np.array([\1])", words)  # (1, 2) is a vector
    code = code.replace("·", "*").replace("−", "-")
    code = re.sub(r"√(np\.array\(\[[^\]]*\]\)|[\d.e-]+)", r"np.sqrt(\1)", code)
    powers = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
    code = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda found: "**" + found[0].translate(powers), code)
    return eval(code, {"np": np})


@every_setting
@pytest.mark.parametrize("surface", ["quadratic", "booth"])
def test_the_last_line_is_the_step_really_taken(surface: str, label: str) -> None:
    for step, seen in anatomies(label, surface):
        assert seen.lines[-1].name == UPDATE
        np.testing.assert_allclose(seen.lines[-1].value, step.update, rtol=ROUNDING, atol=ROUNDING)


@every_setting
def test_the_numbers_in_every_line_come_to_its_value(label: str) -> None:
    for _, seen in anatomies(label):
        for line in seen.lines:
            assert calculated(line.numbers(digits=17)) == pytest.approx(line.value, rel=WORDS_ROUNDING)


@every_setting
def test_no_letter_is_left_without_its_number(label: str) -> None:
    for _, seen in anatomies(label):
        for line in seen.lines:
            assert not re.search("[a-zA-Zα-ωᵗ∂β₁₂̂]", re.sub(r"(?<=\d)e", "", line.numbers()))


@every_setting
def test_a_letter_means_what_a_line_above_it_says(label: str) -> None:
    for _, seen in anatomies(label):
        told: dict[str, Any] = {}
        for line in seen.lines:
            for name, value in told.items():
                assert line.letters[name] is value
            told[line.name] = line.value


@every_setting
def test_a_gradient_that_decays_is_told_apart_from_the_slope(label: str) -> None:
    make = SETTINGS[label].keywords
    coupled = bool(make.get("weight_decay")) and not label.startswith("AdamW")
    for step, seen in anatomies(label):
        formula = "∂loss/∂w + decay · w" if coupled else "∂loss/∂w"
        expected = step.gradient + (make.get("weight_decay", 0.0) if coupled else 0.0) * step.position
        assert seen.lines[0].formula == formula
        np.testing.assert_allclose(seen.lines[0].value, expected, rtol=ROUNDING)


def test_the_first_velocity_is_the_gradient_itself() -> None:
    seen = anatomies("momentum, decay, dampening")[0][1]
    assert [line.formula for line in seen.lines if line.name == "v"] == ["g"]


def test_every_class_has_an_anatomy() -> None:
    for name, made in CLASSES.items():
        seen = walk("booth", partial(made, learning_rate=0.01), steps=1)
        last = anatomy(seen.optimizer, seen.steps[0]).lines[-1]
        assert (name, bool(last.formula)) == (name, True)


class Patient(Adam):
    """Adam with another default: the formula is Adam's."""

    def __init__(self, module: Module, learning_rate: Any = 0.05) -> None:
        super().__init__(module, learning_rate, betas=(0.99, 0.999))


class Uncorrected(Adam):
    """Adam without the correction: another formula."""

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        m = state["m"] = self.betas[0] * state.get("m", 0.0) + (1 - self.betas[0]) * parameter.grad
        return parameter.data - self.learning_rate * m


class Halved(Adam):
    """Adam, and then half of the way back."""

    def update(self) -> None:
        before = self.module.position.data
        super().update()
        self.module.position.data = (before + self.module.position.data) / 2


@pytest.mark.parametrize(("made", "known"), [(Patient, True), (Uncorrected, False), (Halved, False)])
def test_a_subclass_is_known_as_long_as_it_keeps_the_formula(made: Any, known: bool) -> None:
    seen = walk("booth", made, steps=3)
    for step in seen.steps:
        last = anatomy(seen.optimizer, step).lines[-1]
        assert bool(last.formula) == known
        np.testing.assert_allclose(last.value, step.update, rtol=ROUNDING, atol=ROUNDING)


@every_own
def test_for_a_readers_own_every_array_in_the_state_is_shown(label: str) -> None:
    for step, seen in anatomies(label, "booth"):
        shown = {line.name: line.value for line in seen.lines[1:-1]}
        assert shown.keys() == step.after.keys()
        assert all(shown[name] is value for name, value in step.after.items())


# --- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [label for label in SETTINGS if label not in DIVIDING])
def test_gradient_and_momentum_add_up_to_the_update_of_sgd(label: str) -> None:
    for step, seen in anatomies(label):
        total = sum(arrow.vector for arrow in seen.arrows)
        np.testing.assert_allclose(total, step.update, rtol=ROUNDING, atol=ROUNDING)
        assert all(arrow.to_scale for arrow in seen.arrows)


@every_dividing
def test_the_gradient_of_those_that_divide_shows_a_direction_only(label: str) -> None:
    for _, seen in anatomies(label):
        arrow = next(arrow for arrow in seen.arrows if arrow.name == "gradient")
        assert (arrow.to_scale, arrow.symbol) == (False, "−g")
        np.testing.assert_array_equal(arrow.vector, -seen.lines[0].value)


@every_dividing
def test_the_ellipse_goes_through_the_end_of_the_step(label: str) -> None:
    for step, seen in anatomies(label):
        ellipse: Any = seen.ellipse
        tip = (step.position + step.update - ellipse.middle) / ellipse.axes
        assert np.hypot(*tip) == pytest.approx(1, rel=1e-9)  # of differences of positions


@every_dividing
def test_the_ellipse_is_as_wide_as_the_preconditioner_says(label: str) -> None:
    for _, seen in anatomies(label):
        ellipse: Any = seen.ellipse
        values = {line.name: line.value for line in seen.lines}
        letters = seen.lines[-1].letters
        size = np.sqrt(values.get("v̂", values["v"])) + letters["ε"]
        rate = letters["λ"] * np.ones(2)
        ratio = (rate / size)[0] / (rate / size)[1]
        assert ellipse.axes[0] / ellipse.axes[1] == pytest.approx(ratio, rel=ROUNDING)
        np.testing.assert_allclose(ellipse.shortened, letters["ε"] / size, rtol=ROUNDING)
        np.testing.assert_array_equal(seen.box, rate)


@pytest.mark.parametrize("label", ["Adam", "AdaGrad", "AdamW", "Adam without memory"])
def test_the_first_step_of_adam_and_adagrad_ends_in_a_corner_of_the_box(label: str) -> None:
    step, seen = anatomies(label)[0]
    ellipse: Any = seen.ellipse
    tip = np.abs(step.position + step.update - ellipse.middle)
    np.testing.assert_allclose(tip, seen.box, rtol=1e-8)  # ε against gradients of 1 and more


def test_the_ellipse_of_adamw_begins_where_the_decay_has_led() -> None:
    for step, seen in anatomies("AdamW decay"):
        ellipse: Any = seen.ellipse
        np.testing.assert_allclose(ellipse.middle, (1 - 0.1 * 0.5) * step.position, rtol=ROUNDING)
        decay = seen.arrows[-1]
        assert (decay.name, decay.to_scale) == ("decay", True)
        np.testing.assert_allclose(step.position + decay.vector, ellipse.middle, rtol=ROUNDING)


@pytest.mark.parametrize(("start", "eps"), [((0.0, 1.0), 0.0), ((0.0, 0.0), 1e-8)])  # 0 / 0, and no step at all
def test_where_there_is_nothing_to_divide_there_is_no_ellipse(start: Any, eps: float) -> None:
    seen = walk("quadratic", partial(Adam, eps=eps), start=start, steps=1)
    assert anatomy(seen.optimizer, seen.steps[0]).ellipse is None


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "0.5"),
        (-1234.5, "−1230"),
        (1e-8, "1e−8"),
        (0.0, "0"),
        (-0.0, "0"),
        (np.array([-0.25, 3.0]), "(−0.25, 3)"),
        (np.eye(2), "((1, 0), (0, 1))"),
        (np.True_, "1"),
        (np.nan, "nan"),
        (123456e4, "1.23e9"),
    ],
)
def test_numbers_are_written_as_a_person_would(value: Any, words: str) -> None:
    assert number(value) == words


def test_the_longer_letter_goes_first() -> None:
    line = Line("Δw", "−λ · m̂ / (√v̂ + ε)", {"λ": 0.1, "m": 7.0, "v": 7.0, "m̂": 1.0, "v̂": 4.0, "ε": 0.5}, -0.04)
    assert line.numbers() == "−0.1 · 1 / (√4 + 0.5)"


def test_the_step_is_written_as_a_raised_number() -> None:
    line = Line("m̂", "m / (1 − β₁ᵗ)", {"m": 1.0, "β₁": 0.9, "ᵗ": 12}, 1.0)
    assert line.numbers() == "1 / (1 − 0.9¹²)"
