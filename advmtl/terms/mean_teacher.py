"""A mean teacher labels what nobody has labelled, and the generator learns it on mixed, strongly augmented frames.

Tarvainen & Valpola 2017 for the teacher, Hoyer et al. 2021 for DepthMix (seed paper 000, section V.B.2, Eq. 36 and 37).
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.config import Config, MeanTeacherConfig, TaskName
from advmtl.tasks.device_transfer import to_device
from advmtl.tasks.losses import LOSSES
from advmtl.terms.depth_mix import IGNORE, Frames, half_of_the_classes, nearer, partners
from advmtl.terms.pseudo_labels import Opinion, ask_teacher, label_frames
from advmtl.terms.strong_augment import StrongAugment
from advmtl.terms.term import Logs, Method, Shown
from preprocessing.ground import LABEL_SETS, InputError

_STREAM = 0x7EAC4E5  # draws apart from those of the data, which are seeded by (seed, epoch, frame)
_NEEDED = {"depth": ("depth",), "class": ("segmentation",), "none": ("segmentation", "depth")}


class MeanTeacher(Method):
    """Every frame of the batch is put, where it is nearer, over another one; labels, true or the teacher's, go along.

    Labelled frames take part with their truth, as in DepthMix. The mixed frames' batch norms use their own statistics,
    which do not enter the running ones: what is measured and deployed sees pictures that are not mixed.
    """

    def __init__(self, settings: MeanTeacherConfig, config: Config) -> None:
        """Raises: InputError where the tasks have no map to mix by, or none that could learn from it."""
        super().__init__()
        needed = _NEEDED[settings.mix]
        if not any(task in config.tasks for task in needed):
            raise InputError(
                f"partial.mean_teacher.mix: {settings.mix} needs the task {' or '.join(needed)}; the tasks are "
                f"{', '.join(config.tasks)}"
            )
        self.settings = settings
        self.start_step = settings.start_step
        self.augment = StrongAugment(settings.jitter, settings.blur_px)

    def terms(self, shown: Shown) -> tuple[dict[TaskName, Tensor], Logs]:
        """The tasks' losses on the mixed frames, and how sure the teacher is."""
        # All draws of a step are made of where the run stands, so a resumed run makes them again.
        rng = np.random.default_rng((_STREAM, shown.config.seed, shown.step, shown.processes.rank))
        opinion = ask_teacher(shown)
        mask, mixed = self.mix(label_frames(shown, opinion, self.settings), shown, rng)
        with kept_statistics(shown.generator):
            outputs = shown.forward(self.augment(mixed.image, rng))
        weight = self.settings.weight * ramp(shown.step - self.start_step, self.settings.ramp_steps)
        terms: dict[TaskName, Tensor] = {}
        if "segmentation" in outputs:
            terms["segmentation"] = weight * _segmentation(shown, outputs["segmentation"], mixed)
        if "depth" in outputs:
            terms["depth"] = weight * _depth(shown, outputs["depth"], mixed)
        return terms, self._logs(opinion, mask, mixed) | {"weight": mixed.weight.new_full((), weight)}

    def mix(self, frames: Frames, shown: Shown, rng: np.random.Generator) -> tuple[Tensor, Frames]:
        """Where the source shows, bool [N,1,H,W], and as many mixed frames as the batch has."""
        sources, targets = partners(shown.readable(), len(frames.image), rng)
        source, target = frames.at(sources), frames.at(targets)
        priority = rng.random((len(sources), len(LABEL_SETS[shown.config.data.classes].names)))
        if self.settings.mix == "depth":
            mask = nearer(source.distance, target.distance, self.settings.slack)
        elif self.settings.mix == "class":
            mask = half_of_the_classes(source.classes, to_device(priority, frames.weight))
        else:
            mask = torch.zeros_like(source.weight, dtype=torch.bool)
        return mask, source.over(target, mask)

    def _logs(self, opinion: Opinion, mask: Tensor, mixed: Frames) -> Logs:
        kind = mixed.weight.dtype
        logs = {"source_pixels": mask.to(kind).mean(), "depth_pixels": (mixed.depth > 0).to(kind).mean()}
        if opinion.probability is not None:
            known = (mixed.classes != IGNORE).to(kind)
            logs["confident_pixels"] = (opinion.probability > self.settings.threshold).to(kind).mean()
            logs["class_weight"] = (mixed.weight * known).sum() / known.sum().clamp(min=1)
        return logs


def ramp(taken: int, steps: int) -> float:
    """exp(−5 (1 − t)²) with t from 0 to 1 over `steps` (Tarvainen & Valpola 2017, section 3.1; Laine & Aila 2017)."""
    return math.exp(-5 * (1 - min(1.0, taken / steps)) ** 2) if steps else 1.0


@contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms in training mode that normalise by the batch and leave their running statistics alone."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0  # a copy put back later would be a change of what the first backward still needs
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


def _segmentation(shown: Shown, logits: Tensor, mixed: Frames) -> Tensor:
    """Cross entropy, each pixel by its weight, over the number of pixels with a class, sure or not."""
    settings, classes = shown.config.tasks["segmentation"], mixed.classes[:, 0]
    per_pixel = F.cross_entropy(logits, classes, ignore_index=IGNORE, reduction="none")
    loss = (per_pixel * mixed.weight[:, 0]).sum() / shown.processes.divisor((classes != IGNORE).sum())
    return settings.weight * (settings.losses.get("cross_entropy") or 1.0) * loss


def _depth(shown: Shown, metres: Tensor, mixed: Frames) -> Tensor:
    """The task's own losses where there is a depth to learn, times the share of such pixels: few sure ones are few."""
    settings, processes = shown.config.tasks["depth"], shown.processes
    own = {name: weight for name, weight in settings.losses.items() if weight > 0 and name in _AGAINST_DEPTH}
    losses = [
        weight * LOSSES["depth"][name](metres, mixed.depth, processes=processes, **settings.options_of(name))
        for name, weight in (own or {"scale_invariant": 1.0}).items()
    ]
    share = processes.total((mixed.depth > 0).to(metres.dtype).mean()) / processes.count
    return settings.weight * share * torch.stack(losses).sum()


# Not smoothness, which the seams of a mixed frame would mislead, nor what needs another network.
_AGAINST_DEPTH = ("scale_invariant", "berhu", "huber")
