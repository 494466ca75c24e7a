"""The laws of every optimizer: ours keep them all, and who breaks one is told which."""

from __future__ import annotations

from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from optimizer_cases import CLASSES, SETTINGS, every_setting
from readers import Normalised, Scaled, Sign

from tinygpt import SGD, Module, Optimizer, OptimizerState, Tensor, schedules
from tinygpt.lab.exercises import LAWS, conformance
from tinygpt.optimizers import elementwise


class Plain(Optimizer):
    """Gradient descent with momentum, in which each broken one below changes a line."""

    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        state["v"] = 0.9 * state.get("v", 0.0) + parameter.grad
        return parameter.data - self.learning_rate * state["v"]


class Unwritten(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        raise NotImplementedError("yours to write")


class Infinite(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return super().apply_single(parameter, state) / 0.0


class Random(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return super().apply_single(parameter, state) + np.random.default_rng().normal()


class WritesIntoTheGradient(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        g = parameter.grad
        g *= 0.5
        return super().apply_single(parameter, state)


class WritesIntoAnEarlierGradient(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        if "v" in state:
            state["v"] *= 0.9
            state["v"] += parameter.grad
        else:
            state["v"] = parameter.grad  # and not a copy
        return parameter.data - self.learning_rate * state["v"]


class TakesTheGradientAway(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        value = super().apply_single(parameter, state)
        parameter.grad = None
        return value


class WritesIntoTheWeight(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        w = parameter.data
        w -= self.learning_rate * parameter.grad
        return w


class Flattens(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return np.atleast_2d(super().apply_single(parameter, state))


class Widens(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - np.float64(self.learning_rate) * parameter.grad


class WidensItsState(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        state["v"] = np.float64(0.9) * state.get("v", 0.0) + parameter.grad
        return parameter.data - self.learning_rate * state["v"].astype(parameter.dtype)


class MakesStatesAhead(Plain):
    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module, learning_rate)
        for name, _ in module.named_parameters():
            self.state[name]["v"] = 0.0


class MovesTheIdle(Plain):
    def update(self) -> None:
        for parameter in self.module.parameters():
            if parameter.grad is None:
                parameter.data = 0.99 * parameter.data
        super().update()


class OneMemoryForAll(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return super().apply_single(parameter, self.state["all"])


class LosesTheCount(Plain):
    def load_state(self, file_or_weights: Any, strict: bool = True) -> None:
        super().load_state(file_or_weights, strict)
        self.updates = 0


class RemembersElsewhere(Plain):
    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module, learning_rate)
        self.memory: dict[int, OptimizerState] = {}

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return super().apply_single(parameter, self.memory.setdefault(id(parameter), OptimizerState()))


class DividesByZero(Plain):
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.learning_rate * parameter.grad / abs(parameter.grad)


class WronglyMarked(Plain):
    @elementwise
    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.learning_rate * parameter.grad / (1 + np.linalg.norm(parameter.grad))


class RateOfItsOwn(Plain):
    """Multiplies by what may be a schedule."""

    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module, learning_rate)
        self.rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.rate * parameter.grad


class AsksOnce(Plain):
    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module, learning_rate(0) if callable(learning_rate) else learning_rate)


class AnyRate(Plain):
    def __init__(self, module: Module, learning_rate: Any = 0.1) -> None:
        super().__init__(module, 0.1)
        self.rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        rate = self.rate(self.updates) if callable(self.rate) else self.rate
        return parameter.data - rate * parameter.grad


class AnyMomentum(Plain):
    def __init__(self, module: Module, learning_rate: Any = 0.1, momentum: float = 0.9) -> None:
        super().__init__(module, learning_rate)
        self.momentum = momentum


class AnyBetas(Plain):
    def __init__(self, module: Module, learning_rate: Any = 0.1, betas: Any = (0.9, 0.99)) -> None:
        super().__init__(module, learning_rate)
        self.betas = betas


BROKEN: list[tuple[type[Optimizer], str, str]] = [  # who, which law alone, and what is said
    (Unwritten, "takes steps", "still to write"),
    (Infinite, "takes steps", "infinite or not a number"),
    (Random, "deterministic", "seeded"),
    (WritesIntoTheGradient, "gradient untouched", "step 1 changed the gradient of step 1"),
    (WritesIntoAnEarlierGradient, "gradient untouched", "step 2 changed the gradient of step 1"),
    (TakesTheGradientAway, "gradient untouched", "step 1 changed"),
    (WritesIntoTheWeight, "old weights untouched", "step 1 wrote into the old weights"),
    (Flattens, "shape kept", "must return an array of shape () for w, got shape (1, 1)"),
    (Widens, "float32 stays float32", "the new weight became float64"),
    (WidensItsState, "float32 stays float32", "w.v became float64"),
    (MakesStatesAhead, "None gradients skipped", "got a state"),
    (MovesTheIdle, "None gradients skipped", "without a gradient moved"),
    (OneMemoryForAll, "each parameter has its own state", "beside another than alone"),
    (LosesTheCount, "state round-trips", "is not what it was"),
    (RemembersElsewhere, "resume exact", "none on self"),
    (DividesByZero, "a zero gradient survived", "small eps"),
    (WronglyMarked, "elementwise mark true", "take the mark"),
    (RateOfItsOwn, "schedules work", "return parameter.data - self.rate * parameter.grad"),
    (AsksOnce, "schedules work", "not asked at every step"),
    (AnyRate, "learning rate validated", "learning_rate = -1.0 is accepted"),
    (AnyMomentum, "other hyperparameters validated", "momentum = nan is accepted"),
    (AnyBetas, "other hyperparameters validated", "betas = (nan, nan) is accepted"),
]
report_on = cache(conformance)  # several tests read the same report
each = pytest.mark.parametrize(("broken", "law", "told"), BROKEN, ids=[broken.__name__ for broken, _, _ in BROKEN])


# --- who keeps the laws ----------------------------------------------------------------------------------------------


@every_setting
def test_our_own_optimizers_keep_every_law(name: str, setting: dict[str, Any]) -> None:
    report = conformance(CLASSES[name], **setting)
    assert report.passed, report


def test_all_our_own_optimizers_are_tried() -> None:
    assert {name for name, _ in SETTINGS} == set(CLASSES)


def test_what_the_broken_ones_are_made_from_keeps_every_law() -> None:
    assert conformance(Plain).passed


@pytest.mark.parametrize("reader", [Sign, Normalised, Scaled])
def test_a_readers_optimizer_keeps_the_laws_of_what_it_has(reader: type[Optimizer]) -> None:
    assert {finding.law for finding in conformance(reader).broken} <= {"other hyperparameters validated"}


# --- who breaks one --------------------------------------------------------------------------------------------------


@each
def test_who_breaks_a_law_is_told_that_law_alone(broken: type[Optimizer], law: str, told: str) -> None:
    assert [finding.law for finding in report_on(broken).broken] == [law]


@each
def test_what_differs_is_told(broken: type[Optimizer], law: str, told: str) -> None:
    assert told in report_on(broken).broken[0].differs


def test_every_law_has_one_who_breaks_it() -> None:
    assert {law for _, law, _ in BROKEN} == set(LAWS)


def test_a_state_that_no_file_can_hold_is_told() -> None:
    class Unsaveable(Plain):
        def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
            state["seen"] = {1, 2}
            return super().apply_single(parameter, state)

    broken = conformance(Unsaveable).broken
    assert [finding.law for finding in broken] == ["state round-trips", "resume exact"]
    assert "got a set at state.w.seen" in broken[0].differs


@pytest.mark.parametrize("unable", [Unwritten, Infinite, Random])
def test_where_nothing_can_be_compared_the_other_laws_are_left_out(unable: type[Optimizer]) -> None:
    report = conformance(unable)
    assert not report.findings[-1].passed
    assert len(report) < len(LAWS)


# --- how it is asked for ---------------------------------------------------------------------------------------------


def test_a_report_goes_through_all_laws_in_order() -> None:
    assert [finding.law for finding in conformance(Plain)] == list(LAWS)


def test_a_partial_serves_as_well_as_keywords() -> None:
    bound = conformance(partial(SGD, learning_rate=0.1, momentum=0.9, nesterov=True))
    assert repr(bound) == repr(conformance(SGD, learning_rate=0.1, momentum=0.9, nesterov=True))


def test_keywords_reach_the_optimizer() -> None:
    assert not conformance(CLASSES["Adam"], eps=0.0).passed  # which a zero gradient does not survive


def test_a_schedule_may_be_given() -> None:
    assert conformance(SGD, learning_rate=schedules.cosine(0.1, 10)).passed


def test_a_refused_keyword_is_told() -> None:
    assert "learning_rate must be >= 0, got -1.0" in conformance(SGD, learning_rate=-1.0).broken[0].differs


@pytest.mark.parametrize("nonsense", [3, SGD(Module(), 0.1), Module, lambda module: "nothing"])
def test_what_is_no_optimizer_class_is_told(nonsense: Any) -> None:
    report = conformance(nonsense)
    assert ([finding.law for finding in report], report.passed) == (["takes steps"], False)


def test_the_check_leaves_the_class_as_it_was() -> None:
    before = dict(vars(Scaled))
    conformance(Scaled)
    assert dict(vars(Scaled)) == before


# --- how it is shown -------------------------------------------------------------------------------------------------


def test_a_report_says_kept_and_broken_by_sign_and_word() -> None:
    lines = repr(conformance(AnyMomentum)).splitlines()
    assert lines[0] == "AnyMomentum keeps 14 of 15 laws"
    assert lines[1] == "✓ takes steps"
    assert lines[-1].startswith("✗ other hyperparameters validated: momentum = nan is accepted")


@each
def test_a_report_is_the_same_each_time(broken: type[Optimizer], law: str, told: str) -> None:
    assert repr(conformance(broken)) == repr(report_on(broken))


def test_a_report_in_html_says_what_its_words_say() -> None:
    report = conformance(WritesIntoTheGradient)
    html = report._repr_html_().replace("<code>", "`").replace("</code>", "`")
    assert html == f"<div>{repr(report).replace(chr(10), '<br>')}</div>"
