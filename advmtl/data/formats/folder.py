"""Pictures, class maps and depth in three folders, joined by name: ROOT/{images,labels,depth}/[SPLIT/]NAME.png."""

import os
from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import (
    MAP_KINDS,
    PICTURE_KINDS,
    InputError,
    LabelSet,
    Listing,
    Reading,
    list_files,
    nearest_name,
)
from preprocessing.sets import KINDS, Strays, unread

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
# A picture alone is shown as every viewer shows it; `FrameRecord` looks whether its labels agree.
_UPRIGHT = Reading(turned=True)


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    return by_name(source, classes, "train")


def by_name(source: Source, classes: str | LabelSet, ids: str) -> list[FrameRecord]:
    """The frames of three folders whose class maps have the ids `ids`; names are paths below the folder, or split.

    Where the source says that its depth files hold disparities, these may lie in disparity/ instead.
    """
    root = Path(source.root).expanduser()
    images = _images(root, source)
    labels = _part(root, "labels", source.split)
    depth, disparity = _depth(root, source)
    like = FrameRecord("", root, ids, classes, reading=_UPRIGHT)
    return [
        like.changed(
            name=name,
            image=image,
            labels=labels.find(name),
            depth=depth.find(name),
            disparity=disparity.find(name),
        )
        for name, image in images.files.items()
    ]


def _depth(root: Path, source: Source) -> tuple[Listing, Listing]:
    """The files of depth, and of disparity: the latter are looked for only where the source speaks of some."""
    none = Listing(root, {})
    if source.takes in ("dataset", "none"):
        return none, none
    of_disparity = source.depth_files.kind == "disparity" and (root / "disparity").is_dir()
    kind = "disparity" if of_disparity else "depth"
    found = _part(root, kind, source.split, MAP_KINDS)
    return (none, found) if of_disparity else (found, none)


def _images(root: Path, source: Source) -> Listing:
    """The pictures. Raises: InputError naming what is there instead."""
    folder = _folder(root, "images", source.split)
    if not folder.is_dir():
        existing = _folders(folder.parent)
        hint = f"there is {', '.join(existing)}" if existing else "expected ROOT/{images,labels,depth}/[SPLIT/]NAME.png"
        raise InputError(f"{folder}: no such folder; {hint}")
    below = _folders(folder) if source.split is None else []
    splits = [name for name in below if name in _SPLITS]
    if splits and not any(path.suffix.lower() in PICTURE_KINDS for path in _part_files(folder)):
        names = ", ".join(f"{source.format}:{source.root}:{name}" for name in splits)
        raise InputError(f"{folder}: its folders are {', '.join(below)}; name the split: {names}")
    return list_files(folder).require(PICTURE_KINDS, "no frames found, it is empty")


def _folder(root: Path, kind: str, split: str | None) -> Path:
    return root / kind / split if split else root / kind


def _part(root: Path, kind: str, split: str | None, kinds: tuple[str, ...] = PICTURE_KINDS) -> Listing:
    return list_files(_folder(root, kind, split), kinds)


def _folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())


def strays_by_name(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    """What of a source nobody reads: class maps and depth that have no picture's name, of those that the source asks
    for, and files of other kinds. Where a split has no folder of its own, files beside it are read by nothing.
    """
    root, names = Path(source.root).expanduser(), {record.name for record in records}
    found = unread(_part(root, "images", source.split))
    if source.split:
        beside = [path for path in _part_files(root / "images") if path.suffix.lower() in PICTURE_KINDS]
        if beside:
            text = (
                f"{root / 'images'}: {len(beside)} pictures beside {source.split}/ are not read, e.g. {beside[0].name}"
            )
            found.append(Strays(root / "images", text=text))
    wanted: dict[str, tuple[str, ...]] = {"labels": PICTURE_KINDS} if source.labels != "none" else {}
    wanted |= {"depth": MAP_KINDS} if source.takes not in ("none", "dataset") else {}
    for kind, kinds in wanted.items():
        own = _folder(root, kind, source.split)
        listing = _part(root, kind, source.split, kinds) if own.is_dir() else None
        odd = (
            list(_part_files(root / kind))
            if listing is None
            else [own / p for n, p in listing.names.items() if n not in names]
        )
        if listing is not None:
            found += unread(listing)
        if odd:
            found.append(Strays(own if listing is not None else root / kind, tuple(sorted(one.name for one in odd)),
                                _odd(own, odd, sorted(names))))  # fmt: skip
    return found


def _part_files(folder: Path) -> list[Path]:
    """The files of one folder, without those below."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(folder / one.name for one in entries if one.is_file() and not one.name.startswith("."))


def _odd(folder: Path, odd: Sequence[Path], names: Sequence[str]) -> str:
    """Files that are named as no picture is, beside the picture that comes near."""
    first = odd[0]
    count = f"{len(odd)} file{'s' * (len(odd) > 1)}"
    near = nearest_name(first.stem, [name.rpartition("/")[2] for name in names])
    like = f"; the nearest picture is {near}" if near and near != first.stem else ""
    return f"{first.parent}: {count} {'belongs' if len(odd) == 1 else 'belong'} to no picture, e.g. {first.name}{like}"


def has_images(root: Path) -> bool:
    """Whether there is a folder of pictures."""
    return (root / "images").is_dir()


FOLDER = Format(
    index=_index,
    is_one=has_images,
    needs="images/",
    kind=KINDS["folder"],
    holds="images/ labels/ (train ids, or as a label set has it) depth/ (16-bit PNG, metres x 256)",
    ids="train",
    splits=False,
    strays=strays_by_name,
)
