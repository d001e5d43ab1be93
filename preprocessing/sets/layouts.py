"""The layouts of stereo sets that are known, and which one a folder has."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from preprocessing.ground import CITYSCAPES_DISPARITY, Bool, Camera, Float32, Frame, InputError
from preprocessing.sets import cityscapes, rigs
from preprocessing.sets.bags import is_bag
from preprocessing.sets.calibration import files_with, find_calibration
from preprocessing.sets.kinds import describe, kind_of, sets_near
from preprocessing.sets.kitti360 import KITTI360
from preprocessing.sets.layout import Layout
from preprocessing.sets.rig_files import LABELS, TRUTH
from preprocessing.sets.strays import cityscapes_strays, rig_strays
from preprocessing.sets.truth import depth_codec, read_disparity_map, read_truth
from preprocessing.sets.vkitti2 import VKITTI2


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


_FOLDERS = ("leftImg8bit", "rightImg8bit", "gtFine", "gtCoarse", "camera", "disparity")

CITYSCAPES = Layout(
    name="cityscapes",
    rectified=True,
    find_frames=_cityscapes_frames,
    read_camera=_cityscapes_camera,
    read_disparity=_cityscapes_disparity,
    output_path=_cityscapes_output,
    inputs=(*_FOLDERS, *(f"{one}{ending}" for one in _FOLDERS for ending in cityscapes.ARCHIVES), *cityscapes.MASKS),
    find_strays=partial(
        cityscapes_strays,
        [cityscapes.KINDS[k] for k in ("labels", "instances", "disparity", "depth")],
        [cityscapes.KINDS[k] for k in ("left", "right")],
    ),
)


PUBLISHED: dict[str, Layout] = {"vkitti2": VKITTI2, "kitti360": KITTI360}
"""Sets with a layout of their own, by format of a data source."""


def detect_layout(root: Path, tolerance_s: float | None = None) -> Layout:
    """Detect the layout of the set under `root` by its folders; the value holds for this root only.

    `tolerance_s`: seconds that the time stamps in the names of a pair may be apart; None: as `rig.json` says.

    Raises: InputError naming what was looked for.
    """
    try:
        if cityscapes.is_cityscapes(root):
            return CITYSCAPES
        if (kind := kind_of(root)) in PUBLISHED:
            return PUBLISHED[kind]
        rig = rigs.find_rig(root)
    except OSError as error:
        raise InputError(f"{root}: {error.strerror or error}") from None
    if rig is not None:
        return _rig_layout(root, rig if tolerance_s is None else replace(rig, tolerance_s=tolerance_s))
    own_first = sorted(rigs.RIGS, key=lambda rig: (rig.cameras is not None, rig.left != "left"))
    pairs = ", ".join(f"{rig.left}/ and {rig.right}/" for rig in own_first)
    if not root.is_dir():
        raise InputError(f"{root}: {describe(root)}")
    if is_bag(root):
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
