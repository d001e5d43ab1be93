"""What a discriminator is shown in a step: the maps of the frames that have every label it sees, real and generated."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config import IMAGE, DiscriminatorConfig
from advmtl.networks import discriminator_input
from advmtl.tasks import Sharpness, index_on, shrink, shrink_mask
from advmtl.terms.term import StepContext


@dataclass(frozen=True)
class Shown:
    """The input of a discriminator in a step.

    Attributes:
        real, fake: maps [n,C,H,W], n >= 1, the fake ones attached to the generator's graph.
        frames: their places in the batch of all processes.
        share: what a mean over them counts, so that the mean over the processes is that over the frames of all: 1 for
            one process; 0 for one that has no such frame and takes any along, so that all do the same.
        masks: where each map that it sees has a label, bool [n,1,H,W], and the map's channels; the picture has None.
        labelled: where any of them has one, [n,1,H,W] of the maps' type.
        patches: what each score weighs in its frame's mean [n,1,h,w]: the share of the patch's own pixels that have a
            label of any map; 1 in all for a frame, 0 in all for one without a labelled pixel.
    """

    real: Tensor
    fake: Tensor
    frames: list[int]
    share: float
    masks: Sequence[tuple[Tensor | None, int]]
    labelled: Tensor
    patches: Tensor


def show(step: StepContext, settings: DiscriminatorConfig) -> Shown | None:
    """The input of a discriminator in a step; None where no frame of any process has the labels for it."""
    batch, tasks = step.batch, settings.tasks
    # `present` lives on the host, so choosing the frames costs no device sync.
    own = [i for i in range(len(batch)) if all(batch.present[task][i] for task in tasks)]
    (count,) = step.processes.totals([len(own)])
    if not count:
        return None
    chosen, first = own or [0], step.processes.rank * len(batch)
    maps = {task: _maps(step, task, settings) for task in tasks}
    scale = settings.scale
    image = None
    if len(tasks) < len(settings.sees):
        image = step.once(("image", scale), lambda: shrink(batch.image, scale))
    real, fake = (
        discriminator_input({task: one[side] for task, one in maps.items()}, settings.sees, None, image)
        for side in (0, 1)
    )
    masks = {task: one[2] for task, one in maps.items()}
    if len(chosen) < len(batch):
        frames = index_on(chosen, batch.image)
        real, fake, masks = real[frames], fake[frames], {task: mask[frames] for task, mask in masks.items()}
    together = list(masks.values())
    labelled = (together[0] if len(together) == 1 else torch.stack(together).any(0)).to(real.dtype)
    channels = {IMAGE: 3} | {task: one[0].shape[1] for task, one in maps.items()}
    return Shown(
        real=real,
        fake=fake,
        frames=[first + i for i in chosen],
        share=step.processes.count * len(own) / count,
        masks=[(masks.get(name), channels[name]) for name in settings.sees],
        labelled=labelled,
        patches=patch_weights(labelled, 2**settings.layers),
    )


# The maps are the same for every discriminator that sees them alike: made once a step, chosen and joined for each.
def _maps(step: StepContext, task: str, settings: DiscriminatorConfig) -> tuple[Tensor, Tensor, Tensor]:
    """All frames' real and generated map [N,C,h,w], masked, and the mask [N,1,h,w]."""
    scale, how = settings.scale, settings.maps
    # What smoothing is for, equal sharpness does.
    smoothing = settings.label_smoothing if how == "soft" else 0.0
    mask = step.once(("mask", task, scale), lambda: shrink_mask(step.masks[task], scale))
    if how != "soft":
        return step.once(("maps", task, scale, how), lambda: _equally_sharp(step, task, scale, how, mask))
    fake = step.once(("fake", task, scale), lambda: step.encode_prediction_at(task, scale) * mask)
    target = step.batch.targets[task]
    real = step.once(("real", task, smoothing, scale), lambda: step.encode_label(task, target, smoothing, scale) * mask)
    return real, fake, mask


def _equally_sharp(
    step: StepContext, task: str, scale: int, how: Sharpness, mask: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    real = step.encode_label(task, step.batch.targets[task], 0.0, scale)
    fake = step.encode_prediction_at(task, scale)
    real, fake = step.generator.tasks[task].learning.equally_sharp(real, fake, how)
    return real * mask, fake * mask, mask


def patch_weights(labelled: Tensor, side: int) -> Tensor:
    """What a patch of `side` px counts in its frame's mean [n,1,ceil(H/side),ceil(W/side)], of labelled pixels
    [n,1,H,W], 0 or 1: its share of them; 1 in all for a frame, 0 for one without any.
    """
    # A patch at the far edges may be smaller.
    sums = F.avg_pool2d(labelled, side, ceil_mode=True, divisor_override=1)
    return sums / sums.sum((2, 3), keepdim=True).clamp(min=1)


def mean_over_patches(values: Tensor, patches: Tensor) -> Tensor:
    """One number of what an objective gives: itself, or the mean over frames of the mean over their labelled patches.

    A frame without a labelled pixel counts 0.
    """
    return values if values.ndim == 0 else (values * patches).sum((1, 2, 3)).mean()
