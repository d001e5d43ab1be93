"""Drawn frames as a film."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from export.sinks.inferred import Delivery, Sink
from export.sinks.setting import Setting
from preprocessing.ground import InputError, atomic_write


@contextmanager
def open_film(path: Path, setting: Setting) -> Iterator[Sink]:
    """MPEG-4 video. It gets its name only when it can be read back with all the frames written."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give another name for the video")
    with atomic_write(path) as temporary:
        writer: cv2.VideoWriter | None = None
        count = 0

        def write(delivery: Delivery) -> None:
            nonlocal writer, count
            picture = delivery.picture
            if writer is None:
                height, width = picture.shape[:2]
                writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), setting.fps, (width, height))
                if not writer.isOpened():
                    raise InputError(f"{path}: this OpenCV cannot write MPEG-4 there; give a folder instead")
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            count += 1

        try:
            yield write
        finally:
            if writer is not None:
                writer.release()
        if writer is None:
            raise InputError(f"{path}: no frame to write")
        _verify(temporary, path, count)


def _verify(temporary: Path, path: Path, count: int) -> None:
    # VideoWriter reports no failed write (a full disk, say), so the file is asked.
    capture = cv2.VideoCapture(str(temporary))
    held = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if held != count:
        raise OSError(f"{path}: holds {held} of {count} frames after writing; is the disk full?")
