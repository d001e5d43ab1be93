"""Where the runs' time went."""

from collections.abc import Sequence
from statistics import median

from advmtl.report.reading import RunRecord, is_number
from preprocessing.ground.web_page import Table, table_of
from preprocessing.quality import percent

_PARTS = {"waiting_s": "waiting for data", "validation_s": "measuring", "saving_s": "saving"}


def time_parts(runs: Sequence[RunRecord]) -> list[str]:
    """A row a run: throughput, hours, and shares of the wall clock; nothing for runs that were not timed."""
    rows = []
    for run in runs:
        total = sum(row["seconds"] for row in run.timing)
        if not total:
            continue
        rates = [row["frames_per_s"] for row in run.timing if row.get("frames") and is_number(row.get("frames_per_s"))]
        shares = [sum(float(row.get(part) or 0) for row in run.timing) / total for part in _PARTS]
        rows.append(
            [
                run.name,
                f"{median(rates):.1f}" if rates else "–",
                f"{total / 60:.1f}",
                percent(1 - sum(shares)),
                *(percent(share) for share in shares),
            ]
        )
    if not rows:
        return ["<p>Not recorded in these runs; those trained with this version have it.</p>"]
    head = ["Run", "frames/s, median", "wall clock [min]", "steps", *_PARTS.values()]
    return [table_of(Table("Wall clock of training, and its shares", head, rows))]
