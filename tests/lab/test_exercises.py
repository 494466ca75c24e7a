"""The exercises: every stub is still to write, every solution correct, every plausible slip told with its cause."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from optimizer_cases import CLASSES

from tinygpt import Adam, Module, Optimizer, OptimizerState, Tensor
from tinygpt.lab.conventions import RateInside
from tinygpt.lab.exercises import EXERCISES, buggy, check, conformance, hidden_ravine, hints, measured_floor, mystery
from tinygpt.lab.exercises.adaptive import BUGGY
from tinygpt.lab.exercises.exercise import Follows
from tinygpt.lab.exercises.first import FLAT, STEEP
from tinygpt.lab.exercises.slips import edited
from tinygpt.lab.exercises.verdict import LEVELS
from tinygpt.lab.failure import AMSGrad, largest_failing_beta2
from tinygpt.lab.noise import noise_floor
from tinygpt.lab.spectrum import Lion
from tinygpt.lab.surfaces import as_surface

Apply = Callable[[Any, Tensor, OptimizerState], Any]


class Reader(Optimizer):
    """What a notebook gives: an __init__ for every exercise, and apply_single to be written."""

    def __init__(
        self,
        module: Module,
        learning_rate: Any = 0.1,
        betas: Any = (0.9, 0.999),
        eps: float = 1e-8,
        alpha: float = 0.99,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(module)
        self.learning_rate, self.betas, self.eps, self.alpha = learning_rate, betas, eps, alpha
        self.weight_decay = weight_decay


def by(apply_single: Apply) -> type[Optimizer]:
    """An optimizer as a reader writes it."""
    return type("Answer", (Reader,), {"apply_single": apply_single})


# --- answers that are right, written independently -------------------------------------------------------------------


def descend(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    return parameter.data - self.learning_rate * parameter.grad


def rms_prop(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    state["square"] = self.alpha * state.get("square", 0.0) + (1 - self.alpha) * parameter.grad**2
    return parameter.data - self.learning_rate * parameter.grad / (np.sqrt(state["square"]) + self.eps)


def adam(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    g, (b1, b2) = parameter.grad, self.betas
    state["n"] = state.get("n", 0) + 1
    state["mean"] = b1 * state.get("mean", 0.0) + (1 - b1) * g
    state["size"] = b2 * state.get("size", 0.0) + (1 - b2) * g * g
    mean, size = state["mean"] / (1 - b1 ** state["n"]), state["size"] / (1 - b2 ** state["n"])
    return parameter.data - self.learning_rate * mean / (size**0.5 + self.eps)


class ThreeLines(Adam):
    """AdamW as the lesson asks for it."""

    def __init__(self, module: Module, learning_rate: float = 1e-3, weight_decay: float = 0.01) -> None:
        super().__init__(module, learning_rate)
        self.decay = weight_decay

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return super().apply_single(parameter, state) - self.learning_rate * self.decay * parameter.data


def hypotenuse(x: Any, y: Any) -> Any:
    value = (x * x + y * y) ** 0.5
    return value, (lambda g: g * x / value, lambda g: g * y / value)


def tail_average(points: Any, tail: int) -> Any:
    return sum(points[-tail:]) / tail


def tune(train: Any) -> Any:
    settings = [(rate, momentum) for rate in (0.01, 0.1, 0.3) for momentum in (0.0, 0.8, 0.9)]
    losses = [train(rate, momentum) for rate, momentum in settings]
    return settings[int(np.argmin(losses))]


class BoldAdam(Adam):
    """Adam with a longer step."""

    def __init__(self, module: Module, learning_rate: float = 3e-3) -> None:
        super().__init__(module, learning_rate)


class Slow(Optimizer):
    """Gradient descent with Adam's learning rate, which here is far too small."""

    def __init__(self, module: Module, learning_rate: float = 1e-3) -> None:
        super().__init__(module)
        self.learning_rate = learning_rate

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - self.learning_rate * parameter.grad


