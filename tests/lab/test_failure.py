"""Reddi's problem: Adam with β₁ = 0 walks to the worst point, AMSGrad does not, and a formula says from which β₂ on."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tinygpt import SGD, Adam
from tinygpt.lab.charts.failure import failure_caption
from tinygpt.lab.failure import BETA2S, AMSGrad, drift, feed, largest_failing_beta2, reddi
from tinygpt.lab.widgets.failure_lab import FailureLab

ROUNDING = 1e-12  # a hundred steps of some ten roundings each
NEAR = 0.15  # one step of λ = .1 and half as much: as near to a border as x stays
FIXTURE = 5e-7  # six digits are printed


def walked(beta2: float, large: float = 3.0, period: int = 3, rounds: int = 40) -> float:
    """What Adam moves in a round, in units of λ, far from the borders and long after the start."""
    rate, steps = 1e-5, rounds * period
    path = reddi(large, period, (0.0, beta2), rate, steps).paths["Adam"]
    return float((path[-1] - path[-1 - period]) / rate)


def test_adam_goes_to_the_worst_point_and_amsgrad_and_sgd_to_the_best() -> None:
    ends = [path[-1] for path in reddi().paths.values()]
    np.testing.assert_allclose(ends, [1.0, -1.0, -1.0], atol=2 * NEAR)


def test_so_it_is_with_the_falling_learning_rate_of_the_theorem() -> None:
    found = reddi(learning_rate=0.5, steps=1000, decays=True).paths
    assert found["Adam"][-1] > 1 - NEAR > NEAR - 1 > found["AMSGrad"][-1]


@pytest.mark.parametrize("beta2", [0.1, 0.3, 0.47])
def test_with_momentum_adam_goes_to_the_best_point_too(beta2: float) -> None:
    assert reddi(betas=(0.9, beta2), steps=300).paths["Adam"][-1] < NEAR - 1


@pytest.mark.parametrize(("large", "period"), [(3.0, 3), (5.0, 4), (2.5, 2)])
@pytest.mark.parametrize("beta2", [0.0, 0.1, 0.47, 0.7])
def test_what_adam_moves_in_a_round_is_what_the_formula_says(beta2: float, large: float, period: int) -> None:
    assert walked(beta2, large, period) == pytest.approx(drift(large, period, beta2), abs=1e-4)  # v settles as β₂ᵗ


def test_the_largest_beta2_that_fails_for_three_is_near_472_thousandths() -> None:
    assert largest_failing_beta2(3.0, 3) == pytest.approx(0.4723, abs=5e-5)


@pytest.mark.parametrize(("large", "period"), [(3.0, 3), (5.0, 3), (10.0, 10)])
def test_at_the_limit_adam_stays_where_it_is(large: float, period: int) -> None:
    limit = largest_failing_beta2(large, period)
    assert drift(large, period, limit) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("large", "period"), [(1.0, 3), (2.0, 3), (5.0, 1), (3.0, 2)])
def test_there_is_no_limit_where_adam_cannot_fail(large: float, period: int) -> None:
    assert largest_failing_beta2(large, period) is None


def test_x_never_leaves_its_interval() -> None:
    assert all(np.abs(path).max() <= 1 for path in reddi(large=20.0, learning_rate=1.0).paths.values())


def test_the_sweep_ends_where_runs_of_their_own_end() -> None:
    alone = [reddi(betas=(0.0, beta2), steps=30).paths["Adam"][-1] for beta2 in BETA2S[::6]]
    np.testing.assert_allclose(reddi(steps=30).ends[::6], alone, rtol=ROUNDING)


def test_adam_divides_by_the_size_of_its_own_state() -> None:
    *_, (_, state) = feed(partial(Adam, betas=(0.0, 0.3)), 0.0, lambda t, _: 3.0 if t % 3 == 0 else -1.0, 10)
    assert reddi(betas=(0.0, 0.3), steps=10).size[-1] == pytest.approx(np.sqrt(state["v"] / (1 - 0.3**10)))


def test_the_largest_size_falls_by_its_correction_alone() -> None:
    found = reddi(betas=(0.0, 0.5))
    corrected = found.largest**2 * (1 - 0.5 ** np.arange(1, 121))
    assert (np.diff(corrected) > -ROUNDING).all()


def test_amsgrad_is_that_of_the_fixture() -> None:
    gradients = [1.0, 0.5, -0.25]
    make = partial(AMSGrad, learning_rate=0.1, betas=(0.9, 0.5))
    path = [w for w, _ in feed(make, 1.0, lambda t, _: gradients[t], 3)]
    np.testing.assert_allclose(path[1:], [0.9, 0.809756, 0.760453], atol=FIXTURE)


def test_amsgrad_is_adam_while_the_gradients_grow() -> None:
    ends = [[w for w, _ in feed(make, 0.0, lambda t, _: 1.5**t, 20)] for make in (Adam, AMSGrad)]
    np.testing.assert_array_equal(*ends)


def test_what_is_fed_is_what_a_loop_by_hand_computes() -> None:
    w, expected = 1.0, [1.0]
    for _ in range(10):
        w = w - 0.1 * (2 * w)
        expected.append(w)
    found = [w for w, _ in feed(partial(SGD, learning_rate=0.1), 1.0, lambda _, w: 2 * w, 10)]
    np.testing.assert_allclose(found, expected, rtol=ROUNDING)


@pytest.mark.parametrize("wrong", [{"large": -1.0}, {"period": 0}, {"steps": 0}, {"large": np.nan}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="large must be >= 0, period and steps >= 1"):
        reddi(**wrong)


# --- words and pointer ------------------------------------------------------------------------------------------------


def said(large: float = 3.0, period: int = 3, beta1: float = 0.0, beta2: float = 0.1) -> str:
    run = reddi(large, period, (beta1, beta2))
    return failure_caption(run, large, period, (beta1, beta2), 0.1, False, 120)


@pytest.mark.parametrize(("beta2", "word"), [(0.1, "up"), (0.47, "up"), (0.48, "down"), (0.9, "down")])
def test_the_caption_says_which_way_adam_moves(beta2: float, word: str) -> None:
    assert f" λ {word} in 3 steps" in said(beta2=beta2)


@pytest.mark.parametrize(("large", "best"), [(3.0, "−1 is the best"), (1.0, "1 is the best"), (2.0, "as good")])
def test_the_caption_names_the_best_point(large: float, best: str) -> None:
    assert best in said(large)


def test_the_caption_says_where_everyone_is() -> None:
    assert "Adam 1, AMSGrad −0.93, SGD −0.8" in said()


def test_the_caption_leaves_the_largest_failing_beta2_to_be_found() -> None:
    assert "0.47" not in said()


def test_a_click_in_the_right_panel_sets_beta2() -> None:
    lab = FailureLab()
    scene = lab.make_scene("light", 1.0, False)
    left, bottom, width, height = scene.ends.box
    lab.pointed(scene, left + 0.6 * width, scene.height - bottom - height / 2)
    assert lab.knobs["beta2"].value == pytest.approx(0.6)
