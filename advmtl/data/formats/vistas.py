"""Mapillary Vistas, v1.2 and v2.0: the classes are those of its config.json."""

from collections.abc import Sequence
from pathlib import Path

from advmtl.config import Source
from advmtl.data.formats.format import Format, Role
from advmtl.data.formats.joined import joined, strays_of
from advmtl.tasks import FrameRecord
from preprocessing.ground import InputError, LabelSet, read_label_set
from preprocessing.sets import KINDS, Strays

_SPLITS = {"train": "training", "val": "validation", "test": "testing"}
_CONFIGS = {"v2.0": "config_v2.0.json", "v1.2": "config_v1.2.json"}


def _places(source: Source) -> tuple[Path, Path, Path]:
    """(pictures, class maps, config) of a source; its split is train, val, test, or with a version: val/v1.2."""
    root = Path(source.root).expanduser()
    word, _, version = (source.split or "").partition("/")
    split = _SPLITS.get(word, word)
    if split not in _SPLITS.values() or version not in ("", *_CONFIGS):
        raise InputError(
            f"{root}: Vistas' splits are train, val and test, of v2.0 also with the version of its labels, val/v1.2; "
            f"not {source.split!r}"
        )
    config = next(
        (root / name for number, name in _CONFIGS.items() if version in ("", number) and _is(root, name)), None
    )
    if config is None:
        return root / split / "images", root / split / "labels", root / "config.json"
    number = next(one for one, name in _CONFIGS.items() if name == config.name)
    return root / split / "images", root / split / number / "labels", config


def _is(root: Path, name: str) -> bool:
    return (root / name).is_file()


def label_set_at(source: Source) -> LabelSet:
    """The classes of a source's class maps. Raises: InputError naming a config that is missing or garbled."""
    return read_label_set(_places(source)[2])


def _index(source: Source, classes: str | LabelSet, role: Role) -> list[FrameRecord]:
    images, labels, config = _places(source)
    return joined(images, labels, read_label_set(config), classes)


def _strays(source: Source, records: Sequence[FrameRecord]) -> list[Strays]:
    return strays_of(source, *_places(source)[:2])


VISTAS = Format(
    index=_index,
    is_one=lambda root: KINDS["vistas"](root) is not None,
    needs="training/images/ and config.json, or config_v2.0.json",
    kind=KINDS["vistas"],
    holds="training/ validation/ config.json (Mapillary Vistas)",
    ids=label_set_at,
    licence="research edition: not commercial, its own terms; commercial edition by contract",
    strays=_strays,
)
