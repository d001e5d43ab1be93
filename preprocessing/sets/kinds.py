"""What a folder is, for hints to a user who has given another one or another format."""

import difflib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from preprocessing.sets.bags import is_bag
from preprocessing.sets.cityscapes import is_cityscapes
from preprocessing.sets.kitti360 import is_kitti360
from preprocessing.sets.rigs import find_rig
from preprocessing.sets.vkitti2 import is_vkitti2

_LISTED = 6
NYUV2_FILE = "nyu_depth_v2_labeled.mat"


def is_windows_path(text: str) -> bool:
    """Whether a path starts with a drive letter."""
    return re.match(r"[A-Za-z]:[\\/]", text) is not None


Kind = Callable[[Path], str | None]
"""(folder) -> what the set in it is called in a hint, None where it holds none of this kind."""


def _cityscapes(folder: Path) -> str | None:
    return "Cityscapes' layout" if is_cityscapes(folder) else None


def _rig(folder: Path) -> str | None:
    rig = find_rig(folder)
    return None if rig is None else "a folder pair" if rig.cameras is None else "KITTI's layout"


def _camvid(folder: Path) -> str | None:
    return "images/ and labels/" if (folder / "images").is_dir() and (folder / "labels").is_dir() else None


def _folder(folder: Path) -> str | None:
    return "images/" if (folder / "images").is_dir() else None


def _vkitti2(folder: Path) -> str | None:
    return "Virtual KITTI 2" if is_vkitti2(folder) else None


def _kitti360(folder: Path) -> str | None:
    return "KITTI-360" if is_kitti360(folder) else None


def _comma10k(folder: Path) -> str | None:
    return "comma10k" if (folder / "imgs").is_dir() and (folder / "masks").is_dir() else None


def _vistas(folder: Path) -> str | None:
    has = any((folder / name).is_file() for name in ("config.json", "config_v1.2.json", "config_v2.0.json"))
    split = any((folder / split / "images").is_dir() for split in ("training", "validation"))
    return "Mapillary Vistas" if has and split else None


def _bdd100k(folder: Path) -> str | None:
    return "BDD100K" if (folder / "images" / "10k").is_dir() else None


def _kitti_semantics(folder: Path) -> str | None:
    parts = (folder / "training" / part for part in ("image_2", "semantic"))
    return "KITTI's semantics" if all(part.is_dir() for part in parts) else None


def _nyuv2(folder: Path) -> str | None:
    return "NYU Depth V2" if (folder / NYUV2_FILE).is_file() else None


KINDS: dict[str, Kind] = {
    "cityscapes": _cityscapes,
    "vkitti2": _vkitti2,
    "kitti360": _kitti360,
    "comma10k": _comma10k,
    "vistas": _vistas,
    "bdd100k": _bdd100k,
    "kitti_semantics": _kitti_semantics,
    "nyuv2": _nyuv2,
    "rig": _rig,
    "camvid": _camvid,
    "folder": _folder,
}
"""By format of a data source; the first that a folder is one of counts."""


def kind_of(folder: Path, kinds: Mapping[str, Kind] = KINDS) -> str | None:
    """Format of a data source that `folder` would do for, or None."""
    try:
        return next((name for name, kind in kinds.items() if kind(folder) is not None), None)
    except OSError:
        return None


def sets_near(folder: Path, kinds: Mapping[str, Kind] = KINDS) -> list[tuple[str, Path]]:
    """(format, root) of sets in the folder itself, in its parent where it is a part of one, and one level below."""
    above = [folder.parent] if folder.name and folder.is_dir() else []
    candidates = [folder, *above, *_folders(folder)]
    return [(kind, one) for one in candidates if (kind := kind_of(one, kinds)) is not None]


def describe(root: Path, *, as_source: bool = False, kinds: Mapping[str, Kind] = KINDS) -> str:
    """What is there instead of a set, and what to write, in half a sentence; as a data source or as a folder."""
    if is_windows_path(str(root)) and os.name != "nt":
        drive, rest = str(root)[0].lower(), str(root)[3:].replace("\\", "/")
        return f"is a Windows path, and this is no Windows; under WSL write /mnt/{drive}/{rest}"
    if not root.exists():
        return f"no such folder; {_siblings(root)}"
    if not root.is_dir():
        if is_bag(root):
            return f"is a bag; advmtl preprocess {root} --out FOLDER makes a set of it"
        return "is a file; give the folder of the set"
    near = sets_near(root, kinds)
    if near:
        return "found " + ", ".join(
            f"{kinds[name](one)}: write {name}:{one}" if as_source else f"{kinds[name](one)} in {one}"
            for name, one in near[:_LISTED]
        )
    if is_bag(root):
        return f"is a bag; advmtl preprocess {root} --out FOLDER makes a set of it"
    names = [one.name + "/" if one.is_dir() else one.name for one in _entries(root)]
    return f"it holds {_listed(names)}" if names else "it is empty"


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
