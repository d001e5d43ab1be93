"""The topics of a bag: what there is."""

from dataclasses import dataclass, field

from preprocessing.ground import InputError
from preprocessing.sets.bags.bag import Bag
from preprocessing.sets.bags.decoding import (
    CAMERA_INFO,
    CLOUD,
    COMPRESSED,
    IMAGE,
    TRANSFORMS,
    Header,
    header_of,
    stamp_of,
)
from preprocessing.sets.bags.message import Message

_DEPTH = ("32FC1", "16UC1")


@dataclass
class Topic:
    """One topic.

    Attributes:
        name, type: As in the bag; ROS 1's types under their names in ROS 2.
        count: Messages.
        stamps_ns: The header's stamp of each picture or cloud, in the order of the file; [] of other types.
        times_ns: When each was recorded.
        first: Its first message, of pictures, clouds and cameras.
        header: What that says of all of them; None where it cannot be read.
        kept: All its messages, of transforms that stand still: they are few, and another pass takes long.
    """

    name: str
    type: str
    count: int = 0
    stamps_ns: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    first: Message | None = None
    header: Header | None = None
    kept: list[Message] = field(default_factory=list)

    @property
    def is_picture(self) -> bool:
        """Whether it holds pictures, of a camera or of depth."""
        return self.type in (IMAGE, COMPRESSED)

    @property
    def is_cloud(self) -> bool:
        """Whether it holds points in space, as of a lidar."""
        return self.type == CLOUD

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
            if message.type in (IMAGE, COMPRESSED, CAMERA_INFO, CLOUD):
                _note(topic, message)
            elif is_static(topic):
                topic.kept.append(_copy(message))
            bar.advance()
    if not found:
        raise InputError(f"{bag.path}: not one message in it" + "".join(f"; {line}" for line in bag.cut))
    return dict(sorted(found.items()))


def _note(topic: Topic, message: Message) -> None:
    try:
        if topic.type != CAMERA_INFO:
            topic.stamps_ns.append(stamp_of(message))
            topic.times_ns.append(message.time_ns)
        if topic.first is None:
            topic.first = _copy(message)
            topic.header = header_of(topic.first)
    except InputError:  # who asks for the topic hears of it
        return


def _copy(message: Message) -> Message:
    return Message(message.topic, message.type, message.encoding, message.time_ns, bytes(message.data))


def is_static(topic: Topic) -> bool:
    """Whether it is /tf_static, of any namespace."""
    return topic.type in TRANSFORMS and topic.name.endswith("static")
