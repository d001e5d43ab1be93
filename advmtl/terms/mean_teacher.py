"""Mean teacher: the EMA network pseudo-labels unlabelled frames; the generator learns them on mixed, augmented frames.

Tarvainen & Valpola 2017 for the teacher, Hoyer et al. 2021 for DepthMix (Fontana et al. 2024, section V.B.2, Eq. 36 and
37). The target is the ground truth where there is some, else the teacher's prediction weighted by its confidence.
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.config import Config, MeanTeacherConfig, Plan
from advmtl.networks import Lattice, drawn_lattice, on_lattice
from advmtl.tasks import teller, to_device
from advmtl.terms.mixing import Frames, StrongAugment, half_of_the_classes, nearer, partners
from advmtl.terms.supervised import WHOLE, is_pointwise
from advmtl.terms.term import Logs, StepContext, Term, half_heard, named
from preprocessing.ground import IGNORE, InputError

_STREAM = 0x7EAC4E5  # draws apart from those of the data, which are seeded by (seed, epoch, frame)
_NEEDED: dict[str, tuple[Literal["classes", "distance"], ...]] = {
    "depth": ("distance",),
    "class": ("classes",),
    "none": ("classes", "distance"),
}
SKY_BEHIND = 2.0  # times the largest depth: whatever has a depth is before the sky


@dataclass(frozen=True)
class TeacherPrediction:
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


class MeanTeacher(Term):
    """Every frame of the batch is pasted, where it is nearer, over another one, with its labels, true or the teacher's.

    Labelled frames take part with their truth, as in DepthMix. The mixed frames' batch norms use their own statistics,
    which do not enter the running ones: what is measured and deployed sees pictures that are not mixed.
    """

    start_key = "partial.mean_teacher.start_step"

    def __init__(self, settings: MeanTeacherConfig, config: Config) -> None:
        """Raises: InputError where the tasks have no map to mix by, or none that could learn from it."""
        super().__init__()
        there = {name: config.task_table[name] for name in config.tasks}
        needed = _NEEDED[settings.mix]
        if not any(teller(there, what) for what in needed):
            able = [name for what in needed if (name := teller(config.task_table, what))]
            raise InputError(
                f"partial.mean_teacher.mix: {settings.mix} needs the task {' or '.join(able)}; the tasks are "
                f"{', '.join(there)}"
            )
        self.settings = settings
        self.start_step = settings.start_step
        self.augment = StrongAugment(settings.jitter, settings.blur_px)

    def foresee(self, plan: Plan) -> str | None:
        """A start after the last step, or a ramp that is cut short."""
        heard = ramp(plan.steps - 1 - self.start_step, self.settings.ramp_steps)
        return super().foresee(plan) or half_heard(heard, "partial.mean_teacher.ramp_steps")

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        """The tasks' losses on the mixed frames, and the teacher's confidence."""
        # All draws of a step are made of where the run stands, so a resumed run makes them again.
        rng = np.random.default_rng((_STREAM, step.config.seed, step.number, step.processes.rank))
        prediction = predict_teacher(step)
        mask, mixed = self.mix(label_frames(step, prediction, self.settings), step, rng)
        with kept_statistics(step.generator):
            outputs = step.forward(self.augment(mixed.image, rng))
        weight = self.settings.weight * ramp(step.number - self.start_step, self.settings.ramp_steps)
        added: dict[str, Tensor] = {}
        if (task := teller(step.generator.tasks, "classes")) is not None:
            added[task] = weight * _class_loss(step, task, outputs, mixed)
        if (task := teller(step.generator.tasks, "distance")) is not None:
            added[task] = weight * _distance_loss(step, task, outputs, mixed)
        logs = self._logs(prediction, mask, mixed) | {"weight": mixed.weight.new_full((), weight)}
        return added, named("partial/mean_teacher", added, logs)

    def mix(self, frames: Frames, step: StepContext, rng: np.random.Generator) -> tuple[Tensor, Frames]:
        """Where the source shows, bool [N,1,H,W], and as many mixed frames as the batch has."""
        sources, targets = partners(step.readable(), len(frames.image), rng)
        source, target = frames.at(sources), frames.at(targets)
        priority = rng.random((len(sources), len(step.config.spec.labels.names)))
        if self.settings.mix == "depth":
            mask = nearer(source.distance, target.distance, self.settings.slack)
        elif self.settings.mix == "class":
            mask = half_of_the_classes(source.classes, to_device(priority, frames.weight))
        else:
            mask = torch.zeros_like(source.weight, dtype=torch.bool)
        return mask, source.over(target, mask)

    def _logs(self, prediction: TeacherPrediction, mask: Tensor, mixed: Frames) -> Logs:
        kind = mixed.weight.dtype
        logs = {"source_pixels": mask.to(kind).mean(), "depth_pixels": (mixed.depth > 0).to(kind).mean()}
        if prediction.probability is not None:
            known = (mixed.classes != IGNORE).to(kind)
            logs["confident_pixels"] = (prediction.probability > self.settings.threshold).to(kind).mean()
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


def _class_loss(step: StepContext, task: str, outputs: Mapping[str, Tensor], mixed: Frames) -> Tensor:
    """Cross entropy, each pixel by its weight, over the number of pixels with a class, confident or not."""
    settings, where = step.config.tasks[task], _lattice(step, task)
    logits = step.generator.tasks[task].learning.as_compared(on_lattice(where, outputs, task))
    classes = where.of(mixed.classes[:, 0])
    per_pixel = F.cross_entropy(logits, classes, ignore_index=IGNORE, reduction="none")
    known = step.processes.global_count((classes != IGNORE).sum())
    loss = (per_pixel * where.of(mixed.weight[:, 0])).sum() / known
    return settings.weight * (settings.losses.get("cross_entropy") or 1.0) * loss


def _distance_loss(step: StepContext, task: str, outputs: Mapping[str, Tensor], mixed: Frames) -> Tensor:
    """The task's own losses where there is a depth to learn, times the share of such pixels."""
    settings, processes, known = step.config.tasks[task], step.processes, step.generator.tasks[task].learning.losses
    # Not smoothness, which the seams of a mixed frame would mislead, nor what needs another network.
    able = {name: loss.function for name, loss in known.items() if loss.seams and loss.function is not None}
    own = {name: weight for name, weight in settings.losses.items() if weight > 0 and name in able}
    losses = []
    for name, weight in (own or {next(iter(able)): 1.0}).items():
        where = _lattice(step, task) if is_pointwise(known[name], settings, name) else WHOLE
        seen = on_lattice(where, outputs, task), where.of(mixed.depth)
        losses.append(weight * able[name](*seen, processes=processes, **settings.options_of(name)))
    share = processes.total((mixed.depth > 0).to(mixed.depth.dtype).mean()) / processes.count
    return settings.weight * share * torch.stack(losses).sum()


