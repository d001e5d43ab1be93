"""Frames mixed pixel by pixel, by depth so that geometry stays valid, or by class (seed paper 000, Eq. 36 and 37)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

IGNORE = 255


@dataclass(frozen=True)
class Frames:
    """Pictures and what is to be learnt of them, every pixel of all maps from the same place of the same frame.

    Attributes:
        image: [N,3,H,W].
        classes: int64 [N,1,H,W], 255 = ignore.
        weight: of the class [N,1,H,W].
        depth: [N,1,H,W] metres, 0 = nothing to learn.
        distance: [N,1,H,W] metres, known everywhere: what decides who is nearer.
    """

    image: Tensor
    classes: Tensor
    weight: Tensor
    depth: Tensor
    distance: Tensor

    def at(self, places: Sequence[int]) -> "Frames":
        """Frames by their places, in that order; the host knows them, so nothing waits for the device."""
        return Frames(*(torch.cat([values[i : i + 1] for i in places]) for values in self._maps()))

    def over(self, target: "Frames", mask: Tensor) -> "Frames":
        """M ⊙ source + (1 − M) ⊙ target of every map (seed paper 000, Eq. 36). `mask`: bool [N,1,H,W]."""
        pairs = zip(self._maps(), target._maps(), strict=True)
        return Frames(*(torch.where(mask, own, other) for own, other in pairs))

    def _maps(self) -> list[Tensor]:
        return [getattr(self, one.name) for one in fields(self)]


def partners(readable: Sequence[int], count: int, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Places of `count` sources and their targets: each readable frame once, its source another one.

    The sources are the targets moved on by one drawn number. Where fewer than `count` frames can be read, some are
    shown again, so that every process has the same number of pictures. One frame alone is its own source. Without any,
    all places are 0: the caller must have taken all labels away.
    """
    shift = int(rng.integers(1, len(readable))) if len(readable) > 1 else 0
    known = list(readable) or [0]
    moved = known[shift:] + known[:shift]
    places = [place % len(known) for place in range(count)]
    return [moved[place] for place in places], [known[place] for place in places]


def nearer(source: Tensor, target: Tensor, slack: float) -> Tensor:
    """M = D_source < D_target + ε (seed paper 000, Eq. 37), bool like the depths [N,1,H,W] (metres).

    ε is a share of the target's depth: an error of depth grows with it, and ε in metres that lets one road win over
    another at 50 m would put a car behind a pedestrian before him at 5 m.
    """
    return source < target * (1 + slack)


def half_of_the_classes(classes: Tensor, priority: Tensor) -> Tensor:
    """ClassMix's mask (Olsson et al. 2021, Algorithm 1): pixels of half of each frame's classes, rounded up.

    Args:
        classes: int64 [N,1,H,W]; 255 is no class and never chosen.
        priority: [N,K] in 0..1, drawn; among a frame's classes those of the smallest are chosen.
    Returns: bool [N,1,H,W].
    """
    n, k = priority.shape
    index = classes.clamp(max=k).flatten(1)
    there = torch.zeros(n, k + 1, dtype=torch.bool, device=classes.device).scatter_(1, index, True)[:, :k]
    rank = torch.where(there, priority, 2.0).argsort(dim=1, stable=True).argsort(dim=1)
    chosen = there & (rank < (there.sum(1, keepdim=True) + 1) // 2)
    chosen = torch.cat([chosen, torch.zeros_like(chosen[:, :1])], 1)
    return chosen.gather(1, index).view_as(classes)
