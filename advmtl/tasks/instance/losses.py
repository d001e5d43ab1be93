"""Losses of instance offsets: `name(prediction, target, mask, *, options) -> scalar`.

Prediction dy, dx [N,2,H,W] and target dy, dx, id [N,3,H,W] in pixels, mask bool [N,1,H,W].

A pixel counts where its mask is true; a mask of None is made from the target. Where nothing counts, a loss is 0 and
its gradient 0. Nothing here waits for the device: counts stay tensors, and masked values are replaced before any
logarithm or division, so that no NaN can reach a gradient through the branch not taken.

Every loss takes `processes`: with more than one, all must call it alike, and the mean of what they get is the loss of
their frames together (see `distributed`).
"""

from collections.abc import Mapping
from types import MappingProxyType

import torch
import torch.nn.functional as F
from pydantic import PositiveFloat
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.instance.grouping import IGNORED_INSTANCE, NO_INSTANCE, OFFSET_UNIT_PER_WIDTH
from advmtl.tasks.learning import Loss


def l1(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean |e| over the counting pixels' two components; e in units of 1/32 of the picture's width, so of no unit.

    Kendall et al. 2018 learn offsets so. Less moved than `mse` by the one car that fills half of the picture.
    """
    counts, error = _offset_errors(prediction, target, mask, processes)
    return error.abs().sum() / counts


def mse(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean e² over the counting pixels' two components (Nakamura 2023, section 5.4.2); unit as in `l1`."""
    counts, error = _offset_errors(prediction, target, mask, processes)
    return error.square().sum() / counts


def smooth_l1(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    delta: float = 1.0,
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean of ½ e²/δ up to δ, |e| − ½ δ above (Girshick 2015, Eq. 3, for δ = 1); unit of e and δ as in `l1`."""
    counts, error = _offset_errors(prediction, target, mask, processes)
    return F.smooth_l1_loss(error, torch.zeros_like(error), reduction="sum", beta=delta) / counts


def instance_mask(target: Tensor) -> Tensor:
    """Pixels of an instance, bool [N,1,H,W], of a target dy, dx, id [N,3,H,W]."""
    ids = target[:, 2:]
    return (ids != NO_INSTANCE) & (ids != IGNORED_INSTANCE)


def _offset_errors(
    prediction: Tensor, target: Tensor, mask: Tensor | None, processes: Processes
) -> tuple[Tensor, Tensor]:
    """How many values to divide by, and e of those that count; exactly 0, without gradient, elsewhere."""
    valid = instance_mask(target)
    mask = valid if mask is None else valid & mask
    error = torch.where(mask, prediction - target[:, :2].to(prediction.dtype), 0)
    return 2 * processes.global_count(mask.sum()), error / (OFFSET_UNIT_PER_WIDTH * prediction.shape[-1])


LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "l1": Loss(l1, weight=1.0),
        "mse": Loss(mse),
        "smooth_l1": Loss(smooth_l1, options={"delta": PositiveFloat}),
    }
)
