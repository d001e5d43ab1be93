"""What tasks need to know of an experiment: which classes, which depths, which width; imports no torch."""

from dataclasses import dataclass

from preprocessing.ground import LABEL_SETS, LabelSet


@dataclass(frozen=True)
class TaskSpec:
    """Settings that more than one task, or both halves of one, read.

    Attributes:
        classes: name of the label set.
        depth_range_m: least and greatest depth [m] that the network can express; training clips its target to it.
        width_px: width of the network's input in training [px], by which lengths in pixels are made unitless.
    """

    classes: str = "cityscapes19"
    depth_range_m: tuple[float, float] = (1.0, 80.0)
    width_px: int = 512

    @property
    def labels(self) -> LabelSet:
        """The label set itself: names and palette."""
        return LABEL_SETS[self.classes]
