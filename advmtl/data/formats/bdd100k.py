"""BDD100K's 10K pictures with semantic segmentation: masks of train ids, which are Cityscapes'."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.data.formats.joined import joined, strays_of
from advmtl.tasks import FrameRecord
from preprocessing.ground import TRAIN_IDS, LabelSet
from preprocessing.sets import KINDS, Strays

_IDS = f"cityscapes19{TRAIN_IDS}"


def _folders(source: Source) -> tuple[Path, Path]:
    root, split = Path(source.root).expanduser(), source.split or ""
    return root / "images" / "10k" / split, root / "labels" / "sem_seg" / "masks" / split


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    return joined(*_folders(source), _IDS, classes)


def _strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    return strays_of(source, *_folders(source))


BDD100K = Format(
    index=_index,
    is_one=lambda root: KINDS["bdd100k"](root) is not None,
    needs="images/10k/",
    kind=KINDS["bdd100k"],
    holds="images/10k/ labels/sem_seg/masks/ (BDD100K)",
    ids=_IDS,
    labels_apart=True,
    licence="own licence: education, research and not-for-profit",
    strays=_strays,
)
