"""Instrument: what every figure shares, tried on the smallest one there can be."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import av
import numpy as np
import pytest
from hands import NAMES
from PIL import Image

from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.widgets.instrument import MOST_SCENES, Instrument
from tinygpt.lab.widgets.knobs import Knob, counter, slider


class Dot(Instrument):
    """A dot that goes right with `place`, up with `step`."""

    repaints = frozenset({"step"})

    def __init__(self, place: float = 0.5, step: int = 1, colour: str = "#D55E00") -> None:
        self.fixed = {} if colour == "#D55E00" else {"colour": colour}
        self.colour, self.computed = colour, 0
        self.when_computing: list[Callable[[], Any]] = []
        self.knobs = {
            "place": slider(place, Knob("p", "place", 0, 1, 0.5, 0.1)),
            "step": counter(step, 0, 6, "at step", "step shown"),
        }
        super().__init__()

    def compute(self) -> None:
        self.computed += 1
        while self.when_computing:
            self.when_computing.pop()()
        if self.knobs["place"].value > 0.95:
            raise ValueError("place must be below 1")
        self.result = 100 * self.knobs["place"].value

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> Scene:
        return Scene(101 if narrow else 121, 61, theme, ratio)

    def draw(self, scene: Scene) -> None:
        scene.begin()
        place = np.multiply((10 + self.result, 5 + 8 * self.knobs["step"].value), scene.ratio)
        scene.mark(place, "o", 8.0, self.colour, self.colour)

    def words(self) -> str:
        return f"The dot is at {self.result:.0f}, step {self.knobs['step'].value}."


PLACE = 'in `raise ValueError("place must be below 1")`, with ValueError: place must be below 1.'


def interrupt() -> None:
    raise KeyboardInterrupt


def shown(dot: Dot) -> Any:
    return np.asarray(Image.open(io.BytesIO(dot.picture)))


# --- turning knobs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "value"), [("place", 0.2), ("step", 5)])
def test_a_turned_knob_repaints_before_the_assignment_returns(name: str, value: float) -> None:
    dot = Dot()
    before = dot.picture, dot.caption
    dot.knobs[name].value = value
    assert (dot.picture != before[0], dot.caption != before[1]) == (True, True)


def test_a_knob_that_only_repaints_computes_nothing() -> None:
    dot = Dot()
    dot.knobs["step"].value = 3
    assert dot.computed == 1


def test_several_knobs_turned_as_one_compute_once() -> None:
    dot = Dot()
    with dot.one_run():
        dot.knobs["place"].value, dot.knobs["step"].value = 0.1, 2
    assert (dot.computed, dot.caption) == (2, "The dot is at 10, step 2.")


def test_reset_turns_all_knobs_back() -> None:
    dot = Dot(place=0.3)
    before = dot.caption
    dot.knobs["place"].value, dot.knobs["step"].value = 0.7, 4
    dot.reset()
    assert dot.caption == before


def test_an_error_after_the_first_picture_is_told_with_the_readers_line_and_the_picture_stays() -> None:
    dot = Dot()
    before = dot.picture
    dot.knobs["place"].value = 1.0
    assert (PLACE in dot.caption, dot.picture == before) == (True, True)


def test_the_figure_lives_on_after_an_error() -> None:
    dot = Dot()
    dot.knobs["place"].value = 1.0
    dot.knobs["place"].value = 0.4
    assert dot.caption == "The dot is at 40, step 1."


def test_what_failed_is_tried_again_at_the_next_turn_and_told_again() -> None:
    dot = Dot()
    dot.knobs["place"].value = 1.0
    dot.knobs["step"].value = 3
    assert (dot.computed, PLACE in dot.caption) == (3, True)


def test_an_error_without_words_is_told_by_its_name() -> None:
    dot = Dot()
    dot.when_computing.append(lambda: next(iter(())))
    dot.knobs["place"].value = 0.8
    assert dot.caption.endswith("with StopIteration. The picture is of the last run that worked.")


def test_a_knob_that_turns_while_the_figure_is_computed_is_shown_as_well() -> None:
    dot = Dot()
    dot.when_computing.append(lambda: setattr(dot.knobs["place"], "value", 0.3))
    dot.knobs["place"].value = 0.8
    assert dot.caption == "The dot is at 30, step 1."


def test_a_knob_that_another_thread_turns_meanwhile_waits_for_its_turn() -> None:
    dot, turns = Dot(), []
    other = Thread(target=lambda: (setattr(dot.knobs["place"], "value", 0.3), turns.append(dot.caption)))
    dot.when_computing.append(other.start)
    dot.knobs["place"].value = 0.8
    other.join()
    assert turns == ["The dot is at 30, step 1."]


def test_an_interrupt_is_told_and_is_the_cells_as_well() -> None:
    dot = Dot()
    dot.when_computing.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        dot.knobs["place"].value = 0.8
    assert dot.caption.endswith("with KeyboardInterrupt. The picture is of the last run that worked.")


def test_what_was_interrupted_is_computed_at_the_next_turn_whichever_it_is() -> None:
    dot = Dot()
    dot.when_computing.append(interrupt)
    with suppress(KeyboardInterrupt):
        dot.knobs["place"].value = 0.8
    dot.knobs["step"].value = 2
    assert dot.caption == "The dot is at 80, step 2."


def test_an_error_in_the_first_picture_is_raised() -> None:
    with pytest.raises(ValueError, match="place must be below 1"):
        Dot(place=1.0)


# --- page and screen --------------------------------------------------------------------------------------------------


def test_a_finer_screen_gets_more_pixels() -> None:
    dot = Dot()
    dot.view.ratio = 2.0
    assert shown(dot).shape[:2] == (122, 242)


def test_a_dark_page_gets_a_dark_picture() -> None:
    dot = Dot()
    dot.view.theme = "dark"
    assert shown(dot).mean() < 64


def test_a_narrow_page_gets_another_shape() -> None:
    dot = Dot()
    dot.view.narrow = True
    assert shown(dot).shape[1] == 101


def test_scenes_do_not_pile_up() -> None:
    dot = Dot()
    for ratio in np.linspace(1, 2, 10):
        dot.view.ratio = float(ratio)
    assert len(dot._scenes) == MOST_SCENES


def test_the_stored_output_is_a_light_picture_with_its_caption_whatever_the_page() -> None:
    dot = Dot()
    before = dot._repr_mimebundle_()[0]
    dot.view.theme, dot.view.narrow = "dark", True
    after = dot._repr_mimebundle_()[0]
    assert (after["image/png"], after["text/plain"]) == (before["image/png"], dot.caption)


# --- keeping it -------------------------------------------------------------------------------------------------------


def test_an_untouched_figure_is_copied_as_it_was_made() -> None:
    assert Dot(place=0.3, colour="#000000").experiment == 'Dot(colour="#000000", place=0.3, step=1)'


def test_a_copied_line_is_free_of_the_rounding_of_browsers() -> None:
    dot = Dot()
    dot.knobs["place"].value = 0.1 + 0.2
    assert dot.experiment == "Dot(place=0.3, step=1)"


def test_the_copied_line_makes_the_same_figure() -> None:
    dot = Dot()
    dot.knobs["place"].value, dot.knobs["step"].value = 0.7, 4
    again = eval(dot.experiment)
    assert (again.caption, again.picture) == (dot.caption, dot.picture)


@pytest.mark.parametrize(("ending", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("gif", b"GIF8")])
def test_a_figure_is_saved_as(ending: str, begins: bytes, tmp_path: Path) -> None:
    Dot().save(tmp_path / f"dot.{ending}")
    assert (tmp_path / f"dot.{ending}").read_bytes().startswith(begins)


def test_a_saved_picture_shows_what_the_screen_shows(tmp_path: Path) -> None:
    dot = Dot()
    dot.save(tmp_path / "dot.png")
    dot.view.ratio = 2.0
    saved = np.asarray(Image.open(tmp_path / "dot.png"), int)
    assert np.abs(saved - shown(dot)).mean() < 2  # what JPEG leaves


@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_a_film_has_a_frame_for_each_step(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"dot.{ending}"
    Dot().save(file)
    if ending == "gif":
        with Image.open(file) as film:
            frames = film.n_frames
    else:
        with av.open(file) as film:
            frames = sum(1 for _ in film.decode(video=0))
    assert frames == 7


def test_a_film_leaves_the_step_where_it_was(tmp_path: Path) -> None:
    dot = Dot(step=4)
    dot.save(tmp_path / "dot.gif")
    assert dot.knobs["step"].value == 4


def test_another_ending_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must end in one of .png, .svg, .gif, .mp4"):
        Dot().save(tmp_path / "dot.bmp")


def test_a_film_of_a_figure_without_steps_is_refused(tmp_path: Path) -> None:
    dot = Dot()
    del dot.knobs["step"]
    with pytest.raises(ValueError, match="a film needs a figure with steps"):
        dot.save(tmp_path / "dot.gif")


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_whatever_is_typed_as_a_files_name_is_answered_in_words(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (rows,) = Dot()._keeping().children
    file, keep, answer = rows.children[1].children
    file.value = name
    keep.click()
    assert (len(answer.value) > 10, "Traceback" in answer.value, list(tmp_path.iterdir())) == (True, False, [])


def test_making_a_film_does_not_play_it_in_the_live_figure(tmp_path: Path) -> None:
    dot = Dot()
    before = dot.view.frame
    dot.save(tmp_path / "dot.gif")
    assert dot.view.frame - before <= 1
