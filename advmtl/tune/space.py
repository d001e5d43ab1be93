"""The search space: keys of a configuration with the values that trials may give them. Imports no Optuna.

train.learning_rate: {low: 1e-3, high: 1e-2, log: true}
generator.crp_stages: {low: 0, high: 4}
balance.method: [sum, famo, stch]
balance.options.mu: {low: 0.1, high: 10, log: true, when: {balance.method: stch}}
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field

from advmtl.config import Strict, config_folders, read_yaml, validate
from preprocessing.ground import InputError, first_line

Values = dict[str, Any]
Plain = None | bool | int | float | str


def _number(value: Any) -> Any:
    """YAML reads 1e-3 as text (it wants 1.0e-3); people write 1e-3 and mean the number."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


Number = Annotated[Annotated[int, Field(strict=True)] | Annotated[float, Field(strict=True)], BeforeValidator(_number)]


class _Range(Strict):
    low: Number
    high: Number
    log: bool = False
    step: Number | None = None
    kind: Literal["int", "float"] | None = None
    when: Annotated[dict[str, Any], Field(default_factory=dict)]


class _Choice(Strict):
    values: Annotated[list[Any], Field(min_length=1)]
    when: Annotated[dict[str, Any], Field(default_factory=dict)]


@dataclass(frozen=True)
class Dimension:
    """One key and what may stand there.

    Attributes:
        key: of the configuration, dotted.
        kind: "choice" draws one of `choices`, "int" and "float" from `low` to `high`, both included.
        log: drawn evenly by its logarithm.
        step: only low, low + step, …; None: every value.
        when: other keys of the space, and the values of each with which this key is drawn at all.
    """

    key: str
    kind: Literal["choice", "int", "float"]
    choices: tuple[Any, ...] = ()
    low: float = 0
    high: float = 0
    log: bool = False
    step: float | None = None
    when: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def active(self, values: Mapping[str, Any]) -> bool:
        """Whether it is drawn beside the `values` of the keys before it."""
        return all(key in values and values[key] in allowed for key, allowed in self.when.items())

    @property
    def ends(self) -> tuple[Any, ...]:
        """What has to be possible for the whole of it to be: its choices, or both ends."""
        return self.choices if self.kind == "choice" else tuple(dict.fromkeys((self.low, self.high)))

    @property
    def last(self) -> float:
        """The largest value of a range, which is `high` unless the steps miss it."""
        if self.step is None:
            return self.high
        return self.low + math.floor((self.high - self.low) / self.step + 1e-9) * self.step

    @property
    def points(self) -> list[Any] | None:
        """All its values; None where there is no end of them."""
        if self.kind == "choice":
            return list(self.choices)
        step = self.step or (1 if self.kind == "int" else 0)
        if not step:
            return [self.low] if self.low == self.high else None
        return [self.low + number * step for number in range(round((self.last - self.low) / step) + 1)]

    def contains(self, value: Any) -> bool:
        """Whether a trial can have this value."""
        if self.kind == "choice":
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        step = self.step or (1 if self.kind == "int" else 0)
        steps = (value - self.low) / step if step else 0
        return math.isclose(steps, round(steps), abs_tol=1e-6)

    def label(self, value: Any) -> Plain:
        """A value as Optuna keeps it: lists and mappings as text."""
        return value if self.kind != "choice" or isinstance(value, Plain) else json.dumps(value)

    def value(self, label: Plain) -> Any:
        """The value of a label."""
        return label if self.kind != "choice" else next(one for one in self.choices if self.label(one) == label)

    def to_dict(self) -> dict[str, Any]:
        """As in a file of a space, JSON-able."""
        when = {key: list(values) for key, values in self.when.items()}
        if self.kind == "choice":
            return {"values": list(self.choices), **({"when": when} if when else {})}
        found = {"low": self.low, "high": self.high, "log": self.log, "step": self.step, "when": when}
        return {"kind": self.kind} | {key: value for key, value in found.items() if value is not False and value != {}}


@dataclass(frozen=True)
class Space:
    """All dimensions in the order of the file, which is that of drawing; `file` for messages."""

    dimensions: tuple[Dimension, ...]
    file: str

    def points(self) -> Iterator[Values]:
        """Every combination, the last key changing fastest. Raises: InputError where a key has no end of values."""
        endless = [one.key for one in self.dimensions if one.points is None]
        if endless:
            raise InputError(f"{self.file}: {endless[0]}: a grid needs a step, or a list of values")
        seen: set[str] = set()
        for chosen in itertools.product(*(one.points or () for one in self.dimensions)):
            values: Values = {}
            for dimension, value in zip(self.dimensions, chosen, strict=True):
                if dimension.active(values):
                    values[dimension.key] = value
            if (text := json.dumps(values)) not in seen:  # where a key is not active, its values are one
                seen.add(text)
                yield values

    def to_dict(self) -> dict[str, Any]:
        """As in a file, JSON-able; reading it back gives an equal one."""
        return {one.key: one.to_dict() for one in self.dimensions}


