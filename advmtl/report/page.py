"""Assembling the report, and writing it with its metrics as JSON beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from advmtl.config import Detection, detection_of
from advmtl.drawing import draw_growth
from advmtl.report import charts, tables
from advmtl.report.affinity import affinity_sections, measured_in, proposed_by
from advmtl.report.charts import Chart
from advmtl.report.curves import chart_groups
from advmtl.report.frames import PANEL_WIDTH, Extremes, choose, draw, encoded, evolution, panels
from advmtl.report.read import RunRecord, read_runs
from advmtl.report.task_sections import name_of
from preprocessing.ground import (
    Bar,
    InputError,
    LabelSet,
    Picture,
    Section,
    Table,
    label_set,
    progress,
    read_json,
    render,
    told_label_set,
    write_bytes,
    write_json,
)

_SUFFIXES = (".html", ".htm")
# The key by which a report's JSON is recognised.
_KEYS = {"title", "runs", "charts"}


def write_report(folders: Sequence[Path], out: Path, *, title: str | None = None, frames: int = 4) -> int:
    """Write the page about run folders to `out`, and its metrics to a .json of the same name.

    Args:
        out: the .html file; a .json beside it that no report wrote is kept.
        title: of the page; default: the runs' names.
        frames: best and worst frames per task and run that are shown.
    Returns: the page's size [bytes]. Raises: InputError where nothing of a run can be read, or `out` will not do.
    """
    beside = check_destination(out)
    runs = read_runs(folders)
    chosen = [choose(run, frames) for run in runs]
    pictures = sum(len(one.best) + len(one.worst) for ones in chosen for one in ones)
    with progress("report", pictures + len(runs), "pictures") as bar:
        for run, ones in zip(runs, chosen, strict=True):
            draw(run, ones, bar)
        html, figures = page(runs, chosen, title or _title(runs), bar)
    write_bytes(out, content := html.encode())
    write_json(beside, figures)
    return len(content)


def check_destination(out: Path) -> Path:
    """The .json beside the page `out` that takes its metrics.

    Raises: InputError where `out` is no .html file, or where the .json is there and holds something else.
    """
    if out.suffix.lower() not in _SUFFIXES:
        raise InputError(f"--out {out}: give a name ending in .html; the metrics are written to a .json beside it")
    if out.is_dir():
        raise InputError(f"--out {out}: is a folder; give another name for the page")
    beside = out.with_suffix(".json")
    if beside.exists() and not _holds_figures(beside):
        raise InputError(
            f"--out {out}: its metrics would overwrite {beside.name}, which no report wrote; give another name"
        )
    return beside


def _holds_figures(path: Path) -> bool:
    try:
        content = read_json(path)
    except InputError:
        return False
    return isinstance(content, dict) and content.keys() >= _KEYS


def _title(runs: Sequence[RunRecord]) -> str:
    names = [run.name for run in runs]
    return "Training report: " + (", ".join(names) if len(names) <= 4 else f"{len(names)} runs")


@dataclass(frozen=True)
class Grown:
    """One run's growth: what of it is in its best state, the picture, and its detections."""

    name: str
    best: str
    picture: Picture
    table: Table


def page(
    runs: Sequence[RunRecord], chosen: Sequence[Sequence[Extremes]], title: str, bar: Bar
) -> tuple[str, dict[str, Any]]:
    """The page as HTML, and the metrics it shows."""
    groups = chart_groups(runs)
    band_charts, band_tables = tables.band_parts(runs)
    drawn = [_panels(run, bar) for run in runs]
    grown = [one for run in runs if run.growth and (one := _grown(run)) is not None]
    legends = [_legend(run, ones) for run, ones in zip(runs, chosen, strict=True)]
    html = render(
        Path(__file__).with_name("report.html.j2"),
        title=title,
        runs=runs,
        sections=_sections(groups, any(run.growth for run in runs)),
        groups=groups,
        shape=charts,
        headlines=tables.headlines(runs),
        settings=tables.setting_tables(runs),
        compared=tables.metric_tables(runs),
        comparable=tables.comparable(runs),
        classes=tables.class_tables(runs),
        sources=tables.source_table(runs),
        corruptions=tables.corruption_tables(runs),
        confusions=tables.confusions(runs),
        hot=tables.HOT,
        band_charts=band_charts,
        band_tables=band_tables,
        panels=drawn,
        frames=[(*one, legend) for *one, legend in zip(runs, chosen, legends, strict=True)],
        grown=grown,
        affinities=affinity_sections(runs),
        times=tables.time_table(runs),
        left_out=tables.left_out(runs),  # last: the others add notes
        name_of=name_of,
        cell=tables.cell,
    )
    return html, _figures(runs, groups, title)


