"""MCAP: read from the front, record by record, so that a file without its end gives all that it holds."""

import struct
from collections.abc import Iterator, Set
from pathlib import Path

from preprocessing.ground import first_line
from preprocessing.sets.bags.message import CutOff, Encoding, Held, Message, full_type

MAGIC = b"\x89MCAP0\r\n"
_ENCODINGS: dict[str, Encoding] = {"cdr": "cdr", "ros1": "ros1"}
_LARGEST_RECORD = 1 << 31
"""A length beyond this is damage, not a chunk."""


def read_mcap(path: Path, topics: Set[str] | None) -> Iterator[Message]:
    """Yield the messages of a file; those in other encodings than ROS's (protobuf, JSON) are left out."""
    from mcap.exceptions import McapError
    from mcap.records import Channel, Schema
    from mcap.records import Message as Record
    from mcap.stream_reader import StreamReader

    schemas: dict[int, str] = {}
    channels: dict[int, tuple[str, str, Encoding] | None] = {}
    with open(path, "rb") as file:
        try:
            # Checksums are of whole chunks; without them damaged pictures would go through.
            for record in StreamReader(file, validate_crcs=True, record_size_limit=_LARGEST_RECORD).records:
                if isinstance(record, Schema):
                    schemas[record.id] = full_type(record.name)
                elif isinstance(record, Channel):
                    encoding = _ENCODINGS.get(record.message_encoding)
                    wanted = encoding is not None and (topics is None or record.topic in topics)
                    kind = schemas.get(record.schema_id, "")
                    channels[record.id] = (record.topic, kind, encoding) if wanted and encoding else None
                elif isinstance(record, Record) and (channel := channels.get(record.channel_id)) is not None:
                    yield Message(*channel, record.log_time, record.data)
        except (McapError, ValueError, struct.error, EOFError, RuntimeError, MemoryError, OSError) as error:
            # Decompression of half a chunk raises what lz4 and zstandard raise: RuntimeError and ValueError's kin.
            raise CutOff(f"{path}: ends or is damaged at byte {file.tell()} ({_said(error)})") from None
        except Exception as error:
            if type(error).__module__.split(".")[0] != "zstandard":
                raise
            raise CutOff(f"{path}: is damaged before byte {file.tell()} ({_said(error)})") from None


def list_mcap(path: Path) -> dict[str, Held] | None:
    """The topics of a file by the summary at its end; None where it has none, as one that was cut off."""
    from mcap.exceptions import McapError
    from mcap.reader import SeekingReader

    try:
        with open(path, "rb") as file:
            summary = SeekingReader(file, record_size_limit=_LARGEST_RECORD).get_summary()
    except (McapError, ValueError, struct.error, EOFError, MemoryError, OSError):
        return None
    if summary is None or summary.statistics is None or not summary.channels:
        return None
    found: dict[str, Held] = {}
    for number, channel in summary.channels.items():
        if channel.message_encoding in _ENCODINGS and channel.schema_id in summary.schemas:
            kind = full_type(summary.schemas[channel.schema_id].name)
            count = summary.statistics.channel_message_counts.get(number, 0)
            found[channel.topic] = Held(kind, count + (found[channel.topic].count if channel.topic in found else 0))
    return found


def _said(error: Exception) -> str:
    return first_line(error)
