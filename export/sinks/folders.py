"""Folders with files of each frame: made where missing, each file whole or absent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preprocessing.ground import InputError


def make_folder(folder: Path) -> None:
    """Make it where it is missing. Raises: InputError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: not a folder to write to ({error.strerror or error})") from None


@contextmanager
def unsynced(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when all is written, and is removed where that fails.

    Not synced, as `atomic_write` does: on a memory card that takes longer than the network. Raises: OSError naming
    `path`, as a full disk does not.
    """
    temporary = path.with_name(f".{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
