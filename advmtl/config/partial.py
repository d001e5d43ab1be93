"""Configuration of partial supervision: learning from frames that lack a label."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from advmtl.config.steps import Steps
from advmtl.config.typed import Fraction, Strict
from advmtl.tasks import TASKS, Task


class DomainAdversaryConfig(Strict):
    """Adversarial, after SemiMTL (Fontana et al. 2024, Eq. 40), and S4MTL's transformed branch (Eq. 39).

    Attributes:
        weight: of the generator's term, in each task's objective; α of Eq. 39 where the unlabelled branch is
            transformed.
        start_step: before it the term is off.
        tasks: whose maps are judged; None: all that mean something at every pixel. Instance offsets do so inside of
            instances alone, whose places an unlabelled frame does not give.
        align: what the discriminator shall take unlabelled predictions for: labelled frames' truth, their predictions,
            or what lies between both (target ½ and ½).
        domains: unlabelled predictions are one domain ("labels", three classes in all) or one per source ("sources").
        labelled_weight: of the same term for labelled frames' predictions, towards their truth, as a share of `weight`.
        transform: the discriminator judges the unlabelled frames as the generator sees them mirrored ("flip"), in other
            colours ("colour"), or both, at the price of a second forward.
        agreement: weight of the squared difference between that prediction and the plain one.
        channels, layers, label_smoothing, scale: of the discriminators, as those of `discriminators`.
    """

    weight: PositiveFloat = 0.1
    start_step: Steps = 0
    tasks: Annotated[list[str], Field(min_length=1)] | None = None
    align: Literal["truth", "prediction", "both"] = "truth"
    domains: Literal["labels", "sources"] = "labels"
    labelled_weight: NonNegativeFloat = 0.0
    transform: Literal["none", "flip", "colour", "both"] = "none"
    agreement: NonNegativeFloat = 0.0
    channels: PositiveInt = 32
    layers: PositiveInt = 3
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scale: PositiveInt = 1

    def judged(self, tasks: Iterable[str], table: Mapping[str, Task] = TASKS) -> list[str]:
        """Which of a configuration's tasks are judged. Raises: ValueError, one line, where none is or one cannot be."""
        known = [task for task in tasks if table[task].learning.dense]
        absent = [task for task in self.tasks or [] if task not in known]
        if absent:
            reason = "means nothing where there is no label" if absent[0] in tasks else "is not among the tasks"
            raise ValueError(f"partial.adversary.tasks: {absent[0]} {reason} ({', '.join(tasks)})")
        if not known:
            raise ValueError(
                "partial.adversary: judges maps that mean something at every pixel, and no task has one "
                f"({', '.join(tasks)})"
            )
        return [task for task in known if self.tasks is None or task in self.tasks]

    def check(self, tasks: Iterable[str], table: Mapping[str, Task] = TASKS) -> None:
        """Raise ValueError, one line, for what cannot be built with the other sections."""
        self.judged(tasks, table)
        if self.agreement > 0 and self.transform == "none":
            raise ValueError("partial.adversary.agreement: needs partial.adversary.transform, e.g. flip")


class ConsistencyConfig(Strict):
    """Cross-task consistency, after MTPSL (Fontana et al. 2024, section V.B).

    Attributes:
        weight: of the term, in the row of the task that is not labelled. At the default its gradient at z is about a
            tenth (segmentation) and a third (depth) of that of the task's labels.
        start_step: before it the term is off.
        ramp_steps: from then on the weight in the generator's loss rises linearly over so many steps; the
            mapping learns from the start.
        regularizer: weight of what holds the joint space to the encoded features; 0 lets the mapping collapse.
        width: channels of the mapping's shared convolutions.
    """

    weight: PositiveFloat = 0.5
    start_step: Steps = 0
    ramp_steps: Steps = 100
    regularizer: NonNegativeFloat = 1.0
    width: PositiveInt = 32


class MeanTeacherConfig(Strict):
    """Pseudo-labels of the averaged generator, on frames mixed by depth (DepthMix, Fontana et al. 2024, Eq. 36 and 37).

    Attributes:
        weight: of the pseudo-labelled losses, in each task's objective.
        start_step: before it the term is off; the teacher has to be trained a little first.
        ramp_steps: then the weight rises over so many steps.
        mix: what of one frame is put over another: what is nearer than what it covers (DepthMix), half of its classes
            (ClassMix), or nothing (a plain mean teacher on strongly augmented frames).
        slack: ε of Eq. 37 as a share of the covered depth: 0.05 lets the source win up to 5 % behind the target.
        confidence: what a teacher's class weighs: as in ClassMix and DepthMix, the share of the batch's unlabelled
            pixels whose probability exceeds `threshold`, which keeps a bad teacher quiet; or its probability at the
            pixel.
        threshold: of that share, and of the logged share of confident pixels.
        agreement: a teacher's depth counts where its two views, plain and mirrored, differ by less, in log metres.
        jitter: largest change of brightness, contrast and saturation of a mixed frame, as a share; hue turns by up to a
            quarter of it.
        blur_px: largest σ of the Gaussian blur that every second mixed frame gets.
    """

    weight: PositiveFloat = 1.0
    start_step: Steps = 500
    ramp_steps: Steps = 1000
    mix: Literal["depth", "class", "none"] = "depth"
    slack: NonNegativeFloat = 0.05
    confidence: Literal["share", "pixel"] = "share"
    threshold: Fraction = 0.968
    agreement: PositiveFloat = 0.1
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.4
    blur_px: NonNegativeFloat = 1.15


class PartialConfig(Strict):
    """What else a run learns from frames that lack a label; each part may be used alone or beside the others."""

    adversary: DomainAdversaryConfig | None = None
    consistency: ConsistencyConfig | None = None
    mean_teacher: MeanTeacherConfig | None = None

    @property
    def needs_no_label(self) -> bool:
        """Whether a part uses frames without any label; consistency needs the label of one task."""
        return self.adversary is not None or self.mean_teacher is not None

    @property
    def forwards(self) -> str | None:
        """The key of a part that takes a further forward of the generator in a step, None where none does."""
        if self.mean_teacher is not None:
            return "partial.mean_teacher"
        turned = self.adversary is not None and self.adversary.transform != "none"
        return "partial.adversary.transform" if turned else None
