"""Learning from what is only partly labelled."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat

from advmtl.config.typed import Fraction, Strict


class DomainAdversaryConfig(Strict):
    """Adversarial, after SemiMTL (seed paper 000, Eq. 40).

    Attributes:
        weight: of the generator's term, in each task's row.
        start_step: before it nobody learns from this.
    """

    weight: PositiveFloat = 0.02
    start_step: NonNegativeInt = 0


class ConsistencyConfig(Strict):
    """Cross-task consistency, after MTPSL (seed paper 000, section V.B).

    Attributes:
        weight: of the term, in the row of the task that is not labelled.
        start_step: before it nobody learns from this.
    """

    weight: PositiveFloat = 1.0
    start_step: NonNegativeInt = 0


class MeanTeacherConfig(Strict):
    """Pseudo-labels of the averaged generator, on frames mixed by depth (DepthMix, seed paper 000, Eq. 36 and 37).

    Attributes:
        weight: of the pseudo-labelled losses, in each task's row.
        start_step: before it nobody learns from this; a teacher has to know something first.
        ramp_steps: then the weight rises over so many steps.
        mix: what of one frame is put over another: what is nearer than what it covers (DepthMix), half of its classes
            (ClassMix), or nothing (a plain mean teacher on strongly augmented frames).
        slack: ε of Eq. 37 as a share of the covered depth: 0.05 lets the source win up to 5 % behind the target.
        confidence: what a teacher's class weighs: its probability at the pixel, or, as in ClassMix and DepthMix, the
            share of the frame's pixels whose probability exceeds `threshold`.
        threshold: of that share, and of the logged share of confident pixels.
        agreement: a teacher's depth counts where its two views, plain and mirrored, differ by less, in log metres.
        jitter: largest change of brightness, contrast and saturation of a mixed frame, as a share; hue turns by up to a
            quarter of it.
        blur_px: largest σ of the Gaussian blur that every second mixed frame gets.
    """

    weight: PositiveFloat = 1.0
    start_step: NonNegativeInt = 500
    ramp_steps: NonNegativeInt = 1000
    mix: Literal["depth", "class", "none"] = "depth"
    slack: NonNegativeFloat = 0.05
    confidence: Literal["pixel", "share"] = "pixel"
    threshold: Fraction = 0.968
    agreement: PositiveFloat = 0.1
    jitter: Annotated[float, Field(ge=0, lt=1)] = 0.4
    blur_px: NonNegativeFloat = 1.15


class PartialConfig(Strict):
    """What else a run learns from frames that lack a label; each part may be used alone or beside the others."""

    adversary: DomainAdversaryConfig | None = None
    consistency: ConsistencyConfig | None = None
    mean_teacher: MeanTeacherConfig | None = None
