"""The network lab in a picture and in words: what it says is what was measured, in bounds where it is chaotic."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from readers import Fragile, Normalised

from tinygpt import SGD, Tensor
from tinygpt.lab.charts.curves import ceiling
from tinygpt.lab.charts.network import FIT, PCA, RANDOM, VIEWS, NetworkPicture, Study, network_caption
from tinygpt.lab.charts.style import STYLES
from tinygpt.lab.networks import sharpness_along, sine, tanh_net, train
from tinygpt.lab.slices import pca_plane, random_plane, shadow
from tinygpt.lab.widgets.network_lab import NETWORK_OPTIMIZERS, NetworkLab

every_view = pytest.mark.parametrize("view", VIEWS)


@cache
def small(view: str = PCA, **options: Any) -> NetworkLab:
    """A training that is quickly done, which tests only look at."""
    return NetworkLab(**{"learning_rate": 0.2, "width": 4, "steps": 100, "view": view, **options})


def study(**changes: Any) -> Study:
    """A made-up study of ten steps."""
    training = small().training
    measured: dict[str, Any] = {
        "label": "SGD",
        "training": training,
        "sharpness": np.linspace(2, 4, len(training.at)),
        "limit": 10.0,
        "data": sine(),
        "view": PCA,
        "shadow": small().study.shadow,
        "grid": small().study.grid,
        "fits": small().study.fits,
    }
    return Study(**{**measured, **changes})


# --- the caption ------------------------------------------------------------------------------------------------------


def test_the_caption_tells_what_was_measured() -> None:
    net, data = tanh_net(4), sine()
    training = train(net, data, partial(SGD, learning_rate=0.2), 100, every=1)
    sharpness = sharpness_along(net, data, training.weights)
    cast = shadow(pca_plane(training.weights), net, data, training.weights)
    assert small().caption == (
        f"SGD at λ = 0.2, 100 steps: the loss begins at {training.losses[0]:.2g} and goes to less than "
        f"{ceiling(training.losses[-1]):g}. "
        f"Sharpness goes from {sharpness[0]:.2g} to {sharpness[-1]:.2g} and stays below 2/λ = 10, so the steps are "
        f"stable in every direction. The PCA plane holds more than "
        f"{10 * int(10 * cast.explained)} % of the path's variance; at the start it shows a loss of about "
        f"{cast.losses[0]:.1g}, where the true one is {training.losses[0]:.2g}."
    )


@pytest.mark.parametrize("loss", [0.0201, 0.031, 0.0399, 0.05])
def test_a_loss_is_told_as_a_bound_which_is_one_two_or_five_of_a_decade(loss: float) -> None:
    training = train(tanh_net(4), sine(), partial(SGD, learning_rate=0.2), 3, every=1)
    training.losses[-1] = loss
    told = network_caption(study(training=training, sharpness=np.ones(4)), 3)
    assert "goes to less than 0.05." in told


def test_at_the_edge_of_stability_a_band_is_told() -> None:
    sharpness = np.concatenate([np.linspace(2, 5, 50), 5.1 + 0.3 * np.cos(np.arange(51))])  # 5.4 is 8 % above 5
    told = network_caption(study(limit=5.0, sharpness=sharpness), 100)
    assert "= 5 at about step 50, and from then on stays within 10 % of it, the edge of stability." in told


def test_before_the_limit_is_passed_nothing_is_told_of_the_edge() -> None:
    sharpness = np.linspace(2, 8, 101)
    assert "stays below" in network_caption(study(limit=5.0, sharpness=sharpness), 40)
    assert "edge of stability" in network_caption(study(limit=5.0, sharpness=sharpness), 60)


def test_a_loss_that_shoots_up_at_the_edge_is_told() -> None:
    training = train(tanh_net(4), sine(), partial(SGD, learning_rate=0.2), 100, every=1)
    training.losses[80] = 10
    told = network_caption(study(training=training, limit=3.0), 100)
    assert "now and then the loss shoots up" in told
    assert "shoots up" not in network_caption(study(training=training, limit=3.0), 79)


def test_a_start_that_is_too_steep_is_told() -> None:
    assert "begins at 2, above" in network_caption(study(limit=1.5), 100)


@pytest.mark.parametrize("label", ["Adam", "RMSProp"])
def test_for_optimizers_without_the_limit_it_is_said_so(label: str) -> None:
    told = small(FIT, optimizer=label, learning_rate=0.01).caption
    assert f"2/λ is no limit for {label}" in told


@pytest.mark.parametrize(("label", "told"), [("momentum", "3.8/λ = 38"), ("Nesterov", "1.36/λ = 13.6")])
def test_with_momentum_the_limit_is_another(label: str, told: str) -> None:
    assert told in small(FIT, optimizer=label, learning_rate=0.1).caption


def test_a_divergence_is_told_with_its_step() -> None:
    lab = small(FIT, learning_rate=1.0, width=64)
    assert lab.training.diverged_at is not None
    assert f"diverges at step {lab.training.diverged_at}." in lab.caption
    assert not re.search("nan|inf", lab.caption)


def test_the_caption_at_a_step_is_of_what_was_known_then() -> None:
    told, sharpness = network_caption(small().study, 40), small().study.sharpness
    assert told.startswith("SGD at λ = 0.2, step 40 of 100: ")
    assert f"Sharpness is {sharpness[40]:.2g} and stays below" in told


def test_the_fit_is_told_by_its_largest_error() -> None:
    lab = small(FIT)
    net = tanh_net(4)
    train(net, sine(), partial(SGD, learning_rate=0.2), 100)
    error = float(np.max(np.abs(net(Tensor(sine().x)).data - sine().y)))
    told = float(re.search(r"within ([\d.]+) of every point", lab.caption)[1])  # type: ignore[index]
    assert 0.95 * error <= told <= 2.6 * error  # rounded up to 1, 2 or 5, and read off a curve


# --- the picture ------------------------------------------------------------------------------------------------------


@cache
def picture(view: str, narrow: bool) -> NetworkPicture:
    """A scene that several tests draw on: every frame begins afresh."""
    return small(view).make_scene("light", 1.0, narrow)


def pixels(view: str, step: int, narrow: bool = False) -> Any:
    scene = picture(view, narrow)
    scene.draw(small(view).study, STYLES["SGD"], step)
    return np.array(scene.canvas.buffer_rgba())[..., :3]


@every_view
@pytest.mark.parametrize("narrow", [False, True])
def test_a_later_step_shows_more(view: str, narrow: bool) -> None:
    assert (pixels(view, 5, narrow) != pixels(view, 100, narrow)).any()


@every_view
def test_a_frame_remembers_nothing_of_the_frames_before(view: str) -> None:
    first = pixels(view, 50)
    pixels(view, 100)
    np.testing.assert_array_equal(pixels(view, 50), first)


@every_view
def test_views_differ_in_the_right_panel_alone(view: str) -> None:
    changed = (pixels(view, 100) != pixels(VIEWS[VIEWS.index(view) - 1], 100)).any(axis=(0, 2))
    assert not changed[:390].any()
    assert changed[390:].any()


@pytest.mark.parametrize("label", NETWORK_OPTIMIZERS)
def test_every_optimizer_can_be_shown_at_every_moment(label: str) -> None:
    lab = NetworkLab(optimizer=label, learning_rate=0.05, width=3, steps=100, view=FIT)
    for step in (0, 1, 50, 100):
        lab.knobs["step"].value = step
        assert lab.caption.startswith(label)
        assert not re.search("nan|inf|Error", lab.caption)


# --- the widget -------------------------------------------------------------------------------------------------------

OTHERS = {"learning_rate": 0.3, "optimizer": "Adam", "width": 5, "seed": 1, "steps": 200, "view": RANDOM, "step": 50}


def test_every_knob_has_a_test_that_turns_it() -> None:
    assert list(OTHERS) == list(small().knobs)


@pytest.mark.parametrize("name", OTHERS)
def test_every_knob_changes_picture_and_caption(name: str) -> None:
    lab = NetworkLab(learning_rate=0.2, width=4, steps=100, view=FIT)
    before = lab.picture, lab.caption
    lab.knobs[name].value = OTHERS[name]
    assert lab.picture != before[0]
    assert lab.caption != before[1]


@pytest.mark.parametrize("view", [PCA, RANDOM])
def test_the_slice_shown_is_that_of_the_training(view: str) -> None:
    lab = small(view)
    path = lab.training.weights
    plane = pca_plane(path) if view == PCA else random_plane(lab.net, path[-1], 0)
    np.testing.assert_array_equal(lab.study.shadow.points, plane.nearest(path))


def test_another_view_does_not_train_again() -> None:
    lab = NetworkLab(learning_rate=0.2, width=4, steps=100, view=FIT)
    training = lab.training
    lab.knobs["view"].value = RANDOM
    assert lab.training is training


def test_the_step_shown_follows_the_last_one() -> None:
    lab = NetworkLab(learning_rate=0.2, width=4, steps=100, view=FIT)
    lab.knobs["steps"].value = 300
    assert (lab.knobs["step"].value, lab.knobs["step"].max) == (300, 300)
    lab.knobs["step"].value = 250
    lab.knobs["steps"].value = 200
    assert lab.knobs["step"].value == 200


def test_reset_brings_everything_back() -> None:
    lab = NetworkLab(learning_rate=0.2, width=4, steps=100, step=30, view=FIT)
    before = lab.caption
    with lab.one_run():
        for name, value in OTHERS.items():
            lab.knobs[name].value = value
    lab.reset()
    assert lab.caption == before


@every_view
def test_the_experiment_makes_the_same_figure(view: str) -> None:
    lab = NetworkLab(learning_rate=0.2, width=4, steps=100, view=view)
    with lab.one_run():
        lab.knobs["seed"].value = 3
        lab.knobs["step"].value = 60
    assert eval(lab.experiment, {"NetworkLab": NetworkLab}).caption == lab.caption


def test_a_readers_own_optimizer_trains_the_net() -> None:
    lab = NetworkLab(0.05, "mine", width=4, steps=100, view=FIT, optimizers={"mine": Normalised})
    lengths = np.linalg.norm(np.diff(lab.training.weights, axis=0), axis=1)
    assert lab.caption.startswith("mine at λ = 0.05, 100 steps")
    assert np.all(lengths < 4.1 * 0.05)  # four parameters, a step of 0.05 each at most, every step written down


def test_a_readers_exception_is_told_and_the_figure_stays_alive() -> None:
    lab = NetworkLab(0.5, "mine", width=4, steps=100, view=FIT, optimizers={"mine": partial(Fragile)})
    picture = lab.picture
    lab.knobs["learning_rate"].max = 2.0
    lab.knobs["learning_rate"].value = 1.5
    assert ("with RuntimeError: out of my depth" in lab.caption, lab.picture) == (True, picture)
    lab.knobs["learning_rate"].value = 0.4
    assert lab.caption.startswith("mine at λ = 0.4, 100 steps")


def test_an_unknown_optimizer_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="one of SGD, momentum, Nesterov, RMSProp, Adam, got 'adam'"):
        NetworkLab(optimizer="adam")


def test_readers_without_a_kernel_have_picture_and_caption() -> None:
    data, _ = small()._repr_mimebundle_()
    assert data["text/plain"] == small().caption
    assert len(data["image/png"]) > 10_000
