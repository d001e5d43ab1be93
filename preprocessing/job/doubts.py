"""What of a whole set is possible but hardly right: cameras, distances, pairs and labels that are no street's."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from preprocessing.ground import (
    TRAIN_IDS,
    Camera,
    Frame,
    InputError,
    LabelSet,
    Lens,
    read_grey_or_index,
    read_header,
)
from preprocessing.job.manifest import Row
from preprocessing.job.own_disparity import own_disparity_doubts
from preprocessing.job.plan import FrameTask, Job
from preprocessing.stereo import measurable_m

NEAREST_MEDIAN_M = 0.3
"""A set whose median is nearer shows no street."""
_NO_STREET_FROM_M, _NO_STREET_TO_M = 12.0, 5.0
CITYSCAPES = "cityscapes19"
LABEL_FILES = 50
"""So many label files are looked at."""
# labelIds above the last train id are traffic lights, vegetation, sky and all that moves; those below 4 are void in a
# set whose labels are kept back, as Cityscapes' test split has it.
_LAST_TRAIN_ID, _FIRST_TELLING = 18, 4


@dataclass(frozen=True)
class Seen:
    """The camera of one frame: the file it is from ("" = none), what it says at this size, (width, height) [px]."""

    file: str
    camera: Camera
    size: tuple[int, int]


def camera_doubts(seen: Sequence[Seen]) -> list[str]:
    """One line for each thing that cameras can hardly mean, naming the first file of those that say so."""
    found: dict[str, list[str]] = {}
    for one in dict.fromkeys(seen):
        for kind, line in _of_camera(one):
            found.setdefault(kind, []).append(f"{one.file or 'default camera'}: {line}")
    lines = [lines[0] + _others(len(lines) - 1) for lines in found.values()]
    return lines + _sizes(seen)


def _of_camera(seen: Seen) -> Iterable[tuple[str, str]]:
    camera, (width, _) = seen.camera, seen.size
    if not camera.is_default:
        for line in Lens.of_camera(camera, seen.size).doubts():
            yield line.split("(")[0], line
    nearest, farthest = measurable_m(max(width // 10, 3), camera)[0], measurable_m(3, camera)[1]
    if nearest > _NO_STREET_FROM_M or farthest < _NO_STREET_TO_M:
        yield (
            "baseline",
            f"a baseline of {camera.baseline_m:g} m and fx of {camera.fx_px:.0f} px see {nearest:.3g} m to "
            f"{farthest:.3g} m, which is no street: is the baseline in metres?",
        )


def _sizes(seen: Sequence[Seen]) -> list[str]:
    """Files that say the same for pictures of several sizes, which only pictures cut out of each other have."""
    sizes: dict[tuple[str, float], list[tuple[int, int]]] = {}
    for one in dict.fromkeys(seen):
        if one.file:
            sizes.setdefault((one.file, one.camera.fx_px), []).append(one.size)
    return [
        f"{file}: is taken as it is for pictures of "
        + " and ".join(f"{width}x{height}" for width, height in sorted(set(several), reverse=True)[:3])
        + "; give width_px and height_px, the size that it is for"
        for (file, _), several in sizes.items()
        if len(set(several)) > 1
    ]


def depth_doubts(median_m: float, max_depth_m: float) -> list[str]:
    """A line where the median distance [m] of a set is no street's."""
    if median_m >= max_depth_m * 0.999:
        return [
            f"half of the set or more lies at {max_depth_m:g} m or beyond: is the baseline in metres, the focal length "
            "in pixels of these pictures?"
        ]
    if median_m < NEAREST_MEDIAN_M:
        return [
            f"half of the set lies within {median_m:.2g} m: is the baseline in metres, the focal length in pixels of "
            "these pictures?"
        ]
    return []


def pair_doubts(findings: Sequence[str], pairs: int) -> list[str]:
    """A line for each way in which a quarter or more of the pairs looked at are odd; `findings`: one a pair."""
    kinds = Counter(finding.split(":")[0].split(" by ")[0] for finding in findings if finding)
    return [
        f"{count} of {pairs} pairs: {kind}" for kind, count in kinds.most_common() if count > 1 and 4 * count >= pairs
    ]


def label_doubts(frames: Sequence[Frame], classes: str | LabelSet = CITYSCAPES) -> list[str]:
    """A line where labels that must be Cityscapes' labelIds look like train ids, by up to `LABEL_FILES` files.

    No set of streets has no id from 19 to 33: no vegetation, sky, person or car. Nothing is said of labels of another
    set, `classes`.
    """
    if classes != CITYSCAPES:
        return []
    labelled = [frame.labels for frame in frames if frame.labels is not None]
    picked = np.linspace(0, len(labelled) - 1, min(len(labelled), LABEL_FILES)).round().astype(int)
    counts = np.zeros(256, np.int64)
    files = 0
    for index in sorted(set(picked.tolist())):
        try:
            labels = read_grey_or_index(labelled[index])
        except InputError:
            continue  # its frame will say so
        if labels.dtype == np.uint8:
            counts += np.bincount(labels.ravel(), minlength=256)
            files += 1
    ids = np.flatnonzero(counts[:255])
    if not len(ids) or ids.max() > _LAST_TRAIN_ID or ids.max() < _FIRST_TELLING:
        return []
    first = next(path for path in labelled if path is not None)
    return [
        f"{first}: in {files} label files ids go up to {ids.max()} only, as train ids do; labelIds are expected (road "
        f"7, sky 23, car 26): say what they hold with --classes {CITYSCAPES}{TRAIN_IDS}, or take none: --labels none"
    ]


def _others(count: int) -> str:
    return f" (and {count} more cameras)" if count > 1 else " (and one more camera)" if count else ""


def _camera_file(job: Job, row: Row) -> str:
    path = (row.get("inputs") or {}).get("camera", {}).get("path", "")
    return str(job.root / path) if path else ""


def set_doubts(job: Job, tasks: list[FrameTask], rows: list[Row], skipped: Sequence[str] = ()) -> list[str]:
    """What is hardly right of the frames that were done, and of the set's labels."""
    seen = [
        Seen(
            _camera_file(job, row),
            Camera(**row["camera"]),
            (row["size_px"][0], row["size_px"][1]),
        )
        for row in rows
    ]
    medians = [row["depth_percentiles_m"]["50"] for row in rows]
    from_set = job.settings.matcher.name == "dataset"
    said = [note.partition(": ")[2] for row in rows for note in row["warnings"] if "right" in note]
    return [
        *camera_doubts(seen),
        *(depth_doubts(float(np.median(medians)), job.settings.max_depth_m) if medians else []),
        *pair_doubts([*said, *(reason.partition(": ")[2] for reason in skipped)], len(rows) + len(skipped)),
        *label_doubts([task.frame for task in tasks], job.settings.classes),
        *(own_disparity_doubts(job.layout, [task.frame for task in tasks]) if from_set else []),
        *set_remarks(job, [task.frame for task in tasks]),
    ]


def set_remarks(job: Job, frames: Sequence[Frame]) -> list[str]:
    """What of the set nobody reads, and how its pictures are paired and read, one line each; labels and maps without a
    picture are of no importance here.
    """
    found = [one.text for one in job.layout.find_strays(job.root, frames) if one.text]
    try:
        turned = read_header(frames[0].left).orientation != 1
    except InputError:
        return found  # its frame says so
    text = f"{frames[0].left}: has an EXIF orientation, by which stereo pictures are not turned"
    return [*found, text] if turned else found
