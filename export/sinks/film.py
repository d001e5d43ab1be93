"""Drawn frames as a film: by PyAV with the source's times, or by OpenCV, which has a rate alone."""

import errno
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from export.sinks.film_times import FilmTimes
from export.sinks.inferred import Delivery, Sink
from export.sinks.setting import Setting
from export.sinks.video_file import Coding, has_encoder, open_video_file, plane
from export.sources import INSTALL_PYAV, import_av
from preprocessing.ground import InputError, atomic_write, mark_film, usable_cores

START = "advmtl_zero_ns"
"""Key of a film's text that says which stamp of the source its time 0 is [ns]."""

# From R'G'B' to 8-bit Y'CbCr of BT.709 and limited range, ITU-R BT.709-6, sections 3.2 to 3.4.
_RED, _BLUE = 0.2126, 0.0722
_GREEN = 1 - _RED - _BLUE
_TO_YUV = np.array(
    [
        [_RED * 219 / 255, _GREEN * 219 / 255, _BLUE * 219 / 255, 16],
        [*(np.array([-_RED, -_GREEN, 1 - _BLUE]) / (2 * (1 - _BLUE)) * 224 / 255), 128],
        [*(np.array([1 - _RED, -_GREEN, -_BLUE]) / (2 * (1 - _RED)) * 224 / 255), 128],
    ]
)


def fill_yuv420(picture: NDArray[np.uint8], frame: Any) -> None:
    """Put uint8 `[H, W, 3]` RGB of even sides into a yuv420p frame. A third of the time of FFmpeg's own scaler."""
    yuv = cv2.transform(picture, _TO_YUV)
    cv2.extractChannel(yuv, 0, plane(frame, 0))
    half = cv2.resize(yuv, (yuv.shape[1] // 2, yuv.shape[0] // 2), interpolation=cv2.INTER_AREA)
    for number in (1, 2):
        cv2.extractChannel(half, number, plane(frame, number))


# Of each codec the encoders that FFmpeg may have, the first that is there is taken. ultrafast: a preset further doubles
# the encoder's time for a third fewer bytes, and on a vehicle the network waits for the processor; crf is quality.
CODECS: dict[str, Mapping[str, Mapping[str, str]]] = {
    "h264": {"libx264": {"preset": "ultrafast", "crf": "23", "bf": "0"}, "libopenh264": {}},
    "hevc": {"libx265": {"preset": "ultrafast", "crf": "23", "x265-params": "log-level=none:bframes=0"}},
    "mpeg4": {"mpeg4": {"qmin": "3", "qmax": "6"}},
}
_TICKS = {"mpeg4": 60_000}  # its own clock has 16 bits
_TAGS = {"hevc": "hvc1"}  # what Apple's players take


def _coding(av: Any, codec: str) -> Coding | None:
    for encoder, options in CODECS[codec].items():
        if has_encoder(av, encoder):
            return Coding(encoder, "yuv420p", fill_yuv420, options, _TICKS.get(codec, 90_000), _TAGS.get(codec, ""))
    return None


def open_film(path: Path, setting: Setting) -> AbstractContextManager[Sink]:
    """A film that gets its name only when it can be read back with all the frames written.

    By PyAV where it is installed. `auto` is H.264 there, MPEG-4 where its FFmpeg has no encoder of it, and else MPEG-4
    by OpenCV at a constant rate; a notice says so. Raises: InputError for a codec that is not to be had.
    """
    if setting.codec not in ("auto", *CODECS):
        raise InputError(f"codec {setting.codec!r}: choose auto, {', '.join(CODECS)}")
    av = import_av()
    if av is None:
        if setting.codec not in ("auto", "mpeg4"):
            raise InputError(f"--codec {setting.codec} needs PyAV: {INSTALL_PYAV}")
        kept = "" if setting.constant else " at a constant rate, without the source's times"
        setting.notice(f"{path}: PyAV is not installed, so the film is MPEG-4 by OpenCV{kept}; {INSTALL_PYAV}")
        return _by_opencv(path, setting)
    wanted = ("h264", "mpeg4") if setting.codec == "auto" else (setting.codec,)
    found = [(name, coding) for name in wanted if (coding := _coding(av, name)) is not None]
    if not found:
        raise InputError(f"--codec {setting.codec}: the FFmpeg of this PyAV cannot write it; leave it out")
    if found[0][0] != wanted[0]:
        setting.notice(f"{path}: the FFmpeg of this PyAV has no H.264 encoder, so the film is MPEG-4")
    return _by_av(path, setting, found[0][1])


@contextmanager
def _by_av(path: Path, setting: Setting, coding: Coding) -> Iterator[Sink]:
    times = FilmTimes(setting.fps, coding.ticks, constant=setting.constant)
    # Beside decoding, network and drawing, which have threads of their own.
    with open_video_file(path, coding, setting.fps, max(1, min(4, int(usable_cores()[0]) // 2))) as video:

        def write(delivery: Delivery) -> None:
            time = times.of(delivery.frame.timestamp_ns)
            video.add(delivery.picture, time, tags_of(times))

        yield write


def tags_of(times: FilmTimes) -> dict[str, str]:
    """What a film says of its times."""
    return {} if times.zero_ns is None else {START: str(times.zero_ns)}


@contextmanager
def _by_opencv(path: Path, setting: Setting) -> Iterator[Sink]:
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
        mark_film(temporary, path.suffix)
        _verify(temporary, path, count)


def _verify(temporary: Path, path: Path, count: int) -> None:
    # VideoWriter reports no failed write (a full disk, say), so the file is asked.
    capture = cv2.VideoCapture(str(temporary))
    held = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    capture.release()
    if held != count:
        raise OSError(errno.EIO, f"holds {held} of {count} frames after writing; is the disk full?", str(path))
