"""Cityscapes' folders leftImg8bit/, gtFine/, camera/, disparity/, or their zips, and depth/ by `preprocess`."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import Frame, LabelSet
from preprocessing.sets import CITYSCAPES as LAYOUT
from preprocessing.sets import KINDS, Layout, Strays


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    frames = LAYOUT.find_frames(Path(source.root).expanduser(), source.split)
    return [stereo_record(frame, LAYOUT, source.takes, classes, role) for frame in frames]


def stereo_record(frame: Frame, layout: Layout, rule: str, classes: str | LabelSet, role: Role) -> FrameRecord:
    """One frame of a stereo set; `rule`: `Source.takes`, which of its depths is taken."""
    prepared, own, lidar = frame.depth, frame.disparity, frame.lidar
    if rule == "prepared" or (rule == "auto" and role == "train" and prepared is not None):
        own = lidar = None
    elif rule == "dataset" or own is not None or lidar is not None:
        prepared = None
    return FrameRecord(
        name=frame.name if layout is LAYOUT else frame.key,
        image=frame.left,
        ids="cityscapes" if layout.classes == "cityscapes19" else layout.classes,
        classes=classes,
        labels=frame.labels,
        depth=prepared or (lidar if own is None else None),
        disparity=own,
        instances=frame.instances,
        frame=frame,
        layout=layout,
        reading=frame.reading,
    )


def stereo_strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    """Label files of a stereo set that belong to no left picture."""
    frames = [record.frame for record in records if record.frame is not None]
    return records[0].layout.find_strays(Path(source.root).expanduser(), frames) if frames else []


CITYSCAPES = Format(
    index=_index,
    is_one=lambda root: KINDS["cityscapes"](root) is not None,
    needs="leftImg8bit/",
    kind=KINDS["cityscapes"],
    holds="leftImg8bit/ gtFine/ (or the published zips), and depth/ or disparity/",
    ids="cityscapes",
    stereo=True,
    labels_apart=True,
    licence="Cityscapes: non-commercial use, own licence for companies; a set of yours in its layout: yours",
    strays=stereo_strays,
)
