"""Instrument: what every live figure has: a picture with its caption, knobs around it, and ways to keep it."""

from __future__ import annotations

import base64
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from html import escape
from threading import RLock
from typing import Any

from ipywidgets import HTML, Accordion, Box, Button, HBox, Play, Text, VBox, jslink

from tinygpt.lab.charts.scene import Scene
from tinygpt.lab.exercises.verdict import told as told_error
from tinygpt.lab.source import as_code
from tinygpt.lab.widgets.film import save
from tinygpt.lab.widgets.housekeeping import close, replace_earlier
from tinygpt.lab.widgets.knobs import told
from tinygpt.lab.widgets.picture import Picture

ROW = {"flex_flow": "row wrap", "align_items": "center"}
MOST_SCENES = 4


class Instrument(VBox):  # type: ignore[misc]
    """Abstract: a figure that is computed and drawn anew whenever one of its knobs turns.

    A subclass sets `knobs`, which maps keywords of its own constructor to widgets, and `fixed`, the constructor's other
    arguments, then calls `super().__init__()`; and it writes the hooks `compute`, `make_scene`, `draw` and `words`.
    Turning a knob computes and repaints before the assignment returns: see `picture` (JPEG bytes) and `caption`. What
    goes wrong then, in a reader's own code say, is told in the caption with the reader's line, and tried again at the
    next turn; in the cell that makes the figure it is raised. So is an interrupt, which is told as well.
    """

    knobs: dict[str, Any]
    fixed: dict[str, Any]
    repaints: frozenset[str] = frozenset()  # knobs that change what is shown and nothing that is computed
    _links: Any = ()  # a figure that could not be made is closed as well
    hint = ""  # what pointer and arrow keys do on the picture, in words; "" if nothing

    def __init__(self) -> None:
        self.view = Picture(hint=self.hint)
        self._initial = {name: knob.value for name, knob in self.knobs.items()}
        self._scenes: dict[Hashable, Scene] = {}
        self._painted: Scene | None = None
        self._turns = RLock()  # JupyterLab may turn a knob in another thread than that of the cell which runs
        self._complains = False
        self._held, self._stale = False, True
        self._links = []
        rows = [row[0] if len(row) == 1 else Box(row, layout=ROW) for row in self.layout()]
        super().__init__([*rows, self._keeping()], _dom_classes=("tinygpt-instrument",))
        for name, knob in self.knobs.items():
            knob.observe(partial(self._turned, name), "value")
        try:
            with self.one_run():
                self.prepare()
        except Exception:
            close(self)  # nobody else would: the kernel holds every widget
            raise
        self._complains = True
        self.view.observe(self._adapt, ["ratio", "theme", "narrow"])
        self.view.observe(self._pointed, "pointer")
        self.view.on_nudge(self.nudged)
        replace_earlier(self)

    # --- what a subclass writes --------------------------------------------------------------------------------------

    def compute(self) -> None:
        """Run what is shown, for the values of the knobs, and keep the results."""
        raise NotImplementedError

    def make_scene(self, theme: str, ratio: float, narrow: bool) -> Scene:
        """The scene to draw on, for a page's theme, a screen's pixel ratio, and a page that may be narrow."""
        raise NotImplementedError

    def draw(self, scene: Any) -> None:
        """Draw the results on a scene that `make_scene` gave."""
        raise NotImplementedError

    def words(self) -> str:
        """The results in words: the caption."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Turn knobs from their neutral values to where this figure shall begin."""

    def turned(self, name: str) -> None:
        """A knob has turned: compute, unless it is one that only repaints, and paint."""
        with self.one_run(name not in self.repaints):
            pass

    def scene_key(self) -> Hashable:
        """What a scene depends on beside the page; the last few scenes are kept."""
        return None

    def pointed(self, scene: Any, x: float, y: float) -> None:
        """The pointer was pressed, or moved while pressed, at a place of the picture (logical, from the upper left)."""

    def nudged(self, right: float, up: float) -> None:
        """An arrow key was pressed on the picture: −1, 0 or 1 to the right and up."""

    def layout(self) -> list[list[Any]]:
        """The rows of widgets, `view` among them."""
        return [list(self.knobs.values()), [self.view], [self.reset_button()]]

    # --- what it gives -----------------------------------------------------------------------------------------------

    @property
    def picture(self) -> bytes:
        """What is shown, as JPEG."""
        return bytes(self.view.image)

    @property
    def caption(self) -> str:
        """What is shown, in words."""
        return str(self.view.caption)

    @property
    def experiment(self) -> str:
        """One line of Python that makes this figure as it is now."""
        arguments = {**self.fixed, **{name: told(knob) for name, knob in self.knobs.items()}}
        return f"{type(self).__name__}({', '.join(f'{name}={as_code(value)}' for name, value in arguments.items())})"

    def save(self, file: Any) -> None:
        """Write the figure to a .png or .svg, or, run from the first step to the last, to a .gif or .mp4.

        Raises: ValueError for another ending, or for a film of a figure without a step; OSError from the disk.
        """
        save(self, file)

    def reset(self, _: Any = None) -> None:
        """Turn all knobs back to where they were at first."""
        with self.one_run():
            for name, value in self._initial.items():
                self.knobs[name].value = value

    def reset_button(self) -> Button:
        """A button that resets the knobs."""
        button = Button(description="reset", tooltip="all knobs as they were at first")
        button.on_click(self.reset)
        return button

    def play_row(self, slider: Any, stride: int = 1) -> HBox:
        """A slider over steps with the buttons that play it, so many steps at a time."""
        self.player = Play(value=slider.value, max=slider.max, step=stride, interval=50, show_repeat=False)
        self._links.append(jslink((self.player, "value"), (slider, "value")))
        slider.observe(lambda change: setattr(self.player, "max", change["new"]), "max")
        return HBox([self.player, slider])

    @contextmanager
    def one_run(self, compute: bool = True) -> Iterator[None]:
        """Turn several knobs, and compute (where that is needed) and paint once, at the end."""
        with self._turns:
            outermost, self._held = not self._held, True
            self._stale |= compute
            try:
                yield
                if outermost:
                    while self._stale:  # again, if a knob turned in the middle of it
                        self._stale = False
                        self.compute()
                    self._paint()
            except (Exception, KeyboardInterrupt) as error:
                self._stale = True
                if not (outermost and self._complains):
                    raise
                self.view.show(self.picture, f"{told_error(error)} The picture is of the last run that worked.")
                if isinstance(error, KeyboardInterrupt):
                    raise
            finally:
                if outermost:
                    self._held = False

    def close(self) -> None:
        """Close the widget with all that it is made of, and the links that nothing else would close."""
        links, self._links = self._links, ()
        for link in links:
            link.close()
        for child in self.children:
            close(child)
        super().close()

    def __repr__(self) -> str:
        return self.caption

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """The live widget where there is a front end, and the picture with its caption where there is none."""
        bundle = super()._repr_mimebundle_(**options)
        still = self.make_scene("light", 2.0, False)
        self.draw(still)
        picture = {"text/plain": self.caption, "image/png": base64.b64encode(still.png()).decode("ascii")}
        return {**bundle, **picture}, {"image/png": {"width": still.width}}

    # --- how ---------------------------------------------------------------------------------------------------------

    def _turned(self, name: str, _: Any) -> None:
        self.turned(name)

    def _adapt(self, _: Any) -> None:
        """Draw for another screen or page, once for all that has changed of it."""
        if self._scene() is not self._painted:
            with self.one_run(compute=False):
                pass

    def _pointed(self, change: Any) -> None:
        scene = self._scene()
        x, y = change["new"]
        self.pointed(scene, x * scene.width, y * scene.height)

    def _paint(self) -> None:
        self._painted = self._scene()
        self.draw(self._painted)
        self.view.show(self._painted.jpeg(), self.words())

    def _scene(self) -> Scene:
        view = self.view
        key = (self.scene_key(), view.theme, view.ratio, view.narrow)
        if key not in self._scenes:
            while len(self._scenes) >= MOST_SCENES:
                self._scenes.pop(next(iter(self._scenes)))
            self._scenes[key] = self.make_scene(view.theme, view.ratio, view.narrow)
        return self._scenes[key]

    def _keeping(self) -> Accordion:
        """The fold with which to keep what is shown."""
        line, answer = HTML(), HTML()
        copy = Button(description="copy this experiment", layout={"width": "auto"}, tooltip="one line of Python")
        file = Text("figure.png", tooltip="a file that ends in .png, .svg, .gif or .mp4", layout={"width": "180px"})
        keep = Button(description="save", tooltip="write the figure to this file", layout={"width": "80px"})

        def show(_: Any) -> None:
            line.value = f"<code style='user-select: all'>{escape(self.experiment)}</code>"

        def write(_: Any) -> None:
            try:
                self.save(file.value)
                answer.value = f"saved as {escape(file.value)}"
            except (ValueError, OSError, ImportError) as error:
                answer.value = escape(str(error))

        copy.on_click(show)
        keep.on_click(write)
        rows = [Box([copy, line], layout=ROW), Box([file, keep, answer], layout=ROW)]
        return Accordion([VBox(rows)], titles=("keep this figure",), selected_index=None)
