"""Models that take turns, in several ways of running frames, and the table of them; for vehicle_speed.py."""

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from export.session import open_session

RIVAL = "light RefineNet"
# One frame after the other on all threads, which sleep or spin while they wait for each other; or as many frames at once
# as there are threads, each on one (`advmtl infer --in-flight`).
WAYS = ("sleeping", "spinning", "in flight")
BLOCK = 4  # frames of each thread in a turn of "in flight"
Frame = NDArray[np.uint8]


@dataclass
class Row:
    """One network in one runtime, run in one way. Times [s] are per frame, end to end."""

    network: str
    graph: str
    parameters: int
    gmacs: float | None
    border: float | None
    way: str = ""
    call: Callable[[list[Frame]], Any] = field(default=len, repr=False)
    frames: int = 1  # in a turn
    wall_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Plain values for JSON."""
        wall, cpu = statistics.median(self.wall_s), statistics.median(self.cpu_s)
        names = ("network", "graph", "way", "parameters", "gmacs", "border")
        return {name: getattr(self, name) for name in names} | {
            "wall_ms": 1e3 * wall,
            "cpu_ms": 1e3 * cpu,
            "frames_per_second": 1 / wall,
        }


def open_rows(path: Path, ways: Sequence[str], threads: int, like: Row) -> list[Row]:
    """The model `path` in each of `ways`, on so many threads in all; what it is says `like`."""
    rows = []
    for way in ways:
        each = 1 if way == "in flight" else threads
        session = open_session(path, "cpu", each, spin=way == "spinning")
        pool = ThreadPoolExecutor(threads // each)  # of one thread where frames follow each other

        def call(frames: list[Frame], run: Callable = session.run, pool: ThreadPoolExecutor = pool) -> None:
            list(pool.map(run, frames))

        count = BLOCK * threads if way == "in flight" else 1
        rows.append(replace(like, way=way, call=call, frames=count, wall_s=[], cpu_s=[]))
    return rows


def measure(rows: list[Row], frames: list[Frame], iterations: int) -> None:
    """Run all in turn; the first two rounds are not counted."""
    for i in range(iterations + 2):
        for row in rows:
            block = [frames[(i + k) % len(frames)] for k in range(row.frames)]
            started = time.perf_counter(), time.process_time()
            row.call(block)
            if i >= 2:
                row.wall_s.append((time.perf_counter() - started[0]) / row.frames)
                row.cpu_s.append((time.process_time() - started[1]) / row.frames)


def report(rows: list[Row], peak: float, threads: int) -> dict[str, Any]:
    """Figures per row, with ratios to the rival's best row, and to its best of the same way."""
    figures = [row.figures() for row in rows]
    rivals = [row for row in figures if row["network"] == RIVAL]
    for row in figures:
        row["ratio"] = min(r["wall_ms"] for r in rivals) / row["wall_ms"]
        same = [r["wall_ms"] for r in rivals if r["way"] == row["way"]]
        row["ratio_same_way"] = min(same) / row["wall_ms"] if same else None
        row["cpu_ratio"] = min(r["cpu_ms"] for r in rivals) / row["cpu_ms"]
        if row["gmacs"] is not None:
            row["gmacs_per_cpu_second"] = row["gmacs"] / (row["cpu_ms"] / 1e3)
            row["share_of_peak"] = row["gmacs_per_cpu_second"] / peak
    return {"threads": threads, "peak_gmacs_per_core_second": peak, "rows": figures}


def _shown(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)


def show(result: dict[str, Any]) -> None:
    """Print the table."""
    table = Table()
    left = ("network", "graph", "way")
    right = ("M params", "GMACs", "border", "frames/s", "CPU ms", "ratio", "same way", "ratio, CPU", "of peak")
    for column in (*left, *right):
        table.add_column(column, justify="left" if column in left else "right")
    for r in result["rows"]:
        table.add_row(
            r["network"], r["graph"], r["way"], f"{r['parameters'] / 1e6:.2f}", _shown(r["gmacs"], "{:.2f}"),
            _shown(r["border"], "{:.1%}"), f"{r['frames_per_second']:.1f}", f"{r['cpu_ms']:.1f}", f"{r['ratio']:.2f}",
            _shown(r["ratio_same_way"], "{:.2f}"), f"{r['cpu_ratio']:.2f}", _shown(r.get("share_of_peak"), "{:.0%}"),
        )  # fmt: skip
    console = Console(width=160)
    console.print(
        f"{result['threads']} threads, peak of a core {result['peak_gmacs_per_core_second']:.0f} GMAC/s",
        highlight=False,
    )
    console.print(table)
