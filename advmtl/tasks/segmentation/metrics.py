"""Metrics of segmentation, from one confusion matrix of a whole set or of each frame.

Nothing here averages per image: a class seen in one frame of a hundred counts by its pixels. All state stays on the
device; only `compute` copies to the host.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from preprocessing.ground import IGNORE, LabelSet, label_set


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


def ratio(part: float, whole: float) -> float | None:
    """Their quotient; None where there is no whole."""
    return part / whole if whole > 0 else None


def _grouped(confusion: NDArray[np.int64], labels: LabelSet) -> NDArray[np.int64]:
    return merge_classes(confusion, labels.group_table, len(labels.group_names))


@dataclass
class SegmentationMetrics:
    """mIoU and pixel accuracy of one label set; `device` None follows the first update."""

    classes: str | LabelSet
    confusion: Tensor | None = None
    frames: int = 0

    @property
    def num_classes(self) -> int:
        """Classes of the label set."""
        return len(label_set(self.classes).names)

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
        """The metrics, 0..1, with None where undefined; classes in neither truth nor prediction are left out
        of means. `miou_categories` is over the set's groups, where it has some.
        """
        if self.confusion is None:
            return {}
        confusion = self.confusion.cpu().numpy()  # host sync, once per set
        labels = label_set(self.classes)
        iou = iou_per_class(confusion)
        return {
            "miou": mean_or_none(iou),
            **({"miou_categories": mean_or_none(iou_per_class(_grouped(confusion, labels)))} if labels.groups else {}),
            "pixel_accuracy": ratio(float(np.trace(confusion)), float(confusion.sum())),
            "iou_per_class": {
                name: None if np.isnan(value) else float(value) for name, value in zip(labels.names, iou, strict=True)
            },
            "classes_absent": int(np.isnan(iou).sum()),
            "confusion": confusion.tolist(),  # pixels, rows are the truth
            "frames": self.frames,
        }


def frame_confusions(prediction: Tensor, target: Tensor, num_classes: int) -> Tensor:
    """Count each frame's pixels by (true class, predicted class): ids `[N,H,W]`, 255 = ignore -> int64 `[N,K,K]`."""
    cells, frames = num_classes**2, len(target)
    # One bucket more a frame takes its ignored pixels.
    counted = torch.where(target == IGNORE, cells, target.long() * num_classes + prediction.long()).flatten(1)
    counts = torch.zeros(frames, cells + 1, dtype=torch.int64, device=target.device)
    counts.scatter_add_(1, counted, torch.ones_like(counted))
    return counts[:, :-1].view(frames, num_classes, num_classes)


def frame_metrics(confusion: Any) -> dict[str, Any]:
    """Of one frame's counts `[K,K]` (NumPy)."""
    total = float(confusion.sum())
    return {
        "miou": mean_or_none(iou_per_class(confusion)),
        "pixel_accuracy": float(np.trace(confusion)) / total if total else None,
    }
