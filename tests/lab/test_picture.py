"""Picture: one message per picture, and what the browser reports."""

from __future__ import annotations

from typing import Any

import pytest
import traitlets

from tinygpt.lab.widgets.picture import Picture


class Wire:
    """Keeps the messages that a widget sends."""

    def __init__(self, widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.messages: list[tuple[Any, Any]] = []
        monkeypatch.setattr(widget.comm, "send", lambda data=None, buffers=None, **_: self.keep(data, buffers))

    def keep(self, data: Any, buffers: Any) -> None:
        self.messages.append((data, buffers))


def test_a_picture_its_caption_and_its_number_travel_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Picture()
    wire = Wire(picture, monkeypatch)
    picture.show(b"bytes", "words")
    ((data, buffers),) = wire.messages
    assert data["state"] == {"caption": "words", "frame": 1}
    assert [bytes(buffer) for buffer in buffers] == [b"bytes"]


def test_every_picture_has_a_number_of_its_own_even_if_it_looks_the_same() -> None:
    picture = Picture()
    numbers = [picture.show(b"same", "same") or picture.frame for _ in range(3)]
    assert numbers == [1, 2, 3]


def test_the_pointer_is_not_echoed() -> None:
    assert Picture().trait_metadata("pointer", "echo_update") is False


@pytest.mark.parametrize("name", ["image", "caption", "frame", "pointer", "ratio", "theme", "narrow"])
def test_the_browser_knows(name: str) -> None:
    assert name in Picture().get_state()


@pytest.mark.parametrize("nudge", [[-1, 0], [1, 0], [0, 1], [0, -1]])
def test_an_arrow_key_moves_by_that_much(nudge: list[int]) -> None:
    picture, moves = Picture(), []
    picture.on_nudge(lambda right, up: moves.append([right, up]))
    picture._handle_custom_msg({"nudge": nudge}, [])
    assert moves == [nudge]


@pytest.mark.parametrize("message", [{}, {"other": 1}, "nudge", None, ["nudge"]])
def test_other_messages_move_nothing(message: Any) -> None:
    picture, moves = Picture(), []
    picture.on_nudge(lambda right, up: moves.append([right, up]))
    picture._handle_custom_msg(message, [])
    assert moves == []


@pytest.mark.parametrize("theme", ["pink", "", None])
def test_there_are_two_themes(theme: Any) -> None:
    with pytest.raises(traitlets.TraitError):
        Picture(theme=theme)


def test_its_script_and_its_style_come_along() -> None:
    state = Picture().get_state()
    assert "canvas" in state["_esm"]
    assert state["_css"]
