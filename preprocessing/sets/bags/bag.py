"""Opening a bag of any kind: a file, or a folder of files, known by its content."""

import re
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from preprocessing.ground import InputError, names_in
from preprocessing.sets.bags import mcap, ros1, sqlite
from preprocessing.sets.bags.message import CutOff, Held, ListTopics, Message, ReadMessages

READERS: dict[str, tuple[bytes, ReadMessages]] = {
    "MCAP": (mcap.MAGIC, mcap.read_mcap),
    "ROS 2, SQLite": (sqlite.MAGIC, sqlite.read_sqlite),
    "ROS 1": (ros1.MAGIC, ros1.read_ros1),
}
"""Kind of bag -> how its files begin, and who reads them."""
_INDICES: dict[str, ListTopics] = {
    "MCAP": mcap.list_mcap,
    "ROS 2, SQLite": sqlite.list_sqlite,
    "ROS 1": ros1.list_ros1,
}
_ENDINGS = (".mcap", ".db3", ".bag")
_METADATA = "metadata.yaml"
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass
class Bag:
    """A bag.

    Attributes:
        path: The file or folder that was given.
        kind: A key of `READERS`.
        files: Its files, in the order in which they were recorded.
        cut: What was said of files that end in the middle, once they have been read.
    """

    path: Path
    kind: str
    files: list[Path]
    cut: list[str] = field(default_factory=list)

    def messages(self, topics: Set[str] | None = None) -> Iterator[Message]:
        """Yield its messages in the order of the files, one at a time."""
        for path in self.files:
            try:
                yield from READERS[self.kind][1](path, topics)
            except CutOff as end:
                if str(end) not in self.cut:
                    self.cut.append(str(end))

    def topics(self) -> dict[str, Held]:
        """Its topics by name, sorted: by the files' indices, without their messages; a file without one, as one that
        was cut off, is read through.
        """
        found: dict[str, Held] = {}
        for path in self.files:
            held = _INDICES[self.kind](path)
            for name, one in (self._counted(path) if held is None else held).items():
                found[name] = Held(one.type, one.count + (found[name].count if name in found else 0))
        return dict(sorted(found.items()))

    def _counted(self, path: Path) -> dict[str, Held]:
        found: dict[str, Held] = {}
        for message in Bag(self.path, self.kind, [path]).messages():
            former = found[message.topic].count if message.topic in found else 0
            found[message.topic] = Held(message.type, former + 1)
        return found

    def state(self) -> list[dict[str, object]]:
        """Name, size and time of change of each file, by which a later run knows the bag again."""
        found: list[dict[str, object]] = []
        for path in self.files:
            status = path.stat()
            found.append({"name": path.name, "bytes": status.st_size, "mtime_ns": status.st_mtime_ns})
        return found


def is_bag(path: Path) -> bool:
    """Whether a path is a bag, or means to be one: a file of a bag's kind or name, or a folder of such files alone."""
    if path.is_dir():
        return bool(_files_in(path)) and not any((path / name).is_dir() for name in names_in(path) or ())
    return path.suffix.lower() in _ENDINGS or (path.is_file() and _kind(path) is not None)


def open_bag(path: Path) -> Bag:
    """Open a bag. Raises: InputError where it is none, is compressed as a whole, or a package for it is missing."""
    if not path.exists():
        raise InputError(f"{path}: no such bag")
    files = _files_in(path) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: no bag in it; looked for files of {', '.join(_ENDINGS)}")
    kinds = {one: _kind(one) for one in files}
    for one, kind in kinds.items():
        if kind is None:
            raise InputError(f"{one}: {_not_a_bag(one)}")
    if len(set(kinds.values())) > 1:
        raise InputError(f"{path}: holds bags of several kinds; give one of its files")
    missing = [name for name in ("rosbags", "mcap") if find_spec(name) is None]
    if missing:
        raise InputError(f"{path}: reading bags needs {' and '.join(missing)}: pip install 'advmtl[bags]'")
    return Bag(path, str(kinds[files[0]]), files)


def _kind(path: Path) -> str | None:
    begins = _beginning(path)
    return next((name for name, (magic, _) in READERS.items() if begins.startswith(magic)), None)


def _beginning(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(16)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None


def _not_a_bag(path: Path) -> str:
    begins = _beginning(path)
    if begins.startswith(_ZSTD):
        return f"is compressed as a whole; unpack it first: zstd -d {path.name}"
    if not begins:
        return "is empty"
    return "is no bag; MCAP, ROS 2's SQLite and ROS 1's format 2.0 are read"


def _files_in(folder: Path) -> list[Path]:
    """The bags of a folder: in the order of its metadata.yaml, or of the numbers in their names."""
    names = [name for name in names_in(folder) or () if Path(name).suffix.lower() in _ENDINGS]
    stated = _stated(folder / _METADATA)
    order = {name: index for index, name in enumerate(stated)}
    names.sort(key=lambda name: (order.get(name, len(order)), _natural(name)))
    return [folder / name for name in names]


def _natural(name: str) -> list[tuple[int, str]]:
    """drive_10 comes after drive_9."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", name)]


def _stated(path: Path) -> list[str]:
    try:
        import yaml

        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return [Path(str(name)).name for name in content["rosbag2_bagfile_information"]["relative_file_paths"]]
    except ModuleNotFoundError:
        return []  # a board may lack it: the numbers in the names say the same
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return []  # of a bag that was never closed
