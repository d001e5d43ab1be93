"""Latencies as percentiles, and tables of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # a vehicle may have no rich
    from rich.console import Console

# The first frames pay for allocation, kernel choice and thread start; they are not timed.
WARM_UP = 3


@dataclass(frozen=True)
class Latency:
    """Time of one stage over `count` frames, in milliseconds; percentiles are interpolated linearly."""

    count: int
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float


def summarise(seconds: Sequence[float]) -> Latency:
    """Mean and percentiles of measured times [s]. Raises: ValueError where there are none."""
    if not seconds:
        raise ValueError("no times were measured")
    ms = 1e3 * np.asarray(seconds, dtype=np.float64)
    return Latency(len(ms), *(round(float(value), 4) for value in (ms.mean(), *np.percentile(ms, [50, 90, 99]))))


class Timer:
    """Times of one stage, of any number of frames in constant memory: a stream may run for weeks.

    The first `warm_up` times are left out while later ones are there. Kept are counts in bins of equal ratio, from a
    microsecond to 17 minutes, so a percentile is off by 0.1 % at most.
    """

    LOWEST_S, RATIO, BINS = 1e-6, 1.002, 10_400

    def __init__(self, warm_up: int = WARM_UP) -> None:
        self.warm_up = warm_up
        self.count = 0
        self._early: list[float] = []
        self._sum = 0.0
        self._bins = np.zeros(self.BINS, dtype=np.int64)
        self._bins.fill(0)  # the pages are taken now, not one by one while a stream runs

    def add(self, seconds: float) -> None:
        """Record one time [s]."""
        self.count += 1
        if self.count <= self.warm_up:
            self._early.append(seconds)
            return
        place = int(np.log(max(seconds, self.LOWEST_S) / self.LOWEST_S) / np.log(self.RATIO))
        self._bins[min(place, self.BINS - 1)] += 1
        self._sum += seconds

    def latency(self) -> Latency:
        """Mean and percentiles; of a stream no longer than the warm-up, the last time alone. Raises: ValueError."""
        if self.count <= self.warm_up:
            return summarise(self._early[-1:])
        timed = self.count - self.warm_up
        ranks = np.array([0.5, 0.9, 0.99]) * (timed - 1)
        places = np.searchsorted(np.cumsum(self._bins), [np.floor(ranks), np.ceil(ranks)], side="right")
        low, high = 1e3 * self.LOWEST_S * self.RATIO ** (places + 0.5)
        percentiles = low + (ranks - np.floor(ranks)) * (high - low)
        return Latency(timed, *(round(float(value), 4) for value in (1e3 * self._sum / timed, *percentiles)))


def print_latencies(console: "Console", heading: str, stages: Mapping[str, Latency]) -> None:
    """Print one row per stage, in milliseconds, under a heading."""
    from rich.table import Table

    table = Table()
    table.add_column("stage")
    for column in ("p50, ms", "p90, ms", "p99, ms", "mean, ms", "frames"):
        table.add_column(column, justify="right")
    for name, stage in stages.items():
        figures = (stage.p50_ms, stage.p90_ms, stage.p99_ms, stage.mean_ms)
        table.add_row(name, *(f"{figure:.2f}" for figure in figures), str(stage.count))
    console.print(heading, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
