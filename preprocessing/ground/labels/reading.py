"""Label sets from YAML files and plain values, checked, and back to plain values."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground.errors import InputError
from preprocessing.ground.labels.label_set import IGNORE, MAX_CLASSES, MAX_ID, Colour, LabelSet
from preprocessing.ground.labels.marked_yaml import Marked, Place, read_marked
from preprocessing.ground.labels.palette import colour_wheel

_KEYS = ("name", "classes", "colours", "ignore", "ego")
_CLASS_KEYS = ("name", "colour", "ids", "colours", "group", "also", "thing", "sky")
_FILE_KEYS = ("ids", "colours")
IGNORE_WORD = "ignore"
"""What `map` of a source sends a class to that is to be no class; so no class can be called that."""


def read_label_set(path: Path | str) -> LabelSet:
    """Read a label set from a YAML file (docs/label_sets.md). Raises: InputError naming the file and the line."""
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text in UTF-8; a label set is a YAML file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    return _label_set(read_marked(text, str(path)), path.stem)


def label_set_of(values: Any, where: str) -> LabelSet:
    """A label set of plain values: a list of names, a mapping of names to colours, or what a file has.

    Raises: InputError that begins with `where`.
    """
    return _label_set(Marked(values, where), "own")


def as_plain(labels: LabelSet) -> dict[str, Any]:
    """What a file of the set would hold, with nothing left out that a default would give; reading it gives it back."""
    classes = []
    for place, name in enumerate(labels.names):
        one: dict[str, Any] = {"name": name, "colour": labels.palette[place].tolist()}
        one["ids"] = list(labels.file_ids[place])
        one |= {"colours": [list(colour) for colour in labels.colours[place]]} if labels.has_colours else {}
        one |= {"group": labels.groups[place]} if labels.groups else {}
        one |= {"also": dict(labels.aliases[place])} if labels.aliases and labels.aliases[place] else {}
        one |= {"thing": True} if place in labels.things else {}
        one |= {"sky": True} if place in labels.told_sky else {}
        classes.append(one)
    marked = {"ignore": (labels.ignore_ids, labels.ignore_colours), "ego": (labels.ego_ids, labels.ego_colours)}
    rest = {
        key: {"ids": list(ids), **({"colours": [list(colour) for colour in colours]} if colours else {})}
        for key, (ids, colours) in marked.items()
        if ids or colours
    }
    return {"name": labels.name, "classes": classes, **rest}


def plain_word(name: str) -> str:
    """A name as names are compared: Traffic_Light and traffic light are one."""
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _label_set(marked: Marked, default_name: str) -> LabelSet:
    values, top = marked.values, ()
    if isinstance(values, list) or (isinstance(values, dict) and not _is_whole(values)):
        entries = _entries(marked, values, top)
        values = {}
    elif isinstance(values, dict):
        _check_keys(marked, values, _KEYS, top)
        entries = _entries(marked, values["classes"], ("classes",))
    else:
        raise marked.fault(top, "a label set is a list of classes, or a mapping with the key classes")
    name = values.get("name", default_name)
    if not isinstance(name, str) or not name.strip():
        raise marked.fault(("name",), f"{name!r} is no name; write text")
    _check_names(marked, entries)
    palette, stated = _palette(marked, entries)
    coded = values.get("colours", False)
    if not isinstance(coded, bool):
        raise marked.fault(("colours",), "write true where label files have the colours of the classes, or false")
    ids = _ids(marked, entries)
    colours = tuple(_colours(marked, one, place, palette, stated, coded) for place, one in entries)
    ignored = _file_part(marked, values, "ignore")
    ego = _file_part(marked, values, "ego")
    _check_apart(marked, [one["name"] for _, one in entries], [place for place, _ in entries], ids, ignored[0], "id")
    _check_apart(
        marked, [one["name"] for _, one in entries], [place for place, _ in entries], colours, ignored[1], "colour"
    )
    taken = {number for own in ids for number in own}
    ignore_ids = tuple(sorted({*ignored[0], *({IGNORE} - taken), *(i for i in ego[0] if i not in taken)}))
    known = {colour for own in colours for colour in own}
    ignore_colours = tuple(sorted({*ignored[1], *(c for c in ego[1] if c not in known)}))
    return LabelSet(
        name=name,
        names=tuple(one["name"] for _, one in entries),
        palette=palette,
        ids=ids,
        colours=colours if any(colours) else (),
        groups=_groups(marked, entries),
        aliases=_aliases(marked, entries),
        things=_flagged(marked, entries, "thing"),
        told_sky=_flagged(marked, entries, "sky"),
        ignore_ids=ignore_ids,
        ignore_colours=ignore_colours,
        ego_ids=ego[0],
        ego_colours=ego[1],
        own=True,
    )


Entry = tuple[Place, dict[str, Any]]


def _is_whole(values: Mapping[Any, Any]) -> bool:
    """Whether a mapping is what a file has; else it is names and colours."""
    return isinstance(values.get("classes"), list | dict) and not _is_colour(values.get("classes"))


def _entries(marked: Marked, values: Any, place: Place) -> list[Entry]:
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
                raise marked.fault(here, f"a class needs a name; it may have {', '.join(_CLASS_KEYS)}")
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
    _check_keys(marked, value, _CLASS_KEYS[1:], place)
    return {"name": name, **value}


def _check_keys(marked: Marked, values: Mapping[Any, Any], known: Sequence[str], place: Place) -> None:
    for key in values:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
            raise marked.fault((*place, key), f"unknown key {key}; {hint}")


def _check_names(marked: Marked, entries: Sequence[Entry]) -> None:
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


def _palette(marked: Marked, entries: Sequence[Entry]) -> tuple[np.ndarray, list[bool]]:
    """Colours to draw with, and which of them were told."""
    told: dict[Colour, str] = {}
    for place, one in entries:
        if "colour" in one:
            colour = _colour(marked, one["colour"], (*place, "colour"), one["name"])
            if colour in told:
                text = f"{one['name']} has the colour of {told[colour]}, {list(colour)}"
                raise marked.fault((*place, "colour"), text)
            told[colour] = one["name"]
    free = (colour for colour in colour_wheel() if colour not in told)
    drawn = [tuple(one["colour"]) if "colour" in one else next(free) for _, one in entries]
    palette = np.array(drawn, dtype=np.uint8)
    palette.setflags(write=False)
    return palette, ["colour" in one for _, one in entries]


def _is_colour(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return False
    return all(isinstance(part, int) and not isinstance(part, bool) and 0 <= part <= 255 for part in value)


def _colour(marked: Marked, value: Any, place: Place, name: str) -> Colour:
    if not _is_colour(value):
        raise marked.fault(place, f"{name}: {value!r} is no colour; write [red, green, blue], each 0..255")
    red, green, blue = value
    return red, green, blue


def _listed_ids(marked: Marked, value: Any, place: Place, name: str) -> tuple[int, ...]:
    numbers = value if isinstance(value, list) else [value]
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_ID:
            raise marked.fault(place, f"{name}: {number!r} is no id; write whole numbers, 0..{MAX_ID}")
    return tuple(dict.fromkeys(numbers))


def _listed_colours(marked: Marked, value: Any, place: Place, name: str) -> tuple[Colour, ...]:
    values = [value] if _is_colour(value) else value
    if not isinstance(values, list):
        raise marked.fault(place, f"{name}: {value!r}; write a list of colours, [[red, green, blue]]")
    return tuple(dict.fromkeys(_colour(marked, one, place, name) for one in values))


def _ids(marked: Marked, entries: Sequence[Entry]) -> tuple[tuple[int, ...], ...]:
    """Positions where no class tells its ids. Where some do, a position may be another one's id: then all must."""
    if not any("ids" in one for _, one in entries):
        return tuple((number,) for number in range(len(entries)))
    for place, one in entries:
        if "ids" not in one and not one.get("colours"):
            raise marked.fault(place, f"{one['name']} has no ids and others have; write ids: [] if no file has it")
    return tuple(_listed_ids(marked, one.get("ids", []), (*place, "ids"), one["name"]) for place, one in entries)


