"""KITTI-360: data_2d_raw/<drive>/image_00/data_rect/, data_2d_semantics/train/<drive>/image_00/semantic/.

The rectified pair image_00, image_01; layout and lists of frames after the set's documentation (Liao, Xie and Geiger
2022). The fisheyes image_02, image_03 are not read.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path

from preprocessing.ground import (
    Bool,
    Camera,
    Float32,
    Frame,
    InputError,
    Listing,
    list_files,
    names_in,
)
from preprocessing.sets.calibration import read_calibration
from preprocessing.sets.frame_list import pick
from preprocessing.sets.layout import Layout
from preprocessing.sets.pairing import read_lines
from preprocessing.sets.rigs import in_split, output_path
from preprocessing.sets.strays import Strays, strays_in, unread

RAW, SEMANTICS = "data_2d_raw", "data_2d_semantics/train"
SPLITS = ("train", "val")
_CALIBRATION = "calibration/perspective.txt"
_LEFT, _RIGHT = "image_00", "image_01"


def is_kitti360(root: Path) -> bool:
    """Whether a folder has rectified pictures of KITTI-360's drives."""
    return bool(_drives(root))


def _drives(root: Path) -> list[str]:
    return sorted(one for one in names_in(root / RAW) or () if (root / RAW / one / _LEFT / "data_rect").is_dir())


def find_frames(root: Path, split: str | None) -> list[Frame]:
    """The frames, sorted by drive and number; `split`: train or val, by the set's own lists, or a drive.

    Raises: InputError where there are none, or no list of that split.
    """
    frames = [frame for drive in _drives(root) for frame in _of_drive(root, drive)]
    if not frames:
        raise InputError(f"{root / RAW}: no */{_LEFT}/data_rect/*.png in it; unpack KITTI-360's perspective images")
    if split in SPLITS:
        return _listed(root, split, frames)
    return frames if split is None else in_split(frames, root, split)


def _of_drive(root: Path, drive: str) -> list[Frame]:
    left, right = (list_files(root / RAW / drive / camera / "data_rect") for camera in (_LEFT, _RIGHT))
    labels = _labels(root, drive)
    prepared = list_files(root / "depth" / drive)
    camera = root / _CALIBRATION
    known = camera if camera.exists() else None
    return [
        Frame(
            name,
            "",
            drive,
            path,
            right.find(name),
            labels=labels.find(name),
            instances=None,  # numbered otherwise than Cityscapes': semantic id * 1000 + 0 is no instance here
            disparity=None,
            camera=known,
            depth=prepared.find(name),
        )
        for name, path in left.files.items()
    ]


def _labels(root: Path, drive: str) -> Listing:
    return list_files(root / SEMANTICS / drive / _LEFT / "semantic")


def _listed(root: Path, split: str, frames: Sequence[Frame]) -> list[Frame]:
    """The frames of a split: lines `data_2d_raw/DRIVE/image_00/data_rect/NUMBER.png data_2d_semantics/…`."""
    path = root / SEMANTICS / f"2013_05_28_drive_{split}_frames.txt"
    if not path.is_file():
        drives = ", ".join(dict.fromkeys(frame.city for frame in frames))
        raise InputError(
            f"{path}: no such file, and {split} is what it lists; unpack KITTI-360's semantics, or name a drive: "
            f"{drives}"
        )
    lines = [words for words in read_lines(path) if f"/{_RIGHT}/" not in words[0]]
    picked, missing = pick(path, lines, frames, lambda frame: (frame.key, frame.left))
    if missing:
        warnings.warn(missing, stacklevel=3)
    return picked


def read_camera(frame: Frame, size: tuple[int, int]) -> Camera:
    """The rectified camera of perspective.txt. Raises: InputError naming the file."""
    if frame.camera is None:
        raise InputError(f"{frame.left.parents[4] / _CALIBRATION}: no such file; unpack KITTI-360's calibrations")
    return read_calibration(frame.camera, (0, 1)).at(size)


def _no_disparity(frame: Frame) -> tuple[Float32, Bool]:
    raise InputError(f"{frame.left}: KITTI-360 has no disparity")


def _strays(root: Path, frames: Sequence[Frame]) -> list[Strays]:
    """Of the drives of these frames; labels are asked of the whole drive, for a split has a part of it."""
    found = []
    for drive in dict.fromkeys(frame.city for frame in frames):
        listing = list_files(root / RAW / drive / _LEFT / "data_rect")
        found += unread(listing)
        found += strays_in(root / SEMANTICS / drive / _LEFT / "semantic", set(listing.names))
    return found


KITTI360 = Layout(
    name="kitti360",
    find_frames=find_frames,
    read_camera=read_camera,
    read_disparity=_no_disparity,
    output_path=output_path,
    inputs=(RAW, "data_2d_semantics", "calibration"),
    find_strays=_strays,
    classes="kitti360",
    rectified=True,
)
