"""Locks of files between processes. The system releases them whenever and however a process ends."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from preprocessing.ground import InputError

try:
    import fcntl
except ImportError:  # not on Windows, where one process at a time is taken for granted
    fcntl = None  # type: ignore[assignment]

LOCKS = fcntl is not None
_HELD = (errno.EACCES, errno.EAGAIN)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file while the block runs, waiting for it. A process does not take one twice.

    Raises: InputError where the file system has no locks.
    """
    with path.open("a") as file:
        if fcntl is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX)
            except OSError as error:
                raise _without(path, error) from None
        yield


def hold(path: Path) -> TextIO | None:
    """The lock of a file, held until the result is closed or the process ends; None where another process holds it.

    A process must not ask for what it holds itself: closing any handle of the file would release it.
    Raises: InputError where the file system has no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    if fcntl is None:
        return file
    try:
        # Of the process, not of the file: loader processes, which outlive a kill for seconds, do not hold it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        if error.errno in _HELD:
            return None
        raise _without(path, error) from None
    return file


def _without(path: Path, error: OSError) -> InputError:
    return InputError(
        f"{path}: no locks on this file system ({error.strerror}), so it cannot be known who works on what; choose an "
        "--out on a local disk"
    )
