"""Knobs: a signature tells which there are, and the slider stands where its optimizer starts."""

from __future__ import annotations

import inspect
import math
from functools import partial
from typing import Any

import ipywidgets
import pytest
from optimizer_cases import CLASSES
from readers import Normalised, Scaled, Sign

from tinygpt import SGD, Adam, AdamW, Module, Optimizer, optimizers
from tinygpt.lab.descent import Walker
from tinygpt.lab.widgets.explorer import RACE
from tinygpt.lab.widgets.knobs import KNOBS, SHARED, control, hyperparameters, keywords, menu

GRID_TOLERANCE = 1e-6  # of a slider's step: the rounding of a division

MAKERS: dict[str, Any] = {**CLASSES, **RACE, "Sign": Sign, "Normalised": Normalised, "Scaled": Scaled}
EVERY_KNOB = {(label, name): value for label, make in MAKERS.items() for name, value in hyperparameters(make).items()}
every_knob = pytest.mark.parametrize(("label", "name"), EVERY_KNOB)


def taking(**defaults: Any) -> Any:
    """An optimizer class whose arguments have these defaults; ... stands for none."""
    parameters = [inspect.Parameter("module", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    for name, default in defaults.items():
        given = {} if default is ... else {"default": default}
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, **given))

    def make(module: Module, **given: Any) -> Optimizer:
        return Sign(module)

    make.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return make


def on_its_grid(widget: Any) -> bool:
    """Whether a slider stands where the browser can put it, within its ends."""
    value, low, high = widget.value, widget.min, widget.max
    if isinstance(widget, ipywidgets.FloatLogSlider):
        value = math.log(value, widget.base)
    steps = (value - low) / widget.step
    return low - 1e-12 <= value <= high + 1e-12 and abs(steps - round(steps)) <= GRID_TOLERANCE


# --- which knobs there are --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (SGD, ["learning_rate", "momentum", "weight_decay", "dampening", "nesterov"]),
        (Adam, ["learning_rate", "beta1", "beta2", "eps", "weight_decay"]),
        (AdamW, ["learning_rate", "beta1", "beta2", "eps", "weight_decay"]),
        (optimizers.RMSProp, ["learning_rate", "alpha", "eps"]),
        (optimizers.AdaGrad, ["learning_rate", "eps"]),
        (partial(SGD, momentum=0.0, nesterov=False), ["learning_rate", "weight_decay", "dampening"]),
        (partial(partial(SGD, momentum=0.5), nesterov=True), ["learning_rate", "weight_decay", "dampening"]),
        (partial(Adam, betas=(0.5, 0.9)), ["learning_rate", "eps", "weight_decay"]),
        (partial(Adam, learning_rate=0.1, betas=(0, 0), eps=0, weight_decay=0), []),
        (Optimizer, []),
        (Scaled, ["learning_rate", "power", "every", "centred", "beta1", "beta2"]),
        (lambda module, learning_rate=0.1: Sign(module, learning_rate), ["learning_rate"]),
    ],
)
def test_every_argument_that_is_left_free_is_a_knob_in_order(make: Any, names: list[str]) -> None:
    assert list(hyperparameters(make)) == names


def test_every_class_of_the_package_has_knobs_for_all_that_it_takes() -> None:
    for name, made in CLASSES.items():
        taken = set(inspect.signature(made).parameters) - {"module", "betas"}
        assert taken <= set(hyperparameters(made)), name


@pytest.mark.parametrize("default", [None, "fan_in", (1, 2, 3), ("a", "b"), [0.9, 0.99], {}, print])
def test_a_default_that_no_knob_can_turn_is_left_alone(default: Any) -> None:
    assert hyperparameters(taking(mode=default)) == {}


@pytest.mark.parametrize("default", [None, "auto", lambda t: 0.1, math.inf])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "clip"])
def test_every_optimizer_that_can_be_made_can_have_its_knobs_drawn(name: str, default: Any) -> None:
    for knob, value in hyperparameters(taking(**{name: default})).items():
        assert isinstance(control(knob, value), ipywidgets.Widget)


def test_arguments_beyond_counting_are_no_knobs() -> None:
    def make(module: Module, *more: Any, learning_rate: float = 0.1, **others: Any) -> Optimizer:
        return Sign(module, learning_rate)

    assert hyperparameters(make) == {"learning_rate": 0.1}


def test_an_unknown_argument_without_a_default_is_asked_for() -> None:
    with pytest.raises(ValueError, match="make needs a value for radius: give it a default, or bind one with"):
        hyperparameters(taking(radius=...))


def test_once_bound_it_is_not_asked_for() -> None:
    assert hyperparameters(partial(taking(radius=...), radius=3.0)) == {}


@pytest.mark.parametrize("name", KNOBS)
def test_a_known_argument_needs_no_default(name: str) -> None:
    assert hyperparameters(taking(**{name: ...})) == {name: KNOBS[name].default}


def test_a_readers_default_is_where_the_knob_starts() -> None:
    assert list(hyperparameters(Scaled).values()) == [0.05, 0.5, 3, False, 0.5, 0.25]


def test_what_defaults_to_off_starts_from_a_telling_value() -> None:
    assert hyperparameters(SGD)["momentum"] == KNOBS["momentum"].default > 0


