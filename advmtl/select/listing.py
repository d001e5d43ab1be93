"""The list a labelling team takes: selection.csv for people, selection.json for programs and the trainer."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from advmtl.data.loading import source_name
from advmtl.select.candidates import Frames
from advmtl.select.choice import Pick, Rule
from preprocessing.ground import write_bytes, write_json

COLUMNS = ("rank", "frame", "source", "image", "distance", "disagreement", "reason")
UNITS = {
    "distance": "to the nearest frame chosen before or labelled; feature L2, any two frames are about 1.4 apart",
    "disagreement": "mean |log(1 + m) - log(1 + m')| of teacher's and student's depth in metres; 0.1 is about 10 %",
    "radius": "largest distance of a candidate to its nearest chosen or labelled frame; feature L2",
    "image": "path below the source's root",
}


def list_rows(picks: Sequence[Pick], frames: Frames, disagreement: Sequence[float] | None) -> list[dict[str, Any]]:
    """One row per chosen frame, by `COLUMNS`; None where a frame has no such figure."""
    return [
        {
            "rank": rank,
            "frame": frames.records[pick.place].name,
            "source": frames.source_of(pick.place),
            "image": frames.image_of(pick.place),
            "distance": None if pick.distance is None else round(pick.distance, 6),
            "disagreement": None if disagreement is None else round(disagreement[pick.place], 6),
            "reason": pick.reason,
        }
        for rank, pick in enumerate(picks, start=1)
    ]


def write_list(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    picks: Sequence[Pick],
    frames: Frames,
    rule: Rule,
    runs: dict[str, str | None],
) -> None:
    """Write selection.csv and selection.json; a label budget keeps `frames` and `labelled_frames` of the latter."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    content = {
        "format": 1,
        **runs,
        "by": rule.by,
        **({"pool": rule.pool} if rule.by == "both" else {}),
        "seed": rule.seed,
        "sources": list(dict.fromkeys(source_name(source) for source in frames.sources)),
        "candidates": frames.labelled.count(False),
        "labelled": frames.labelled.count(True),
        "labelled_frames": frames.labelled_before,
        "units": UNITS,
        "frames": [row["frame"] for row in rows],
        "chosen": list(rows),
        "radius": [round(pick.radius, 6) for pick in picks],
        "mean_distance": [round(pick.mean, 6) for pick in picks],
        "skipped": [{"frame": one.name, "reason": one.reason} for one in frames.skipped],
    }
    write_bytes(folder / "selection.csv", text.getvalue().encode())
    write_json(folder / "selection.json", content)
