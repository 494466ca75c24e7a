"""The gradient tape in a picture and in words: what is known at each stage is shown, and no more."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tinygpt import Tensor
from tinygpt.lab.charts.tape import NARROW, WIDE, TapePicture, number, tape_caption
from tinygpt.lab.graph import trace, twice
from tinygpt.lab.widgets.gradient_tape import GradientTape

TWICE = trace(twice, x=2.0, y=-1.0)


def neuron(w: Any, x: Any, b: Any = 0.3, target: Any = 1.0) -> Any:
    """A neuron's squared error."""
    return ((w * x + b).tanh() - target) ** 2


def deep(x: Any) -> Any:
    """A chain too long to stand side by side."""
    for _ in range(12):
        x = (x * 0.9).sin()
    return x


def whole(w: Any, x: Any) -> Any:
    """An expression of arrays."""
    return ((w * x).sum() - 1) ** 2


def branching(x: Any) -> Any:
    """Another graph for negative values."""
    return x * x + x if x.item() > 0 else x + 1


SHOWN = {"twice": (twice, {}), "neuron": (neuron, {}), "deep": (deep, {}), "whole": (whole, {"w": [1, 2], "x": [3, 4]})}
every_function = pytest.mark.parametrize("name", SHOWN)


def made(name: str, **options: Any) -> GradientTape:
    function, values = SHOWN[name]
    return GradientTape(function, **values, **options)


def drawn(scene: TapePicture, graph: Any, stage: int) -> Any:
    scene.draw(graph, stage)
    return np.array(scene.canvas.buffer_rgba())[..., :3].astype(int)


# --- the caption ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        (0, "x = 2, y = −1; a = x × y = −2; b = tanh(y) = −0.762; c = a + b = −2.76. No gradient is known yet."),
        (1, "x = 2, y = −1. Stage 1 of 4: backward begins at the end; the gradient of c = −2.76 by itself is 1."),
        (2, "x = 2, y = −1. Stage 2 of 4: c = a + b has gradient 1 and gives a 1 × 1 = 1, and b 1 × 1 = 1."),
        (3, "x = 2, y = −1. Stage 3 of 4: b = tanh(y) has gradient 1 and gives y 1 × 0.42 = 0.42."),
        (
            4,
            "x = 2, y = −1. Stage 4 of 4: a = x × y has gradient 1 and gives x 1 × −1 = −1, and y 1 × 2 = 2. y is used "
            "more than once, so both parts are added: 0.42 + 2 = 2.42. All gradients are known: ∂c/∂x = −1, "
            "∂c/∂y = 2.42.",
        ),
    ],
)
def test_the_caption_tells_what_happened_at_a_stage(stage: int, words: str) -> None:
    assert tape_caption(TWICE, stage) == words


def test_the_last_caption_tells_the_gradients_that_backward_leaves() -> None:
    leaves = {"w": Tensor(0.5, requires_grad=True), "x": Tensor(-1.2, requires_grad=True)}
    neuron(**leaves).backward()
    told = GradientTape(neuron, w=0.5, x=-1.2).caption
    assert all(f"∂f/∂{name} = {number(leaf.grad)}" in told for name, leaf in leaves.items())


@pytest.mark.parametrize(
    ("value", "told"),
    [(2.0, "2"), (-0.12345, "−0.123"), (1286.0, "1290"), (1.5e-7, "1.5e−7"), (np.nan, "no number"), (-np.inf, "−∞")],
)
def test_numbers_are_told_with_three_digits(value: float, told: str) -> None:
    assert number(np.float64(value)) == told


def test_a_few_numbers_are_told_and_many_are_counted() -> None:
    assert number(np.array([1.0, -2.5])) == "[1, −2.5]"
    assert number(np.ones((3, 4))) == "12 numbers"


def test_values_without_a_logarithm_are_told_as_no_numbers() -> None:
    tape = GradientTape(lambda x: x.log() * x, x=2.0)
    with np.errstate(all="ignore"):
        tape.knobs["x"].value = -1.0
    assert "nan" not in tape.caption
    assert "no number" in tape.caption


# --- the picture ------------------------------------------------------------------------------------------------------


@every_function
@pytest.mark.parametrize("narrow", [False, True])
def test_all_boxes_are_within_the_picture_and_apart(name: str, narrow: bool) -> None:
    scene = made(name).make_scene("light", 1.0, narrow)
    half = np.array(scene.box) / 2
    assert scene.width == (NARROW if narrow else WIDE)
    assert np.all(scene.centres - half > 0)
    assert np.all(scene.centres + half < (scene.width, scene.height - 30))  # the title's line
    off = np.abs(scene.centres[:, None] - scene.centres[None]) / scene.box
    assert np.all((off.max(axis=2) > 1) | np.eye(len(off), dtype=bool))


@pytest.mark.parametrize("name", ["twice", "whole"])
@pytest.mark.parametrize("narrow", [False, True])
def test_each_stage_shows_something_new(name: str, narrow: bool) -> None:
    tape = made(name)
    graph, scene = tape.graph, tape.make_scene("light", 1.0, narrow)
    frames = [drawn(scene, graph, stage) for stage in range(graph.stages + 1)]
    assert all((a != b).any() for a, b in pairwise(frames))


