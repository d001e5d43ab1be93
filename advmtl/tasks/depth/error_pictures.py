"""The stated error of depth for the eye and as a file; imports no torch."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.pictures import CAPTION_HEIGHT, RGB, dark, panel, put_text

ERROR_SCALE = 10_000
"""Of the stored error: a PNG of 16 bits holds error x 10000, 0 = unknown, 65535 = 6.5535 or more."""
ERROR_TEXT = {"Description": f"expected relative error of depth x {ERROR_SCALE}, 0 = unknown"}
_RANGE = (0.01, 1.0)  # what is drawn, on a logarithmic scale
_TICKS = (0.01, 0.03, 0.1, 0.3, 1.0)


def error_code(error: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Relative errors `[H,W]` as they are stored; what is not finite is unknown."""
    known = np.isfinite(error)
    code = np.clip(np.rint(np.where(known, error, 0) * ERROR_SCALE), 1, 65535)
    return np.where(known, code, 0).astype(np.uint16)


@lru_cache(maxsize=1)
def _colours() -> RGB:
    ramp = np.arange(256, dtype=np.uint8)[None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, cv2.COLORMAP_VIRIDIS)[0, :, ::-1])


def color_error(error: NDArray[np.floating[Any]]) -> RGB:
    """Draw relative errors `[H,W]` on a logarithmic scale, 1 % dark to 100 % bright; 0 and NaN black."""
    known = error > 0  # NaN is not
    share = np.log(np.clip(np.where(known, error, 1), *_RANGE) / _RANGE[0]) / np.log(_RANGE[1] / _RANGE[0])
    colors = _colours()[np.rint(255 * share).astype(np.uint8)]
    colors[~known] = 0
    return colors


def error_legend(height: int, width: int = 44) -> RGB:
    """A vertical bar of the colours of `color_error` with ticks in percent."""
    legend = dark(height, width)
    legend[:, :10] = color_error(np.geomspace(*_RANGE[::-1], height)[:, None])
    for tick in _TICKS:
        row = round((height - 1) * np.log(_RANGE[1] / tick) / np.log(_RANGE[1] / _RANGE[0]))
        legend[row, 10:14] = 255
        put_text(legend, f"{tick:.0%}", (15, int(np.clip(row + 4, 9, height - 3))), 0.32)
    return legend


def error_row(
    image: RGB,
    truth_m: NDArray[np.floating[Any]] | None,
    depth_m: NDArray[np.floating[Any]],
    error: NDArray[np.floating[Any]],
    max_m: float,
) -> RGB:
    """The row `image | measured error | expected error | legend` of a frame; measured where the truth is nearer than
    `max_m`.
    """
    measured = None
    if truth_m is not None:
        valid = (truth_m > 0) & (truth_m < max_m)
        off = np.abs(np.where(np.isfinite(depth_m), depth_m, 0) - np.where(valid, truth_m, 1))
        # What is exact is drawn as the least error, not as unknown.
        measured = color_error(np.where(valid, np.maximum(off / np.where(valid, truth_m, 1), 1e-6), 0))
    stated = color_error(np.where(np.isfinite(depth_m), error, np.nan))  # what has no distance has none to be wrong
    legend = error_legend(len(image) + CAPTION_HEIGHT)
    return panel(image, (measured, "|error| / depth, measured"), (stated, "expected error"), legend, "error")
