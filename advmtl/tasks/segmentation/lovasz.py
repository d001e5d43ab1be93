"""The Lovász-softmax loss, without sorting."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.segmentation.pixels import labelled

_BINS = 2048


def lovasz(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    class_weights: Tensor | None = None,
    processes: Processes = SINGLE,
) -> Tensor:
    """Lovász extension of the Jaccard loss 1 − IoU, mean over the classes present (Berman et al. 2018).

    A pixel's error for a class is |1 − p| where that is its class, else p. The published loss sorts the errors of every
    class over the whole batch and weighs each by how much the Jaccard loss grows where it joins those above it. What is
    needed of the order is how many pixels of the class, and of others, are above: counted here in bins 1/2048 wide,
    within which the order is undecided and its mean is taken. That is about as fast as dice, and counts add up over
    processes: the loss is that of the whole batch. With `class_weights` [K] the mean is weighted.
    """
    mask = labelled(target, mask)
    classes = prediction.shape[1]
    with torch.autocast(prediction.device.type, enabled=False):
        wide = prediction if prediction.dtype == torch.float64 else prediction.float()
        share = F.softmax(wide, dim=1).permute(1, 0, 2, 3).reshape(classes, -1)
        true = target.masked_fill(~mask, 0).flatten() == torch.arange(classes, device=target.device)[:, None]
        true &= mask.flatten()
        error = torch.where(true, 1 - share, share)
        growth, present = _growth(error.detach(), true, mask.flatten(), processes)
        terms = (error * growth).sum(1) * processes.count
    weights = present if class_weights is None else present * class_weights.to(terms.dtype)
    return (terms * weights).sum() / weights.sum().clamp(min=1e-6)


def _growth(error: Tensor, true: Tensor, counting: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """By how much the Jaccard loss of a class grows with each pixel [K,pixels], 0 where none counts; and which classes
    are present, [K] of 0 and 1.

    With P pixels of the class, and p of them and n of others above: 1 / (P + n) for one of the class,
    (P − p) / ((P + n) (P + n + 1)) for another.
    """
    classes, kind = len(error), error.dtype
    place = (error * _BINS).long().clamp(max=_BINS - 1)
    counts = torch.zeros(2, classes, _BINS, dtype=torch.int64, device=error.device)
    for side, chosen in enumerate((true, ~true & counting)):
        counts[side].scatter_add_(1, place, chosen.long())
    own = processes.total(counts).to(kind)
    above = own.flip(2).cumsum(2).flip(2) - own
    total = own[0].sum(1, keepdim=True)
    others = total + above[1] + own[1] / 2
    first = total + above[1] + (own[1] - 1).clamp(min=0) / 2
    of_class = 1 / others.clamp(min=1)
    of_others = (total - above[0] - own[0] / 2) / (first * (first + 1)).clamp(min=1)
    found = torch.where(true, of_class.gather(1, place), of_others.gather(1, place))
    present = (total[:, 0] > 0).to(kind)
    return found * (counting * present[:, None]), present
