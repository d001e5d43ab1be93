"""Frames of a data source: finding them and telling what labels each has."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from advmtl.config import WITHOUT_SPLITS, Source
from advmtl.data.frames import FrameRecord
from advmtl.data.missing_labels import check_root
from preprocessing.ground import Frame, InputError, lookup_table
from preprocessing.sets import CITYSCAPES, Layout, detect_layout

Role = Literal["train", "val"]
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def index_source(source: Source, classes: str, role: Role, number: int = 0) -> list[FrameRecord]:
    """List the frames of one source, sorted by name; `number` is its place among the sources.

    A source without a split means the split of its role, `train` or `val`; a `folder` or `rig` may have none.
    `source.depth` "auto" takes, for training, the depth that `preprocess` wrote where it is there, else the
    set's own disparity; for validation the other way round, so that a model is measured against the set's
    truth and not against the matcher it learnt from.
    Raises: InputError where the root, split or an image folder is missing, or no frame is found.
    """
    if source.split is None and source.format not in WITHOUT_SPLITS:
        source = source.model_copy(update={"split": role})  # never all splits: that would validate on training frames
    check_root(source)
    build = {"cityscapes": _cityscapes, "camvid": _folder, "folder": _folder, "rig": _rig}[source.format]
    records = [replace(record, source=number) for record in build(source, classes, role)]
    if source.frames is not None:
        records = records[slice(*source.frames)]
    if source.labels == "none":
        records = [replace(record, labels=None, instances=None) for record in records]
    if source.depth == "none":
        records = [replace(record, depth=None, disparity=None) for record in records]
    if not records:
        raise InputError(f"{source.root}: no frames found for format {source.format}, split {source.split}")
    return records


def _cityscapes(source: Source, classes: str, role: Role) -> list[FrameRecord]:
    lookup_table("cityscapes", classes)  # refuses an impossible label set here rather than in a worker
    frames = CITYSCAPES.find_frames(Path(source.root).expanduser(), source.split)
    return [_stereo_record(frame, CITYSCAPES, source.depth, classes, role) for frame in frames]


def _rig(source: Source, classes: str, role: Role) -> list[FrameRecord]:
    """A folder pair or a set of KITTI's; labels are Cityscapes' labelIds, `source.split` is one of its sequences."""
    lookup_table("cityscapes", classes)
    root = Path(source.root).expanduser()
    layout = detect_layout(root)
    frames = [frame for frame in layout.find_frames(root, None) if source.split in (None, frame.city)]
    return [_stereo_record(frame, layout, source.depth, classes, role) for frame in frames]


def _stereo_record(frame: Frame, layout: Layout, rule: str, classes: str, role: Role) -> FrameRecord:
    prepared, own, lidar = frame.depth, frame.disparity, frame.lidar
    if rule == "prepared" or (rule == "auto" and role == "train" and prepared is not None):
        own = lidar = None
    elif rule == "dataset" or own is not None or lidar is not None:
        prepared = None
    return FrameRecord(
        name=frame.name if layout is CITYSCAPES else frame.key,
        image=frame.left,
        ids="cityscapes",
        classes=classes,
        labels=frame.labels,
        depth=prepared or (lidar if own is None else None),  # lidar is stored as depth is
        disparity=own,
        instances=frame.instances,
        frame=frame,
        layout=layout,
    )


def _folder(source: Source, classes: str, role: Role) -> list[FrameRecord]:
    """ROOT/{images,labels,depth}/[split/]NAME.*; labels are CamVid's ids or (format folder) train ids."""
    root, ids = Path(source.root).expanduser(), "camvid" if source.format == "camvid" else "train"
    images = _files_by_name(_part(root, "images", source.split, required=True))
    labels = _files_by_name(_part(root, "labels", source.split))
    depth = _files_by_name(_part(root, "depth", source.split)) if source.depth != "dataset" else {}
    if labels and source.labels != "none":
        lookup_table(ids, classes)
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
