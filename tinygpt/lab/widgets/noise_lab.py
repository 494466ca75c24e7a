"""NoiseLab: how low SGD comes when it sees mini-batches, and what averaging its tail gains."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ipywidgets import SelectionSlider

from tinygpt.lab.charts.noise import NoisePicture, noise_caption
from tinygpt.lab.noise import SCHEDULES, noisy_runs
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import KNOBS, Knob, counter, menu, slider

STEPS = 300
_RATE = replace(KNOBS["learning_rate"], low=-3, high=1)
_CURVATURE = Knob("h", "curvature h", -1, 1, 1.0, 0.025, log=True)
_TAIL = Knob("tail", "fraction of the steps that are averaged", 0.01, 1, 0.5, 0.01)
_BATCHES = [2**i for i in range(9)]  # 1 to 256


class NoiseLab(Instrument):
    """Many runs of SGD on ½hw² with the noise of mini-batches, beside the floor that theory predicts.

    One example's gradient has noise of variance 1, a mini-batch's 1 / batch. `schedule` is one of SCHEDULES; `tail` the
    fraction of the steps whose weights are averaged. See `runs` for what was run.
    """

    repaints = frozenset({"tail"})

    def __init__(
        self,
        learning_rate: float = 0.1,
        momentum: float = 0.0,
        batch: int = 1,
        curvature: float = 1.0,
        schedule: str = "constant",
        tail: float = 0.5,
        seed: int = 0,
    ) -> None:
        if schedule not in SCHEDULES:
            raise ValueError(f"schedule must be one of {', '.join(SCHEDULES)}, got {schedule!r}")
        self.knobs = {
            "learning_rate": slider(learning_rate, _RATE),
            "momentum": slider(momentum, KNOBS["momentum"]),
            "batch": _batches(batch),
            "schedule": menu(schedule, list(SCHEDULES), "schedule", "how the learning rate falls"),
            "tail": slider(tail, _TAIL),
            "curvature": slider(curvature, _CURVATURE),
            "seed": counter(seed, 0, max(99, seed), "seed", "seed of the noise"),
        }
        self.fixed = {}
        super().__init__()

    def compute(self) -> None:
        """Run SGD with the noise that the seed draws."""
        value = {name: knob.value for name, knob in self.knobs.items()}
        rate = SCHEDULES[value["schedule"]](value["learning_rate"], STEPS)
        self.runs = noisy_runs(
            rate, value["momentum"], value["batch"], value["curvature"], steps=STEPS, seed=value["seed"]
        )

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> NoisePicture:
        """The two panels."""
        return NoisePicture(theme, ratio, narrow)

    def draw(self, scene: NoisePicture) -> None:
        """The runs, their floor and their tail average."""
        scene.draw(self.runs, self.knobs["tail"].value)

    def words(self) -> str:
        """The floor, measured and predicted, and what averaging gains."""
        return noise_caption(self.runs, self.knobs["tail"].value)


def _batches(batch: int) -> Any:
    """A slider over powers of two, and over the reader's own number where it is none."""
    return SelectionSlider(
        options=sorted({*_BATCHES, batch}),
        value=batch,
        description="batch",
        tooltip="examples in a mini-batch",
        style={"description_width": "64px"},
        layout={"width": "270px"},
    )
