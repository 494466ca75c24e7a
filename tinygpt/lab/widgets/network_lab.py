"""NetworkLab: a small net's training, watched from three sides."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Any

import numpy as np

from tinygpt.lab.charts.network import FIT, PCA, RANDOM, VIEWS, NetworkPicture, Study, network_caption
from tinygpt.lab.charts.style import styles
from tinygpt.lab.networks import (
    MakeOptimizer,
    Training,
    outputs_at,
    sharpness_along,
    sharpness_limit,
    sine,
    tanh_net,
    train,
)
from tinygpt.lab.slices import pca_plane, random_plane, shadow, surface_of
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, counter, menu, slider, step_slider
from tinygpt.nn import MLP
from tinygpt.optimizers import SGD, Adam, Optimizer, RMSProp

NETWORK_OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "SGD": SGD,
    "momentum": partial(SGD, momentum=0.9),
    "Nesterov": partial(SGD, momentum=0.9, nesterov=True),
    "RMSProp": RMSProp,
    "Adam": Adam,
}

LEARNING_RATE = Knob("λ", "learning rate λ", 0.005, 1.0, 0.4, 0.005)
RECORDS = 100  # of a training, whatever its length
GRID = np.linspace(-1.05, 1.05, 85)  # where the net's curve is drawn
SHOWN_ROOM = np.array([[-1.0, -1.0], [1.0, 1.0]])  # of a random slice: as far as the weights are long


class NetworkLab(Instrument):
    """A small tanh net learns sin 3x from all its points at once: its loss, its sharpness, and a slice of its weights.

    `view` is what the right panel shows: the "PCA plane" of the path, a filter-normalised "random slice" through its
    end, or the "fit". `optimizer` is a label of NETWORK_OPTIMIZERS, or of `optimizers`, which maps labels to Optimizer
    subclasses or partials of them. Turning `step` shows another moment of the same training.

    Raises: ValueError for an optimizer that is not among the labels.
    """

    repaints = frozenset({"step"})

    def __init__(
        self,
        learning_rate: float = 0.4,
        optimizer: str = "SGD",
        width: int = 16,
        seed: int = 0,
        steps: int = 1500,
        view: str = PCA,
        step: int | None = None,
        optimizers: Mapping[str, Callable[..., Optimizer]] | None = None,
    ) -> None:
        self.optimizers = dict(NETWORK_OPTIMIZERS if optimizers is None else optimizers)
        if optimizer not in self.optimizers:
            raise ValueError(f"optimizer must be one of {', '.join(self.optimizers)}, got {optimizer!r}: take one")
        self.fixed = {} if optimizers is None else {"optimizers": optimizers}
        self.knobs = {
            "learning_rate": slider(learning_rate, LEARNING_RATE),
            "optimizer": menu(optimizer, list(self.optimizers), "optimizer", "the optimizer that trains the net"),
            "width": counter(width, 1, 64, "width", "number of tanh neurons"),
            "seed": counter(seed, 0, 99, "seed", "seed of the net's first weights, and of the random slice"),
            "steps": counter(steps, 100, max(6000, steps), "steps", "number of training steps"),
            "view": menu(view, VIEWS, "view", "what the right panel shows"),
            "step": step_slider(step, steps, "step", "the step shown"),
        }
        self.knobs["steps"].step = 100
        for name in ("learning_rate", "width", "seed", "steps"):
            self.knobs[name].continuous_update = False  # a training takes longer than a drag waits
        self.knobs["step"].layout.width = "420px"
        self.data = sine()
        self._trained: Any = None  # what the training that is kept was for
        super().__init__()

    def compute(self) -> None:
        """Train, unless only the view has changed, and cut the slice."""
        rate, label, width, seed, steps, view = (knob.value for name, knob in self.knobs.items() if name != "step")
        if self._trained != (rate, label, width, seed, steps):
            make = partial(self.optimizers[label], learning_rate=rate)
            net, training = self._train(make, width, seed, steps, steps)
            if training.diverged_at is not None:  # often within a few steps: look more closely
                net, training = self._train(make, width, seed, steps, training.diverged_at)
            self._run = label, training, sharpness_along(net, self.data, training.weights)
            self.net = net
            self._trained = rate, label, width, seed, steps
        self._show_steps(steps)
        self._look(view, seed)

    @property
    def training(self) -> Training:
        """The last training: its losses, weights and optimizer."""
        return self.study.training

    def _train(self, make: MakeOptimizer, width: int, seed: int, steps: int, shown: int) -> tuple[MLP, Training]:
        net = tanh_net(width, seed)
        return net, train(net, self.data, make, steps, every=max(1, shown // RECORDS))

    def _look(self, view: str, seed: int) -> None:
        """The last training, on the slice of a view."""
        net, (label, training, sharpness) = self.net, self._run
        path, room, cast, surface = training.weights, [], None, None
        if view != FIT:
            plane = pca_plane(path) if view == PCA else random_plane(net, path[-1], seed)
            cast, room = shadow(plane, net, self.data, path), [SHOWN_ROOM] if view == RANDOM else []
            surface = surface_of(plane, net, self.data, np.concatenate([cast.points, *room]))
        limit, answers = sharpness_limit(training.optimizer), outputs_at(net, GRID[:, None], path)
        self.study = Study(label, training, sharpness, limit, self.data, view, cast, GRID, answers)
        self.surface = surface

    def _show_steps(self, steps: int) -> None:
        """The step shown follows where it was the last."""
        step = self.knobs["step"]
        at_end = step.value == step.max
        step.max = steps
        if at_end:
            step.value = steps

    def scene_key(self) -> Hashable:
        """The slice is drawn once."""
        return self.study.view, self._trained if self.surface else None

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> NetworkPicture:
        """The panels, and the hill of the slice."""
        return NetworkPicture(self.surface, self.study, theme, ratio, narrow)

    def draw(self, scene: NetworkPicture) -> None:
        """The training up to the step shown."""
        style = styles(self.optimizers)[self.study.label]
        scene.draw(self.study, style, self.knobs["step"].value)

    def words(self) -> str:
        """The training in words."""
        return network_caption(self.study, self.knobs["step"].value)

    def layout(self) -> list[list[Any]]:
        """The heavy knobs above, time below the picture."""
        *heavy, view, step = self.knobs.values()
        return [heavy, [view], [self.view], [self.play_row(step, 15)], [self.reset_button()]]
