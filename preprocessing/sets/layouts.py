"""How a set lies on disk: find its frames, read what came with it, name what is written."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from preprocessing.ground.disparity import Bool, Float32, read_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Camera, Frame
from preprocessing.sets import cityscapes, rigs
from preprocessing.sets.hints import describe, sets_near


@dataclass(frozen=True)
class Layout:
    """One way of laying out a stereo set, as a value.

    Attributes:
        name: What messages call it.
        find_frames: (root, split or None) -> frames sorted by split and name. Raises InputError where there are none.
        read_camera: (frame, (width, height) of its left image [px]) -> its camera at that size. Raises InputError
            naming a garbled file, or a missing one where there is no default camera.
        read_disparity: Reads a file `Frame.disparity` of this layout, in the codec of its set: float32 [H, W] px, bool
            [H, W] validity.
        output_path: (out, kind, frame) -> where a map belongs; the kinds are depth, disparity_<matcher>,
            confidence_<matcher>.
        inputs: Folders and files of the root that another output root needs links to, to be a set of its own; those
            that are there.
    """

    name: str
    find_frames: Callable[[Path, str | None], list[Frame]]
    read_camera: Callable[[Frame, tuple[int, int]], Camera]
    read_disparity: Callable[[Path], tuple[Float32, Bool]]
    output_path: Callable[[Path, str, Frame], Path]
    inputs: tuple[str, ...]


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


CITYSCAPES = Layout(
    name="cityscapes",
    find_frames=cityscapes.find_frames,
    read_camera=_cityscapes_camera,
    read_disparity=read_disparity,
    output_path=_cityscapes_output,
    inputs=("leftImg8bit", "rightImg8bit", "gtFine", "gtCoarse", "camera", "disparity"),
)


def detect_layout(root: Path) -> Layout:
    """Tell the layout of the set under `root` by its folders; the value holds for this root only.

    Raises: InputError naming what was looked for.
    """
    try:
        if (root / "leftImg8bit").is_dir():
            return CITYSCAPES
        rig = rigs.find_rig(root)
    except OSError as error:
        raise InputError(f"{root}: {error.strerror or error}") from None
    if rig is not None:
        return _rig_layout(root, rig)
    pairs = ", ".join(f"{rig.left}/ and {rig.right}/" for rig in reversed(rigs.RIGS))
    if not root.is_dir():
        raise InputError(f"{root}: {describe(root)}")
    if sets_near(root):
        raise InputError(f"{root}: no set in a known layout; {describe(root)}")
    raise InputError(
        f"{root}: no set in a known layout; looked for leftImg8bit/ (Cityscapes), and for the folder pairs {pairs}"
    )


def _rig_layout(root: Path, rig: rigs.Rig) -> Layout:
    return Layout(
        name="kitti" if rig.left != "left" else "folder pair",
        find_frames=partial(rigs.find_frames, rig),
        read_camera=partial(rigs.read_camera, rig),
        read_disparity=partial(rigs.read_truth, root),
        output_path=rigs.output_path,
        inputs=rig.inputs,
    )
