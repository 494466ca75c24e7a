"""A scene: a still picture, drawn once by matplotlib, with strokes, marks and words that move over it.

Redrawing axes takes a tenth of a second. A frame here restores the still picture and hands the strokes to matplotlib's
Agg renderer, in pixels and without the machinery of artists, in a few milliseconds. All places are pixels from the
lower left corner, as Agg counts them, unless a name says *logical*: those are the same on every screen.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import RendererSVG
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from PIL import Image, ImageDraw, ImageFont

from tinygpt.lab.charts.style import THEMES, TYPE_SIZE

MOST = 100_000  # bytes of a picture that is kept in a notebook
MOST_STILLS = 24_000_000  # bytes of them in a scene, for the scales that one drag comes by
MIDDLE = 0.36  # of the size of type: how far above their baseline the middle of capitals is
DPI = 100  # at which a point of type is 1.39 logical pixels
Box = tuple[int, int, int, int]  # left, bottom, width, height in logical pixels


class Scene:
    """A figure of width × height logical pixels; `ratio` is the number of screen pixels in a logical one.

    A frame is `begin(…)`, then strokes, fills, marks and words in the order in which they cover each other.
    """

    def __init__(self, width: int, height: int, theme: str = "light", ratio: float = 1.0) -> None:
        self.width, self.height, self.ratio, self.theme = width, height, ratio, THEMES[theme]
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI * ratio, facecolor=self.theme.page)
        self.canvas: Any = FigureCanvasAgg(self.figure)
        self._renderer: Any = self.canvas.get_renderer()
        self._stills: dict[Hashable, Any] = {}
        self._key: Hashable = object()  # of the still that the axes are set for; none yet
        self._frame: list[tuple[Any, ...]] = []  # what this frame is made of, to be drawn again as SVG

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

    def along(self, box: Box, x: float, y: float) -> float | None:
        """How far along a box a place is, from 0 to 1; None outside. In logical pixels from the upper left corner."""
        left, bottom, width, height = box
        inside = left <= x <= left + width and bottom <= self.height - y <= bottom + height
        return (x - left) / width if inside else None

    def begin(self, key: Hashable = None, arrange: Callable[[], None] = lambda: None) -> None:
        """Begin a frame with the still picture for a key, and nothing over it.

        `arrange` sets limits, ticks and titles of the axes to what the key stands for; it is called where the key is
        not that of the frame before. Stills are kept, so that a key that returns costs next to nothing.
        """
        if key != self._key:
            arrange()
            self._key = key
        if key not in self._stills:
            if (len(self._stills) + 1) * self.canvas.buffer_rgba().nbytes > MOST_STILLS:
                self._stills.clear()
            self.canvas.draw()
            self._renderer = self.canvas.get_renderer()
            self._stills[key] = self.canvas.copy_from_bbox(self.figure.bbox)
        self.canvas.restore_region(self._stills[key])
        self._frame.clear()

    # --- what moves, in pixels ---------------------------------------------------------------------------------------

    def stroke(self, pixels: Any, colour: str, dash: Any = "solid", width: float = 1.9, clip: Any = None) -> None:
        """A line through the pixels (n, 2), clipped to the axes `clip`; `width` in points."""
        self._draw(_path, (colour, width, dash, clip), None, Path(pixels))

    def fill(self, pixels: Any, colour: str, edge: str | None = None, width: float = 0.0, clip: Any = None) -> None:
        """The area within the pixels (n, 2), with an edge of `width` points where one is wanted."""
        self._draw(_path, (edge or colour, width, "solid", clip), to_rgba(colour), Path(pixels))

    def arrow(self, tail: Any, tip: Any, colour: str, width: float = 1.9, clip: Any = None) -> None:
        """An arrow; one shorter than its head is drawn as a head alone."""
        tail, tip = np.asarray(tail, float), np.asarray(tip, float)
        length = float(np.hypot(*(tip - tail))) if np.isfinite([tail, tip]).all() else 0.0
        if length == 0:
            return
        along = (tip - tail) / length
        across = np.array([-along[1], along[0]])
        head = (4 + 2.4 * width) * self.ratio
        neck = tip - along * head
        if length > head:
            self.stroke([tail, neck + along], colour, width=width, clip=clip)
        self.fill([tip, neck + 0.4 * head * across, neck - 0.4 * head * across, tip], colour, clip=clip)

    def mark(
        self, pixel: Any, marker: str, size: float, fill: str, edge: str, width: float = 1.3, clip: Any = None
    ) -> None:
        """A marker at a pixel; size and edge width in points."""
        at = Path(np.reshape(pixel, (1, 2)))
        self._draw(_marks, (edge, width, "solid", clip), to_rgba(fill), marker, size * self.ratio * DPI / 72, at)

    def cells(self, axes: Any, colours: Any) -> None:
        """An image stretched over all of the axes, with hard edges.

        Shapes: colours (rows, columns, 4), uint8; row 0 is the lowest.
        """
        left, bottom, width, height = (round(v) for v in axes.bbox.bounds)
        if colours.shape[:2] != (height, width):
            rows = np.arange(height) * len(colours) // height
            columns = np.arange(width) * colours.shape[1] // width
            colours = colours[rows][:, columns]
        image = np.ascontiguousarray(colours)
        self._draw(_image, (self.theme.ink, 0.0, "solid", axes), None, left, bottom, image)

    def write(
        self, pixel: Any, text: str, colour: str, align: float = 0.0, size: float = TYPE_SIZE, bold: bool = False
    ) -> None:
        """Words in one line, centred in height on a pixel; align 0 begins there, .5 is centred, 1 ends there.

        They are moved sideways where they would leave the picture.
        """
        if not np.isfinite(pixel).all():
            return
        self._frame.append((_words, (colour, 0.0, "solid", None), None, (pixel, text, align, size, bold)))
        cover, rise = _letters(text, size * self.ratio * DPI / 72, bold)
        screen: Any = np.asarray(self.canvas.buffer_rgba())
        rows, columns = screen.shape[:2]
        top = round(rows - pixel[1] - rise)
        left = round(min(max(pixel[0] - align * cover.shape[1], 0), columns - cover.shape[1]))
        if 0 <= top <= rows - cover.shape[0] and left >= 0:
            under = screen[top : top + cover.shape[0], left : left + cover.shape[1], :3]
            under[:] = under + (np.array(to_rgba(colour)[:3]) * 255 - under) * cover

    # --- the picture as bytes ----------------------------------------------------------------------------------------

    def jpeg(self) -> bytes:
        """The frame as JPEG: quick to make, for the screen."""
        stream = io.BytesIO()
        colours = "4:4:4" if self.ratio < 2 else "4:2:0"  # as sharp as a logical pixel is enough for them
        self._shared().save(stream, "JPEG", quality=88, subsampling=colours)
        return stream.getvalue()

    def png(self) -> bytes:
        """The frame as PNG of few colours, to be kept in a notebook: as sharp as fits into MOST bytes."""
        image = self.image()
        for scale in (1.0, 0.75, 0.5, 0.35):
            stream = io.BytesIO()
            smaller = image.resize((round(scale * image.width), round(scale * image.height)))
            smaller.quantize(160, dither=Image.Dither.NONE).save(stream, "PNG", optimize=True)
            if stream.tell() <= MOST:
                break
        return stream.getvalue()

    def svg(self) -> str:
        """The frame as SVG, in which lines and words stay sharp at every size."""
        stream, points, screen = io.StringIO(), 72 / DPI, self.figure.dpi
        width, height = self.width * points, self.height * points
        renderer: Any = RendererSVG(width, height, stream, image_dpi=screen)
        self.figure.set_dpi(72)  # a pixel is a point then, as in SVG
        try:
            self.figure.draw(renderer)
            for draw, pen, fill, what in self._frame:
                draw(renderer, points / self.ratio, _pen(renderer, *pen), fill, *what)
        finally:
            self.figure.set_dpi(screen)
        renderer.finalize()
        return stream.getvalue()

    def image(self) -> Image.Image:
        """The frame as Pillow's image, which later frames leave alone."""
        return self._shared().convert("RGB")

    def _shared(self) -> Image.Image:
        """The frame itself, not a copy; X says that its fourth bytes mean nothing."""
        pixels = self.canvas.buffer_rgba()
        return Image.frombuffer("RGBX", pixels.shape[1::-1], pixels, "raw", "RGBX", 0, 1)

    def _draw(self, draw: Callable[..., None], pen: tuple[Any, ...], fill: Any, *what: Any) -> None:
        self._frame.append((draw, pen, fill, what))
        draw(self._renderer, 1.0, _pen(self._renderer, *pen), fill, *what)


