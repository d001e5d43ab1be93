"""Class maps as discriminators see them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.tasks.learning import Sharpness
from preprocessing.ground import IGNORE


def one_hot(target: Tensor, classes: int, smoothing: float) -> Tensor:
    """Class ids [N,H,W] as float32 [N,K,H,W], smoothed; void pixels get some class."""
    low = smoothing / classes
    # Written channels_last, as the convolutions want it; void pixels get a class here and are masked later.
    hot = torch.full((*target.shape, classes), low, device=target.device)
    index = target.clamp(max=classes - 1).unsqueeze(-1)
    return hot.scatter_(-1, index, 1 - smoothing + low).permute(0, 3, 1, 2)


def shares(target: Tensor, classes: int, smoothing: float, scale: int) -> Tensor:
    """`one_hot` shrunk, but counted: what share of a square's labelled pixels has each class, float32 [N,K,h,w].

    `smoothing` as there; a square without a label is 0 in all classes.
    """
    height, width = target.shape[-2:]
    down, right = -height % scale, -width % scale
    padded = F.pad(target, (0, right, 0, down), value=IGNORE)
    squares = padded.unflatten(2, (-1, scale)).unflatten(1, (-1, scale)).transpose(2, 3).flatten(3)
    counts = torch.zeros(*squares.shape[:3], classes + 1, device=target.device)
    counts.scatter_add_(-1, squares.clamp(max=classes), torch.ones(1, device=target.device).expand(squares.shape))
    counts = counts[..., :classes]
    labelled = counts.sum(-1, keepdim=True)
    share = counts * ((1 - smoothing) / labelled.clamp(min=1)) + (smoothing / classes) * (labelled > 0)
    return share.permute(0, 3, 1, 2)


def equally_sharp(real: Tensor, fake: Tensor, how: Sharpness) -> tuple[Tensor, Tensor]:
    """Labels and softmax [N,K,H,W] that no longer differ in how sure they are; see `TaskLearning.equally_sharp`."""
    return (as_sure_as(real, fake.detach()), fake) if how == "confident" else (decided(real), decided(fake))


def as_sure_as(real: Tensor, fake: Tensor) -> Tensor:
    """Labels [N,K,H,W] with the probabilities of a prediction [N,K,H,W], the largest of them put on the true class.

    The probabilities of the true class (of shares, the largest) and of the predicted one change places: the same
    numbers at every pixel, and the same map where the prediction is right.
    """
    true, top = real.argmax(1, keepdim=True), fake.argmax(1, keepdim=True)
    # In this order: where both are one class, the second write repeats the first.
    return fake.scatter(1, top, fake.gather(1, true)).scatter(1, true, fake.gather(1, top))


def decided(maps: Tensor) -> Tensor:
    """One-hot of the arg max over dimension 1, with the gradient of `maps` (straight-through; Bengio et al. 2013, Jang
    et al. 2017).
    """
    hot = torch.zeros_like(maps).scatter_(1, maps.detach().argmax(1, keepdim=True), 1.0)
    return hot + (maps - maps.detach()) if maps.requires_grad else hot
