"""Latencies as percentiles, and tables of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Latency:
    """Time of one stage over `count` frames, in milliseconds; percentiles are interpolated linearly."""

    count: int
    mean_ms: float
    p50_ms: float
    p99_ms: float


def summarise(seconds: Sequence[float]) -> Latency:
    """Mean and percentiles of measured times [s]. Raises: ValueError where there are none."""
    if not seconds:
        raise ValueError("no times were measured")
    ms = 1e3 * np.asarray(seconds, dtype=np.float64)
    p50, p99 = np.percentile(ms, [50, 99])
    return Latency(len(ms), round(float(ms.mean()), 4), round(float(p50), 4), round(float(p99), 4))


def print_latencies(console: Console, heading: str, stages: Mapping[str, Latency]) -> None:
    """Print one row per stage, in milliseconds, under a heading."""
    table = Table()
    table.add_column("stage")
    for column in ("p50, ms", "p99, ms", "mean, ms", "frames"):
        table.add_column(column, justify="right")
    for name, stage in stages.items():
        table.add_row(name, f"{stage.p50_ms:.2f}", f"{stage.p99_ms:.2f}", f"{stage.mean_ms:.2f}", str(stage.count))
    console.print(heading, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
