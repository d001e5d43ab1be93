"""Frames drawn by the classes that they show: rare-class sampling (Hoyer et al. 2022, DAFormer)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_CLASS = -1


def class_shares(pixels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of each class among all labelled pixels [K], of pixels by frame and class [frames,K]; 0 without any."""
    return np.asarray(pixels.sum(0) / max(1, pixels.sum()), dtype=np.float64)


def class_probabilities(shares: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """P(c) = exp((1 − f_c) / T) / Σ exp((1 − f) / T) over the classes that occur (Hoyer et al. 2022); 0 for others."""
    exponents = np.where(shares > 0, -shares / temperature, -np.inf)
    if not (shares > 0).any():
        return np.zeros_like(shares)
    # The largest exponent is taken away: e^100 times anything is more than a rare class needs.
    likely = np.exp(exponents - exponents.max())
    return np.asarray(likely / likely.sum(), dtype=np.float64)


def frames_showing(pixels: NDArray[np.int64], min_share: float) -> list[NDArray[np.int64]]:
    """For each class the frames in which it has `min_share` of the labelled pixels; where none has, all that show it.

    `pixels`: by frame and class [frames,K].
    """
    labelled = pixels.sum(1, keepdims=True)
    enough = (pixels > 0) & (pixels >= min_share * labelled)
    return [np.flatnonzero(enough[:, c] if enough[:, c].any() else pixels[:, c] > 0) for c in range(pixels.shape[1])]


@dataclass(frozen=True, eq=False)
class RareFrames:
    """What is drawn by class.

    Attributes:
        share: of a group's frames in an epoch.
        probabilities: P(c), float64 [K].
        frames: for each class the numbers of the frames that show it, ascending.
    """

    share: float
    probabilities: NDArray[np.float64]
    frames: Sequence[NDArray[np.int64]]

    def draw(
        self, rng: np.random.Generator, start: int, length: int, count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Frames of a group, and the class that each was drawn for, NO_CLASS for none.

        The group are the `length` frames from number `start` on.

        Of `count` frames, `share` are drawn: each a class by P, among those that the group shows, then a frame that
        shows it. A class's frames come equally often but for one, and so do those that are not drawn by class.
        """
        own = [frames[(frames >= start) & (frames < start + length)] for frames in self.frames]
        likely = self.probabilities * [len(frames) > 0 for frames in own]
        drawn = round(self.share * count) if likely.any() else 0
        parts, classes = [start + fill(rng, length, count - drawn)], [np.full(count - drawn, NO_CLASS)]
        if drawn:
            for c, times in enumerate(rng.multinomial(drawn, likely / likely.sum()).tolist()):
                parts.append(own[c][fill(rng, len(own[c]), times)])
                classes.append(np.full(times, c))
        return np.concatenate(parts), np.concatenate(classes)


def fill(rng: np.random.Generator, length: int, count: int) -> NDArray[np.int64]:
    """`count` numbers below `length`: whole permutations and a part of one more."""
    passes = [rng.permutation(length) for _ in range(-(-count // length))] if length else []
    return np.concatenate(passes)[:count] if passes else np.empty(0, dtype=np.int64)
