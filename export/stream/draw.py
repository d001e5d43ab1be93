"""One picture of a result: the frame under its classes, beside it depth with its scale in metres, and instances."""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.drawing.instance_colors import color_instances, color_offsets, longest_offset
from advmtl.drawing.visualize import color_depth, overlay
from export.graph.metadata import OFFSETS, Metadata
from export.session.session import Result, add_instances

Picture = NDArray[np.uint8]

PANEL_WIDTH = 512  # smaller networks are drawn enlarged, by a whole factor, so that the text is readable
OVERLAY = 0.55
ROW = 18
MARGIN = 6
FONT, FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.4
BACKGROUND, INK = 24, (235, 235, 235)
TICKS_M = (0.5, 1, 2, 3, 5, 10, 20, 30, 50, 80, 100, 150, 200, 300, 500)


def _text(picture: Picture, text: str, x: int, baseline: int) -> None:
    cv2.putText(picture, text, (x, baseline), FONT, FONT_SCALE, INK, 1, cv2.LINE_AA)


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0])


def class_legend(names: tuple[str, ...], palette: Picture, width: int) -> Picture:
    """A strip `[h, width, 3]` of colour chips with their class names, in as many rows as they need."""
    places, x, row = [], MARGIN, 0
    for name in names:
        needed = ROW + _width(name) + 2 * MARGIN
        if x > MARGIN and x + needed > width:
            x, row = MARGIN, row + 1
        places.append((x, row))
        x += needed
    strip = np.full((2 * MARGIN + ROW * (row + 1), width, 3), BACKGROUND, dtype=np.uint8)
    for name, colour, (x, row) in zip(names, palette, places, strict=True):
        top = MARGIN + row * ROW
        strip[top + 3 : top + ROW - 3, x : x + ROW - 6] = colour
        _text(strip, name, x + ROW - 2, top + ROW - 5)
    return strip


def depth_scale(range_m: tuple[float, float], width: int) -> Picture:
    """A strip `[h, width, 3]` with the colours of the depth panel and their depth in metres."""
    strip = np.full((2 * MARGIN + 2 * ROW, width, 3), BACKGROUND, dtype=np.uint8)
    unit = "m"
    left, right = 3 * MARGIN, width - 5 * MARGIN - _width(unit)
    logs = np.linspace(math.log(range_m[0]), math.log(range_m[1]), right - left)
    strip[MARGIN : MARGIN + ROW - 4, left:right] = color_depth(np.exp(logs, dtype=np.float32)[None], *range_m)
    end = -MARGIN
    for metres in TICKS_M:
        share = math.log(metres / range_m[0]) / math.log(range_m[1] / range_m[0])
        label = f"{metres:g}"
        x = left + round(share * (right - left))
        start = x - _width(label) // 2
        if 0 <= share <= 1 and start > end + MARGIN:
            strip[MARGIN + ROW - 4 : MARGIN + ROW, min(x, right - 1)] = INK
            _text(strip, label, start, MARGIN + 2 * ROW - 4)
            end = start + _width(label)
    _text(strip, unit, right + 3 * MARGIN, MARGIN + 2 * ROW - 4)
    return strip


def instance_note(things: tuple[str, ...], longest_px: float, width: int) -> Picture:
    """A strip `[h, width, 3]` that says what the colours of the instance panel mean."""
    lines = ("instances, a colour each, of", ", ".join(things))
    if not things:
        lines = (
            "offset from the instance's centre:",
            f"hue is direction, brightness length, full at {longest_px:.0f} px",
        )
    strip = np.full((2 * MARGIN + 2 * ROW, width, 3), BACKGROUND, dtype=np.uint8)
    for number, line in enumerate(lines, start=1):
        _text(strip, line, MARGIN, MARGIN + number * ROW - 5)
    return strip


def _even(picture: Picture) -> Picture:
    """Pad to even sides: the video's chroma has half resolution."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=BACKGROUND)


class Painter:
    """Draws the frames of one model; legend and scale are drawn once. All its pictures have one size."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata
        self.factor = max(1, round(PANEL_WIDTH / metadata.size[0]))
        width = self.factor * metadata.size[0]
        strips = []
        if metadata.class_names:
            strips.append(class_legend(metadata.class_names, metadata.colours, width))
        if metadata.depth_range_m is not None:
            strips.append(depth_scale(metadata.depth_range_m, width))
        self.longest_px = longest_offset(metadata.size[0])
        if OFFSETS in metadata.outputs:
            things = tuple(metadata.class_names[thing] for thing in metadata.things)
            strips.append(instance_note(things, self.longest_px, width))
        height = max(len(strip) for strip in strips)
        self.footer = np.hstack(
            [np.pad(strip, ((0, height - len(strip)), (0, 0), (0, 0)), constant_values=BACKGROUND) for strip in strips]
        )

    def paint(self, image: Picture, result: Result) -> Picture:
        """Draw `result` beside its frame at network size, uint8 `[h, w, 3]` RGB, with the legends below."""
        panels = []
        if result.classes is not None:
            panels.append(overlay(image, result.classes, self.metadata.colours, OVERLAY))
        if result.depth_m is not None:
            assert self.metadata.depth_range_m is not None
            panels.append(color_depth(result.depth_m, *self.metadata.depth_range_m))
        if result.offsets_px is not None:
            found = result if result.instances is not None else add_instances(result, self.metadata.things)
            panels.append(
                color_offsets(result.offsets_px, self.longest_px)  # without classes there are no instances
                if found.instances is None
                else color_instances(image, found.instances)
            )
        row = np.hstack(panels)
        if self.factor > 1:
            size = (self.factor * row.shape[1], self.factor * row.shape[0])
            row = np.asarray(cv2.resize(row, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        return _even(np.vstack([row, self.footer]))
