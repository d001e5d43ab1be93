"""Metrics of depth, from sums over the pixels of a whole set or of each frame; no median scaling.

All state stays on the device; only `compute` copies to the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

MIN_DEPTH_M = 1e-3


@dataclass
class DepthMetrics:
    """The KITTI/Eigen metrics over all pixels of a set whose true depth is within (1e-3 m, `max_m`); no
    median scaling.
    """

    max_m: float = 80.0
    sums: Tensor | None = field(default=None, repr=False)
    frames: int = 0

    def update(self, prediction: Tensor, target: Tensor, mask: Tensor | None = None, frames: int | None = None) -> None:
        """Add metres `[N,1,H,W]`; `target` is the true depth before any clipping, 0 = invalid; `mask` bool
        removes more.
        """
        sums = depth_sums(prediction, target, depth_mask(target, self.max_m, mask))
        self.sums = sums if self.sums is None else self.sums + sums
        self.frames += len(target) if frames is None else frames

    def merge(self, other: "DepthMetrics") -> None:
        """Add what another one has summed."""
        if other.sums is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums
        self.frames += other.frames

    def compute(self) -> dict[str, Any]:
        """The metrics with their units in their names (see the task's `figures`), None where no pixel was valid."""
        if self.sums is None:
            return {}
        values: Sequence[float] = self.sums.tolist()  # host sync, once per set
        count = values[0]
        abs_rel, sq_rel, squares, log_squares, *deltas = (value / count if count > 0 else None for value in values[1:])
        return {
            "abs_rel": abs_rel,
            "sq_rel_m": sq_rel,
            "rmse_m": None if squares is None else squares**0.5,
            "rmse_log": None if log_squares is None else log_squares**0.5,
            "delta1": deltas[0],
            "delta2": deltas[1],
            "delta3": deltas[2],
            "pixels": int(count),
            "frames": self.frames,
        }


def depth_mask(target: Tensor, max_m: float, mask: Tensor | None = None) -> Tensor:
    """Pixels that count: true depth within (1e-3 m, `max_m`), and `mask` where given."""
    valid = (target > MIN_DEPTH_M) & (target < max_m)
    return valid if mask is None else valid & mask


def depth_sums(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Sums over the masked pixels, float64 `[8]`: count, |p−g|/g, (p−g)²/g, (p−g)², (ln p − ln g)², and δ <
    1.25^{1,2,3}.

    Eigen et al. 2014, section 4.2, with p the predicted and g the true depth [m].
    """
    # Invalid pixels become p = g = 1 and add nothing to the errors: no boolean indexing, so no host sync.
    p = torch.where(mask, prediction, 1.0).double().clamp_min(MIN_DEPTH_M)
    g = torch.where(mask, target, 1.0).double()
    error, log_error = p - g, p.log() - g.log()
    ratio = torch.maximum(p / g, g / p)
    within = [((ratio < 1.25**k) & mask).sum().double() for k in (1, 2, 3)]
    errors = [(error.abs() / g), error**2 / g, error**2, log_error**2]
    return torch.stack([mask.sum().double(), *(term.sum() for term in errors), *within])


def frame_depth_sums(prediction: Tensor, target: Tensor, max_m: float) -> Tensor:
    """Per frame the sums over valid pixels of 1, |p−g|/g, (p−g)² and δ < 1.25: float64 `[N,4]`, metres `[N,1,H,W]`."""
    mask = depth_mask(target, max_m)
    p = torch.where(mask, prediction, 1.0).double().clamp_min(MIN_DEPTH_M)
    g = torch.where(mask, target, 1.0).double()
    near = (torch.maximum(p / g, g / p) < 1.25) & mask
    terms = (mask.double(), (p - g).abs() / g, (p - g) ** 2, near.double())
    return torch.stack([term.flatten(1).sum(1) for term in terms], dim=1)


def frame_metrics(sums: Any) -> dict[str, Any]:
    """Of one frame's sums `[4]` (NumPy)."""
    count, relative, squares, near = (float(value) for value in sums)
    if not count:
        return {"abs_rel": None, "rmse_m": None, "delta1": None}
    return {"abs_rel": relative / count, "rmse_m": (squares / count) ** 0.5, "delta1": near / count}
