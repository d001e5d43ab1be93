"""What of a source's depth files can hardly be meant so: another unit, disparities, depth of nobody knows whom."""

from collections.abc import Sequence

import numpy as np

from advmtl.tasks.contents import Contents
from advmtl.tasks.depth.files import depth_codec, read_metres
from advmtl.tasks.record import FrameRecord
from preprocessing.ground import DEPTH_SCALE, InputError, map_header, tells_scale

_MAPS = 4  # so many maps are read whole
_FIRST_M = 12.0
"""The road before a vehicle is nearer than that."""
_NEAREST = 0.05  # of the pixels
_UPSIDE = 1.5  # times as far at the bottom as at the top
_LEAST = 100  # valid pixels in each third


def scale_doubts(files: Sequence[tuple[FrameRecord, Contents]]) -> list[str]:
    """A line where nothing is near, as of millimetres read as metres x 256 whose scale nobody states."""
    unstated = [(record, found) for record, found in files if record.depth is not None and not depth_codec(record)[1]]
    picked = unstated[:: max(1, len(unstated) // _MAPS)]
    if not picked or any(says_what_it_is(record) for record, _ in picked):
        return []
    values = np.concatenate([found.values for _, found in unstated])
    if not len(values):
        return []
    nearest = float(np.quantile(values, _NEAREST, method="nearest"))
    if not _FIRST_M < nearest < np.inf:
        return []
    return [
        f"nothing is nearer than {nearest:.3g} m (5 % of the pixels), read as metres x {DEPTH_SCALE}, which nobody "
        f"states; as millimetres it would be {nearest * DEPTH_SCALE / 1000:.3g} m: if so, write depth.unit=mm of the "
        "source"
    ]


def says_what_it_is(record: FrameRecord) -> bool:
    """Whether a frame's depth file tells its scale: floats are metres, and a PNG may say so (`DEPTH_TEXT`)."""
    assert record.depth is not None
    try:
        return map_header(record.depth)[1].startswith("float") or tells_scale(record.depth)
    except (InputError, OSError):  # its frame says so
        return True


def read_as(record: FrameRecord) -> str:
    """How a frame's depth is read, and how to say otherwise where nobody states it."""
    if record.depth is None:
        return "disparities behind their camera"
    codec, stated = depth_codec(record)
    if stated:
        return f"{codec.words}, as stated"
    if says_what_it_is(record):
        return f"metres x {DEPTH_SCALE}" if record.depth.suffix == ".png" else "metres"
    return f"metres x {DEPTH_SCALE}; depth.unit or depth.scale of the source states another"


def upside_down(files: Sequence[tuple[FrameRecord, Contents]]) -> list[str]:
    """A line where the lower part of every map is farther than the upper one, as of disparities read as depth."""
    ratios = []
    for record, _ in files[:: max(1, len(files) // _MAPS)][:_MAPS]:
        if record.depth is None:
            continue
        try:
            metres = read_metres(record, map_header(record.depth)[0])
        except InputError:  # its frame says so
            continue
        # In the order of rows. The sky has no value, so these are thirds of what has one.
        values = metres[(metres > 0) & np.isfinite(metres)]
        if len(values) < 3 * _LEAST:
            continue
        third = len(values) // 3
        ratios.append((float(np.median(values[:third])), float(np.median(values[-third:]))))
    if not ratios or not all(bottom > _UPSIDE * top for top, bottom in ratios):
        return []
    top, bottom = ratios[0]
    return [
        f"the lowest third of the depths is farther than the highest, {bottom:.3g} m below and {top:.3g} m above, as "
        "no road is: are these disparities? Then write depth.kind=disparity of the source"
    ]
