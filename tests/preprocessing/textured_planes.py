"""Stereo pairs of textured planes at any disparity, whole or not, also below 0, as of cameras that converge."""

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int, float]
"""Columns and rows in the left picture (x0, y0, x1, y1), disparity [px]."""


def planes(size: tuple[int, int], back: float, boxes: tuple[Box, ...] = (), seed: int = 1) -> tuple[UInt8, UInt8]:
    """Left and right RGB picture of a wall at `back` px, with boxes before it; left pixel x is right pixel x - d."""
    (width, height), margin = size, 320
    left, right = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    parts = [(0, 0, width, height, back), *sorted(boxes, key=lambda box: box[4])]
    for number, (x0, y0, x1, y1, d) in enumerate(parts):
        texture = _texture(height, width + 2 * margin, seed * 100 + number)
        left[y0:y1, x0:x1] = texture[y0:y1, margin + x0 : margin + x1]
        seen = (x + d >= x0) & (x + d < x1) & (y >= y0) & (y < y1) if number else np.ones((height, width), bool)
        right[seen] = cv2.remap(texture, x + np.float32(margin + d), y, cv2.INTER_CUBIC)[seen]
    # Nothing is black: that is the colour of borders.
    one, other = (np.repeat(a.clip(12, 255).astype(np.uint8)[..., None], 3, axis=2) for a in (left, right))
    return one, other


def _texture(height: int, width: int, seed: int) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.2)
    return np.asarray((smooth - smooth.mean()) / smooth.std() * 45 + 120, np.float32)
