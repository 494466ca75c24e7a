"""Predict, commit, reveal: nothing shows before the commit, everything after it, and a lesson's answers are kept."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import pytest
from PIL import Image

from tinygpt.lab.charts.pin import PinPicture
from tinygpt.lab.surfaces import SURFACES
from tinygpt.lab.widgets import predict as module
from tinygpt.lab.widgets.parabola import Parabola
from tinygpt.lab.widgets.picture import Picture
from tinygpt.lab.widgets.predict import UNANSWERED, Prediction, predict, predictions

CHOICES = ["faster", "slower", "the same"]


@pytest.fixture(autouse=True)
def _a_lesson_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_asked", {})


def choice(**options: Any) -> Prediction:
    return predict("Rotated, RMSProp is …", "slower", CHOICES, why="It sees axes only.", **options)


def how_many(answer: Any = 63, **options: Any) -> Prediction:
    return predict("How many steps?", answer, why="κ sets the speed.", unit="steps", **options)


def pin(**options: Any) -> Prediction:
    return predict("Where does it end?", (1.0, 1.0), why="There is the minimum.", on="rosenbrock", **options)


def set_choice(asked: Prediction) -> None:
    asked.control.value = "slower"


def set_number(asked: Prediction) -> None:
    asked.control.value = "40"


def set_pin(asked: Prediction) -> None:
    asked.control.pointer = [0.5, 0.5]


KINDS: dict[str, tuple[Callable[..., Prediction], Callable[[Prediction], None]]] = {
    "choice": (choice, set_choice),
    "number": (how_many, set_number),
    "pin": (pin, set_pin),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def told(asked: Prediction) -> str:
    """What stands beside the button."""
    return re.sub("<[^>]*>", "", asked._told.value)


def figures(asked: Prediction) -> list[Any]:
    return [child for child in asked.children if isinstance(child, ipywidgets.IntSlider | Parabola)]


def committed(asked: Prediction, value: Any) -> Prediction:
    asked.control.value = value
    asked.button.click()
    return asked


# --- locked until committed -------------------------------------------------------------------------------------------


@each_kind
def test_the_figure_is_not_built_before_the_commit_where_nobody_displays_it(kind: str) -> None:
    ask, answer = KINDS[kind]
    built: list[int] = []
    asked = ask(figure=lambda: built.append(1) or ipywidgets.IntSlider())
    answer(asked)
    assert (built, figures(asked)) == ([], [])


@each_kind
def test_the_commit_shows_the_figure_once(kind: str) -> None:
    ask, answer = KINDS[kind]
    asked = ask(figure=ipywidgets.IntSlider)
    answer(asked)
    for _ in range(2):
        asked.button.click()
    assert len(figures(asked)) == 1


@each_kind
def test_without_an_answer_the_button_asks_for_one(kind: str) -> None:
    asked = KINDS[kind][0](figure=ipywidgets.IntSlider)
    asked.button.click()
    assert "first, then commit" in told(asked)
    assert (asked.right, figures(asked), asked.button.disabled) == (None, [], False)


@each_kind
def test_before_the_commit_the_truth_is_nowhere_to_be_seen(kind: str) -> None:
    ask, answer = KINDS[kind]
    asked = ask()
    answer(asked)
    assert (asked.truth, asked.verdict, told(asked)) == (None, "", "")


@each_kind
def test_an_answer_once_committed_is_fixed(kind: str) -> None:
    ask, answer = KINDS[kind]
    asked = ask()
    answer(asked)
    asked.button.click()
    said = asked.said
    if kind == "pin":
        asked.control.pointer = [0.3, 0.3]
        asked._nudged(1, 0)
        assert asked.place == said
    else:
        assert asked.control.disabled
    assert asked.button.disabled


@each_kind
def test_the_verdict_ends_with_the_reason(kind: str) -> None:
    ask, answer = KINDS[kind]
    asked = ask()
    answer(asked)
    asked.button.click()
    assert told(asked) == asked.verdict
    assert asked.verdict.endswith(asked.why)


@each_kind
def test_the_answer_is_computed_at_the_commit_and_not_before(kind: str) -> None:
    truths = {"choice": "slower", "number": 63, "pin": (1.0, 1.0)}
    more: dict[str, Any] = {"choice": {"choices": CHOICES}, "number": {}, "pin": {"on": "rosenbrock"}}[kind]
    calls: list[int] = []
    asked = predict("?", lambda: calls.append(1) or truths[kind], **more)
    before = list(calls)
    KINDS[kind][1](asked)
    asked.button.click()
    assert (before, calls, asked.truth) == ([], [1], truths[kind])


# --- right or wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "right"), [("slower", True), ("faster", False)])
def test_a_choice_is_right_or_wrong(value: str, right: bool) -> None:
    assert committed(choice(), value).right is right


def test_a_wrong_choice_is_told_with_the_truth() -> None:
    verdict = committed(choice(), "faster").verdict
    assert verdict == "You said faster, it is slower. It sees axes only."


def test_a_right_choice_is_told_so() -> None:
    assert committed(choice(), "slower").verdict == "Right: slower. It sees axes only."


def test_a_number_is_told_with_its_error() -> None:
    assert committed(how_many(), "40").verdict == "You said 40 steps, it is 63 steps: 23 off. κ sets the speed."


@pytest.mark.parametrize(("words", "value"), [("1e-3", 1e-3), ("−2,5", -2.5), (" 7 ", 7.0)])
def test_a_number_may_be_written_in_many_ways(words: str, value: float) -> None:
    assert committed(how_many(), words).said == value


@pytest.mark.parametrize("words", ["many", "nan", "inf", "1 2"])
def test_what_is_no_number_is_sent_back(words: str) -> None:
    asked = committed(how_many(), words)
    assert (asked.right, words in told(asked)) == (None, True)


@pytest.mark.parametrize(
    ("tolerance", "said", "right"),
    [(None, "57", True), (None, "56", False), (2, "61", True), (2, "60", False), (0, "63", True)],
)
def test_a_number_is_right_within_its_tolerance(tolerance: Any, said: str, right: bool) -> None:
    assert committed(how_many(tolerance=tolerance), said).right is right


def test_a_pin_is_told_with_its_distance() -> None:
    asked = pin()
    asked.control.pointer = place_of(1.0, 0.0)
    asked.button.click()
    x, y = asked.place
    assert asked.right is False
    assert f"it is (1, 1): {np.hypot(x - 1, y - 1):.3g} away" in asked.verdict


def place_of(x: float, y: float) -> list[float]:
    """Where a point of Rosenbrock's surface is in the picture, as fractions."""
    scene = PinPicture(SURFACES["rosenbrock"])
    right, up = scene.hill.pixels((x, y))
    return [right / scene.width, 1 - up / scene.height]


