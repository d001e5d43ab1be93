"""What defines a format of labelled frames: how a source is recognised, indexed and described."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from advmtl.config import Source
from advmtl.tasks import FrameRecord
from preprocessing.ground import LabelSet
from preprocessing.sets import Strays

Role = Literal["train", "val"]


def no_strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    """Of a format that does not look for them."""
    return []


@dataclass(frozen=True)
class Format:
    """One layout of frames and their labels on disk.

    Attributes:
        index: (source, label set, role) -> its frames, sorted by name; the rules for depth are those of `index_source`.
            Raises InputError where a folder or split is missing.
        is_one: (root) -> whether the folder is such a set.
        needs: what `is_one` looks for, in words.
        kind: (root) -> what such a set is called in a hint to a user who has given another path; None where there is
            none. Formats are asked in the order of their table.
        holds: the folders of a set, for the help of the command line.
        ids: the ids of its class maps, as `preprocessing.ground.source_set` names them; (source) -> them where a set
            tells its own. Ask `ids_at`.
        splits: whether frames are split into folders for training and validation, so that a source without a split
            means that of its role.
        split_word: what a split is called in the help.
        stereo: whether it has what `advmtl preprocess` makes depth of, and with it a camera.
        labels_apart: whether the set is published with its labels in an archive of their own.
        licence: what the publisher of such a set allows, in a few words; "" where the format tells nothing of the set.
        strays: (source, all its frames) -> the label files that belong to none of them.
    """

    index: Callable[[Source, str | LabelSet, Role], list[FrameRecord]]
    is_one: Callable[[Path], bool]
    needs: str
    kind: Callable[[Path], str | None]
    holds: str
    ids: str | LabelSet | Callable[[Source], LabelSet]
    splits: bool = True
    split_word: str = "SPLIT"
    stereo: bool = False
    labels_apart: bool = False
    licence: str = ""
    strays: Callable[[Source, Sequence[FrameRecord]], list[Strays]] = no_strays

    def ids_at(self, source: Source) -> str | LabelSet:
        """The ids of the class maps of a source. Raises: InputError where its set tells none."""
        return self.ids(source) if callable(self.ids) else self.ids
