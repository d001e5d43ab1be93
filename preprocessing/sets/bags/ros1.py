"""ROS 1's bags (format 2.0), read from the front, chunk by chunk: one that was cut off has no index.

http://wiki.ros.org/Bags/Format/2.0. Readers that begin with the index need `rosbag reindex` for such a bag.
"""

import bz2
import io
import struct
from collections.abc import Iterator, Set
from pathlib import Path
from typing import IO

from preprocessing.ground import first_line
from preprocessing.sets.bags.message import CutOff, Held, Message, full_type

MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _CHUNK, _CHUNK_INFO, _CONNECTION = 2, 5, 6, 7
_LARGEST = 1 << 31


def read_ros1(path: Path, topics: Set[str] | None) -> Iterator[Message]:
    """Yield the messages of a file in its order."""
    known: dict[bytes, tuple[str, str] | None] = {}
    with open(path, "rb") as file:
        file.seek(len(MAGIC))
        try:
            while first := file.read(4):
                fields = _fields(_block(file, first))
                whole = _op(fields) != _CHUNK or fields["compression"] != b"none"
                length = file.read(4)
                data = _block(file, length, whole)
                if _op(fields) == _CHUNK:
                    # Connections and messages stand in chunks, and connections at the end of the file once more.
                    inner = io.BytesIO(_decompressed(fields, data))
                    while (part := _record(inner)) is not None:
                        yield from _message(*part, known, topics)
                    if len(data) < struct.unpack("<I", length)[0]:
                        raise ValueError("a chunk is cut off")
                else:
                    yield from _message(fields, data, known, topics)
        except (ValueError, struct.error, EOFError, OSError, KeyError, RuntimeError, MemoryError) as error:
            raise CutOff(f"{path}: ends or is damaged at byte {file.tell()} ({first_line(error)})") from None


def list_ros1(path: Path) -> dict[str, Held] | None:
    """The topics of a file by the index at its end; None where it has none, as one that was cut off."""
    counts: dict[int, int] = {}
    known: dict[int, tuple[str, str]] = {}
    try:
        with open(path, "rb") as file:
            file.seek(len(MAGIC))
            head = _record(file)
            (place,) = struct.unpack("<Q", head[0]["index_pos"]) if head is not None else (0,)
            if not place:
                return None
            file.seek(place)
            while (record := _record(file)) is not None:
                fields, data = record
                if _op(fields) == _CONNECTION:
                    kind = _fields(data).get("type", b"").decode("utf-8", "replace")
                    number = struct.unpack("<I", fields["conn"])[0]
                    known[number] = fields["topic"].decode("utf-8", "replace"), full_type(kind)
                elif _op(fields) == _CHUNK_INFO:
                    for number, count in struct.iter_unpack("<II", data):
                        counts[number] = counts.get(number, 0) + count
    except (ValueError, struct.error, KeyError, MemoryError, OSError):
        return None
    found: dict[str, Held] = {}
    for number, (topic, kind) in known.items():
        former = found[topic].count if topic in found else 0  # each publisher has a connection of its own
        found[topic] = Held(kind, former + counts.get(number, 0))
    return found or None


def _message(
    fields: dict[str, bytes], data: bytes, known: dict[bytes, tuple[str, str] | None], topics: Set[str] | None
) -> Iterator[Message]:
    kind = _op(fields)
    if kind == _CONNECTION:
        topic = fields["topic"].decode("utf-8", "replace")
        name = _fields(data).get("type", b"").decode("utf-8", "replace")
        known[fields["conn"]] = (topic, full_type(name)) if topics is None or topic in topics else None
    elif kind == _MESSAGE and (found := known.get(fields["conn"])) is not None:
        seconds, nanoseconds = struct.unpack("<II", fields["time"])
        yield Message(*found, "ros1", seconds * 10**9 + nanoseconds, data)


def _op(fields: dict[str, bytes]) -> int:
    return fields["op"][0]


def _record(file: IO[bytes]) -> tuple[dict[str, bytes], bytes] | None:
    """Header fields and data of the next record; None at the end. Raises: ValueError where it is cut off."""
    first = file.read(4)
    if not first:
        return None
    return _fields(_block(file, first)), _block(file, file.read(4))


def _block(file: IO[bytes], length: bytes, whole: bool = True) -> bytes:
    """What stands behind its length; of a chunk that is not compressed, the part that is there is good too."""
    (count,) = struct.unpack("<I", length)
    if count > _LARGEST:
        raise ValueError("a record of more than 2 GB")
    data = file.read(count)
    if whole and len(data) < count:
        raise ValueError("a record is cut off")
    return data


def _fields(data: bytes) -> dict[str, bytes]:
    found, at = {}, 0
    while at < len(data):
        (count,) = struct.unpack_from("<I", data, at)
        name, _, value = data[at + 4 : at + 4 + count].partition(b"=")
        found[name.decode("utf-8", "replace")] = value
        at += 4 + count
    return found


def _decompressed(fields: dict[str, bytes], data: bytes) -> bytes:
    kind = fields["compression"]
    if kind == b"none":
        return data
    if kind == b"bz2":
        return bz2.decompress(data)
    if kind == b"lz4":
        import lz4.frame

        return bytes(lz4.frame.decompress(data))
    raise ValueError(f"compression {kind!r} is unknown")
