"""What a batch teaches with its teacher: truth where there is some, else what the teacher says and how surely."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config import MeanTeacherConfig
from advmtl.tasks.device_transfer import to_device
from advmtl.terms.depth_mix import IGNORE, Frames
from advmtl.terms.term import Shown
from preprocessing.ground import LABEL_SETS

SKY_BEHIND = 2.0  # times the largest depth: whatever has a depth is before the sky


@dataclass(frozen=True)
class Opinion:
    """The teacher's on a batch.

    Attributes:
        classes: int64 [N,1,H,W], the most probable.
        probability: its [N,1,H,W].
        depth: [N,1,H,W] metres.
        disagreement: of the two views' depths [N,1,H,W], in log metres.
    """

    classes: Tensor | None
    probability: Tensor | None
    depth: Tensor | None
    disagreement: Tensor | None


@torch.no_grad()
def ask_teacher(shown: Shown) -> Opinion:
    """Two forwards, of the frames and of their mirror images: the means are better labels than one view's, and how far
    the two depths differ is the only thing that a regression says about its certainty.
    """
    image, kind = shown.batch.image, next(shown.teacher.parameters()).dtype
    with shown.precision.forward():
        plain = shown.teacher(image)
        mirrored = shown.teacher(image.flip(3))
    views = [
        (plain[task].to(kind), mirrored[task].to(kind).flip(3)) for task in ("segmentation", "depth") if task in plain
    ]
    classes = probability = depth = disagreement = None
    if "segmentation" in plain:
        a, b = views[0]
        probability, classes = ((F.softmax(a, 1) + F.softmax(b, 1)) / 2).max(1, keepdim=True)
    if "depth" in plain:
        a, b = (view.log() for view in views[-1])
        depth, disagreement = ((a + b) / 2).exp(), (a - b).abs()
    return Opinion(classes, probability, depth, disagreement)


@torch.no_grad()
def label_frames(shown: Shown, opinion: Opinion, settings: MeanTeacherConfig) -> Frames:
    """The batch with a label everywhere where there is one to be had.

    - Classes: a labelled frame keeps its own, what it ignores (255) included: no class fits there, or nobody can say
      which. Another frame has the teacher's, with a weight.
    - Depth: the truth where it is valid. A hole is only a place that was not measured, also in a labelled frame: there
      the teacher's counts where its two views agree. The sky has no depth to learn.
    - Distance: the same without the doubt, and the sky is behind everything: depth was never learnt there, so a teacher
      may well say 10 m.
    """
    batch, readable = shown.batch, bool(shown.readable())
    weight = depth = distance = torch.zeros_like(batch.image[:, :1])
    classes, sky = torch.full_like(weight, IGNORE, dtype=torch.int64), weight.bool()
    surety = _surety(shown, opinion.probability, settings)  # by all processes together, also by one without frames
    if readable and opinion.classes is not None and surety is not None:
        classes, weight = _classes(shown, opinion.classes, surety)
        names = LABEL_SETS[shown.config.data.classes].names
        sky = classes == names.index("sky") if "sky" in names else sky
    if readable and opinion.depth is not None and opinion.disagreement is not None:
        truth = batch.targets["depth"].to(opinion.depth.dtype)
        trusted = (opinion.disagreement < settings.agreement) & ~sky
        depth = torch.where(truth > 0, truth, torch.where(trusted, opinion.depth, 0))
        guess = torch.where(sky, SKY_BEHIND * shown.config.depth.max_m, opinion.depth)
        distance = torch.where(truth > 0, truth, guess)
    return Frames(batch.image, classes, weight, depth, distance)


def _surety(shown: Shown, probability: Tensor | None, settings: MeanTeacherConfig) -> Tensor | None:
    """What the teacher's classes weigh [N,1,H,W]."""
    if probability is None or settings.confidence == "pixel":
        return probability
    return _confident_share(shown, probability, settings.threshold).expand_as(probability)


def _classes(shown: Shown, guess: Tensor, surety: Tensor) -> tuple[Tensor, Tensor]:
    truth = shown.batch.targets["segmentation"][:, None]
    pairs = [
        (truth[i], torch.ones_like(surety[i])) if there else (guess[i], surety[i])
        for i, there in enumerate(shown.batch.present["segmentation"])
    ]
    return torch.stack([classes for classes, _ in pairs]), torch.stack([weight for _, weight in pairs])


def _confident_share(shown: Shown, probability: Tensor, threshold: float) -> Tensor:
    """Share of the pixels without a class label, of all frames of all processes, of which the teacher is sure, 0-d."""
    others = np.zeros((len(probability), 1, 1, 1))
    others[shown.without("segmentation")] = 1
    unlabelled = to_device(others, probability)
    sure = shown.processes.total((unlabelled * (probability > threshold).to(probability.dtype)).sum())
    return sure / shown.processes.total(unlabelled.sum() * probability[0].numel()).clamp(min=1)
