"""The names in a folder, with an absent folder told from an unreadable one."""

import os
from pathlib import Path


def names_in(folder: Path) -> frozenset[str] | None:
    """Return the names in `folder`, hidden ones left out; empty where it is absent, None where it cannot be looked at.

    Of an unreadable folder every name must be taken to be there: reading the file then says what is wrong, while "it
    is missing" would be false.
    """
    try:
        return frozenset(name for name in os.listdir(folder) if not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except OSError:
        return None