class Uphill(Slow):
    """Steps along the gradient."""

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data + 100 * self.learning_rate * parameter.grad


class Wild(Slow):
    """Steps so long that the weights overflow."""

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return parameter.data - 1e30 * self.learning_rate * np.sign(parameter.grad)


SOLUTIONS: dict[str, list[Any]] = {
    "GradientDescent": [by(descend), CLASSES["SGD"]],
    "hypotenuse": [hypotenuse],
    "ravine_rate": [2 / 15, 0.1333 * 1.04, lambda: 0.13],
    "heavy_ball": [(0.03, 0.7), [0.027, 0.72]],
    "floor_rate": [0.02, 0.0199],
    "tail_average": [tail_average],
    "RMSProp": [by(rms_prop), CLASSES["RMSProp"]],
    "first_step": [0.9],
    "Adam": [by(adam), CLASSES["Adam"]],
    "bug_hunt": [{"A": "v", "B": "return", "C": "v_hat", "D": "t"}],
    "AdamW": [ThreeLines, CLASSES["AdamW"]],
    "AMSGrad": [AMSGrad],
    "failing_beta2": [0.47, 0.465, largest_failing_beta2(3.0, 3)],
    "tune": [tune, lambda train: (0.3, 0.8)],
    "Rival": [BoldAdam],
    "Lion": [Lion],
    "Mystery": [partial(RateInside, momentum=0.9, nesterov=True)],
}


# --- answers that are plausibly wrong, and what is said of them ------------------------------------------------------


