"""A canvas with smooth shapes and text, drawn with Pillow, and room for labels on it."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SCALE = 2  # drawn larger and shrunk: Pillow's shapes have no smooth edges
# Okabe and Ito's colours, which stay apart for the colour-blind, and two more; then the same again in another shape.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F3C8D", "#6B6B00")
# Circle, square, triangle, diamond: corners, angle of the first, size that makes them look alike.
_SHAPES = ((48, 0.0, 1.0), (4, 45.0, 1.2), (3, 30.0, 1.35), (4, 0.0, 1.25))
_LATIN = str.maketrans({"δ": "delta ", "Δ": "Delta ", "−": "-", "×": "x", "–": "-", "…": "..."})  # what the font has

Point = tuple[float, float]  # x, y
Box = tuple[float, float, float, float]  # left, top, right, bottom


class Canvas:
    """A white picture of `width` × `height`; everything is given in its pixels."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._picture = Image.new("RGB", (width * _SCALE, height * _SCALE), "white")
        self._draw = ImageDraw.Draw(self._picture)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture, RGB uint8 `[H, W, 3]`."""
        return np.asarray(self._picture.resize(self._size, Image.Resampling.LANCZOS))

    def line(self, start: Point, end: Point, colour: str, width: float = 1, dash: float = 0) -> None:
        """A line; `dash`: length of its dashes, 0 = whole."""
        length = math.dist(start, end)
        pieces = np.arange(0, length, 2 * dash) if dash else [0.0] if length else []
        for piece in pieces:
            shares = (piece / length, min(piece + (dash or length), length) / length)
            points = [(_along(start, end, share)) for share in shares]
            self._draw.line(points, fill=colour, width=round(width * _SCALE))

    def box(self, box: Box, fill: str | None = None, outline: str | None = None) -> None:
        """A rectangle."""
        self._draw.rectangle([side * _SCALE for side in box], fill=fill, outline=outline, width=_SCALE)

    def text(self, at: Point, text: str, size: int = 15, anchor: str = "la", colour: str = "black") -> None:
        """A line of text; `anchor` as Pillow has it."""
        place = (at[0] * _SCALE, at[1] * _SCALE)
        self._draw.text(place, text.translate(_LATIN), fill=colour, font=_font(size * _SCALE), anchor=anchor)

    def sideways(self, at: Point, text: str, size: int = 15) -> None:
        """A line of text from bottom to top, its middle at `at`."""
        font, text = _font(size * _SCALE), text.translate(_LATIN)
        left, top, right, bottom = font.getbbox(text)
        tile = Image.new("RGB", (math.ceil(right - left), math.ceil(bottom - top)), "white")
        ImageDraw.Draw(tile).text((-left, -top), text, fill="black", font=font)
        turned = tile.rotate(90, expand=True)
        corner = (round(at[0] * _SCALE - turned.width / 2), round(at[1] * _SCALE - turned.height / 2))
        self._picture.paste(turned, corner)

    def mark(self, at: Point, number: int, radius: float, *, outlined: bool) -> None:
        """The sign of series `number`, counted from 0: a colour and a shape."""
        corners, first, size = _SHAPES[number // len(_COLOURS) % len(_SHAPES)]
        turns = [math.radians(360 / corners * corner + first) for corner in range(corners)]
        reach = radius * size * _SCALE
        ring = [(at[0] * _SCALE + reach * math.cos(t), at[1] * _SCALE + reach * math.sin(t)) for t in turns]
        colour = _COLOURS[number % len(_COLOURS)]
        self._draw.polygon(ring, fill=colour, outline="black" if outlined else None, width=3 if outlined else 1)


def _along(start: Point, end: Point, share: float) -> Point:
    return tuple((a + share * (b - a)) * _SCALE for a, b in zip(start, end, strict=True))  # type: ignore[return-value]


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # with a size it is one
    return font


def text_size(text: str, size: int = 15) -> Point:
    """Width and height of a line of text."""
    left, top, right, bottom = _font(size).getbbox(text.translate(_LATIN))
    return right - left, bottom - top


def around(at: Point, half_width: float, half_height: float) -> Box:
    """The box with its middle at `at`."""
    return at[0] - half_width, at[1] - half_height, at[0] + half_width, at[1] + half_height


def overlap(a: Box, b: Box) -> bool:
    """Whether two boxes share some area."""
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place_label(at: Point, size: Point, distance: float, taken: Sequence[Box], frame: Box) -> Box:
    """A free box for a label of `size` (width, height) near `at`, inside `frame`: the nearest found.

    Args: `distance` from `at` that it keeps at least; boxes that are taken. Returns: the nearest within the frame, free
        or not, where none is free.
    """
    candidates = []
    for reach in (3, 10, 18, 28, 40, 54, 70, 88):
        for turn in range(16):
            angle = math.radians(22.5 * turn - 45)  # the first to the upper right
            away = (reach + distance + size[0] / 2, reach + distance + size[1] / 2)
            centre = (at[0] + away[0] * math.cos(angle), at[1] + away[1] * math.sin(angle))
            candidates.append(around(centre, size[0] / 2 + 1, size[1] / 2 + 1))
    inside = [
        box
        for box in candidates
        if frame[0] <= box[0] and frame[1] <= box[1] and box[2] <= frame[2] and box[3] <= frame[3]
    ]
    free = (box for box in inside if not any(overlap(box, other) for other in taken))
    return next(free, (inside or candidates)[0])
