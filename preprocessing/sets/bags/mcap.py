"""MCAP: read from the front, record by record, so that a file without its end gives all that it holds."""

import struct
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from preprocessing.ground import first_line
from preprocessing.sets.bags.message import CutOff, Encoding, Held, Message, full_type

MAGIC = b"\x89MCAP0\r\n"
_ENCODINGS: dict[str, Encoding] = {"cdr": "cdr", "ros1": "ros1"}
_LARGEST_RECORD = 1 << 31
"""A length beyond this is damage, not a chunk."""


def read_mcap(path: Path, topics: Set[str] | None) -> Iterator[Message]:
    """Yield the messages of a file; those in other encodings than ROS's (protobuf, JSON) are left out, and so are
    those of a chunk that is damaged: its checksum or its compression tells. What follows such a one is read.
    """
    from mcap.exceptions import McapError
    from mcap.records import Chunk
    from mcap.records import Message as Record
    from mcap.stream_reader import StreamReader, breakup_chunk

    channels, damaged = _Channels(topics), list[str]()
    if (summary := _summary(path)) is not None:  # what the first chunk names is known though it be damaged
        for named in (*summary.schemas.values(), *summary.channels.values()):
            channels.take(named)
    with open(path, "rb") as file:
        try:
            # Checksums are of whole chunks; without them damaged pictures would go through.
            reader = StreamReader(file, emit_chunks=True, validate_crcs=True, record_size_limit=_LARGEST_RECORD)
            for record in reader.records:
                try:
                    inside = breakup_chunk(record, validate_crc=True) if isinstance(record, Chunk) else [record]
                except Exception as error:
                    if not _is_damage(error, McapError):
                        raise
                    damaged.append(f"is damaged before byte {file.tell()} ({first_line(error)})")
                    continue
                for one in inside:
                    if not isinstance(one, Record):
                        channels.take(one)
                    elif (channel := channels.wanted.get(one.channel_id)) is not None:
                        yield Message(*channel, one.log_time, one.data)
        except Exception as error:
            if not _is_damage(error, McapError):
                raise
            if not damaged:  # a checksum of the whole file says no more than that of a chunk
                damaged.append(f"ends or is damaged at byte {file.tell()} ({first_line(error)})")
    if damaged:
        more = f", and {len(damaged) - 1} more of its chunks" if len(damaged) > 1 else ""
        raise CutOff(f"{path}: {damaged[0]}{more}")


class _Channels:
    """What is read of a file: channels by number, as its schemas and channels name them."""

    def __init__(self, topics: Set[str] | None) -> None:
        self._topics = topics
        self._schemas: dict[int, str] = {}
        self.wanted: dict[int, tuple[str, str, Encoding]] = {}

    def take(self, record: object) -> None:
        from mcap.records import Channel, Schema

        if isinstance(record, Schema):
            self._schemas[record.id] = full_type(record.name)
        elif isinstance(record, Channel):
            encoding = _ENCODINGS.get(record.message_encoding)
            if encoding is not None and (self._topics is None or record.topic in self._topics):
                self.wanted[record.id] = record.topic, self._schemas.get(record.schema_id, ""), encoding


def _is_damage(error: Exception, of_mcap: type[Exception]) -> bool:
    """Whether the file is to blame: decompression of a damaged chunk raises what lz4 and zstandard raise."""
    known = (of_mcap, ValueError, struct.error, EOFError, RuntimeError, MemoryError, OSError)
    return isinstance(error, known) or type(error).__module__.split(".")[0] == "zstandard"


def _summary(path: Path) -> Any:
    """The summary at the end of a file; None where it has none, as one that was cut off."""
    from mcap.exceptions import McapError
    from mcap.reader import SeekingReader

    try:
        with open(path, "rb") as file:
            return SeekingReader(file, record_size_limit=_LARGEST_RECORD).get_summary()
    except (McapError, ValueError, struct.error, EOFError, MemoryError, OSError):
        return None


def list_mcap(path: Path) -> dict[str, Held] | None:
    """The topics of a file by its summary; None where it has none."""
    summary = _summary(path)
    if summary is None or summary.statistics is None or not summary.channels:
        return None
    found: dict[str, Held] = {}
    for number, channel in summary.channels.items():
        if channel.message_encoding in _ENCODINGS and channel.schema_id in summary.schemas:
            kind = full_type(summary.schemas[channel.schema_id].name)
            former = found[channel.topic].count if channel.topic in found else 0
            found[channel.topic] = Held(kind, former + summary.statistics.channel_message_counts.get(number, 0))
    return found
