"""Whether a search space suits a configuration, before the first trial: each key is there, each end is possible."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from advmtl.config import OPERATIONAL, Config, load_config
from advmtl.tune.space import Dimension, Space, Values, override
from preprocessing.ground import InputError

# What the figures are taken on: trials that differ there cannot be compared.
_MEASURED = ("data.val", "data.classes")
_DOUBTFUL = {
    "seed": "the best seed is luck, not a setting",
    "data.size": "figures are taken at this size, so trials of different sizes are measured differently",
    "depth.max_m": "true depth beyond it does not count, so trials are measured on different pixels",
    "depth.min_m": "true depth below it does not count, so trials are measured on different pixels",
    **dict.fromkeys(OPERATIONAL, "changes how a run is carried out, not what it computes"),
}


def apply(values: Mapping[str, Any], drawn: Mapping[str, Any], tables: Mapping[str, Any] | None = None) -> Config:
    """The configuration of plain `values` with the `drawn` ones in their places. Raises: InputError."""
    return load_config(values, [override(key, value) for key, value in drawn.items()], tables=tables)


def check_space(space: Space, config: Config) -> Space:
    """Refuse a space whose keys or ends the configuration cannot have.

    A value is tried with the configuration's own, and with all keys of the space at their first ones: that two values
    do not go together is a matter of a trial, not of the space. Returns: the space, with whole-number ends as such only
    where the key takes no others. Raises: InputError naming the file, the key and the value.
    """
    _check_order(space)
    values = config.model_dump(mode="json")
    space = replace(space, dimensions=tuple(_with_kind(one, space, values, config) for one in space.dimensions))
    for one in space.dimensions:
        if one.key in _MEASURED or one.key.startswith(tuple(f"{key}." for key in _MEASURED)):
            raise InputError(f"{space.file}: {one.key}: trials would not be measured on the same; leave it out")
        for value in one.ends:
            if (error := _error(one, value, space, values, config)) is not None:
                drawn = override(one.key, value)
                raise InputError(f"{space.file}: {drawn}: {error.removeprefix(f'override {drawn!r}: ')}")
    return space


def _check_order(space: Space) -> None:
    """Keys are set in the order of the file, so a section after a key of it would undo what was drawn for the key."""
    for place, one in enumerate(space.dimensions):
        undone = next((other.key for other in space.dimensions[:place] if other.key.startswith(f"{one.key}.")), None)
        if undone is not None:
            raise InputError(f"{space.file}: {one.key}: stands after {undone}, which it would replace; put it before")


def doubts(space: Space) -> list[str]:
    """A line for each key that parses but is hardly what was meant."""
    found = [f"{one.key}: {_DOUBTFUL[one.key]}" for one in space.dimensions if one.key in _DOUBTFUL]
    return found + [f"{one.key}: has one value only" for one in space.dimensions if len(one.ends) == 1]


def own_values(space: Space, config: Config) -> tuple[Values, str]:
    """The configuration's own values of the drawn keys, and why they are no point of the space; "" where they are."""
    whole = config.model_dump(mode="json")
    found: Values = {}
    for one in space.dimensions:
        if not one.active(found):
            continue
        own = _at(whole, one.key)
        if one.kind == "choice":  # as the configuration writes it: 256x128, [1, 1]
            own = next((value for value in one.choices if _same(config, one.key, value)), own)
        if not one.contains(own):
            return {}, f"{one.key} is {own}, outside of the space"
        found[one.key] = own
    return found, ""


def _same(config: Config, key: str, value: Any) -> bool:
    try:
        changed = apply(config.model_dump(mode="json"), {key: value}, config.tables)
    except InputError:
        return False
    return bool(_at(changed.model_dump(mode="json"), key) == _at(config.model_dump(mode="json"), key))


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _with_kind(one: Dimension, space: Space, values: Mapping[str, Any], config: Config) -> Dimension:
    """A key that takes fractions is drawn as such, also between 0 and 1 written without a point."""
    if one.kind != "int" or one.step is not None or one.low == one.high:
        return one
    between = one.low + 0.3819660113 * (one.high - one.low)  # a whole number for no two ends
    return one if _error(one, between, space, values, config) is not None else replace(one, kind="float")


def _error(one: Dimension, value: Any, space: Space, values: Mapping[str, Any], config: Config) -> str | None:
    """Why the key cannot have this value; None where it can."""
    first = None
    for alone in (True, False):
        try:
            apply(values, _with(one, value, space, alone), config.tables)
            return None
        except InputError as error:
            # What is told already: that it is this value of this key.
            text = str(error).removeprefix("configuration: ").removeprefix(f"override {override(one.key, value)!r}: ")
            first = first or text
    return first


def _with(wanted: Dimension, value: Any, space: Space, alone: bool) -> Values:
    """`value` at its key, with what it waits for and what waits for it; else, not `alone`, all others' first values."""
    needed = _conditions(wanted, space)
    found: Values = {}
    for one in space.dimensions:
        if one.key == wanted.key:
            found[one.key] = value
        elif one.key in needed:
            found[one.key] = needed[one.key]
        elif one.active(found) and (one.when or not alone):
            found[one.key] = one.ends[0]
    return found


def _conditions(one: Dimension, space: Space) -> Values:
    """First values of what a key waits for, and of what that waits for."""
    by_key = {other.key: other for other in space.dimensions}
    found: Values = {}
    for key, allowed in one.when.items():
        found |= {key: allowed[0]} | _conditions(by_key[key], space)
    return found