def test_a_pin_near_enough_is_right() -> None:
    asked = pin()
    asked.control.pointer = place_of(1.05, 1.05)
    asked.button.click()
    assert asked.right is True


def test_a_click_sets_the_pin_where_it_is() -> None:
    asked = pin()
    asked.control.pointer = place_of(-1.2, 0.5)
    assert asked.place == pytest.approx((-1.2, 0.5), abs=1e-6)  # rounded to six digits


def test_a_click_beside_the_hill_sets_no_pin() -> None:
    asked = pin()
    asked.control.pointer = [0.01, 0.01]
    assert asked.place is None


@pytest.mark.parametrize(("key", "moved"), [((1, 0), (0.05, 0)), ((-1, 0), (-0.05, 0)), ((0, 1), (0, 0.05))])
def test_arrow_keys_move_the_pin_from_the_middle(key: Any, moved: Any) -> None:
    asked = pin()
    asked._nudged(*key)
    assert asked.place == pytest.approx(np.add((0.0, 1.0), moved))


def test_the_picture_changes_with_the_pin_and_again_with_the_truth() -> None:
    asked = pin()
    pictures = [asked.control.image]
    set_pin(asked)
    pictures.append(asked.control.image)
    asked.button.click()
    pictures.append(asked.control.image)
    assert len(set(pictures)) == 3


@pytest.mark.parametrize("trait", [{"theme": "dark"}, {"ratio": 2.0}])
def test_the_pin_is_drawn_for_the_page_it_is_on(trait: dict[str, Any]) -> None:
    asked = pin()
    before = asked.control.image
    asked.control.set_trait(*next(iter(trait.items())))
    assert asked.control.image != before
    assert Image.open(io.BytesIO(asked.control.image)).width == 480 * asked.control.ratio


def test_an_answer_that_cannot_be_computed_is_told_and_can_be_tried_again() -> None:
    tries: Iterator[Any] = iter([ZeroDivisionError("oh"), 5.0])

    def answer() -> float:
        value = next(tries)
        if isinstance(value, Exception):
            raise value
        return float(value)

    asked = committed(how_many(answer), "5")
    assert ("ZeroDivisionError: oh" in told(asked), asked.right) == (True, None)
    asked.button.click()
    assert asked.right is True


def test_an_answer_must_be_among_the_choices() -> None:
    with pytest.raises(ValueError, match="answer must be one of the choices, got 'x'"):
        predict("?", "x", ["a", "b"])


# --- without a kernel, and for nbval ----------------------------------------------------------------------------------


def bundle(asked: Prediction) -> dict[str, Any]:
    data = asked._repr_mimebundle_()
    return dict(data[0] if isinstance(data, tuple) else data)


@each_kind
def test_the_stored_words_of_an_unanswered_question_are_always_the_same(kind: str) -> None:
    ask = KINDS[kind][0]
    first, second = bundle(ask()), bundle(ask())
    assert first["text/plain"] == second["text/plain"]
    assert first["text/html"] == second["text/html"]
    assert first["text/plain"].startswith("Prediction: ")
    assert first["text/plain"].endswith(f"({UNANSWERED})")


