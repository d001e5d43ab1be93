"""Learning from what is only partly labelled."""

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from advmtl.config.typed import Strict


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
        weight: of the term, in the row of the task that is not labelled. At the default its gradient at z is about a
            tenth (segmentation) and a third (depth) of that of the task's labels.
        start_step: before it nobody learns from this.
        ramp_steps: from then on the generator listens with a weight that rises linearly over so many steps; the
            mapping learns from the start.
        regularizer: weight of what holds the joint space to the encoded features; 0 lets the mapping collapse.
        width: channels of the mapping's shared convolutions.
    """

    weight: PositiveFloat = 0.5
    start_step: NonNegativeInt = 0
    ramp_steps: NonNegativeInt = 100
    regularizer: NonNegativeFloat = 1.0
    width: PositiveInt = 32


class MeanTeacherConfig(Strict):
    """Pseudo-labels of the averaged generator, on frames mixed by depth (DepthMix, seed paper 000, Eq. 36 and 37).

    Attributes:
        weight: of the pseudo-labelled losses, in each task's row.
        start_step: before it nobody learns from this; a teacher has to know something first.
    """

    weight: PositiveFloat = 1.0
    start_step: NonNegativeInt = 0


class PartialConfig(Strict):
    """What else a run learns from frames that lack a label; each part may be used alone or beside the others."""

    adversary: DomainAdversaryConfig | None = None
    consistency: ConsistencyConfig | None = None
    mean_teacher: MeanTeacherConfig | None = None
