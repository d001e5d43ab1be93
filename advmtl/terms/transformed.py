"""The unlabelled branch of S4MTL: frames shown to the generator a second time, transformed (seed paper 000, Fig. 13).

The published transform is a rotation. A street turned by a right angle is none, and a small angle is what augmentation
does already and brings in corners without a picture. So here: a mirror image, which is exact, and other colours.
Maps are turned back before anything sees them, so that the transform itself tells nobody which branch they are from.
"""

from typing import Literal

import numpy as np
from torch import Tensor

from advmtl.tasks.device_transfer import to_device
from advmtl.terms.term import Shown

Transform = Literal["flip", "colour", "both"]
_GAIN = 0.3
_SHIFT = 0.3  # in deviations of ImageNet's pixels
_DRAWS = 1  # beside the other draws of a step


def transformed_outputs(shown: Shown, transform: Transform) -> dict[str, Tensor]:
    """The generator's maps [N,C,H,W] of the transformed frames, turned back, with graph.

    All frames of the batch go through it, labelled ones too: batch norms then take their statistics from the same
    mixture as in the step's own forward. They are told of both.
    """
    outputs = shown.forward(_transformed(shown, transform))
    mirrored = transform != "colour"
    # Offsets to instances would change their sign, too; nobody asks for them.
    return {task: map_.flip(-1) if mirrored else map_ for task, map_ in outputs.items() if task != "instance"}


def _transformed(shown: Shown, transform: Transform) -> Tensor:
    image = shown.batch.image
    if transform != "flip":
        # Drawn for the frames of all processes, so that a frame's colours do not depend on how many there are.
        processes, frames = shown.processes, len(image)
        draws = np.random.default_rng([shown.config.seed, shown.step, _DRAWS]).random((processes.count * frames, 4))
        own = 2 * draws[processes.rank * frames :][:frames] - 1
        factors = to_device(own, image)[:, :, None, None]
        image = image * (1 + _GAIN * factors[:, :1]) + _SHIFT * factors[:, 1:]
    return image if transform == "colour" else image.flip(-1)