def test_the_stored_words_have_the_choices() -> None:
    assert repr(choice()) == ("Prediction: Rotated, RMSProp is … (faster / slower / the same) (not answered yet)")


@each_kind
def test_the_stored_page_folds_the_answer_away(kind: str) -> None:
    asked = KINDS[kind][0]()
    page = bundle(asked)["text/html"]
    open_part, folded = re.fullmatch(r"(.*)<details><summary>.*</summary>(.*)</details>", page).groups()  # type: ignore[union-attr]
    assert (asked.why in open_part, asked.why in folded) == (False, True)


def test_a_page_is_made_even_where_the_answer_fails() -> None:
    assert "ZeroDivisionError" in bundle(how_many(lambda: 1 / 0))["text/html"]


def test_words_of_a_lesson_are_no_markup() -> None:
    asked = predict("Is a < b?", "<i>", ["<i>", "&"], why="a & b")
    pages = [bundle(asked)["text/html"], predictions()._repr_html_(), asked.children[0].value]
    assert not any("<i>" in page or "a < b" in page for page in pages)


@each_kind
def test_what_a_reader_touches_has_a_name_for_screen_readers(kind: str) -> None:
    asked = KINDS[kind][0]()
    assert asked.question in asked.button.tooltip
    name = asked.control.hint if isinstance(asked.control, Picture) else asked.control.tooltip
    assert name


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_lists_every_question_in_order() -> None:
    for ask, _ in KINDS.values():
        ask()
    assert repr(predictions()).splitlines() == [
        "0 of 3 predictions answered, 0 right.",
        "Rotated, RMSProp is … not answered yet.",
        "How many steps? not answered yet.",
        "Where does it end? not answered yet.",
    ]


def test_the_log_tells_answer_truth_and_error() -> None:
    committed(how_many(), "40")
    committed(choice(), "slower")
    assert repr(predictions()).splitlines() == [
        "2 of 2 predictions answered, 1 right.",
        "How many steps? You said 40 steps, it is 63 steps: 23 off.",
        "Rotated, RMSProp is … Right: slower.",
    ]


def test_the_log_as_a_table_has_a_row_for_each() -> None:
    committed(how_many(), "40")
    choice()
    rows = re.findall("<tr>(.*?)</tr>", predictions()._repr_html_())
    cells = [re.findall("<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]
    assert cells == [
        ["question", "you said", "it is", "off by"],
        ["How many steps?", "40 steps", "63 steps", "23 off"],
        ["Rotated, RMSProp is …", "not answered yet", "", ""],
    ]


def test_asking_again_takes_the_place_of_the_first_time() -> None:
    committed(choice(), "slower")
    how_many()
    choice()
    assert repr(predictions()).splitlines() == [
        "0 of 2 predictions answered, 0 right.",
        "Rotated, RMSProp is … not answered yet.",
        "How many steps? not answered yet.",
    ]


def test_a_question_keeps_its_place_when_its_cell_closes_the_old_one_before_it_asks_anew() -> None:
    old, _ = choice(), how_many()
    old.close()
    choice()
    assert "Rotated" in repr(predictions()).splitlines()[1]


def test_a_question_that_is_closed_is_listed_no_more() -> None:
    choice()
    how_many().close()
    assert "How many" not in repr(predictions())


def test_closing_a_question_that_was_asked_again_leaves_the_new_one() -> None:
    old, _ = choice(), choice()
    old.close()
    assert repr(predictions()).startswith("0 of 1")


def test_a_log_of_no_questions_says_so() -> None:
    assert repr(predictions()) == "0 of 0 predictions answered, 0 right."


def test_a_page_without_a_kernel_shows_the_figure_itself() -> None:
    asked = predict("How far?", 1.0, figure=lambda: Parabola(steps=5))
    data, _ = asked._repr_mimebundle_()
    figure = Parabola(steps=5)
    assert data["image/png"] == figure._repr_mimebundle_()[0]["image/png"]
    assert data["text/plain"] == f"Prediction: How far? (not answered yet)\n{figure.caption}"


def test_a_figure_that_fails_is_told_with_the_readers_line_and_the_question_stays() -> None:
    asked = predict("How far?", 1.0, figure=lambda: Parabola(steps=steps_of_an_earlier_cell))  # noqa: F821
    question, words = asked._repr_mimebundle_()["text/plain"].splitlines()
    assert question == "Prediction: How far? (not answered yet)"
    assert words.startswith("The figure could not be made. Your code stopped at line ")
    assert words.endswith(", with NameError: name 'steps_of_an_earlier_cell' is not defined.")


def test_the_figure_of_the_page_is_the_one_that_the_commit_shows() -> None:
    built: list[Any] = []
    asked = predict("How far?", 1.0, figure=lambda: built.append(1) or Parabola(steps=5))
    asked._repr_mimebundle_()
    asked.control.value = "1"
    asked.commit()
    assert (len(built), len(figures(asked))) == (1, 1)
