"""The files of one frame of a data source; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from preprocessing.ground import Frame, LabelSet, Lens, Translation, translation
from preprocessing.sets import CITYSCAPES, Layout, ToldLens


@dataclass(frozen=True)
class FrameRecord:
    """Where one frame's files are. What the frame lacks is None; `depth` [m] goes before `disparity` [px].

    `ids` and `classes` are, by name or themselves, the label set of its label files (see
    `preprocessing.ground.translation`) and that of the network; `renamed` says which class of the one is which of the
    other. `layout` says how the disparity and the camera of `frame` are read. `extra`: files of tasks that come from
    outside, by a name of theirs. `withheld`:
    tasks whose label is treated as if it had never been made, though another task may read the same file. `told_lens`:
    what the source says of the lens of its pictures, which counts before any file of the frame.
    """

    name: str
    image: Path
    ids: str | LabelSet
    classes: str | LabelSet
    source: int = 0
    labels: Path | None = None
    depth: Path | None = None
    disparity: Path | None = None
    instances: Path | None = None
    frame: Frame | None = None
    layout: Layout = CITYSCAPES
    extra: Mapping[str, Path] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    told_lens: ToldLens | None = None
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def translation(self) -> Translation:
        """How its label files become classes. Raises: InputError where nothing of them is one."""
        return translation(self.ids, self.classes, self.renamed)

    def lens(self, size: tuple[int, int]) -> Lens | None:
        """The lens of its picture, of `size` (width, height) as it is on the disk; None where nobody tells it.

        Raises: InputError naming the file or the number that cannot be right.
        """
        if self.told_lens is not None:
            return self.told_lens.at(size)
        if self.frame is None or (self.frame.camera is None and self.layout is not CITYSCAPES):
            return None
        return Lens.of_camera(self.layout.camera(self.frame, size), size)
