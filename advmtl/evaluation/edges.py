"""Sharpness: boundary IoU of the classes and F1 of the depth edges, which pixel averages do not show."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from advmtl.evaluation.metrics import depth_mask, mean_or_none
from preprocessing.ground import IGNORE, LABEL_SETS

DILATION_RATIO = 0.02
DENSE_SHARE = 0.3
EDGE_THRESHOLDS = tuple(np.linspace(1.05, 1.25, 10).tolist())


def boundary_width(height: int, width: int, ratio: float = DILATION_RATIO) -> int:
    """Width of the boundary band [px]: `ratio` of the picture's diagonal, at least 1."""
    return max(1, round(ratio * (height**2 + width**2) ** 0.5))


def boundary_map(labels: Tensor, distance: int) -> Tensor:
    """Pixels within `distance` px (chessboard) of another class or of the picture's border.

    For every class at once: a pixel belongs to "mask minus eroded mask" of its own class exactly if its
    window of 2·distance + 1 px is not of one value, that is, if two neighbours in it differ. Takes class ids
    `[N,H,W]`, returns bool `[N,H,W]`.
    """
    ids = functional.pad(labels.to(torch.int16), [distance] * 4, value=-1)
    span = 2 * distance + 1
    across = ids[:, :, 1:] != ids[:, :, :-1]
    down = ids[:, 1:] != ids[:, :-1]
    return _any_of(_any_of(across, 1, span), 2, span - 1) | _any_of(_any_of(down, 1, span - 1), 2, span)


def _any_of(flags: Tensor, axis: int, span: int) -> Tensor:
    """Whether any of the `span` flags from each position on is set, by doubling: log2(span) steps."""
    done = 1
    while done < span:
        step = min(done, span - done)
        size = flags.shape[axis] - step
        flags = flags.narrow(axis, 0, size) | flags.narrow(axis, step, size)
        done += step
    return flags


