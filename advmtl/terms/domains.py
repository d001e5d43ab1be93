"""The domain of each frame of a step for one task, and the transformed frames of S4MTL's second branch.

The unlabelled branch of S4MTL shows frames to the generator a second time, transformed (Fontana et al. 2024, Fig. 13).
The published transform is a rotation. A street turned by a right angle is none, and a small angle is what augmentation
does already and brings in corners without a picture. So here: a mirror image, which is exact, and other colours.
Maps are turned back before anything sees them, so that the transform itself does not reveal the branch.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import Tensor

from advmtl.tasks import to_device
from advmtl.terms.term import StepContext

Transform = Literal["flip", "colour", "both"]
_GAIN = 0.3
_SHIFT = 0.3  # in deviations of ImageNet's pixels
_DRAWS = 1  # beside the other draws of a step
# Classes of the discriminator. Predictions on unlabelled frames have the class UNLABELLED, or one per source from there
# on.
TRUTH, LABELLED, UNLABELLED = 0, 1, 2
_UNREADABLE = 0  # no frame's prediction is truth


@dataclass(frozen=True)
class Domains:
    """Frames by the class of their predictions.

    Attributes:
        everywhere: LABELLED, UNLABELLED or more, or 0 where it cannot be read, for the frames of all processes in
            order; the same on all.
        first: place of this process's first frame in it.
        frames: how many this process has.
        processes: how many there are.
    """

    everywhere: list[int]
    first: int
    frames: int
    processes: int

    @property
    def own(self) -> list[int]:
        """Of this process's frames."""
        return self.everywhere[self.first : self.first + self.frames]

    @property
    def labelled(self) -> list[int]:
        """Places of this process's labelled frames."""
        return [place for place, domain in enumerate(self.own) if domain == LABELLED]

    @property
    def unlabelled(self) -> list[int]:
        """Places of this process's unlabelled frames."""
        return [place for place, domain in enumerate(self.own) if domain >= UNLABELLED]

    def counts(self) -> dict[int, int]:
        """Maps of all processes by class, those there are; every labelled frame has a truth."""
        found = Counter(domain for domain in self.everywhere if domain != _UNREADABLE)
        truths = {TRUTH: found[LABELLED]} if found[LABELLED] else {}
        return truths | dict(sorted(found.items()))

    def weight(self, *, labelled: bool) -> float:
        """What a labelled or an unlabelled frame counts in a mean over those of all processes; 0 where none is."""
        total = sum(one == LABELLED if labelled else one >= UNLABELLED for one in self.everywhere)
        return self.processes / total if total else 0.0


def domains_of(step: StepContext, task: str, kind: Literal["labels", "sources"]) -> Domains:
    """Domains of a step's frames. One exchange of numbers between hosts; no device sync."""
    batch, processes = step.batch, step.processes
    own = [_UNREADABLE] * len(batch)
    for place in step.having(task):
        own[place] = LABELLED
    for place in step.without(task):
        own[place] = UNLABELLED + (batch.sources[place] if kind == "sources" else 0)
    first, rest = processes.rank * len(own), (processes.count - 1 - processes.rank) * len(own)
    everywhere = processes.totals([0] * first + own + [0] * rest)
    return Domains(everywhere, first, len(own), processes.count)


def transformed_outputs(step: StepContext, transform: Transform) -> Mapping[str, Tensor]:
    """The generator's maps [N,C,H,W] of the transformed frames, turned back, with graph.

    All frames of the batch go through it, labelled ones too: batch norms then take their statistics from the same
    mixture as in the step's own forward. Their running statistics follow both.
    """
    outputs = step.forward(_transformed(step, transform))
    if transform == "colour":
        return outputs
    return {task: step.generator.tasks[task].learning.mirrored(map_) for task, map_ in outputs.items()}


def _transformed(step: StepContext, transform: Transform) -> Tensor:
    image = step.batch.image
    if transform != "flip":
        # Drawn for the frames of all processes, so that a frame's colours do not depend on how many there are.
        processes, frames = step.processes, len(image)
        draws = np.random.default_rng([step.config.seed, step.number, _DRAWS]).random((processes.count * frames, 4))
        own = 2 * draws[processes.rank * frames :][:frames] - 1
        factors = to_device(own, image)[:, :, None, None]
        image = image * (1 + _GAIN * factors[:, :1]) + _SHIFT * factors[:, 1:]
    return image if transform == "colour" else image.flip(-1)
