"""The disparity and depth that came with a rig: in which codec, and what they say."""

from pathlib import Path

import numpy as np

from preprocessing.ground import (
    DISPARITY_SCALE,
    KITTI_DISPARITY,
    NAMED_DISPARITY,
    Bool,
    Float32,
    Frame,
    InputError,
    MapCodec,
    read_grey_or_index,
    read_map,
)
from preprocessing.sets.calibration import read_calibration


def disparity_codec(root: Path, camera: Path | None) -> MapCodec:
    """How a frame's own disparity is stored: as its calibration file says, else calibration.json under `root`; KITTI's
    way (p / 256, 0 = invalid) where neither does.
    """
    for path in (camera, root / "calibration.json"):
        if path is not None and path.suffix == ".json" and path.exists():
            codec = read_calibration(path).codec
            if codec is not None:
                return codec
    return KITTI_DISPARITY


def depth_codec(root: Path, frame: Frame) -> MapCodec | None:
    """How a sensor's own depth/ is stored, as the same files say; None where neither does."""
    for path in (frame.camera, root / "calibration.json"):
        if path is not None and path.suffix == ".json" and path.exists():
            codec = read_calibration(path).depth_codec
            if codec is not None:
                return codec
    return None


def read_truth(root: Path, frame: Frame) -> tuple[Float32, Bool]:
    """Read the disparity that came with a frame of the set under `root`: float32 [H, W] px, bool [H, W] validity.

    Its codec is KITTI's (p / 256, 0 = invalid), or what `disparity_codec` in its calibration says; files of floats hold
    pixels. Raises: InputError naming a file that cannot be read, or has 8 bits and no stated codec.
    """
    assert frame.disparity is not None
    return read_disparity_map(frame.disparity, disparity_codec(root, frame.camera))


def read_disparity_map(path: Path, codec: MapCodec) -> tuple[Float32, Bool]:
    """Read a disparity stored in `codec`. Raises: as `read_truth`."""
    if codec is KITTI_DISPARITY and path.suffix.lower() == ".png":
        return read_kitti_disparity(path)
    stored = read_map(path)
    if stored.dtype == np.uint8 and codec in NAMED_DISPARITY.values():
        raise InputError(f"{path}: a disparity file has 16 bits, this one has {stored.dtype}; take the original PNG")
    if stored.dtype.kind == "f" and codec is KITTI_DISPARITY:
        codec = MapCodec("disparity")  # nobody stated it, and pixels need no scale
    return codec.decode(stored)


def read_kitti_disparity(path: Path) -> tuple[Float32, Bool]:
    """Read a KITTI disparity PNG: p = 0 is invalid, else d = p / 256 px. Returns float32 and bool [H, W].

    Raises: InputError: Missing, truncated, or not a 16-bit picture of one channel.
    """
    stored = read_grey_or_index(path)
    if stored.dtype != np.uint16:
        raise InputError(f"{path}: a disparity file has 16 bits, this one has {stored.dtype}; take the original PNG")
    return stored.astype(np.float32) / np.float32(DISPARITY_SCALE), stored > 0
