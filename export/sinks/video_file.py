"""A video file by PyAV: encoded in a thread of its own, with a time for every frame, looked at when it is whole."""

import errno
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.sources import import_av
from preprocessing.ground import InputError, atomic_write, mark_film

AHEAD = 2  # pictures that wait for the encoder: drawing the next one overlaps, and a slow disk is felt soon
_SECONDS_OFF = 0.001  # of the last frame, read back; Matroska counts milliseconds

Convert = Callable[[NDArray[Any], Any], None]


@dataclass(frozen=True)
class Coding:
    """How pictures become packets.

    encoder, options: FFmpeg's. pixels: its name of their layout. fill: puts a picture into a frame of it. ticks: in a
    second. tag: the four letters that containers name it by, where FFmpeg's own choice is not what players know.
    colour: whether to say that they are BT.709 of limited range.
    """

    encoder: str
    pixels: str
    fill: Convert
    options: Mapping[str, str] = field(default_factory=dict)
    ticks: int = 90_000
    tag: str = ""
    colour: bool = True


def has_encoder(av: Any, name: str) -> bool:
    """Whether this PyAV's FFmpeg has it."""
    try:
        av.codec.Codec(name, "w")
    except (ValueError, LookupError):  # PyAV's own error is a ValueError
        return False
    return True


class VideoFile:
    """A video under a temporary name. `add` returns soon: packing is done in a thread of its own."""

    def __init__(self, path: Path, name: Path, coding: Coding, fps: float, threads: int) -> None:
        """name: what messages call it."""
        self._path, self._name, self._coding = path, name, coding
        self._rate, self._threads = Fraction(fps).limit_denominator(60_000), threads
        self._tags: dict[str, str] = {}
        self._container: Any = None
        self._stream: Any = None
        self._size = (0, 0)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="export-film")
        self._pending: deque[Future[None]] = deque()
        self.count, self._last = 0, 0

    def add(self, picture: NDArray[Any], time: int, tags: Mapping[str, str] | None = None) -> None:
        """Append a picture `[H, W, ...]`, not written to again, at `time` [ticks]; `tags`: of the file, with the first.

        Raises: OSError where one before it could not be written; InputError where it has another size.
        """
        size = picture.shape[1], picture.shape[0]
        if not self.count:
            self._size, self._tags = size, dict(tags or {})
        elif size != self._size:
            was, now = ("x".join(map(str, one)) for one in (self._size, size))
            raise InputError(f"{self._name}: frames are now {now}, before {was}, and a video has one size")
        while len(self._pending) >= AHEAD:
            self._pending.popleft().result()
        self._pending.append(self._worker.submit(self._encode, picture, time))
        self.count, self._last = self.count + 1, time

    def finish(self) -> None:
        """Write what waits and close the file. Raises: OSError, also where it does not hold all its frames then."""
        while self._pending:
            self._pending.popleft().result()
        self._worker.submit(self._flush).result()
        self._verify()

    def abandon(self) -> None:
        """End its thread and close what is open; after an error, and harmless after `finish`."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._container is not None:
            av, container, self._container = import_av(), self._container, None
            assert av is not None
            with suppress(av.error.FFmpegError, OSError):  # the error that led here is the one to be told
                container.close()

    def _encode(self, picture: NDArray[Any], time: int) -> None:
        with self._failing() as av:
            if self._container is None:
                self._open(av)
            frame = av.VideoFrame(*self._size, self._coding.pixels)
            self._coding.fill(picture, frame)
            frame.pts, frame.time_base = time, Fraction(1, self._coding.ticks)
            if self._coding.colour:
                frame.colorspace, frame.color_range = 1, 1
            self._container.mux(self._stream.encode(frame))

    def _open(self, av: Any) -> None:
        # Without this the tags of an .mp4 are those that its makers thought of.
        options = {"movflags": "use_metadata_tags"} if self._name.suffix.lower() == ".mp4" else {}
        self._container = av.open(str(self._path), "w", options=options)
        self._container.metadata.update(self._tags)
        stream = self._container.add_stream(self._coding.encoder, rate=self._rate, options=dict(self._coding.options))
        context = stream.codec_context
        stream.width, stream.height = self._size
        stream.pix_fmt = self._coding.pixels
        context.time_base = Fraction(1, self._coding.ticks)
        context.thread_count = self._threads
        if self._coding.tag and self._name.suffix.lower() == ".mp4":
            context.codec_tag = self._coding.tag
        if self._coding.colour:
            context.colorspace, context.color_range, context.color_primaries, context.color_trc = 1, 1, 1, 1
        self._stream = stream

    def _flush(self) -> None:
        with self._failing():
            self._container.mux(self._stream.encode(None))
            container, self._container = self._container, None
            container.close()

    @contextmanager
    def _failing(self) -> Iterator[Any]:
        av = import_av()
        assert av is not None
        try:
            yield av
        except av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror or str(error), str(self._name)) from None

    def _verify(self) -> None:
        """Read back without decoding: a disk that was full may have been told to nobody."""
        held, last = 0, 0.0
        with self._failing() as av, av.open(str(self._path)) as container:
            for packet in container.demux(video=0):
                if packet.size and packet.pts is not None:
                    held, last = held + 1, max(last, float(packet.pts * packet.time_base))
        if held != self.count:
            raise self._unlike(f"holds {held} of {self.count} frames after writing; is the disk full?")
        if abs(last - self._last / self._coding.ticks) > _SECONDS_OFF:
            raise self._unlike(f"ends at {last:.3f} s instead of {self._last / self._coding.ticks:.3f} s")

    def _unlike(self, how: str) -> OSError:
        return OSError(errno.EIO, how, str(self._name))


@contextmanager
def open_video_file(path: Path, coding: Coding, fps: float, threads: int) -> Iterator[VideoFile]:
    """A video that gets its name only when it can be read back with all the frames written.

    Raises: InputError where the path is a folder, or no frame came.
    """
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give another name for the video")
    with atomic_write(path) as temporary:
        video = VideoFile(temporary, path, coding, fps, threads)
        try:
            yield video
            if not video.count:
                raise InputError(f"{path}: no frame to write")
            video.finish()
            mark_film(temporary, path.suffix)
        finally:
            video.abandon()


def plane(frame: Any, number: int, dtype: type[np.generic] = np.uint8) -> NDArray[Any]:
    """A plane of a PyAV frame as an array `[h, w]` that can be written to."""
    one = frame.planes[number]
    rows: NDArray[Any] = np.frombuffer(one, dtype).reshape(one.height, one.line_size // np.dtype(dtype).itemsize)
    return rows[:, : one.width]
