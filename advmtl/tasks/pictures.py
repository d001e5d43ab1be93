"""Drawing shared by the tasks: captions, rows and stacks of pictures, strips of text; NumPy and OpenCV alone."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

RGB = NDArray[np.uint8]  # [H,W,3]
FONT = cv2.FONT_HERSHEY_SIMPLEX
BACKGROUND = 24
CAPTION_HEIGHT = 18
GAP = 2
ROW, MARGIN = 18, 6
"""Of a footer [px]: the height of a line of text, and what is left free around it."""
_INK, _FOOTER_SCALE = (235, 235, 235), 0.4


def dark(height: int, width: int) -> RGB:
    """An empty piece of the dark ground that legends are drawn on."""
    return np.full((height, width, 3), BACKGROUND, dtype=np.uint8)


def put_text(picture: RGB, text: str, origin: tuple[int, int], scale: float) -> None:
    """White text (ASCII) whose base line begins at `origin` (x, y)."""
    cv2.putText(picture, text, origin, FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def caption(picture: RGB, text: str) -> RGB:
    """The picture under a dark line of text (ASCII), which is made smaller where it would not fit."""
    bar = dark(CAPTION_HEIGHT, picture.shape[1])
    scale = 0.42
    width = cv2.getTextSize(text, FONT, scale, 1)[0][0]
    put_text(bar, text, (4, 13), scale * min(1.0, (picture.shape[1] - 8) / max(width, 1)))
    return np.vstack([bar, picture])


def row_of(pictures: Sequence[RGB]) -> RGB:
    """Pictures of one height side by side with a thin gap."""
    gap = dark(pictures[0].shape[0], GAP)
    return np.hstack([part for picture in pictures for part in (picture, gap)][:-1])


def stack(rows: Sequence[RGB]) -> RGB:
    """Rows below each other with a thin gap; narrower ones are filled up with dark grey."""
    width = max(row.shape[1] for row in rows)
    filled = [np.pad(row, ((0, GAP), (0, width - row.shape[1]), (0, 0)), constant_values=BACKGROUND) for row in rows]
    return np.vstack(filled)


def panel(image: RGB, truth: tuple[RGB | None, str], prediction: tuple[RGB, str], legend: RGB | None, what: str) -> RGB:
    """`image | truth | prediction | legend`, the pictures with their captions.

    Without a truth its field is empty, so that panels of frames with and without a label have one size; `what` names
    the map there. `legend` is as high as a picture with its caption.
    """
    drawn, words = truth
    true = caption(np.full_like(image, 60), f"{what}: no truth") if drawn is None else caption(drawn, words)
    pictures = [caption(image, "image"), true, caption(*prediction)]
    return row_of(pictures if legend is None else [*pictures, legend])


def footer_strip(rows: int, width: int) -> RGB:
    """A dark strip `[h, width, 3]` with room for so many lines of text."""
    return dark(2 * MARGIN + ROW * rows, width)


def footer_text(strip: RGB, text: str, x: int, baseline: int) -> None:
    """A line of a footer, from `x` on."""
    cv2.putText(strip, text, (x, baseline), FONT, _FOOTER_SCALE, _INK, 1, cv2.LINE_AA)


def footer_text_width(text: str) -> int:
    """Width of a line of a footer [px]."""
    return int(cv2.getTextSize(text, FONT, _FOOTER_SCALE, 1)[0][0])


def footer_tick(strip: RGB, x: int, top: int, bottom: int) -> None:
    """A mark on a scale, in the colour of the text."""
    strip[top:bottom, x] = _INK
