"""The settings that tasks take from an experiment: classes, depth range, input width; imports no torch."""

import math
from dataclasses import dataclass, field

from preprocessing.ground import LabelSet, label_set

LENS_SPAN = 2.0
"""Lenses from 1 / so many times the canonical focal length to so many times it keep the whole range of depths."""
EXPECTED_ERROR = "expected_error"
"""The loss by which a head learns how far its map may be wrong; where it weighs anything, the head says that too."""


@dataclass(frozen=True)
class ErrorScale:
    """How a stated relative error of depth is read: what calibration on held-out frames has found, or as it is learnt.

    Attributes:
        factor: what the head says is multiplied by, so that its mean is the mean error that was measured.
        interval: the truth lies between Z·exp(−interval·error) and Z·exp(interval·error) in 80 % of the pixels. Not
            calibrated: ln 5, which is that of a Laplace distribution whose mean absolute value is the error.
        frames: how many frames it was calibrated on; 0: it was not.
    """

    factor: float = 1.0
    interval: float = math.log(5)
    frames: int = 0


@dataclass(frozen=True)
class TaskSpec:
    """Settings that more than one task, or both halves of one, read.

    Attributes:
        classes: the label set, or its name.
        depth_range_m: least and greatest depth [m] that is told; truth beyond it counts nowhere.
        canonical_fx_px: the focal length that depth is learnt for, in pixels of what the network sees; None: metres of
            whatever lens there is.
        width_px: width of the network's input in training [px], by which lengths in pixels are made unitless.
        told_labels, told_things: names and colours of the classes, and the classes that have instances, as an exported
            file tells them; None: those of the label set `classes`.
        depth_scale: what the metres of a finished network are multiplied by.
        depth_error: how the expected relative error of depth is read; None where the network states none.
    """

    classes: str | LabelSet = "cityscapes19"
    depth_range_m: tuple[float, float] = (1.0, 80.0)
    width_px: int = 512
    told_labels: LabelSet | None = field(default=None, compare=False)
    told_things: tuple[int, ...] | None = None
    canonical_fx_px: float | None = None
    depth_scale: float = 1.0
    depth_error: ErrorScale | None = None

    @property
    def canonical_range_m(self) -> tuple[float, float]:
        """What the network can express, and training clips its target to: metres behind the canonical lens, so wider
        than the true ones by the lenses that are meant to be told.
        """
        low, high = self.depth_range_m
        return (low, high) if self.canonical_fx_px is None else (low / LENS_SPAN, high * LENS_SPAN)

    @property
    def labels(self) -> LabelSet:
        """The label set itself."""
        return label_set(self.classes) if self.told_labels is None else self.told_labels

    @property
    def things(self) -> tuple[int, ...]:
        """The classes that have instances, ascending."""
        return self.labels.things if self.told_things is None else self.told_things
