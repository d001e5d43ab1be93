"""Figures over a whole set: segmentation from one confusion matrix, depth from sums over pixels.

Nothing here averages per image: a class seen in one frame of a hundred counts by its pixels (protocols.md,
"Metrics"). All state stays on the device; only `compute` copies to the host.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preprocessing.ground import CATEGORIES_OF, IGNORE, LABEL_SETS

MIN_DEPTH_M = 1e-3
# Unit of every figure of `evaluation.json`; "1" is a share or ratio without unit.
UNITS: dict[str, str] = {
    "miou": "1",
    "miou_categories": "1",
    "pixel_accuracy": "1",
    "boundary_iou": "1",
    "abs_rel": "1",
    "sq_rel_m": "m",
    "rmse_m": "m",
    "rmse_log": "ln m",
    "delta1": "1",
    "delta2": "1",
    "delta3": "1",
    "edge_f1": "1",
    "offset_rmse_px": "px",
    "zero_rmse_px": "px",
    "width_px": "px",
    "pq": "1",
    "sq": "1",
    "rq": "1",
    "classes_absent": "classes",
    "frames": "frames",
    "pixels": "px",
    "edge_frames": "frames",
    "instances": "instances",
    "instances_found": "instances",
}
# Whether more is better, for the figures that rank models.
HIGHER_IS_BETTER: dict[str, bool] = {
    "miou": True,
    "miou_categories": True,
    "pixel_accuracy": True,
    "boundary_iou": True,
    "abs_rel": False,
    "sq_rel_m": False,
    "rmse_m": False,
    "rmse_log": False,
    "delta1": True,
    "delta2": True,
    "delta3": True,
    "edge_f1": True,
    "offset_rmse_px": False,
    "pq": True,
    "sq": True,
    "rq": True,
}


def confusion_matrix(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count pixels by (true class, predicted class).

    Args: class ids `[N,H,W]` of any integer type; `target` 255 = ignore. Returns: int64 `[K,K]`, rows are the
        truth.
    """
    # Ignored pixels fall into one bucket more, which needs no host sync as boolean indexing would.
    counted = target.long() * num_classes + prediction.long()
    buckets = torch.where(target == IGNORE, num_classes**2, counted).flatten()
    counts = torch.zeros(num_classes**2 + 1, dtype=torch.int64, device=target.device)
    counts.scatter_add_(0, buckets, torch.ones_like(buckets))
    return counts[:-1].view(num_classes, num_classes)


def iou_per_class(confusion: NDArray[np.int64]) -> NDArray[np.float64]:
    """Intersection over union of each class, NaN where a class is in neither truth nor prediction."""
    hits = np.diag(confusion).astype(np.float64)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full_like(hits, np.nan), where=union > 0)


def merge_classes(confusion: NDArray[np.int64], table: NDArray[np.uint8], num_classes: int) -> NDArray[np.int64]:
    """Add up the rows and columns of classes that one `table` entry joins: the confusion matrix of the
    coarser set.

    The same as mapping both label maps first, since mapping is per pixel.
    """
    joined = np.zeros((num_classes, len(confusion)), dtype=np.int64)
    joined[table[: len(confusion)], np.arange(len(confusion))] = 1
    return joined @ confusion @ joined.T


def mean_or_none(values: NDArray[np.float64]) -> float | None:
    """Mean of the values that are defined; None (JSON has no NaN) where none is."""
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


@dataclass
class SegmentationMetrics:
    """mIoU and pixel accuracy of one label set; `device` None follows the first update."""

    label_set: str
    confusion: Tensor | None = None
    frames: int = 0

    @property
    def num_classes(self) -> int:
        """Classes of the label set."""
        return len(LABEL_SETS[self.label_set].names)

    def update(self, prediction: Tensor, target: Tensor, frames: int | None = None) -> None:
        """Add class ids `[N,H,W]`; `target` 255 = ignore. `frames`: how many of them have labels at all."""
        counts = confusion_matrix(prediction, target, self.num_classes)
        self.confusion = counts if self.confusion is None else self.confusion + counts
        self.frames += len(target) if frames is None else frames

    def merge(self, other: "SegmentationMetrics") -> None:
        """Add what another one has counted."""
        if other.confusion is not None:
            self.confusion = other.confusion if self.confusion is None else self.confusion + other.confusion
        self.frames += other.frames

    def compute(self) -> dict[str, Any]:
        """The figures, 0..1, with None where undefined; classes in neither truth nor prediction are left out
        of means.
        """
        if self.confusion is None:
            return {}
        confusion = self.confusion.cpu().numpy()  # host sync, once per set
        names = LABEL_SETS[self.label_set].names
        iou = iou_per_class(confusion)
        categories = merge_classes(confusion, CATEGORIES_OF[self.label_set], len(LABEL_SETS["categories7"].names))
        return {
            "miou": mean_or_none(iou),
            "miou_categories": mean_or_none(iou_per_class(categories)),
            "pixel_accuracy": _ratio(float(np.trace(confusion)), float(confusion.sum())),
            "iou_per_class": {
                name: None if np.isnan(value) else float(value) for name, value in zip(names, iou, strict=True)
            },
            "classes_absent": int(np.isnan(iou).sum()),
            "confusion": confusion.tolist(),  # pixels, rows are the truth
            "frames": self.frames,
        }


@dataclass
class DepthMetrics:
    """The KITTI/Eigen figures over all pixels of a set whose true depth is within (1e-3 m, `max_m`); no
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
        """The figures with their units in their names (see `UNITS`), None where no pixel was valid."""
        if self.sums is None:
            return {}
        values: Sequence[float] = self.sums.tolist()  # host sync, once per set
        count = values[0]
        abs_rel, sq_rel, squares, log_squares, *deltas = (_ratio(value, count) for value in values[1:])
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
