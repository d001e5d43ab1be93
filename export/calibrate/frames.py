"""Pictures with known distances: of a CSV file, of a labelled source (lidar, depth files), of stereo pairs."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from export.calibrate.points import Point, read_points
from export.stream import Skipped
from preprocessing.ground import InputError, LabelSet, Lens, read_depth, read_grey_or_index, read_image

LEAST_DISPARITY_PX = 5.0
"""Of stereo depth that is believed: a quarter of a pixel is then 5 % of the distance."""


@dataclass(frozen=True)
class KnownFrame:
    """One picture, uint8 `[H,W,3]` RGB, and what is known of it.

    Attributes:
        points: single distances.
        depth_m: float32 `[H,W]` metres, 0 or not finite = unknown; None where there are points.
        lens: of the picture; None where its set does not tell it.
    """

    name: str
    image: NDArray[np.uint8]
    points: Sequence[Point] = field(default=())
    depth_m: NDArray[np.float32] | None = None
    lens: Lens | None = None


_T = TypeVar("_T")
Frames = Iterator[KnownFrame | Skipped]


def of_points(path: Path, folder: Path | None) -> tuple[int, Frames]:
    """How many pictures a CSV file names, and them; looked for beside it where no `folder` is given.

    Raises: InputError naming the line of a picture that is not there.
    """
    points, root = read_points(path), folder or path.parent
    by_frame: dict[str, list[Point]] = {}
    for point in points:
        if not (root / point.frame).is_file():
            raise InputError(f"{point.place}: {root / point.frame}: no such picture; name its folder with --frames")
        by_frame.setdefault(point.frame, []).append(point)
    return len(by_frame), (KnownFrame(name, read_image(root / name), own) for name, own in by_frame.items())


def of_source(text: str, classes: str | LabelSet, limit: int) -> tuple[int, Frames]:
    """How many frames of a labelled source, `format:root[:split]`, and at most `limit` of them, evenly spaced.

    Raises: InputError where there is no such source, or none of its frames has depth.
    """
    from advmtl.config import Source
    from advmtl.data import index_source
    from advmtl.tasks import TASKS, read_metres

    records = [one for one in index_source(Source.parse(text), classes, "val") if TASKS["depth"].has(one)]
    if not records:
        raise InputError(f"{text}: no frame has depth or disparity; a stereo set is given with --stereo")
    chosen = _spread(records, limit)

    def frames() -> Frames:
        for record in chosen:
            try:
                image = record.picture()
                height, width = image.shape[:2]
                depth_m = read_metres(record, (height, width))
                yield KnownFrame(record.name, image, depth_m=depth_m, lens=record.lens((width, height)))
            except InputError as error:
                yield Skipped(record.name, str(error))

    return len(chosen), frames()


def of_stereo(root: Path, limit: int) -> tuple[int, Frames]:
    """How many pairs of a stereo set, and at most `limit` of them, evenly spaced, matched as `preprocess` does.

    Only what the matcher found by itself is believed, not what was filled, and only `LEAST_DISPARITY_PX` and more.
    Nothing is written into the set. Raises: InputError where it is none, or must be rectified first.
    """
    from preprocessing.job import PreprocessSettings, check_matchable, convert_frames, make_plan
    from preprocessing.stereo import MATCHED_FROM

    check_matchable(root)
    tasks = _spread(make_plan(root, PreprocessSettings(out=Path(tempfile.gettempdir()), pictures=0)).tasks, limit)

    def frames() -> Frames:
        with tempfile.TemporaryDirectory(prefix="advmtl-") as folder:
            job = make_plan(root, PreprocessSettings(out=Path(folder) / "set", pictures=0)).job
            with closing(convert_frames(job, tasks)) as outcomes:
                for outcome in outcomes:
                    frame = outcome.frame
                    if outcome.reason:
                        yield Skipped(frame.key, outcome.reason)
                        continue
                    image, depth = read_image(frame.left, frame.reading), read_depth(job.output("depth", frame))
                    matched = read_grey_or_index(job.output("confidence", frame)) >= MATCHED_FROM
                    size = (image.shape[1], image.shape[0])
                    camera = job.layout.camera(frame, size)
                    disparity = camera.baseline_m * camera.fx_px / np.maximum(depth, 1e-3)
                    trusted = matched & (depth > 0) & (disparity >= LEAST_DISPARITY_PX)
                    known = np.where(trusted, depth, np.float32(0))
                    yield KnownFrame(frame.key, image, depth_m=known, lens=Lens.of_camera(camera, size))

    return len(tasks), frames()


def _spread(items: Sequence[_T], limit: int) -> list[_T]:
    places = np.linspace(0, len(items) - 1, min(limit, len(items))).round().astype(int).tolist()
    return [items[place] for place in places]
