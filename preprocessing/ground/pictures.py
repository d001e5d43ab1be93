"""Resizing, normalising and checking images and maps for networks. NumPy and OpenCV alone.

Training and the deployed model resize by the same functions: a difference between the two would cost accuracy that no
test of either shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError
from preprocessing.ground.headers import read_header

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Statistics of RGB in 0..1 that torchvision's weights were learnt with."""

T = TypeVar("T", bound=np.generic)


def resize_image(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Bring a picture `[H, W, 3]` to `size` = (width, height); one that has it is handed back as it is.

    By area where both sides shrink, so that thin things do not alias away; bilinear otherwise. One of another aspect is
    stretched.
    """
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    shrinks = size[0] <= width and size[1] <= height
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)


def resize_nearest(array: npt.NDArray[T], size: tuple[int, int]) -> npt.NDArray[T]:
    """Resize labels, validity or depth `[H, W]` to `size` = (width, height), taking the value of the nearest pixel
    centre.

    Values are never mixed: a mean of two class ids, or of a car's depth and the wall's behind it, is neither.
    """
    width, height = size
    rows = _nearest_index(array.shape[0], height)
    columns = _nearest_index(array.shape[1], width)
    # Columns first where that leaves less for the other: several times faster than both at once.
    if width * array.shape[0] <= height * array.shape[1]:
        return np.ascontiguousarray(array.take(columns, axis=1).take(rows, axis=0))
    return np.ascontiguousarray(array.take(rows, axis=0).take(columns, axis=1))


def _nearest_index(old: int, new: int) -> npt.NDArray[np.intp]:
    # Pixel centres: (i + 0.5) * old / new. Integers, so that no rounding of floats decides.
    return ((2 * np.arange(new) + 1) * old // (2 * new)).astype(np.intp)


def denormalize(image: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Undo the ImageNet normalisation: float `[3, H, W]` to RGB uint8 `[H, W, 3]`."""
    deviation, mean = (np.array(values, dtype=np.float32) for values in (IMAGENET_STD, IMAGENET_MEAN))
    pixels = image.transpose(1, 2, 0) * deviation + mean
    return np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8)


def same_size(array: npt.NDArray[T], shape: tuple[int, ...], path: Path) -> npt.NDArray[T]:
    """The map itself. Raises: InputError naming `path` where it is not of its picture's `shape` (height, width)."""
    if array.shape[:2] != tuple(shape):
        raise InputError(
            f"{path}: is {array.shape[1]}x{array.shape[0]} px, its image {shape[1]}x{shape[0]} px; they must agree"
        )
    return array


def picture_shape(path: Path) -> tuple[int, int]:
    """Height and width of a whole picture file: see `picture_header`."""
    return picture_header(path)[0]


def picture_header(path: Path) -> tuple[tuple[int, int], str]:
    """Height and width of a whole picture file, and Pillow's name of its pixels ("L", "RGB", "I;16", …), from its
    header and its last bytes.

    Raises: InputError naming a file that is missing, truncated or no picture.
    """
    header = read_header(path)
    return header.shape, header.mode
