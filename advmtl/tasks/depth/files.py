"""Depth from files of any kind and scale, in metres."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.record import FrameRecord
from preprocessing.ground import (
    DEPTH_SCALE,
    Camera,
    InputError,
    MapCodec,
    disparity_to_depth,
    map_header,
    read_depth_clip,
    read_map,
    same_size,
)
from preprocessing.sets import read_calibration, read_disparity_map

# 16-bit depth is 1/256 m apart.
CLIP_TOLERANCE_M = 1 / (2 * DEPTH_SCALE)
_MARKS = 8  # about so many files are asked who wrote them
_WHAT = f"depth file has 16 bits (metres * {DEPTH_SCALE})"
_OURS = MapCodec()


def check_files(record: FrameRecord, shape: tuple[int, int]) -> None:
    """Raise InputError where the depth or disparity of a picture of this `shape` cannot be read, by its header alone
    where the kind of file allows.
    """
    codec, stated = depth_codec(record)
    for what, path, free in (
        (_WHAT, record.depth, stated),
        ("disparity file has 16 bits", record.disparity, stated and codec.kind == "disparity"),
    ):
        if path is None:
            continue
        own, stored = map_header(path)
        if own != shape:
            raise InputError(f"{path}: its size differs from the image's, {shape[1]}x{shape[0]} px")
        _check_type(path, what, stored, free)
    if record.disparity is not None or (record.depth is not None and codec.kind == "disparity"):
        _camera(record, shape)


def _check_type(path: Path, what: str, stored: str, free: bool) -> None:
    """Raise InputError for numbers that no depth of an unstated scale is stored as; `free`: its scale is stated."""
    if stored != "uint16" and not stored.startswith("float") and not (free and stored.lstrip("u").startswith("int")):
        hint = "; the source's depth.scale states another" if what.startswith("depth") else ""
        raise InputError(f"{path}: a {what}, this one is {stored}{hint}")


def depth_codec(record: FrameRecord) -> tuple[MapCodec, bool]:
    """What the numbers in a frame's depth file mean, and whether somebody states it: the source, the set's layout for
    the depth that it is published with, or the calibration of a rig for a sensor's own depth/. Otherwise metres × 256,
    or metres in files of floats.
    """
    if record.depth_codec is not None:
        return record.depth_codec, True
    if record.frame is not None and record.depth is not None and record.depth == record.frame.lidar:
        return record.layout.truth, record.layout.truth != _OURS
    if record.frame is not None and record.depth is not None and record.depth == record.frame.depth:
        told = record.layout.depth_codec(record.frame)
        if told is not None:
            return told, True
    return _OURS, False


def read_metres(record: FrameRecord, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Metres `[H,W]` at the size of the picture, 0 = invalid, infinite where it is only known to be far."""
    codec, stated = depth_codec(record)
    if record.depth is None:
        return _of_own_disparity(record, shape, codec)
    stored = same_size(read_map(record.depth), shape, record.depth)
    _check_type(record.depth, _WHAT, str(stored.dtype), stated)
    clip = read_depth_clip(record.depth) if record.depth.suffix == ".png" else None
    quantity, valid = (_OURS if clip is not None else codec).decode(stored)  # ours say what they are, whoever says else
    if clip is not None:
        # At the clip the true depth is unknown but far: it must stay far under any zoom, and no metric may count it.
        return np.where(quantity >= clip - CLIP_TOLERANCE_M, np.float32(np.inf), quantity)
    if codec.kind == "disparity":
        return disparity_to_depth(quantity, valid, _camera(record, shape), max_depth_m=np.inf)
    return np.divide(1, quantity, out=np.zeros_like(quantity), where=valid) if codec.kind == "inverse" else quantity


def _of_own_disparity(record: FrameRecord, shape: tuple[int, int], codec: MapCodec) -> NDArray[np.float32]:
    assert record.disparity is not None
    if codec.kind == "disparity" or record.frame is None:
        disparity, valid = read_disparity_map(record.disparity, codec)
    else:
        disparity, valid = record.layout.read_disparity(record.frame)
    same_size(disparity, shape, record.disparity)
    # The disparity is in pixels of the stored picture, as the camera's focal length is: neither is scaled.
    # Not clipped here: metrics mask by the true depth, and training clips after the zoom.
    return disparity_to_depth(disparity, valid, _camera(record, shape), max_depth_m=np.inf)


def _camera(record: FrameRecord, shape: tuple[int, int]) -> Camera:
    """The camera that a frame's disparity is behind: of the stereo set, or as the source tells it.

    Raises: InputError where nobody tells the baseline.
    """
    size, told = (shape[1], shape[0]), record.told_lens
    if record.frame is not None:
        return record.layout.read_camera(record.frame, size)
    if told is not None and told.camera is not None:
        return read_calibration(told.camera).at(size)
    if told is not None and record.baseline_m is not None:
        lens = told.at(size)
        return Camera(record.baseline_m, lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px)
    raise InputError(
        f"{record.depth or record.disparity}: a disparity needs its camera; give the source camera=FILE with the "
        "baseline, or depth.baseline_m and fx_px"
    )


def unmarked_files(records: Sequence[FrameRecord]) -> list[str]:
    """A line where depth of a stereo set, which `preprocess` should have written, does not say that it did, and nobody
    states what its numbers mean.
    """
    made = [one for one in records if one.frame is not None and one.depth is not None and one.depth == one.frame.depth]
    asked = made[:: max(1, len(made) // _MARKS)]
    without = [
        one.depth for one in asked if one.depth and not depth_codec(one)[1] and read_depth_clip(one.depth) is None
    ]
    if not without:
        return []
    return [
        f"{without[0]}: does not say that preprocess wrote it, and is read as metres x {DEPTH_SCALE}; is it of another "
        "scale? State it (depth.unit=mm of the source, depth_codec in calibration.json); preprocess --out writes depth "
        "elsewhere"
    ]
