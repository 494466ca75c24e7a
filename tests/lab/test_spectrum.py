"""Spectra: Muon brings all singular values near 1, SGD leaves them, and the sign loses directions."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tinygpt import SGD
from tinygpt.lab.charts.spectrum import shown, spectrum_caption
from tinygpt.lab.descent import Walker
from tinygpt.lab.failure import feed
from tinygpt.lab.spectrum import MOST_STEPS, SIZE, Lion, Muon, matrix, spectrum, update_of
from tinygpt.lab.widgets.spectrum_lab import SpectrumLab

ROUNDING = 1e-9  # of singular values a thousand times smaller than the largest
seeds = pytest.mark.parametrize("seed", [0, 1, 7])


def quintic(s: np.ndarray) -> np.ndarray:
    return 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5


@seeds
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
def test_the_gradient_has_the_spectrum_that_is_asked_for(spread: float, seed: int) -> None:
    found = np.linalg.svd(matrix(spread, seed), compute_uv=False)
    np.testing.assert_allclose(found, 10 * 10 ** (-spread * np.arange(SIZE)), rtol=ROUNDING)


@seeds
def test_sgd_leaves_the_spectrum_as_it_is(seed: int) -> None:
    np.testing.assert_allclose(spectrum(seed=seed).updates["SGD"], [10, 1, 0.1, 0.01], rtol=ROUNDING)


@seeds
def test_each_step_of_newton_and_schulz_acts_on_every_singular_value_alone(seed: int) -> None:
    found = spectrum(seed=seed).muon
    expected = np.sort(quintic(found[:-1]), axis=1)[:, ::-1]
    np.testing.assert_allclose(found[1:], expected, rtol=1e-6)


def test_five_steps_bring_four_decades_near_one() -> None:
    np.testing.assert_allclose(spectrum().updates["Muon"], [0.71, 0.70, 0.70, 0.47], atol=0.005)


def test_muon_takes_no_notice_of_how_the_gradient_is_turned() -> None:
    np.testing.assert_allclose(spectrum(seed=1).muon, spectrum(seed=2).muon, rtol=ROUNDING)


def test_muon_takes_no_notice_of_how_large_the_gradient_is() -> None:
    gradient = matrix()
    make = partial(Muon, learning_rate=1.0)
    np.testing.assert_allclose(
        update_of(make, 1000 * gradient), update_of(make, gradient), rtol=1e-6
    )  # + 1e-7 below ‖v‖


def test_muon_steps_along_the_sum_of_its_gradients() -> None:
    a, b = matrix(seed=1), matrix(seed=2)
    *_, (_, state) = feed(Muon, np.zeros((SIZE, SIZE)), lambda step, _: (a, b)[step], 2)
    np.testing.assert_allclose(state["v"], 0.95 * a + b, rtol=ROUNDING)


def test_muon_wants_a_matrix() -> None:
    with pytest.raises(ValueError, match=r"Muon needs a matrix, got shape \(3,\)"):
        update_of(Muon, np.ones(3))


def test_muon_rests_where_there_is_no_gradient() -> None:
    np.testing.assert_array_equal(update_of(Muon, np.zeros((2, 2))), 0)


@seeds
def test_muon_of_an_oblong_matrix_has_steps_near_one_as_well(seed: int) -> None:
    gradient = np.random.default_rng(seed).normal(size=(5, 3))
    found = np.linalg.svd(update_of(partial(Muon, learning_rate=1.0), gradient), compute_uv=False)
    assert ((found > 0.3) & (found < 1.3)).all()


def test_every_step_of_lion_has_the_size_of_the_learning_rate() -> None:
    rng = np.random.default_rng(0)
    path = np.array(
        [w for w, _ in feed(partial(Lion, learning_rate=0.5), np.zeros(6), lambda *_: rng.normal(size=6), 9)]
    )
    np.testing.assert_array_equal(np.abs(np.diff(path, axis=0)), 0.5)


def test_the_first_step_of_lion_is_the_sign_of_the_gradient() -> None:
    np.testing.assert_array_equal(update_of(partial(Lion, learning_rate=1.0), matrix()), np.sign(matrix()))


def test_lion_looks_with_one_beta_and_remembers_with_the_other() -> None:
    gradients = [1.0, -0.5, -2.0, 0.1]
    m, w, expected = 0.0, 0.0, []
    for g in gradients:
        w -= 0.1 * np.sign(0.6 * m + 0.4 * g)
        m = 0.8 * m + 0.2 * g
        expected.append(w)
    make = partial(Lion, learning_rate=0.1, betas=(0.6, 0.8))
    found = [w for w, _ in feed(make, 0.0, lambda step, _: gradients[step], 4)][1:]
    np.testing.assert_allclose(found, expected, rtol=ROUNDING)


def test_an_update_is_what_the_optimizer_takes_away() -> None:
    walker = Walker(np.zeros((2, 2)))
    walker.position.grad = np.ones((2, 2))
    SGD(walker, learning_rate=0.3).update()
    np.testing.assert_array_equal(update_of(partial(SGD, learning_rate=0.3), np.ones((2, 2))), -walker.position.data)


@pytest.mark.parametrize("wrong", [{"newton_schulz_steps": -1}, {"newton_schulz_steps": 11}, {"spread": -1.0}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be in"):
        spectrum(**wrong)


# --- words and pointer ------------------------------------------------------------------------------------------------


def test_values_that_rounding_alone_keeps_from_zero_are_shown_as_zero() -> None:
    np.testing.assert_array_equal(shown(np.array([4.0, 1e-3, 1e-16, 0.0])), [4, 1e-3, 0, 0])


def test_the_caption_has_every_singular_value() -> None:
    caption = spectrum_caption(spectrum(), 5)
    assert "SGD: 10, 1, 0.1, 0.01; the first is 1000 times the last" in caption
    assert "Muon after 5 Newton–Schulz steps: 0.709, 0.702, 0.697, 0.468; the first is 1.51 times the last" in caption


def test_the_caption_counts_the_directions_that_the_sign_loses() -> None:
    assert "sign (Lion): 3.46, 2, 0, 0; 2 of 4 directions are lost" in spectrum_caption(spectrum(), 5)


@pytest.mark.parametrize("steps", [0, 3, MOST_STEPS])
def test_a_click_in_the_right_panel_chooses_the_steps(steps: int) -> None:
    lab = SpectrumLab()
    scene = lab.make_scene("light", 1.0, False)
    left, bottom, width, height = scene.lifted.box
    lab.pointed(scene, left + width * steps / MOST_STEPS, scene.height - bottom - height / 2)
    assert lab.knobs["newton_schulz_steps"].value == steps
