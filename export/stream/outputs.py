"""Outputs of a stream: a video or PNG files, a window, raw arrays, a latency log per frame."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, Task
from export.graph import Metadata
from export.session import complete
from export.stream.draw import Painter
from export.stream.pipeline import RECORD_VERSION, Inferred, OnFrame, Record
from preprocessing.ground import (
    ARRAYS,
    DRAWN,
    PICTURE,
    InputError,
    Kind,
    atomic_write,
    is_free,
    mark_film,
    with_text,
    write_bytes,
)

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
        mark_film(temporary, path.suffix)
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


def new_paths(folder: Path, ending: str, kind: Kind) -> Callable[[str], Path]:
    """Return what gives a frame's name its path in `folder`, with a number where this stream has written that name. A
    name with folders, as those of a source's sub-folders, has the same ones there.

    The folder itself shows what was written, so a stream of any length takes no more memory. Files of this kind that
    are there already, of a former stream, are overwritten; those of anybody else stay, and the frame gets a number.
    """
    former = {path.relative_to(folder).as_posix() for path in folder.rglob(f"*{ending}") if is_free(path, kind)}
    count = 0

    def path_of(name: str) -> Path:
        nonlocal count
        name = "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
        unique, number = f"{name}{ending}", count
        while unique not in former and (folder / unique).exists():
            unique, number = f"{name}_{number:06d}{ending}", number + 1
        former.discard(unique)
        count += 1
        if "/" in unique:
            (folder / unique).parent.mkdir(parents=True, exist_ok=True)
        return folder / unique

    return path_of


@contextmanager
def _folder(path: Path) -> Iterator[Write]:
    path.mkdir(parents=True, exist_ok=True)
    path_of = new_paths(path, ".png", PICTURE)

    def write(name: str, picture: NDArray[np.uint8]) -> None:
        good, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), PNG_OPTIONS)
        if not good:
            raise OSError(f"{path}: OpenCV cannot encode a PNG of {picture.shape}")
        write_bytes(path_of(name), with_text(content.tobytes(), DRAWN))

    yield write


TITLE = "advmtl (q or Esc ends)"

_ENDS = (ord("q"), 27)

_PROBE = "import cv2; cv2.namedWindow('probe', cv2.WINDOW_NORMAL); cv2.waitKey(1)"


class Window:
    """Shows pictures. All calls come from the thread that made it. Raises: InputError where nothing can be shown."""

    def __init__(self) -> None:
        if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError("--show: no display here (DISPLAY is not set); leave it out and write to --out")
        # Without a working display, Qt ends the process instead of raising; the probe is another process.
        if subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, check=False, timeout=30).returncode:
            raise InputError(
                "--show: this OpenCV opens no window here (a headless build, or a display that does not answer);"
                " leave it out and write to --out"
            )
        cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL)

    def show(self, picture: NDArray[np.uint8]) -> bool:
        """Show a picture, uint8 `[H, W, 3]` RGB. Returns: False when its user closed the window or pressed q or Esc."""
        cv2.imshow(TITLE, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        return cv2.waitKey(1) not in _ENDS and cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) >= 1

    def close(self) -> None:
        """Close the window."""
        cv2.destroyWindow(TITLE)


def open_npz_sink(folder: Path) -> Callable[[Inferred], None]:
    """Return what writes `<name>.npz` into `folder` (made if missing) for every frame.

    Each holds the model's outputs and what was derived of them, by name, as classes uint8 `[h, w]`, depth_m float32
    `[h, w]`, +Inf where there is no distance (the sky), offsets_px float32 `[2, h, w]`, instances uint16 `[h, w]`; and
    version, index, timestamp_s (NaN where there is none), frame_size (w, h), shown (left, top, right, bottom: what of
    the frame the maps cover, in its pixels) and, of a model whose outputs depend on it, fx_px of the frame (NaN where
    nobody tells it) and zoom, the factor of its metres (`View.facts`). Not compressed: that takes longer than the
    network. Raises: InputError where the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path_of = new_paths(folder, ".npz", ARRAYS)
    except OSError as error:
        raise InputError(f"{folder}: not a folder to write to ({error.strerror or error})") from None

    def write(frame: Inferred) -> None:
        maps: dict[str, Any] = {**frame.result.outputs}
        path = path_of(frame.name)
        # Whole or not there; not synced, which on a memory card takes longer than the network.
        temporary = path.with_name(f".{path.name}")
        with open(temporary, "wb") as file:
            np.savez(
                file,
                index=frame.index,
                timestamp_s=np.nan if frame.timestamp_s is None else frame.timestamp_s,
                frame_size=frame.frame_size,
                **_of_view(frame),
                **maps,
            )
        temporary.replace(path)

    return write


