"""A recording for the Rerun viewer: pictures, classes, depth and the camera over the source's times."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from export.graph import CLASSES, DEPTH
from export.sinks.film_times import CLOCK_NS
from export.sinks.inferred import Delivery, Inferred, Sink, lens_of_maps
from export.sinks.setting import Setting
from preprocessing.ground import InputError, atomic_write

INSTALL = "pip install 'advmtl[rerun]'"
_FLUSH_S = 60.0
_CAMERA = "camera"
_JPEG_QUALITY = 90


@contextmanager
def open_rerun(path: Path, setting: Setting) -> Iterator[Sink]:
    """Write an .rrd file: `camera` (pinhole, where the lens is known), `camera/image`, `camera/classes` with names and
    colours, `camera/depth` [m], on the timelines `frame` and `time`.

    Raises: InputError where the Rerun SDK is missing or the path is a folder.
    """
    try:
        import rerun
    except ImportError:
        raise InputError(f"{path}: needs the Rerun SDK: {INSTALL}") from None
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give another name for the recording")
    with atomic_write(path) as temporary:
        recording = rerun.RecordingStream("advmtl", send_properties=False)
        recording.save(temporary)
        # Only what the source says of time; when it was written is nobody's concern.
        recording.set_log_tick_enabled(False)
        recording.set_log_time_enabled(False)
        count = 0

        def write(delivery: Delivery) -> None:
            nonlocal count
            if not count:
                _log_classes(rerun, recording, setting)
            _log(rerun, recording, delivery.frame, setting)
            count += 1

        try:
            yield write
            if not count:
                raise InputError(f"{path}: no frame to write")
            _flush(recording, path)
        finally:
            recording.disconnect()


def _flush(recording: Any, path: Path) -> None:
    """Its own thread writes; only here does it tell that it could not."""
    try:
        recording.flush(timeout_sec=_FLUSH_S)
    except (RuntimeError, ValueError) as error:
        raise OSError(f"{path}: could not be written whole ({error}); is the disk full?") from None


def _log_classes(rerun: Any, recording: Any, setting: Setting) -> None:
    metadata = setting.metadata
    recording.log(_CAMERA, rerun.ViewCoordinates.RDF, static=True)
    if metadata.class_names:
        colours = metadata.colours
        infos = [(number, name, tuple(map(int, colours[number]))) for number, name in enumerate(metadata.class_names)]
        recording.log("/", rerun.AnnotationContext(infos), static=True)


def _log(rerun: Any, recording: Any, frame: Inferred, setting: Setting) -> None:
    recording.set_time("frame", sequence=frame.index)
    if frame.timestamp_ns is None:
        recording.disable_timeline("time")
    elif frame.timestamp_ns >= CLOCK_NS:
        recording.set_time("time", timestamp=np.datetime64(frame.timestamp_ns, "ns"))
    else:
        recording.set_time("time", duration=np.timedelta64(frame.timestamp_ns, "ns"))
    lens = lens_of_maps(frame)
    if lens is not None:
        pinhole = rerun.Pinhole(
            focal_length=(lens.fx_px, lens.fy_px),
            principal_point=(lens.cx_px, lens.cy_px),
            resolution=lens.size,
            camera_xyz=rerun.ViewCoordinates.RDF,
        )
        recording.log(_CAMERA, pinhole)
    recording.log(f"{_CAMERA}/image", rerun.Image(frame.image).compress(jpeg_quality=_JPEG_QUALITY))
    if frame.fault is not None:  # its numbers mean nothing
        for name in ("classes", "depth"):
            recording.log(f"{_CAMERA}/{name}", rerun.Clear(recursive=False))
        return
    outputs = frame.result.outputs
    if CLASSES in outputs:
        recording.log(f"{_CAMERA}/classes", rerun.SegmentationImage(outputs[CLASSES], opacity=0.5))
    if DEPTH in outputs:
        metres = outputs[DEPTH]
        # 0: no distance. The viewer's own scale would end at infinity.
        known = np.where(np.isfinite(metres), metres, np.float32(0))
        reach = setting.metadata.depth_range_m
        recording.log(f"{_CAMERA}/depth", rerun.DepthImage(known, meter=1.0, depth_range=reach))
