"""The keys of the classes of a label set: each checked, with the place of what is wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from preprocessing.ground.labels.label_set import MAX_ID, Colour, UInt8
from preprocessing.ground.labels.marked_yaml import Marked, Place
from preprocessing.ground.labels.palette import colour_wheel

Entry = tuple[Place, dict[str, Any]]
"""Where a class stands, and its keys."""


def palette_of(marked: Marked, entries: Sequence[Entry]) -> UInt8:
    """Colours to draw with, uint8 [K, 3], read-only; those that were not told from a wheel."""
    told: dict[Colour, str] = {}
    for place, one in entries:
        if "colour" in one:
            colour = colour_of(marked, one["colour"], (*place, "colour"), one["name"])
            if colour in told:
                text = f"{one['name']} has the colour of {told[colour]}, {list(colour)}"
                raise marked.fault((*place, "colour"), text)
            told[colour] = one["name"]
    free = (colour for colour in colour_wheel() if colour not in told)
    drawn = [tuple(one["colour"]) if "colour" in one else next(free) for _, one in entries]
    palette = np.array(drawn, dtype=np.uint8)
    palette.setflags(write=False)
    return palette


def is_colour(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return False
    return all(isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= 255 for part in value)


def colour_of(marked: Marked, value: Any, place: Place, name: str) -> Colour:
    if not is_colour(value):
        raise marked.fault(place, f"{name}: {value!r} is no colour; write [red, green, blue], each 0..255")
    red, green, blue = value
    return red, green, blue


def listed_ids(marked: Marked, value: Any, place: Place, name: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_ID:
            raise marked.fault(place, f"{name}: {number!r} is no id; write whole numbers, 0..{MAX_ID}")
    return tuple(dict.fromkeys(numbers))


def listed_colours(marked: Marked, value: Any, place: Place, name: str) -> tuple[Colour, ...]:
    values = [value] if is_colour(value) else value
    if not isinstance(values, list):
        raise marked.fault(place, f"{name}: {value!r}; write a list of colours, [[red, green, blue]]")
    return tuple(dict.fromkeys(colour_of(marked, one, place, name) for one in values))


def ids_of(marked: Marked, entries: Sequence[Entry]) -> tuple[tuple[int, ...], ...]:
    """Positions where no class tells its ids. Where some do, a position may be another one's id: then all must."""
    if not any("ids" in one for _, one in entries):
        return tuple((number,) for number in range(len(entries)))
    for place, one in entries:
        if "ids" not in one and not one.get("colours"):
            raise marked.fault(place, f"{one['name']} has no ids and others have; write ids: [] if no file has it")
    return tuple(listed_ids(marked, one.get("ids", []), (*place, "ids"), one["name"]) for place, one in entries)


def colours_of(marked: Marked, entries: Sequence[Entry], coded: Any) -> tuple[tuple[Colour, ...], ...]:
    """Colours of the classes in label files; `coded`: those to draw with, where a class has no others."""
    if not isinstance(coded, bool):
        raise marked.fault(("colours",), "write true where label files have the colours of the classes, or false")
    return tuple(_file_colours(marked, one, place, one.get("colours", coded)) for place, one in entries)


def _file_colours(marked: Marked, one: Mapping[str, Any], place: Place, value: Any) -> tuple[Colour, ...]:
    name = one["name"]
    if value is False:
        return ()
    if value is not True:
        return listed_colours(marked, value, (*place, "colours"), name)
    if "colour" not in one:
        raise marked.fault(place, f"{name}: label files have the colours of the classes, and it has no colour")
    return (colour_of(marked, one["colour"], (*place, "colour"), name),)


def file_part(marked: Marked, values: Mapping[str, Any], key: str) -> tuple[tuple[int, ...], tuple[Colour, ...]]:
    """Ids and colours under `ignore` or `ego`; a bare list is one of ids."""
    part = values.get(key)
    if part is None:
        return (), ()
    if isinstance(part, list | int) and not isinstance(part, bool):
        return listed_ids(marked, part, (key,), key), ()
    if not isinstance(part, dict):
        raise marked.fault((key,), f"{part!r}; write ids and colours")
    for unknown in part:
        if unknown not in ("ids", "colours"):
            raise marked.fault((key, unknown), f"unknown key {unknown}; known here: ids, colours")
    return (
        listed_ids(marked, part.get("ids", []), (key, "ids"), key),
        listed_colours(marked, part.get("colours", []), (key, "colours"), key),
    )


def check_apart(
    marked: Marked, entries: Sequence[Entry], own: Sequence[Sequence[Any]], ignored: Sequence[Any], what: str
) -> None:
    """Raises: InputError where two classes, or a class and `ignore`, have one id or colour in label files."""
    seen: dict[Any, str] = {}
    for (place, one), values in zip(entries, own, strict=True):
        for value in values:
            if value in seen:
                raise marked.fault(
                    (*place, f"{what}s"), f"{one['name']} has the {what} of {seen[value]}, {_shown(value)}"
                )
            seen[value] = one["name"]
    for value in ignored:
        if value in seen:
            raise marked.fault(("ignore", f"{what}s"), f"{what} {_shown(value)} is {seen[value]}'s and ignored too")


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def aliases_of(marked: Marked, entries: Sequence[Entry]) -> tuple[tuple[tuple[str, str], ...], ...]:
    found = []
    for place, one in entries:
        value = one.get("also", {})
        if not isinstance(value, dict) or not all(isinstance(word, str) for pair in value.items() for word in pair):
            raise marked.fault((*place, "also"), f"{one['name']}: {value!r}; write the name of a set and its class")
        found.append(tuple(value.items()))
    return tuple(found) if any(found) else ()


def groups_of(marked: Marked, entries: Sequence[Entry]) -> tuple[str, ...]:
    """A class without a group is one of its own where others have one."""
    for place, one in entries:
        if not isinstance(one.get("group", ""), str):
            raise marked.fault((*place, "group"), f"{one['name']}: {one['group']!r} is no name of a group")
    given = any("group" in one for _, one in entries)
    return tuple(str(one.get("group", one["name"])) for _, one in entries) if given else ()


def flagged(marked: Marked, entries: Sequence[Entry], key: str) -> tuple[int, ...]:
    for place, one in entries:
        if not isinstance(one.get(key, False), bool):
            raise marked.fault((*place, key), f"{one['name']}: {one[key]!r}; write true or false")
    return tuple(number for number, (_, one) in enumerate(entries) if one.get(key))
