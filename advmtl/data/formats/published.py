"""Indexing stereo sets that are published in a layout of their own."""

from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.cityscapes import stereo_record
from advmtl.data.formats.format import Role
from advmtl.tasks import FrameRecord
from preprocessing.ground import LabelSet
from preprocessing.sets import PUBLISHED


def index_published(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    """The frames of a set whose format is the name of its layout."""
    layout = PUBLISHED[source.format]
    frames = layout.find_frames(Path(source.root).expanduser(), source.split)
    return [stereo_record(frame, layout, source.takes, classes, role) for frame in frames]
