"""Configuration files: finding them by path or name, `key=value` overrides. Imports no torch."""

import copy
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from advmtl.config.experiment import Config
from advmtl.config.typed import shortened, validate
from advmtl.config.yaml_text import read_yaml
from preprocessing.ground import InputError, first_line


def config_folders() -> list[Path]:
    """Folders of named configurations: in an installed wheel, and in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return [folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir()]


def find_config(name: str) -> Path:
    """Find a configuration by path or by name (`model3`). Raises: InputError listing the names there are."""
    path = Path(name)
    if path.is_file():
        return path
    if path.is_dir() and (path / "config.yaml").is_file():
        return path / "config.yaml"
    for folder in config_folders():
        candidate = folder / f"{name}.yaml"
        if candidate.is_file():
            return candidate
    names = sorted({file.stem for folder in config_folders() for file in folder.glob("*.yaml")})
    close = difflib.get_close_matches(Path(name).stem, names, 1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise InputError(f"configuration {name!r}: no such file or name; {hint}there are {', '.join(names)}")


def as_then(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that a run has written, with the meaning that they had then: what is not told there was not known yet.

    Lenses were ignored, and pictures stretched.
    """
    depth, data = dict(values.get("depth") or {}), dict(values.get("data") or {})
    depth.setdefault("lens", "ignored")
    data.setdefault("fit", "stretch")
    return {**values, "depth": depth, "data": data}


def _override(values: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(f"override {text!r}: write key=value, e.g. train.epochs=5")
    here = values
    for part in parts[:-1]:
        # A run's config.yaml says null where nothing is configured: there keys may begin.
        if here.get(part) is None:
            here[part] = {}
        if not isinstance(here[part], dict):
            raise InputError(f"override {text!r}: {part} holds a value, not keys")
        here = here[part]
    try:
        # YAML reads 1e-3 as text (it wants 1.0e-3); people write 1e-3 and mean the number.
        parsed = read_yaml(value)
        here[parts[-1]] = _number(parsed) if isinstance(parsed, str) else parsed
    except yaml.YAMLError:
        torn = value.count("{") > value.count("}") or value.count("[") > value.count("]")
        remedy = "; the shell ends it at a blank: put quotes around key and value" if torn else ""
        raise InputError(f"override {text!r}: {value!r} is not readable as YAML{remedy}") from None


def _number(text: str) -> float | str:
    try:
        return float(text) if text[:1].isdigit() or text[:1] in "+-." else text
    except ValueError:
        return text


TABLES = ("tasks", "objectives", "encoders", "weather")


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    tables: Mapping[str, Mapping[str, Any]] | None = None,
) -> Config:
    """Load a configuration by name, path or run folder, or of plain values, and apply `key=value` overrides.

    `tables`: what names are checked against, see `Config`.

    Raises: InputError, one line naming the file and the key, or the override.
    """
    unknown = [name for name in tables or {} if name not in TABLES]
    if unknown:
        raise InputError(f"tables: no {unknown[0]!r}; there are {', '.join(TABLES)}")
    if isinstance(source, Mapping):
        return _checked(copy.deepcopy(dict(source)), overrides, "configuration", tables)
    path = find_config(str(source))
    try:
        values = read_yaml(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML ({first_line(error)})") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys to values")
    if (path.parent / "checkpoints").is_dir():
        values = as_then(values)
    values.setdefault("name", path.stem)
    return _checked(values, overrides, str(path), tables)


def _checked(
    values: dict[str, Any], overrides: Sequence[str], where: str, tables: Mapping[str, Mapping[str, Any]] | None
) -> Config:
    alone = copy.deepcopy(values) if overrides else values
    for text in overrides:
        _override(values, text)
    context = dict(tables or {})
    try:
        return validate(Config, values, where, context, overrides=overrides)
    except InputError as error:
        reason = str(error)
        if not overrides or not reason.startswith(f"{where}: ") or not _fits(alone, context):
            raise
        reason = reason.removeprefix(f"{where}: ")
        section = f"{reason.partition(': ')[0]}."
        at_fault = [text for text in overrides if text.startswith(section)] or list(overrides)
        told = ", ".join(repr(shortened(text)) for text in at_fault)
        raise InputError(f"override{'s' if len(at_fault) > 1 else ''} {told}: {reason}") from None


def _fits(values: Mapping[str, Any], context: Mapping[str, Any]) -> bool:
    """Whether plain values are a configuration: what is wrong with overrides is then theirs together."""
    try:
        validate(Config, values, "", dict(context))
    except InputError:
        return False
    return True
