"""The settings that tasks take from an experiment: classes, depth range, input width; imports no torch."""

from dataclasses import dataclass, field

from advmtl.tasks.instance.grouping import thing_classes
from preprocessing.ground import LABEL_SETS, LabelSet


@dataclass(frozen=True)
class TaskSpec:
    """Settings that more than one task, or both halves of one, read.

    Attributes:
        classes: name of the label set.
        depth_range_m: least and greatest depth [m] that the network can express; training clips its target to it.
        width_px: width of the network's input in training [px], by which lengths in pixels are made unitless.
        told_labels, told_things: names and colours of the classes, and the classes that have instances, as an exported
            file tells them; None: those of the label set `classes`.
        depth_scale: what the metres of a finished network are multiplied by.
    """

    classes: str = "cityscapes19"
    depth_range_m: tuple[float, float] = (1.0, 80.0)
    width_px: int = 512
    told_labels: LabelSet | None = field(default=None, compare=False)
    told_things: tuple[int, ...] | None = None
    depth_scale: float = 1.0

    @property
    def labels(self) -> LabelSet:
        """The label set itself: names and palette."""
        return LABEL_SETS[self.classes] if self.told_labels is None else self.told_labels

    @property
    def things(self) -> tuple[int, ...]:
        """The classes that have instances, ascending."""
        return thing_classes(self.classes) if self.told_things is None else self.told_things