def _of_view(frame: Inferred) -> dict[str, Any]:
    facts: dict[str, Any] = {"version": RECORD_VERSION, "shown": frame.view.shown}
    if frame.view.metadata.of_lens:
        lens = frame.view.lens
        facts |= {"fx_px": np.nan if lens is None else lens.fx_px, "zoom": frame.view.zoom}
    return facts


@contextmanager
def open_frame_log(path: Path | None) -> Iterator[Record | None]:
    """Write one JSON object a line, each complete when it is written, so that a reader can follow; None for nowhere.

    Raises: InputError where the file cannot be made.
    """
    if path is None:
        yield None
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w", buffering=1)  # noqa: SIM115 closed below
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
    with file:
        yield lambda values: print(json.dumps(values, allow_nan=False), file=file)


@dataclass(frozen=True)
class Outputs:
    """Where the results of a stream go; nothing by default.

    out: a `.mp4` or `.mkv` file or a folder for PNG files. fps: rate of the video, 0 = that of the source. arrays:
    folder for one `.npz` a frame (see `open_npz_sink`). log: file for a line of JSON a frame. show: a live window.
    """

    out: Path | None = None
    fps: float = 0.0
    arrays: Path | None = None
    log: Path | None = None
    show: bool = False


@contextmanager
def open_outputs(
    outputs: Outputs, metadata: Metadata, fps: float, stop: Callable[[], None], tasks: Mapping[str, Task] = TASKS
) -> Iterator[tuple[OnFrame | None, Record | None]]:
    """Open all requested outputs; yields the consumer of frames (or None) and the consumer of their times.

    `stop` is called when the user closes the window. Raises: InputError for what cannot be written or shown.
    """
    with ExitStack() as stack:
        window = None
        if outputs.show:
            window = Window()
            stack.callback(window.close)
        record = stack.enter_context(open_frame_log(outputs.log))
        arrays = None if outputs.arrays is None else open_npz_sink(outputs.arrays)
        # Last, so that it is closed first: an incomplete video is reported with all else in place.
        write = stack.enter_context(open_sink(outputs.out, outputs.fps or fps))
        takers: list[OnFrame] = []
        if write is not None or window is not None:
            takers.append(_drawer(Painter(metadata, tasks), write, window, stop))
        if arrays is not None:
            takers.append(arrays)
        yield (grouped(takers, metadata, tasks) if takers else None), record


def grouped(takers: list[OnFrame], metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> OnFrame:
    """Deliver every frame to all `takers`, with what its tasks compute of the outputs (offsets become instances)."""

    def take(frame: Inferred) -> None:
        whole = replace(frame, result=complete(frame.result, metadata, tasks))
        for taker in takers:
            taker(whole)

    return take


def _drawer(painter: Painter, write: Write | None, window: Window | None, stop: Callable[[], None]) -> OnFrame:
    def draw(frame: Inferred) -> None:
        picture = painter.paint(frame.image, frame.result)
        if write is not None:
            write(frame.name, picture)
        if window is not None and not window.show(picture):
            stop()

    return draw
