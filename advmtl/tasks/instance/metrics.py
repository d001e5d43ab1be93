"""Metrics of the instance task over a whole set: RMSE of the offsets, panoptic quality of the instances."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advmtl.tasks.instance.grouping import (
    IGNORED_INSTANCE,
    THING_IDS,
    Grouping,
    Instances,
    classes_of,
    group,
    is_instance,
    thing_classes,
)
from advmtl.tasks.instance.losses import instance_mask
from preprocessing.ground import IGNORE, LabelSet, label_set

MATCH_IOU = 0.5
VOID_SHARE = 0.5
_SOME_THING = THING_IDS[0] * 1000


def match(found: Instances, truth: NDArray[np.uint16], classes: str | LabelSet) -> NDArray[np.float64]:
    """Match the instances of one picture with the true ones (Kirillov et al. 2019, section 4.1 and 4.2).

    Two of one class match where their IoU, without ignored pixels, is above 0.5; there can be only one such partner.
    A found instance that matches nothing and lies by more than half on ignored pixels does not count at all.

    Args:
        found: instances, classes of the set `classes`.
        truth: `[H,W]` as `map_instances` gives it.
        classes: the classes of the result; true instances of others, or of one without instances, are ignored.
    Returns: float64 `[4,K]`: per class of the set the sum of matched IoUs, and how many are matched, found only, true
        only.
    """
    ids, truths = np.unique(truth, return_inverse=True)
    shape = (len(found.classes) + 1, len(ids))
    pairs = found.ids.ravel().astype(np.int64) * shape[1] + truths.ravel()
    shared = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
    instance = is_instance(ids)
    of = np.where(instance, classes_of(np.where(instance, ids, _SOME_THING), classes), IGNORE)
    true = instance & np.isin(of, label_set(classes).things)
    ignored = (ids == IGNORED_INSTANCE) | (instance & ~true)
    void = shared[1:, ignored].sum(axis=1)
    areas, true_areas = shared[1:].sum(axis=1), shared[:, true].sum(axis=0)
    both = shared[1:, true]
    iou = both / ((areas - void)[:, None] + true_areas - both).clip(min=1)
    true_classes = of[true]
    iou = np.where((found.classes[:, None] == true_classes) & (iou > MATCH_IOU), iou, 0)
    matched, missed = iou.any(axis=1), ~iou.any(axis=0)
    wrong = ~matched & (void <= VOID_SHARE * areas)
    count = len(label_set(classes).names)
    return np.stack(
        [
            np.bincount(found.classes, weights=iou.sum(axis=1), minlength=count),
            np.bincount(found.classes[matched], minlength=count),
            np.bincount(found.classes[wrong], minlength=count),
            np.bincount(true_classes[missed], minlength=count),
        ]
    ).astype(np.float64)


def quality(counts: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """PQ = SQ · RQ per class from `match`'s sums `[4,K]` (Kirillov et al. 2019, Eq. 1); NaN for a class not seen."""
    iou, matched, wrong, missed = counts
    seen = matched + (wrong + missed) / 2
    nothing = np.full_like(iou, np.nan)
    rq = np.divide(matched, seen, out=nothing.copy(), where=seen > 0)
    # With no match SQ has no value of its own; 0, as PQ is, keeps PQ = SQ · RQ.
    sq = np.divide(iou, matched, out=np.where(seen > 0, 0.0, np.nan), where=matched > 0)
    return {"pq": np.divide(iou, seen, out=nothing, where=seen > 0), "sq": sq, "rq": rq}


@dataclass
class InstanceMetrics:
    """Offsets over the pixels of all instances, and instances over the pictures of a set; things of one label set."""

    classes: str | LabelSet
    grouping: Grouping = field(default_factory=Grouping)
    sums: Tensor | None = field(default=None, repr=False)  # float64 [3]: pixels, squared errors, squared offsets
    counts: NDArray[np.float64] | None = field(default=None, repr=False)
    widths: set[int] = field(default_factory=set)
    frames: int = 0

    def update(self, offsets: Tensor, target: Tensor, classes: Tensor | None, frames: int | None = None) -> None:
        """Add a batch.

        Args:
            offsets: dy, dx [px] `[N,2,H,W]`.
            target: dy, dx, id `[N,3,H,W]`.
            classes: predicted class ids `[N,H,W]`; None: no instances can be formed, only offsets are measured.
            frames: how many of the batch have the label at all.
        """
        mask = instance_mask(target)
        pairs = [torch.where(mask, one, 0).double() for one in (offsets - target[:, :2], target[:, :2])]
        sums = torch.stack([mask.sum().double(), *(one.square().sum() for one in pairs)])
        self.sums = sums if self.sums is None else self.sums + sums
        self.widths.add(target.shape[-1])
        self.frames += len(target) if frames is None else frames
        if classes is None:
            return
        things = thing_classes(self.classes)
        # Host sync: grouping is NumPy, as on the vehicle.
        maps = (offsets.float().cpu().numpy(), classes.cpu().numpy().astype(np.uint8), target[:, 2].cpu().numpy())
        for one, labels, ids in zip(*maps, strict=True):
            truth = ids.astype(np.uint16)
            if (truth == IGNORED_INSTANCE).all():
                continue
            counts = match(group(one, labels, things, self.grouping), truth, self.classes)
            self.counts = counts if self.counts is None else self.counts + counts

    def merge(self, other: "InstanceMetrics") -> None:
        """Add what another one has counted."""
        if other.sums is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums
        if other.counts is not None:
            self.counts = other.counts if self.counts is None else self.counts + other.counts
        self.widths |= other.widths
        self.frames += other.frames

    def compute(self) -> dict[str, Any]:
        """The metrics with their units in their names (see the task's `figures`), None where undefined.

        `offset_rmse_px` is over pixels and both components, as a mean squared error would have it; `zero_rmse_px` is
        what predicting no offset scores. Both are pixels at `width_px`, None where the sources differ in width.
        """
        if self.sums is None:
            return {}
        pixels, errors, offsets = self.sums.tolist()  # host sync, once per set
        result: dict[str, Any] = {
            "offset_rmse_px": (errors / (2 * pixels)) ** 0.5 if pixels else None,
            "zero_rmse_px": (offsets / (2 * pixels)) ** 0.5 if pixels else None,
            "width_px": next(iter(self.widths)) if len(self.widths) == 1 else None,
        }
        if self.counts is not None:
            result |= _qualities(self.counts, self.classes)
        return {**result, "pixels": int(pixels), "frames": self.frames}


def _qualities(counts: NDArray[np.float64], classes: str | LabelSet) -> dict[str, Any]:
    things, names = thing_classes(classes), label_set(classes).names
    values = {name: value[list(things)] for name, value in quality(counts).items()}
    seen = ~np.isnan(values["pq"])
    result: dict[str, Any] = {name: float(value[seen].mean()) if seen.any() else None for name, value in values.items()}
    result["pq_per_class"] = {
        names[thing]: float(value) if known else None
        for thing, value, known in zip(things, values["pq"], seen, strict=True)
    }
    return {**result, "instances": int(counts[[1, 3]].sum()), "instances_found": int(counts[[1, 2]].sum())}
