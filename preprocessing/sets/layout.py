"""One way of laying out a stereo set on disk, as a value."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from preprocessing.ground import Bool, Camera, Float32, Frame, MapCodec
from preprocessing.sets.strays import FindStrays


def _no_codec(frame: Frame) -> MapCodec | None:
    """Of a layout whose calibration says nothing of depth."""
    return None


_METRES = MapCodec()  # whole numbers: metres × 256


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
        truth: How `Frame.lidar`, the depth that came with the set, is stored.
        classes: The label set of its label files, by name.
        rectified: Whether its pictures always are.
    """

    name: str
    find_frames: Callable[[Path, str | None], list[Frame]]
    read_camera: Callable[[Frame, tuple[int, int]], Camera]
    read_disparity: Callable[[Frame], tuple[Float32, Bool]]
    output_path: Callable[[Path, str, Frame], Path]
    inputs: tuple[str, ...]
    find_strays: FindStrays
    depth_codec: Callable[[Frame], MapCodec | None] = _no_codec
    truth: MapCodec = _METRES
    classes: str = "cityscapes19"
    rectified: bool = False

    def camera(self, frame: Frame, size: tuple[int, int]) -> Camera:
        """`read_camera` without its warning, for callers that report frames without a camera file themselves."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self.read_camera(frame, size)
