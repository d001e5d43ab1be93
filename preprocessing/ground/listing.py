"""The files of a folder by name, at any depth: the one list of kinds that pictures and maps are read of."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from preprocessing.ground import archives
from preprocessing.ground.errors import InputError

# Of two files of one name the first ending here is taken: without loss before with.
PICTURE_KINDS = (".png", ".tif", ".tiff", ".bmp", ".ppm", ".pgm", ".webp", ".jpg", ".jpeg")
"""Endings of pictures and of class maps."""
MAP_KINDS = (".png", ".tif", ".tiff", ".exr", ".pfm", ".npy", ".npz")
"""Endings of depth and disparity."""
NOTES = {".txt", ".json", ".jsonl", ".csv", ".md", ".html", ".xml", ".yaml", ".yml", ".db", ".zip", ".pdf", ".log"}
"""What lies beside pictures and maps without being one: manifests, notes, tables."""


@dataclass(frozen=True)
class Listing:
    """The files of one folder and of all folders in it; hidden ones are left out.

    Attributes:
        folder: Which.
        names: Path below the folder without the ending, "drive_2/0001" -> with it; by folder, then by name.
        others: Files of other kinds, by ending; notes (`NOTES`) are left out.
        example: One of the others.
        unreadable: Folders that cannot be looked at, as paths below the folder, "" = itself. Of these every file must
            be taken to be there: reading it then says what is wrong, while "it is missing" would be false.
        hidden: Files that another one of the same name goes before, as 1.jpg beside 1.png.
    """

    folder: Path
    names: Mapping[str, str]
    others: Mapping[str, int] = field(default_factory=dict)
    example: Path | None = None
    unreadable: frozenset[str] = frozenset()
    hidden: tuple[Path, ...] = ()

    @cached_property
    def files(self) -> Mapping[str, Path]:
        """Name -> file."""
        return {name: self.folder / file for name, file in self.names.items()}

    def find(self, name: str) -> Path | None:
        """The file of this name; in an unreadable folder, where it would be."""
        found = self.names.get(name)
        if found is not None:
            return self.folder / found
        if self.unreadable:
            parent = name.rpartition("/")[0]
            if "" in self.unreadable or any((parent + "/").startswith(one + "/") for one in self.unreadable):
                return self.folder / f"{name}.png"
        return None

    def require(self, kinds: Sequence[str], empty: str) -> "Listing":
        """Itself. Raises: InputError where it names no file: what is there instead, else `empty`, and what is read."""
        if self.names:
            return self
        raise InputError(f"{self.unread() or f'{self.folder}: {empty}'}; looked for {', '.join(kinds)}")

    def unread(self) -> str:
        """What of the folder is not read, in words; "" where all is."""
        parts = [f"{kinds_of(self.others)} not read"] if self.others else []
        if self.hidden:
            count, first = len(self.hidden), self.hidden[0]
            parts.append(
                f"{count} file{'s' * (count > 1)} of a name that another has, too, e.g. {first.name}: not read"
            )
        return f"{self.folder}: {'; '.join(parts)}" if parts else ""


def kinds_of(others: Mapping[str, int]) -> str:
    """Counts of other kinds, to go before "not read": "3 files of other kinds (2 .heic, 1 .raw) are"."""
    count = sum(others.values())
    if len(others) == 1:
        (kind,) = others
        what = f"{count} file{'s' * (count > 1)} of another kind ({kind or 'no ending'})"
    else:
        named = ", ".join(f"{number} {kind or 'without ending'}" for kind, number in sorted(others.items()))
        what = f"{count} files of other kinds ({named})"
    return f"{what} {'is' if count == 1 else 'are'}"


def list_files(folder: Path, kinds: Sequence[str] = PICTURE_KINDS) -> Listing:
    """List the files of these kinds in `folder` and in all folders in it; empty where there is none."""
    ranks = {kind: rank for rank, kind in enumerate(kinds)}
    found: dict[str, str] = {}
    others, unreadable, hidden = Counter[str](), set[str](), list[str]()
    example: str | None = None
    root = str(folder)
    for below, names in _walk(root, unreadable):
        prefix = below + "/" if below else ""
        for name in names:
            stem, dot, ending = name.rpartition(".")
            kind = dot + ending.lower() if stem else ""
            if kind not in ranks:
                if kind not in NOTES:
                    others[kind] += 1
                    example = example or prefix + name
                continue
            own = prefix + name
            other = found.setdefault(prefix + stem, own)
            if other is not own:
                first, second = sorted((own, other), key=lambda one: (ranks["." + one.rpartition(".")[2].lower()], one))
                found[prefix + stem] = first
                hidden.append(second)
    deep = any("/" in name for name in found)
    order = sorted(found, key=lambda name: name.rpartition("/")[::2]) if deep else sorted(found)
    return Listing(
        folder,
        {name: found[name] for name in order},
        dict(others),
        None if example is None else folder / example,
        frozenset(unreadable),
        tuple(folder / name for name in sorted(hidden)),
    )


def _walk(root: str, unreadable: set[str]) -> "list[tuple[str, list[str]]]":
    """(path below the root, names of its files) of every folder; links are followed, but never in circles."""
    found: list[tuple[str, list[str]]] = []
    waiting = [("", frozenset[tuple[int, int]]())]
    while waiting:
        below, above = waiting.pop()
        path = f"{root}/{below}" if below else root
        try:
            status = os.stat(path)
            with os.scandir(path) as entries:
                listed = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            found += archives.walk(path)
            continue
        except OSError:
            unreadable.add(below)
            continue
        own = (status.st_dev, status.st_ino)
        if own in above:
            continue
        found.append((below, [name for name, is_folder in listed if not is_folder]))
        prefix = below + "/" if below else ""
        waiting += [(prefix + name, above | {own}) for name, is_folder in listed if is_folder]
    return found


def nearest_name(name: str, names: Sequence[str]) -> str | None:
    """The most alike of `names`, None of none: same numbers first, then letters in common."""
    import difflib

    if not names:
        return None
    digits = "".join(one for one in name if one.isdigit())
    pool = [one for one in names if digits and digits in one][:50] or names[:2000]
    return next(iter(difflib.get_close_matches(name, pool, 1, 0.0)), None)
