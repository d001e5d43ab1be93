"""What has grown, and where the conflicts were, as part of the page."""

from collections.abc import Sequence
from html import escape

from advmtl.config.growth import Detection, Place, detection_of
from advmtl.drawing.growth import draw_growth
from advmtl.report.pictures import PANEL_WIDTH, encoded
from advmtl.report.reading import RunRecord
from advmtl.report.results import cell
from preprocessing.ground.web_page import Table, scrolling, table_of


def growth_parts(runs: Sequence[RunRecord]) -> list[str]:
    """For every run that grew: the picture of its network, and its detections as a table."""
    words = (
        "<p>Modules that were added where the gradients of two tasks conflict (MAMO). Q: in how many mini-batches of a "
        "detection their cosine at the stage's parameters was negative. Stage 1 to 4: strides 4, 8, 16, 32.</p>"
    )
    parts = [words]
    for run in runs:
        detections = _detections(run)
        if detections:
            best = _best(run)
            picture = encoded(draw_growth(detections, best), PANEL_WIDTH)
            alt = f"{run.name}: shared stages, the modules beside them, and the conflicts of each detection"
            parts.append(f"<h3>{escape(run.name)}</h3>" + (f"<p>{escape(best)}.</p>" if best else ""))
            parts.append(f"<figure>{scrolling(alt, f'<div class=panel>{picture.html(alt)}</div>')}</figure>")
            table = table_of(_table(run.name, detections))
            parts.append(f"<details><summary>Detections of {escape(run.name)} as a table</summary>{table}</details>")
    return parts


def _best(run: RunRecord) -> str:
    from advmtl.training import best_growth  # torch; other runs' pages do without

    try:
        return best_growth(run.folder)
    except Exception as error:  # a checkpoint of another version: the page does without
        run.notes.append(f"best.pt: what has grown in it is not known ({type(error).__name__})")
        return ""


def _detections(run: RunRecord) -> list[Detection]:
    found = []
    for row in run.growth:
        try:
            found.append(detection_of(row))
        except (KeyError, ValueError, TypeError):
            run.notes.append(f"metrics.jsonl: the detection of step {row['step']} is not readable and is left out")
    return found


def _table(name: str, detections: Sequence[Detection]) -> Table:
    head = ["Detection", "step", "tasks", "stage", "Q", "mean cosine", "conflict", "new module"]
    rows: list[list[str]] = []
    for one in detections:
        new = [place for place in one.grown if place not in one.counts]  # exclusive ones: of a task, not of a pair
        rows += [[str(one.number), str(one.step), *_cells(one, place)] for place in (*one.counts, *new)]
    return Table(f"Detections of {name}", head, rows)


def _cells(one: Detection, place: Place) -> list[str]:
    return [
        "~".join(place.owners),
        str(place.stage),
        cell(one.counts.get(place)),
        cell(one.cosines.get(place), 3),
        "yes" if place in one.conflicts else "",
        "yes" if place in one.grown else "",
    ]
