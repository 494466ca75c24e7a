"""The step microscope: arrows where the step says they are, a calm view, a true caption, knobs that do something."""

from __future__ import annotations

import io
import re
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from PIL import Image
from readers import Fragile, Scaled, Sign

from tinygpt import SGD, Adam, RMSProp
from tinygpt.lab.charts.closeup import CloseUp, View
from tinygpt.lab.charts.microscope import (
    MOST_LINES,
    MicroscopePicture,
    close_view,
    microscope_caption,
    placed_labels,
    rows_of,
)
from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.charts.style import STYLES
from tinygpt.lab.steps import Anatomy, Line, Walk, anatomy, walk
from tinygpt.lab.surfaces import SURFACES, Surface, quadratic
from tinygpt.lab.widgets.microscope import CLOSE, OPTIMIZERS, WHOLE, Microscope
from tinygpt.lab.words import number

PIXEL = 1e-6  # the rounding of affine maps, in logical pixels
every_label = pytest.mark.parametrize("label", OPTIMIZERS)
every_shape = pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])

RACERS: dict[str, Any] = {
    "SGD": partial(SGD, learning_rate=0.02),
    "momentum": partial(SGD, learning_rate=0.02, momentum=0.9),
    "Adam": partial(Adam, learning_rate=0.1),
    "RMSProp": partial(RMSProp, learning_rate=0.05, eps=0.1),
}


@cache
def seen(label: str, name: str = "quadratic", steps: int = 30) -> tuple[Walk, tuple[Anatomy, ...]]:
    done = walk(SURFACES[name], RACERS[label], steps=steps)
    return done, tuple(anatomy(done.optimizer, step) for step in done.steps)


@cache
def figure() -> Microscope:
    """A figure that several tests turn, each from its first state."""
    return Microscope()


def turned(start: Any = None, **values: Any) -> Microscope:
    """The figure with these knobs turned and all others where they were at first."""
    m = figure()
    with m.one_run():
        m.reset()
        for name, value in values.items():
            m.knobs[name].value = value
        m.start = start or m.start
    return m


@cache
def picture(narrow: bool = False) -> MicroscopePicture:
    """A picture that several tests draw on: every frame begins afresh."""
    return MicroscopePicture(SURFACES["quadratic"], narrow=narrow)


def written(on: MicroscopePicture, draw: Any) -> dict[str, Any]:
    """The words of a frame and where each is written."""
    words: dict[str, Any] = {}
    original = on.write
    on.write = lambda pixel, text, *rest, **more: words.update({text: pixel}) or original(pixel, text, *rest, **more)  # type: ignore[method-assign]
    try:
        draw(on)
    finally:
        del on.write
    return words


def frame(label: str, step: int, narrow: bool = False) -> Any:
    """The pixels of a frame, and what was written in it."""
    on, (done, parts) = picture(narrow), seen(label)
    words = written(on, lambda on: on.draw(done, STYLES[label], done.steps[step - 1], parts[step - 1], False))
    return np.array(on.canvas.buffer_rgba())[..., :3].astype(int), words


# --- the view ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", RACERS)
@pytest.mark.parametrize("name", ["quadratic", "beale", "himmelblau"])
def test_both_ends_of_a_step_are_in_its_view(name: str, label: str) -> None:
    done, parts = seen(label, name)
    for step, part in zip(done.steps, parts, strict=True):
        view = close_view(done, step, part)
        for end in (step.position, step.position + step.update):
            assert np.max(np.abs(end - view.middle)) < view.half


@pytest.mark.parametrize("label", RACERS)
@pytest.mark.parametrize("name", ["quadratic", "beale"])
def test_the_scale_is_a_power_of_two_and_rests_for_several_steps(name: str, label: str) -> None:
    done, parts = seen(label, name)
    halves = [close_view(done, step, part).half for step, part in zip(done.steps, parts, strict=True)]
    assert {np.log2(half) % 1 for half in halves} == {0}
    assert np.count_nonzero(np.diff(halves)) <= len(halves) / 3


def test_a_step_of_nothing_has_a_view() -> None:
    done = walk("quadratic", RACERS["SGD"], start=(0.0, 0.0), steps=1)
    view = close_view(done, done.steps[0], anatomy(done.optimizer, done.steps[0]))
    assert view.half > 0


