"""Quality figures in words: headlines with a sentence each, and tables; for the page and the terminal alike."""

from typing import Any

from preprocessing.ground.web_page import Headline, Table
from preprocessing.quality.photometric import AGREE_PX, SHIFT_PX

NONE = "–"
SOURCES = {"disparity": "the set's own disparity", "lidar": "lidar"}
"""What the kinds of truth are called in print."""


def percent(share: float | None) -> str:
    """Print a share 0..1 as percent."""
    return NONE if share is None else f"{100 * share:.1f} %"


def number(value: float | None, unit: str = "", digits: int = 2) -> str:
    """Print a value with its unit."""
    return NONE if value is None else f"{value:.{digits}f} {unit}".strip()


def count(number: int, noun: str) -> str:
    """Print a number of things."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def headlines(figures: dict[str, Any]) -> list[Headline]:
    """Return the figures to read first, the set's or one frame's."""
    shares = f"Matched {percent(figures['matched_share'])} of all pixels, filled {percent(figures['filled_share'])}."
    found = [Headline("Pixels with a depth", percent(figures["depth_share"]), shares)]
    for source, truth in figures["truth"].items():
        found += _truth_headlines(SOURCES[source], truth)
    return found + _image_headlines(figures)


def _truth_headlines(source: str, truth: dict[str, Any]) -> list[Headline]:
    answered, valid = truth["answered"], truth["valid"]
    within = _row(truth["depth_valid"], 0, 80)
    return [
        Headline(
            f"D1 of valid pixels, against {source}",
            percent(valid["d1_share"]),
            "Wrong by more than 3 px and more than 5 % (KITTI), matched or filled. "
            f"Where the matcher answered: {percent(answered['d1_share'])}; over all pixels with truth, "
            f"those without a disparity counted as wrong: {percent(truth['all']['d1_share'])}.",
        ),
        Headline(
            f"Disparity error, against {source}",
            number(valid["epe_mean_px"], "px"),
            f"Mean (EPE) over valid pixels; the median is {number(valid['epe_median_px'], 'px')}. Where the matcher "
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


def _image_headlines(figures: dict[str, Any]) -> list[Headline]:
    found: list[Headline] = []
    if one := figures.get("photometric"):
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
    if check := figures.get("left_right"):
        found.append(
            Headline(
                "Left-right consistency",
                percent(check["consistent_matched_share"]),
                f"Matched pixels that a match of the right image (SGBM) confirms within {AGREE_PX:g} px, in "
                f"{count(check['frames'], 'frame')}. What SGBM itself matched has passed this before. Filled pixels: "
                f"{percent(check['consistent_filled_share'])}; those hidden from the right camera must fail.",
            )
        )
    return found


def error_table(source: str, truth: dict[str, Any]) -> Table:
    """Disparity errors against one truth: where answered, where valid, over all of the truth."""
    names = {"answered": "answered by the matcher", "valid": "valid: answered or filled", "all": "all, none = wrong"}
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


def image_table(figures: dict[str, Any]) -> list[Table]:
    """What needs no truth, beside the same for a wrong disparity, where there are right images."""
    one = figures.get("photometric")
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
    head = ["Figure", "as written", f"{SHIFT_PX:g} px too large"]
    return [Table(f"Without truth: right image warped to the left, {count(one['frames'], 'frame')}", head, rows)]


def frame_table(caption: str, rows: list[dict[str, Any]]) -> Table:
    """One row a frame, from the rows of `quality.json`."""
    sources = sorted({source for row in rows for source in row["truth"]})
    head = ["Frame", "depth", "matched", "filled"]
    head += [f"{name}, {source}" for source in sources for name in ("D1 valid", "D1 answered", "EPE [px]")]
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
