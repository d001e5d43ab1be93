"""Depth as a video that loses nothing: 16-bit grey, FFV1 in Matroska."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS
from export.sinks.film import tags_of
from export.sinks.film_times import FilmTimes
from export.sinks.inferred import Delivery, Sink
from export.sinks.maps import check_depth, map_files, sized
from export.sinks.setting import Setting
from export.sinks.video_file import Coding, open_video_file, plane
from export.sources import INSTALL_PYAV, import_av
from preprocessing.ground import DEPTH_SCALE, InputError

SCALE, TEXT = "depth_scale", f"depth, uint16 = metres x {DEPTH_SCALE:g}, 0 = none"
"""Key of the file's text that says by what a value is divided to be metres, and what stands there for readers."""


def _fill(values: NDArray[np.uint16], frame: Any) -> None:
    plane(frame, 0, np.uint16)[...] = values


# FFV1's version 3 has a checksum for every slice, so damage is told, not shown.
CODING = Coding("ffv1", "gray16le", _fill, {"level": "3", "slices": "4", "slicecrc": "1"}, colour=False)


@contextmanager
def open_depth_video(path: Path, setting: Setting) -> Iterator[Sink]:
    """Write each frame's depth, uint16 = metres * 256, 0 = none, at the times of a film.

    At the network's size, of a padded frame with what stands beside it, or at that of the frames. Raises: InputError
    where there is no PyAV, no depth, another ending than .mkv, or frames change their size.
    """
    check_depth("--depth-video", setting)
    if path.suffix.lower() != ".mkv":
        raise InputError(f"--depth-video {path}: FFV1 goes into Matroska; give a name ending in .mkv")
    if import_av() is None:
        raise InputError(f"--depth-video needs PyAV: {INSTALL_PYAV}")
    times = FilmTimes(setting.fps, CODING.ticks, constant=setting.constant)
    depth = {"depth": setting.tasks.get("depth", TASKS["depth"])}
    with open_video_file(path, CODING, setting.fps, 1) as video:

        def write(delivery: Delivery) -> None:
            frame = delivery.frame
            values = map_files(frame.name, depth, sized(frame, setting, padded=True).outputs)["depth"].array
            time = times.of(frame.timestamp_ns)
            video.add(values, time, {SCALE: f"{DEPTH_SCALE:g}", "title": TEXT, **tags_of(times)})

        yield write
