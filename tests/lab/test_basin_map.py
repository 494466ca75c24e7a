"""The basin map: what is drawn and said of where the starts lead, and the walk from one of them."""

from __future__ import annotations

import base64
import io
import re
from functools import partial
from typing import Any

import numpy as np
import pytest
from PIL import Image
from readers import Normalised, Sign

from tinygpt import SGD, Adam
from tinygpt.lab.charts.basin_map import BASINS, BasinPicture, basin_caption
from tinygpt.lab.charts.style import STYLES
from tinygpt.lab.descent import descend
from tinygpt.lab.maps import DIVERGED, ELSEWHERE, Basins, basin_map
from tinygpt.lab.surfaces import SURFACES, Surface
from tinygpt.lab.widgets import basin_map as module
from tinygpt.lab.widgets.basin_map import BasinMap

NAMES = {"BasinMap": BasinMap, "Sign": Sign, "Adam": Adam}
HIMMELBLAU = SURFACES["himmelblau"]
OF = {"momentum": "momentum", "alpha": "RMSProp", "beta1": "Adam", "beta2": "Adam"}  # whose knob it is
MOVES = {"learning_rate": 0.002, "momentum": 0.5, "alpha": 0.5, "beta1": 0.2, "beta2": 0.5, "x": 2.0, "y": 4.0}
every_theme = pytest.mark.parametrize("theme", ["light", "dark"])
every_shape = pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])


@pytest.fixture(scope="module", autouse=True)
def small() -> Any:
    """Maps of fewer cells and steps, for the time that they take."""
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "basin_map", lambda surface, make: basin_map(surface, make, steps=60, cells=32))
    yield
    patch.undo()


@pytest.fixture(scope="module")
def shared() -> BasinMap:
    return BasinMap()


@pytest.fixture
def figure(shared: BasinMap) -> BasinMap:
    shared.reset()
    return shared


def frame(scene: BasinPicture) -> Any:
    return np.asarray(scene.image()).astype(int)


def walk(start: Any = (4.9, 4.9), rate: float = 1e-9) -> Any:
    """A walk that hardly moves, in the corner."""
    return descend("himmelblau", {"it": partial(SGD, learning_rate=rate)}, start, 3)["it"]


def basins(reached: Any) -> Basins:
    return Basins(np.arange(2.0), np.arange(2.0), np.array(reached), 0.1, 3, False)


# --- the picture ------------------------------------------------------------------------------------------------------


def nearest_shade(on: BasinPicture, pixels: Any, point: Any) -> int:
    """The minimum whose colour is nearest to that of the picture at a point of the surface."""
    x, y = on.hill.pixels(point)
    shades = [[int(shade[i : i + 2], 16) for i in (1, 3, 5)] for shade in BASINS[on.theme.is_dark]]
    return int(np.abs(np.array(shades) - pixels[round(on.height - y), round(x)]).sum(axis=1).argmin())


@every_theme
@every_shape
def test_each_start_has_the_colour_of_what_it_reaches(theme: str, narrow: bool) -> None:
    on = BasinPicture(HIMMELBLAU, theme, 1.0, narrow)
    on.draw(basins([[0, 1], [2, 3]]), walk(), STYLES["SGD"])
    places = [(-1.3, -1.2), (1.3, -1.2), (-1.3, 1.2), (1.3, 1.2)]
    assert [nearest_shade(on, frame(on), place) for place in places] == [0, 1, 2, 3]


