"""Means of what was measured, over a whole run and by thirds of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, stdev
from typing import Any

STAGES = ("first third", "second third", "last third")
_PREFIX = "affinity/"


@dataclass(frozen=True)
class Mean:
    """Of one pair: the mean of Z, its standard error (None for a single value), and how many steps were measured."""

    value: float
    error: float | None
    count: int


@dataclass(frozen=True)
class Affinities:
    """Inter-task affinity of a run.

    Attributes:
        sources: objectives whose steps were taken: the tasks', and discriminators' own.
        targets: tasks whose losses were compared.
        steps: that the run has taken, of which the stages are thirds.
        whole: by (source, target), over the whole run.
        stages: the same for each of `STAGES`; a pair without a value is left out.
    """

    sources: list[str]
    targets: list[str]
    steps: int
    whole: Mapping[tuple[str, str], Mean]
    stages: Sequence[Mapping[tuple[str, str], Mean]]

    @property
    def count(self) -> int:
        """Steps that were measured, of the pair with most."""
        return max((one.count for one in self.whole.values()), default=0)

    def share(self, source: str, target: str) -> float | None:
        """What a step of `source` does to `target`, in shares of what `target`'s own step does; None where that has not
        lowered its loss.
        """
        pair, own = self.whole.get((source, target)), self.whole.get((target, target))
        return pair.value / own.value if pair and own and own.value > 0 else None

    @property
    def tasks(self) -> list[str]:
        """The tasks of which every pair was measured: those that can be grouped."""
        known = [task for task in self.targets if task in self.sources]
        return [task for task in known if all((task, other) in self.whole for other in known if other != task)]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; Z is a share of the loss, 1."""
        return {
            "steps": self.steps,
            "measured": self.count,
            "pairs": [
                {
                    "from": i,
                    "onto": j,
                    **_plain(self.whole[i, j]),
                    "share_of_own": self.share(i, j),
                    "stages": {
                        name: _plain(found[i, j])
                        for name, found in zip(STAGES, self.stages, strict=True)
                        if (i, j) in found
                    },
                }
                for i, j in self.whole
            ],
        }


def affinities_of(rows: Sequence[Mapping[str, Any]], steps: int) -> Affinities | None:
    """Means over rows of `metrics.jsonl` of kind `affinity`; None where they hold nothing.

    Args: `steps`: that the run has taken.
    """
    values: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for row in rows:
        for name, value in row.items():
            source, arrow, target = name.removeprefix(_PREFIX).rpartition(">")
            if name.startswith(_PREFIX) and arrow and isinstance(value, int | float) and isfinite(value):
                values.setdefault((source, target), []).append((int(row["step"]), float(value)))
    if not values:
        return None
    last = max(steps, max(step for found in values.values() for step, _ in found))
    count = len(STAGES)
    stages = [
        {
            pair: _mean(own)
            for pair, found in values.items()
            # Steps count from 1: of 9, the first third is 1 to 3.
            if (own := [value for step, value in found if (step - 1) * count // last == number])
        }
        for number in range(count)
    ]
    return Affinities(
        sources=list(dict.fromkeys(source for source, _ in values)),
        targets=list(dict.fromkeys(target for _, target in values)),
        steps=last,
        whole={pair: _mean([value for _, value in found]) for pair, found in values.items()},
        stages=stages,
    )


def _mean(values: Sequence[float]) -> Mean:
    return Mean(fmean(values), stdev(values) / sqrt(len(values)) if len(values) > 1 else None, len(values))


def _plain(mean: Mean) -> dict[str, float | None]:
    return {"z": mean.value, "standard_error": mean.error, "measured": mean.count}
