"""Videos, cameras, network streams and GStreamer pipelines through OpenCV; a lost live source is reconnected."""

import math
import os
import sys
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from export.sources.camera_settings import CameraSettings
from export.sources.frames import DEFAULT_FPS, Frames, Loaded, Lost, Notice, Skipped, Source
from preprocessing.ground import InputError, WrongColour, silence_opencv, to_rgb

LIVE_SCHEMES = ("rtsp", "rtsps", "rtmp", "udp", "rtp", "srt", "tcp")
# Pauses between attempts double from the first to the last [s].
FIRST_PAUSE_S, LAST_PAUSE_S = 0.5, 8.0
# How often a waiting source asks whether it is still wanted [s].
POLL_S = 0.1
# A network stream that is silent for so long is lost [ms]; FFmpeg's own 30 s are a long way for a vehicle.
OPEN_TIMEOUT_MS, READ_TIMEOUT_MS = 10_000, 5_000


@dataclass(frozen=True)
class _Address:
    """An address for OpenCV, and the hint if it cannot be opened."""

    target: int | str
    backend: int
    description: str
    hint: str
    live: bool | None  # None: where no end is announced
    options: tuple[int, ...] = ()
    settings: CameraSettings | None = None

    def open(self, told: list[str] | None = None) -> Any | None:
        """The opened capture, or None; `told` is given what the camera did not take."""
        # FFmpeg's and V4L's own complaints would stand beside the one line that we raise.
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        silence_opencv()
        capture = cv2.VideoCapture(self.target, self.backend, list(self.options))
        if capture.isOpened():
            refused = self.settings.apply(capture) if self.settings is not None else []
            if told is not None:
                told += refused
            return capture
        capture.release()
        return None


def open_video(path: Path) -> Source:
    """A video file. Raises: InputError where it cannot be opened."""
    return _open(_Address(str(path), cv2.CAP_ANY, str(path), "is it a video, and whole?", live=False), 0.0)


def open_camera(text: str, reconnect_s: float, settings: CameraSettings | None = None) -> Source:
    """A camera by index or `/dev/videoN`. Raises: InputError where it cannot be opened."""
    index = int(text.removeprefix("/dev/video"))
    name = f"camera {text}" if text.isdigit() else text
    backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    hint = "is the camera plugged in and free?"
    return _open(_Address(index, backend, name, hint, live=True, settings=settings), reconnect_s)


def open_pipe(path: Path, live: bool) -> Source:
    """A named pipe, which has no second beginning. Raises: InputError where nothing that FFmpeg reads comes out."""
    hint = "does somebody write a video or MPEG-TS into this pipe?"
    return _open(_Address(str(path), cv2.CAP_FFMPEG, str(path), hint, live), 0.0)


def open_url(text: str, reconnect_s: float, live: bool | None = None) -> Source:
    """A URL that FFmpeg reads; live where its scheme is, or where it announces no end, as a camera's MJPEG over HTTP.

    live: to say which. Raises: InputError where it cannot be opened.
    """
    if live is None and text.split("://")[0].lower() in LIVE_SCHEMES:
        live = True
    options = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_TIMEOUT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_TIMEOUT_MS)
    hint = "is the address right, and does it answer?"
    return _open(_Address(text, cv2.CAP_FFMPEG, text, hint, live, () if live is False else options), reconnect_s)


def open_pipeline(text: str, reconnect_s: float) -> Source:
    """A GStreamer pipeline that ends in appsink. Raises: InputError, also where this OpenCV has no GStreamer."""
    if not cv2.videoio_registry.hasBackend(cv2.CAP_GSTREAMER):
        raise InputError(
            f"{text}: this OpenCV ({cv2.__version__}) is built without GStreamer, as those of the package index are;"
            " use the system's OpenCV or one built with it, or give an rtsp:// URL or /dev/videoN"
        )
    if "appsink" not in text.rsplit(" ! ", 1)[-1]:
        raise InputError(f"{text}: the pipeline must end in appsink (… ! videoconvert ! appsink drop=true)")
    hint = "try it with gst-launch-1.0 and fakesink in place of appsink"
    return _open(_Address(text, cv2.CAP_GSTREAMER, text, hint, live=True), reconnect_s)


