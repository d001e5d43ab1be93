"""The topics of a bag: what there is, and which are the two pictures of a stereo pair and their cameras."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from preprocessing.ground import InputError
from preprocessing.sets.bags.bag import Bag
from preprocessing.sets.bags.decoding import CAMERA_INFO, COMPRESSED, IMAGE, Header, header_of, stamp_of
from preprocessing.sets.bags.message import Message

# Words for left and right in the names of topics; the first that a name has counts.
SIDES = (
    ("left", "right"),
    ("infra1", "infra2"),
    ("fisheye1", "fisheye2"),
    ("cam0", "cam1"),
    ("cam_0", "cam_1"),
    ("camera0", "camera1"),
    ("camera_0", "camera_1"),
    ("image_0", "image_1"),
    ("image_00", "image_01"),
)
_NO_PICTURE = re.compile(r"depth|dispar|mask|label|segment|debug|overlay|theora|ffmpeg|point", re.IGNORECASE)
_DEPTH = ("32FC1", "16UC1")


@dataclass
class Topic:
    """One topic.

    Attributes:
        name, type: As in the bag; ROS 1's types under their names in ROS 2.
        count: Messages.
        stamps_ns: The header's stamp of each picture, in the order of the file; [] of other types.
        times_ns: When each was recorded.
        first: Its first message, of pictures and cameras.
        header: What that says of all its pictures; None where it cannot be read.
    """

    name: str
    type: str
    count: int = 0
    stamps_ns: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    first: Message | None = None
    header: Header | None = None

    @property
    def is_picture(self) -> bool:
        """Whether it holds pictures, of a camera or of depth."""
        return self.type in (IMAGE, COMPRESSED)

    @property
    def is_depth(self) -> bool:
        """Whether its pictures are distances."""
        encoding = self.header.encoding if self.header is not None else ""
        return encoding.startswith(_DEPTH) or "compressedDepth" in encoding

    def describe(self) -> str:
        """One line for a list of topics."""
        parts = [f"{self.name}  {self.type}  {self.count} messages"]
        if self.header is not None:
            size = "x".join(map(str, self.header.size)) if self.header.size else ""
            parts += [" ".join(part for part in (size, self.header.encoding) if part)]
        if len(self.stamps_ns) > 1 and (span := max(self.stamps_ns) - min(self.stamps_ns)) > 0:
            parts.append(f"{(len(self.stamps_ns) - 1) / span * 1e9:.1f} /s")
        return "  ".join(parts)


def scan(bag: Bag) -> dict[str, Topic]:
    """Read a bag through once: its topics by name, sorted. Nothing but stamps and first messages is kept.

    Raises: InputError where there is no message.
    """
    from preprocessing.ground import progress  # a vehicle has no rich

    found: dict[str, Topic] = {}
    with progress("looking into the bag", None, "messages") as bar:
        for message in bag.messages():
            topic = found.setdefault(message.topic, Topic(message.topic, message.type))
            topic.count += 1
            if message.type in (IMAGE, COMPRESSED, CAMERA_INFO):
                _note(topic, message)
            bar.advance()
    if not found:
        raise InputError(f"{bag.path}: not one message in it" + "".join(f"; {line}" for line in bag.cut))
    return dict(sorted(found.items()))


def _note(topic: Topic, message: Message) -> None:
    try:
        if topic.is_picture:
            topic.stamps_ns.append(stamp_of(message))
            topic.times_ns.append(message.time_ns)
        if topic.first is None:
            topic.first = Message(message.topic, message.type, message.encoding, message.time_ns, bytes(message.data))
            topic.header = header_of(topic.first) if topic.is_picture else None
    except InputError:  # who asks for the topic hears of it
        return


@dataclass(frozen=True)
class Chosen:
    """The topics of a stereo pair; an info topic is None where the bag has none for it."""

    left: str
    right: str
    left_info: str | None
    right_info: str | None
    truth: str | None = None


@dataclass(frozen=True)
class AskedTopics:
    """Topics that a user names; None = to be guessed (`truth`: to be left out)."""

    left: str | None = None
    right: str | None = None
    left_info: str | None = None
    right_info: str | None = None
    truth: str | None = None


def choose(topics: Mapping[str, Topic], asked: AskedTopics, bag: str) -> Chosen:
    """Take the named topics, and guess the others by their names and types.

    Raises: InputError naming a topic that is not there with the nearest one, or the pairs where there are several.
    """
    pictures = [name for name, topic in topics.items() if topic.is_picture]
    for name, option, allowed in (
        (asked.left, "--left", pictures),
        (asked.right, "--right", pictures),
        (asked.truth, "--truth", pictures),
        (asked.left_info, "--left-info", _infos(topics)),
        (asked.right_info, "--right-info", _infos(topics)),
    ):
        if name is not None and name not in allowed:
            raise InputError(f"{bag}: {_not_there(name, option, topics, allowed)}")
    left, right = asked.left, asked.right
    if left is not None and right is None:
        right = _other(left, pictures, bag, "--right")
    elif right is not None and left is None:
        left = next((one for one in pictures if _partner(one, pictures) == right), None)
    elif left is None:
        left, right = _guess(topics, bag)
    if left is None or right is None:
        raise InputError(f"{bag}: no left topic goes with {right}; name it with --left, one of {_listed(pictures)}")
    if left == right:
        raise InputError(f"{bag}: {left} is both --left and --right")
    infos = _infos(topics)
    return Chosen(
        left, right, asked.left_info or _info(left, infos), asked.right_info or _info(right, infos), asked.truth
    )


def _infos(topics: Mapping[str, Topic]) -> list[str]:
    return [name for name, topic in topics.items() if topic.type == CAMERA_INFO]


def _not_there(name: str, option: str, topics: Mapping[str, Topic], allowed: list[str]) -> str:
    if name in topics:
        return f"{option} {name} is a {topics[name].type}; offered: {_listed(allowed)}"
    near = difflib.get_close_matches(name, allowed, 1, 0.4)
    hint = f"did you mean {near[0]}?" if near else f"there are: {_listed(allowed)}"
    return f"no topic {name} ({option}); {hint}"


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "") or "none"


def _partner(left: str, names: Iterable[str]) -> str | None:
    """The topic with right for left in its name."""
    known = set(names)
    for first, second in SIDES:
        for found in re.finditer(re.escape(first), left):
            other = left[: found.start()] + second + left[found.end() :]
            if other in known:
                return other
            everywhere = left.replace(first, second)
            if everywhere in known and everywhere != left:
                return everywhere
    return None


def _other(left: str, pictures: list[str], bag: str, option: str) -> str:
    found = _partner(left, pictures)
    if found is None:
        raise InputError(f"{bag}: no topic goes with {left} by its name; name it with {option}: {_listed(pictures)}")
    return found


def _guess(topics: Mapping[str, Topic], bag: str) -> tuple[str, str]:
    """The best pair by names: rectified before raw, without loss before compressed, colour before grey."""
    usable = [
        name
        for name, topic in topics.items()
        if topic.is_picture and not topic.is_depth and not _NO_PICTURE.search(name)
    ]
    pairs = [(left, right) for left in usable if (right := _partner(left, usable)) is not None]
    if not pairs:
        raise InputError(
            f"{bag}: no two topics look like left and right; name them with --left and --right: {_listed(usable)}"
        )
    groups = {_stem(left) for left, _ in pairs}
    if len(groups) > 1:
        raise InputError(
            f"{bag}: several pairs: {_listed(f'{left} and {right}' for left, right in pairs)}; choose with --left"
        )
    return max(pairs, key=lambda pair: _rank(topics[pair[0]]))


def _stem(left: str) -> str:
    """What of a name stands before and within the part that says left: one for each stereo camera."""
    for first, _ in SIDES:
        if first in left:
            before, _, after = left.partition(first)
            return before + "|" + after.split("/")[0]
    return left


def _rank(topic: Topic) -> tuple[bool, bool, bool, int]:
    encoding = topic.header.encoding if topic.header is not None else ""
    grey = encoding.startswith(("mono", "8UC1", "16UC1"))
    return is_rectified_name(topic.name), topic.type == IMAGE, not grey, topic.count


def is_rectified_name(name: str) -> bool:
    """Whether a topic's name says that its pictures are rectified (image_rect, image_rect_color, rectified)."""
    return re.search(r"rect(?!angle)", name) is not None and "unrect" not in name


def _info(picture: str, infos: list[str]) -> str | None:
    """The CameraInfo that goes with a topic of pictures: camera_info in its folder or one above, else by its name."""
    parts = picture.split("/")[:-1]
    while len(parts) > 1:
        if (name := "/".join((*parts, "camera_info"))) in infos:
            return name
        parts.pop()
    alike = [name for name in infos if _same_side(picture, name)]
    return max(alike, key=lambda name: difflib.SequenceMatcher(None, name, picture).ratio(), default=None)


def _same_side(picture: str, info: str) -> bool:
    for first, second in SIDES:
        for side in (first, second):
            if side in picture:
                return side in info
    return True
