"""Where the output of a set may not lie, or cannot."""

import os
from pathlib import Path

from preprocessing.ground import InputError
from preprocessing.sets import Layout


def check_outside(root: Path, out: Path, layout: Layout) -> None:
    """Raise InputError where `out` lies in a folder of the set's pictures, of any depth: the next look at the set would
    take what is written there for frames.
    """
    target = out.resolve()
    for name in layout.inputs:
        folder = (root / name).resolve()
        if folder.is_dir() and target.is_relative_to(folder):
            raise InputError(f"{out}: lies in {root / name}, whose pictures are frames; give an --out beside {root}")


def check_writable(folder: Path, instead: str) -> None:
    """Raise InputError where nothing can be written into a folder, there or not: before hours of matching for it.

    `instead`: what to do, the end of the message.
    """
    full = folder.absolute()
    there = next(one for one in (full, *full.parents) if one.exists())
    if there.is_dir() and not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there}: nothing can be written there (read-only, or another user's); {instead}")
