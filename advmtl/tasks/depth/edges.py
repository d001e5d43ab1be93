"""Sharpness of depth: F1 of depth edges, which pixel averages do not show."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advmtl.tasks.depth.metrics import depth_mask

DENSE_SHARE = 0.3
EDGE_THRESHOLDS = tuple(np.linspace(1.05, 1.25, 10).tolist())


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
