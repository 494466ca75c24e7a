"""Predict, commit, reveal: a question that a reader answers before the figure shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from ipywidgets import HTML, Button, HBox, RadioButtons, Text, VBox, Widget

from tinygpt.lab.charts.pin import PinPicture
from tinygpt.lab.exercises.verdict import told
from tinygpt.lab.surfaces import Loss, Surface, as_surface
from tinygpt.lab.widgets.housekeeping import replace_earlier
from tinygpt.lab.widgets.instrument import Instrument
from tinygpt.lab.widgets.picture import Picture
from tinygpt.lab.words import number

UNANSWERED = "not answered yet"
CLOSE = 0.1  # of the answer: this far off still counts as right, where no tolerance is given
NEAR = 0.05  # of the surface's width: so does a pin this far away

_asked: dict[str, Prediction] = {}  # by question, in the order of the lesson; one asked again keeps its place


class Prediction(VBox):  # type: ignore[misc]
    """Abstract: a question, a way to answer it, and a figure that stays locked until the reader has committed.

    `commit()` is what the button does: it fixes the answer (`said`), computes the `truth`, tells the `verdict`, and
    builds and shows the figure. Without an answer it asks for one, and nothing else happens.
    """

    question = ""  # until there is one

    def __init__(
        self, question: str, answer: Any, why: str, figure: Callable[[], Instrument] | None, control: Widget
    ) -> None:
        self.question, self.why, self.verdict = question, why, ""
        self.said: Any = None
        self.truth: Any = None
        self.right: bool | None = None  # None as long as nobody has answered
        self._answer, self._figure, self.control = answer, figure, control
        self._built: Instrument | None = None
        self.button = Button(description="commit", tooltip=f"commit to your answer: {question}")
        self.button.on_click(lambda _: self.commit())
        self._told = HTML()
        self._tell("The figure shows once you have committed." if figure else "")
        asked = HTML(f"<b>Predict:</b> {escape(question)}")
        self._rows = [asked, control, HBox([self.button, self._told])]
        super().__init__(self._rows, _dom_classes=("tinygpt-prediction",))
        _asked[question] = self
        replace_earlier(self)

    # --- what a subclass writes --------------------------------------------------------------------------------------

    def read(self) -> Any:
        """What the reader has answered. Raises: ValueError that asks for it where there is nothing yet."""
        raise NotImplementedError

    def error(self, said: Any, truth: Any) -> tuple[bool, str]:
        """Whether that is right, and how far off it is, in words."""
        raise NotImplementedError

    def shown(self, value: Any) -> str:
        """An answer in words."""
        return str(value)

    def options(self) -> Sequence[str]:
        """What there is to choose from, if that is how one answers."""
        return ()

    def lock(self) -> None:
        """The answer is fixed from now on."""
        self.control.disabled = True

    # --- commit and reveal -------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Fix the answer, and tell the truth."""
        if self.right is not None:
            return
        try:
            said = self.read()
        except ValueError as request:
            self._tell(str(request))
            return
        try:
            truth = self._computed()
            figure = self._made()
        except Exception as error:  # of a lesson's or a reader's own code
            self._tell(f"The answer could not be computed. {told(error)}")
            return
        self.said, self.truth = said, truth
        self.right, self.off = self.error(said, truth)
        self.verdict = f"{self.result()} {self.why}".strip()
        self.button.disabled = True
        self.lock()
        self._tell(self.verdict)
        if figure is not None:
            self.children = [*self._rows, figure]

    def result(self) -> str:
        """The answer, the truth and the error in one line."""
        if self.right is None:
            return f"{UNANSWERED}."
        if self.right and not self.off:
            return f"Right: {self.shown(self.truth)}."
        off = f": {self.off}" if self.off else ""
        close = ", which counts as right" if self.right else ""
        return f"You said {self.shown(self.said)}, it is {self.shown(self.truth)}{off}{close}."

    def __repr__(self) -> str:
        options = f" ({' / '.join(self.options())})" if self.options() else ""
        state = f"({UNANSWERED})" if self.right is None else self.verdict
        return f"Prediction: {self.question}{options} {state}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The live question where there is a front end.

        Where there is none, the figure's picture, which belongs to the lesson's page; or the answer, folded.
        """
        bundle = super()._repr_mimebundle_(**options)
        if self._figure is None:
            return {**bundle, "text/plain": repr(self), "text/html": self._page()}
        try:
            still, size = self._made()._repr_mimebundle_()
        except Exception as error:  # the question can be read in any case
            return {**bundle, "text/plain": f"{self!r}\nThe figure could not be made. {told(error)}"}
        return {**bundle, "text/plain": f"{self!r}\n{still['text/plain']}", "image/png": still["image/png"]}, size

    def _made(self) -> Any:
        """The figure, made once: for the page, and to be shown when the reader commits."""
        if self._built is None and self._figure is not None:
            self._built = self._figure()
        return self._built

    def _computed(self) -> Any:
        return self._answer() if callable(self._answer) else self._answer

    def _page(self) -> str:
        try:
            answer = escape(f"{self.shown(self._computed())}. {self.why}")
        except Exception as error:  # a page is made in any case
            answer = escape(f"The answer could not be computed. {told(error)}")
        items = "".join(f"<li>{escape(option)}</li>" for option in self.options())
        choices = f"<ul>{items}</ul>" if items else ""
        return (
            f"<p><b>Predict:</b> {escape(self.question)}</p>{choices}"
            f"<details><summary>the answer, once you have one of your own</summary>{answer}</details>"
        )

    def _tell(self, words: str) -> None:
        self._told.value = f'<span role="status">{escape(words)}</span>'


class Choice(Prediction):
    """A question with a few answers to choose from."""

    def __init__(self, question: str, answer: Any, why: str, figure: Any, choices: Sequence[str]) -> None:
        if not callable(answer) and answer not in choices:
            raise ValueError(f"answer must be one of the choices, got {answer!r}: add it to {list(choices)}")
        radio = RadioButtons(options=list(choices), value=None, tooltip=question, layout={"width": "auto"})
        super().__init__(question, answer, why, figure, radio)

    def options(self) -> Sequence[str]:
        """The choices."""
        return tuple(map(str, self.control.options))

    def read(self) -> Any:
        """The one that is chosen."""
        if self.control.value is None:
            raise ValueError("Choose first, then commit.")
        return self.control.value

    def error(self, said: Any, truth: Any) -> tuple[bool, str]:
        """Right or wrong."""
        return said == truth, ""


class Number(Prediction):
    """A question whose answer is a number."""

    def __init__(
        self, question: str, answer: Any, why: str, figure: Any, unit: str = "", tolerance: float | None = None
    ) -> None:
        self.unit, self.tolerance = unit, tolerance
        field = Text(placeholder="a number", description=unit, tooltip=question, layout={"width": "240px"})
        field.style.description_width = "auto"
        super().__init__(question, answer, why, figure, field)

    def read(self) -> float:
        """The number in the field."""
        words = self.control.value.strip().replace("−", "-").replace(",", ".")
        if not words:
            raise ValueError("Write a number first, then commit.")
        try:
            value = float(words)
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise ValueError(f"{self.control.value!r} is no number: write one like 0.5 or 1e-3.")
        return value

    def shown(self, value: Any) -> str:
        """The number with its unit."""
        return f"{number(value, 4)} {self.unit}".strip()

    def error(self, said: Any, truth: Any) -> tuple[bool, str]:
        """Within the tolerance or not, and the difference."""
        off = abs(said - truth)
        return bool(off <= (CLOSE * abs(truth) if self.tolerance is None else self.tolerance)), (
            f"{number(off)} off" if off else ""
        )


class Pin(Prediction):
    """A question whose answer is a place on a surface; the pin is set by a click, or moved by arrow keys."""

    def __init__(
        self, question: str, answer: Any, why: str, figure: Any, surface: Surface, tolerance: float | None = None
    ) -> None:
        self.surface, (low, high) = surface, surface.bounds[0]
        self.tolerance = NEAR * (high - low) if tolerance is None else tolerance
        self.place: tuple[float, float] | None = None
        view = Picture(hint="A click sets your pin, and arrow keys move it.")
        super().__init__(question, answer, why, figure, view)
        view.observe(self._pointed, "pointer")
        view.on_nudge(self._nudged)
        view.observe(self._paint, ["theme", "ratio"])
        self._paint()

    def read(self) -> Any:
        """Where the pin is."""
        if self.place is None:
            raise ValueError("Set your pin first, then commit.")
        return self.place

    def shown(self, value: Any) -> str:
        """The place in brackets."""
        return number(value)

    def error(self, said: Any, truth: Any) -> tuple[bool, str]:
        """Near enough or not, and the distance."""
        away = float(np.hypot(said[0] - truth[0], said[1] - truth[1]))
        return away <= self.tolerance, f"{number(away)} away" if away else ""

    def lock(self) -> None:
        """The pin stays, and the truth is drawn beside it."""
        self._paint()

    def _pointed(self, change: Any) -> None:
        scene = self._scene()
        x, y = change["new"][0] * scene.width, change["new"][1] * scene.height
        if scene.hill.holds(x, y):
            self._move(*scene.hill.at(x, y))

    def _nudged(self, right: float, up: float) -> None:
        (x0, x1), (y0, y1) = self.surface.bounds
        x, y = self.place or ((x0 + x1) / 2, (y0 + y1) / 2)
        self._move(x + right * (x1 - x0) / 80, y + up * (y1 - y0) / 80)

    def _move(self, x: float, y: float) -> None:
        if self.right is None:
            self.place = round(x, 6), round(y, 6)
            self._paint()

    def _scene(self) -> PinPicture:
        key = self.control.theme, self.control.ratio
        if getattr(self, "_drawn", None) != key:
            self._drawn, self._picture = key, PinPicture(self.surface, *key)
        return self._picture

    def _paint(self, _: Any = None) -> None:
        scene = self._scene()
        scene.draw(self.place, self.truth)
        pinned = "no pin yet" if self.place is None else f"your pin is at {number(self.place)}"
        self.control.show(scene.jpeg(), f"{self.surface.name}: {pinned}.")


def predict(
    question: str,
    answer: Any,
    choices: Sequence[str] | None = None,
    why: str = "",
    figure: Callable[[], Instrument] | None = None,
    unit: str = "",
    tolerance: float | None = None,
    on: Surface | str | Loss | None = None,
) -> Prediction:
    """Ask for a prediction: one of the choices; a place on the surface `on`; or, without either, a number.

    `answer` is the truth, or a function that computes it when the reader commits; `why` is one line that explains it,
    and `figure` a function that makes the figure which shows it. A number counts as right within the tolerance, in its
    own unit (a tenth of the answer, if none is given); so does a pin (a twentieth of the surface's width).

    Raises: ValueError for an answer that is not among the choices.
    """
    if choices is not None:
        return Choice(question, answer, why, figure, choices)
    if on is not None:
        return Pin(question, answer, why, figure, as_surface(on), tolerance)
    return Number(question, answer, why, figure, unit, tolerance)


class Predictions:
    """The predictions of a lesson as a table: question, answer, truth, and how far off."""

    def __init__(self, asked: Iterable[Prediction]) -> None:
        self._asked = tuple(asked)

    def __repr__(self) -> str:
        rows = (f"{p.question} {p.result()}" for p in self._asked)
        return "\n".join([self._score(), *rows])

    def _repr_html_(self) -> str:
        heads = "".join(f'<th scope="col">{head}</th>' for head in ("question", "you said", "it is", "off by"))
        rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in _cells(p))}</tr>" for p in self._asked)
        return f"<p>{self._score()}</p><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"

    def _score(self) -> str:
        answered = [p.right for p in self._asked if p.right is not None]
        return f"{len(answered)} of {len(self._asked)} predictions answered, {sum(answered)} right."


def _cells(p: Prediction) -> tuple[str, str, str, str]:
    if p.right is None:
        return p.question, UNANSWERED, "", ""
    return p.question, p.shown(p.said), p.shown(p.truth), p.off or ("right" if p.right else "wrong")


def predictions() -> Predictions:
    """The predictions of this lesson so far, in the order in which they were asked first."""
    return Predictions(asked for asked in _asked.values() if asked.comm is not None)  # the closed ones' cells changed
