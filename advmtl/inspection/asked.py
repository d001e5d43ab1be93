"""What an argument of `advmtl inspect` names: sources with their splits, the sources of a configuration, or a bag."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advmtl.config import Config, Source, load_config
from advmtl.data import FORMATS, Format, Role, format_of
from advmtl.inspection.guess import guess_source
from preprocessing.ground import InputError, names_in
from preprocessing.sets import describe, is_bag

TRAIN = ("train", "training", "train_extra")
VAL = ("val", "valid", "validation")
OTHER = ("test", "testing")
_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Named:
    """One source to look at, as if a training learnt from it or measured on it (`role`)."""

    source: Source
    role: Role


@dataclass(frozen=True)
class Asked:
    """What one argument names.

    Attributes:
        text: the argument.
        named: the sources, one a split; () of a bag.
        notes: how a format was guessed, and which splits are left out.
        bag: the bag.
        config: the configuration that has the sources; None where they were named themselves.
        error: why it names nothing that could be looked at.
    """

    text: str
    named: tuple[Named, ...] = ()
    notes: tuple[str, ...] = ()
    bag: Path | None = None
    config: Config | None = None
    error: str | None = None


def ask(text: str, formats: Mapping[str, Format] = FORMATS) -> Asked:
    """Read an argument: `format:root[:split][,key=value]`, a folder, a bag, a configuration file or a run folder.

    Raises: InputError where nothing that can be read has this name, with what is there instead.
    """
    path = Path(text).expanduser()
    if path.is_dir() and (path / "config.yaml").is_file() and (path / "checkpoints").is_dir():
        return _of_config(text)
    if path.is_file() and path.suffix in _SUFFIXES:
        return _of_config(text)
    if path.exists() and is_bag(path):
        return Asked(text, bag=path)
    if path.is_dir():
        source, note = guess_source(path, formats)
        return _with_splits(text, source, (note,), formats)
    if not path.exists() and ":" in text:
        source = Source.parse(text)
        root = Path(source.root).expanduser()
        if source.format == "bag" and root.exists():
            return Asked(text, bag=root)
        return _with_splits(text, source, (), formats)
    raise InputError(f"{path}: {describe(path, as_source=True, kinds={n: one.kind for n, one in formats.items()})}")


def _of_config(text: str) -> Asked:
    config = load_config(text)
    data = config.data
    named = [Named(one, "train") for one in data.train] + [Named(one, "val") for one in data.val]
    if not named:
        raise InputError(f"{text}: names no data source; add data.train and data.val, or name a source here")
    return Asked(text, tuple(named), config=config)


def _with_splits(text: str, source: Source, notes: tuple[str, ...], formats: Mapping[str, Format]) -> Asked:
    """A source that names no split stands for those of training and validation."""
    if source.split is not None:
        return Asked(text, (Named(source, _role(source.split)),), notes)
    there = splits_of(source, format_of(source, formats))
    if not there:
        return Asked(text, (Named(source, "train"),), notes)
    chosen = [one for one in there if one not in OTHER] or there
    left = [one for one in there if one not in chosen]
    if left:
        names = ", ".join(f"{source.format}:{source.root}:{one}" for one in left)
        notes = (*notes, f"not looked at: {names}; name it to see it")
    return Asked(text, tuple(Named(_in(source, one), _role(one)) for one in chosen), notes)


def _role(split: str) -> Role:
    return "val" if split in (*VAL, *OTHER) else "train"


def _in(source: Source, split: str) -> Source:
    changes: dict[str, Any] = {"split": split}
    return source.model_copy(update=changes)


def _has(source: Source, own: Format, split: str) -> bool:
    try:
        return bool(own.index(_in(source, split), "cityscapes19", _role(split)))
    except InputError:
        return False


def splits_of(source: Source, own: Format) -> list[str]:
    """The splits of a set, training first, by the names of its folders or as its format has them; [] where it has none:
    the splits of a rig are its sequences, and all of them are looked at.
    """
    root = Path(source.root).expanduser()
    usual = (*TRAIN, *VAL, *OTHER)
    found = {one for one in usual if not own.stereo and (root / "images" / one).is_dir()}
    if own.splits:
        city = root / "leftImg8bit"
        found |= {one for one in names_in(city) or () if own.stereo and (city / one).is_dir()}
        found = found or {one for one in ("train", "val") if _has(source, own, one)}
    order = {name: place for place, name in enumerate(usual)}
    return sorted(found, key=lambda name: (order.get(name, len(order)), name))
