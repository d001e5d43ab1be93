"""The files of one frame of a data source; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.ground import Frame
from preprocessing.sets import CITYSCAPES, Layout


@dataclass(frozen=True)
class FrameRecord:
    """Where one frame's files are. What the frame lacks is None; `depth` [m] goes before `disparity` [px].

    `ids` and `classes` name the labels' source ids and the label set they become. `layout` says how the disparity and
    the camera of `frame` are read. `extra`: files of tasks that come from outside, by a name of theirs. `withheld`:
    tasks whose label is treated as if it had never been made, though another task may read the same file.
    """

    name: str
    image: Path
    ids: str
    classes: str
    source: int = 0
    labels: Path | None = None
    depth: Path | None = None
    disparity: Path | None = None
    instances: Path | None = None
    frame: Frame | None = None
    layout: Layout = CITYSCAPES
    extra: Mapping[str, Path] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
