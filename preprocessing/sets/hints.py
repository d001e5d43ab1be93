"""What lies at a path that holds no set: for the one line that tells a user where to look."""

import difflib
import os
import re
from pathlib import Path

from preprocessing.sets.rigs import find_rig

_LISTED = 6


def is_windows_path(text: str) -> bool:
    """Whether a path starts with a drive letter."""
    return re.match(r"[A-Za-z]:[\\/]", text) is not None


def kind_of(folder: Path) -> str | None:
    """Format of a data source that `folder` would do for: cityscapes, rig, camvid, or None."""
    try:
        if (folder / "leftImg8bit").is_dir():
            return "cityscapes"
        if find_rig(folder) is not None:
            return "rig"
        if (folder / "images").is_dir():
            return "camvid" if (folder / "labels").is_dir() else "folder"
    except OSError:
        return None
    return None


def sets_near(folder: Path) -> list[tuple[str, Path]]:
    """(format, root) of sets in the folder itself, in its parent where it is a part of one, and one level below."""
    above = [folder.parent] if folder.name and folder.is_dir() else []
    candidates = [folder, *above, *_folders(folder)]
    return [(kind, one) for one in candidates if (kind := kind_of(one)) is not None]


def describe(root: Path, *, as_source: bool = False) -> str:
    """What is there instead of a set, and what to write, in half a sentence; as a data source or as a folder."""
    if is_windows_path(str(root)) and os.name != "nt":
        drive, rest = str(root)[0].lower(), str(root)[3:].replace("\\", "/")
        return f"is a Windows path, and this is no Windows; under WSL write /mnt/{drive}/{rest}"
    if not root.exists():
        return f"no such folder; {_siblings(root)}"
    if not root.is_dir():
        return "is a file; give the folder of the set"
    near = sets_near(root)
    if near:
        return "found " + ", ".join(_written(kind, one, as_source) for kind, one in near[:_LISTED])
    names = [one.name + "/" if one.is_dir() else one.name for one in _entries(root)]
    return f"it holds {_listed(names)}" if names else "it is empty"


def _written(kind: str, root: Path, as_source: bool) -> str:
    rig = find_rig(root) if kind == "rig" else None
    what = {"cityscapes": "Cityscapes' layout", "camvid": "images/ and labels/", "folder": "images/"}.get(kind)
    if rig is not None:
        what = "a folder pair" if rig.left == "left" else "KITTI's layout"
    return f"{what}: write {kind}:{root}" if as_source else f"{what} in {root}"


def _siblings(path: Path) -> str:
    there = next((one for one in path.parents if one.is_dir()), Path("."))
    names = [one.name for one in _folders(there)]
    wanted = path.relative_to(there).parts[0] if path.is_relative_to(there) else path.name
    close = difflib.get_close_matches(wanted, names, 1)
    if close:
        return f"did you mean {there / close[0]}?"
    return f"{there.resolve()} has {_listed(names)}" if names else f"{there.resolve()} has no folders"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(one for one in folder.iterdir() if not one.name.startswith("."))
    except OSError:
        return []


def _folders(folder: Path) -> list[Path]:
    return [one for one in _entries(folder) if one.is_dir()]
