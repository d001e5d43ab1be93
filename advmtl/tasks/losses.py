"""Dense losses of segmentation, depth and instance offsets: `name(prediction, target, mask, *, options) -> scalar`.

Segmentation: prediction logits [N,K,H,W], target int64 [N,H,W] (255 = ignore), mask bool [N,H,W].
Depth: prediction and target in metres [N,1,H,W], mask bool [N,1,H,W].
Instance: prediction dy, dx [N,2,H,W] and target dy, dx, id [N,3,H,W] in pixels, mask bool [N,1,H,W].

A pixel counts where its mask is true; a mask of None is made from the target (!= 255, > 0, an id). Where nothing
counts, a loss is 0 and its gradient 0. Nothing here waits for the device: counts stay tensors, and masked
values are replaced before any logarithm or division, so that no NaN can reach a gradient through the branch
not taken.

Every loss takes `processes`: with more than one, all must call it alike, and the mean of what they get is the loss of
their frames together (see `distributed`).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.device_transfer import to_device
from advmtl.tasks.grouping import IGNORED_INSTANCE, NO_INSTANCE
from advmtl.tasks.table import OFFSET_SHARE

IGNORE = 255
Space = Literal["log", "metric"]
# ImageNet's standard deviations, to bring the gradients of the normalised image back to the 0..1 scale.
_IMAGE_STD = (0.229, 0.224, 0.225)


def cross_entropy(
    prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE
) -> Tensor:
    """Mean over counting pixels of −log softmax at the target (seed paper, Eq. 2)."""
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
    """Mean over the classes present of 1 − (2 I + ε) / (U + ε), on softmax probabilities (seed paper, Eq. 3).

    Intersection and union are summed over the counting pixels of the whole batch, per class. Classes absent
    from the target are left out of the mean: their intersection is 0 whatever is predicted, so their term
    could only be moved by its ε; a probability spent on them is already missing from the classes present.
    """
    mask = _labelled(target, mask)
    classes = prediction.shape[1]
    index = target.masked_fill(~mask, 0).flatten().unsqueeze(1)
    # Gathering the target's share and summing by matrix products is twice as fast as a product with the
    # one-hot map. Half precision cannot count pixels, hence no autocast.
    with torch.autocast(prediction.device.type, enabled=False):
        # [pixels, K]: a view where the logits are channels_last.
        share = F.softmax(_wide(prediction), dim=1).permute(0, 2, 3, 1).reshape(-1, classes)
        counts = mask.flatten().to(share.dtype)
        hot = torch.zeros_like(share).scatter_(1, index, 1.0)
        intersection = (share.gather(1, index).squeeze(1) * counts) @ hot
        truth = counts @ hot
        sums = torch.stack([intersection, counts @ share + truth, truth])
    intersection, union, truth = processes.sum_with_gradient(sums)
    present = (truth > 0).to(truth.dtype)
    terms = 1 - (2 * intersection + epsilon) / (union + epsilon)
    return (terms * present).sum() / present.sum().clamp(min=1)


def scale_invariant(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    space: Space = "log",
    lam: float = 0.5,
    processes: Processes = SINGLE,
) -> Tensor:
    """mean e² − λ (mean e)² per frame, averaged over frames with a valid pixel (Eigen et al. 2014, Eq. 4).

    With e = ln p − ln g (space "log", unitless) a common factor of a frame's depths costs only 1 − λ of its
    square. Space "metric" has e = p − g [m], as the seed paper prints it (Eq. 4). The means are per frame,
    since the scale that is excused is a frame's.
    """
    mask, error = _errors(prediction, target, mask, space)
    counts = mask.flatten(1).sum(1)
    n = counts.clamp(min=1)
    mean = error.flatten(1).sum(1) / n
    mean_square = error.square().flatten(1).sum(1) / n
    return (mean_square - lam * mean.square()).sum() / processes.global_count((counts > 0).sum())


def berhu(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    space: Space = "metric",
    epsilon: float = 1e-6,
    processes: Processes = SINGLE,
) -> Tensor:
    """Reverse Huber, the seed paper's "Inverse Huber" by name: |e| up to c, (e² + c²) / (2c) above.

    c = 0.2 max |e| over the batch's counting pixels, detached and at least `epsilon` (Laina et al. 2016,
    Eq. 2). In metres (space "metric", as published) the far half of a street dominates; space "log" weighs
    relative errors.
    """
    mask, error = _errors(prediction, target, mask, space)
    size = error.abs()
    c = (0.2 * processes.largest(size.detach().max())).clamp(min=epsilon)
    per_pixel = torch.where(size <= c, size, (error.square() + c.square()) / (2 * c))
    # Masked errors are 0 and stay 0 here, in value and in gradient: |0| is the branch taken.
    return per_pixel.sum() / processes.global_count(mask.sum())


def huber(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    delta: float = 1.0,
    space: Space = "metric",
    processes: Processes = SINGLE,
) -> Tensor:
    """½ e² up to δ, δ (|e| − ½ δ) above: what the seed paper prints under "Inverse Huber" (Eq. 5).

    δ is in the unit of e: metres, or none in space "log".
    """
    mask, error = _errors(prediction, target, mask, space)
    total = F.huber_loss(error, torch.zeros_like(error), reduction="sum", delta=delta)
    return total / processes.global_count(mask.sum())


def smoothness(
    prediction: Tensor, image: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE
) -> Tensor:
    """mean |∂x D̄| e^{−|∂x I|} + mean |∂y D̄| e^{−|∂y I|} (Godard et al. 2017, Eq. 5).

    D̄ is inverse depth over its mean in the frame. Needs no label, so every pixel of a counting frame counts.

    Args:
        prediction: metres [N,1,H,W].
        image: ImageNet-normalised [N,3,H,W]; |∂I| is the mean over its channels on the 0..1 scale.
        mask: bool [N,1,H,W]; a frame without any true pixel is left out (it has no depth label, so the depth
            task does not learn from it). None: every frame counts.
    """
    inverse = 1 / prediction
    relative = inverse / inverse.mean(dim=(1, 2, 3), keepdim=True)
    picture = image * to_device(_IMAGE_STD, image).view(1, 3, 1, 1)
    per_frame = _edge_aware(relative, picture, dim=3) + _edge_aware(relative, picture, dim=2)
    if mask is None:
        return per_frame.mean()
    counts = mask.flatten(1).any(1)
    return (per_frame * counts).sum() / processes.global_count(counts.sum())


def l1(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean |e| over the counting pixels' two components; e in units of 1/32 of the picture's width, so of no unit.

    Kendall et al. 2018 learn offsets so. Less moved than `mse` by the one car that fills half of the picture.
    """
    counts, error = _offset_errors(prediction, target, mask, processes)
    return error.abs().sum() / counts