def _colours(
    marked: Marked, one: Mapping[str, Any], place: Place, palette: np.ndarray, stated: Sequence[bool], coded: bool
) -> tuple[Colour, ...]:
    """Colours of one class in label files."""
    value = one.get("colours", True if coded else [])
    if value is not True:
        return _listed_colours(marked, value, (*place, "colours"), one["name"])
    if "colour" not in one:
        raise marked.fault(place, f"{one['name']}: label files have the colours of the classes, and it has no colour")
    return (_colour(marked, one["colour"], (*place, "colour"), one["name"]),)


def _file_part(marked: Marked, values: Mapping[str, Any], key: str) -> tuple[tuple[int, ...], tuple[Colour, ...]]:
    """Ids and colours under `ignore` or `ego`; a bare list is one of ids."""
    part = values.get(key)
    if part is None:
        return (), ()
    if isinstance(part, list | int) and not isinstance(part, bool):
        return _listed_ids(marked, part, (key,), key), ()
    if not isinstance(part, dict):
        raise marked.fault((key,), f"{part!r}; write ids and colours")
    _check_keys(marked, part, _FILE_KEYS, (key,))
    return (
        _listed_ids(marked, part.get("ids", []), (key, "ids"), key),
        _listed_colours(marked, part.get("colours", []), (key, "colours"), key),
    )