def test_a_frame_remembers_nothing_of_the_frames_before() -> None:
    scene = GradientTape().make_scene("light", 1.0, False)
    first = drawn(scene, TWICE, 2)
    drawn(scene, TWICE, 4)
    np.testing.assert_array_equal(drawn(scene, TWICE, 2), first)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_a_node_is_found_where_it_is_drawn(ratio: float) -> None:
    scene = GradientTape().make_scene("light", ratio, False)
    for i, (x, y) in enumerate(scene.centres / ratio):
        assert scene.node_at(x, scene.height - y) == i
    assert scene.node_at(1, 1) is None


def test_an_expression_that_is_deep_goes_from_top_to_bottom() -> None:
    assert np.ptp(made("deep").make_scene("light", 1.0, False).centres[:, 0]) < 1
    assert np.ptp(made("deep").make_scene("light", 1.0, False).centres[:, 1]) > WIDE


# --- the widget -------------------------------------------------------------------------------------------------------


def test_it_begins_with_all_gradients() -> None:
    tape = GradientTape()
    assert tape.knobs["step"].value == tape.graph.stages
    assert tape.caption == tape_caption(TWICE, 4)


@every_function
def test_every_knob_changes_picture_and_caption(name: str) -> None:
    tape = made(name)
    for knob in tape.knobs.values():
        before = tape.picture, tape.caption
        knob.value = knob.value - 1
        assert tape.picture != before[0]
        assert tape.caption != before[1]


@pytest.mark.parametrize("value", [-5.0, 0.0, 1.23, 5.0])
def test_no_value_stops_it(value: float) -> None:
    tape = GradientTape()
    tape.knobs["x"].value = tape.knobs["y"].value = value
    assert tape.caption == tape_caption(trace(twice, x=value, y=value), 4)


def test_a_value_is_kept_to_the_last_digit() -> None:
    assert GradientTape(x=1 / 3).graph.nodes[0].value == 1 / 3


def test_what_is_not_given_has_the_functions_default_or_is_one() -> None:
    values = {name: knob.value for name, knob in GradientTape(neuron, w=0.5).knobs.items()}
    assert values == {"w": 0.5, "x": 1.0, "b": 0.3, "target": 1.0, "step": 6}


def test_lists_are_values_without_a_slider() -> None:
    tape = made("whole")
    assert list(tape.knobs) == ["step"]
    assert "∂d/∂w = [60, 80]" in tape.caption


def test_a_value_that_takes_another_branch_gives_another_graph() -> None:
    tape = GradientTape(branching, x=2.0)
    tape.knobs["x"].value = -2.0
    assert tape.knobs["step"].max == tape.graph.stages == 2
    assert tape.caption == tape_caption(trace(branching, x=-2.0), 2)


@pytest.mark.parametrize("name", ["x", "a", "c"])
def test_a_click_on_a_node_goes_to_the_stage_that_completes_it(name: str) -> None:
    tape = GradientTape(step=0)
    node = [n.name for n in tape.graph.nodes].index(name)
    scene = tape.make_scene("light", 1.0, False)
    x, y = scene.centres[node]
    tape.view.pointer = [x / scene.width, 1 - y / scene.height]
    assert tape.knobs["step"].value == tape.graph.completed(node) > 0


def test_a_click_beside_the_nodes_changes_nothing() -> None:
    tape = GradientTape(step=2)
    tape.view.pointer = [0.01, 0.01]
    assert tape.knobs["step"].value == 2


def test_arrow_keys_walk_backward_and_stop_at_the_ends() -> None:
    tape, seen = GradientTape(step=3), []
    for right in (1, 1, -1, -1, -1, -1, -1):
        tape.nudged(right, 0)
        seen.append(tape.knobs["step"].value)
    assert seen == [4, 4, 3, 2, 1, 0, 0]


@every_function
def test_the_experiment_makes_the_same_figure(name: str) -> None:
    tape = made(name)
    for knob in tape.knobs.values():
        knob.value = knob.value - 1
    names = {"GradientTape": GradientTape, **{function.__name__: function for function, _ in SHOWN.values()}}
    assert eval(tape.experiment, names).caption == tape.caption


def test_what_cannot_be_traced_is_said_where_the_figure_is_made() -> None:
    with pytest.raises(ValueError, match=r"take \.sum"):
        GradientTape(lambda x: x * 2, x=[1.0, 2.0])


def test_readers_without_a_kernel_have_picture_and_caption() -> None:
    data, _ = GradientTape()._repr_mimebundle_()
    assert data["text/plain"] == tape_caption(TWICE, 4)
    assert data["image/png"]


@pytest.mark.parametrize("ending", ["png", "svg", "gif"])
def test_it_can_be_saved(tmp_path: Any, ending: str) -> None:
    file = tmp_path / f"tape.{ending}"
    GradientTape().save(file)
    assert file.stat().st_size > 1000


def test_a_film_has_a_picture_for_every_stage(tmp_path: Any) -> None:
    GradientTape().save(tmp_path / "tape.gif")
    assert Image.open(io.BytesIO((tmp_path / "tape.gif").read_bytes())).n_frames == 5
