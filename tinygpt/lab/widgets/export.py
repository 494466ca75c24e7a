"""Export: a figure as one self-contained page of precomputed pictures, whose sliders need no kernel."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from tinygpt.lab.widgets.instrument import Instrument

MOST = 8_000_000  # bytes of a page
RATIO = 1.5  # screen pixels in a logical one: sharp enough on a fine screen, and half the bytes of 2
QUALITY = 60  # of WebP: lines stay clean

_TEMPLATE = Path(__file__).with_name("page.html")


def export_html(
    figure: Instrument,
    file: str | Path,
    knobs: Mapping[str, Sequence[float]],
    title: str | None = None,
    words: str = "Move a slider, by pointer or arrow keys.",
) -> int:
    """Write a page that shows the figure at every combination of some knobs' values; returns its size in bytes.

    `knobs` maps names of the figure's knobs to the values of their sliders; the page opens at those nearest to where
    the figure stands. The page needs neither a kernel nor a network. The figure comes back to where it was.

    Raises: ValueError for a knob that the figure has not, or a page beyond MOST bytes; OSError from the disk.
    """
    for name in knobs:
        if name not in figure.knobs:
            raise ValueError(f"knobs must be among {', '.join(figure.knobs)}, got {name!r}: name one of them")
    before = {name: figure.knobs[name].value for name in knobs}
    experiment = figure.experiment
    shots: dict[tuple[Any, ...], tuple[str, str]] = {}  # by where the knobs stood: a slider may cut two values to one
    scene: Any = None
    key: Any = None
    stands: dict[str, list[float]] = {name: [] for name in knobs}  # where the sliders could take the values
    try:
        for combination in itertools.product(*knobs.values()):
            with figure.one_run():
                for name, value in zip(knobs, combination, strict=True):
                    figure.knobs[name].value = value
            at = tuple(figure.knobs[name].value for name in knobs)
            for name, value in zip(knobs, at, strict=True):
                stands[name] += [] if value in stands[name] else [value]
            if at in shots:
                continue
            if scene is None or figure.scene_key() != key:
                key, scene = figure.scene_key(), figure.make_scene("light", RATIO, False)
            figure.draw(scene)
            shots[at] = _webp(scene), figure.caption
    finally:
        with figure.one_run():
            for name, value in before.items():
                figure.knobs[name].value = value
    images, captions = zip(*(shots[at] for at in itertools.product(*stands.values())), strict=True)
    described = [_described(figure.knobs[name], stands[name], before[name]) for name in knobs]
    frames = json.dumps({"knobs": described, "images": images, "captions": captions}, ensure_ascii=False)
    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    page = template.substitute(
        title=escape(title or type(figure).__name__),
        words=escape(words),
        width=round(scene.width * RATIO),
        height=round(scene.height * RATIO),
        experiment=escape(experiment),
        frames=frames.replace("</", "<\\/"),  # nothing in it may end the script
    ).encode()
    if len(page) > MOST:
        raise ValueError(
            f"a page must be at most {MOST / 1e6:g} MB, got {len(page) / 1e6:.1f} MB for {len(images)} pictures: "
            "take fewer values"
        )
    Path(file).write_bytes(page)
    return len(page)


def _described(knob: Any, values: list[float], at: float) -> dict[str, Any]:
    nearest = min(range(len(values)), key=lambda i: abs(values[i] - at))
    texts = [f"{value:.3g}" for value in values]
    return {"name": knob.tooltip, "symbol": knob.description, "values": texts, "at": nearest}


def _webp(scene: Any) -> str:
    stream = io.BytesIO()
    scene.image().save(stream, "WEBP", quality=QUALITY, method=4)
    return base64.b64encode(stream.getvalue()).decode("ascii")
