"""A scene: a still picture, drawn once by matplotlib, with strokes, marks and words that move over it.

Redrawing axes takes a tenth of a second. A frame here restores the still picture and hands the strokes to matplotlib's
Agg renderer, in pixels and without the machinery of artists, in a few milliseconds. All places are pixels from the
lower left corner, as Agg counts them, unless a name says *logical*: those are the same on every screen.
"""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, IdentityTransform
from PIL import Image

from tinygpt.lab.charts.style import THEMES, TYPE_SIZE

MOST = 100_000  # bytes of a picture that is kept in a notebook
DPI = 100  # at which a point of type is 1.39 logical pixels
Box = tuple[int, int, int, int]  # left, bottom, width, height in logical pixels


class Scene:
    """A figure of width × height logical pixels; `ratio` is the number of screen pixels in a logical one."""

    def __init__(self, width: int, height: int, theme: str = "light", ratio: float = 1.0) -> None:
        self.width, self.height, self.ratio, self.theme = width, height, ratio, THEMES[theme]
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI * ratio, facecolor=self.theme.page)
        self.canvas: Any = FigureCanvasAgg(self.figure)
        self.renderer = self.canvas.get_renderer()

    def panel(self, box: Box, title: str) -> Any:
        """Axes in a box, dressed for this page."""
        left, bottom, width, height = box
        axes = self.figure.add_axes(
            (left / self.width, bottom / self.height, width / self.width, height / self.height),
            facecolor=self.theme.page,
        )
        axes.set_title(title, loc="left", fontsize=11, color=self.theme.ink, pad=8, parse_math=False)
        axes.tick_params(labelsize=TYPE_SIZE, labelcolor=self.theme.ink, color=self.theme.faint, length=3, which="both")
        axes.spines[:].set_visible(False)
        return axes

    def still(self) -> Any:
        """Draw everything that matplotlib holds and return it, to be restored."""
        self.canvas.draw()
        self.renderer = self.canvas.get_renderer()
        return self.canvas.copy_from_bbox(self.figure.bbox)

    def restore(self, still: Any) -> None:
        """Begin a frame: the still picture, with nothing over it."""
        self.canvas.restore_region(still)

    def stroke(self, pixels: Any, colour: str, dash: Any = "solid", width: float = 1.9, clip: Any = None) -> None:
        """A line through the pixels (n, 2), clipped to the axes `clip`; `width` in points."""
        pen = self._pen(colour, width, dash, clip)
        self.renderer.draw_path(pen, Path(pixels), IdentityTransform(), None)

    def mark(
        self, pixel: Any, marker: str, size: float, fill: str, edge: str, width: float = 1.3, clip: Any = None
    ) -> None:
        """A marker at a pixel; size and edge width in points."""
        pen = self._pen(edge, width, "solid", clip)
        shape, place = _marker(marker, size * self.ratio * DPI / 72)
        at = Path(np.reshape(pixel, (1, 2)))
        self.renderer.draw_markers(pen, shape, place, at, IdentityTransform(), to_rgba(fill))

    def write(self, pixel: Any, text: str, colour: str, align: float = 0.0) -> None:
        """Words in one line, centred in height on a pixel; align 0 begins there, .5 is centred, 1 ends there."""
        if not np.isfinite(pixel).all():
            return
        cover = _letters(text, self.ratio)
        screen: Any = np.asarray(self.canvas.buffer_rgba())
        rows, columns = screen.shape[:2]
        top = round(rows - pixel[1] - cover.shape[0] / 2)
        left = round(min(max(pixel[0] - align * cover.shape[1], 0), columns - cover.shape[1]))
        if 0 <= top <= rows - cover.shape[0] and left >= 0:
            under = screen[top : top + cover.shape[0], left : left + cover.shape[1], :3]
            under[:] = under + (np.array(to_rgba(colour)[:3]) * 255 - under) * cover

    def jpeg(self) -> bytes:
        """The frame as JPEG: quick to make, for the screen."""
        stream = io.BytesIO()
        self._image().save(stream, "JPEG", quality=88, subsampling=0)
        return stream.getvalue()

    def png(self) -> bytes:
        """The frame as PNG of few colours, to be kept in a notebook: as sharp as fits into MOST bytes."""
        image = self._image()
        for scale in (1.0, 0.75, 0.5, 0.35):
            stream = io.BytesIO()
            smaller = image.resize((round(scale * image.width), round(scale * image.height)))
            smaller.quantize(160, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
            if stream.tell() <= MOST:
                break
        return stream.getvalue()

    def _image(self) -> Image.Image:
        pixels = self.canvas.buffer_rgba()
        return Image.frombuffer("RGBA", pixels.shape[1::-1], pixels, "raw", "RGBA", 0, 1).convert("RGB")

    def _pen(self, colour: str, width: float, dash: Any, clip: Any) -> Any:
        pen = self.renderer.new_gc()
        pen.set_foreground(to_rgba(colour), isRGBA=True)
        pen.set_linewidth(width)
        pen.set_joinstyle("round")
        if dash != "solid":
            offset, lengths = dash
            pen.set_dashes(offset, [length * width for length in lengths])
        if clip is not None:
            pen.set_clip_rectangle(clip.bbox)
        return pen


@lru_cache
def _marker(marker: str, size: float) -> tuple[Path, Any]:
    style = MarkerStyle(marker)
    return style.get_path(), style.get_transform() + Affine2D().scale(size)


@lru_cache(maxsize=256)
def _letters(text: str, ratio: float) -> Any:
    """How much of each pixel the words cover, (height, width, 1): drawn once, then laid over every frame."""
    figure = Figure(figsize=(4, 0.2), dpi=DPI * ratio, facecolor="white")
    canvas: Any = FigureCanvasAgg(figure)
    figure.text(0.01, 0.5, text, fontsize=TYPE_SIZE, va="center_baseline", parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of letters that the font lacks: they show as boxes
        canvas.draw()
    cover = 1 - np.asarray(canvas.buffer_rgba())[:, :, :1] / 255
    inked = np.flatnonzero(cover.any(axis=(0, 2)))
    return cover[:, inked[0] : inked[-1] + 1] if inked.size else cover[:, :1]
