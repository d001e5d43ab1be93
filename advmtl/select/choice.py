"""Which frames to label, in which order: by diversity, by disagreement, or by both.

- diversity (seed 000, Eq. 34): always the frame farthest from all that are chosen. Where nothing is labelled yet the
  equation starts with a random frame: drawn from `seed`.
- disagreement (Eq. 35): the frames on which teacher and student differ most. Neighbours in a video differ alike, so
  this alone takes them one after the other.
- both: of the `pool` x count frames with the largest disagreement always the farthest, the way Hoyer et al. preselect;
  where nothing is labelled yet it starts with the largest disagreement. The survey does not say how both are put
  together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from advmtl.select.coverage import Coverage

By = Literal["diversity", "disagreement", "both"]
REPEATS = 1e-3
"""Distance under which a frame says nothing new; any two frames are about 1.4 apart."""


@dataclass(frozen=True)
class Rule:
    """How frames are chosen; `pool`: how many times the count are preselected by disagreement in "both"."""

    by: By = "diversity"
    pool: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Pick:
    """A chosen frame.

    Attributes:
        place: its row in the features.
        distance: to the nearest frame chosen before, None where there was none [feature L2].
        reason: why it was chosen, for people.
        radius: largest distance of any candidate to its nearest chosen frame, once this one is chosen.
        mean: the mean of these distances.
    """

    place: int
    distance: float | None
    reason: str
    radius: float
    mean: float


def choose(
    features: Tensor, count: int, rule: Rule, start: Sequence[int] = (), disagreement: Tensor | None = None
) -> list[Pick]:
    """Choose `count` of the frames that are not in `start`, or all where there are fewer; no frame twice.

    Args: features `[N, D]`, rows in the order that decides ties; `start`: G_A; disagreement `[N]`, on any device.
    Returns: the frames in the order in which they should be labelled. Raises: ValueError where the rule needs the
    disagreement and there is none.
    """
    candidates = torch.ones(len(features), dtype=torch.bool, device=features.device)
    candidates[list(start)] = False
    count = min(count, int(candidates.sum()))
    ranked = _ranked(candidates, rule, disagreement)
    allowed, why = candidates.clone(), "farthest from all chosen before"
    if rule.by == "both":
        preselected = ranked[: max(count, round(min(rule.pool * count, len(ranked))))]
        if len(preselected) < len(ranked):
            allowed[:] = False
            allowed[preselected] = True
            why = f"farthest of the {len(preselected)} with the largest disagreement"
    coverage = Coverage(features, start)
    picks: list[Pick] = []
    for number in range(count):
        if rule.by == "disagreement" or (ranked and number == 0 and not start):
            place, reason = ranked[number], "largest disagreement"
        elif number == 0 and not start:
            place, reason = _drawn(candidates, rule.seed), f"drawn first, seed {rule.seed}"
        else:
            place, reason = coverage.farthest(allowed), why
        picks.append(_pick(coverage, place, reason, candidates))
        allowed[place] = False
    return picks


def _ranked(candidates: Tensor, rule: Rule, disagreement: Tensor | None) -> list[int]:
    """Candidates by falling disagreement where the rule needs it; equal ones keep their order."""
    if rule.by == "diversity":
        return []
    if disagreement is None:
        raise ValueError(f"choosing by {rule.by} needs a disagreement per frame")
    order = disagreement.argsort(descending=True, stable=True).tolist()
    known = candidates.tolist()
    return [place for place in order if known[place]]


def _drawn(candidates: Tensor, seed: int) -> int:
    places = candidates.nonzero()[:, 0].tolist()
    return int(places[np.random.default_rng(seed).integers(len(places))])


def _pick(coverage: Coverage, place: int, reason: str, candidates: Tensor) -> Pick:
    distance = float(coverage.nearest[place])
    coverage.add(place)
    radius, mean = coverage.radius(candidates)
    if distance < REPEATS:
        reason = "repeats a frame chosen before"
    return Pick(place, None if distance == float("inf") else distance, reason, radius, mean)
