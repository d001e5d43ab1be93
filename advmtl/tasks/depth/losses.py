"""Losses of depth: `name(prediction, target, mask, *, options) -> scalar`.

Prediction and target in metres [N,1,H,W] (target 0 = invalid), mask bool [N,1,H,W]. Of a prediction with a second
channel, its expected error, the metres alone are compared; but for `expected_error`.

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
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from advmtl.distributed import SINGLE, Processes
from advmtl.tasks.depth.expected_error import OPTIONS, expected_error, metres
from advmtl.tasks.device_transfer import to_device
from advmtl.tasks.learning import Loss
from advmtl.tasks.spec import EXPECTED_ERROR

Space = Literal["log", "metric"]
# ImageNet's standard deviations, to bring the gradients of the normalised image back to the 0..1 scale.
_IMAGE_STD = (0.229, 0.224, 0.225)


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
    square. Space "metric" has e = p − g [m], as the paper prints it (Eq. 4). The means are per frame,
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
    """Reverse Huber (berHu; the system paper's "Inverse Huber" by name): |e| up to c, (e² + c²) / (2c) above.

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


def l1(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    space: Space = "log",
    processes: Processes = SINGLE,
) -> Tensor:
    """Mean |e|. Its best answer where a pixel may be near or far is one of both, not a depth in between."""
    mask, error = _errors(prediction, target, mask, space)
    return error.abs().sum() / processes.global_count(mask.sum())


def huber(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    delta: float = 1.0,
    space: Space = "metric",
    processes: Processes = SINGLE,
) -> Tensor:
    """½ e² up to δ, δ (|e| − ½ δ) above: what the paper prints under "Inverse Huber" (Eq. 5).

    δ is in the unit of e: metres, or none in space "log".
    """
    mask, error = _errors(prediction, target, mask, space)
    total = F.huber_loss(error, torch.zeros_like(error), reduction="sum", delta=delta)
    return total / processes.global_count(mask.sum())


def gradient_matching(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor | None = None,
    *,
    scales: int = 4,
    space: Space = "log",
    processes: Processes = SINGLE,
) -> Tensor:
    """Σ over scales of the mean of |∂x R| + |∂y R|, R = ln p − ln g: edges of depth as sharp as the label's.

    The regulariser of Ranftl et al. 2020, after Li & Snavely 2018, of log depth, whose steps a common factor of a
    frame's depths does not change. Scale k keeps every 2^k-th pixel. A step between two pixels counts where both have a
    depth; the mean is over the counting pixels of a scale, over the whole batch. Scales smaller than 2 pixels are left
    out.
    """
    mask, error = _errors(prediction, target, mask, space)
    total = error.new_zeros(())
    for scale in range(scales):
        own, known = error[:, :, :: 2**scale, :: 2**scale], mask[:, :, :: 2**scale, :: 2**scale]
        if min(own.shape[2:]) < 2:
            break
        steps = [(own.diff(dim=d).abs() * _pairs(known, d)).sum() for d in (2, 3)]
        total = total + (steps[0] + steps[1]) / processes.global_count(known.sum())
    return total


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
    inverse = 1 / metres(prediction)
    relative = inverse / inverse.mean(dim=(1, 2, 3), keepdim=True)
    picture = image * to_device(_IMAGE_STD, image).view(1, 3, 1, 1)
    per_frame = _edge_aware(relative, picture, dim=3) + _edge_aware(relative, picture, dim=2)
    if mask is None:
        return per_frame.mean()
    counts = mask.flatten(1).any(1)
    return (per_frame * counts).sum() / processes.global_count(counts.sum())


def _errors(prediction: Tensor, target: Tensor, mask: Tensor | None, space: Space) -> tuple[Tensor, Tensor]:
    """Mask of counting pixels, and e = ln p − ln g or p − g there; exactly 0, without gradient, elsewhere."""
    mask = target > 0 if mask is None else mask & (target > 0)
    one = torch.ones((), dtype=prediction.dtype, device=prediction.device)
    p, g = torch.where(mask, metres(prediction), one), torch.where(mask, target.to(prediction.dtype), one)
    return mask, torch.log(p) - torch.log(g) if space == "log" else p - g


def _pairs(known: Tensor, dim: int) -> Tensor:
    """Whether both neighbours along `dim` are known."""
    size = known.shape[dim] - 1
    return known.narrow(dim, 0, size) & known.narrow(dim, 1, size)


def _edge_aware(relative: Tensor, picture: Tensor, dim: int) -> Tensor:
    """Per frame: mean of the map's steps along `dim`, each damped where the picture steps too."""
    steps = relative.diff(dim=dim).abs()
    damping = torch.exp(-picture.diff(dim=dim).abs().mean(1, keepdim=True))
    return (steps * damping).mean(dim=(1, 2, 3))


_SPACE = {"space": Space}
LOSSES: Mapping[str, Loss] = MappingProxyType(
    {
        "scale_invariant": Loss(
            scale_invariant,
            weight=1.0,
            options=_SPACE | {"lam": Annotated[float, Field(ge=0, le=1)]},
            seams=True,
            pointwise=True,
        ),
        "berhu": Loss(berhu, weight=0.02, options=_SPACE | {"epsilon": PositiveFloat}, seams=True, pointwise=True),
        "l1": Loss(l1, options=_SPACE, seams=True, pointwise=True),
        "gradient_matching": Loss(gradient_matching, options=_SPACE | {"scales": PositiveInt}),
        "huber": Loss(huber, options=_SPACE | {"delta": PositiveFloat}, seams=True, pointwise=True),
        "smoothness": Loss(smoothness, against="image"),
        EXPECTED_ERROR: Loss(expected_error, options=OPTIONS, pointwise=True, of_error=True),
        "perceptual": Loss(None, against="picture"),
    }
)
