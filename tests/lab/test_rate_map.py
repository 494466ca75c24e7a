"""The rate map: what is drawn, said and loaded by a click."""

from __future__ import annotations

import re
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from readers import Fragile, Normalised

from tinygpt import SGD, Adam, RMSProp
from tinygpt.lab import linear
from tinygpt.lab.charts.rate_map import COLOURS, FEWEST, RatePicture, rate_caption
from tinygpt.lab.descent import descend
from tinygpt.lab.maps import Rates, rate_map
from tinygpt.lab.surfaces import SURFACES, quadratic
from tinygpt.lab.widgets import rate_map as module
from tinygpt.lab.widgets.rate_map import RateMap

NAMES = {"RateMap": RateMap, "SGD": SGD, "Adam": Adam, "RMSProp": RMSProp}
MOVES = {"kappa": 10.0, "learning_rate": 0.01, "momentum": 0.9, "nesterov": True}
every_theme = pytest.mark.parametrize("theme", ["light", "dark"])
every_shape = pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])


@pytest.fixture(scope="module")
def shared() -> RateMap:
    return RateMap()


@pytest.fixture
def figure(shared: RateMap) -> RateMap:
    shared.reset()
    return shared


@pytest.fixture
def few_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of fewer cells, for the time that they take."""
    monkeypatch.setattr(module, "rate_map", lambda *given: rate_map(*given, cells=8))


# --- the picture ------------------------------------------------------------------------------------------------------

RISING = np.geomspace(FEWEST, 500, 12).reshape(3, 4)  # more steps to the right, and more so further up


def drawn(steps: Any, diverged: Any, theme: str = "light", narrow: bool = False) -> tuple[RatePicture, Any]:
    """A picture of these steps, and its pixels; the cross lies in the corner."""
    measured = Rates(np.geomspace(0.01, 10, 4), np.arange(3.0), steps, diverged, (1.0, 1.0), 1e-6, 500, False)
    walk = descend("booth", {"it": partial(SGD, learning_rate=0.01)}, steps=5)["it"]
    on = RatePicture(SURFACES["booth"], "μ", "", theme, 1.0, narrow)
    on.draw(measured, (0.001, -1.0), walk)
    return on, np.asarray(on.image()).astype(int)


def cell(on: RatePicture, frame: Any, row: int, column: int) -> Any:
    """The pixels within a cell, without those that marks may cover."""
    x, y = on.measured.transData.transform((0.01 * 10**column, row))
    return frame[round(on.height - y) + 20 : round(on.height - y) + 32, round(x) + 20 : round(x) + 32].reshape(-1, 3)


@every_theme
@every_shape
def test_each_cell_has_the_colour_of_its_steps(theme: str, narrow: bool) -> None:
    on, frame = drawn(RISING, np.zeros((3, 4), bool), theme, narrow)
    for (row, column), steps in np.ndenumerate(RISING):
        share = np.log(steps / FEWEST) / np.log(500 / FEWEST)
        expected = np.array(COLOURS(1 - share)[:3]) * 255
        np.testing.assert_allclose(cell(on, frame, row, column), np.tile(expected, (144, 1)), atol=1)


@every_theme
def test_cells_that_diverge_look_unlike_those_that_do_not_arrive(theme: str) -> None:
    on, frame = drawn(np.full((3, 4), np.nan), np.arange(12).reshape(3, 4) < 4, theme)
    shades = [{tuple(pixel) for pixel in cell(on, frame, row, 1)} for row in (0, 1)]
    assert not shades[0] & shades[1]


@every_shape
def test_a_place_on_a_map_is_its_learning_rate_and_value(narrow: bool) -> None:
    on, _ = drawn(RISING, np.zeros((3, 4), bool), narrow=narrow)
    right, up = on.measured.transData.transform((0.1, 1.5))
    assert on.at(right, on.height - up) == pytest.approx((0.1, 1.5))


def test_beside_the_maps_there_is_none() -> None:
    on, _ = drawn(RISING, np.zeros((3, 4), bool))
    assert (on.at(1, 1), on.at(600, 200)) == (None, None)


def test_where_no_cell_arrives_the_picture_has_no_best() -> None:
    on, _ = drawn(np.full((3, 4), np.nan), np.ones((3, 4), bool))
    assert on.png()


@every_theme
@every_shape
def test_the_cross_is_where_the_knobs_are(figure: RateMap, theme: str, narrow: bool) -> None:
    scene = figure.make_scene(theme, 1.0, narrow)
    frames = []
    for cross in ((0.001, 0.2), (0.002, 0.2)):
        figure.knobs["learning_rate"].value, figure.knobs["momentum"].value = cross
        figure.draw(scene)
        frames.append(np.asarray(scene.image()).astype(int))
    rows, columns = np.nonzero((frames[0] != frames[1]).any(axis=2))
    for panel in scene.maps:
        (left, y), (right, _) = panel.transData.transform([(0.001, 0.2), (0.002, 0.2)])
        near = (np.abs(rows - (scene.height - y)) < 16) & (panel.bbox.x0 <= columns) & (columns <= panel.bbox.x1)
        assert left - 16 < columns[near].min() < left < right < columns[near].max() < right + 16


# --- the words --------------------------------------------------------------------------------------------------------


def test_the_caption_tells_the_best_cell(figure: RateMap) -> None:
    row, column = figure.rates.best or (-1, -1)
    found = re.search(r"fewest steps are (\d+), at λ = ([\d.]+), μ = ([\d.]+)\.", figure.caption)
    assert found is not None
    told = [float(each) for each in found.groups()]
    assert told == [figure.rates.steps[row, column], figure.rates.learning_rates[column], figure.rates.values[row]]


@pytest.mark.parametrize("cross", [(0.03, 0.7), (0.015, 0.0), (0.0131, 0.85)])
def test_the_caption_counts_the_steps_at_the_cross(figure: RateMap, cross: tuple[float, float]) -> None:
    with figure.one_run():
        figure.knobs["learning_rate"].value, figure.knobs["momentum"].value = cross
    make = partial(SGD, learning_rate=cross[0], momentum=cross[1])
    losses = descend(quadratic(100), {"it": make}, (1.0, 0.37), 500)["it"].losses
    rate = linear.rate([1, 100], *cross)
    assert f"μ = {cross[1]:.3g}: {np.flatnonzero(losses < 1e-6)[0]} steps; in theory" in figure.caption
    assert f"multiplies the distance to the minimum by {rate:.3g}, which promises" in figure.caption


@pytest.mark.parametrize(
    ("cross", "words"), [((0.001, 0.0), "500 steps do not suffice"), ((0.05, 0.0), "it diverges at")]
)
def test_the_caption_tells_when_the_cross_does_not_arrive(figure: RateMap, cross: Any, words: str) -> None:
    with figure.one_run():
        figure.knobs["learning_rate"].value, figure.knobs["momentum"].value = cross
    assert words in figure.caption


def test_the_caption_tells_the_share_that_diverges(figure: RateMap) -> None:
    assert f"{100 * figure.rates.diverged.mean():.0f} % of the pairs diverge" in figure.caption


def test_where_none_arrives_the_caption_says_so() -> None:
    steps = np.full((1, 1), np.nan)
    measured = Rates(np.array([0.1]), np.array([0.5]), steps, np.isnan(steps), (1.0, 1.0), 1e-6, 5, False)
    walk = descend("booth", {"it": partial(SGD, learning_rate=0.01)}, steps=5)["it"]
    assert "No pair arrives." in rate_caption(SURFACES["booth"], "μ", measured, (0.1, 0.5), walk)


# --- the knobs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOVES)
def test_every_knob_changes_picture_and_caption(figure: RateMap, name: str) -> None:
    before = figure.picture, figure.caption
    figure.knobs[name].value = MOVES[name]
    assert (figure.picture != before[0], figure.caption != before[1]) == (True, True)


@pytest.mark.parametrize("name", ["learning_rate", "momentum"])
def test_the_cross_needs_no_new_map(figure: RateMap, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "rate_map", lambda *_: pytest.fail("made the map anew"))
    figure.knobs[name].value = MOVES[name]
    assert "Error" not in figure.caption


@pytest.mark.parametrize("cell", [(5, 60), (32, 31), (63, 0), (44, 55)])
@pytest.mark.parametrize("panel", [0, 1], ids=["measured", "theory"])
def test_a_click_loads_the_cell(figure: RateMap, cell: tuple[int, int], panel: int) -> None:
    scene, (row, column), rates = figure._scene(), cell, figure.rates
    x, y = scene.maps[panel].transAxes.transform(((column + 0.5) / 64, (row + 0.5) / 64))
    figure.view.pointer = [x / scene.width, 1 - y / scene.height]
    assert figure.cross == (rates.learning_rates[column], rates.values[row])
    steps = rates.steps[cell]
    assert np.isnan(steps) or f": {steps:.0f} steps; in theory" in figure.caption


def test_a_click_beside_the_maps_loads_nothing(figure: RateMap) -> None:
    before = figure.cross
    figure.view.pointer = [0.99, 0.99]
    assert figure.cross == before


def test_arrow_keys_go_from_cell_to_cell_and_stop_at_the_edge(figure: RateMap) -> None:
    before = figure.rates.cell(*figure.cross)
    figure.nudged(-1, 1)
    assert figure.rates.cell(*figure.cross) == (before[0] + 1, before[1] - 1)
    for _ in range(64):
        figure.nudged(1, 1)
    assert figure.rates.cell(*figure.cross) == (63, 63)


@pytest.mark.parametrize("name", ["kappa", "learning_rate", "momentum"])
@pytest.mark.parametrize("nesterov", [False, True])
def test_no_end_of_a_knob_fails(figure: RateMap, name: str, nesterov: bool) -> None:
    knob = figure.knobs[name]
    figure.knobs["nesterov"].value = nesterov
    ends = (10.0**knob.min, 10.0**knob.max) if name != "momentum" else (knob.min, knob.max)
    captions = []
    for end in ends:
        knob.value = end
        captions.append(figure.caption)
    assert not re.search(r"Error|nan|inf", " ".join(captions))


# --- to keep, and to make ---------------------------------------------------------------------------------------------


@cache
def made(kind: str) -> RateMap:
    return {
        "quadratic": lambda: RateMap(),
        "Nesterov": lambda: RateMap(kappa=30.0, nesterov=True, momentum=0.5),
        "Rosenbrock": lambda: RateMap("rosenbrock", tolerance=0.1),
        "Adam": lambda: RateMap("himmelblau", Adam, over="beta1", beta1=0.5),
        "RMSProp": lambda: RateMap(optimizer=RMSProp, over="alpha", kappa=10.0),
    }[kind]()


@pytest.mark.usefixtures("few_cells")
@pytest.mark.parametrize("kind", ["quadratic", "Nesterov", "Rosenbrock", "Adam", "RMSProp"])
def test_the_experiment_makes_the_figure_again(kind: str) -> None:
    assert eval(made(kind).experiment, NAMES).caption == made(kind).caption


def test_a_loaded_cell_is_in_the_experiment(figure: RateMap) -> None:
    figure.nudged(-5, 3)
    assert eval(figure.experiment, NAMES).caption == figure.caption


def test_what_is_stored_is_a_picture_and_its_caption(figure: RateMap) -> None:
    bundle, _ = figure._repr_mimebundle_()
    assert (bundle["text/plain"], "image/png" in bundle) == (figure.caption, True)


@pytest.mark.usefixtures("few_cells")
@every_theme
@every_shape
def test_other_surfaces_have_one_map_and_a_hill(theme: str, narrow: bool) -> None:
    scene = made("Rosenbrock").make_scene(theme, 1.0, narrow)
    made("Rosenbrock").draw(scene)
    assert (len(scene.maps), scene.hill is not None) == (1, True)


@pytest.mark.usefixtures("few_cells")
@pytest.mark.parametrize("start", [(0.0, 0.0), (1e9, 0.0)])
@pytest.mark.parametrize("surface", ["quadratic", "rosenbrock"])
def test_a_map_may_start_anywhere(surface: str, start: tuple[float, float]) -> None:
    assert "At the cross" in RateMap(surface, start=start).caption


class Bent(Normalised):
    """A reader's class, with a second knob and without the mark."""

    def __init__(self, module: Any, learning_rate: Any = 0.1, bend: float = 0.5) -> None:
        super().__init__(module, learning_rate)
        self.bend = bend


@pytest.mark.usefixtures("few_cells")
def test_a_readers_class_runs_cell_by_cell() -> None:
    assert "It is run cell by cell, so the map is coarse." in RateMap("booth", Bent, over="bend").caption


def test_an_error_in_a_readers_code_reaches_the_reader() -> None:
    with pytest.raises(RuntimeError, match="out of my depth"):
        RateMap("booth", type("Odd", (Fragile,), {"__init__": _odd}), over="bend", learning_rate=2.0)


def _odd(self: Any, module: Any, learning_rate: Any = 2.0, bend: float = 0.5) -> None:
    Fragile.__init__(self, module, learning_rate)


@pytest.mark.parametrize("over", ["eps", "betas", "nonsense"])
def test_over_must_be_a_knob_in_equal_steps(over: str) -> None:
    with pytest.raises(ValueError, match="over must name a knob of the optimizer that goes in equal steps, got"):
        RateMap(optimizer=Adam, over=over)


def test_a_keyword_that_is_no_knob_is_refused() -> None:
    with pytest.raises(TypeError, match="RateMap sets momentum at the cross, got beta1"):
        RateMap(beta1=0.5)
