"""What `preprocess` would have written for a set of random dots, made by hand, with errors as a test wants them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from random_dots import CAMERA, true_disparity

from preprocessing.ground.depth import disparity_to_depth, write_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Frame
from preprocessing.sets.cityscapes import find_frames
from preprocessing.sets.layouts import CITYSCAPES

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]


def output(root: Path, kind: str, frame: Frame) -> Path:
    """Where a written map of the frame lies."""
    return CITYSCAPES.output_path(root, kind, frame)


def write_outputs(
    root: Path,
    frame: Frame,
    disparity: Float32,
    valid: Bool | None = None,
    matched: Bool | None = None,
    clip_m: float = 80.0,
) -> None:
    """Write disparity, depth and, where `matched` is given, confidence."""
    valid = np.ones(disparity.shape, dtype=bool) if valid is None else valid
    write_disparity(output(root, "disparity_census", frame), disparity, valid)
    depth_m = disparity_to_depth(disparity, valid, CAMERA, max_depth_m=clip_m)
    write_depth(output(root, "depth", frame), depth_m, {"matcher": "census", "max_depth_m": str(clip_m)})
    if matched is not None:
        confidence = np.where(matched, 200, np.where(valid, 60, 0)).astype(np.uint8)
        write_png(output(root, "confidence_census", frame), confidence)


def write_exact(root: Path) -> list[Frame]:
    """Write the true disparity for every frame, all of it matched."""
    frames = find_frames(root)
    for frame in frames:
        exact = true_disparity()
        write_outputs(root, frame, exact, matched=np.ones(exact.shape, dtype=bool))
    return frames
