"""What lies in a file that holds others: an archive, or a file of arrays."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Member:
    """One file of an archive: where its local header begins, its size here and unpacked, its kind and checksum."""

    offset: int
    packed: int
    size: int
    method: int
    flags: int
    crc: int


@dataclass(frozen=True)
class Archive:
    """The files of an archive by name, and the names in each of its folders; `status`: of the archive itself."""

    path: Path
    status: os.stat_result
    members: dict[str, Member] = field(repr=False)
    folders: dict[str, tuple[str, ...]] = field(repr=False)


def folders_of(members: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The names in each folder, by its path, "" = the archive's own."""
    below: dict[str, dict[str, None]] = {"": {}}
    for name in members:
        while name:
            parent, _, last = name.rpartition("/")
            known = parent in below and last in below[parent]
            below.setdefault(parent, {})[last] = None
            if known:
                break
            name = parent
    return {name: tuple(files) for name, files in below.items()}


def status_of(archive: Archive, member: Member) -> os.stat_result:
    """As `os.stat` has it of a file: changed when its archive was, with a number of its own."""
    own = archive.status
    number = (own.st_ino * 1_000_003 + member.offset) % 2**62
    return os.stat_result(
        (stat.S_IFREG | 0o444, number, own.st_dev, 1, own.st_uid, own.st_gid, member.size, 0, int(own.st_mtime), 0),
        {"st_mtime_ns": own.st_mtime_ns, "st_mtime": own.st_mtime},
    )
