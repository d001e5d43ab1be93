"""The Pareto front of trials: which no other beats in every objective, how much it covers, which lies in the middle.

A solution is Pareto optimal where a change that helps one task harms another; all of them together are the front, the
trade-offs that there are to choose from (Sener & Koltun 2018; Lin et al. 2019).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from advmtl.tune.objective import Objective
from advmtl.tune.records import TrialRecord
from preprocessing.ground import InputError

Losses = tuple[float, ...]


@dataclass(frozen=True)
class Front:
    """The front of a study.

    Attributes:
        trials: on it, by the first objective, the best first.
        balanced: the one whose worst objective is best, each measured from the best to the worst value on the front:
            the smallest weighted Chebyshev distance from the ideal point (Momma et al. 2022), weights alike.
        reference: by objective, what the hypervolume is measured from.
        worst: whether the reference is the worst of the complete trials, not a given one.
        hypervolume: what the front covers between itself and the reference, in the product of the objectives' units.
        share: the same as a share of the box from the reference to the best value of each objective, 0 to 1.
    """

    trials: tuple[TrialRecord, ...]
    balanced: TrialRecord
    reference: Mapping[str, float]
    worst: bool
    hypervolume: float
    share: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, trials by number."""
        return {
            "trials": [one.number for one in self.trials],
            "balanced": self.balanced.number,
            "reference": dict(self.reference),
            "reference_is": "the worst of the complete trials" if self.worst else "given",
            "hypervolume": self.hypervolume,
            "hypervolume_share": self.share,
        }


def front_of(
    records: Sequence[TrialRecord], objectives: Sequence[Objective], reference: Mapping[str, float] | None = None
) -> Front | None:
    """The front of the complete trials; None without any. Args: `reference`: by objective; None: the worst values."""
    complete = [one for one in records if one.metrics]
    if not complete:
        return None
    losses = {one.number: tuple(o.loss(one.metrics[o.key]) for o in objectives) for one in complete}
    best = [one for one in complete if not any(dominates(other, losses[one.number]) for other in losses.values())]
    best.sort(key=lambda one: losses[one.number])
    points = [losses[one.number] for one in best]
    ideal = tuple(map(min, zip(*points, strict=True)))
    nadir = tuple(map(max, zip(*points, strict=True)))
    worst = tuple(map(max, zip(*losses.values(), strict=True)))
    given = reference or {}
    corner = tuple(o.loss(given[o.key]) if o.key in given else w for o, w in zip(objectives, worst, strict=True))

    def distance(one: TrialRecord) -> tuple[float, float]:
        spans = zip(losses[one.number], ideal, nadir, strict=True)
        parts = [(value - low) / (high - low) if high > low else 0.0 for value, low, high in spans]
        return max(parts), sum(parts)

    volume = hypervolume(points, corner)
    box = 1.0
    for low, high in zip(ideal, corner, strict=True):
        box *= max(0.0, high - low)
    return Front(
        tuple(best),
        min(best, key=distance),
        {o.key: o.loss(value) for o, value in zip(objectives, corner, strict=True)},  # its own inverse
        not given,
        volume,
        volume / box if box else 0.0,
    )


def dominates(a: Losses, b: Losses) -> bool:
    """Whether `a` is nowhere worse than `b`, and somewhere better; less is better."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def hypervolume(points: Sequence[Losses], reference: Losses) -> float:
    """The volume that is dominated by some point and not beyond the reference; less is better.

    By slices along the last objective, exact; for the dozens of points and few objectives of a study.
    """
    inside = sorted({point for point in points if all(x < r for x, r in zip(point, reference, strict=True))})
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    levels = [*sorted({point[-1] for point in inside}), reference[-1]]
    return sum(
        (above - level) * hypervolume([point[:-1] for point in inside if point[-1] <= level], reference[:-1])
        for level, above in pairwise(levels)
    )


def read_reference(texts: Sequence[str], objectives: Sequence[Objective]) -> dict[str, float]:
    """Read `OBJECTIVE=VALUE`. Raises: InputError."""
    found: dict[str, float] = {}
    keys = [one.key for one in objectives]
    for text in texts:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            raise InputError(f"--reference {text!r}: write OBJECTIVE=VALUE, e.g. {keys[0]}=0.5") from None
        if key not in keys:
            raise InputError(f"--reference {text}: no objective of this study; there are {', '.join(keys)}")
        found[key] = number
    return found
