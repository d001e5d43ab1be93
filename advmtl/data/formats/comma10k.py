"""comma10k: imgs/ and masks/, five classes by colour; its README measures on the pictures whose names end with 9."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.data.formats.joined import joined, strays_of
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, LabelSet
from preprocessing.sets import KINDS, Strays

_VAL = "9"


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    root = Path(source.root).expanduser()
    if source.split not in ("train", "val"):
        raise InputError(f"{root}: comma10k's splits are train and val, not {source.split!r}")
    wanted = source.split == "val"
    return joined(root / "imgs", root / "masks", "comma10k", classes, takes=lambda name: name.endswith(_VAL) == wanted)


def _strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    root = Path(source.root).expanduser()
    return strays_of(source, root / "imgs", root / "masks", unread_folders=(root / "imgs2", root / "imgsd"))


COMMA10K = Format(
    index=_index,
    is_one=lambda root: KINDS["comma10k"](root) is not None,
    needs="imgs/ and masks/",
    kind=KINDS["comma10k"],
    holds="imgs/ masks/ (comma10k)",
    ids="comma10k",
    licence="MIT",
    strays=_strays,
)
