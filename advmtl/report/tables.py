"""Tables of the report: headlines, metrics side by side, classes, distances, settings, times, growth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from advmtl.config import Config, Detection, Place
from advmtl.evaluation import HIGHER_IS_BETTER, UNITS
from advmtl.report.charts import Bars
from advmtl.report.read import RunRecord, is_number
from advmtl.report.task_sections import main_metrics_of, metrics_of, name_of, unit_of
from advmtl.tasks import TASKS
from preprocessing.ground import Headline, Table

NONE = "–"
HOT = 72
"""From this share [%] on, light numbers on the dark cell read better."""
_ARROWS = {True: " ↑", False: " ↓", None: ""}
_PARTS = {"waiting_s": "waiting for data", "validation_s": "measuring", "saving_s": "saving"}


def cell(value: Any, digits: int = 4) -> str:
    """A metric as text; counts with thin groups, – for what is not there."""
    if not is_number(value):
        return NONE
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 1000):
        return f"{int(value):,}"
    return f"{value:.{digits}f}"


def headlines(runs: Sequence[RunRecord]) -> list[Headline]:
    """The first main metric of every task, a card a run."""
    found = []
    for run in runs:
        parts = []
        for task in TASKS.values():
            figure = next((one for one in main_metrics_of(task.name) if run.value(task.name, one) is not None), None)
            if figure is not None:
                parts.append(f"{name_of(figure)} {run.value(task.name, figure):.3f} {unit_of(figure)}".strip())
        found.append(Headline(run.name, " · ".join(parts) or "no metrics", f"From {run.measured}. {extent(run)}"))
    return found


def extent(run: RunRecord) -> str:
    """How far a run has come."""
    rows = [*run.train, *run.validation]
    wanted = run.config.get("train")
    epochs = wanted.get("epochs") if isinstance(wanted, Mapping) else None
    reached = max((row["epoch"] for row in run.validation), default=None)
    done = f"{max(row['step'] for row in rows):,} steps" if rows else "no steps logged"
    if reached is None:
        return f"{done}."
    return f"{done}, {reached:g}" + (f" of {epochs}" if epochs else "") + " epochs measured."


@dataclass(frozen=True)
class Compared:
    """Metrics of one task: rows of name, unit, and (text, whether it is the best) of each run."""

    caption: str
    rows: list[tuple[str, str, list[tuple[str, bool]]]]


def metric_tables(runs: Sequence[RunRecord]) -> list[Compared]:
    """A table a task, with the best of several runs marked."""
    tables, ranked = [], comparable(runs)
    for task in TASKS:
        rows = []
        for figure in metrics_of(task):
            values = [run.value(task, figure) for run in runs]
            if any(value is not None for value in values):
                better = HIGHER_IS_BETTER.get(figure)
                best = _best(values, better) if ranked else None
                cells = [(cell(value), value is not None and value == best) for value in values]
                rows.append((name_of(figure) + _ARROWS[better], UNITS.get(figure, "1"), cells))
        if rows:
            tables.append(Compared(f"{task.capitalize()}, validation frames", rows))
    return tables


def comparable(runs: Sequence[RunRecord]) -> bool:
    """Whether all runs were measured on the same sources and classes, as far as the folders show."""
    measured = [run for run in runs if run.evaluation]
    sources = {str(run.evaluation.get("measured_on")) for run in measured}
    frames = {str([run.task(task).get("frames") for task in TASKS if run.task(task)]) for run in measured}
    named = [tuple(run.task(task).get("iou_per_class") or ()) for run in runs for task in TASKS]
    classes = {names for names in named if names}
    return len(classes) <= 1 and (len(sources - {"None"}) <= 1 or len(frames) <= 1)


def _best(values: Sequence[float | None], better: bool | None) -> float | None:
    known = [value for value in values if value is not None]
    if better is None or len(known) < 2:
        return None
    return max(known) if better else min(known)


def source_table(runs: Sequence[RunRecord]) -> Table | None:
    """Main metrics by source of the validation frames, where a run has several."""
    rows = []
    for run in runs:
        by_source = run.evaluation.get("sources")
        for source, tasks in by_source.items() if isinstance(by_source, Mapping) else ():
            for task, figures in tasks.items() if isinstance(tasks, Mapping) else ():
                wanted = main_metrics_of(task) if task in TASKS and isinstance(figures, Mapping) else ()
                known = [one for one in wanted if is_number(figures.get(one))]
                shown = [f"{name_of(one)} {cell(figures[one])} {unit_of(one)}".strip() for one in known]
                if shown:
                    rows.append([f"{run.name}: {source}", task, ", ".join(shown)])
    head = ["Run: source", "task", "metrics"]
    return Table("By source of the validation frames", head, rows, text=True) if rows else None


def corruption_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """A table a task: its first main metric by kind of corruption, mean of five strengths, and over all kinds."""
    measured = [run for run in runs if isinstance(run.evaluation.get("corruptions"), Mapping)]
    found = []
    for task in TASKS:
        figure = next(iter(main_metrics_of(task)), None)
        values = [(run, _corrupted(run, task, figure)) for run in measured]
        kinds = list(dict.fromkeys(kind for _, own in values for kind in own))
        if figure is None or not kinds:
            continue
        rows = [[kind, *(cell(own.get(kind)) for _, own in values)] for kind in kinds]
        caption = f"{name_of(figure)} of {task} under corruptions, mean of strengths 1 to 5 {unit_of(figure)}".strip()
        found.append(Table(caption, ["Kind", *(run.name for run, _ in values)], rows))
    return found


def _corrupted(run: RunRecord, task: str, figure: str | None) -> dict[str, Any]:
    """By kind, then of all, of the frames as they are, and the ratio of the two; empty where it was not measured."""
    part = run.evaluation["corruptions"]
    try:
        own = {kind: one["mean"][task][figure] for kind, one in part["kinds"].items()}
        last = {"mean": "mean", "as they are": "clean", "mean / as they are": "relative"}
        return own | {words: part[key][task][figure] for words, key in last.items()}
    except (KeyError, TypeError, AttributeError):
        return {}


def class_tables(runs: Sequence[RunRecord]) -> list[Table]:
    """IoU of every class, of each task that has classes."""
    tables = []
    for task in TASKS:
        columns = [run.task(task).get("iou_per_class") or {} for run in runs]
        names = list(dict.fromkeys(name for column in columns for name in column))
        rows = [[name, *(cell(column.get(name), 3) for column in columns)] for name in names]
        if rows:
            tables.append(Table("IoU of each class (1 = perfect)", ["Class", *(run.name for run in runs)], rows))
    return tables


@dataclass(frozen=True)
class Confusion:
    """A confusion matrix: names of its classes; of each row the shares [%], None without pixels, and the pixels."""

    caption: str
    names: list[str]
    rows: list[tuple[str, list[int | None], int]]


def confusions(runs: Sequence[RunRecord]) -> list[Confusion]:
    """The confusion matrices that were recorded, each row 100 %."""
    found = []
    for run in runs:
        for task in TASKS:
            counts, names = run.task(task).get("confusion"), list(run.task(task).get("iou_per_class") or {})
            if not isinstance(counts, list) or {len(names)} != {len(counts), *map(len, counts)}:
                continue
            rows = []
            for name, row in zip(names, counts, strict=True):
                total = sum(row)
                rows.append((name, [round(100 * value / total) if total else None for value in row], total))
            words = "of each true class (row), how many percent are predicted as which (column)"
            found.append(Confusion(f"Confusion of {run.name}: {words}", names, rows))
    return found


def band_parts(runs: Sequence[RunRecord]) -> tuple[list[Bars], list[Table]]:
    """Error by distance: two charts and a table a run; nothing where no run has it."""
    bands = {number: _bands(run) for number, run in enumerate(runs)}
    bands = {number: rows for number, rows in bands.items() if rows}
    groups = list(dict.fromkeys(_band_name(row) for rows in bands.values() for row in rows))
    charts, tables = [], []
    captions = {"abs_rel": "Mean of |error| / true depth.", "rmse_m": ""}
    for figure, caption in captions.items() if bands else ():
        series = []
        for number, rows in bands.items():
            values = {_band_name(row): row.get(figure) for row in rows}
            series.append((runs[number].name, number, [values.get(group) for group in groups]))
        charts.append(Bars(f"{name_of(figure)} by true depth", caption, unit_of(figure), groups, series))
    head = ["True depth", "pixels", "AbsRel", "RMSE [m]", "mean error [m], + = too far", "predicted/true, median"]
    wanted = {"pixels": 4, "abs_rel": 3, "rmse_m": 2, "bias_m": 2, "scale": 3}  # metric to decimals
    for number, rows in bands.items():
        cells = [[_band_name(row), *(cell(row.get(one), digits) for one, digits in wanted.items())] for row in rows]
        tables.append(Table(f"Depth error by distance: {runs[number].name}", head, cells))
    return charts, tables


def _bands(run: RunRecord) -> list[Mapping[str, Any]]:
    found = [band for task in TASKS for band in run.task(task).get("bands") or ()]
    return [
        one for one in found if isinstance(one, Mapping) and is_number(one.get("from_m")) and is_number(one.get("to_m"))
    ]


def _band_name(row: Mapping[str, Any]) -> str:
    return f"{row['from_m']:g}–{row['to_m']:g} m"


def time_table(runs: Sequence[RunRecord]) -> Table | None:
    """A row a run: throughput, minutes, and shares of the wall clock; nothing for runs that were not timed."""
    rows = []
    for run in runs:
        total = sum(row["seconds"] for row in run.timing)
        if not total:
            continue
        rates = [row["frames_per_s"] for row in run.timing if row.get("frames") and is_number(row.get("frames_per_s"))]
        shares = [sum(float(row.get(part) or 0) for row in run.timing) / total for part in _PARTS]
        percents = [f"{100 * share:.1f} %" for share in (1 - sum(shares), *shares)]
        rows.append([run.name, f"{median(rates):.1f}" if rates else NONE, f"{total / 60:.1f}", *percents])
    head = ["Run", "frames/s, median", "wall clock [min]", "steps", *_PARTS.values()]
    return Table("Wall clock of training, and its shares", head, rows) if rows else None


def default_values() -> dict[str, str]:
    """Every default of `advmtl/config/`, by dotted key; what has none (tasks, sources, discriminators) is not among
    them.
    """
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
        return "none"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(one) for one in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def setting_tables(runs: Sequence[RunRecord]) -> tuple[Table | None, Table | None]:
    """Keys in which the runs differ, with the default; and those they share that are not the default."""
    configured = [run for run in runs if run.config]
    if not configured:
        return None, None
    values, defaults = [flat(run.config) for run in configured], default_values()
    keys = [key for key in dict.fromkeys(key for one in values for key in one) if key != "name"]
    # A part that is not there is none, and beside its settings it says nothing.
    parents = {key[:place] for key in keys for place, sign in enumerate(key) if sign == "."}
    keys = [key for key in keys if key not in parents]
    # Options left open are no choice of anyone, whether a run knows them or not.
    unset = {key: "none" if defaults.get(key, "none") == "none" else NONE for key in keys}
    differing = [key for key in keys if len({one.get(key, unset[key]) for one in values}) > 1]
    first = values[0]
    shared = [k for k in keys if k not in differing and first.get(k, "none") != defaults.get(k, "none")]
    rows = [[key, defaults.get(key, NONE), *(one.get(key, NONE) for one in values)] for key in differing]
    head = ["Key", "default", *(run.name for run in configured)]
    name = "all runs" if len(configured) > 1 else configured[0].name
    same = [[key, defaults.get(key, NONE), first[key]] for key in shared]
    return (
        Table("Where the runs differ", head, rows) if rows else None,
        Table(f"Other than the defaults, {name}", ["Key", "default", name], same) if same else None,
    )


def detection_table(name: str, detections: Sequence[Detection]) -> Table:
    """What each detection of conflicts found, and what grew after it."""
    rows: list[list[str]] = []
    for one in detections:
        new = [place for place in one.grown if place not in one.counts]  # exclusive ones: of a task, not of a pair
        rows += [[str(one.number), str(one.step), *_detected(one, place)] for place in (*one.counts, *new)]
    head = ["Detection", "step", "tasks", "stage", "Q", "mean cosine", "conflict", "new module"]
    return Table(f"Detections of {name}", head, rows)


def _detected(one: Detection, place: Place) -> list[str]:
    marks = ["yes" if place in found else "" for found in (one.conflicts, one.grown)]
    return [
        "~".join(place.owners),
        str(place.stage),
        cell(one.counts.get(place)),
        cell(one.cosines.get(place), 3),
        *marks,
    ]


def left_out(runs: Sequence[RunRecord]) -> tuple[Table | None, Table | None, int]:
    """What is not on the page and why; frames that could not be measured; and how many more of these there are."""
    frames = [
        [run.name, str(one.get("name")), str(one.get("reason"))]
        for run in runs
        for one in run.evaluation.get("skipped") or []
        if isinstance(one, dict)
    ]
    notes: dict[str, list[str]] = {}
    for run in runs:
        for note in run.notes:
            notes.setdefault(note, []).append(run.name)
    rows = [[", ".join(names), note] for note, names in notes.items()]
    return (
        Table("Not on this page", ["Run", "What and why"], rows, text=True) if rows else None,
        Table("Frames that could not be measured", ["Run", "Frame", "Reason"], frames[:200], text=True)
        if frames
        else None,
        max(0, len(frames) - 200),
    )
