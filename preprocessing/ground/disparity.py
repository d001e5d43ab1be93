"""Disparity maps in files: the 16-bit PNG codec of Cityscapes.

Every map is float32 [H, W] in px at its own width, with a bool [H, W] that says where it means anything.
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, write_png

DISPARITY_SCALE = 256
MAX_STORED_PX = (65535 - 1) / DISPARITY_SCALE
"""The largest disparity that the codec can hold: 255.992 px."""


Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


def read_disparity(path: Path) -> tuple[Float32, Bool]:
    """Read a Cityscapes disparity PNG: p = 0 is invalid, else d = (p - 1) / 256.

    p = 1 is a valid match at d = 0, infinitely far: mask it before dividing (`depth.disparity_to_depth`
    does).

    Raises:
        InputError: Missing, truncated, or not a 16-bit picture of one channel.
    """
    stored = read_grey_or_index(path)
    if stored.dtype != np.uint16:
        raise InputError(f"{path}: a disparity file has 16 bits, this one has {stored.dtype}; take the original PNG")
    valid = stored > 0
    return (np.maximum(stored, 1) - 1).astype(np.float32) / np.float32(DISPARITY_SCALE), valid


def read_own_disparity(path: Path, doffs_px: float) -> tuple[Float32, Bool]:
    """Read a disparity that `preprocess` wrote: d [px], which is negative for far things where doffs_px > 0.

    A file whose text says so holds d + doffs_px, counted from infinity on; without, it holds d, as all did before.

    Args:
        doffs_px: `Camera.doffs_px` at this width.

    Raises:
        InputError: As `read_disparity`, or the file was made for another doffs_px.
    """
    from PIL import Image  # a vehicle has none

    disparity, valid = read_disparity(path)
    with Image.open(path) as image:
        said = image.info.get("doffs_px")
    if said is None:
        return disparity, valid
    if abs(float(said) - doffs_px) > 1e-6 * max(1.0, abs(doffs_px)):
        raise InputError(
            f"{path}: was made with doffs_px {said}, and the camera now has {doffs_px:g}; preprocess again"
        )
    return np.where(valid, disparity - np.float32(doffs_px), np.float32(0)).astype(np.float32), valid


def write_disparity(path: Path, disparity: Float32, valid: Bool, text: dict[str, str] | None = None) -> None:
    """Write disparity [H, W] in px as a 16-bit Cityscapes PNG, p = round(256 d) + 1 and 0 where invalid,
    atomically; `text` goes into its text chunks.

    Raises:
        ValueError: A valid disparity is negative, not finite, or beyond 255.992 px.
    """
    least, greatest, _, _ = cv2.minMaxLoc(disparity, mask=valid.astype(np.uint8))
    if not (least >= 0 and greatest <= MAX_STORED_PX and np.isfinite(disparity[valid].sum())):
        raise ValueError(f"disparity must be within 0..{MAX_STORED_PX:.3f} px; it spans {least}..{greatest}")
    # Times a power of two: exact in float32. Cut off after adding a half: rounded.
    stored = (np.where(valid, disparity, np.float32(0)) * np.float32(DISPARITY_SCALE) + np.float32(1.5)).astype(
        np.uint16
    )
    stored *= valid
    write_png(
        path, stored, {"unit": "px", "scale": str(DISPARITY_SCALE), "offset": "1", "invalid": "0", **(text or {})}
    )
