"""The order of frames: a pure function of (seed, epoch), independent of resuming and of the number of workers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advmtl.data.rare_frames import NO_CLASS, RareFrames, fill

FrameKey = tuple[int, int, int] | tuple[int, int, int, int]
"""(epoch, index of the frame, how often it came before in this epoch): all that a frame's augmentation
depends on; and the class that it was drawn for, where it was drawn for one.
"""


@dataclass
class EpochSampler:
    """Batches of frame keys over one epoch, for `DataLoader(batch_sampler=...)`.

    The frames of all sources are numbered through, in the order of `lengths`. A weight says how often a frame
    of that source comes, relative to the others; with equal weights an epoch is one permutation of all
    frames. Otherwise each source fills its share of the epoch with whole permutations and a part of one more,
    so that its frames come equally often but for one. Frames that do not fill the last batch are left out of
    this epoch.

    Attributes:
        lengths, weights: frames and weight of each source.
        batch_size: frames per batch and process.
        rank, world_size: this process's part of every global batch of `batch_size * world_size` frames.
        epoch, start_batch: the position; `start_batch` batches are skipped without being loaded.
        rare: what is drawn by class; sources' weights hold as without.
    """

    lengths: Sequence[int]
    weights: Sequence[float]
    batch_size: int
    seed: int
    rank: int = 0
    world_size: int = 1
    epoch: int = 0
    start_batch: int = 0
    rare: RareFrames | None = None

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        """Go to a batch of an epoch; holds for the next iteration."""
        self.epoch, self.start_batch = epoch, start_batch

    @property
    def batches(self) -> int:
        """Batches in a whole epoch; a set smaller than one batch gives one, filled by repeating frames."""
        return max(1, sum(self.lengths) // (self.batch_size * self.world_size))

    def share_drawn(self, chosen: Sequence[bool]) -> float:
        """How much of an epoch the `chosen` frames make up, weights of their sources counted; `chosen`: all frames."""
        counts, parts = shares(self.lengths, self.weights), np.split(np.asarray(chosen, float), np.cumsum(self.lengths))
        found = sum(count * part.mean() for count, part in zip(counts, parts, strict=False) if len(part))
        return float(found) / max(1, sum(counts))

    def __len__(self) -> int:
        return self.batches - self.start_batch

    def __iter__(self) -> Iterator[list[FrameKey]]:
        order, classes = drawn_epoch(self.lengths, self.weights, self.seed, self.epoch, self.rare)
        total = self.batch_size * self.world_size
        if len(order) < total:
            order, classes = np.resize(order, total), np.resize(classes, total)
        keys = _with_occurrence(order, classes, self.epoch)
        for batch in range(self.start_batch, self.batches):
            start = batch * total + self.rank * self.batch_size
            yield keys[start : start + self.batch_size]


def epoch_order(lengths: Sequence[int], weights: Sequence[float], seed: int, epoch: int) -> NDArray[np.int64]:
    """The frame indices of one epoch, as many as there are frames, in order."""
    return drawn_epoch(lengths, weights, seed, epoch, None)[0]


def drawn_epoch(
    lengths: Sequence[int], weights: Sequence[float], seed: int, epoch: int, rare: RareFrames | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The frame indices of one epoch, in order, and the class that each was drawn for, NO_CLASS for none."""
    rng = np.random.default_rng((seed, epoch))
    starts = np.cumsum([0, *lengths])
    groups = list(zip(starts.tolist(), lengths, shares(lengths, weights), strict=False))
    if rare is None:
        drawn = [start + fill(rng, length, count) for start, length, count in groups]
        return rng.permutation(np.concatenate(drawn)), np.full(sum(map(len, drawn)), NO_CLASS)
    parts = [rare.draw(rng, *group) for group in groups]
    order = rng.permutation(sum(len(frames) for frames, _ in parts))
    return np.concatenate([frames for frames, _ in parts])[order], np.concatenate([own for _, own in parts])[order]


def shares(lengths: Sequence[int], weights: Sequence[float]) -> list[int]:
    """Frames of an epoch from each source: proportional to weight × length, by largest remainder."""
    total = sum(lengths)
    parts = np.asarray(lengths, dtype=np.float64) * np.asarray(weights, dtype=np.float64)
    exact = total * parts / parts.sum()
    # Equal weights must give exactly the lengths; float noise of 1e-16 must not take a frame away.
    counts = np.floor(exact + 1e-9).astype(np.int64)
    remainder = np.argsort(-(exact - counts), kind="stable")
    counts[remainder[: total - int(counts.sum())]] += 1
    return [int(count) for count in counts]


def _with_occurrence(order: NDArray[np.int64], classes: NDArray[np.int64], epoch: int) -> list[FrameKey]:
    seen: dict[int, int] = {}
    keys: list[FrameKey] = []
    for index, wanted in zip(order.tolist(), classes.tolist(), strict=True):
        occurrence = seen.get(index, 0)
        seen[index] = occurrence + 1
        keys.append((epoch, index, occurrence) if wanted == NO_CLASS else (epoch, index, occurrence, wanted))
    return keys
