"""What losses of single pixels share: which pixels count, −log of the true class's share, weights of classes."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.tasks.segmentation.boundaries import near_another_class
from preprocessing.ground import IGNORE


def labelled(target: Tensor, mask: Tensor | None) -> Tensor:
    """Pixels with a class that count, bool [N,H,W]."""
    known = target != IGNORE
    return known if mask is None else known & mask


def surprise(prediction: Tensor, target: Tensor, mask: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """−log softmax at the true class [N,H,W], 0 where `mask` is false.

    With smoothing ε (Szegedy et al. 2016, section 7) it is (1 − ε) of that and ε of the mean of −log over all classes.
    """
    shown = target.masked_fill(~mask, IGNORE)
    return F.cross_entropy(prediction, shown, ignore_index=IGNORE, reduction="none", label_smoothing=label_smoothing)


def at_pixels(class_weights: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """The weight [N,H,W] of each pixel's class, of `class_weights` [K]; where `mask` is false, of any class."""
    return class_weights[target.masked_fill(~mask, 0)]


def importance(target: Tensor, mask: Tensor, boundary_weight: float, boundary_px: int, kind: torch.dtype) -> Tensor:
    """1 for a counting pixel, `boundary_weight` more for one within `boundary_px` of another class [N,H,W]; else 0."""
    near = near_another_class(target.masked_fill(~mask, IGNORE), boundary_px)
    return mask.to(kind) + boundary_weight * (near & mask).to(kind)
