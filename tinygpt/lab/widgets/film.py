"""Film: a figure written to a file, as a picture or as a film of its steps."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

PICTURES, FILMS = (".png", ".svg"), (".gif", ".mp4")
RATE = 20  # pictures a second
MOST = 200  # pictures in a film; a longer run is shown in larger steps


def save(instrument: Any, file: str | Path) -> None:
    """Draw an instrument, once or step by step, as sharp as a fine screen, and write that to a file.

    Raises: ValueError where the file's ending is none of those above, or a film is asked of a figure without steps.
    """
    kind = Path(file).suffix.lower()
    if kind not in PICTURES + FILMS:
        raise ValueError(f"file must end in one of {', '.join(PICTURES + FILMS)}, got {str(file)!r}: name a kind")
    if kind in FILMS and "step" not in instrument.knobs:
        raise ValueError(f"a film needs a figure with steps, which {type(instrument).__name__} has not: save a .png")
    Path(file).write_bytes(_WRITERS[kind](instrument))


def _scene(instrument: Any, ratio: float = 2.0) -> Any:
    return instrument.make_scene(instrument.view.theme, ratio, False)


def _png(instrument: Any) -> bytes:
    scene, stream = _scene(instrument), io.BytesIO()
    instrument.draw(scene)
    scene.image().save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _svg(instrument: Any) -> bytes:
    scene = _scene(instrument)
    instrument.draw(scene)
    return str(scene.svg()).encode()


def _frames(instrument: Any, ratio: float) -> Iterator[Any]:
    """The figure at each step, or at every second or third; the knob comes back to where it was."""
    knob, key, scene = instrument.knobs["step"], None, None
    before, stride = knob.value, -(-knob.max // MOST) or 1
    hold = instrument.one_run(compute=False) if "step" in instrument.repaints else nullcontext()
    with hold:  # the reader's own figure does not play along, unless its steps must be computed
        try:
            for step in sorted({*range(knob.min, knob.max, stride), knob.max}):
                knob.value = step
                if scene is None or instrument.scene_key() != key:
                    key, scene = instrument.scene_key(), _scene(instrument, ratio)
                instrument.draw(scene)
                yield scene.image()
        finally:
            knob.value = before


def _gif(instrument: Any) -> bytes:
    first, *rest = (frame.quantize(128, method=2) for frame in _frames(instrument, 1.0))  # 2 is quick: an octree
    stream = io.BytesIO()
    first.save(stream, "GIF", save_all=True, append_images=rest, duration=1000 // RATE, loop=0)
    return stream.getvalue()


def _mp4(instrument: Any) -> bytes:
    try:
        import av
    except ImportError as error:
        raise ImportError('an .mp4 needs the library av: pip install "tinygpt[video]", or save a .gif') from error
    stream, frames = io.BytesIO(), _frames(instrument, 2.0)
    first = next(frames)
    width, height = (length // 2 * 2 for length in first.size)  # its pixels come in twos
    with av.open(stream, "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=RATE, options={"crf": "18"})
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        for frame in itertools.chain([first], frames):
            container.mux(video.encode(av.VideoFrame.from_image(frame.crop((0, 0, width, height)))))
        container.mux(video.encode())
    return stream.getvalue()


_WRITERS = {".png": _png, ".svg": _svg, ".gif": _gif, ".mp4": _mp4}
