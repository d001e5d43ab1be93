"""The set that another one is made from: its sources, classes, root and frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advmtl.config import Source
from advmtl.data import FORMATS, index_source
from advmtl.inspection import ask, own_classes
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, LabelSet


@dataclass(frozen=True)
class Original:
    """What an argument of the command line names.

    Attributes:
        text: the argument.
        sources: one a split, all below one root.
        classes: those that its frames are read with.
        root: of the set.
        records: its frames.
    """

    text: str
    sources: Sequence[Source]
    classes: str | LabelSet
    root: Path
    records: Sequence[FrameRecord]


def original(text: str, classes: str | LabelSet | None = None) -> Original:
    """The set that `text` names, a folder or format:root[:split], read with `classes`, by default those that its label
    files have.

    Raises: InputError where it is no set of pictures or has no frames.
    """
    named = ask(text).named
    if not named:
        raise InputError(f"{text}: is no set of pictures; give a folder or format:root[:split]")
    own = own_classes(named[0], FORMATS) if classes is None else classes
    root = Path(named[0].source.root).expanduser().resolve()
    records = [
        record
        for one in named
        for record in index_source(one.source.model_copy(update={"root": str(root)}), own, one.role)
    ]
    return Original(text, [one.source for one in named], own, root, records)


def recordings(texts: Sequence[str], option: str = "--like") -> tuple[list[FrameRecord], list[Path]]:
    """The pictures of all sets that `texts` name, without labels, and the roots of these sets.

    Raises: InputError naming `option` where one is no set of pictures.
    """
    records: list[FrameRecord] = []
    roots: list[Path] = []
    for text in texts:
        named = ask(text).named
        if not named:
            raise InputError(f"{option} {text}: is no set of pictures; give a folder or format:root[:split]")
        for one in named:
            bare: dict[str, Any] = {"labels": "none", "depth": "none"}
            found = index_source(one.source.model_copy(update=bare), "cityscapes19", one.role)
            records += [record.changed(source=0) for record in found]
            roots.append(Path(one.source.root).expanduser().resolve())
    return records, list(dict.fromkeys(roots))


def evenly(records: Sequence[FrameRecord], most: int) -> list[FrameRecord]:
    """So many of the frames at most, evenly over all."""
    places = np.linspace(0, len(records) - 1, min(most, len(records))).round().astype(int)
    return [records[place] for place in dict.fromkeys(places.tolist())]