@every_shape
def test_a_place_on_the_screen_is_the_point_that_is_drawn_there(narrow: bool) -> None:
    on = MicroscopePicture(SURFACES["quadratic"], "light", 2.0, narrow)
    on.hill.look(View((0.5, -0.25), 0.125))
    for point in [(0.5, -0.25), (0.55, -0.2)]:
        right, up = on.hill.pixels(point)
        assert on.hill.at(right / 2, on.height - up / 2) == pytest.approx(point, abs=PIXEL)


def test_the_hill_is_painted_where_its_minimum_is() -> None:
    scene = Scene(300, 200)
    hill = CloseUp(scene, (0, 0, 300, 200), Surface("bowl", quadratic(1).loss, (1.0, 1.0)))  # no minimum is marked
    scene.begin()
    hill.look(View((0.1, 0.05), 0.2))
    grey = np.array(scene.canvas.buffer_rgba())[..., :3].sum(axis=2)
    rows, columns = np.nonzero(grey >= np.quantile(grey, 0.999))
    x, y = hill.at(float(np.mean(columns)), float(np.mean(rows)))
    assert np.hypot(x, y) < 0.04  # of a picture 0.4 high


@pytest.mark.parametrize(
    "loss",
    [lambda x, y: 3.0, lambda x, y: (x - 1).log() + y * y, lambda x, y: 1e-200 * (x * x + y * y)],
    ids=["flat", "not everywhere a number", "tiny"],
)
def test_any_hill_can_be_looked_at(loss: Any) -> None:
    m = Microscope("Adam", loss, steps=3)
    assert "nan" not in m.caption
    assert Image.open(io.BytesIO(m.picture)).size == (900, 400)


# --- arrows and labels ------------------------------------------------------------------------------------------------


def at(frame: Any, pixel: Any) -> Any:
    """The colour at a pixel of the scene."""
    return tuple(frame[len(frame) - 1 - int(pixel[1]), int(pixel[0])])


@pytest.mark.parametrize("label", ["momentum", "Adam", "RMSProp"])
@every_shape
@pytest.mark.parametrize("step", [2, 9])
def test_the_update_is_drawn_to_scale_in_ink(step: int, narrow: bool, label: str) -> None:
    done, parts = seen(label)
    on, this = picture(narrow), done.steps[step - 1]
    pixels, _ = frame(label, step, narrow)
    assert on.hill.view == close_view(done, this, parts[step - 1])
    tail, tip = on.hill.pixels(this.position), on.hill.pixels(this.position + this.update)
    inside = tip - 4 * (tip - tail) / np.hypot(*(tip - tail))
    assert np.max(np.abs(np.subtract(at(pixels, inside), (27, 31, 36)))) < 40  # ink, under a thinner arrow at most


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("SGD", {"update = −λg"}),
        ("momentum", {"update", "gradient −λg", "momentum −λμv"}),
        ("Adam", {"update", "gradient −g", "mean gradient −m̂", "1/(√v̂ + ε)", "±λ"}),
        ("RMSProp", {"update", "gradient −g", "1/(√v + ε)", "±λ"}),
    ],
)
@every_shape
def test_everything_drawn_is_named(label: str, expected: set[str], narrow: bool) -> None:
    _, words = frame(label, 5, narrow)
    assert expected <= set(words)


def test_a_direction_is_said_to_be_no_more_than_that() -> None:
    directions = {label: [w for w in frame(label, 5)[1] if "only" in w] for label in RACERS}
    assert directions == {
        "SGD": [],
        "momentum": [],
        "Adam": ["−g and −m̂: directions only, not the length"],
        "RMSProp": ["−g: direction only, not the length"],
    }


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_labels_of_tips_that_meet_do_not_cover_each_other(ratio: float) -> None:
    same = [(np.array([100.0, 100.0]), np.array([1.0, 0.2]), f"words {i}", "#000000") for i in range(4)]
    heights = sorted(place[1] for place, _, _, _ in placed_labels(same, (0, 0, 400, 300), ratio))
    assert np.min(np.diff(heights)) >= 14 * ratio


@pytest.mark.parametrize("tip", [(0.0, 0.0), (400.0, 300.0), (-1e4, 150.0), (200.0, 1e4)])
def test_labels_stay_in_the_box(tip: Any) -> None:
    ((place, wide, _, _),) = placed_labels([(np.array(tip), np.array(tip) - 150, "update", "")], (0, 0, 400, 300), 1.0)
    assert 0 <= place[0] <= place[0] + wide <= 400
    assert 0 <= place[1] <= 300


