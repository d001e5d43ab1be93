"""The quality report as text and tables, and as one self-contained HTML page from the template beside this file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import Headline, Section, Table, render
from preprocessing.job import colour_values
from preprocessing.quality.metrics import SOURCES
from preprocessing.quality.photometric import AGREE_PX, SHIFT_PX
from preprocessing.quality.pictures import Panel

NONE = "–"


def percent(share: float | None) -> str:
    """Print a share 0..1 as percent."""
    return NONE if share is None else f"{100 * share:.1f} %"


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Print a value with its unit."""
    return NONE if value is None else f"{value:.{digits}f} {unit}".strip()


def count(number: int, noun: str) -> str:
    """Print a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def headlines(metrics: dict[str, Any]) -> list[Headline]:
    """Return the metrics to read first, the set's or one frame's."""
    shares = f"Matched {percent(metrics['matched_share'])} of all pixels, filled {percent(metrics['filled_share'])}."
    found = [Headline("Pixels with a depth", percent(metrics["depth_share"]), shares)]
    for source, truth in metrics["truth"].items():
        found += _truth_headlines(SOURCES[source], truth)
    return [*found, *_image_headlines(metrics), *_fraction_headline(metrics)]


def _fraction_headline(metrics: dict[str, Any]) -> list[Headline]:
    distance = metrics.get("from_whole_px")
    if distance is None:
        return []
    meaning = "Mean over matched pixels. About 0.25 px where every fraction comes alike often, as on a slanted street; "
    return [
        Headline(
            "Distance from the nearest whole disparity",
            number(distance, "px", 3),
            f"{meaning}less, and depth comes in steps: answers are pulled to whole pixels.",
        )
    ]


def _truth_headlines(source: str, truth: dict[str, Any]) -> list[Headline]:
    answered, valid = truth["answered"], truth["valid"]
    within = _row(truth["depth_valid"], 0, 80)
    return [
        Headline(
            f"D1 of valid pixels, against {source}",
            percent(valid["d1_share"]),
            "Wrong by more than 3 px and more than 5 % (KITTI), matched or filled. "
            f"Matched pixels: {percent(answered['d1_share'])}; over all pixels with truth, "
            f"those without a disparity counted as wrong: {percent(truth['all']['d1_share'])}.",
        ),
        Headline(
            f"Disparity error, against {source}",
            number(valid["epe_mean_px"], "px"),
            f"Mean (EPE) over valid pixels; the median is {number(valid['epe_median_px'], 'px')}. Matched pixels "
            f"answered: {number(answered['epe_mean_px'], 'px')} and {number(answered['epe_median_px'], 'px')}.",
        ),
        Headline(
            f"Relative depth error, against {source}",
            percent(within["abs_rel"]),
            f"Mean of |error| / true depth (AbsRel) up to 80 m; the median is {percent(within['abs_rel_median'])}, "
            f"the root mean square error {number(within['rmse_m'], 'm')}.",
        ),
    ]


def _row(rows: list[dict[str, Any]], low: int, high: int) -> dict[str, Any]:
    return next(row for row in rows if (row["from_m"], row["to_m"]) == (low, high))


def _image_headlines(metrics: dict[str, Any]) -> list[Headline]:
    found: list[Headline] = []
    if one := metrics.get("photometric"):
        found.append(
            Headline(
                "Photometric error",
                number(one["error_grey_levels"], "grey levels"),
                "Mean difference, of 255, of the left image and the right one warped by the disparity. For scale: "
                f"a disparity {SHIFT_PX:g} px too large gives {number(one['error_of_wrong_disparity_grey_levels'])}.",
            )
        )
        found.append(
            Headline(
                "Texture left unexplained",
                percent(one["unexplained_share"]),
                "Textured pixels without a disparity, or whose surroundings do not correlate with the warped right "
                f"image; differences in exposure do not matter. A disparity {SHIFT_PX:g} px too large leaves "
                f"{percent(one['unexplained_by_wrong_disparity_share'])}.",
            )
        )
    if check := metrics.get("left_right"):
        found.append(
            Headline(
                "Left-right consistency",
                percent(check["consistent_matched_share"]),
                f"Matched pixels that a match of the right image (census) confirms within {AGREE_PX:g} px, in "
                f"{count(check['frames'], 'frame')}. What census itself matched has passed before. Filled pixels: "
                f"{percent(check['consistent_filled_share'])}; those hidden from the right camera must fail.",
            )
        )
    return found


def error_table(source: str, truth: dict[str, Any]) -> Table:
    """Disparity errors against one truth: where answered, where valid, over all of the truth."""
    names = {"answered": "matched", "valid": "valid: matched or filled", "all": "all, none = wrong"}
    rows = [
        [
            name,
            f"{truth[key]['pixels']:,}",
            percent(truth[key]["pixels"] / truth["pixels"] if truth["pixels"] else None),
            number(truth[key].get("epe_mean_px"), digits=3),
            number(truth[key].get("epe_median_px"), digits=3),
            percent(truth[key]["d1_share"]),
        ]
        for key, name in names.items()
    ]
    head = ["Pixels with truth", "count", "of the truth", "EPE mean [px]", "EPE median [px]", "D1"]
    return Table(f"Disparity against {SOURCES[source]}, {count(truth['frames'], 'frame')}", head, rows)


def band_table(source: str, truth: dict[str, Any]) -> Table:
    """Depth errors against one truth by distance, over valid pixels and over answered ones."""
    rows = []
    for valid, answered in zip(truth["depth_valid"], truth["depth_answered"], strict=True):
        coverage = valid["pixels"] / valid["truth_pixels"] if valid["truth_pixels"] else None
        cells = [f"{valid['from_m']} to {valid['to_m']} m", f"{valid['truth_pixels']:,}", percent(coverage)]
        for one in (valid, answered):
            cells += [percent(one["abs_rel"]), percent(one["abs_rel_median"]), number(one["rmse_m"])]
        rows.append(cells)
    head = ["True depth", "pixels", "with a depth"]
    for name in ("valid", "answered"):
        head += [f"AbsRel mean, {name}", f"AbsRel median, {name}", f"RMSE [m], {name}"]
    return Table(f"Depth against {SOURCES[source]} by distance", head, rows)


def tables_of(metrics: dict[str, Any]) -> list[Table]:
    """All tables of a set's metrics: two for each truth, and what needs none."""
    found = [
        table
        for source, truth in metrics["truth"].items()
        for table in (error_table(source, truth), band_table(source, truth))
    ]
    return found + image_table(metrics)


