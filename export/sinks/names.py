"""Names of the files of a folder: of one stream none twice."""

from collections.abc import Callable
from pathlib import Path

from preprocessing.ground import ARRAYS, PICTURE, beginning_kind, is_free

WRITTEN = "written by advmtl"
"""Stands in the header of a file of points."""
KINDS = {".png": PICTURE, ".npz": ARRAYS, ".ply": beginning_kind("points of infer", f"comment {WRITTEN}".encode())}
"""By the ending of a file: how one of a former stream is known. Of any other, none is."""


def unique_name(name: str, used: set[str], endings: tuple[str, ...] = ("",)) -> str:
    """`name`, or `name` with a number where a file of that name with one of `endings` is in `used`.

    The names with their endings are added to `used`. Without this, a.jpg's result would overwrite a.png's.
    """
    unique, number = name, len(used)
    while any(f"{unique}{ending}" in used for ending in endings):
        unique, number = f"{name}_{number:06d}", number + 1
    used.update(f"{unique}{ending}" for ending in endings)
    return unique


def new_paths(folder: Path, ending: str) -> Callable[[str], Path]:
    """Return what gives a frame's name its path in `folder`, with a number where this stream has written that name. A
    name with folders, as those of a source's sub-folders, has the same ones there.

    The folder itself shows what was written, so a stream of any length takes no more memory. Files that are there
    already, of a former stream, are overwritten; those that no stream wrote stay, and the frame gets a number.
    """
    kind = KINDS.get(ending[ending.rfind(".") :])
    there = folder.rglob(f"*{ending}") if kind is not None else ()
    former = {path.relative_to(folder).as_posix() for path in there if kind is not None and is_free(path, kind)}
    count = 0

    def path_of(name: str) -> Path:
        nonlocal count
        name = "/".join(part for part in name.split("/") if part not in ("", ".", ".."))
        unique, number = f"{name}{ending}", count
        while unique not in former and (folder / unique).exists():
            unique, number = f"{name}_{number:06d}{ending}", number + 1
        former.discard(unique)
        count += 1
        if "/" in unique:
            (folder / unique).parent.mkdir(parents=True, exist_ok=True)
        return folder / unique

    return path_of