def _sections(groups: Mapping[str, Sequence[Chart]], grows: bool) -> list[Section]:
    """The parts of the page, without those that only some runs have."""
    titles = {
        "overview": "Overview",
        "configurations": "Configurations",
        "losses": "Losses",
        "figures": "Metrics",
        "confusion": "Confusion matrix",
        "distance": "Error by distance",
        "panels": "Panels",
        "frames": "Best and worst frames",
        "discriminators": "Discriminators",
        "partial": "Partial supervision" if groups["partial"] else "",
        "balancing": "Balancing",
        "growth": "Growth" if grows else "",
        "affinity": "Affinity" if groups["affinity"] else "",
        "timing": "Timing",
        "left-out": "Skipped and missing",
    }
    return [Section(key, title) for key, title in titles.items() if title]


def _panels(run: RunRecord, bar: Bar) -> tuple[str, list[tuple[str, Picture]], tuple[int, Picture] | None]:
    found = run.name, panels(run), evolution(run)
    bar.advance(1)
    return found


def _legend(run: RunRecord, chosen: Sequence[Extremes]) -> list[tuple[str, str]]:
    """Names and colours of the classes, where pictures show them."""
    labels = _labels_of(run)
    if labels is None or not any(one.pictures and run.task(one.task).get("iou_per_class") for one in chosen):
        return []
    return [(name, f"#{bytes(colour).hex()}") for name, colour in zip(labels.names, labels.palette, strict=True)]


def _labels_of(run: RunRecord) -> LabelSet | None:
    told = (run.config.get("data") or {}).get("classes")
    try:
        return None if told is None else label_set(told_label_set(told, "data.classes"))
    except InputError:  # a run of another version
        return None


def _grown(run: RunRecord) -> Grown | None:
    detections: list[Detection] = []
    for row in run.growth:
        try:
            detections.append(detection_of(row))
        except (KeyError, ValueError, TypeError):
            run.notes.append(f"metrics.jsonl: the detection of step {row['step']} is not readable and is left out")
    if not detections:
        return None
    best = _best(run)
    alt = f"{run.name}: shared stages, the modules beside them, and the conflicts of each detection"
    picture = encoded(draw_growth(detections, best), PANEL_WIDTH, alt)
    return Grown(run.name, best, picture, tables.detection_table(run.name, detections))


def _best(run: RunRecord) -> str:
    from advmtl.training import best_growth  # torch; other runs' pages do without

    try:
        return best_growth(run.folder)
    except Exception as error:  # a checkpoint of another version: the page does without
        run.notes.append(f"best.pt: what has grown in it is not known ({type(error).__name__})")
        return ""


def _figures(runs: Sequence[RunRecord], groups: Mapping[str, Sequence[Chart]], title: str) -> dict[str, Any]:
    """What the page shows, for programs."""
    return {
        "title": title,
        "runs": [
            {
                "name": run.name,
                "folder": str(run.folder),
                "extent": tables.extent(run),
                "measured": run.measured,
                "figures": _finite(run.evaluation),
                "missing": run.notes,
                **_affinity(run),
            }
            for run in runs
        ],
        "charts": {name: [_finite(asdict(chart)) for chart in group] for name, group in groups.items()},
    }


def _affinity(run: RunRecord) -> dict[str, Any]:
    found = measured_in(run)
    if found is None:
        return {}
    return {"affinity": found.to_dict() | {"networks": [one.to_dict() for one in proposed_by(found)]}}


def _finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
