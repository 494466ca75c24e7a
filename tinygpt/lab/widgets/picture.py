"""Picture: the widget that shows encoded images and reports where the pointer is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """Shows `image` (JPEG) over its `caption`.

    `hint` says in words what pointer and arrow keys do there. The browser sets `pointer`, as fractions of width and
    height from the upper left corner, and, once and when they change, the screen's pixel `ratio`, the page's `theme`
    and whether it is `narrow`.
    """

    # Their text, not their paths: anywidget would watch a path for every Picture, and so keep each for ever.
    _esm = (_HERE / "picture.js").read_text(encoding="utf-8")
    _css = (_HERE / "picture.css").read_text(encoding="utf-8")
    image = traitlets.Bytes().tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    hint = traitlets.Unicode().tag(sync=True)
    frame = traitlets.Int().tag(sync=True)
    pointer = traitlets.List(traitlets.Float()).tag(sync=True, echo_update=False)
    ratio = traitlets.Float(1.0).tag(sync=True)
    theme = traitlets.Enum(("light", "dark"), "light").tag(sync=True)
    narrow = traitlets.Bool(False).tag(sync=True)

    def show(self, image: bytes, caption: str) -> None:
        """Send a picture and its caption in one message."""
        with self.hold_sync():
            self.image, self.caption, self.frame = image, caption, self.frame + 1

    def on_nudge(self, move: Callable[[float, float], None]) -> None:
        """Call `move(right, up)` with −1, 0 or 1 when an arrow key is pressed on the picture."""

        def receive(_: Any, message: Any, __: Any) -> None:
            if isinstance(message, dict) and "nudge" in message:
                move(*message["nudge"])

        self.on_msg(receive)