def override(key: str, value: Any) -> str:
    """`key=value` as on the command line."""
    text = json.dumps(value)
    if isinstance(value, str):
        with suppress(yaml.YAMLError):
            text = value if value and read_yaml(value) == value else text
    return f"{key}={text}"


def find_space(name: str) -> Path:
    """The file of a space, by path or by the name of one that comes with advmtl. Raises: InputError."""
    if Path(name).is_file():
        return Path(name)
    there = {path.stem: path for folder in config_folders() for path in sorted((folder / "spaces").glob("*.yaml"))}
    if name not in there:
        raise InputError(f"search space {name!r}: no such file or name; there are {', '.join(there)}")
    return there[name]


def read_space(path: Path) -> Space:
    """Read a space; whether its keys and values suit a configuration is `check_space`'s.

    Raises: InputError naming the file and the key.
    """
    try:
        content = read_yaml(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: not readable as YAML ({first_line(error)})") from None
    if not isinstance(content, dict) or not content:
        raise InputError(
            f"{path}: a search space is a mapping of keys to values, e.g. train.learning_rate: [1e-3, 3e-3]"
        )
    return space_of(content, str(path))


def space_of(content: Mapping[str, Any], file: str) -> Space:
    """A space of plain values as a file has them. Raises: InputError naming `file` and the key."""
    dimensions: list[Dimension] = []
    for key, given in content.items():
        if isinstance(given, list):
            given = {"values": given}
        if not isinstance(given, Mapping) or not {"low", "high", "values"} & given.keys():
            raise InputError(f"{file}: {key}: write {{low: …, high: …}} or a list of values; nested keys with dots")
        where = f"{file}: {key}"
        if "values" in given:
            dimensions.append(_choice(str(key), validate(_Choice, given, where), where))
        else:
            dimensions.append(_range(str(key), validate(_Range, given, where), where))
        _check_when(dimensions, where)
    return Space(tuple(dimensions), file)


def _choice(key: str, given: _Choice, where: str) -> Dimension:
    values = [_number_in(value) for value in given.values]
    texts = [json.dumps(value) for value in values]
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: {twice} stands there twice")
    return Dimension(key, "choice", choices=tuple(values), when=_lists(given.when))


def _number_in(value: Any) -> Any:
    """A choice that is written 1e-3 is the number, as on the command line."""
    return _number(value) if isinstance(value, str) and value[:1] in "+-.0123456789" else value


def _range(key: str, given: _Range, where: str) -> Dimension:
    numbers = [given.low, given.high, *([] if given.step is None else [given.step])]
    whole = all(isinstance(one, int) for one in numbers)
    if given.kind == "int" and not whole:
        raise InputError(f"{where}: kind int needs whole numbers, not {numbers}")
    kind: Literal["int", "float"] = given.kind or ("int" if whole else "float")
    if given.low > given.high:
        raise InputError(f"{where}: low {given.low} is above high {given.high}")
    if given.log and given.low <= 0:
        raise InputError(f"{where}: log needs low > 0, it is {given.low}")
    if given.log and given.step is not None:
        raise InputError(f"{where}: log and step do not go together; leave one out, or list the values")
    if given.step is not None and given.step <= 0:
        raise InputError(f"{where}: step is {given.step}; it must be above 0")
    return Dimension(key, kind, low=given.low, high=given.high, log=given.log, step=given.step, when=_lists(given.when))


def _lists(when: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {key: tuple(value) if isinstance(value, list) else (value,) for key, value in when.items()}


def _check_when(dimensions: Sequence[Dimension], where: str) -> None:
    """Raise InputError where the newest dimension waits for what is not drawn before it."""
    *before, newest = dimensions
    known = {one.key: one for one in before}
    for key, allowed in newest.when.items():
        if key not in known:
            raise InputError(f"{where}: when names {key}, which does not stand above it in the space")
        never = [value for value in allowed if not known[key].contains(value)]
        if never:
            raise InputError(f"{where}: when {key} is {never[0]!r}: the space never draws that")
