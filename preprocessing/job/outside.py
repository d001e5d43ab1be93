"""Where the output of a set may not lie."""

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