def mse(prediction: Tensor, target: Tensor, mask: Tensor | None = None, *, processes: Processes = SINGLE) -> Tensor:
    """Mean e² over the counting pixels' two components (seed paper 001, section 5.4.2); unit as in `l1`."""
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


# What a configuration may name, apart from "perceptual", which needs a network: see `perceptual.Perceptual`.
LOSSES: Mapping[str, Mapping[str, Callable[..., Tensor]]] = MappingProxyType(
    {
        "segmentation": MappingProxyType({"cross_entropy": cross_entropy, "dice": dice}),
        "depth": MappingProxyType(
            {"scale_invariant": scale_invariant, "berhu": berhu, "huber": huber, "smoothness": smoothness}
        ),
        "instance": MappingProxyType({"l1": l1, "mse": mse, "smooth_l1": smooth_l1}),
    }
)


def _labelled(target: Tensor, mask: Tensor | None) -> Tensor:
    labelled = target != IGNORE
    return labelled if mask is None else labelled & mask


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _errors(prediction: Tensor, target: Tensor, mask: Tensor | None, space: Space) -> tuple[Tensor, Tensor]:
    """Mask of counting pixels, and e = ln p − ln g or p − g there; exactly 0, without gradient, elsewhere."""
    mask = target > 0 if mask is None else mask & (target > 0)
    one = torch.ones((), dtype=prediction.dtype, device=prediction.device)
    p, g = torch.where(mask, prediction, one), torch.where(mask, target.to(prediction.dtype), one)
    return mask, torch.log(p) - torch.log(g) if space == "log" else p - g


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
    return 2 * processes.global_count(mask.sum()), error / (OFFSET_SHARE * prediction.shape[-1])


def _edge_aware(relative: Tensor, picture: Tensor, dim: int) -> Tensor:
    """Per frame: mean of the map's steps along `dim`, each damped where the picture steps too."""
    steps = relative.diff(dim=dim).abs()
    damping = torch.exp(-picture.diff(dim=dim).abs().mean(1, keepdim=True))
    return (steps * damping).mean(dim=(1, 2, 3))
