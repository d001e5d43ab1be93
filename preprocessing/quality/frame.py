"""Measuring one preprocessed frame: its maps, its ground truth, the sums of its errors."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from preprocessing.ground import (
    Bool,
    Camera,
    Float32,
    Frame,
    InputError,
    depth_to_disparity,
    disparity_to_depth,
    read_depth,
    read_depth_clip,
    read_grey_or_index,
    read_image,
    read_map,
    read_own_disparity,
)
from preprocessing.quality.metrics import (
    ErrorSums,
    FrameSums,
    TruthSums,
    band_pixels,
    depth_sums,
    error_sums,
    from_whole,
)
from preprocessing.quality.photometric import compare, left_right
from preprocessing.sets import Layout
from preprocessing.stereo import MATCHED_FROM, check_size

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Truth:
    """A measured disparity [px] and the depth [m] that goes with it, float32 [H, W], and where there is any."""

    disparity: Float32
    depth_m: Float32
    valid: Bool


@dataclass(frozen=True)
class Maps:
    """What there is of one frame, all [H, W] of its left image.

    Attributes:
        left, right: RGB [H, W, 3].
        camera: At this size.
        disparity, valid, matched: As written, d [px]; `matched`: found by the matcher, the rest is filled.
        confidence: As written, 0..255; None where there is no file.
        depth_m: As written [m], or worked out from the disparity where `other_depth`.
        depth_clip_m: Depth is compared up to here [m]: as asked for, or where it was clipped if that is nearer.
        other_depth: The depth file is another matcher's.
        truths: "disparity" and "lidar", where there are any.
    """

    left: UInt8
    right: UInt8 | None
    camera: Camera
    disparity: Float32
    valid: Bool
    matched: Bool
    confidence: UInt8 | None
    depth_m: Float32
    depth_clip_m: float
    other_depth: bool
    truths: dict[str, Truth]


@dataclass(frozen=True)
class FrameJob:
    """One frame to measure: `maps` is the name behind `disparity_`; `check` asks for the left-right check, too."""

    frame: Frame
    layout: Layout
    out: Path
    maps: str
    max_depth_m: float
    check: bool

    def output(self, kind: str) -> Path:
        return self.layout.output_path(self.out, kind, self.frame)


def read_maps(job: FrameJob) -> Maps:
    """Read a frame's images, what was written for it, and its truth.

    Raises:
        InputError: A file is missing, damaged or of another size than the left image; names it.
    """
    frame = job.frame
    left = read_image(frame.left, frame.reading)
    right = None if frame.right is None else read_image(frame.right, frame.right_reading)
    if frame.right is not None and right is not None:
        check_size(frame.right, right, left)
    path = job.output(f"disparity_{job.maps}")
    camera = job.layout.camera(frame, (left.shape[1], left.shape[0]))
    disparity, valid = read_own_disparity(path, camera.doffs_px)
    check_size(path, disparity, left)
    confidence = _read_confidence(job.output(f"confidence_{job.maps}"), left)
    other_depth = _is_of_another_matcher(job.output("depth"), job.maps)
    depth_m, clip_m = _depth(job, left, camera, disparity, valid, other_depth)
    return Maps(
        left=left,
        right=right,
        camera=camera,
        disparity=disparity,
        valid=valid,
        matched=valid if confidence is None else valid & (confidence >= MATCHED_FROM),
        confidence=confidence,
        depth_m=depth_m,
        depth_clip_m=min(clip_m, job.max_depth_m),
        other_depth=other_depth,
        truths=_truths(job, left, camera),
    )


def _read_confidence(path: Path, left: UInt8) -> UInt8 | None:
    if not path.exists():
        return None
    confidence = read_grey_or_index(path)
    check_size(path, confidence, left)
    if confidence.dtype != np.uint8:
        raise InputError(f"{path}: a confidence file has 8 bits, this one has {confidence.dtype}; preprocess it again")
    return confidence


def _is_of_another_matcher(path: Path, matcher: str) -> bool:
    """Say whether the depth file says that another matcher made it; `read_depth` complains where it is unreadable."""
    try:
        with Image.open(path) as image:
            return str(image.info.get("matcher", matcher)) != matcher
    except (OSError, SyntaxError, ValueError):
        return False


def _depth(
    job: FrameJob, left: UInt8, camera: Camera, disparity: Float32, valid: Bool, other: bool
) -> tuple[Float32, float]:
    """Return depth [m] and where it was clipped [m]."""
    if other:
        return disparity_to_depth(disparity, valid, camera, max_depth_m=job.max_depth_m), job.max_depth_m
    path = job.output("depth")
    depth_m = read_depth(path)
    check_size(path, depth_m, left)
    return depth_m, read_depth_clip(path) or job.max_depth_m


def _truths(job: FrameJob, left: UInt8, camera: Camera) -> dict[str, Truth]:
    frame, truths = job.frame, {}
    # What the matcher "dataset" wrote is the set's own disparity: no truth to itself.
    if frame.disparity is not None and job.maps != "dataset":
        disparity, valid = job.layout.read_disparity(frame)
        check_size(frame.disparity, disparity, left)
        depth_m = disparity_to_depth(disparity, valid, camera, epsilon=0, max_depth_m=np.inf)
        truths["disparity"] = Truth(disparity, depth_m, depth_m > 0)  # what is infinitely far has no depth
    if frame.lidar is not None:
        depth_m, _ = job.layout.truth.decode(read_map(frame.lidar))
        check_size(frame.lidar, depth_m, left)
        disparity, valid = depth_to_disparity(depth_m, camera)
        truths["lidar"] = Truth(disparity, depth_m, valid)
    return truths


def measure(job: FrameJob) -> FrameSums | str:
    """Sum up one frame, or say why it cannot be measured, naming the file."""
    try:
        maps = read_maps(job)
    except (InputError, cv2.error) as error:
        return " ".join(str(error).split())
    photometric = check = None
    if maps.right is not None:
        photometric = compare(maps.left, maps.right, maps.disparity, maps.valid)
        if job.check:
            check = left_right(maps.left, maps.right, maps.disparity, maps.valid, maps.matched, maps.camera)
    matched = int(maps.matched.sum())
    return FrameSums(
        frames=1,
        pixels=maps.valid.size,
        depth=int((maps.depth_m > 0).sum()),
        matched=matched,
        filled=int(maps.valid.sum()) - matched,
        without_confidence=int(maps.confidence is None),
        default_cameras=int(maps.camera.is_default),
        nearer_clip=int(maps.depth_clip_m < job.max_depth_m),
        other_depth=int(maps.other_depth),
        truths={source: truth_sums(maps, truth) for source, truth in maps.truths.items()},
        photometric=photometric,
        left_right=check,
        from_whole_px=from_whole(maps.disparity, maps.matched),
    )


def truth_sums(maps: Maps, truth: Truth) -> TruthSums:
    """Sum up a frame's errors against one truth: disparity over all of it, depth up to where it was clipped."""

    def errors(where: Bool) -> ErrorSums:
        return error_sums(maps.disparity, truth.disparity, truth.valid & where)

    limit_m = maps.depth_clip_m
    return TruthSums(
        frames=1,
        pixels=int(truth.valid.sum()),
        answered=errors(maps.matched),
        valid=errors(maps.valid),
        band_pixels=band_pixels(truth.depth_m, limit_m),
        depth_answered=depth_sums(maps.depth_m, truth.depth_m, truth.valid & maps.matched, limit_m),
        depth_valid=depth_sums(maps.depth_m, truth.depth_m, truth.valid, limit_m),
    )
