"""Pictures, class maps and depth in three folders, joined by name: ROOT/{images,labels,depth}/[SPLIT/]NAME.png."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, LabelSet
from preprocessing.sets import KINDS, Strays, strays_in

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    return by_name(source, classes, "train")


def by_name(source: Source, classes: str | LabelSet, ids: str) -> list[FrameRecord]:
    """The frames of three folders whose class maps have the ids `ids`."""
    root = Path(source.root).expanduser()
    images = _files_by_name(_part(root, "images", source.split, required=True))
    labels = _files_by_name(_part(root, "labels", source.split))
    depth = _files_by_name(_part(root, "depth", source.split)) if source.depth != "dataset" else {}
    return [
        FrameRecord(name, image, ids, classes, labels=labels.get(name), depth=depth.get(name))
        for name, image in sorted(images.items())
    ]


def _part(root: Path, kind: str, split: str | None, required: bool = False) -> Path | None:
    folder = root / kind / split if split else root / kind
    if folder.is_dir():
        return folder
    if not required:
        return None
    existing = sorted(path.name for path in folder.parent.iterdir() if path.is_dir()) if folder.parent.is_dir() else []
    hint = f"there is {', '.join(existing)}" if existing else "expected ROOT/{images,labels,depth}/[SPLIT/]NAME.png"
    raise InputError(f"{folder}: no such folder; {hint}")


def _files_by_name(folder: Path | None) -> dict[str, Path]:
    if folder is None:
        return {}
    files = (path for path in folder.iterdir() if not path.name.startswith("."))
    return {path.stem: path for path in files if path.suffix.lower() in IMAGE_SUFFIXES}


def strays_by_name(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    """Class maps and depth that have no picture's name, of those that the source asks for. Where a split has no folder
    of its own, files beside it are read by nothing.
    """
    root, found = Path(source.root).expanduser(), []
    asked = {"labels": source.labels != "none", "depth": source.depth not in ("none", "dataset")}
    for kind in (kind for kind, wanted in asked.items() if wanted):
        own = _part(root, kind, source.split)
        found += strays_in(own or root / kind, {record.name for record in records} if own else set())
    return found


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