def wrote_into_the_gradient(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    parameter.grad *= self.learning_rate
    return parameter.data - parameter.grad


def wrote_into_the_weight(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    parameter.data -= self.learning_rate * parameter.grad
    return parameter.data


def forgot_to_return(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    parameter.data - self.learning_rate * parameter.grad


def misspelt(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    return parameter.data - self.leaning_rate * parameter.grad


def without_a_start(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    state["v"] = self.alpha * state["v"] + (1 - self.alpha) * parameter.grad**2
    return parameter.data - self.learning_rate * parameter.grad / (np.sqrt(state["v"]) + self.eps)


def unrooted(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    v = state["v"] = self.alpha * state.get("v", 0.0) + (1 - self.alpha) * parameter.grad**2
    return parameter.data - self.learning_rate * parameter.grad / (v + self.eps)


def eps_in_the_root(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    v = state["v"] = self.alpha * state.get("v", 0.0) + (1 - self.alpha) * parameter.grad**2
    return parameter.data - self.learning_rate * parameter.grad / np.sqrt(v + self.eps)


def forgetful(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    v = self.alpha * state.get("v", 0.0) + (1 - self.alpha) * parameter.grad**2
    return parameter.data - self.learning_rate * parameter.grad / (np.sqrt(v) + self.eps)


def one_memory_for_all(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    memory = self.state["all"]
    v = memory["v"] = self.alpha * memory.get("v", 0.0) + (1 - self.alpha) * parameter.grad**2
    return parameter.data - self.learning_rate * parameter.grad / (np.sqrt(v) + self.eps)


def some_adam(
    correct: bool = True, start: int = 1, inside: bool = False, keep_hats: bool = False, top: Any = None
) -> Apply:
    """Adam with one of a reader's slips."""

    def apply_single(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
        g, (b1, b2) = parameter.grad, self.betas
        t = state.get("t", start)
        m = b1 * state.get("m", 0.0) + (1 - b1) * g
        v = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        m_hat, v_hat = (m / (1 - b1**t), v / (1 - b2**t)) if correct else (m, v)
        state.update(t=t + 1, m=m_hat if keep_hats else m, v=v_hat if keep_hats else v)
        below = np.sqrt(v_hat + self.eps) if inside else np.sqrt(v_hat) + self.eps
        return parameter.data - self.learning_rate * (m_hat if top is None else top(g)) / below

    return apply_single


def some_amsgrad(largest_of_hats: bool = False, feed_back: bool = False, correct: bool = True) -> Apply:
    """AMSGrad with one of a reader's slips."""

    def apply_single(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
        g, (b1, b2) = parameter.grad, self.betas
        t = state["t"] = state.get("t", 0) + 1
        m = state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
        v = b2 * state.get("v", 0.0) + (1 - b2) * g**2
        scale = 1 - b2**t if correct else 1.0
        largest = np.maximum(state.get("largest", 0.0), v / scale if largest_of_hats else v)
        state.update(v=largest if feed_back else v, largest=largest)
        below = np.sqrt(largest if largest_of_hats else largest / scale) + self.eps
        return parameter.data - self.learning_rate * m / ((1 - b1**t) if correct else 1.0) / below

    return apply_single


class InTheGradient(Adam):
    """Adam's own decay, which is not decoupled."""

    def __init__(self, module: Module, learning_rate: float = 1e-3, weight_decay: float = 0.01) -> None:
        super().__init__(module, learning_rate, weight_decay=weight_decay)


class Twice(ThreeLines):
    """The decay given to Adam as well."""

    def __init__(self, module: Module, learning_rate: float = 1e-3, weight_decay: float = 0.01) -> None:
        super().__init__(module, learning_rate, weight_decay)
        self.weight_decay = weight_decay


class Unscaled(ThreeLines):
    """The decay without the learning rate."""

    def apply_single(self, parameter: Tensor, state: OptimizerState) -> Any:
        return Adam.apply_single(self, parameter, state) - self.decay * parameter.data


class Stub(Adam):
    """AdamW not yet begun: Adam as it is inherited."""

    def __init__(self, module: Module, learning_rate: float = 1e-3, weight_decay: float = 0.01) -> None:
        super().__init__(module, learning_rate)


def some_lion(pick: Any = lambda old, new, mix: mix, swap: bool = False) -> Apply:
    """Lion with another thing under the sign."""

    def apply_single(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
        g, (b1, b2) = parameter.grad, reversed(self.betas) if swap else self.betas
        old = state.get("m", 0.0)
        new = state["m"] = b2 * old + (1 - b2) * g
        return parameter.data - self.learning_rate * np.sign(pick(old, new, b1 * old + (1 - b1) * g))

    return apply_single


def unsigned_lion(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
    b1, b2 = self.betas
    m = state.get("m", 0.0)
    state["m"] = b2 * m + (1 - b2) * parameter.grad
    return parameter.data - self.learning_rate * (b1 * m + (1 - b1) * parameter.grad)


def twenty_one_runs(train: Any) -> Any:
    return min([(0.01 + n / 1000, 0.0) for n in range(21)], key=lambda setting: train(*setting))


def gives_the_loss(train: Any) -> Any:
    return min(train(rate, 0.8) for rate in (0.1, 0.3))


def without_momentum(train: Any) -> Any:
    return min([(0.03, 0.0), (0.1, 0.0), (0.3, 0.0)], key=lambda setting: train(*setting))


def takes_the_worst(train: Any) -> Any:
    return max([(0.1, 0.8), (0.3, 0.8)], key=lambda setting: train(*setting))


def keeps_left(train: Any) -> Any:
    return min([(0.001, 0.8), (0.01, 0.8)], key=lambda setting: train(*setting))


ROOT = np.hypot
WRONG: list[tuple[str, Any, str]] = [
    ("GradientDescent", by(lambda s, p, _: p.data + s.learning_rate * p.grad), "is added; it should be subtracted"),
    ("GradientDescent", by(lambda s, p, _: p.data - p.grad), "not multiplied by the learning rate"),
    ("GradientDescent", by(lambda s, p, _: -s.learning_rate * p.grad), "without the weight it starts from"),
    ("GradientDescent", by(lambda s, p, _: p.data), "given back as it was"),
    ("GradientDescent", by(lambda s, p, _: p.data - 2 * s.learning_rate * p.grad), "2 times what it should be"),
    ("GradientDescent", by(wrote_into_the_gradient), "step 1 changed the gradient of step 1"),
    ("GradientDescent", by(wrote_into_the_weight), "wrote into the old weights"),
    ("GradientDescent", by(forgot_to_return), "got None: end it with return"),
    ("GradientDescent", by(misspelt), "AttributeError: 'Answer' object has no attribute 'leaning_rate'"),
    ("GradientDescent", by(lambda s, p, _: p.data[0]), "must return an array of shape (3,) for w, got shape ()"),
    ("GradientDescent", Module, "begin it with class Module(Optimizer)"),
    ("GradientDescent", 3, "needs the class itself, got 3"),
    (
        "hypotenuse",
        lambda x, y: (ROOT(x, y), (lambda g: x / ROOT(x, y), lambda g: y / ROOT(x, y))),
        "do not multiply by it",
    ),
    (
        "hypotenuse",
        lambda x, y: (ROOT(x, y), (lambda g: g * y / ROOT(x, y), lambda g: g * x / ROOT(x, y))),
        "changed places",
    ),
    ("hypotenuse", lambda x, y: (ROOT(x, y), (lambda g: g * x, lambda g: g * y)), "division by the value is missing"),
    ("hypotenuse", lambda x, y: (x + y, (lambda g: g, lambda g: g)), "value at x = 3, y = 4 is 7, but should be 5"),
    ("hypotenuse", lambda x, y: ROOT(x, y), "gives back one ndarray"),
    ("hypotenuse", lambda x, y: (ROOT(x, y), lambda g: g * x), "beside it stands one function alone"),
    ("hypotenuse", lambda x, y: [ROOT(x, y)].clear(), "gives back None: end it with return"),
    ("ravine_rate", 2 / STEEP, "border of stability"),
    ("ravine_rate", 0.0769, "the flat one crawls"),
    ("ravine_rate", 2 / 7.5, "right where the flat curvature is 1"),
    ("ravine_rate", 0.01, "λ is too small"),
    ("ravine_rate", 0.2, "λ is too large"),
    ("ravine_rate", -0.1, "must be one number above 0, got -0.1"),
    ("heavy_ball", (4 / 121, 81 / 121), "the textbook's pair"),
    ("heavy_ball", (0.02, 0.0), "without momentum the flat direction crawls"),
    ("heavy_ball", (0.02, 0.9), "μ is too large"),
    ("heavy_ball", (0.01, 0.6), "λ is too small for this μ"),
    ("heavy_ball", (0.05, 0.7), "beyond the limit 2(1 + μ) = 3.4"),
    ("heavy_ball", (0.001, 0.1), "1000 steps or more"),
    ("heavy_ball", (0.01, 1.0), "μ must be in [0, 1), got 1.0"),
    ("heavy_ball", 0.03, "must be a pair of numbers"),
    ("floor_rate", 0.1818, "without momentum"),
    ("floor_rate", 0.1, "the floor itself, taken as λ"),
    ("floor_rate", 0.005, "λ is too small"),
    ("floor_rate", 5.0, "the walk runs away"),
    ("tail_average", lambda points, tail: points.mean(axis=0), "all points are averaged"),
    ("tail_average", lambda points, tail: points[:tail].mean(axis=0), "the first points"),
    ("tail_average", lambda points, tail: points[-tail:].mean(), "x and y are averaged together"),
    ("tail_average", lambda points, tail: points[-tail:].sum(axis=0), "not divided"),
    ("tail_average", lambda points, tail: points[-tail:].sort(), "gives back None"),
    ("RMSProp", by(unrooted), "the root of v is missing"),
    ("RMSProp", by(eps_in_the_root), "eps stands inside the root"),
    ("RMSProp", by(forgetful), "not kept in the state"),
    ("RMSProp", by(without_a_start), 'state.get("v", 0.0) gives it a start'),
    ("RMSProp", by(one_memory_for_all), "each parameter has its own state: a parameter walks elsewhere"),
    ("RMSProp", by(descend), "Already the first step differs"),
    ("first_step", 0.5, "does not lead to 0.5"),
    ("first_step", 0.1, "how far the step leads"),
    ("first_step", 1.1, "up the hill"),
    ("first_step", 0.684, "without its correction"),
    ("Adam", by(some_adam(correct=False)), "correction for the start at 0 is missing"),
    ("Adam", by(some_adam(start=0)), "t is counted from 0"),
    ("Adam", by(some_adam(inside=True)), "eps stands inside the root"),
    ("Adam", by(some_adam(keep_hats=True)), "the corrected averages are kept"),
    ("Adam", by(some_adam(top=lambda g: g)), "the gradient of the moment in place of m̂"),
    ("bug_hunt", {"A": "m", "B": "return", "C": "v_hat", "D": "t"}, "3 of 4 are right. In A the line of m is right."),
    ("bug_hunt", {"A": "v", "B": "v", "C": "v", "D": "v"}, "1 of 4 are right. In B"),
    ("bug_hunt", {"A": "v", "B": "return"}, "the answer must be like"),
    ("bug_hunt", {"A": "v", "B": "eps", "C": "v_hat", "D": "t"}, "with lines out of t, m, v, m_hat, v_hat, return"),
    ("AdamW", Stub, "the decay has no effect"),
    ("AdamW", InTheGradient, "the decay goes into the gradient"),
    ("AdamW", Twice, "the decay acts twice"),
    ("AdamW", Unscaled, "the decay is not multiplied by the learning rate"),
    ("AMSGrad", Adam, "this is Adam"),
    ("AMSGrad", by(some_amsgrad(largest_of_hats=True)), "the largest is taken of v̂"),
    ("AMSGrad", by(some_amsgrad(feed_back=True)), "the largest v replaces v"),
    ("AMSGrad", by(some_amsgrad(correct=False)), "the correction is missing, as in the paper"),
    ("failing_beta2", 0.1, "the theorem's β₂"),
    ("failing_beta2", 0.999, "Adam's default"),
    ("failing_beta2", 0.45, "Try a larger one."),
    ("failing_beta2", 0.48, "Try a smaller one."),
    ("failing_beta2", 1.5, "must be a β₂ below 1, got 1.5"),
    ("tune", twenty_one_runs, "all 20 runs are used up"),
    ("tune", gives_the_loss, "which is a loss"),
    ("tune", without_momentum, "no run had momentum"),
    ("tune", takes_the_worst, "the best run is not the one given back"),
    ("tune", keeps_left, "has the largest λ that was tried"),
    ("Rival", Adam, "Close: try learning rates"),
    ("Rival", Slow, "the steps are too short"),
    ("Rival", Uphill, "the steps lead up the slope"),
    ("Rival", Wild, "The loss is no finite number"),
    ("Lion", by(unsigned_lion), "more than the sign of the mix enters the step"),
    ("Lion", by(some_lion(lambda old, new, mix: new)), "β₁ plays no part"),
    ("Lion", by(some_lion(swap=True)), "β₁ and β₂ have changed places"),
    ("Lion", by(some_lion(lambda old, new, mix: -mix)), "is added; it should be subtracted"),
    ("Mystery", partial(CLASSES["SGD"], momentum=0.9, nesterov=True), "After step 5"),
    ("Mystery", partial(CLASSES["SGD"], momentum=0.9), "this is heavy ball as in PyTorch"),
    ("Mystery", partial(RateInside, momentum=0.9), "looks ahead as Nesterov does"),
    ("Mystery", CLASSES["SGD"], "there is no momentum"),
]

# --- the tables are complete -----------------------------------------------------------------------------------------

each = pytest.mark.parametrize("name", EXERCISES)


def test_there_is_an_exercise_for_every_lesson_that_the_table_gives_one() -> None:
    lessons = {exercise.lesson for exercise in EXERCISES.values()}
    assert lessons == {"01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13"}


def test_every_exercise_has_solutions_here() -> None:
    assert set(SOLUTIONS) == set(EXERCISES)


@each
def test_every_exercise_has_three_plausible_wrong_answers_here(name: str) -> None:
    assert len({told for exercise, _, told in WRONG if exercise == name}) >= 3


@each
def test_every_exercise_has_three_hints_or_more(name: str) -> None:
    assert len(EXERCISES[name].hints) >= 3


@each
def test_no_exercise_shouts(name: str) -> None:
    exercise = EXERCISES[name]
    assert "!" not in " ".join([exercise.task, exercise.right, *exercise.hints])


# --- still to write --------------------------------------------------------------------------------------------------


def stub(*arguments: Any) -> Any:
    raise NotImplementedError("yours to write")


def dots(*arguments: Any) -> Any: ...


def ellipsis(*arguments: Any) -> Any:
    return ...


def passes(*arguments: Any) -> Any:
    """Says what it will do."""


EMPTY = {"raises": stub, "dots": dots, "ellipsis": ellipsis, "docstring": passes}


@each
@pytest.mark.parametrize("kind", EMPTY)
def test_every_stub_is_reported_as_still_to_write(name: str, kind: str) -> None:
    is_class = isinstance(EXERCISES[name].solution, type)
    assert check(by(EMPTY[kind]) if is_class else EMPTY[kind], name).level == "still to write"


@each
@pytest.mark.parametrize("nothing", [None, ...], ids=["none", "ellipsis"])
def test_nothing_is_still_to_write(name: str, nothing: Any) -> None:
    if not callable(EXERCISES[name].solution):
        assert check(nothing, name).level == "still to write"


def test_a_class_that_leaves_apply_single_away_is_still_to_write() -> None:
    assert check(Reader, "Adam").level == "still to write"


def test_a_line_of_the_hunt_left_open_is_still_to_write() -> None:
    assert check({"A": "v", "B": None, "C": ..., "D": "t"}, "bug_hunt").level == "still to write"


def test_what_is_still_to_write_is_told_with_its_task() -> None:
    assert check(by(stub), "Adam").text == EXERCISES["Adam"].task


# --- correct ---------------------------------------------------------------------------------------------------------


@each
def test_every_solution_of_the_table_is_correct(name: str) -> None:
    assert check(EXERCISES[name].solution, name).level == "correct"


@pytest.mark.parametrize(("name", "answer"), [(name, answer) for name, all_ in SOLUTIONS.items() for answer in all_])
def test_every_readers_solution_is_correct(name: str, answer: Any) -> None:
    verdict = check(answer, name)
    assert verdict.level == "correct", verdict


# --- almost ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "answer", "cause"), WRONG, ids=[f"{name}: {cause}" for name, _, cause in WRONG])
def test_a_plausible_wrong_answer_is_told_with_its_cause(name: str, answer: Any, cause: str) -> None:
    verdict = check(answer, name)
    assert (verdict.level, cause in verdict.text) == ("almost", True), verdict


MISTAKES = [
    (name, edited(law.reference, edits), cause)
    for name, exercise in EXERCISES.items()
    for law in exercise.laws
    if isinstance(law, Follows)
    for cause, edits in law.mistakes.items()
]


@pytest.mark.parametrize(
    ("name", "mistaken", "cause"), MISTAKES, ids=[f"{name}: {cause}" for name, _, cause in MISTAKES]
)
def test_every_mistake_of_the_tables_is_told_as_itself(name: str, mistaken: Any, cause: str) -> None:
    assert f"Likely cause: {cause}." in check(mistaken, name).text


def test_where_a_path_parts_is_told_by_step_weight_and_amount() -> None:
    text = check(by(lambda s, p, _: p.data + s.learning_rate * p.grad), "GradientDescent").text
    assert text.startswith("After step 1, with the gradient 1, w[0] is 1.1, but should be 0.9: 0.2 too high.")


def test_a_right_first_step_points_to_the_memory() -> None:
    def grows_old(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
        age = state["age"] = state.get("age", 0) + 1
        return parameter.data - self.learning_rate / age * parameter.grad

    assert "look at what is remembered from step to step" in check(by(grows_old), "GradientDescent").text


def test_a_number_that_is_lost_is_told_in_words() -> None:
    assert "is not a finite number, but should be" in check(by(some_adam(start=0)), "Adam").text


ODD = ["a word", [], {}, (1, 2, 3), np.zeros(3), np.nan, -np.inf, 1j, object, lambda: "x", lambda *_: 0, len, SOLUTIONS]


@each
def test_an_odd_answer_is_told_so_and_never_an_error(name: str) -> None:
    assert [odd for odd in ODD if check(odd, name).level == "correct"] == []


# --- errors of the reader's own --------------------------------------------------------------------------------------


def test_an_error_is_told_with_the_readers_line() -> None:
    line = inspect.getsourcelines(misspelt)[1] + 1
    assert check(by(misspelt), "GradientDescent").text.startswith(
        f"Your code stopped at line {line} of test_exercises.py, in "
        "`return parameter.data - self.leaning_rate * parameter.grad`, with AttributeError"
    )


def in_a_cell(source: str) -> Any:
    """What a notebook's cell defines: its file exists for Python's line cache alone."""
    file = "/tmp/ipykernel_4711/12345.py"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    names: dict[str, Any] = {}
    exec(compile(source, file, "exec"), names)
    return names


def test_an_error_in_a_cell_names_no_file_of_the_kernel() -> None:
    cell = in_a_cell("def hypotenuse(x, y):\n    value = x / nothing\n    return value\n")
    assert check(cell["hypotenuse"]).text == (
        "Your code stopped at line 2 of your cell, in `value = x / nothing`, "
        "with NameError: name 'nothing' is not defined."
    )


def test_an_error_deep_below_the_readers_line_is_told_at_their_line() -> None:
    cell = in_a_cell("import numpy as np\ndef hypotenuse(x, y):\n    return np.stack([x, y[:1]])\n")
    assert "line 3 of your cell, in `return np.stack([x, y[:1]])`, with ValueError" in check(cell["hypotenuse"]).text


def test_addresses_are_left_out() -> None:
    def complains(self: Any, parameter: Tensor, state: OptimizerState) -> Any:
        raise ValueError(f"what is {object()}")

    assert "ValueError: what is <object object>." in check(by(complains), "GradientDescent").text


def test_warnings_of_the_readers_arithmetic_are_not_shown() -> None:
    assert check(by(lambda s, p, _: p.data / np.zeros(3)), "GradientDescent").level == "almost"  # warnings are errors


# --- how a verdict is asked for and shown ----------------------------------------------------------------------------


def test_a_class_is_known_by_its_name() -> None:
    assert check(type("GradientDescent", (by(descend),), {})).exercise == "GradientDescent"


def test_my_before_the_name_does_not_matter() -> None:
    assert check(type("MyAdam", (by(adam),), {})).exercise == "Adam"


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"must be one of GradientDescent, hypotenuse, .*; got 'Answer'"):
        check(by(descend))


def test_a_number_needs_its_exercise() -> None:
    with pytest.raises(ValueError, match="got 'float': name it after the answer"):
        check(0.1)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_told_by_word_and_by_sign(level: str) -> None:
    answers = {"still to write": stub, "almost": by(wrote_into_the_weight), "correct": by(descend)}
    verdict = check(answers[level] if level != "still to write" else by(stub), "GradientDescent")
    assert repr(verdict).startswith(f"{'○◐●'[LEVELS.index(level)]} GradientDescent: {level}\n")


@pytest.mark.parametrize(("name", "answer", "cause"), WRONG[::7])
def test_a_verdict_is_the_same_each_time(name: str, answer: Any, cause: str) -> None:
    assert repr(check(answer, name)) == repr(check(answer, name))


class Balanced(HTMLParser):
    """Fails where a tag is not closed; keeps the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.deepest = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "br":
            self.open.append(tag)
        self.deepest = max(self.deepest, self.open.count("details"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_verdict_in_html_says_what_its_words_say() -> None:
    cell = in_a_cell("def hypotenuse(x, y):\n    return x <y> x & y\n".replace("<y> x", "< y"))
    verdict = check(cell["hypotenuse"])
    html = Balanced(verdict._repr_html_())
    assert (html.open, html.text) == ([], repr(verdict).replace("`", "").replace("\n", ""))


def test_a_verdict_in_html_uses_no_colour() -> None:
    assert "color" not in check(by(descend), "GradientDescent")._repr_html_()


# --- hints -----------------------------------------------------------------------------------------------------------


@each
def test_hints_open_one_inside_the_other(name: str) -> None:
    html = Balanced(hints(name)._repr_html_())
    assert (html.open, html.deepest) == ([], len(EXERCISES[name].hints))


@each
def test_hints_in_plain_text_give_nothing_away(name: str) -> None:
    assert not any(hint in repr(hints(name)) for hint in EXERCISES[name].hints)


def test_hints_are_found_by_the_class_too() -> None:
    assert hints(Adam) == EXERCISES["Adam"].hints


# --- what the exercises offer to work with ---------------------------------------------------------------------------


def test_the_hidden_ravine_has_the_curvatures_that_the_answer_needs() -> None:
    curvatures = as_surface(hidden_ravine).curvatures(0.3, -0.2)
    np.testing.assert_allclose(curvatures, [FLAT, STEEP], rtol=1e-6)  # central differences of a parabola


def test_the_floor_is_that_of_theory() -> None:
    assert measured_floor(0.02) == pytest.approx(noise_floor(0.02, 0.9), rel=0.1)  # 20 seeds: a few hundredths


def test_the_formulas_with_a_bug_can_be_shown() -> None:
    assert all("def apply_single" in inspect.getsource(buggy(variant)) for variant in BUGGY)


def test_a_formula_with_a_bug_differs_from_adams_in_the_line_named() -> None:
    own = inspect.getsource(Adam.apply_single).split("\n")
    for variant, (_, line) in BUGGY.items():
        shown = inspect.getsource(buggy(variant)).split("\n")
        changed = [there.strip() for here, there in zip(own, shown, strict=True) if here.strip() != there.strip()]
        assert len(changed) == 1
        assert changed[0].startswith(line.replace("v_hat", "m_hat, v_hat"))


def test_the_mystery_is_pytorchs_nesterov_until_the_rate_drops() -> None:
    trace = mystery()
    optimizer = CLASSES["SGD"](Module(), 0.1, momentum=0.9, nesterov=True)
    module = Module()
    module.w = Tensor(trace.weights[0], requires_grad=True)  # type: ignore[attr-defined]
    optimizer.module = module
    parted = []
    for gradient, rate, weight in zip(trace.gradients, trace.learning_rates, trace.weights[1:], strict=True):
        optimizer.learning_rate = rate
        module.w.grad = gradient
        optimizer.update()
        parted.append(abs(module.w.data - weight) > 1e-12)
    assert parted == [False] * 4 + [True] * 4


def test_the_mystery_is_shown_to_twelve_digits() -> None:
    assert "0.810000000000" in repr(mystery())


def test_an_edit_that_finds_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"an edit must find its text in Adam.apply_single, got 'no such line'"):
        edited(Adam, {"no such line": ""})


def test_the_exercises_own_optimizers_keep_the_laws() -> None:
    for exercise in EXERCISES.values():
        if isinstance(exercise.solution, type):
            broken = {finding.law for finding in conformance(exercise.solution).broken}
            assert broken <= {"other hyperparameters validated"}, exercise.name
