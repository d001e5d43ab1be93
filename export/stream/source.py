"""Where frames come from: a folder of pictures, one picture or, through `capture`, a video, a camera, a stream; and how
they are read: every frame or the latest, how many, how often, and how long a lost source is tried again.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import PICTURE_KINDS, InputError, Lens, Listing, find_bits, kinds_of, list_files, read_picture
from preprocessing.ground import Reading as HowRead

# For sources that name no rate of their own.
DEFAULT_FPS = 10.0


@dataclass(frozen=True)
class Loaded:
    """One decoded frame, uint8 `[H, W, 3]` RGB.

    timestamp_s: its time in the video [s], of a live source that of the clock (Unix time) when it arrived; None where
    there is none. arrived: the same moment on `time.perf_counter`, for live sources only. lens: of this frame as it is,
    where the source tells it.
    """

    name: str
    image: NDArray[np.uint8]
    timestamp_s: float | None = None
    arrived: float | None = None
    lens: Lens | None = None


@dataclass(frozen=True)
class Skipped:
    """A frame that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Notice:
    """A notice about the source; without text: still waiting for it."""

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


def open_source(text: str | Path, reconnect_s: float = 0.0, without: Sequence[Path] = ()) -> Source:
    """Open a folder, an image, a video file, a camera (`0` or `/dev/video0`), a URL or a GStreamer pipeline.

    A pipeline is recognised by its ` ! ` and ends in `appsink`. reconnect_s: how long a lost live source is tried again
    before the stream ends [s]. without: folders whose pictures are none of the source's, as those of results.
    Raises: InputError, one line, where there is nothing to read, it cannot be opened, or this OpenCV lacks what it
    needs.
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
        return _folder(path, text, without)
    if not path.exists():
        raise InputError(
            f"{text}: no such source; give a folder, an image, a video, a camera index, a URL or a GStreamer pipeline"
        )
    if path.suffix.lower() in PICTURE_KINDS:
        return _pictures([(path.stem, path)], text)
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
    """The pictures in `folder` and in all folders in it, sorted.

    Hidden files are not looked at. Raises: InputError where there are none.
    """
    found = _listed(folder)
    return sorted([*found.files.values(), *found.hidden])  # nothing is joined by name here: a.jpg is none of a.png's


def _listed(folder: Path) -> Listing:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder of pictures")
    return list_files(folder).require(PICTURE_KINDS, "no pictures in this folder")


def _folder(folder: Path, description: str, without: Sequence[Path]) -> Source:
    """Frames are named by their path below the folder: two drives may have equal names."""
    listing = _listed(folder)
    left_out = [one.absolute() for one in without if one.absolute() != folder.absolute()]
    paths = sorted([*listing.files.values(), *listing.hidden])
    named = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in paths]
    kept = [(name, path) for name, path in named if not any(path.absolute().is_relative_to(one) for one in left_out)]
    if not kept:
        raise InputError(f"{folder}: no pictures but those of the output; give another --out")
    unread = f"{folder}: {kinds_of(listing.others)} not read" if listing.others else ""
    return _pictures(kept, description, unread)


def _pictures(paths: Sequence[tuple[str, Path]], description: str, unread: str = "") -> Source:
    def frames() -> Frames:
        warned = set[str]()
        how = HowRead(bits=find_bits([path for _, path in paths]), turned=True)
        if unread:
            yield Notice(unread)
        for name, path in paths:
            try:
                image, note = read_picture(path, how)
            except InputError as error:
                yield Skipped(path.name, str(error))
                continue
            if note and note not in warned:
                warned.add(note)
                yield Notice(f"{path.name}: {note}")
            yield Loaded(name, image)

    return Source(description, frames, len(paths), DEFAULT_FPS)


POLICIES = ("auto", "every", "latest")


@dataclass(frozen=True)
class Reading:
    """How a source is read.

    policy: `every` frame is inferred, however late; of `latest` those that come faster than the network, or than its
    results are taken, are dropped and counted, and a file is played at its own rate; `auto` is latest for live sources,
    else every. limit: frames at most. loop: how often a file is repeated, 0 = for ever. reconnect_s: how long a lost
    live source is tried again [s]. in_flight: frames in the network at once, of `every` frame only: of `latest` there
    is never more than one in it, and a session opened for several would be slower for it.
    Raises: InputError for values that cannot be.
    """

    policy: str = "auto"
    limit: int | None = None
    loop: int = 1
    reconnect_s: float = 30.0
    in_flight: int = 1

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise InputError(f"policy {self.policy!r}: choose {', '.join(POLICIES)}")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"limit {self.limit}: give at least one frame")
        if self.in_flight < 1:
            raise InputError(f"in flight {self.in_flight}: give at least one frame")
        if self.in_flight > 1 and self.policy == "latest":
            raise InputError("in flight: with policy latest only the newest frame is in the network; give 1")

    def open(self, source: Source | str | Path, without: Sequence[Path] = ()) -> Source:
        """Open the source as it is to be read; `without`: as of `open_source`.

        Raises: InputError where it cannot be, or is live, so that `auto` is latest, with several frames in flight.
        """
        opened = source if isinstance(source, Source) else open_source(source, self.reconnect_s, without)
        if self.in_flight > 1 and self.takes_latest(opened):
            raise InputError(
                f"in flight: {opened.description} is live, so only its newest frame is in the network; give 1 or policy"
                " every"
            )
        return looped(opened, self.loop)

    def takes_latest(self, source: Source) -> bool:
        """Whether frames are dropped."""
        return self.policy == "latest" or (self.policy == "auto" and source.live)
