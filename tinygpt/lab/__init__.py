"""The laboratory: surfaces, descents, pictures and the instruments that lessons are played on.

Needs matplotlib, ipywidgets and anywidget: `pip install "tinygpt[lab]"`. What is named here is imported when it is
first asked for, so that the maths of one figure does not wait for the drawing of another.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "surfaces": ("SURFACES", "Surface", "quadratic"),
    "source": ("show_source",),
    "descent": ("Trajectory", "descend", "recorded", "sweep"),
    "noise": ("noise_floor", "noisy_runs", "tail_averages"),
    "fight": ("fair_fight",),
    "failure": ("AMSGrad", "largest_failing_beta2"),
    "spectrum": ("Lion", "Muon"),
    "conventions": ("CONVENTIONS",),
    "study": ("read_study",),
    "exercises": ("EXERCISES", "check", "conformance", "hints"),
    "widgets.explorer": ("RACE", "Explorer"),
    "widgets.microscope": ("Microscope",),
    "widgets.rate_map": ("RateMap",),
    "widgets.parabola": ("Parabola",),
    "widgets.ravine": ("Ravine",),
    "widgets.phase_plot": ("PhasePlot",),
    "widgets.basin_map": ("BasinMap",),
    "widgets.noise_lab": ("NoiseLab",),
    "widgets.fair_fight": ("FairFight",),
    "widgets.network_lab": ("NetworkLab",),
    "widgets.gpt_lab": ("GPTLab",),
    "widgets.gradient_tape": ("GradientTape",),
    "widgets.decay_lab": ("DecayLab",),
    "widgets.failure_lab": ("FailureLab",),
    "widgets.spectrum_lab": ("SpectrumLab",),
    "widgets.conventions_lab": ("Conventions",),
    "widgets.rate_study": ("RateStudy",),
    "widgets.predict": ("predict", "predictions"),
    "widgets.export": ("export_html",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
