"""Losses that look at hard pixels more than at easy ones; options and masks as in `losses`."""

import math

import torch
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.segmentation.pixels import at_pixels, labelled, surprise

_SMALLEST = 1e-12  # of 1 − p: 0 to a power below 1 has no slope
_BUCKETS = 2**16


def focal(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    gamma: float = 2.0,
    class_weights: Tensor | None = None,
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean over counting pixels of −(1 − p)^γ log p, p the softmax share of the true class (Lin et al. 2017, Eq. 4).

    The mean is over pixels, not over pixels and classes, nor over those that are still wrong: with γ = 0 it is
    cross entropy. `class_weights` [K] are the α of Eq. 5.
    """
    mask = labelled(target, mask)
    costs = surprise(prediction, target, mask)
    # 1 − p without cancellation where p is near 1, that is, on nearly all pixels.
    costs = (-torch.expm1(-costs)).clamp(min=_SMALLEST) ** gamma * costs
    if class_weights is not None:
        costs = at_pixels(class_weights.to(costs.dtype), target, mask) * costs
    return costs.sum() / processes.global_count(mask.sum())


def ohem(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    threshold: float = 0.7,
    min_kept: float = 0.1,
    class_weights: Tensor | None = None,
    processes: Processes = SINGLE,
) -> Tensor:
    """Cross entropy over the hard pixels alone: online hard example mining (Shrivastava et al. 2016), of pixels (Wu et
    al. 2016).

    Hard is a pixel whose true class has a share up to `threshold`; where these are fewer than the share `min_kept` of
    the counting pixels, the `min_kept` with the largest loss, those as large as the last of them included. The mean is
    over hard pixels. Under several processes the choice is among the pixels of all: the same as of one process.
    `class_weights` [K] weigh what was chosen and do not take part in the choice.
    """
    mask = labelled(target, mask)
    costs = surprise(prediction, target, mask)
    size = costs.detach().float()
    wanted = (processes.total(mask.sum()).double() * min_kept).ceil().long()
    least = kth_largest(size, mask, wanted, processes).clamp(max=-math.log(threshold))
    hard = mask & (size >= least)
    if class_weights is not None:
        costs = at_pixels(class_weights.to(costs.dtype), target, mask) * costs
    return torch.where(hard, costs, 0).sum() / processes.global_count(hard.sum())


def kth_largest(values: Tensor, counting: Tensor, k: Tensor, processes: Processes = SINGLE) -> Tensor:
    """The k-th largest of the counting values of all processes, 0-d float32.

    Without sorting and without waiting for the device: bits of floats from 0 on are ordered as the floats are, so one
    count of their upper halves says which upper half it has, and one among those of that half which lower one. Counts
    add up over processes.

    Args:
        values: float32, not negative.
        counting: bool of the same shape.
        k: 0-d int64, at least 1 and at most as many as count; else the result is of no meaning.
    """
    bits = values.contiguous().view(torch.int32).flatten().long()
    upper, lower = bits // _BUCKETS, bits % _BUCKETS
    among = counting.flatten()
    first, rest = _bucket_of(upper, among, k, processes)
    second, _ = _bucket_of(lower, among & (upper == first), rest, processes)
    return (first * _BUCKETS + second).to(torch.int32).view(torch.float32)


def _bucket_of(numbers: Tensor, counting: Tensor, k: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """Of numbers below 2^16, the k-th largest, and how many of those equal to it are wanted, 0-d int64."""
    counts = torch.zeros(_BUCKETS, dtype=torch.int64, device=numbers.device)
    counts = processes.total(counts.scatter_add_(0, numbers, counting.long()))
    from_here = counts.flip(0).cumsum(0).flip(0)
    found = ((from_here >= k).sum() - 1).clamp(min=0)
    # Indexing by a tensor of one element, not by a 0-d one, which would wait for the device.
    larger = (from_here - counts).gather(0, found.view(1))[0]
    return found, k - larger