@every_label
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_optimizer_can_be_looked_at(label: str, theme: str) -> None:
    m = turned(optimizer=label)
    m.view.theme = theme
    light = m.picture
    m.view.theme = "light"
    assert (m.picture == light) == (theme == "light")
    assert m.caption.startswith(f"{label} on quadratic ravine, λ = 0.1, step 1 of 60:")


def test_a_frame_remembers_nothing_of_the_frames_before() -> None:
    m = turned()
    first = m.picture
    m.knobs["step"].value = 20
    m.knobs["view"].value = WHOLE
    m.reset()
    assert m.picture == first


# --- the lines --------------------------------------------------------------------------------------------------------


def test_a_line_is_a_formula_and_then_its_numbers() -> None:
    line = Line("v", "μ · v + g", {"μ": 0.9, "v": np.array([1.0, 2.0]), "g": np.array([0.5, -1.0])}, None)
    assert rows_of(line) == ["v = μ · v + g", "= 0.9 · (1, 2) + (0.5, −1)"]


def test_a_letter_alone_is_not_told_twice() -> None:
    assert rows_of(Line("g", "∂loss/∂w", {"∂loss/∂w": np.ones(2)}, np.ones(2))) == ["g = ∂loss/∂w"]


def test_long_lines_are_broken_between_vectors_only() -> None:
    long = np.array([-1.2345e-10, -1.2345e-10])
    line = Line("v", "a + b + c + d", dict.fromkeys("abcd", long), None)
    rows = rows_of(line)
    assert len(rows) > 2
    assert all(row.count("(") == row.count(")") for row in rows)


@every_label
def test_every_line_of_the_anatomy_is_written_with_its_result(label: str) -> None:
    m = turned(optimizer=label, step=3)
    words = written(m._scene(), m.draw)  # type: ignore[arg-type]
    for line in m.anatomy.lines:  # type: ignore[union-attr]
        assert {*rows_of(line), number(line.value)} <= set(words)


@every_shape
@every_label
def test_no_line_leaves_the_picture(label: str, narrow: bool) -> None:
    m = turned(
        optimizer=label, surface="rosenbrock", step=37, learning_rate=1e-3, weight_decay=0.3, beta1=0.87, alpha=0.987
    )
    scene = m.make_scene("light", 1.0, narrow)
    assert min(pixel[1] for pixel in written(scene, m.draw).values()) > 8
    edge = np.array(scene.canvas.buffer_rgba())[:, -4:]
    assert (edge == edge[0, 0]).all()


class Forgetful(Scaled):
    """Keeps more in its state than there is room for."""

    def apply_single(self, parameter: Any, state: Any) -> Any:
        for i in range(20):
            state[f"slot {i}"] = np.full((3, 3), float(i)) if i else 7.0
        return super().apply_single(parameter, state)


def test_a_readers_own_state_is_shown_by_name_with_its_numbers() -> None:
    m = Microscope(Scaled, step=2)
    assert "Its state holds m." in m.caption
    assert [line.name for line in m.anatomy.lines] == ["g", "m", "Δw"]  # type: ignore[union-attr]


def test_a_state_too_large_for_the_picture_is_cut_and_counted() -> None:
    m = Microscope(Forgetful)
    words = written(m._scene(), m.draw)  # type: ignore[arg-type]
    hidden = len(m.anatomy.lines) - MOST_LINES  # type: ignore[union-attr]
    assert f"and {hidden} more in its state" in words
    assert "an array of shape (3, 3)" in words


def test_one_that_remembers_nothing_is_said_to() -> None:
    assert "its state is empty" in Microscope(Sign).caption


# --- the caption ------------------------------------------------------------------------------------------------------


def test_the_caption_of_the_first_step_of_adam() -> None:
    assert turned().caption == (
        "Adam on quadratic ravine, λ = 0.1, step 1 of 60: at (−2.5, 0.5), where the gradient is (−2.5, 5), "
        "the update is (0.1, −0.1). For the same gradient it would go 2 times as far along x as along y. "
        "It is 100 % of λ along x and 100 % along y."
    )


@every_label
@pytest.mark.parametrize("step", [2, 17])
def test_the_caption_has_the_numbers_of_the_step(step: int, label: str) -> None:
    m = turned(optimizer=label, step=step)
    this: Any = m.step
    assert this.number == step
    assert f"at {number(this.position)}, where the gradient is {number(this.gradient)}" in m.caption
    assert f"the update is {number(this.update)}." in m.caption


