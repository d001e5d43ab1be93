"""Files inside zip archives, by paths that lead through them: SET/gtFine_trainvaltest.zip/gtFine/train/a.png; and the
arrays of a file of MATLAB's (`matlab`) in the same way.

Such a path is a plain one: it can be compared, joined, and sent to another process. Opening it fails as a path through
a file does, and who reads files asks here then; folders cost nothing. An archive's list of files is read once; its
bytes are read where they lie, with `pread`, by a handle that each process opens for itself.
"""

import os
import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from preprocessing.ground import matlab
from preprocessing.ground.errors import InputError
from preprocessing.ground.members import Archive, Member, folders_of
from preprocessing.ground.members import status_of as status_of

_SUFFIX = re.compile(r"\.(zip|mat)(?=/|$)", re.IGNORECASE)
_LOCAL, _LOCAL_SIZE = b"PK\x03\x04", 30
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_ENCRYPTED = 1  # of a member's flags
_REMEDY = "download the archive again, or unpack it"


def through(path: Path | str) -> tuple[Archive, str] | None:
    """The archive that a path leads through, and the rest of it; None where it leads through none.

    Raises: InputError naming an archive that cannot be read.
    """
    text = os.fspath(path).replace(os.sep, "/")
    for found in _SUFFIX.finditer(text):
        stop = found.end()
        try:
            status = os.stat(text[:stop])
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):  # a folder that is called so
            continue
        opened = _opened if found[1].lower() == "zip" else matlab.opened
        archive = opened(text[:stop], status.st_size, status.st_mtime_ns, status.st_ino)
        if archive is not None:
            return archive, text[stop + 1 :].strip("/")
    return None


@lru_cache(maxsize=32)
def _opened(path: str, size: int, changed: int, number: int) -> Archive:
    """The list of files; read again where the archive is another one."""
    try:
        with zipfile.ZipFile(path) as file:
            entries = file.infolist()
            status = os.stat(path)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path}: not a whole zip archive ({error}); {_REMEDY}") from None
    members = {
        one.filename: Member(
            one.header_offset, one.compress_size, one.file_size, one.compress_type, one.flag_bits, one.CRC
        )
        for one in entries
        if not one.is_dir()
    }
    return Archive(Path(path), status, members, folders_of(members))


def is_folder(path: Path) -> bool:
    """Whether there is a folder here, on the disk or in an archive. Raises: InputError: a broken archive."""
    if path.is_dir():
        return True
    found = through(path)
    return found is not None and found[1] in found[0].folders


def names_through(path: Path | str) -> frozenset[str]:
    """The names in a folder of an archive, hidden ones left out; none where there is no such folder."""
    found = through(path)
    names = () if found is None else found[0].folders.get(found[1], ())
    return frozenset(name for name in names if not name.startswith("."))


def walk(path: Path | str) -> Iterator[tuple[str, list[str]]]:
    """(path below the folder, names of its files) of every folder in a folder of an archive; hidden ones left out."""
    found = through(path)
    waiting = [""] if found is not None and found[1] in found[0].folders else []
    while waiting and found is not None:
        below = waiting.pop()
        archive, start = found
        folder = "/".join(part for part in (start, below) if part)
        names = [name for name in archive.folders[folder] if not name.startswith(".")]
        full = {name: f"{folder}/{name}" if folder else name for name in names}
        yield below, [name for name in names if full[name] in archive.members]
        prefix = below + "/" if below else ""
        waiting += [prefix + name for name in names if full[name] in archive.folders]


def member_of(path: Path | str) -> tuple[Archive, Member] | None:
    """The file of an archive that a path names; None where it names none. Raises: InputError: a broken archive."""
    found = through(path)
    if found is None or found[1] not in found[0].members:
        return None
    return found[0], found[0].members[found[1]]


def file_status(path: Path) -> os.stat_result:
    """`path.stat()`, of files in archives, too. Raises: OSError, InputError: a broken archive."""
    try:
        return path.stat()
    except NotADirectoryError:
        found = member_of(path)
        if found is None:
            raise
        return status_of(*found)


def read_member(archive: Archive, member: Member, path: Path | str, first: int | None = None) -> bytes:
    """A whole file of an archive, or its first bytes alone, which are not checked.

    Raises: InputError naming the path where the archive is damaged there, or packed in a way that is not read.
    """
    if archive.path.suffix.lower() != ".zip":
        return matlab.read_member(archive, member, path, first)
    if member.flags & _ENCRYPTED or member.method not in (_STORED, _DEFLATED):
        how = "encrypted" if member.flags & _ENCRYPTED else f"packed by method {member.method}"
        raise InputError(f"{path}: is {how}, and stored and deflated files are read; unpack the archive")
    try:
        handle = _handle(archive)
        start = os.pread(handle, _LOCAL_SIZE, member.offset)
        if len(start) < _LOCAL_SIZE or not start.startswith(_LOCAL):
            raise zlib.error("no file begins here")
        name, extra = struct.unpack_from("<HH", start, 26)
        begin = member.offset + _LOCAL_SIZE + name + extra
        if first is not None:
            packed = os.pread(handle, min(member.packed, first), begin)
            return packed if member.method == _STORED else zlib.decompressobj(-15).decompress(packed, first)
        content = _all(handle, member.packed, begin)
        if member.method == _DEFLATED:
            content = zlib.decompress(content, -15, member.size)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except zlib.error as error:
        raise InputError(f"{path}: the archive is damaged here ({error}); {_REMEDY}") from None
    if len(content) != member.size or zlib.crc32(content) != member.crc:
        raise InputError(f"{path}: the archive is damaged here (its checksum is another one); {_REMEDY}")
    return content


def _all(handle: int, count: int, begin: int) -> bytes:
    """So many bytes; a single call reads 2 GiB at most, and less on some network disks."""
    parts = []
    while count > 0:
        part = os.pread(handle, count, begin)
        if not part:
            break
        parts.append(part)
        begin, count = begin + len(part), count - len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


_handles: dict[tuple[str, int, int], int] = {}
_lock = threading.Lock()


def _handle(archive: Archive) -> int:
    """This process's handle of an archive."""
    key = (str(archive.path), archive.status.st_ino, archive.status.st_mtime_ns)
    handle = _handles.get(key)
    if handle is None:
        with _lock:
            handle = _handles.get(key)
            if handle is None:
                handle = _handles[key] = os.open(archive.path, os.O_RDONLY)
    return handle


def _forget() -> None:
    """After a fork: the parent's handles are closed here, and a lock that one of its threads held is none."""
    global _lock
    _lock = threading.Lock()
    for handle in _handles.values():
        os.close(handle)
    _handles.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
