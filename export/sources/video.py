"""Films through PyAV: every frame with the time that its file gives it, and told where it is not whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from export.sources.colours import Pictures, notes
from export.sources.damage import Ledger
from export.sources.frames import DEFAULT_FPS, Frames, Loaded, Notice, Skipped, Source, check_fps
from export.sources.nal import follow
from export.sources.times import Times
from preprocessing.ground import InputError

INSTALL_PYAV = "pip install 'advmtl[video]'"
# URLs of these endings are files; others may be live.
KINDS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
DAMAGED = ("skip", "keep")
# Elementary streams: pictures without times.
RAW = {"h264", "hevc", "vvc", "m4v", "mpegvideo", "mjpeg", "vc1", "obu"}
RAW_FPS = Fraction(25)
# No stream has this rate: whoever has it has none of its own.
NO_RATE = Fraction(7919, 1000)
# Their parser gives a packet when it sees the next one, and that one's mark of damage with it.
PARSED = {"mpegts", "mpeg"}
# Of codecs that give one frame a packet.
COMPLETE = {"h264", "hevc"}
# A server is lost when it is silent for so long [s].
OPEN_TIMEOUT_S, READ_TIMEOUT_S = 10.0, 20.0


@dataclass(frozen=True)
class Film:
    """How films are read. damaged: frames that are not whole are skipped and listed, or kept and told (`keep`). fps:
    the rate of films without times, 0 = what they state. Raises: InputError for another word or a rate of no film.
    """

    damaged: str = "skip"
    fps: float = 0.0

    def __post_init__(self) -> None:
        if self.damaged not in DAMAGED:
            raise InputError(f"--damaged {self.damaged}: choose {' or '.join(DAMAGED)}")
        check_fps(self.fps)


def import_av() -> Any | None:
    """PyAV; None where it is not installed or cannot be loaded."""
    try:
        import av
    except ImportError:
        return None
    return av


def is_film(url: str) -> bool:
    """Whether a URL names a file, by its scheme or ending."""
    found = urlsplit(url)
    return found.scheme == "file" or (
        found.scheme in ("http", "https", "ftp") and Path(found.path).suffix.lower() in KINDS
    )


def by_opencv(source: Source) -> Source:
    """The source with a notice of what is not known without PyAV."""

    def frames() -> Frames:
        yield Notice(
            f"{source.description}: read by OpenCV, which tells neither damaged frames nor all times;"
            f" {INSTALL_PYAV} does"
        )
        yield from source.frames()

    return Source(source.description, frames, source.total, source.fps, source.live)


def open_film(text: str, how: Film | None = None) -> Source:
    """A film by path or URL. Raises: InputError where it cannot be opened or has no pictures."""
    how, unread = how or Film(), [_Opened(text)]
    opened = unread[0]
    stream, rate = opened.stream, opened.rate(how)
    announced = stream.frames or round((opened.announced_s() or 0.0) * rate)

    def frames() -> Frames:
        again = unread.pop() if unread else _Opened(text)
        try:
            yield from _read(again, how)
        finally:
            again.container.close()

    return Source(text, frames, announced or None, float(rate))


class _Opened:
    """A container, and the stream in it that is the film."""

    def __init__(self, text: str) -> None:
        import av

        self.text = text
        timeout = (OPEN_TIMEOUT_S, READ_TIMEOUT_S) if "://" in text and not text.startswith("file:") else None
        try:
            self.container: Any = av.open(text, timeout=timeout)
            if self.container.format.name in RAW:
                self.container.close()
                self.container = av.open(text, options={"framerate": str(NO_RATE)}, timeout=timeout)
        except (av.FFmpegError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"{text}: cannot be opened (is it a video, and whole? {reason})") from None
        covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
        best = self.container.streams.best("video")
        if best is None or best.disposition & covers or best.codec_context is None:
            self.container.close()
            raise InputError(f"{text}: no film in it, {'a cover picture only' if best else 'no pictures at all'}")
        self.stream: Any = best
        context = best.codec_context
        context.copy_opaque = True  # frames tell the packet that they are of
        context.flags |= av.codec.context.Flags.output_corrupt
        # One thread: what fails is then raised for the very packet, and the network needs the other cores.
        context.thread_count = 1

    @property
    def raw(self) -> bool:
        """Whether it has no times."""
        return self.container.format.name in RAW

    def times(self, how: Film) -> Times:
        """What tells the time of its frames."""
        asked = "as asked" if how.fps else "as nothing else is known" if self._stated() is None else "as it states"
        decoding = self.container.format.name == "avi"
        return Times(self.stream.time_base, self.rate(how), asked, self.raw, self.announced_s(), decoding)

    def _stated(self) -> Fraction | None:
        """The rate in a stream without times."""
        stated = self.stream.codec_context.framerate
        return Fraction(stated) if stated and stated != NO_RATE and 0 < stated <= 1000 else None

    def rate(self, how: Film) -> Fraction:
        """Frames/s: of a film without times what is asked for or what it states."""
        if self.raw:
            return Fraction(how.fps).limit_denominator(100_000) if how.fps else self._stated() or RAW_FPS
        for rate in (self.stream.average_rate, self.stream.guessed_rate):
            if rate and 0 < rate <= 1000:
                return Fraction(rate)
        return Fraction(DEFAULT_FPS)

    def announced_s(self) -> float | None:
        """When the film ends by what its file says [s], None where that is an estimate."""
        stream, names = self.stream, self.container.format.name.split(",")
        if "matroska" in names:
            stated = {key.upper().split("-")[0]: value for key, value in stream.metadata.items()}.get("DURATION")
            if stated is not None:
                hours, minutes, seconds = stated.split(":")
                return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
            alone = len(self.container.streams) == 1
            return self.container.duration / 1e6 if alone and self.container.duration else None
        if not {"mov", "avi", "flv", "asf"} & set(names) or not stream.duration:
            return None
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)


def _read(opened: _Opened, how: Film) -> Frames:
    pictures, times, told = Pictures(), opened.times(how), set[str]()
    context = opened.stream.codec_context
    count = 0
    if opened.raw:
        yield Notice(f"{opened.text}: {times.counted()}")
    for found, damage in _judged(opened):
        name = f"frame_{count:06d}"
        count += 1
        if isinstance(found, str):  # no frame came of a packet
            yield Skipped(name, found)
            continue
        stamp = times.of(found)
        for note in (*times.notes(name), *notes(found, int(context.color_trc), opened.stream.sample_aspect_ratio)):
            if (kind := note.split(" at ")[0]) not in told:
                told.add(kind)
                yield Notice(f"{name}: {note}")
        if damage and how.damaged == "skip":
            yield Skipped(name, f"at {stamp / 1e9:.3f} s: {damage}")
            continue
        yield Loaded(name, pictures.rgb(found), stamp, damage=damage)
    if (missing := times.missing()) is not None:
        yield Skipped(f"frame_{count:06d}", f"{opened.text}: {missing}")


def _judged(opened: _Opened) -> Iterator[tuple[Any, str]]:
    """Decoded frames and what is wrong with each; in place of a frame a text, where a packet gave none."""
    import av

    stream, format_name = opened.stream, opened.container.format.name
    context = stream.codec_context
    codec = context.codec.canonical_name
    reader, ledger, suspect = follow(codec, context.extradata), Ledger(codec in COMPLETE), ""

    def due(ended: bool = False) -> Iterator[tuple[Any, str]]:
        yield from ledger.ready(ended)
        while ledger.lost:
            pts, reason = ledger.lost.pop(0)
            at = "" if pts is None else f"at {float(pts * stream.time_base):.3f} s: "
            yield f"{at}{reason}", reason

    packets = opened.container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            packet = None
            yield f"reading the file failed ({error.strerror or error}); what follows is lost", ""
        if packet is None or not packet.size:
            break
        damage, mark = suspect, "a part of it did not arrive" if packet.is_corrupt else ""
        if format_name in PARSED:
            suspect = mark
        else:
            damage = mark
        facts = reader.facts(bytes(packet), packet.is_keyframe)
        number = ledger.packet(facts, packet.pts, damage, packet.is_discard or codec not in COMPLETE)
        packet.opaque = [number]  # PyAV keeps them by identity, and equal numbers are one object
        try:
            decoded = packet.decode()
        except av.FFmpegError as error:
            ledger.failed(number, f"it cannot be decoded ({error.strerror or error})")
            continue
        for frame in decoded:
            ledger.frame(_number(frame), frame, frame.is_corrupt)
        yield from due()
    try:
        rest = context.decode(None)
    except av.FFmpegError:
        rest = []
    for frame in rest:
        ledger.frame(_number(frame), frame, frame.is_corrupt)
    yield from due(ended=True)


def _number(frame: Any) -> int | None:
    return frame.opaque[0] if frame.opaque is not None else None
