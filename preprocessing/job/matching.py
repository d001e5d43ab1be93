"""Matching one frame: its pair looked at first, what shows no scene left out."""

from pathlib import Path

from preprocessing.ground import Bool, Camera, Frame, InputError, UInt8, read_image
from preprocessing.job.plan import Job
from preprocessing.sets import inspect_pair
from preprocessing.stereo import (
    DatasetSettings,
    Match,
    borders,
    check_size,
    match_dataset,
    match_pair,
    read_mask,
    without,
)

LEAST_WIDTH_PX = 16


def match_frame(job: Job, frame: Frame, left: UInt8, camera: Camera, notes: list[str]) -> tuple[Match, Bool | None]:
    """Return the match, and what of the left image shows no scene."""
    nothing = _nothing(frame.mask, left)
    if isinstance(job.settings.matcher, DatasetSettings):
        return without(match_dataset(frame, left, job.layout, camera), nothing, None), nothing
    right = _read_right(frame, left)
    if left.shape[1] < LEAST_WIDTH_PX:
        raise InputError(f"{frame.left}: is {left.shape[1]} px wide; {LEAST_WIDTH_PX} px is the least that is matched")
    report = inspect_pair(left, right, camera.doffs_px)
    if report.same or report.looks_swapped:
        raise InputError(f"{frame.right}: {report.finding}")
    if report.finding:
        notes.append(f"{frame.right}: {report.finding}")
    match = match_pair(left, right, job.settings.matcher, camera)
    return without(match, nothing, _nothing(frame.right_mask, right)), nothing


def _nothing(mask: Path | None, image: UInt8) -> Bool | None:
    """Where an image shows no scene: borders that rectification left, and what the rig's own mask says."""
    found = borders(image)
    if mask is None:
        return found
    masked = read_mask(mask, image)
    return masked if found is None else masked | found


def _read_right(frame: Frame, left: UInt8) -> UInt8:
    if frame.right is None:
        raise InputError(f"{frame.left}: its right image is missing{frame.hint}")
    right = read_image(frame.right, frame.right_reading)
    check_size(frame.right, right, left)
    return right
