"""Label sets from YAML files and plain values, checked, and back to plain values."""

from pathlib import Path
from typing import Any

from preprocessing.ground.errors import InputError
from preprocessing.ground.labels.entries import check_keys, check_names, entries_of, is_whole
from preprocessing.ground.labels.fields import (
    Entry,
    aliases_of,
    check_apart,
    colours_of,
    file_part,
    flagged,
    groups_of,
    ids_of,
    palette_of,
)
from preprocessing.ground.labels.label_set import IGNORE, LabelSet
from preprocessing.ground.labels.marked_yaml import Marked, read_marked
from preprocessing.ground.labels.nyu import nyu_set
from preprocessing.ground.labels.vistas import vistas_set

_KEYS = ("name", "classes", "colours", "ignore", "ego")


def read_label_set(path: Path | str) -> LabelSet:
    """Read a label set from a YAML file (docs/label_sets.md), from Mapillary Vistas' config.json, or from the tables of
    NYU Depth V2, classMapping40.mat and class13Mapping.mat.

    Raises: InputError naming the file and the line.
    """
    path = Path(path).expanduser()
    if path.suffix == ".mat":
        return _label_set(Marked(nyu_set(path), str(path)), "nyu")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not text in UTF-8; a label set is a YAML file") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    if path.suffix == ".json" and (values := vistas_set(text)) is not None:
        return _label_set(Marked(values, str(path)), f"vistas {path.stem.removeprefix('config').strip('_')}".strip())
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


def _label_set(marked: Marked, default_name: str) -> LabelSet:
    values, entries = _split(marked)
    name = values.get("name", default_name)
    if not isinstance(name, str) or not name.strip():
        raise marked.fault(("name",), f"{name!r} is no name; write text")
    check_names(marked, entries)
    palette = palette_of(marked, entries)
    ids, colours = ids_of(marked, entries), colours_of(marked, entries, values.get("colours", False))
    ignored, ego = file_part(marked, values, "ignore"), file_part(marked, values, "ego")
    check_apart(marked, entries, ids, ignored[0], "id")
    check_apart(marked, entries, colours, ignored[1], "colour")
    taken = {number for own in ids for number in own}
    drawn = {colour for own in colours for colour in own}
    return LabelSet(
        name=name,
        names=tuple(one["name"] for _, one in entries),
        palette=palette,
        ids=ids,
        colours=colours if any(colours) else (),
        groups=groups_of(marked, entries),
        aliases=aliases_of(marked, entries),
        things=flagged(marked, entries, "thing"),
        told_sky=flagged(marked, entries, "sky"),
        ignore_ids=tuple(sorted({*ignored[0], *({IGNORE, *ego[0]} - taken)})),
        ignore_colours=tuple(sorted({*ignored[1], *(set(ego[1]) - drawn)})),
        ego_ids=ego[0],
        ego_colours=ego[1],
        own=True,
    )


def _split(marked: Marked) -> tuple[dict[str, Any], list[Entry]]:
    """What is said of the whole set, and its classes."""
    values = marked.values
    if isinstance(values, dict) and is_whole(values):
        check_keys(marked, values, _KEYS, ())
        return values, entries_of(marked, values["classes"], ("classes",))
    if isinstance(values, list | dict):
        return {}, entries_of(marked, values, ())
    raise marked.fault((), "a label set is a list of classes, or a mapping with the key classes")
