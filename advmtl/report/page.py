"""The page about runs, put together from its parts, and written beside its figures as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from html import escape
from pathlib import Path
from typing import Any

from advmtl.report import curves
from advmtl.report.charts import COLOURS, Chart
from advmtl.report.configurations import difference_parts
from advmtl.report.curves import Axis
from advmtl.report.destination import check_destination
from advmtl.report.extremes import Extremes, choose, draw
from advmtl.report.frames_section import class_legend, frame_parts
from advmtl.report.growth_section import growth_parts
from advmtl.report.pictures import evolution_part, panel_parts
from advmtl.report.reading import RunRecord, read_runs
from advmtl.report.results import (
    band_parts,
    class_table,
    comparable,
    confusion_table,
    extent,
    headlines,
    metric_tables,
    source_tables,
)
from advmtl.report.style import style
from advmtl.report.times import time_parts
from advmtl.report.training_sections import NOT_RECORDED, balancing_parts, charts_of, critic_parts, partial_parts
from preprocessing.ground import LABEL_SETS, Bar, progress, write_bytes, write_json
from preprocessing.ground.web_page import Section, Table, cards, document, table_of


def write_report(folders: Sequence[Path], out: Path, *, title: str | None = None, frames: int = 4) -> int:
    """Write the page about run folders to `out`, and its figures to a .json of the same name.

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


def _title(runs: Sequence[RunRecord]) -> str:
    names = [run.name for run in runs]
    return "Training report: " + (", ".join(names) if len(names) <= 4 else f"{len(names)} runs")


def page(
    runs: Sequence[RunRecord], chosen: Sequence[Sequence[Extremes]], title: str, bar: Bar
) -> tuple[str, dict[str, Any]]:
    """The page as HTML, and the figures it shows."""
    groups = _chart_groups(runs, Axis.of(runs))
    sections = [
        Section("overview", "Overview", _overview(runs)),
        Section("configurations", "Configurations", difference_parts(runs)),
        Section("losses", "Losses", _losses(runs, groups)),
        Section("figures", "Figures", _metrics(runs, groups)),
        Section("confusion", "Confusion matrix", _confusion(runs)),
        Section("distance", "Error by distance", band_parts(runs) or [NOT_RECORDED]),
        Section("panels", "Panels", _panels(runs, bar)),
        Section("frames", "Best and worst frames", _frames(runs, chosen)),
        Section("critics", "Critics", critic_parts(groups)),
        *(
            [Section("partial", "Partial supervision", partial_parts(partial))]
            if (partial := groups["partial"])
            else []
        ),
        Section("balancing", "Balancing", balancing_parts(groups)),
        *([Section("growth", "Growth", growth_parts(runs))] if any(run.growth for run in runs) else []),
        Section("timing", "Timing", [*time_parts(runs), charts_of(groups["speed"])]),
    ]
    sections.append(Section("left-out", "Left out and missing", _left_out(runs)))  # last: the others add notes
    introduction = f"<p>{len(runs)} run{'s' if len(runs) > 1 else ''}. Units stand with every figure.</p>"
    return document(title, introduction, sections, style(len(runs))), _figures(runs, groups, title)


def _chart_groups(runs: Sequence[RunRecord], axis: Axis) -> dict[str, list[Chart]]:
    critics = curves.training_charts(runs, axis, ("discriminator/",), "")
    return {
        "losses": curves.loss_charts(runs, axis),
        "terms": curves.term_charts(runs, axis),
        "figures": curves.metric_charts(runs, axis),
        "accuracies": [chart for chart in critics if "accuracy" in chart.title],
        "scores": [chart for chart in critics if "accuracy" not in chart.title],
        "partial": curves.training_charts(runs, axis, ("partial/",), ""),
        "weights": curves.training_charts(runs, axis, ("balance/",), "As given by the balancer."),
        "cosines": curves.training_charts(runs, axis, ("gradient_cosine",), "−1: they pull apart, 1: together."),
        "norms": curves.training_charts(runs, axis, ("gradient_norm", "learning_rate"), ""),
        "speed": curves.speed_charts(runs, axis),
    }