def _check_apart(
    marked: Marked,
    names: Sequence[str],
    places: Sequence[Place],
    own: Sequence[Sequence[Any]],
    ignored: Sequence[Any],
    what: str,
) -> None:
    """Raises: InputError where two classes, or a class and `ignore`, have one id or colour in label files."""
    seen: dict[Any, str] = {}
    for name, place, values in zip(names, places, own, strict=True):
        for value in values:
            if value in seen:
                shown = list(value) if isinstance(value, tuple) else value
                raise marked.fault((*place, f"{what}s"), f"{name} has the {what} of {seen[value]}, {shown}")
            seen[value] = name
    for value in ignored:
        if value in seen:
            shown = list(value) if isinstance(value, tuple) else value
            raise marked.fault(("ignore", f"{what}s"), f"{what} {shown} is {seen[value]}'s and ignored too")


def _aliases(marked: Marked, entries: Sequence[Entry]) -> tuple[tuple[tuple[str, str], ...], ...]:
    found = []
    for place, one in entries:
        value = one.get("also", {})
        if not isinstance(value, dict) or not all(isinstance(word, str) for pair in value.items() for word in pair):
            raise marked.fault((*place, "also"), f"{one['name']}: {value!r}; write the name of a set and its class")
        found.append(tuple(value.items()))
    return tuple(found) if any(found) else ()


def _groups(marked: Marked, entries: Sequence[Entry]) -> tuple[str, ...]:
    """A class without a group is one of its own where others have one."""
    for place, one in entries:
        if not isinstance(one.get("group", ""), str):
            raise marked.fault((*place, "group"), f"{one['name']}: {one['group']!r} is no name of a group")
    given = any("group" in one for _, one in entries)
    return tuple(str(one.get("group", one["name"])) for _, one in entries) if given else ()


def _flagged(marked: Marked, entries: Sequence[Entry], key: str) -> tuple[int, ...]:
    for place, one in entries:
        if not isinstance(one.get(key, False), bool):
            raise marked.fault((*place, key), f"{one['name']}: {one[key]!r}; write true or false")
    return tuple(number for number, (_, one) in enumerate(entries) if one.get(key))
