"""The pictures of one topic of a ROS bag: with the stamps, frames and cameras that their messages name; no ROS."""

import heapq
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from export.sources.frames import DEFAULT_FPS, Distortion, Frames, Loaded, Notice, Skipped, Source
from preprocessing.ground import InputError, bits_up_to
from preprocessing.sets.bags import (
    CAMERA_INFO,
    Bag,
    Message,
    PictureCamera,
    choose_picture,
    frame_id_of,
    info_beside,
    is_bag,
    is_rectified_name,
    open_bag,
    picture_camera,
    picture_of,
    rgb_and_note,
    stamp_of,
)

PREFIX = "bag:"
_WAITING = 4  # so many pictures wait, not decoded, for older ones that were recorded after them, and for their camera
_LOOKED_AT = 12  # pictures at the beginning whose interval is the rate
_FAR = 200  # pictures by which a CameraInfo must have come to be that of the first ones, too
_CAMERAS_KEPT = 32
_AFTER_STAMP = 12  # bytes of a message until its header's stamp ends; what follows says whether a camera has changed


def split_topic(text: str, topic: str | None) -> tuple[Path, str | None]:
    """The path and the topic of `bag:PATH` or `bag:PATH:/topic`; `topic`: as an option says it.

    Raises: InputError where both say different ones.
    """
    rest = text.removeprefix(PREFIX)
    whole = Path(rest).expanduser()
    path, _, named = rest.rpartition(":")
    if whole.exists() or not path:
        return whole, topic
    if topic is not None and topic.lstrip("/") != named.lstrip("/"):
        raise InputError(f"{text}: names the topic {named}, --topic {topic}; give one of them")
    return Path(path).expanduser(), named


def bag_of(text: str | Path) -> Path | None:
    """The bag that a source names, as a path or as `bag:PATH:/topic`; None where it names none."""
    path = Path(text).expanduser()
    if str(text).startswith(PREFIX) and not path.exists():
        return split_topic(str(text), None)[0]
    return path if path.exists() and is_bag(path) else None


def open_bag_topic(path: Path, topic: str | None = None) -> Source:
    """A bag of any kind that `preprocess` reads, and a topic of Image or CompressedImage in it.

    topic: None = the only one there is. Each picture has the stamp of its header, or where that is 0 the time of
    recording, its frame_id, and the lens of the CameraInfo beside it: that of its own stamp, else the last before it.
    Raises: InputError where the bag or the topic is not there, or packages are missing.
    """
    bag = open_bag(path)
    topics = bag.topics()
    types = {name: one.type for name, one in topics.items()}
    if not types:
        raise InputError(f"{path}: not one message in it" + "".join(f"; {line}" for line in bag.cut))
    chosen = choose_picture(types, topic, str(path))
    info = info_beside(chosen, (name for name, one in topics.items() if one.type == CAMERA_INFO and one.count))
    look = _look(bag, chosen, info)
    said = [f"{path}: {chosen}, the only topic of pictures"] if topic is None else []

    def frames() -> Frames:
        yield from (Notice(line) for line in said)
        yield from _read(Bag(bag.path, bag.kind, bag.files), chosen, info, look)

    return Source(f"{path} {chosen}", frames, topics[chosen].count or None, look.fps)


@dataclass(frozen=True)
class _Look:
    """What the beginning of a topic says of all of it: its rate, the bits of its pictures, its first CameraInfo."""

    fps: float
    bits: int
    first: Message | None


