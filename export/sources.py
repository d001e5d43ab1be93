"""Where frames come from: a folder of pictures, one picture, a video file, a camera, a network stream."""

import math
import os
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.errors import InputError
from preprocessing.files import read_image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "udp", "rtp", "srt")
# For sources that name no rate of their own.
DEFAULT_FPS = 10.0


@dataclass(frozen=True)
class Loaded:
    """One decoded frame, uint8 `[H, W, 3]` RGB."""

    name: str
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class Skipped:
    """A frame that could not be read, and why."""

    name: str
    reason: str


Frames = Generator[Loaded | Skipped, None, None]


@dataclass(frozen=True)
class Source:
    """Frames to be read once. `total` is None where unknown; a `live` source waits for no slow reader."""

    description: str
    frames: Callable[[], Frames]
    total: int | None
    fps: float
    live: bool = False


def open_source(text: str | Path) -> Source:
    """Open a folder, an image, a video file, a camera (`0` or `/dev/video0`) or a URL.

    Raises: InputError, one line, where there is nothing to read or it cannot be opened.
    """
    text = str(text)
    if text.isdigit():
        return _open_capture(int(text), f"camera {text}", live=True)
    if "://" in text:
        return _open_capture(text, text, live=text.split("://")[0].lower() in LIVE_SCHEMES)
    if text.startswith("/dev/video") and text[10:].isdigit():
        return _open_capture(int(text[10:]), text, live=True)
    path = Path(text).expanduser()
    if path.is_dir():
        return _pictures(find_images(path), text)
    if not path.exists():
        raise InputError(f"{text}: no such source; give a folder, an image, a video, a camera index or a URL")
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _pictures([path], text)
    return _open_capture(str(path), text, live=False)


def find_images(folder: Path) -> list[Path]:
    """The pictures in `folder`, sorted by name, or where it holds only folders, those in its sub-folders.

    Hidden files are not looked at. Raises: InputError where there are none.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures")

    def pictures(pattern: str) -> list[Path]:
        found = (path for path in folder.glob(pattern) if path.suffix.lower() in IMAGE_SUFFIXES)
        return sorted(path for path in found if not path.name.startswith(".") and path.is_file())

    paths = pictures("*") or pictures("**/*")
    if not paths:
        raise InputError(f"{folder}: no pictures in this folder; looked for {', '.join(IMAGE_SUFFIXES)}")
    return paths


def _pictures(paths: list[Path], description: str) -> Source:
    def frames() -> Frames:
        for path in paths:
            try:
                yield Loaded(path.stem, read_image(path))
            except InputError as error:
                yield Skipped(path.name, str(error))

    return Source(description, frames, len(paths), DEFAULT_FPS)


def _open_capture(address: int | str, description: str, live: bool) -> Source:
    # FFmpeg's and V4L's own complaints would stand beside the one line that we raise.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    capture = cv2.VideoCapture(address)
    if not capture.isOpened():
        capture.release()
        hint = "is the camera plugged in and free?" if isinstance(address, int) else "is it a video?"
        raise InputError(f"{description}: cannot be opened ({hint})")
    announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    total = int(announced) if not live and math.isfinite(announced) and announced > 0 else None
    fps = capture.get(cv2.CAP_PROP_FPS)
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        fps = DEFAULT_FPS

    def frames() -> Frames:
        count = 0
        try:
            while True:
                good, frame = capture.read()
                if not good:
                    break
                yield Loaded(f"frame_{count:06d}", np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), np.uint8))
                count += 1
        finally:
            capture.release()
        if total is not None and count < total:
            yield Skipped(f"frame_{count:06d}", f"{description}: ends after {count} of the {total} frames announced")

    return Source(description, frames, total, float(fps), live)
