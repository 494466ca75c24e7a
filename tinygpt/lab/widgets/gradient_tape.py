"""GradientTape: an expression's graph, through which the reader walks backward."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from tinygpt.lab.charts.tape import TapePicture, tape_caption
from tinygpt.lab.graph import trace, twice
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.knobs import Knob, counter, slider
from tinygpt.tensor import Tensor

REACH = 5.0  # a slider goes so far to either side at least, and to twice the value it begins with


class GradientTape(Instrument):
    """The graph of an expression with its values, and backward's way through it: GradientTape(lambda x, y: x * y, x=2).

    `function` takes tensors by name; what `values` leaves out has the function's own default, or is 1. `step` is the
    stage of backward that is shown: 0 knows values only, 1 begins at the end, the last one (which is where it begins,
    if none is given) knows all gradients. Single numbers have a slider each, `knobs["x"]`.

    Raises: TypeError or ValueError where `trace` does.
    """

    hint = "A click on a node goes to the stage that completes its gradient; arrow keys walk backward and forward."
    repaints = frozenset({"step"})

    def __init__(self, function: Callable[..., Tensor] = twice, step: int | None = None, **values: Any) -> None:
        self.function = function
        start = {"x": 2.0, "y": -1.0} if function is twice else _defaults(function)
        start.update({name: np.asarray(value, float).tolist() for name, value in values.items()})
        lists = {name: value for name, value in start.items() if isinstance(value, list)}
        self.graph = trace(function, **start)
        self.fixed = lists if function is twice else {"function": function, **lists}
        self.knobs = {name: _slider(name, value) for name, value in start.items() if name not in lists}
        last = self.graph.stages
        self.knobs["step"] = counter(last if step is None else step, 0, last, "stage", "stage of backward")
        self.knobs["step"].layout.width = "420px"
        super().__init__()

    def compute(self) -> None:
        """Run the function for the values of the sliders, and read its tape."""
        numbers = {name: knob.value for name, knob in self.knobs.items() if name != "step"}
        lists = {name: value for name, value in self.fixed.items() if name != "function"}
        self.graph = trace(self.function, **numbers, **lists)
        step = self.knobs["step"]
        at_end = step.value == step.max
        step.max = self.graph.stages  # another value may take another branch of the function
        if at_end:
            step.value = step.max

    def scene_key(self) -> Hashable:
        """Boxes stay where they are while the expression is the same."""
        return tuple(node.sources for node in self.graph.nodes)

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> TapePicture:
        """The page on which the graph is drawn."""
        return TapePicture([node.sources for node in self.graph.nodes], theme, ratio, narrow)

    def draw(self, scene: TapePicture) -> None:
        """The graph at the stage shown."""
        scene.draw(self.graph, self.knobs["step"].value)

    def words(self) -> str:
        """What happened at the stage shown."""
        return tape_caption(self.graph, self.knobs["step"].value)

    def pointed(self, scene: TapePicture, x: float, y: float) -> None:
        """Go to the stage that completes the gradient of the node under the pointer."""
        node = scene.node_at(x, y)
        if node is not None:
            self.knobs["step"].value = self.graph.completed(node)

    def nudged(self, right: float, up: float) -> None:
        """Walk a stage on, or back."""
        step = self.knobs["step"]
        step.value = min(max(step.value + int(right), 0), step.max)

    def layout(self) -> list[list[Any]]:
        """A slider for each value, the graph, and the stage with its play button."""
        *values, step = self.knobs.values()
        return [values, [self.view], [self.play_row(step)], [self.reset_button()]]


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name: 1.0 if p.default is p.empty else p.default for p in parameters}


def _slider(name: str, value: float) -> Any:
    reach = max(REACH, 2 * abs(value))
    made = slider(value, Knob(name, name, -reach, reach, value, 0.01))
    made.value = value  # to the last digit, whatever the slider's step
    return made
