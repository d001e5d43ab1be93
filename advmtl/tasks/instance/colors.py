"""Colours of the instance task: offsets on a colour wheel, one colour per instance. NumPy and OpenCV alone."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.instance.grouping import IGNORED_INSTANCE, OFFSET_UNIT_PER_WIDTH
from advmtl.tasks.pictures import RGB, dark, put_text

# Share of a turn from one hue to the next: the golden one keeps any number of neighbours apart.
GOLDEN_TURN = 0.6180339887498949


def longest_offset(width: int) -> float:
    """The length [px] drawn at full brightness in a picture of this width."""
    return 3 * OFFSET_UNIT_PER_WIDTH * width


def color_offsets(offsets: NDArray[np.floating[Any]], longest: float) -> RGB:
    """Draw offsets dy, dx `[2,H,W]` [px]: hue is their direction, right red, down yellow-green; a centre and NaN are
    black.

    Brightness grows with the length and is full at `longest` [px].
    """
    dy, dx = (np.nan_to_num(np.asarray(one, dtype=np.float32), posinf=0, neginf=0) for one in offsets)
    turn = np.mod(np.arctan2(dy, dx) / (2 * np.pi), 1)
    share = np.clip(np.hypot(dy, dx) / longest, 0, 1)
    hsv = np.stack([turn * 360, np.full_like(turn, 0.85), np.sqrt(share)], axis=-1)
    return _from_hsv(hsv)


def color_instances(image: RGB, ids: NDArray[np.integer[Any]], opacity: float = 0.65) -> RGB:
    """Lay a colour for every instance of `ids` `[H,W]` (0 = none, 65535 = ignored) over the dimmed image.

    Equal ids have equal colours in all pictures; ids that follow each other have hues far apart.
    """
    numbers = np.asarray(ids, dtype=np.int64)
    hsv = np.zeros((*numbers.shape, 3), dtype=np.float32)
    hsv[..., 0] = np.mod(numbers * GOLDEN_TURN, 1) * 360
    hsv[..., 1] = np.where(numbers % 2, 0.95, 0.6)
    hsv[..., 2] = np.where(numbers % 3, 1.0, 0.75)
    colors = _from_hsv(hsv).astype(np.float32)
    inside = ((numbers > 0) & (numbers != IGNORED_INSTANCE))[..., None]
    drawn = np.where(inside, (1 - opacity) * image + opacity * colors, 0.5 * image)
    drawn[_outline(numbers) & inside[..., 0]] = 255
    return np.rint(drawn).astype(np.uint8)


def offset_legend(height: int, longest: float, width: int = 104) -> RGB:
    """The wheel that `color_offsets` draws with, and the length of its rim in pixels."""
    legend = dark(height, width)
    radius = max(4, min(width, height - 24) // 2 - 4)
    places = np.mgrid[-radius : radius + 1, -radius : radius + 1].astype(np.float32)
    wheel = color_offsets(places * np.float32(longest / radius), longest)
    wheel[np.hypot(*places) > radius] = 24
    top, left = 4, (width - 2 * radius - 1) // 2
    legend[top : top + 2 * radius + 1, left : left + 2 * radius + 1] = wheel
    put_text(legend, f"rim {longest:.0f} px", (8, height - 6), 0.34)
    return legend


def _outline(ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pixels whose right or lower neighbour is of another instance."""
    edge = np.zeros(ids.shape, dtype=bool)
    edge[:, :-1] |= ids[:, :-1] != ids[:, 1:]
    edge[:-1] |= ids[:-1] != ids[1:]
    return edge


def _from_hsv(hsv: NDArray[np.float32]) -> RGB:
    rgb = cv2.cvtColor(np.ascontiguousarray(hsv, dtype=np.float32), cv2.COLOR_HSV2RGB)
    return np.rint(255 * rgb).astype(np.uint8)