def image_table(metrics: dict[str, Any]) -> list[Table]:
    """What needs no truth, beside the same for a wrong disparity, where there are right images."""
    one = metrics.get("photometric")
    if one is None:
        return []
    rows = [
        [
            "photometric error [grey levels]",
            number(one["error_grey_levels"]),
            number(one["error_of_wrong_disparity_grey_levels"]),
        ],
        [
            "textured pixels unexplained",
            percent(one["unexplained_share"]),
            percent(one["unexplained_by_wrong_disparity_share"]),
        ],
    ]
    head = ["Metric", "as written", f"{SHIFT_PX:g} px too large"]
    return [Table(f"Without truth: right image warped to the left, {count(one['frames'], 'frame')}", head, rows)]


def frame_table(caption: str, rows: list[dict[str, Any]]) -> Table:
    """One row a frame, from the rows of `quality.json`."""
    sources = sorted({source for row in rows for source in row["truth"]})
    head = ["Frame", "depth", "matched", "filled"]
    head += [f"{name}, {source}" for source in sources for name in ("D1 valid", "D1 matched", "EPE [px]")]
    head += ["photometric [grey levels]", "unexplained"]
    cells = []
    for row in rows:
        line = [row["frame"], *(percent(row[key]) for key in ("depth_share", "matched_share", "filled_share"))]
        for source in sources:
            valid = row["truth"].get(source, {}).get("valid", {})
            answered = row["truth"].get(source, {}).get("answered", {})
            line += [
                percent(valid.get("d1_share")),
                percent(answered.get("d1_share")),
                number(valid.get("epe_mean_px")),
            ]
        one = row.get("photometric", {})
        line += [number(one.get("error_grey_levels")), percent(one.get("unexplained_share"))]
        cells.append(line)
    return Table(caption, head, cells)


MOST_SKIPPED = 200


@dataclass(frozen=True)
class Subject:
    """What a page is about; `metrics`, `rows` and `skipped` as in `QualityReport`.

    Attributes:
        matcher, split: Whose disparity; of which split, or None for all.
        panels: Pictures by frame, worst first.
    """

    matcher: str
    split: str | None
    metrics: dict[str, Any]
    rows: list[dict[str, Any]]
    skipped: list[tuple[str, str]]
    notes: list[str]
    panels: dict[str, list[Panel]]


def page(subject: Subject) -> str:
    """Return the page as HTML."""
    of_split = "all splits" if subject.split is None else f"split {subject.split}"
    skipped, rows = subject.skipped, [row for row in subject.rows if row["frame"] in subject.panels]
    return render(
        Path(__file__).with_suffix(".html.j2"),
        title=f"Depth quality of matcher {subject.matcher}",
        sections=[
            Section("figures", "Metrics"),
            Section("tables", "Tables"),
            Section("worst", f"Worst {count(len(subject.panels), 'frame')}"),
            Section("skipped", f"Skipped frames ({len(skipped)})"),
        ],
        measured=f"{count(subject.metrics['frames'], 'frame')} of {of_split} measured, {len(skipped)} skipped.",
        colours=_bar_colours(),
        headlines=headlines(subject.metrics),
        notes=subject.notes,
        tables=tables_of(subject.metrics),
        spread=_spread(subject.rows),
        worst_table=frame_table("The worst frames", rows),
        worst=[
            {
                "name": row["frame"],
                "panels": subject.panels[row["frame"]],
                "table": frame_table(f"Metrics of {row['frame']}", [row]),
            }
            for row in rows
        ],
        skipped=Table(
            "Excluded from all metrics", ["Frame", "Reason"], [[*one] for one in skipped[:MOST_SKIPPED]], text=True
        ),
        more_skipped=len(skipped) - MOST_SKIPPED,
    )


def _bar_colours() -> list[str]:
    steps = np.linspace(0, 1, 17, dtype=np.float32)[None]
    colours = colour_values(steps, np.ones(steps.shape, dtype=bool), 0, 1)[0]
    return ["#" + bytes(colour).hex() for colour in colours]


def _spread(rows: list[dict[str, Any]]) -> list[str] | None:
    """How far the worst frames stand out: median, 90th percentile and greatest of what ranks them; None where that is
    not the same metric for all.
    """
    if len({row["ranked_by"] for row in rows}) != 1:
        return None
    return [percent(float(value)) for value in np.percentile([row["rank"] for row in rows], (50, 90, 100))]
