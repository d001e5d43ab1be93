"""Sharpness of class maps: boundary IoU, which pixel averages do not show."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from advmtl.tasks.segmentation.metrics import mean_or_none
from preprocessing.ground import IGNORE, LabelSet, label_set

DILATION_RATIO = 0.02


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
    across, down = ids[:, :, 1:] != ids[:, :, :-1], ids[:, 1:] != ids[:, :-1]
    return _near(across, down, distance)


def near_another_class(labels: Tensor, distance: int) -> Tensor:
    """Pixels within `distance` px (chessboard) of a place where two classes meet, bool `[N,H,W]`.

    Class ids `[N,H,W]`, 255 = ignore: where nobody said what is there nothing meets, nor at the picture's border.
    """
    ids = functional.pad(labels.to(torch.int16), [distance] * 4, value=IGNORE)
    known = ids != IGNORE
    across = (ids[:, :, 1:] != ids[:, :, :-1]) & known[:, :, 1:] & known[:, :, :-1]
    down = (ids[:, 1:] != ids[:, :-1]) & known[:, 1:] & known[:, :-1]
    return _near(across, down, distance)


def _near(across: Tensor, down: Tensor, distance: int) -> Tensor:
    """Whether a pixel's window of 2·distance + 1 px has any of the flags between neighbours, padded by `distance`."""
    span = 2 * distance + 1
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

    classes: str | LabelSet
    counts: Tensor | None = None  # int64 [3, K]: both, truth, prediction

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add class ids `[N,H,W]`; `target` 255 = ignore."""
        classes = len(label_set(self.classes).names)
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
