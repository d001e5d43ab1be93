"""Where drawn frames go: a video, a folder of PNG files, or nowhere."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import InputError, atomic_write, write_bytes

VIDEO_SUFFIXES = (".mp4", ".mkv")
PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # a third of the time of the default, a fifth larger
Write = Callable[[str, NDArray[np.uint8]], None]


def open_sink(out: Path | None, fps: float) -> AbstractContextManager[Write | None]:
    """Open `out`: a path ending in `.mp4` or `.mkv`, or a folder (made if missing); with None nothing is written.

    The context's value takes a frame's name and its picture, uint8 `[H, W, 3]` RGB, all of one size.
    Raises: InputError where `out` is neither.
    """
    if out is None:
        return nullcontext(None)
    if out.suffix.lower() in VIDEO_SUFFIXES:
        if out.is_dir():
            raise InputError(f"{out}: is a folder; give another name for the video")
        return _video(out, fps)
    if out.suffix or out.is_file():
        raise InputError(f"{out}: cannot write this; give a name ending in {' or '.join(VIDEO_SUFFIXES)}, or a folder")
    return _folder(out)


@contextmanager
def _video(path: Path, fps: float) -> Iterator[Write]:
    """MPEG-4 video. It gets its name only when it can be read back with all the frames written."""
    with atomic_write(path) as temporary:
        writer: cv2.VideoWriter | None = None
        count = 0

        def write(_: str, picture: NDArray[np.uint8]) -> None:
            nonlocal writer, count
            if writer is None:
                height, width = picture.shape[:2]
                writer = cv2.VideoWriter(str(temporary), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
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


def unique_name(name: str, used: set[str], endings: tuple[str, ...] = ("",)) -> str:
    """`name`, or `name` with a number where a file of that name with one of `endings` is in `used`.

    The names with their endings are added to `used`. Without this, a.jpg's result would overwrite a.png's.
    """
    unique, number = name, len(used)
    while any(f"{unique}{ending}" in used for ending in endings):
        unique, number = f"{name}_{number:06d}", number + 1
    used.update(f"{unique}{ending}" for ending in endings)
    return unique


def new_paths(folder: Path, ending: str) -> Callable[[str], Path]:
    """Return what gives a frame's name its path in `folder`, with a number where this stream has written that name.

    The folder itself tells what was written, so a stream of any length takes no more memory. Files that are there
    already, of a former stream, are overwritten.
    """
    former = {path.name for path in folder.iterdir()}
    count = 0

    def path_of(name: str) -> Path:
        nonlocal count
        name = name.replace("/", "_")
        unique, number = f"{name}{ending}", count
        while unique not in former and (folder / unique).exists():
            unique, number = f"{name}_{number:06d}{ending}", number + 1
        former.discard(unique)
        count += 1
        return folder / unique

    return path_of


@contextmanager
def _folder(path: Path) -> Iterator[Write]:
    path.mkdir(parents=True, exist_ok=True)
    path_of = new_paths(path, ".png")

    def write(name: str, picture: NDArray[np.uint8]) -> None:
        good, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), PNG_OPTIONS)
        if not good:
            raise OSError(f"{path}: OpenCV cannot encode a PNG of {picture.shape}")
        write_bytes(path_of(name), content.tobytes())

    yield write