def _lattice(step: StepContext, task: str) -> Lattice:
    """The pixels that the task's pointwise losses see in this step."""
    return drawn_lattice(step.config.tasks[task].loss_stride, step.config.seed, step.number)


@torch.no_grad()
def predict_teacher(step: StepContext) -> TeacherPrediction:
    """Two forwards, of the frames and of their mirror images: the means are better labels than one view's, and how far
    the two depths differ is the only measure of confidence that a regression offers.
    """
    image, kind = step.batch.image, next(step.teacher.parameters()).dtype
    with step.autocast():
        plain = step.teacher(image)
        mirrored = step.teacher(image.flip(3))
    found: dict[str | None, tuple[Tensor | None, Tensor | None]] = {}
    for task, output in plain.items():
        learning = step.teacher.tasks[task].learning
        label = learning.pseudo_label(output.to(kind), learning.mirrored(mirrored[task].to(kind)))
        found.setdefault(learning.tells, label or (None, None))
    return TeacherPrediction(*found.get("classes", (None, None)), *found.get("distance", (None, None)))


@torch.no_grad()
def label_frames(step: StepContext, prediction: TeacherPrediction, settings: MeanTeacherConfig) -> Frames:
    """The batch with a label wherever the truth or the teacher has one.

    - Classes: a labelled frame keeps its own, what it ignores (255) included: no class fits there, or it is unknown
      which. Another frame has the teacher's, with a weight.
    - Depth: the truth where it is valid. A hole is only a place that was not measured, also in a labelled frame: there
      the teacher's counts where its two views agree. The sky has no depth to learn.
    - Distance: the same without the doubt, and the sky is behind everything: depth was never learnt there, so a teacher
      may well predict 10 m.
    """
    batch, readable = step.batch, bool(step.readable())
    weight = depth = distance = torch.zeros_like(batch.image[:, :1])
    classes, sky = torch.full_like(weight, IGNORE, dtype=torch.int64), weight.bool()
    confidence = _confidence(
        step, prediction.probability, settings
    )  # by all processes together, also by one without frames
    if readable and prediction.classes is not None and confidence is not None:
        classes, weight = _classes(step, prediction.classes, confidence)
        for one in step.config.spec.labels.sky:
            sky = sky | (classes == one)
    if readable and prediction.depth is not None and prediction.disagreement is not None:
        truth = batch.targets[_teller(step, "distance")].to(prediction.depth.dtype)
        trusted = (prediction.disagreement < settings.agreement) & ~sky
        depth = torch.where(truth > 0, truth, torch.where(trusted, prediction.depth, 0))
        guess = torch.where(sky, SKY_BEHIND * step.config.depth.max_m, prediction.depth)
        distance = torch.where(truth > 0, truth, guess)
    return Frames(batch.image, classes, weight, depth, distance)


def _confidence(step: StepContext, probability: Tensor | None, settings: MeanTeacherConfig) -> Tensor | None:
    """Weights of the teacher's classes [N,1,H,W]."""
    if probability is None or settings.confidence == "pixel":
        return probability
    return _confident_share(step, probability, settings.threshold).expand_as(probability)


def _classes(step: StepContext, guess: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    task = _teller(step, "classes")
    truth = step.batch.targets[task][:, None]
    pairs = [
        (truth[i], torch.ones_like(confidence[i])) if there else (guess[i], confidence[i])
        for i, there in enumerate(step.batch.present[task])
    ]
    return torch.stack([classes for classes, _ in pairs]), torch.stack([weight for _, weight in pairs])


def _confident_share(step: StepContext, probability: Tensor, threshold: float) -> Tensor:
    """Share of the pixels without a class label, over all processes, on which the teacher is confident, 0-d."""
    others = np.zeros((len(probability), 1, 1, 1))
    others[step.without(_teller(step, "classes"))] = 1
    unlabelled = to_device(others, probability)
    sure = step.processes.total((unlabelled * (probability > threshold).to(probability.dtype)).sum())
    return sure / step.processes.total(unlabelled.sum() * probability[0].numel()).clamp(min=1)


def _teller(step: StepContext, what: Literal["classes", "distance"]) -> str:
    task = teller(step.generator.tasks, what)
    assert task is not None  # checked when the teacher predicted it
    return task