@dataclass
class BoundaryIoU:
    """Boundary IoU (Cheng et al. 2021, Eq. 2) of each class over a set, ratio 0.02 of the diagonal.

    Per class, the IoU of two bands: the true mask's pixels within d of its boundary, and the predicted
    mask's. As there, the picture's border is a boundary. Where the truth is void the prediction is void too,
    so both bands follow a void region's rim. Counts are summed over the set, as for mIoU.
    """

    label_set: str
    counts: Tensor | None = None  # int64 [3, K]: both, truth, prediction

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add class ids `[N,H,W]`; `target` 255 = ignore."""
        classes = len(LABEL_SETS[self.label_set].names)
        predicted = torch.where(target == IGNORE, IGNORE, prediction.long())
        distance = boundary_width(*target.shape[-2:])
        true_band, predicted_band = boundary_map(target, distance), boundary_map(predicted, distance)
        counts = torch.stack(
            [
                _count(target, true_band & predicted_band & (predicted == target), classes),
                _count(target, true_band, classes),
                _count(predicted, predicted_band, classes),
            ]
        )
        self.counts = counts if self.counts is None else self.counts + counts

    def merge(self, other: "BoundaryIoU") -> None:
        """Add what another one has counted."""
        if other.counts is not None:
            self.counts = other.counts if self.counts is None else self.counts + other.counts

    def compute(self) -> dict[str, Any]:
        """`boundary_iou`: mean over the classes that have a boundary in truth or prediction, 0..1."""
        if self.counts is None:
            return {}
        both, true, predicted = self.counts.cpu().numpy().astype(np.float64)  # host sync, once per set
        union = true + predicted - both
        iou = np.divide(both, union, out=np.full_like(both, np.nan), where=union > 0)
        return {"boundary_iou": mean_or_none(iou)}


def _count(labels: Tensor, mask: Tensor, classes: int) -> Tensor:
    """How many masked pixels each class has, int64 `[K]`; 255 is not counted."""
    buckets = torch.where(mask & (labels != IGNORE), labels.long(), classes).flatten()
    counts = torch.zeros(classes + 1, dtype=torch.int64, device=labels.device)
    return counts.scatter_add_(0, buckets, torch.ones_like(buckets))[:-1]


@dataclass
class DepthEdges:
    """Scale-invariant boundary F1 of depth (Depth Pro, Bochkovskii et al. 2024, section 3.3).

    Two neighbours form an occluding contour at threshold t if one is more than t times as far as the other.
    Its four directions (left, right, above, below in front) are matched pixel by pixel; precision and recall
    are means over the directions, their F1 a mean over ten thresholds from 1.05 to 1.25, weighted by the
    threshold.

    Two differences to the published code, both needed here: counts are summed over the set before dividing
    (there, F1 is averaged over pictures), and a pair counts only where both true depths are valid. A frame
    takes part if at least 30 % of its pixels are valid: a lidar's 3.5 %, mostly without valid neighbours,
    draw no contours.
    """

    max_m: float = 80.0
    counts: Tensor | None = None  # int64 [3, thresholds, 4 directions]: both, truth, prediction
    frames: Tensor | None = None

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add metres `[N,1,H,W]`; `target` 0 = invalid."""
        mask = depth_mask(target, self.max_m)
        dense = mask.float().mean(dim=(1, 2, 3), keepdim=True) >= DENSE_SHARE
        mask = mask & dense
        logarithms = [torch.where(mask, depth, 1.0).clamp_min(1e-3).log() for depth in (prediction, target)]
        counts = torch.cat([_edge_counts(logarithms, mask, axis) for axis in (3, 2)], dim=2)
        self.counts = counts if self.counts is None else self.counts + counts
        self.frames = dense.sum() if self.frames is None else self.frames + dense.sum()

    def merge(self, other: "DepthEdges") -> None:
        """Add what another one has counted."""
        if other.counts is not None and other.frames is not None:
            self.counts = other.counts if self.counts is None else self.counts + other.counts
            self.frames = other.frames if self.frames is None else self.frames + other.frames

    def compute(self) -> dict[str, Any]:
        """`edge_f1` 0..1, None where no frame is dense; `edge_frames`, the frames that are."""
        if self.counts is None or self.frames is None:
            return {}
        both, true, predicted = self.counts.cpu().numpy().astype(np.float64)  # host sync, once per set
        frames = int(self.frames)
        if not frames or not true.any():
            return {"edge_f1": None, "edge_frames": frames}
        recall = (both / np.maximum(true, 1)).mean(axis=1)
        precision = (both / np.maximum(predicted, 1)).mean(axis=1)
        total = precision + recall
        f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
        return {"edge_f1": float(np.average(f1, weights=EDGE_THRESHOLDS)), "edge_frames": frames}


def _edge_counts(logarithms: list[Tensor], mask: Tensor, axis: int) -> Tensor:
    """Contours along one axis, int64 `[3, thresholds, 2 directions]`: in both, in truth, in prediction."""
    size = mask.shape[axis] - 1
    pairs = mask.narrow(axis, 0, size) & mask.narrow(axis, 1, size)
    steps = [(log.narrow(axis, 1, size) - log.narrow(axis, 0, size)) * pairs for log in logarithms]
    thresholds = torch.tensor(EDGE_THRESHOLDS, device=mask.device).log()
    # How many thresholds a step exceeds, with the sign of its direction: all thresholds in one pass.
    predicted, true = (torch.bucketize(step.abs(), thresholds) * step.sign().long() for step in steps)
    both = torch.where(predicted * true > 0, torch.minimum(predicted.abs(), true.abs()) * true.sign(), 0)
    return torch.stack([_at_least(levels) for levels in (both, true, predicted)])


def _at_least(levels: Tensor) -> Tensor:
    """Pairs that exceed each threshold, `[thresholds, 2]`, from signed levels −T..T."""
    top = len(EDGE_THRESHOLDS)
    buckets = (levels + top).flatten()
    counts = torch.zeros(2 * top + 1, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(0, buckets, torch.ones_like(buckets))
    forward, backward = counts[top + 1 :], counts[:top].flip(0)
    return torch.stack([side.flip(0).cumsum(0).flip(0) for side in (forward, backward)], dim=1)
