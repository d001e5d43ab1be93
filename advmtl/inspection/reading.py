"""What of one source will be read as what: pictures, labels by which label set, depth by which scale, truth."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from advmtl.config import Config
from advmtl.inspection.figures import PERCENT, Figures
from advmtl.inspection.look import HEADS, Looked
from advmtl.inspection.report import Group
from advmtl.tasks import FrameRecord, depth_codec, says_what_it_is
from preprocessing.ground import DEPTH_SCALE, InputError

T = TypeVar("T")
_NEAREST_M = (1.5, 12.0)
"""Between these lies the road before a vehicle, 5 % of the pixels."""


def reading_lines(looked: Looked, figures: Figures, config: Config) -> list[str]:
    """The lines of one source, its name first."""
    role = "learnt from" if looked.role == "train" else "measured on"
    if looked.error is not None:
        return [f"{looked.name}: cannot be read"]
    opened = "" if looked.frames <= HEADS else f", {len(looked.records)} of them opened, evenly"
    return [
        f"{looked.name}: {looked.frames} frame{'s' * (looked.frames != 1)}, {role}{opened}",
        f"  pictures  {_pictures(looked)}",
        *(f"  {line}" for line in _sequences(looked.sequences)),
        f"  labels    {_labels(looked, figures, config)}",
        f"  depth     {_depth(looked)}",
        *(f"  {line}" for line in _lens(figures, config)),
    ]


def unstated_lines(group: Group) -> list[str]:
    """How depth is read whose scale nobody states, beside what it would be in millimetres; nothing where a training
    doubts it, too, or where these millimetres would be of no street.
    """
    found = []
    for one, figures in zip(group.looked, group.figures, strict=True):
        first = next((record for record in one.records if record.depth is not None), None)
        if first is None or depth_codec(first)[1] or says_what_it_is(first):
            continue
        if any(
            line.doubtful and line.text.startswith(one.name) and "read as metres" in line.text for line in group.lines
        ):
            continue
        for name, (unit, values) in figures.values.items():
            if unit == "m" and values:
                low, middle = values[PERCENT.index(5)], values[PERCENT.index(50)]
                if low < _NEAREST_M[1] and low * DEPTH_SCALE / 1000 < _NEAREST_M[0]:
                    continue
                found.append(
                    f"{one.name}: {name} is read as metres x {DEPTH_SCALE}, which nobody states: 5 % and half of the "
                    f"pixels are nearer than {low:.3g} and {middle:.3g} m; in millimetres it would be "
                    f"{low * DEPTH_SCALE / 1000:.3g} and {middle * DEPTH_SCALE / 1000:.3g} m: then write depth.unit=mm "
                    f"of the source, else depth.scale={DEPTH_SCALE}"
                )
    return found


def _pictures(looked: Looked) -> str:
    heads = looked.heads
    sizes = ", ".join(f"{width}x{height}" + _times(count, heads.sizes) for (width, height), count in _top(heads.sizes))
    kinds = ", ".join(f"{kind}" + _times(count, heads.kinds) for kind, count in _top(heads.kinds))
    bits = "" if heads.bits is None else f", {heads.bits} of 16 bits used"
    turned = sum(look.orientation > 0 for look in looked.looks)
    exif = f", {turned} turned by their EXIF orientation" if turned else ""
    return f"{sizes or 'none that can be read'}, {kinds}{bits}{exif}"


def _top(counts: Counter[T]) -> list[tuple[T, int]]:
    return counts.most_common(3)


def _times(count: int, every: Counter[T]) -> str:
    return f" ({count})" if len(every) > 1 else ""


def _sequences(found: Counter[str]) -> list[str]:
    """Folders of frames, where there are several."""
    if len(found) < 2:
        return []
    named = ", ".join(f"{name or '.'} {count}" for name, count in list(found.items())[:5])
    return [f"sequences {len(found)}: {named}" + (" …" if len(found) > 5 else "")]


def _labels(looked: Looked, figures: Figures, config: Config) -> str:
    own = [record for record in looked.records if record.labels is not None]
    instances = looked.having["instances"]
    if not own:
        return "none"
    try:
        how = own[0].translation
    except InputError as error:
        return str(error)
    kinds = ", ".join(sorted({one.labels.suffix.lower() for one in own if one.labels is not None}))
    read = f"{_of(looked.having['labels'], looked)} ({kinds}), as {how.source.name}"
    read += "" if how.target.name == how.source.name else f" for classes of {how.target.name}"
    task = config.classes_task
    if task is not None and task in figures.void:
        counted = sum(task in look.contents for look in looked.looks)
        read += f"; {counted} decoded, {figures.void[task]:.1%} of their pixels have no class"
    return read + (f"; instances of {instances}" if instances else "")


def _of(count: int, looked: Looked) -> str:
    return f"of {count} frames" if count < looked.frames else "of all frames"


def _depth(looked: Looked) -> str:
    parts = []
    depth = next((record for record in looked.records if record.depth is not None), None)
    disparity = next((one for one in looked.records if one.depth is None and one.disparity is not None), None)
    if depth is not None:
        parts.append(f"{_of(looked.having['depth'], looked)}, {_folder(depth.depth, depth)}: {_scale(depth)}")
    if disparity is not None:
        folder = _folder(disparity.disparity, disparity)
        parts.append(f"{_of(looked.having['disparity'], looked)}, of {folder} behind their cameras")
    truth = _truth(looked.records)
    return "; ".join(parts or ["none"]) + truth


def _folder(path: Path | None, record: FrameRecord) -> str:
    """The folder of a kind of maps: the part of the path that the picture's path has not."""
    assert path is not None
    beside = record.image.parts
    return next((f"{part}/" for place, part in enumerate(path.parts) if part not in beside[: place + 1]), path.name)


def _scale(record: FrameRecord) -> str:
    codec, stated = depth_codec(record)
    if stated:
        return f"{codec.words}, as stated"
    if says_what_it_is(record):
        own = record.depth is not None and record.depth.suffix == ".png"
        return "metres x 256, as the files say" if own else "floats, metres"
    return "metres x 256, which nobody states"


def _truth(records: Sequence[FrameRecord]) -> str:
    """Which of a stereo set's depths is for what, where it has several."""
    frames = [record.frame for record in records if record.frame is not None]
    there = {
        "depth/ by preprocess": sum(one.depth is not None for one in frames),
        "its own disparity": sum(one.disparity is not None for one in frames),
        "lidar": sum(one.lidar is not None for one in frames),
    }
    found = [f"{name} ({count})" for name, count in there.items() if count]
    if len(found) < 2:
        return ""
    return f"; there are {' and '.join(found)}: training takes the first, an evaluation the last"


def _lens(figures: Figures, config: Config) -> list[str]:
    if not figures.lenses:
        return []
    low, middle, high = figures.lenses
    px = f"{middle:.4g} px" if low == high else f"{low:.4g} to {high:.4g} px"
    return [f"lens      focal length {px}, view {figures.hfov_deg[1]:.1f} degrees"]
