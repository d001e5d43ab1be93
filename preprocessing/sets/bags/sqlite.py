"""ROS 2's SQLite files (.db3), read with Python's own sqlite3: a bag that was never closed has no metadata.yaml."""

import sqlite3
from collections.abc import Iterator, Set
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from preprocessing.ground import InputError, first_line
from preprocessing.sets.bags.message import CutOff, Held, Message, full_type

MAGIC = b"SQLite format 3\0"
_ZSTD = b"\x28\xb5\x2f\xfd"


def read_sqlite(path: Path, topics: Set[str] | None) -> Iterator[Message]:
    """Yield the messages of a file in the order in which they were recorded."""
    known: dict[int, tuple[str, str]] = {}
    try:
        with closing(_open(path)) as base:
            # A file that was cut off is refused as a whole otherwise, though its rows lie in order from the front.
            base.execute("PRAGMA writable_schema=ON")
            for number, name, kind, encoding in base.execute("SELECT id, name, type, serialization_format FROM topics"):
                if encoding == "cdr" and (topics is None or name in topics):
                    known[number] = (name, full_type(kind))
            marks = ",".join("?" * len(known))
            query = f"SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({marks}) ORDER BY id"
            for number, time_ns, data in base.execute(query, list(known)):
                yield Message(*known[number], "cdr", time_ns, _plain(path, data))
    except sqlite3.Error as error:
        raise CutOff(f"{path}: ends or is damaged in the middle ({first_line(error)})") from None


def list_sqlite(path: Path) -> dict[str, Held] | None:
    """The topics of a file by its tables; None where they cannot be read to their end."""
    try:
        with closing(_open(path)) as base:
            counts = dict(base.execute("SELECT topic_id, COUNT(*) FROM messages GROUP BY topic_id"))
            topics = base.execute("SELECT id, name, type FROM topics WHERE serialization_format = 'cdr'")
            return {name: Held(full_type(kind), counts.get(number, 0)) for number, name, kind in topics}
    except sqlite3.Error:
        return None


def _open(path: Path) -> sqlite3.Connection:
    # Read only, and nothing is written beside it; a journal that is there belongs to the bag.
    journal = any(path.with_name(path.name + end).exists() for end in ("-wal", "-journal"))
    mode = "mode=ro" if journal else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path.resolve()))}?{mode}", uri=True)


def _plain(path: Path, data: bytes) -> bytes:
    """A message that rosbag2 compressed by itself (compression_mode: message)."""
    if data[:4] != _ZSTD:
        return data
    import zstandard

    try:
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=1 << 31)
    except zstandard.ZstdError as error:
        raise InputError(f"{path}: a compressed message cannot be read ({error})") from None
