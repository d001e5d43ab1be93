"""The selection rules: which frames to label, in which order; by diversity, by disagreement, or by both.

By Hoyer et al. 2021; equations as numbered in the survey of Fontana et al. 2024.

- diversity (Eq. 34): always the frame farthest from all that are chosen. Where nothing is labelled yet the equation
  starts with a random frame: drawn from `seed`.
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

By = Literal["diversity", "disagreement", "both"]
REPEATS = 1e-3
"""Distance under which a frame is a repetition; any two frames are about 1.4 apart."""


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


class Coverage:
    """Distance of every frame to the nearest chosen one (feature L2); infinite while none is chosen.

    Adding a frame takes one pass over the features and memory for one distance a frame: never frames x frames.

    Attributes:
        nearest: float32 `[N]`.
    """

    def __init__(self, features: Tensor, start: Sequence[int] = ()) -> None:
        """`features`: float32 `[N, D]`, on any device. `start`: frames that are chosen already."""
        self._features = features
        self.nearest = torch.full((len(features),), float("inf"), device=features.device)
        for place in start:
            self.add(place)

    def add(self, place: int) -> None:
        """Choose a frame."""
        # By differences: the usual way over a matrix product leaves equal frames a little apart.
        to_it = torch.cdist(self._features, self._features[place][None], compute_mode="donot_use_mm_for_euclid_dist")
        self.nearest = torch.minimum(self.nearest, to_it[:, 0])

    def farthest(self, among: Tensor) -> int:
        """The frame farthest from all chosen ones, of those where `among` (bool `[N]`) is true; the first of equals.

        Source: Hoyer et al. 2021 (Fontana et al. 2024, Eq. 34): arg max over G_U of the min over G_A.
        """
        return int(torch.where(among, self.nearest, -1.0).argmax())  # waits for the device, as the choice must

    def radius(self, among: Tensor) -> tuple[float, float]:
        """Largest and mean distance to the nearest chosen frame, over the frames where `among` is true."""
        distances = self.nearest[among]
        return float(distances.max()), float(distances.mean())


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