def _look(bag: Bag, topic: str, info: str | None) -> _Look:
    first, times, largest, pictures = None, list[int](), 0, 0
    for message in Bag(bag.path, bag.kind, bag.files).messages({topic} | ({info} if info else set())):
        if message.topic == info:
            first = first or message
        elif (pictures := pictures + 1) <= _LOOKED_AT:
            try:
                times.append(stamp_of(message) or message.time_ns)
                if len(times) % 4 == 1:
                    picture = picture_of(message)
                    largest = max(largest, int(picture.max()) if picture.dtype == np.uint16 else 0)
            except InputError:  # said when it is read
                continue
        if pictures >= (_LOOKED_AT if first is not None or info is None else _FAR):
            break
    apart = sorted(np.diff(sorted(times)).tolist())
    middle = apart[len(apart) // 2] if apart else 0
    fps = 1e9 / middle if 1e6 <= middle <= 1e12 else DEFAULT_FPS
    return _Look(round(fps, 3), bits_up_to(largest), first)


@dataclass
class _Cameras:
    """The CameraInfos that have been read: one that stays the same is kept once."""

    topic: str | None
    is_rectified: bool
    first: Message | None
    _recent: dict[int, Message] = field(default_factory=dict)  # stamp -> message, in the order of the bag
    _known: dict[tuple[bytes, tuple[int, int]], PictureCamera] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        self._recent[stamp_of(message) or message.time_ns] = message
        while len(self._recent) > _CAMERAS_KEPT:
            del self._recent[next(iter(self._recent))]

    def at(self, stamp_ns: int, size: tuple[int, int]) -> PictureCamera | None:
        """That of a picture. Raises: InputError where the message is garbled."""
        before = [stamp for stamp in self._recent if stamp <= stamp_ns]
        message = self._recent[max(before)] if before else self.first
        if message is None:
            return None
        key = bytes(message.data[_AFTER_STAMP:]), size
        if key not in self._known:
            if len(self._known) >= _CAMERAS_KEPT:
                self._known.clear()
            self._known[key] = picture_camera(message, self.is_rectified, size)
        return self._known[key]


@dataclass
class _Told:
    """What has been said of a topic; of each kind the first."""

    kinds: set[str] = field(default_factory=set)

    def once(self, kind: str, text: str) -> Iterator[Notice]:
        if kind not in self.kinds:
            self.kinds.add(kind)
            yield Notice(text)


def _read(bag: Bag, topic: str, info: str | None, look: _Look) -> Frames:
    cameras, told = _Cameras(info, is_rectified_name(topic), look.first), _Told()
    waiting: list[tuple[int, int, Message]] = []
    messages = bag.messages({topic} | ({info} if info else set()))
    newest = -1
    for number, message in enumerate(messages):
        if message.topic == info:
            try:
                cameras.take(message)
            except InputError as error:
                yield from told.once("garbled camera", str(error))
            continue
        try:
            stamp = stamp_of(message)
        except InputError as error:
            yield Skipped(str(message.time_ns), str(error))
            continue
        if not stamp:
            stamp = message.time_ns
            yield from told.once("stamps", f"{topic}: headers without a stamp: the time of recording is taken")
        heapq.heappush(waiting, (stamp, number, message))
        if len(waiting) > _WAITING:
            newest = yield from _give(heapq.heappop(waiting), newest, cameras, told, look)
    while waiting:
        newest = yield from _give(heapq.heappop(waiting), newest, cameras, told, look)
    for line in bag.cut:
        yield Skipped(topic, line)


def _give(
    waited: tuple[int, int, Message], newest: int, cameras: _Cameras, told: _Told, look: _Look
) -> Generator[Loaded | Skipped | Notice, None, int]:
    """One picture with all that is said of it; returns the newest stamp so far."""
    stamp, _, message = waited
    topic, name = message.topic, str(stamp)
    if stamp < newest:
        yield from told.once(
            "late", f"{topic}: pictures were recorded long after newer ones, {name} first; each keeps its stamp"
        )
    try:
        image, note = rgb_and_note(picture_of(message), topic, look.bits)
        camera = cameras.at(stamp, (image.shape[1], image.shape[0]))
    except InputError as error:
        yield Skipped(name, str(error))
        return max(stamp, newest)
    if note:
        yield from told.once(note, f"{topic}: {note}")
    if camera is not None:
        yield from told.once(camera.note, camera.note)
    loaded = Loaded(name, image, stamp, frame_id=frame_id_of(message))
    if camera is not None and camera.lens is not None:
        bent = Distortion(camera.model, camera.coefficients) if camera.coefficients else None
        loaded = replace(loaded, lens=camera.lens, distortion=bent)
    yield loaded
    return max(stamp, newest)
