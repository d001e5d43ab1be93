"""Where the configurations of runs differ, from each other and from the defaults."""

from collections.abc import Mapping, Sequence
from typing import Any

from advmtl.config import Config
from advmtl.report.reading import RunRecord
from preprocessing.web_page import Table

_ABSENT = "–"
_NAMES = ("name",)


def default_values() -> dict[str, str]:
    """Every default of `advmtl/config.py`, by dotted key; what has none (tasks, sources, critics) is not among them."""
    # Config itself has one required key.
    values = Config(tasks={"depth": {"losses": {"berhu": 1}}}).model_dump(mode="json")  # type: ignore[dict-item]
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
            for number, one in enumerate(value):
                found |= (
                    flat(one, f"{name}.{number}.") if isinstance(one, Mapping) else {f"{name}.{number}": _text(one)}
                )
        else:
            found[name] = _text(value)
    return found


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def difference_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """Keys in which the runs differ, with the default; then those that all share and that are not the default."""
    configured = [run for run in runs if run.config]
    values, defaults = [flat(run.config) for run in configured], default_values()
    keys = [key for key in dict.fromkeys(key for one in values for key in one) if key not in _NAMES]
    differing = [key for key in keys if len({one.get(key) for one in values}) > 1]
    shared = [key for key in keys if key not in differing and values[0].get(key) != defaults.get(key)]
    # Unset parts of a source (no own size, all frames) are no choice of anyone.
    shared = [key for key in shared if not (key.startswith("data.") and values[0].get(key) in ("none", "auto"))]
    tables = []
    if differing:
        rows = [[key, defaults.get(key, _ABSENT), *(one.get(key, _ABSENT) for one in values)] for key in differing]
        tables.append(Table("Where the runs differ", ["Key", "default", *(run.name for run in configured)], rows))
    if shared:
        rows = [[key, defaults.get(key, _ABSENT), values[0][key]] for key in shared]
        name = "all runs" if len(configured) > 1 else configured[0].name
        tables.append(Table(f"Other than the defaults, {name}", ["Key", "default", name], rows))
    return tables