@pytest.mark.parametrize("label", MAKERS)
def test_the_knobs_values_make_the_optimizer(label: str) -> None:
    make = MAKERS[label]
    assert isinstance(make(Walker((0.0, 0.0)), **keywords(make, hyperparameters(make))), Optimizer)


def test_the_parts_of_a_pair_go_back_into_it() -> None:
    assert keywords(Adam, {"eps": 0.1, "beta1": 0.5, "beta2": 0.6}) == {"eps": 0.1, "betas": (0.5, 0.6)}


def test_a_pair_that_is_bound_stays_as_it_is() -> None:
    assert keywords(partial(Adam, betas=(0.1, 0.2)), {"eps": 0.1}) == {"eps": 0.1}


def test_values_given_are_not_changed() -> None:
    values = {"beta1": 0.5, "beta2": 0.6}
    keywords(Adam, values)
    assert values == {"beta1": 0.5, "beta2": 0.6}


def test_whatever_is_shared_is_known() -> None:
    assert set(SHARED) <= set(KNOBS)


# --- what a knob looks like -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "default", "kind"),
    [
        ("learning_rate", 0.1, ipywidgets.FloatLogSlider),
        ("learning_rate", 1, ipywidgets.FloatLogSlider),
        ("momentum", 0, ipywidgets.FloatSlider),
        ("eps", 1e-8, ipywidgets.FloatLogSlider),
        ("centred", True, ipywidgets.Checkbox),
        ("every", 5, ipywidgets.IntSlider),
        ("power", 0.5, ipywidgets.FloatSlider),
        ("tiny", 1e-5, ipywidgets.FloatLogSlider),
        ("big", 250.0, ipywidgets.FloatSlider),
        ("below", -0.5, ipywidgets.FloatSlider),
    ],
)
def test_a_knob_is_of_the_kind_that_its_value_asks_for(name: str, default: Any, kind: type) -> None:
    assert type(control(name, default)) is kind


@every_knob
def test_a_slider_stands_on_its_own_grid(label: str, name: str) -> None:
    widget = control(name, EVERY_KNOB[label, name])
    assert isinstance(widget, ipywidgets.Checkbox) or on_its_grid(widget)


@every_knob
def test_a_slider_stands_where_its_optimizer_starts(label: str, name: str) -> None:
    widget, default = control(name, EVERY_KNOB[label, name]), EVERY_KNOB[label, name]
    off = 10 ** (widget.step / 2) if isinstance(widget, ipywidgets.FloatLogSlider) else 1.0
    assert default / off <= widget.value <= default * off


@pytest.mark.parametrize("default", [0.0, 0.001, 0.03, 0.125, 1 / 3, 1.0, 1.5, 3.14, 25.0, 1234.5, 1e6, -0.5, -7.25])
def test_a_readers_own_number_lies_on_its_sliders_grid(default: float) -> None:
    assert on_its_grid(control("own", default))


@pytest.mark.parametrize("default", [0, 1, 7, 1000, -3])
def test_a_readers_own_count_lies_within_its_slider(default: int) -> None:
    widget = control("own", default)
    assert (widget.value, widget.min < default < widget.max or default == widget.min) == (default, True)


@pytest.mark.parametrize("rate", [1e-6, 3e-4, 0.002, 0.07, 1.0, 100.0])
def test_a_learning_rate_is_moved_by_half_a_step_at_most(rate: float) -> None:
    widget = control("learning_rate", rate)
    assert on_its_grid(widget)
    assert abs(math.log10(widget.value / rate)) <= widget.step / 2 + GRID_TOLERANCE


@pytest.mark.parametrize(("name", "wild"), [("learning_rate", 1e9), ("learning_rate", 1e-30), ("momentum", 5.0)])
def test_a_default_beyond_the_slider_is_brought_to_its_end(name: str, wild: float) -> None:
    assert on_its_grid(control(name, wild))


@pytest.mark.parametrize("name", KNOBS)
def test_a_knob_shows_its_symbol_and_says_its_name(name: str) -> None:
    widget = control(name, KNOBS[name].default)
    assert (widget.description, widget.tooltip) == (KNOBS[name].symbol, KNOBS[name].words)


def test_a_readers_own_knob_is_named_in_words() -> None:
    assert control("warm_up", 0.5).description == "warm up"


@pytest.mark.parametrize("name", KNOBS)
def test_the_readout_tells_neighbouring_values_apart(name: str) -> None:
    widget = control(name, KNOBS[name].default)
    if isinstance(widget, ipywidgets.FloatSlider):
        shown = {format(widget.min + i * widget.step, widget.readout_format) for i in range(100)}
        assert len(shown) == min(100, 1 + round((widget.max - widget.min) / widget.step))


def test_a_menu_refuses_what_it_does_not_offer_and_says_what_it_does() -> None:
    with pytest.raises(ValueError, match="view must be one of near, far, got 'wide'"):
        menu("wide", ["near", "far"], "view", "how near")


def test_momentum_that_is_0_by_default_stays_so_unless_the_race_is_to_be_lively() -> None:
    assert (hyperparameters(SGD)["momentum"], hyperparameters(SGD, lively=False)["momentum"]) == (0.9, 0.0)
