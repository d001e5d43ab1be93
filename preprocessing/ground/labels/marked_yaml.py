"""YAML as plain values with the line that each began at, so that a fault is named where it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from preprocessing.ground.errors import InputError, first_line

if TYPE_CHECKING:  # a vehicle has none
    import yaml

Place = tuple[str | int, ...]
_DEPTH = 8


@dataclass(frozen=True)
class Marked:
    """Plain values; `lines`: from the keys that lead to a value to its line, counted from 1; () where unknown.

    `where`: what messages begin with: the file, or the key of a configuration.
    """

    values: Any
    where: str
    lines: Mapping[Place, int] = field(default_factory=dict)

    def fault(self, place: Place, text: str) -> InputError:
        """The error of a value, with its line, or with the keys that lead to it."""
        if not self.lines:
            keys = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
            return InputError(f"{self.where}{keys}: {text}")
        known = next((place[:end] for end in range(len(place), -1, -1) if place[:end] in self.lines), ())
        return InputError(f"{self.where}:{self.lines.get(known, 1)}: {text}")


def read_marked(text: str, where: str) -> Marked:
    """Read a YAML text. Raises: InputError with file and line: no YAML, or a key that stands twice."""
    import yaml

    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f":{mark.line + 1}"
        raise InputError(f"{where}{line}: not readable as YAML ({first_line(error)})") from None
    if node is None:
        raise InputError(f"{where}: is empty; a label set has classes")
    lines: dict[Place, int] = {}
    values = _plain(node, (), lines, Marked(None, where, lines))
    return Marked(values, where, lines)


def _plain(node: "yaml.Node", place: Place, lines: dict[Place, int], marked: Marked) -> Any:
    import yaml

    lines.setdefault(place, node.start_mark.line + 1)
    if len(place) > _DEPTH:
        raise marked.fault(place, "nested too deep for a label set")
    if isinstance(node, yaml.MappingNode):
        values: dict[Any, Any] = {}
        for key_node, value in node.value:
            key = _plain(key_node, (*place, "?"), {}, marked)
            if isinstance(key, list | dict):
                raise InputError(f"{marked.where}:{key_node.start_mark.line + 1}: a key is a word, not {key}")
            lines[(*place, key)] = key_node.start_mark.line + 1
            if key in values:
                raise marked.fault((*place, key), f"{key} stands here twice")
            values[key] = _plain(value, (*place, key), lines, marked)
        return values
    if isinstance(node, yaml.SequenceNode):
        return [_plain(one, (*place, number), lines, marked) for number, one in enumerate(node.value)]
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node)
    except (yaml.YAMLError, ValueError) as error:
        raise marked.fault(place, f"not readable as YAML ({first_line(error)})") from None
