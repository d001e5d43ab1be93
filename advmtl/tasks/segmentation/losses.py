"""Losses of segmentation: `name(prediction, target, mask, *, options) -> scalar`.

Prediction logits [N,K,H,W], target int64 [N,H,W] (255 = ignore), mask bool [N,H,W].

A pixel counts where its mask is true; a mask of None is made from the target. Where nothing counts, a loss is 0 and
its gradient 0. Nothing here waits for the device: counts stay tensors, and masked values are replaced before any
logarithm or division, so that no NaN can reach a gradient through the branch not taken.

Every loss takes `processes`: with more than one, all must call it alike, and the mean of what they get is the loss of
their frames together (see `distributed`).

"The paper" is "Adversarial Multi-Task Learning Framework with GANs for Joint Semantic Segmentation and Depth
Estimation with Perceptual Loss Integration" (anonymous CVPR submission).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.learning import Loss
from advmtl.tasks.segmentation.hard_pixels import focal, ohem
from advmtl.tasks.segmentation.lovasz import lovasz
from advmtl.tasks.segmentation.pixels import at_pixels, importance, labelled, surprise
from preprocessing.ground import IGNORE


def cross_entropy(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    boundary_weight: float = 0.0,
    boundary_px: int = 2,
    class_weights: Tensor | None = None,
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean over counting pixels of −log softmax at the target (the paper, Eq. 2).

    Args:
        label_smoothing: share of the label that is spread over all classes (Szegedy et al. 2016, section 7).
        boundary_weight: a pixel within `boundary_px` (chessboard) of another class counts as 1 + so many; the mean is
            the weighted one, so the loss keeps its size.
        class_weights: [K]; a pixel's term is multiplied by that of its class, and the sum divided by the number of
            pixels, not by the sum of weights: what a pixel weighs does not depend on what else is in the batch.
    """
    mask = labelled(target, mask)
    if not label_smoothing and not boundary_weight:
        shown, weight = target.masked_fill(~mask, IGNORE), _as(class_weights, prediction)
        total = F.cross_entropy(prediction, shown, weight=weight, ignore_index=IGNORE, reduction="sum")
        return total / processes.global_count(mask.sum())
    costs, counts = surprise(prediction, target, mask, label_smoothing), mask
    if class_weights is not None:
        costs = at_pixels(class_weights.to(costs.dtype), target, mask) * costs
    if boundary_weight:
        counts = importance(target, mask, boundary_weight, boundary_px, costs.dtype)
        costs = costs * counts
    return costs.sum() / processes.global_count(counts.sum())


def dice(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    epsilon: float = 1.0,
    class_weights: Tensor | None = None,
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean over the classes present of 1 − (2 I + ε) / (U + ε), on softmax probabilities (the paper, Eq. 3).

    Intersection and union are summed over the counting pixels of the whole batch, per class. Classes absent
    from the target are left out of the mean: their intersection is 0 whatever is predicted, so their term
    could only be moved by its ε; a probability spent on them is already missing from the classes present.
    With `class_weights` [K] the mean is weighted by them: every class counts alike here already, however rare.
    """
    mask = labelled(target, mask)
    classes = prediction.shape[1]
    index = target.masked_fill(~mask, 0).flatten().unsqueeze(1)
    # Half precision cannot count pixels, hence no autocast.
    with torch.autocast(prediction.device.type, enabled=False):
        share = F.softmax(_wide(prediction), dim=1).permute(0, 2, 3, 1).reshape(-1, classes)
        counts = mask.flatten().to(share.dtype)
        intersection, predicted, truth = _ClassSums.apply(share, index, counts)
        sums = torch.stack([intersection, predicted + truth, truth])
    intersection, union, truth = processes.sum_with_gradient(sums)
    present = (truth > 0).to(truth.dtype)
    terms = 1 - (2 * intersection + epsilon) / (union + epsilon)
    if class_weights is not None:
        present = present * class_weights.to(present.dtype)
        return (terms * present).sum() / present.sum().clamp(min=1e-6)
    return (terms * present).sum() / present.sum().clamp(min=1)


class _ClassSums(torch.autograd.Function):
    """Per class the probability at its true pixels, at all, and its true pixels, three times [K].

    Of probabilities [pixels,K], true classes [pixels,1] and which pixels count [pixels]. Gathering the target's share
    and summing by matrix products is twice as fast as a product with the one-hot map; written out, the gradient is
    filled once, without the map, where autograd fills three maps and adds them.
    """

    @staticmethod
    def forward(ctx: Any, share: Tensor, index: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(index, counts)
        hot = torch.zeros_like(share).scatter_(1, index, 1.0)
        truth = counts @ hot
        ctx.mark_non_differentiable(truth)
        return (share.gather(1, index).squeeze(1) * counts) @ hot, counts @ share, truth

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        index, counts = ctx.saved_tensors
        at_true, everywhere = upstream[:2]
        gradient = counts[:, None] * everywhere
        return gradient.scatter_add_(1, index, at_true[index] * counts[:, None]), None, None


def _as(class_weights: Tensor | None, prediction: Tensor) -> Tensor | None:
    return None if class_weights is None else class_weights.to(prediction.dtype)


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


_BELOW_ONE = Annotated[float, Field(ge=0, lt=1)]
_SHARE = Annotated[float, Field(gt=0, le=1)]
LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "cross_entropy": Loss(
            cross_entropy,
            weight=1.0,
            options={
                "label_smoothing": _BELOW_ONE,
                "boundary_weight": NonNegativeFloat,
                "boundary_px": PositiveInt,
            },
            seams=True,
            class_weights="always",
            pointwise=True,
            whole_with=("boundary_weight",),
        ),
        "dice": Loss(dice, weight=0.5, options={"epsilon": PositiveFloat}, class_weights="asked", pointwise=True),
        "perceptual": Loss(None, against="picture"),
        "focal": Loss(focal, options={"gamma": NonNegativeFloat}, class_weights="always", pointwise=True),
        "ohem": Loss(
            ohem,
            options={"threshold": Annotated[float, Field(gt=0, lt=1)], "min_kept": _SHARE},
            class_weights="always",
            pointwise=True,
        ),
        "lovasz": Loss(lovasz, class_weights="asked", pointwise=True),
    }
)
