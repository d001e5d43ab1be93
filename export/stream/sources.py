"""Where frames come from: a folder of pictures, one picture, or, through `capture`, a video, a camera, a stream."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from export.stream.colour import WrongColour, to_rgb
from preprocessing.ground import TRAILERS, InputError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
# For sources that name no rate of their own.
DEFAULT_FPS = 10.0
# What a file of these formats begins with.
_BEGINNINGS = {"PNG": b"\x89PNG", "JPEG": b"\xff\xd8\xff"}


@dataclass(frozen=True)
class Loaded:
    """One decoded frame, uint8 `[H, W, 3]` RGB.

    timestamp_s: its time in the video [s], of a live source that of the clock (Unix time) when it arrived; None where
    there is none. arrived: the same moment on `time.perf_counter`, for live sources only.
    """

    name: str
    image: NDArray[np.uint8]
    timestamp_s: float | None = None
    arrived: float | None = None


@dataclass(frozen=True)
class Skipped:
    """A frame that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Notice:
    """Something about the source that its user should know; without text, that it is still being waited for."""

    text: str


Frames = Generator[Loaded | Skipped | Notice, None, None]


@dataclass(frozen=True)
class Source:
    """Frames to be read from the beginning at each call of `frames`.

    `total` is None where unknown; a `live` source waits for no slow reader and has only one beginning.
    """

    description: str
    frames: Callable[[], Frames]
    total: int | None
    fps: float
    live: bool = False


def open_source(text: str | Path, reconnect_s: float = 0.0) -> Source:
    """Open a folder, an image, a video file, a camera (`0` or `/dev/video0`), a URL or a GStreamer pipeline.

    A pipeline is told by its ` ! ` and ends in `appsink`. reconnect_s: how long a live source that is lost is tried
    again before the stream ends [s]. Raises: InputError, one line, where there is nothing to read, it cannot be
    opened, or this OpenCV lacks what it needs.
    """
    from export.stream.capture import open_camera, open_pipeline, open_url, open_video

    text = str(text)
    if " ! " in text:
        return open_pipeline(text, reconnect_s)
    if text.isdigit() or (text.startswith("/dev/video") and text[10:].isdigit()):
        return open_camera(text, reconnect_s)
    if "://" in text:
        return open_url(text, reconnect_s)
    path = Path(text).expanduser()
    if path.is_dir():
        return _pictures(find_images(path), text)
    if not path.exists():
        raise InputError(
            f"{text}: no such source; give a folder, an image, a video, a camera index, a URL or a GStreamer pipeline"
        )
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return _pictures([path], text)
    return open_video(path)


def looped(source: Source, times: int) -> Source:
    """The source `times` times over, 0 = for ever. Raises: InputError for a live one, which cannot begin again."""
    if times < 0:
        raise InputError(f"--loop {times}: give a number of rounds, 0 for no end")
    if times == 1:
        return source
    if source.live:
        raise InputError(f"{source.description}: --loop is for files; a camera cannot begin again")

    def frames() -> Frames:
        for _ in range(times) if times else count():
            found = False
            with closing(source.frames()) as one_round:
                for frame in one_round:
                    found = found or isinstance(frame, Loaded)
                    yield frame
            if not found:  # for ever would be without a frame
                return

    return replace(source, frames=frames, total=source.total * times if times and source.total is not None else None)


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


def silence_opencv() -> None:
    """Let OpenCV write nothing itself. Version 4 has the level at its root, version 5 in `utils.logging`."""
    if hasattr(cv2, "setLogLevel"):
        cv2.setLogLevel(0)  # silent; version 4 gives the level no name
    else:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def read_picture(path: Path) -> tuple[NDArray[np.uint8], str]:
    """Read a picture with OpenCV alone: uint8 `[H, W, 3]` RGB and a note on what `to_rgb` had to change.

    Raises: InputError naming the file that is missing, truncated, no picture or of other pixels.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    # Without its end a file may still give a picture, grey from some row on.
    for name, beginning in _BEGINNINGS.items():
        if content.startswith(beginning) and TRAILERS[name] not in content:
            raise InputError(f"{path}: the file is truncated; replace it")
    silence_opencv()  # its complaints name no file
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    except cv2.error:
        picture = None
    if picture is None:
        raise InputError(f"{path}: not a readable picture; replace the file")
    try:
        return to_rgb(picture)
    except WrongColour as error:
        raise InputError(f"{path}: {error}") from None


def _pictures(paths: list[Path], description: str) -> Source:
    def frames() -> Frames:
        told = set[str]()
        for path in paths:
            try:
                image, note = read_picture(path)
            except InputError as error:
                yield Skipped(path.name, str(error))
                continue
            if note and note not in told:
                told.add(note)
                yield Notice(f"{path.name}: {note}")
            yield Loaded(path.stem, image)

    return Source(description, frames, len(paths), DEFAULT_FPS)
