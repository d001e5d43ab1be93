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
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.learning import Loss
from preprocessing.ground import IGNORE


def cross_entropy(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE
) -> Tensor:
    """Mean over counting pixels of −log softmax at the target (the paper, Eq. 2)."""
    mask = _labelled(target, mask)
    total = F.cross_entropy(prediction, target.masked_fill(~mask, IGNORE), ignore_index=IGNORE, reduction="sum")
    return total / processes.global_count(mask.sum())


def dice(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    epsilon: float = 1.0,
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean over the classes present of 1 − (2 I + ε) / (U + ε), on softmax probabilities (the paper, Eq. 3).

    Intersection and union are summed over the counting pixels of the whole batch, per class. Classes absent
    from the target are left out of the mean: their intersection is 0 whatever is predicted, so their term
    could only be moved by its ε; a probability spent on them is already missing from the classes present.
    """
    mask = _labelled(target, mask)
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


def _labelled(target: Tensor, mask: Tensor | None) -> Tensor:
    labelled = target != IGNORE
    return labelled if mask is None else labelled & mask


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "cross_entropy": Loss(cross_entropy, weight=1.0, seams=True, pointwise=True),
        "dice": Loss(dice, weight=0.5, options={"epsilon": PositiveFloat}, pointwise=True),
        "perceptual": Loss(None, against="picture"),
    }
)
