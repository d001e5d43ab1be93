"""What every kind of bag is made of: topics and messages, as they lie in the file."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Encoding = Literal["cdr", "ros1"]


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        topic, type: `/left/image_raw`, `sensor_msgs/msg/Image` (of ROS 1 too).
        encoding: How `data` is written: ROS 2's CDR or ROS 1's own way.
        time_ns: When it was recorded; pairs go by the header's stamp, not by this.
        data: The message itself.
    """

    topic: str
    type: str
    encoding: Encoding
    time_ns: int
    data: bytes | memoryview


class CutOff(Exception):
    """The file ends, or cannot be read, in the middle; what came before is whole. The text says where and why."""


@dataclass(frozen=True)
class Held:
    """What a bag says of one topic: its type, and how many messages it has."""

    type: str
    count: int


ListTopics = Callable[[Path], dict[str, Held] | None]
"""file -> its topics by its index, without its messages; None where it has none, as one that was cut off."""
ReadMessages = Callable[[Path, Set[str] | None], Iterator[Message]]
"""(file, topics or None for all) -> its messages in the order of the file. Raises `CutOff` after the last whole one."""


def full_type(name: str) -> str:
    """`sensor_msgs/Image` of ROS 1 under its name in ROS 2."""
    package, _, rest = name.partition("/")
    return name if rest.startswith("msg/") or not rest else f"{package}/msg/{rest}"
