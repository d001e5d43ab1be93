"""Layouts of sets on disk: finding frames, reading the set's own files, naming outputs."""

import difflib
import os
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from preprocessing.ground import CITYSCAPES_DISPARITY, Bool, Camera, Float32, Frame, InputError, MapCodec
from preprocessing.sets import cityscapes, rigs
from preprocessing.sets.bags import is_bag
from preprocessing.sets.calibration import files_with, find_calibration
from preprocessing.sets.rig_files import LABELS, TRUTH
from preprocessing.sets.rigs import find_rig
from preprocessing.sets.strays import FindStrays, cityscapes_strays, rig_strays
from preprocessing.sets.truth import depth_codec, read_disparity_map, read_truth


def _no_codec(frame: Frame) -> MapCodec | None:
    """Of a layout whose calibration says nothing of depth."""
    return None


@dataclass(frozen=True)
class Layout:
    """One way of laying out a stereo set, as a value.

    Attributes:
        name: What messages call it.
        find_frames: (root, split or None) -> frames sorted by split and name. Raises InputError where there are none.
        read_camera: (frame, (width, height) of its left image [px]) -> its camera at that size. Raises InputError
            naming a garbled file, or a missing one where there is no default camera.
        read_disparity: Reads a frame's own disparity, `Frame.disparity`, in the codec of its set or its sequence:
            float32 [H, W] px, bool [H, W] validity.
        output_path: (out, kind, frame) -> where a map belongs; the kinds are depth, disparity_<matcher>,
            confidence_<matcher>.
        inputs: Folders and files of the root that another output root needs links to, to be a set of its own; those
            that are there.
        find_strays: Looks for files that nobody reads.
        depth_codec: How a frame's depth/ is stored where `preprocess` did not write it; None where nobody says.
    """

    name: str
    find_frames: Callable[[Path, str | None], list[Frame]]
    read_camera: Callable[[Frame, tuple[int, int]], Camera]
    read_disparity: Callable[[Frame], tuple[Float32, Bool]]
    output_path: Callable[[Path, str, Frame], Path]
    inputs: tuple[str, ...]
    find_strays: FindStrays
    depth_codec: Callable[[Frame], MapCodec | None] = _no_codec

    def camera(self, frame: Frame, size: tuple[int, int]) -> Camera:
        """`read_camera` without its warning, for callers that report frames without a camera file themselves."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.read_camera(frame, size)


def _cityscapes_camera(frame: Frame, size: tuple[int, int]) -> Camera:
    camera = cityscapes.read_camera(frame.camera)
    if not camera.is_default and (camera.u0_px >= size[0] or camera.v0_px >= size[1]):
        raise InputError(
            f"{frame.camera}: its principal point ({camera.u0_px:.0f}, {camera.v0_px:.0f}) lies outside the image of "
            f"{size[0]}x{size[1]}: it is for larger pictures; scale fx, fy, u0 and v0 as these were scaled"
        )
    return cityscapes.at_width(camera, size[0])


def _cityscapes_output(out: Path, kind: str, frame: Frame) -> Path:
    ending = kind.split("_")[0]  # disparity_sgbm/... holds *_disparity.png
    return out / kind / frame.split / frame.city / f"{frame.name}_{ending}.png"


def _cityscapes_frames(root: Path, split: str | None) -> list[Frame]:
    return rigs.with_bits(cityscapes.find_frames(root, split))


def _cityscapes_disparity(frame: Frame) -> tuple[Float32, Bool]:
    assert frame.disparity is not None
    return read_disparity_map(frame.disparity, CITYSCAPES_DISPARITY)


CITYSCAPES = Layout(
    name="cityscapes",
    find_frames=_cityscapes_frames,
    read_camera=_cityscapes_camera,
    read_disparity=_cityscapes_disparity,
    output_path=_cityscapes_output,
    inputs=("leftImg8bit", "rightImg8bit", "gtFine", "gtCoarse", "camera", "disparity", *cityscapes.MASKS),
    find_strays=partial(
        cityscapes_strays,
        [cityscapes.KINDS[k] for k in ("labels", "instances", "disparity", "depth")],
        [cityscapes.KINDS[k] for k in ("left", "right")],
    ),
)


def detect_layout(root: Path, tolerance_s: float | None = None) -> Layout:
    """Detect the layout of the set under `root` by its folders; the value holds for this root only.

    `tolerance_s`: seconds that the time stamps in the names of a pair may be apart; None: as `rig.json` says.

    Raises: InputError naming what was looked for.
    """
    try:
        if (root / "leftImg8bit").is_dir():
            return CITYSCAPES
        rig = rigs.find_rig(root)
    except OSError as error:
        raise InputError(f"{root}: {error.strerror or error}") from None
    if rig is not None:
        return _rig_layout(root, rig if tolerance_s is None else replace(rig, tolerance_s=tolerance_s))
    own_first = sorted(rigs.RIGS, key=lambda rig: (rig.cameras is not None, rig.left != "left"))
    pairs = ", ".join(f"{rig.left}/ and {rig.right}/" for rig in own_first)
    if not root.is_dir():
        raise InputError(f"{root}: {describe(root)}")
    if sets_near(root):
        raise InputError(f"{root}: no set in a known layout; {describe(root)}")
    raise InputError(
        f"{root}: no set in a known layout; looked for leftImg8bit/ (Cityscapes), and for the folder pairs {pairs}"
    )


def _calibration_files(root: Path) -> list[str]:
    """First parts of the calibration files of a set whose names nobody fixed."""
    named = [root / "calibration.json"] if (root / "calibration.json").is_file() else []
    try:
        found = named or [one for one in [find_calibration(root)] if one is not None]
    except InputError:  # finding the frames says so
        return []
    files = [beside for one in found for beside in (one, *files_with(one))]
    return sorted({one.relative_to(root).parts[0] for one in files if one.is_relative_to(root)} - {"calibration.json"})


def _rig_layout(root: Path, rig: rigs.Rig) -> Layout:
    return Layout(
        name="folder pair" if rig.cameras is None else "kitti",
        find_frames=partial(rigs.find_frames, rig),
        read_camera=partial(rigs.read_camera, rig),
        read_disparity=partial(read_truth, root),
        output_path=rigs.output_path,
        inputs=tuple(dict.fromkeys((*rig.inputs, *_calibration_files(root)))),
        find_strays=partial(rig_strays, rig, LABELS + TRUTH + ("depth", "lidar")),
        depth_codec=partial(depth_codec, root),
    )


_LISTED = 6


def is_windows_path(text: str) -> bool:
    """Whether a path starts with a drive letter."""
    return re.match(r"[A-Za-z]:[\\/]", text) is not None


Kind = Callable[[Path], str | None]
"""(folder) -> what the set in it is called in a hint, None where it holds none of this kind."""


def _cityscapes(folder: Path) -> str | None:
    return "Cityscapes' layout" if (folder / "leftImg8bit").is_dir() else None


def _rig(folder: Path) -> str | None:
    rig = find_rig(folder)
    return None if rig is None else "a folder pair" if rig.cameras is None else "KITTI's layout"


def _camvid(folder: Path) -> str | None:
    return "images/ and labels/" if (folder / "images").is_dir() and (folder / "labels").is_dir() else None


def _folder(folder: Path) -> str | None:
    return "images/" if (folder / "images").is_dir() else None


KINDS: dict[str, Kind] = {"cityscapes": _cityscapes, "rig": _rig, "camvid": _camvid, "folder": _folder}
"""By format of a data source; the first that a folder is one of counts."""


def kind_of(folder: Path, kinds: Mapping[str, Kind] = KINDS) -> str | None:
    """Format of a data source that `folder` would do for, or None."""
    try:
        return next((name for name, kind in kinds.items() if kind(folder) is not None), None)
    except OSError:
        return None


def sets_near(folder: Path, kinds: Mapping[str, Kind] = KINDS) -> list[tuple[str, Path]]:
    """(format, root) of sets in the folder itself, in its parent where it is a part of one, and one level below."""
    above = [folder.parent] if folder.name and folder.is_dir() else []
    candidates = [folder, *above, *_folders(folder)]
    return [(kind, one) for one in candidates if (kind := kind_of(one, kinds)) is not None]


def describe(root: Path, *, as_source: bool = False, kinds: Mapping[str, Kind] = KINDS) -> str:
    """What is there instead of a set, and what to write, in half a sentence; as a data source or as a folder."""
    if is_windows_path(str(root)) and os.name != "nt":
        drive, rest = str(root)[0].lower(), str(root)[3:].replace("\\", "/")
        return f"is a Windows path, and this is no Windows; under WSL write /mnt/{drive}/{rest}"
    if not root.exists():
        return f"no such folder; {_siblings(root)}"
    if not root.is_dir():
        if is_bag(root):
            return f"is a bag; advmtl preprocess {root} --out FOLDER makes a set of it"
        return "is a file; give the folder of the set"
    near = sets_near(root, kinds)
    if near:
        return "found " + ", ".join(
            f"{kinds[name](one)}: write {name}:{one}" if as_source else f"{kinds[name](one)} in {one}"
            for name, one in near[:_LISTED]
        )
    names = [one.name + "/" if one.is_dir() else one.name for one in _entries(root)]
    return f"it holds {_listed(names)}" if names else "it is empty"


def _siblings(path: Path) -> str:
    there = next((one for one in path.parents if one.is_dir()), Path("."))
    names = [one.name for one in _folders(there)]
    wanted = path.relative_to(there).parts[0] if path.is_relative_to(there) else path.name
    close = difflib.get_close_matches(wanted, names, 1)
    if close:
        return f"did you mean {there / close[0]}?"
    return f"{there.resolve()} has {_listed(names)}" if names else f"{there.resolve()} has no folders"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [one for one in _entries(folder) if one.is_dir()]
