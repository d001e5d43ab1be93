"""Label files that belong to no picture: named as no frame is, so that nothing ever reads them."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from preprocessing.ground import Frame, names_in

# What lies beside maps without being one: manifests, notes, tables.
_NO_MAP = {".txt", ".json", ".jsonl", ".csv", ".md", ".html", ".xml", ".yaml", ".yml", ".db", ".zip"}


@dataclass(frozen=True)
class Strays:
    """The files of one folder that belong to no picture: at least one name, sorted."""

    folder: Path
    names: tuple[str, ...]


FindStrays = Callable[[Path, Sequence[Frame]], list[Strays]]
"""(root, frames) -> label files of the frames' own splits and sequences that belong to none of them."""


def strays_in(folder: Path, known: Set[str], ending: str | None = None) -> list[Strays]:
    """The files of a folder whose frame is not `known`; none where the folder cannot be looked at.

    `ending`: what follows a frame's name in the names of the files, of which no others are looked at. None: a frame's
    name is that of the file without its suffix, and all files but those of text are looked at.
    """
    names = names_in(folder) or frozenset()
    if ending is not None:
        found = [name for name in names if name.endswith(ending) and name.removesuffix(ending) not in known]
    else:
        maps = [name for name in names if Path(name).stem not in known and Path(name).suffix.lower() not in _NO_MAP]
        found = [name for name in maps if not (folder / name).is_dir()]
    return [Strays(folder, tuple(sorted(found)))] if found else []


def cityscapes_strays(kinds: Sequence[tuple[str, str]], root: Path, frames: Sequence[Frame]) -> list[Strays]:
    """Of Cityscapes' layout; `kinds`: folder, and ending of the names in it."""
    known: dict[tuple[str, str], set[str]] = {}
    for frame in frames:
        known.setdefault((frame.split, frame.city), set()).add(frame.name)
    found = []
    for kind, ending in kinds:
        for split in dict.fromkeys(split for split, _ in known):
            for city in sorted(names_in(root / kind / split) or ()):
                found += strays_in(root / kind / split / city, known.get((split, city), set()), ending)
    return found


def rig_strays(kinds: Sequence[str], root: Path, frames: Sequence[Frame]) -> list[Strays]:
    """Of a folder pair; `kinds`: folders."""
    known: dict[str, set[str]] = {}
    for frame in frames:
        known.setdefault(frame.city, set()).add(frame.name)
    return [one for kind in kinds for city, own in known.items() for one in strays_in(root / kind / city, own)]
