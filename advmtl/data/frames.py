"""Frames of a data source: where their files are, reading them, listing the bad ones."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from advmtl.data.augment import Arrays, Size
from advmtl.tasks.grouping import map_instances
from preprocessing.ground import (
    IGNORE,
    TRAILERS,
    Frame,
    InputError,
    disparity_to_depth,
    lookup_table,
    map_labels,
    read_depth,
    read_depth_clip,
    read_grey_or_index,
    read_image,
    resize_nearest,
)
from preprocessing.sets import CITYSCAPES, Layout

# 16-bit depth is 1/256 m apart.
CLIP_TOLERANCE_M = 1 / 512


@dataclass(frozen=True)
class FrameRecord:
    """Where one frame's files are. A label that the frame lacks is None; `depth` [m] goes before `disparity`
    [px]. `layout` says how the latter and the camera of `frame` are read.
    """

    name: str
    image: Path
    ids: str
    classes: str
    source: int = 0
    labels: Path | None = None
    depth: Path | None = None
    disparity: Path | None = None
    instances: Path | None = None
    frame: Frame | None = None
    layout: Layout = CITYSCAPES

    @property
    def has_labels(self) -> bool:
        """Whether the frame has a class map."""
        return self.labels is not None

    @property
    def has_depth(self) -> bool:
        """Whether the frame has depth, prepared or from the set's own disparity."""
        return self.depth is not None or self.disparity is not None

    def has(self, task: str) -> bool:
        """Whether the frame has the label of a task."""
        return {
            "segmentation": self.has_labels,
            "depth": self.has_depth,
            "instance": self.instances is not None,
        }[task]


@dataclass(frozen=True)
class BadFrame:
    """A frame that is left out, and why (one line naming the file)."""

    name: str
    reason: str


def load_frame(record: FrameRecord, size: Size) -> Arrays:
    """Read one frame at network size: image area-averaged (or bilinear when growing), labels and depth
    nearest.

    A label the frame lacks is all 255, a missing depth all 0, missing instances None. Depth is in metres and
    not yet clipped.
    Raises: InputError naming the file that is missing, truncated, of another size or holds unknown ids.
    """
    image = read_image(record.image)
    shape = image.shape[:2]
    labels = np.full((size[1], size[0]), IGNORE, dtype=np.uint8)
    depth = np.zeros((size[1], size[0]), dtype=np.float32)
    if record.labels is not None:
        labels = resize_nearest(_read_labels(record, shape), size)
    if record.has_depth:
        depth = resize_nearest(_read_depth(record, shape), size)
    instances = None
    if record.instances is not None:
        instances = resize_nearest(_read_instances(record.instances, shape), size)
    if shape != (size[1], size[0]):
        shrinking = size[0] <= shape[1] and size[1] <= shape[0]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
    return Arrays(image, labels, depth, instances)


@lru_cache(maxsize=8)
def _table(ids: str, classes: str) -> NDArray[np.uint8]:
    return lookup_table(ids, classes)


def _read_labels(record: FrameRecord, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    assert record.labels is not None
    raw = _same_size(read_grey_or_index(record.labels), shape, record.labels)
    return map_labels(raw, _table(record.ids, record.classes), record.labels)


def _read_instances(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    return map_instances(_same_size(read_grey_or_index(path), shape, path), path)


def _read_depth(record: FrameRecord, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if record.depth is not None:
        depth = _same_size(read_depth(record.depth), shape, record.depth)
        clip = read_depth_clip(record.depth)
        # At the clip the true depth is unknown but far: it must stay far under any zoom, and no metric may count it.
        return depth if clip is None else np.where(depth >= clip - CLIP_TOLERANCE_M, np.float32(np.inf), depth)
    assert record.disparity is not None and record.frame is not None
    disparity, valid = record.layout.read_disparity(record.disparity)
    _same_size(disparity, shape, record.disparity)
    # The disparity is in pixels of the stored picture, as the camera's focal length is: neither is scaled.
    camera = record.layout.read_camera(record.frame, (shape[1], shape[0]))
    # Not clipped here: metrics mask by the true depth, and training clips after the zoom.
    return disparity_to_depth(disparity, valid, camera, max_depth_m=np.inf)


def _same_size(array: NDArray[Any], shape: tuple[int, ...], path: Path) -> NDArray[Any]:
    if array.shape[:2] != tuple(shape):
        raise InputError(
            f"{path}: is {array.shape[1]}x{array.shape[0]} px, its image {shape[1]}x{shape[0]} px; they must agree"
        )
    return array


def check_frames(records: Sequence[FrameRecord], *, threads: int = 4) -> tuple[list[FrameRecord], list[BadFrame]]:
    """Split frames into good ones and bad ones, without decoding pictures or depth.

    Each file must be there, open as an image, be whole to its last bytes and have its image's size; label
    files are decoded, because an unknown id shows only there. Costs about 1 ms a frame at 512×256.
    """
    with ThreadPoolExecutor(max_workers=threads) as pool:
        reasons = list(pool.map(_fault, records))
    good = [record for record, reason in zip(records, reasons, strict=True) if reason is None]
    bad = [BadFrame(record.name, reason) for record, reason in zip(records, reasons, strict=True) if reason is not None]
    return good, bad


def _fault(record: FrameRecord) -> str | None:
    try:
        shape = _check_file(record.image)
        if record.labels is not None:
            _check_file(record.labels)
            _read_labels(record, shape)
        if record.instances is not None:
            _check_file(record.instances)
            _read_instances(record.instances, shape)
        for path in (record.depth, record.disparity):
            if path is not None and _check_file(path) != shape:
                raise InputError(f"{path}: its size differs from the image's, {shape[1]}x{shape[0]} px")
        if record.disparity is not None and record.frame is not None:
            record.layout.read_camera(record.frame, (shape[1], shape[0]))
    except InputError as error:
        return str(error)
    return None


def _check_file(path: Path) -> tuple[int, int]:
    """Height and width of a whole image file, from its header and its last bytes."""
    try:
        with Image.open(path) as image:
            (width, height), trailer = image.size, TRAILERS.get(image.format or "", b"")
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 64))
            tail = file.read()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: not a readable image ({error}); replace the file") from None
    # A JPEG may carry a camera's own data behind its end.
    if trailer not in tail and (path.suffix.lower() == ".png" or trailer not in path.read_bytes()):
        raise InputError(f"{path}: the file is truncated; replace it")
    return height, width
