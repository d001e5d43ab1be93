"""Where the configurations of runs differ, from each other and from the defaults."""

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from advmtl.config import Config
from advmtl.report.reading import RunRecord
from preprocessing.ground.web_page import Table, table_of

_ABSENT = "–"
_NONE = "none"
_NAMES = ("name",)
_ROW = re.compile(r'<th scope="row">[^<]*')
MOST_OPEN = 20
"""Tables of more settings are folded."""


def default_values() -> dict[str, str]:
    """Every default of `advmtl/config/`, by dotted key; what has none (tasks, sources, critics) is not among them."""
    # Config itself has one required key.
    values = Config(tasks={"depth": {"losses": {"berhu": 1}}}).model_dump(mode="json")
    values.pop("tasks")
    return flat(values)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested values as dotted key to text; a list of sources is one entry each."""
    found: dict[str, str] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            found |= {f"{name}.{number}": _source(one) for number, one in enumerate(value)}
        else:
            found[name] = _text(value)
    return found


def _source(value: Any) -> str:
    """A data source as on the command line, and what else is set."""
    if not isinstance(value, Mapping):
        return _text(value)
    where = ":".join(str(value[key]) for key in ("format", "root", "split") if value.get(key))
    usual = {"weight": 1, "depth": "auto", "labels": "auto", "size": None, "frames": None}
    more = [f"{key} {_text(value[key])}" for key, common in usual.items() if value.get(key, common) != common]
    return ", ".join((where, *more))


def _text(value: Any) -> str:
    if value is None:
        return _NONE
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def difference_parts(runs: Sequence[RunRecord]) -> list[str]:
    """Keys in which the runs differ, with the default; then, folded, those they share and that are not the default."""
    configured = [run for run in runs if run.config]
    if not configured:
        return ["<p>No configuration could be read.</p>"]
    values, defaults = [flat(run.config) for run in configured], default_values()
    keys = [key for key in dict.fromkeys(key for one in values for key in one) if key not in _NAMES]
    # A part that is not there is none, and beside its settings it says nothing.
    parents = {key[:place] for key in keys for place, sign in enumerate(key) if sign == "."}
    keys = [key for key in keys if key not in parents]
    # Options left open are no choice of anyone, whether a run knows them or not.
    unset = {key: _NONE if defaults.get(key, _NONE) == _NONE else _ABSENT for key in keys}
    differing = [key for key in keys if len({one.get(key, unset[key]) for one in values}) > 1]
    first = values[0]
    shared = [k for k in keys if k not in differing and first.get(k, _NONE) != defaults.get(k, _NONE)]
    parts = []
    if differing:
        rows = [[key, defaults.get(key, _ABSENT), *(one.get(key, _ABSENT) for one in values)] for key in differing]
        table = _settings(Table("Where the runs differ", ["Key", "default", *(r.name for r in configured)], rows))
        parts.append(table if len(rows) <= MOST_OPEN else _folded(f"{len(rows)} settings differ", table))
    elif len(configured) > 1:
        parts.append("<p>The runs' configurations do not differ.</p>")
    if shared:
        rows = [[key, defaults.get(key, _ABSENT), first[key]] for key in shared]
        name = "all runs" if len(configured) > 1 else configured[0].name
        table = _settings(Table(f"Other than the defaults, {name}", ["Key", "default", name], rows))
        parts.append(_folded(f"{len(shared)} settings other than the defaults", table))
    return parts


def _folded(summary: str, html: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{html}</details>"


def _settings(table: Table) -> str:
    # On a narrow screen keys break behind a dot.
    html = _ROW.sub(lambda found: found[0].replace(".", ".<wbr>"), table_of(table))
    return f'<div class="settings">{html}</div>'
