"""What lies in a folder, to be compared before and after a command that must leave all of it alone."""

import os
from pathlib import Path


def lying_in(folder: Path) -> dict[str, bytes | str | None]:
    """By path below the folder: a file's bytes, where a link leads to, None of a folder."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = os.readlink(path)
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found
