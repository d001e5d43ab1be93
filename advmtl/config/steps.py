"""Numbers of steps that may be written as a share of the training, `10%`. Imports no torch."""

import math
import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator

from preprocessing.ground import InputError

_SHARE = re.compile(r"(\d+(?:\.\d+)?) ?%")
M = TypeVar("M", bound=BaseModel)


def _steps(value: Any, least: int = 0) -> int | str:
    match = _SHARE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is not None:
        share = float(match[1])
        if share > 100 or (least and not share):
            raise ValueError(f"{value!r} is no share of the training; write one up to 100%, e.g. 10%")
        return f"{share:g}%"
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not number or value != int(value) or value < least:
        raise ValueError(
            f"{value!r} is no number of steps; write a whole one from {least} on, e.g. 50, or a share of the training, "
            "e.g. 10%"
        )
    return int(value)


def _some_steps(value: Any) -> int | str:
    return _steps(value, 1)


def _some_steps_or_none(value: Any) -> int | str | None:
    return None if value is None else _steps(value, 1)


if TYPE_CHECKING:  # for who counts with them, which is after `whole_steps`
    Steps = int
    SomeSteps = int
    SomeStepsOrNone = int | None
    StepsByName = dict[str, int | None]
else:
    Steps = Annotated[int | str, BeforeValidator(_steps)]
    SomeSteps = Annotated[int | str, BeforeValidator(_some_steps)]
    SomeStepsOrNone = Annotated[int | str | None, BeforeValidator(_some_steps_or_none)]
    StepsByName = dict[str, SomeStepsOrNone]


def shares_of(settings: BaseModel, prefix: str = "") -> dict[str, str]:
    """The shares of the training in a section and those below it, by key: {"train.warmup_steps": "10%"}."""
    found: dict[str, str] = {}
    for name, value in settings:
        if isinstance(value, BaseModel):
            found |= shares_of(value, f"{prefix}{name}.")
        elif isinstance(value, str) and _counts_steps(settings, name):
            found[f"{prefix}{name}"] = value
        elif isinstance(value, dict) and _counts_by_name(settings, name):
            found |= {f"{prefix}{name}.{part}": one for part, one in value.items() if isinstance(one, str)}
    return found


def whole_steps(settings: M, steps: int | None, prefix: str = "") -> M:
    """A section and those below it with the shares of a training of `steps` steps as numbers of steps: to the nearest,
    at least 1 but for 0 %. What has none comes back as it is; values are not checked anew.

    Raises: InputError naming a share where the steps are not known.
    """
    found: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, BaseModel):
            changed = whole_steps(value, steps, f"{prefix}{name}.")
            found |= {} if changed is value else {name: changed}
        elif isinstance(value, str) and _counts_steps(settings, name):
            found[name] = _of(steps, value, f"{prefix}{name}")
        elif isinstance(value, dict) and _counts_by_name(settings, name):
            shares = {part: one for part, one in value.items() if isinstance(one, str)}
            known = {part: _of(steps, one, f"{prefix}{name}.{part}") for part, one in shares.items()}
            found |= {name: {**value, **known}} if known else {}
    return settings.model_copy(update=found) if found else settings


def put_back(values: dict[str, Any], shares: dict[str, str]) -> dict[str, Any]:
    """Plain values with the shares that `shares_of` had found in their places, in these dictionaries themselves."""
    for key, share in shares.items():
        here, name = _place(values, key)
        if isinstance(here, dict) and name in here:
            here[name] = share
    return values


def value_at(settings: Any, key: str) -> Any:
    """The value of a key of `shares_of` in a section."""
    here, name = _place(settings, key)
    return here[name] if isinstance(here, dict) else getattr(here, name)


def _place(here: Any, key: str) -> tuple[Any, str]:
    """Where a key's value is, and its name there; a name in a dictionary may itself have points."""
    while "." in key and not (isinstance(here, dict) and key in here):
        section, _, key = key.partition(".")
        here = here.get(section) if isinstance(here, dict) else getattr(here, section)
    return here, key


def _of(steps: int | None, share: str, key: str) -> int:
    if steps is None:
        raise InputError(f"{key}: {share} of how many steps? set train.max_steps, or write a number of steps")
    percent = float(share[:-1])
    return max(1, round(percent * steps / 100)) if percent else 0


def _counts_by_name(settings: BaseModel, name: str) -> bool:
    return type(settings).model_fields[name].annotation == StepsByName


def _counts_steps(settings: BaseModel, name: str) -> bool:
    """Whether a field is one of `Steps`; others hold text as well."""
    metadata = type(settings).model_fields[name].metadata
    return any(getattr(one, "func", None) in (_steps, _some_steps, _some_steps_or_none) for one in metadata)