def _overview(runs: Sequence[RunRecord]) -> list[str]:
    boxes = "".join(
        f'<label><input type="checkbox" id="shown-{number}" checked> '
        f'<span class="swatch run-{number % COLOURS}"></span> {escape(run.name)}</label>'
        for number, run in enumerate(runs)
    )
    choice = f'<fieldset class="runs"><legend>Runs shown in the charts</legend>{boxes}</fieldset>'
    parts = [cards(headlines(runs)), choice]
    if len(runs) > COLOURS:
        parts.append(f"<p>Colours repeat after {COLOURS} runs: take some out to tell the others apart.</p>")
    return parts


def _losses(runs: Sequence[RunRecord], groups: dict[str, list[Chart]]) -> list[str]:
    if not groups["losses"]:
        return [NOT_RECORDED]
    words = (
        "<p>Solid: training, the mean over each epoch; faint: each logged step. Dashed with dots: validation. Training "
        "losses are of the network in training on augmented crops, validation losses of its running average on whole "
        "frames: a validation loss below the training loss is no error.</p>"
    )
    parts = [words, charts_of(groups["losses"])]
    if groups["terms"]:
        parts.append(f"<details><summary>Each loss term</summary>{charts_of(groups['terms'])}</details>")
    return parts


def _metrics(runs: Sequence[RunRecord], groups: dict[str, list[Chart]]) -> list[str]:
    tables = [*metric_tables(runs), *class_table(runs)]
    if not tables:
        return ["<p>Nothing has been measured in these runs yet.</p>"]
    words = "↑ more is better, ↓ less is better."
    if len(runs) > 1:
        words += (
            " Bold: the best run." if comparable(runs) else " The runs were measured on different data: none is best."
        )
    words += " Unit 1: a share or ratio. All figures are over the pixels of the set, not means of frames."
    return [
        charts_of(groups["figures"]),
        f'<p>{words}</p><div class="tables">{"".join(tables)}</div>',
        *source_tables(runs),
    ]


def _confusion(runs: Sequence[RunRecord]) -> list[str]:
    return [table for run in runs if (table := confusion_table(run))] or [NOT_RECORDED]


def _panels(runs: Sequence[RunRecord], bar: Bar) -> list[str]:
    parts = []
    for run in runs:
        found = [*panel_parts(run), evolution_part(run)]
        if any(found):
            parts += [f"<h3>{escape(run.name)}</h3>", f'<div class="pictures-of-run">{"".join(found)}</div>']
        bar.advance(1)
    return parts or [NOT_RECORDED]


def _frames(runs: Sequence[RunRecord], chosen: Sequence[Sequence[Extremes]]) -> list[str]:
    parts = []
    for run, ones in zip(runs, chosen, strict=True):
        if not ones:
            continue
        parts.append(f"<h3>{escape(run.name)}</h3>")
        labels = LABEL_SETS.get(str((run.config.get("data") or {}).get("classes")))
        if labels is not None and any(one.task == "segmentation" and one.pictures for one in ones):
            parts.append(class_legend(labels.names, labels.palette.tolist()))
        parts += frame_parts(run, ones)
    return parts or [NOT_RECORDED]


def _left_out(runs: Sequence[RunRecord]) -> list[str]:
    skipped = [
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
    parts = [table_of(Table("Not on this page", ["Run", "What and why"], rows), text=True)] if rows else []
    if skipped:
        table = Table("Frames that could not be measured", ["Run", "Frame", "Reason"], skipped[:200])
        parts.append(table_of(table, text=True))
        if len(skipped) > 200:
            parts.append(f"<p>And {len(skipped) - 200} more.</p>")
    return parts or ["<p>Nothing.</p>"]


def _figures(runs: Sequence[RunRecord], groups: dict[str, list[Chart]], title: str) -> dict[str, Any]:
    """What the page shows, for programs."""
    return {
        "title": title,
        "runs": [
            {
                "name": run.name,
                "folder": str(run.folder),
                "extent": extent(run),
                "measured": run.measured,
                "figures": _finite(run.evaluation),
                "missing": run.notes,
            }
            for run in runs
        ],
        "charts": {name: [_finite(asdict(chart)) for chart in charts] for name, charts in groups.items()},
    }


def _finite(value: Any) -> Any:
    """The same without NaN and infinity, which JSON has not."""
    if isinstance(value, dict):
        return {str(key): _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    if isinstance(value, float) and value - value != 0:
        return None
    return value
