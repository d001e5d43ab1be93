"""What a generated set holds: per class the share of pixels, frames, instances and distances, per type of street."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import label_set, lookup_table
from preprocessing.scenes.asked import DENSE

KIND = "coverage of synth"
_NEAR_M, _FAR_M, _BINS = 0.5, 500.0, 690  # bins of 1 % of the distance
_FEW_FRAMES, _FEW_PIXELS, _ENOUGH = 0.05, 2e-4, 20
"""Below which share of the frames or the pixels a class is doubted, in sets of at least so many frames."""


@dataclass(frozen=True)
class Counts:
    """Sums over frames of one type of street; the last row of each is void.

    Attributes:
        frames: How many.
        pixels, seen, instances: int64 [20]: pixels, frames with the class, things with an id of their own.
        distances: int64 [20, bins]: pixels by the logarithm of their distance.
    """

    frames: int
    pixels: NDArray[np.int64]
    seen: NDArray[np.int64]
    instances: NDArray[np.int64]
    distances: NDArray[np.int64]

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.frames + other.frames,
            self.pixels + other.pixels,
            self.seen + other.seen,
            self.instances + other.instances,
            self.distances + other.distances,
        )


def count(
    labels: NDArray[np.uint8], instances: NDArray[np.uint16], disparity: NDArray[np.float32], baseline_fx: float
) -> Counts:
    """Of one frame: labelIds and instanceIds [H,W], disparity [H,W] px with 0 where there is none,
    baseline times focal length [m px]."""
    table, void = _table()
    classes = table[labels]
    pixels = np.bincount(classes.reshape(-1), minlength=void + 1)
    things = np.unique(instances[instances >= 1000])
    owners = np.bincount(table[(things // 1000).astype(np.uint8)], minlength=void + 1)
    valid = disparity > 0
    metres = baseline_fx / disparity[valid]
    bins = np.log(metres / _NEAR_M) * (_BINS / np.log(_FAR_M / _NEAR_M))
    flat = classes[valid].astype(np.int64) * _BINS + np.clip(bins.astype(np.int64), 0, _BINS - 1)
    distances = np.bincount(flat, minlength=(void + 1) * _BINS).reshape(void + 1, _BINS)
    return Counts(1, pixels, (pixels > 0).astype(np.int64), owners, distances)


def _table() -> tuple[NDArray[np.uint8], int]:
    """From labelIds to the 19 classes, void as the number after them."""
    table = lookup_table("cityscapes", "cityscapes19").copy()
    void = len(label_set("cityscapes19").names)
    table[table > void] = void
    return table, void


def report(counted: Iterable[tuple[str, Counts]]) -> dict[str, Any]:
    """The coverage of a set from (type of street, counts) of its frames, as coverage.json holds it."""
    by_street: dict[str, Counts] = {}
    for street, counts in counted:
        by_street[street] = by_street[street] + counts if street in by_street else counts
    total = sum(list(by_street.values())[1:], next(iter(by_street.values())))
    streets = {name: _described(by_street[name]) for name in sorted(by_street)}
    return {"kind": KIND, **_described(total), "streets": streets, "doubts": _doubts(total)}


def _described(counts: Counts) -> dict[str, Any]:
    names, everything = label_set("cityscapes19").names, max(int(counts.pixels.sum()), 1)
    classes = {
        name: {
            "pixel_share": round(float(counts.pixels[k]) / everything, 7),
            "frames": int(counts.seen[k]),
            "instances": int(counts.instances[k]) if name in _THINGS else None,
            "distance_quartiles_m": _quartiles(counts.distances[k]),
        }
        for k, name in enumerate(names)
    }
    return {"frames": counts.frames, "void_share": round(float(counts.pixels[-1]) / everything, 7), "classes": classes}


_THINGS = frozenset(("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"))


def _quartiles(histogram: NDArray[np.int64]) -> list[float] | None:
    """25, 50 and 75 % of the pixels are nearer than these [m], to 1 %; None without any."""
    if not histogram.sum():
        return None
    share = np.concatenate([[0.0], np.cumsum(histogram) / histogram.sum()])
    edges = np.geomspace(_NEAR_M, _FAR_M, _BINS + 1)
    return [round(float(edges[np.searchsorted(share, q)]), 2) for q in (0.25, 0.5, 0.75)]


def _doubts(counts: Counts) -> list[str]:
    if counts.frames < _ENOUGH:
        return []
    lines, everything = [], counts.pixels.sum()
    for k, name in enumerate(label_set("cityscapes19").names):
        few = counts.seen[k] < _FEW_FRAMES * counts.frames
        if few or counts.pixels[k] < _FEW_PIXELS * everything:
            helps = f"--density '{name}=3' brings more" if name in DENSE else "another mix of --streets brings more"
            lines.append(
                f"{name} is in {counts.seen[k]} of {counts.frames} pairs, "
                f"{counts.pixels[k] / everything:.4%} of the pixels: {helps}"
            )
    return lines
