"""Knobs: a control for every hyperparameter, found in the signature of an optimizer."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import ipywidgets

from tinygpt.optimizers import Optimizer


@dataclass(frozen=True)
class Knob:
    """How a hyperparameter is set: its symbol, its name in words, its range (powers of ten if `log`), its default."""

    symbol: str
    words: str
    low: float
    high: float
    default: float
    step: float
    log: bool = False


KNOBS = {
    "learning_rate": Knob("λ", "learning rate λ", -6, 2, 1e-3, 0.025, log=True),
    "momentum": Knob("μ", "momentum μ", 0, 0.99, 0.9, 0.01),
    "beta1": Knob("β₁", "beta one, forgetting of the gradient's mean", 0, 0.99, 0.9, 0.01),
    "beta2": Knob("β₂", "beta two, forgetting of the gradient's size", 0, 0.999, 0.999, 0.001),
    "alpha": Knob("α", "alpha, forgetting of the gradient's size", 0, 0.999, 0.99, 0.001),
    "weight_decay": Knob("decay", "weight decay", 0, 1, 0.0, 0.01),
    "dampening": Knob("τ", "dampening τ", 0, 1, 0.0, 0.01),
    "eps": Knob("ε", "epsilon", -12, 0, 1e-8, 0.5, log=True),
}

SHARED = ("learning_rate", "momentum", "beta1", "beta2")  # one slider each, for all optimizers that have it


def hyperparameters(make: Callable[..., Optimizer], lively: bool = True) -> dict[str, Any]:
    """The hyperparameters that an optimizer leaves free, by name, with the value each knob starts from.

    A pair like `betas` gives `beta1` and `beta2`. Bound keywords of a partial are fixed and not among them. A momentum
    that is 0 by default starts from the knob's own value, unless not `lively`.

    Raises: ValueError for a parameter that has neither a default nor a place in KNOBS.
    """
    bound = make.keywords if isinstance(make, partial) else {}
    made = make.func if isinstance(make, partial) else make
    free: dict[str, Any] = {}
    for name, parameter in list(inspect.signature(made).parameters.items())[1:]:  # the first is the module
        default = parameter.default
        if name in bound or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if _is_pair(default):
            free.update(zip(_parts(name), default, strict=True))
        elif name in KNOBS and (default is parameter.empty or (lively and default == 0 and KNOBS[name].default > 0)):
            free[name] = KNOBS[name].default
        elif isinstance(default, (bool, int, float)) and math.isfinite(default):
            free[name] = default
        elif default is parameter.empty:
            raise ValueError(
                f"{getattr(made, '__name__', made)} needs a value for {name}: give it a default, "
                f"or bind one with functools.partial(…, {name}=…)"
            )
    return free


def keywords(make: Callable[..., Optimizer], values: dict[str, Any]) -> dict[str, Any]:
    """Values by knob as keywords of the optimizer: `beta1` and `beta2` go back into `betas`."""
    arguments = dict(values)
    for pair, parts in _pairs(make.func if isinstance(make, partial) else make).items():
        if all(part in arguments for part in parts):
            arguments[pair] = tuple(arguments.pop(part) for part in parts)
    return arguments


@lru_cache
def _pairs(made: Callable[..., Optimizer]) -> dict[str, list[str]]:
    """The hyperparameters that are pairs, each with the names of its two knobs."""
    parameters = inspect.signature(made).parameters.items()
    return {name: _parts(name) for name, parameter in parameters if _is_pair(parameter.default)}


def _parts(pair: str) -> list[str]:
    return [f"{pair.removesuffix('s')}{i}" for i in (1, 2)]


def control(name: str, value: Any, owner: str = "") -> Any:
    """The widget that sets a hyperparameter (of one owner), from KNOBS, or for others from the value it starts with."""
    knob, words = KNOBS.get(name), name.replace("_", " ")
    if isinstance(value, bool):
        return switch(value, words, f"{owner} {words}")
    if isinstance(value, int) and knob is None:
        return counter(value, min(0, 10 * value), max(10, 10 * value), words, f"{owner} {words}")
    return slider(value, knob or _range(words, float(value)), owner)


def slider(value: float, knob: Knob, owner: str = "") -> Any:
    """A slider for a number; its value is moved to the nearest that the slider can show."""
    options = {"min": knob.low, "max": knob.high, "step": knob.step, **_dress(knob.symbol, f"{owner} {knob.words}")}
    if knob.log:
        digits = ".2g" if knob.low < 0 else ".3g"  # 100 rather than 1.0e+2
        made = ipywidgets.FloatLogSlider(10.0**knob.low, readout_format=digits, **options)
    else:
        digits = f".{max(0, -math.floor(math.log10(knob.step)))}f"
        made = ipywidgets.FloatSlider(knob.low, readout_format=digits, **options)
    made.value = nearest(made, value)
    return made


def nearest(knob: Any, value: Any) -> Any:
    """The value nearest to this one that a slider can show, where the browser would put it too."""
    if isinstance(knob, ipywidgets.FloatLogSlider):
        exponent = round(math.log10(max(value, 1e-300)) / knob.step) * knob.step
        return 10.0 ** min(max(exponent, knob.min), knob.max)
    if isinstance(knob, ipywidgets.FloatSlider):
        value = round(knob.min + round((value - knob.min) / knob.step) * knob.step, 12)
        return min(max(value, knob.min), knob.max)
    return value


def told(knob: Any) -> Any:
    """The value of a knob in four digits, where the knob would take those back to where it stands; else the value."""
    if isinstance(knob.value, float):
        short = float(f"{knob.value:.4g}")
        if math.isclose(nearest(knob, short), knob.value, rel_tol=1e-9, abs_tol=1e-12):
            return short
    return knob.value


def counter(value: int, low: int, high: int, symbol: str, words: str) -> Any:
    """A slider for a whole number, such as a step or a seed."""
    return ipywidgets.IntSlider(value, min=low, max=high, **_dress(symbol, words))


def step_slider(step: int | None, steps: int, symbol: str = "at step", words: str = "step shown") -> Any:
    """A slider for the step that is shown; the last, if none is given.

    Raises: ValueError where there is no step.
    """
    if steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}")
    return counter(steps if step is None else step, 0, steps, symbol, words)


def field(value: float, symbol: str, words: str) -> Any:
    """A field for any number, such as a coordinate."""
    return ipywidgets.FloatText(float(value), step=0.05, **{**_dress(symbol, words), "layout": {"width": "170px"}})


def menu(value: Any, options: Any, symbol: str, words: str) -> Any:
    """A menu; `options` is what it offers: values, or pairs of a name and a value."""
    offered = [option[1] if isinstance(option, tuple) else option for option in options]
    if value not in offered:
        raise ValueError(f"{symbol} must be one of {', '.join(map(str, offered))}, got {value!r}: take one of them")
    return ipywidgets.Dropdown(options=options, value=value, **_dress(symbol, words))


def switch(value: bool, symbol: str, words: str) -> Any:
    """A box to tick."""
    return ipywidgets.Checkbox(value, **_dress(symbol, words))


def _dress(symbol: str, words: str) -> dict[str, Any]:
    return {
        "description": symbol,
        "tooltip": words.strip(),
        "style": {"description_width": "64px"},
        "layout": {"width": "270px"},
    }


def _range(words: str, default: float) -> Knob:
    """A range for a hyperparameter nobody has heard of: [0, 1] holds most, and small ones go by powers of ten."""
    if 0 < default < 0.05:
        exponent = round(math.log10(default))
        return Knob(words, words, exponent - 3, exponent + 3, default, 0.05, log=True)
    if 0 <= default <= 1:
        return Knob(words, words, 0, 1, default, 0.001)
    low, high = sorted((0.0, 4 * default))
    return Knob(words, words, low, high, default, 10.0 ** (math.floor(math.log10(abs(default))) - 1))


def _is_pair(default: Any) -> bool:
    return isinstance(default, tuple) and len(default) == 2 and all(isinstance(item, (int, float)) for item in default)