@every_theme
def test_starts_that_reach_nothing_are_told_apart(theme: str) -> None:
    on, seen = BasinPicture(HIMMELBLAU, theme), []
    for end in (ELSEWHERE, DIVERGED, 0):
        on.draw(basins(np.full((2, 2), end)), walk(), STYLES["SGD"])
        seen.append(np.median(frame(on)[100:130, 150:180], axis=(0, 1)))  # and not the contours
    apart = [np.abs(seen[one] - seen[other]).max() for one, other in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 12


def test_a_walk_off_the_map_is_not_drawn() -> None:
    on, drawn = BasinPicture(HIMMELBLAU), []
    for start in ((1e9, 0.0), (0.0, 1e9)):
        on.draw(basins([[0, 0], [0, 0]]), walk(start), STYLES["SGD"])
        drawn.append(frame(on))
    np.testing.assert_array_equal(*drawn)


@every_shape
@pytest.mark.parametrize("name", ["himmelblau", "monkey_saddle"])
def test_the_list_ends_within_the_picture(name: str, narrow: bool) -> None:
    on, places = BasinPicture(SURFACES[name], "light", 1.0, narrow), []
    whole = on.write
    on.write = lambda pixel, *rest, **options: places.append(pixel) or whole(pixel, *rest, **options)  # type: ignore
    on.draw(basins([[0, 0], [0, 0]]), walk(), STYLES["SGD"])
    assert min(y for _, y in places) > 10


# --- the words --------------------------------------------------------------------------------------------------------


def test_the_caption_has_every_share(figure: BasinMap) -> None:
    for minimum, words in enumerate(["(3.00, 2.00)", "(−2.81, 3.13)", "(−3.78, −3.28)", "(3.58, −1.85)"]):
        assert f"{100 * figure.basins.share(minimum):.1f} % reach {words}" in figure.caption


def test_the_caption_has_the_border_its_definition_and_the_setting(figure: BasinMap) -> None:
    border = (
        f"{100 * figure.basins.border.mean():.1f} % of the starts are border: they reach a minimum, and one of their"
    )
    assert border in figure.caption
    assert "steps of SGD, λ = 0.01: " in figure.caption


@pytest.mark.parametrize(
    ("start", "rate", "words"),
    [
        ((3.1, 2.1), 0.005, "The walk from (3.10, 2.10) reaches (3.00, 2.00)."),
        ((0.0, 0.0), 1e-9, "The walk from (0.00, 0.00) ends at (0.00, 0.00)."),
        ((4.0, 4.0), 10.0, "The walk from (4.00, 4.00) diverges at step 1."),
        ((1e9, 0.0), 0.1, "The walk's start is off the map."),
    ],
)
def test_the_caption_tells_what_the_walk_reaches(start: Any, rate: float, words: str) -> None:
    it = descend("himmelblau", {"it": partial(SGD, learning_rate=rate)}, start, 100)["it"]
    assert basin_caption(HIMMELBLAU, basins([[0, 1], [2, 3]]), it, "SGD").endswith(words)


def test_the_caption_tells_apart_what_reaches_no_minimum() -> None:
    told = basin_caption(HIMMELBLAU, basins([[0, ELSEWHERE], [DIVERGED, DIVERGED]]), walk(), "SGD")
    assert "25.0 % end elsewhere, 50.0 % diverge." in told


# --- the knobs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MOVES)
def test_every_knob_of_the_chosen_optimizer_changes_picture_and_caption(figure: BasinMap, name: str) -> None:
    figure.knobs["optimizer"].value = OF.get(name, "SGD")
    before = figure.picture, figure.caption
    figure.knobs[name].value = MOVES[name]
    assert (figure.picture != before[0], figure.caption != before[1]) == (True, True)


@pytest.mark.parametrize("optimizer", ["SGD", "momentum", "Nesterov", "RMSProp", "Adam"])
def test_the_knobs_shown_are_those_of_the_optimizer(figure: BasinMap, optimizer: str) -> None:
    figure.knobs["optimizer"].value = optimizer
    shown = {name for name in (*OF, "learning_rate") if figure.knobs[name].layout.display != "none"}
    own = {name for name, whose in OF.items() if whose == optimizer}
    assert shown == own | {"learning_rate"} | ({"momentum"} if optimizer == "Nesterov" else set())


def test_the_start_needs_no_new_map(figure: BasinMap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "basin_map", lambda *_: pytest.fail("made the map anew"))
    figure.knobs["x"].value = 1.0
    assert "The walk from (1.00, −0.92)" in figure.caption


def test_a_click_walks_from_there(figure: BasinMap) -> None:
    scene = figure._scene()
    x, y = scene.hill.pixels((2.0, -3.0))
    figure.view.pointer = [x / scene.width, 1 - y / scene.height]
    assert figure.walk.points[0].tolist() == pytest.approx([2, -3], abs=1e-3)


def test_a_click_beside_the_hill_does_nothing(figure: BasinMap) -> None:
    before = figure.caption
    figure.view.pointer = [0.95, 0.5]
    assert figure.caption == before


def test_arrow_keys_move_the_start(figure: BasinMap) -> None:
    before = figure.walk.points[0]
    figure.nudged(1, -1)
    assert (figure.walk.points[0] - before).tolist() == pytest.approx([0.1, -0.1])


@pytest.mark.parametrize("name", ["six_hump_camel", "saddle", "monkey_saddle"])
def test_another_surface_brings_its_own_start(figure: BasinMap, name: str) -> None:
    figure.knobs["surface"].value = name
    assert tuple(figure.walk.points[0]) == SURFACES[name].start
    assert figure.caption.startswith(SURFACES[name].name)


@pytest.mark.parametrize("optimizer", ["SGD", "Nesterov", "RMSProp", "Adam"])
@pytest.mark.parametrize("rate", [1e-6, 100.0])
def test_no_learning_rate_fails(figure: BasinMap, optimizer: str, rate: float) -> None:
    with figure.one_run():
        figure.knobs["optimizer"].value, figure.knobs["learning_rate"].value = optimizer, rate
    assert not re.search(r"Error|nan|inf", figure.caption)


def test_what_an_optimizer_refuses_is_told(figure: BasinMap) -> None:
    with figure.one_run():
        figure.knobs["optimizer"].value, figure.knobs["momentum"].value = "Nesterov", 0.0
    assert "nesterov needs momentum > 0" in figure.caption
    figure.knobs["momentum"].value = 0.5
    assert "Nesterov, λ = 0.01, μ = 0.5" in figure.caption


# --- to keep, and to make ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{"optimizer": "momentum", "momentum": 0.333, "x": 1.0}, {"optimizer": Sign}, {}])
def test_the_experiment_makes_the_figure_again(given: dict[str, Any]) -> None:
    made = BasinMap(learning_rate=0.0123, **given)
    made.knobs["y"].value = 3.0
    assert eval(made.experiment, NAMES).caption == made.caption


def test_what_is_stored_is_a_picture_and_its_caption(figure: BasinMap) -> None:
    bundle, _ = figure._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/png"])))
    assert (bundle["text/plain"], image.width > 0) == (figure.caption, True)


def test_a_readers_class_runs_start_by_start() -> None:
    assert "16 × 16 starts, run one by one" in BasinMap(optimizer=Normalised, learning_rate=0.1).caption


def test_a_readers_surface_is_among_the_surfaces() -> None:
    hill = Surface("two pits", lambda x, y: (x * x - 1) ** 2 + y * y, (0.5, 0.5), ((1.0, 0.0), (-1.0, 0.0)))
    assert BasinMap(hill).caption.startswith("two pits")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"optimizer": "Adams"}, ValueError, "optimizer must be a class or one of SGD, momentum"),
        ({"nonsense": 1.0}, TypeError, "BasinMap has knobs surface, optimizer"),
        ({"surface": "nowhere"}, ValueError, "surface must be one of"),
    ],
)
def test_what_makes_no_sense_is_refused(given: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        BasinMap(**given)