def _pen(renderer: Any, colour: str, width: float, dash: Any, clip: Any) -> Any:
    pen = renderer.new_gc()
    pen.set_foreground(to_rgba(colour), isRGBA=True)
    pen.set_linewidth(width)
    pen.set_joinstyle("round")
    if dash != "solid":
        offset, lengths = dash
        pen.set_dashes(offset, [length * width for length in lengths])
    if clip is not None:
        pen.set_clip_rectangle(clip.bbox)
    return pen


# What a frame is made of, drawn by one of matplotlib's renderers; `scale` is its pixels in one of the screen's.


def _path(renderer: Any, scale: float, pen: Any, fill: Any, path: Path) -> None:
    renderer.draw_path(pen, path, _scaling(scale), fill)


def _marks(renderer: Any, scale: float, pen: Any, fill: Any, marker: str, size: float, at: Path) -> None:
    shape, place = _marker(marker, size * scale)
    renderer.draw_markers(pen, shape, place, at, _scaling(scale), fill)


def _image(renderer: Any, scale: float, pen: Any, fill: Any, left: float, bottom: float, image: Any) -> None:
    renderer.draw_image(pen, left * scale, bottom * scale, image)


def _words(
    renderer: Any, scale: float, pen: Any, fill: Any, pixel: Any, text: str, align: float, size: float, bold: bool
) -> None:
    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = renderer.get_text_width_height_descent(text, font, False)
    _, height = renderer.get_canvas_width_height()
    x = min(max(pixel[0] * scale - align * width, 0), renderer.get_canvas_width_height()[0] - width)
    renderer.draw_text(pen, x, height - pixel[1] * scale + MIDDLE * size, text, font, 0)


@lru_cache
def _scaling(scale: float) -> Any:
    return Affine2D().scale(scale)


@lru_cache
def _marker(marker: str, size: float) -> tuple[Path, Any]:
    style = MarkerStyle(marker)
    return style.get_path(), style.get_transform() + Affine2D().scale(size)


@lru_cache(maxsize=512)
def _letters(text: str, size: float, bold: bool) -> tuple[Any, float]:
    """How much of each pixel the words cover, (height, width, 1), and how far that rises above their middle."""
    font = _font(size, bold)
    left, top, right, bottom = font.getbbox(text, anchor="ls")  # from where the baseline begins, downwards
    cover = Image.new("L", (max(math.ceil(right - left), 1), max(math.ceil(bottom - top), 1)))
    ImageDraw.Draw(cover).text((-left, -top), text, 255, font, anchor="ls")
    return np.asarray(cover)[:, :, None] / 255, -top - MIDDLE * size


@lru_cache
def _font(size: float, bold: bool) -> Any:
    file = findfont(FontProperties(weight="bold" if bold else "normal"))
    return ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