@pytest.mark.parametrize("label", ["momentum", "Nesterov"])
def test_the_caption_tells_the_shares_of_gradient_and_momentum(label: str) -> None:
    m = turned(optimizer=label, step=7)
    shares = [number(arrow.vector) for arrow in m.anatomy.arrows]  # type: ignore[union-attr]
    assert f"It is the sum of two shares: the gradient {shares[0]} and the momentum {shares[1]}." in m.caption


def test_the_caption_tells_what_is_decay() -> None:
    m = turned(optimizer="AdamW", step=7, weight_decay=0.5)
    this: Any = m.step
    assert f"Of that, {number(-0.1 * 0.5 * this.position)} is decay. " in m.caption


@pytest.mark.parametrize(("eps", "tells"), [(1e-8, False), (1.0, True)])
def test_the_caption_speaks_of_epsilon_where_it_is_felt(eps: float, tells: bool) -> None:
    m = turned(optimizer="RMSProp", eps=eps)
    assert ("ε makes it shorter" in m.caption) == tells


def test_epsilon_shortens_by_its_share_of_the_denominator() -> None:
    caption = turned(optimizer="RMSProp", eps=1.0, alpha=0.99).caption
    x, y = (100 / (1 + np.sqrt((1 - 0.99) * g**2)) for g in (2.5, 5.0))
    assert f"shorter by {x:.0f} % along x and {y:.0f} % along y" in caption


def test_the_ratio_of_the_axes_is_that_of_the_gradients_sizes() -> None:
    caption = turned(optimizer="AdaGrad", eps=1e-12).caption
    assert "2 times as far along x as along y" in caption  # |g| is (2.5, 5)


def test_a_walk_that_diverges_is_told_with_its_cause() -> None:
    m = turned(optimizer="SGD", step=60, learning_rate=1.0)
    assert re.search(r"step 2 of 2: .*With this step it diverges: λ · curvature was 10 .* the limit is 2\.", m.caption)


def test_a_start_off_the_map_is_told() -> None:
    m = turned(start=(1e9, 0.0))
    assert m.caption == "Adam on quadratic ravine: the start is off the map, so there is no step to see."
    assert m.step is None


def test_the_caption_is_of_the_walk_that_is_shown() -> None:
    done, parts = seen("Adam")
    words = microscope_caption(SURFACES["quadratic"], done, done.steps[4], parts[4], "Adam")
    assert number(done.steps[4].update) in words


# --- the widget -------------------------------------------------------------------------------------------------------

TURNS: dict[str, tuple[str, Any]] = {
    "optimizer": ("Adam", "RMSProp"),
    "surface": ("Adam", "beale"),
    "view": ("Adam", WHOLE),
    "steps": ("Adam", 30),
    "step": ("Adam", 12),
    "learning_rate": ("Adam", 0.01),
    "beta1": ("Adam", 0.5),
    "beta2": ("Adam", 0.9),
    "eps": ("Adam", 0.1),
    "weight_decay": ("AdamW", 0.5),
    "alpha": ("RMSProp", 0.5),
    "momentum": ("momentum", 0.5),
    "dampening": ("momentum", 0.5),
}


def test_no_knob_is_left_untested() -> None:
    assert turned().knobs.keys() == TURNS.keys()


@pytest.mark.parametrize("name", TURNS)
def test_every_knob_changes_the_picture(name: str) -> None:
    label, value = TURNS[name]
    m = turned(optimizer=label, step=5)
    before = m.picture
    m.knobs[name].value = value
    assert m.picture != before


@every_label
def test_only_the_knobs_that_an_optimizer_has_are_shown(label: str) -> None:
    m = turned(optimizer=label)
    shown = {name for name, knob in m.knobs.items() if knob.layout.display != "none"}
    free = {
        "SGD": {"weight_decay"},
        "momentum": {"momentum", "weight_decay", "dampening"},
        "Nesterov": {"momentum", "weight_decay"},
        "RMSProp": {"alpha", "eps"},
        "AdaGrad": {"eps"},
        "Adam": {"beta1", "beta2", "eps", "weight_decay"},
        "AdamW": {"beta1", "beta2", "eps", "weight_decay"},
    }[label]
    assert shown == {"optimizer", "surface", "view", "steps", "step", "learning_rate", *free}


@pytest.mark.parametrize(
    "knobs",
    [
        {},
        {"optimizer": "Nesterov", "momentum": 0.5, "step": 9},
        {"surface": "beale", "view": WHOLE, "step": 30, "beta1": 0.3},
        {"optimizer": "AdamW", "weight_decay": 0.25, "steps": 20, "step": 20},
    ],
)
def test_the_experiment_makes_the_figure_again(knobs: dict[str, Any]) -> None:
    m = turned((-0.5, 0.75), **knobs)
    again = eval(m.experiment, {"Microscope": Microscope})
    assert (again.caption, again.picture) == (m.caption, m.picture)


