"""The classes of a label set as users write them, each as a mapping that has its name, with where it stands."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from preprocessing.ground.labels.fields import Entry, is_colour
from preprocessing.ground.labels.label_set import MAX_CLASSES
from preprocessing.ground.labels.marked_yaml import Marked, Place

CLASS_KEYS = ("name", "colour", "ids", "colours", "group", "also", "thing", "sky")
IGNORE_WORD = "ignore"
"""What `map` of a source sends a class to that is to be no class; so no class can be called that."""


def plain_word(name: str) -> str:
    """A name as names are compared: Traffic_Light and traffic light are one."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def is_whole(values: Mapping[Any, Any]) -> bool:
    """Whether a mapping is what a file has; else it is names and colours."""
    return isinstance(values.get("classes"), list | dict) and not is_colour(values.get("classes"))


def entries_of(marked: Marked, values: Any, place: Place) -> list[Entry]:
    if isinstance(values, dict):
        found = [((*place, name), _entry(marked, name, one, (*place, name))) for name, one in values.items()]
    elif isinstance(values, list):
        found = []
        for number, one in enumerate(values):
            here = (*place, number)
            if isinstance(one, dict) and set(one) == {IGNORE_WORD}:
                raise marked.fault(here, "ignore is no class; list its ids beside classes, under ignore")
            own = one if isinstance(one, dict) else {"name": one}
            if "name" not in own:
                raise marked.fault(here, f"a class needs a name; it may have {', '.join(CLASS_KEYS)}")
            found.append((here, _entry(marked, own["name"], {k: v for k, v in own.items() if k != "name"}, here)))
    else:
        raise marked.fault(place, "classes are a list, or a mapping of names to colours")
    if not found:
        raise marked.fault(place, "there is no class")
    if len(found) > MAX_CLASSES:
        raise marked.fault(found[MAX_CLASSES][0], f"{len(found)} classes; there can be {MAX_CLASSES} at most")
    return found


def _entry(marked: Marked, name: Any, value: Any, place: Place) -> dict[str, Any]:
    """One class as a mapping that has its name; `value`: a colour, a mapping, or nothing."""
    if not isinstance(name, str) or not name.strip():
        hint = "; put it in quotes" if isinstance(name, bool | int | float) else ""
        raise marked.fault(place, f"{name!r} is no name of a class{hint}")
    if plain_word(name) == IGNORE_WORD:
        raise marked.fault(place, "ignore is no class; list its ids beside classes, under ignore")
    if value is None:
        return {"name": name}
    if isinstance(value, list):
        return {"name": name, "colour": value}
    if not isinstance(value, dict):
        raise marked.fault(place, f"{name}: {value!r}; write its colour, [red, green, blue], or its keys")
    check_keys(marked, value, CLASS_KEYS[1:], place)
    return {"name": name, **value}


def check_keys(marked: Marked, values: Mapping[Any, Any], known: Sequence[str], place: Place) -> None:
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            raise marked.fault((*place, key), f"unknown key {key}; {hint}")


def check_names(marked: Marked, entries: Sequence[Entry]) -> None:
    seen: dict[str, str] = {}
    for place, one in entries:
        word = plain_word(one["name"])
        if word in seen:
            raise marked.fault(
                place,
                f"two classes are called {one['name']}"
                if seen[word] == one["name"]
                else f"{one['name']} and {seen[word]} are one name",
            )
        seen[word] = one["name"]