def _open(address: _Address, reconnect_s: float) -> Source:
    told: list[str] = []
    first = address.open(told)
    if first is None:
        raise InputError(f"{address.description}: cannot be opened ({address.hint})")
    announced = first.get(cv2.CAP_PROP_FRAME_COUNT)
    ends = math.isfinite(announced) and announced > 0
    if address.live is None:
        address = replace(address, live=not ends)
    total = int(announced) if not address.live and ends else None
    fps = first.get(cv2.CAP_PROP_FPS)
    if not (math.isfinite(fps) and 0 < fps <= 1000):
        fps = DEFAULT_FPS
    unread = [first]

    def frames() -> Frames:
        capture = unread.pop() if unread else address.open()
        if capture is None:
            raise InputError(f"{address.description}: cannot be opened again ({address.hint})")
        if address.live:
            return _read_live(address, capture, reconnect_s, told)
        return _read_file(address, capture, total)

    return Source(address.description, frames, total, float(fps), bool(address.live))


def _retrieve(capture: Any, name: str, seen: set[str], live: bool) -> Generator[Loaded | Skipped | Notice, None, None]:
    """The frame that was just grabbed, after a notice where its colours are new and not 8-bit RGB."""
    arrived = time.perf_counter()
    timestamp = time.time_ns() if live else round(1e6 * capture.get(cv2.CAP_PROP_POS_MSEC))
    good, picture = capture.retrieve()
    if not good or picture is None:
        yield Skipped(name, f"{name}: could not be decoded")
        return
    try:
        image, note = to_rgb(picture)
    except WrongColour as error:
        yield Skipped(name, f"{name}: {error}")
        return
    if note not in seen:
        seen.add(note)
        yield Notice(f"{name}: {note}")
    yield Loaded(name, image, timestamp, arrived if live else None)


def _read_file(address: _Address, capture: Any, total: int | None) -> Frames:
    count, seen = 0, {""}
    try:
        while capture.grab():
            yield from _retrieve(capture, f"frame_{count:06d}", seen, live=False)
            count += 1
    finally:
        capture.release()
    if total is not None and count < total:
        reason = f"{address.description}: ends after {count} of the {total} frames announced"
        yield Skipped(f"frame_{count:06d}", reason)


def _read_live(address: _Address, capture: Any, reconnect_s: float, told: list[str]) -> Frames:
    count, seen = 0, {""}
    for one in told:
        yield Notice(f"{address.description}: {one}")
    grabbed = capture.grab()
    try:
        while True:
            while grabbed:
                yield from _retrieve(capture, f"frame_{count:06d}", seen, live=True)
                count += 1
                grabbed = capture.grab()
            capture.release()
            lost = time.monotonic()
            yield Notice(f"{address.description}: lost after {count} frames")
            found = yield from _reconnect(address, lost + reconnect_s)
            away = time.monotonic() - lost
            if found is None:
                away_s = f"did not come back within {reconnect_s:g} s" if reconnect_s else "is not tried again"
                yield Lost(f"{address.description}: {away_s}, the stream ends")
                return
            yield Notice(f"{address.description}: back after {away:.1f} s")
            capture, grabbed = found, True
    finally:
        capture.release()


def _reconnect(address: _Address, deadline: float) -> Generator[Notice, None, Any | None]:
    """Try again, with pauses that double, until a frame could be grabbed or `deadline` (monotonic, s) has passed."""
    pause = FIRST_PAUSE_S
    while (left := deadline - time.monotonic()) > 0:
        until = time.monotonic() + min(pause, left)
        while (rest := until - time.monotonic()) > 0:
            yield Notice("")
            time.sleep(min(rest, POLL_S))
        capture = address.open()
        # A device may open and give nothing.
        if capture is not None and capture.grab():
            return capture
        if capture is not None:
            capture.release()
        pause = min(2 * pause, LAST_PAUSE_S)
    return None