def test_the_experiment_names_a_readers_own_class() -> None:
    m = Microscope(Scaled, step=4)
    again = eval(m.experiment, {"Microscope": Microscope, "Scaled": Scaled})
    assert again.caption == m.caption


def test_all_four_features_of_sgd_can_be_turned_on_the_class_itself() -> None:
    m = Microscope(SGD, momentum=0.5, weight_decay=0.1, step=4)
    assert {"momentum", "weight_decay", "dampening", "nesterov"} <= m.knobs.keys()
    m.knobs["nesterov"].value = True
    assert "g + μ · v" in m.anatomy.lines[-1].formula  # type: ignore[union-attr]
    m.knobs["dampening"].value = 0.5
    assert m.caption.startswith("nesterov needs momentum > 0 and dampening == 0")
    m.knobs["dampening"].value = 0.0
    assert m.caption.startswith("SGD (yours) on quadratic ravine")


def test_a_click_sets_the_start() -> None:
    m = turned()
    scene = m._scene()
    right, up = scene.hill.pixels((-2.4, 0.45))
    m.view.pointer = [right / scene.width, 1 - up / scene.height]
    assert m.start == pytest.approx((-2.4, 0.45), abs=1e-5)  # six digits
    assert m.caption.partition("at ")[2].startswith("(−2.4, 0.45)")


def test_a_click_on_the_lines_sets_nothing() -> None:
    m = turned()
    m.view.pointer = [0.9, 0.5]
    assert m.start == (-2.5, 0.5)


@pytest.mark.parametrize(("key", "start"), [((1, 0), (-2.425, 0.5)), ((0, -1), (-2.5, 0.425))])
def test_arrow_keys_move_the_start(key: Any, start: Any) -> None:
    m = turned()
    m.nudged(*key)
    assert m.start == pytest.approx(start)


def test_another_surface_has_its_own_start() -> None:
    m = turned()
    m.knobs["surface"].value = "beale"
    assert m.start == SURFACES["beale"].start


def test_reset_brings_back_the_start() -> None:
    m = turned()
    m.start = (1.0, 1.0)
    m.reset()
    assert m.start == (-2.5, 0.5)


def test_fewer_steps_leave_the_last_one_shown() -> None:
    m = turned()
    m.knobs["step"].value = 60
    m.knobs["steps"].value = 10
    assert (m.knobs["step"].value, "step 10 of 10" in m.caption) == (10, True)


@pytest.mark.parametrize("name", TURNS)
def test_no_knob_raises_at_either_end(name: str) -> None:
    m = turned(optimizer=TURNS[name][0], steps=20, step=20)
    knob = m.knobs[name]
    options = [option[1] for option in knob.options] if name in ("optimizer", "surface") else []
    ends = {"view": [CLOSE, WHOLE]}.get(name) or options or [knob.min, knob.max]
    for end in ends:
        knob.value = 10.0**end if hasattr(knob, "base") else end
        assert not re.search("nan|inf|Error", m.caption)


def test_an_error_of_a_readers_own_is_told() -> None:
    m = Microscope(Fragile)
    m.knobs["learning_rate"].value = 10.0
    assert "with RuntimeError: out of my depth." in m.caption


@every_shape
def test_the_picture_has_the_size_of_its_page(narrow: bool) -> None:
    m = turned()
    m.view.narrow = narrow
    size = Image.open(io.BytesIO(m.picture)).size
    m.view.narrow = False
    assert size == ((480, 760) if narrow else (900, 400))


def test_the_stored_bundle_has_picture_and_caption() -> None:
    m = turned()
    data, _ = m._repr_mimebundle_()
    assert data["text/plain"] == m.caption
    assert data["image/png"]


def test_own_surfaces_are_on_the_menu() -> None:
    m = Microscope(surface=quadratic(100, 30))
    assert m.surface.loss(1.0, 0.0) == pytest.approx(quadratic(100, 30).loss(1.0, 0.0))


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match=r"optimizer must be one of SGD, .*, or a class, got 'Adan'"):
        Microscope("Adan")


def test_a_hyperparameter_that_nobody_has_is_refused() -> None:
    with pytest.raises(TypeError, match="Adam has no beta3"):
        Microscope("Adam", beta3=0.5)
