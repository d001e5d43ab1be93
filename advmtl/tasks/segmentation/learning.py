"""Segmentation for training: logits [N,K,H,W], class ids int64 [N,H,W], 255 = ignore."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.tasks.device_transfer import to_device
from advmtl.tasks.learning import Figure, Meter, PrecisionLoss, Sharpness, TaskLearning, are_numbers
from advmtl.tasks.segmentation.boundaries import BoundaryIoU
from advmtl.tasks.segmentation.encodings import equally_sharp, one_hot, shares
from advmtl.tasks.segmentation.losses import LOSSES
from advmtl.tasks.segmentation.metrics import SegmentationMetrics, frame_confusions, frame_metrics
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import IGNORE, LabelSet

_SHORT_ROW = 16  # float32 in a vector of AVX-512

NAME = "segmentation"
OUTPUT = "classes"


class SegmentationMeter:
    """IoU, accuracy and boundary IoU over a set."""

    def __init__(self, classes: str | LabelSet) -> None:
        self.pixels, self.boundary = SegmentationMetrics(classes), BoundaryIoU(classes)

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch of logits."""
        classes, target = outputs[NAME].argmax(dim=1), targets[NAME]
        self.pixels.update(classes, target, frames)
        self.boundary.update(classes, target)

    def merge(self, other: "SegmentationMeter") -> None:
        """Add what another one has counted."""
        self.pixels.merge(other.pixels)
        self.boundary.merge(other.boundary)

    def compute(self) -> dict[str, Any]:
        """See `SegmentationMetrics` and `BoundaryIoU`."""
        figures = {**self.pixels.compute(), **self.boundary.compute()}
        return figures if figures.get("pixel_accuracy") is not None else {}


@dataclass(frozen=True)
class SegmentationFrames:
    """A frame's mIoU is over the classes in its truth or prediction, so its mean over frames is not the set's mIoU."""

    classes: int

    def sums(self, output: Tensor, target: Tensor) -> Tensor:
        """Counts by (true, predicted) class, int64 `[N,K,K]`."""
        return frame_confusions(output.argmax(dim=1), target, self.classes)

    def figures(self, sums: Any) -> dict[str, Any]:
        """mIoU and pixel accuracy."""
        return frame_metrics(sums)


class Segmentation(TaskLearning):
    """A class per pixel."""

    losses = LOSSES
    figures: Sequence[Figure] = (
        Figure("miou", "1", True, main=True, title="mIoU", delta_m=True, of_frames=True, ranks_frames=True),
        Figure("miou_categories", "1", True, main=True, title="mIoU categories"),
        Figure("pixel_accuracy", "1", True, main=True, title="pixel accuracy", delta_m=True, of_frames=True),
        Figure("boundary_iou", "1", True, main=True, title="boundary IoU"),
        Figure("iou_per_class", "1", True, title="IoU", per_class=True),
        Figure("classes_absent", "classes"),
        Figure("frames", "frames"),
    )
    details: Mapping[str, str] = {"confusion": "confusion matrix"}
    tells = "classes"
    arg_max = OUTPUT
    lower_precision = PrecisionLoss("miou", "points", 1.0)

    def channels(self, spec: TaskSpec) -> int:
        """One per class."""
        return len(spec.labels.names)

    def means(self, spec: TaskSpec) -> str:
        """The classes, in their order."""
        return f"{self.channels(spec)} classes {','.join(spec.labels.names)}"

    def parts(self, figure: str, spec: TaskSpec) -> Sequence[str]:
        """The classes."""
        return spec.labels.names

    def tensor(self, targets: Any) -> Tensor:
        """int64 [N,H,W]."""
        return torch.from_numpy(targets).long()

    def mask(self, target: Tensor) -> Tensor:
        """Not 255."""
        return (target != IGNORE).unsqueeze(1)

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        """One-hot float32 [N,K,H,W], smoothed."""
        return one_hot(target, self.channels(spec), smoothing)

    def encode_real_at(self, target: Tensor, spec: TaskSpec, smoothing: float, scale: int) -> Tensor:
        """Shares of the classes, counted."""
        return shares(target, self.channels(spec), smoothing, scale)

    def equally_sharp(self, real: Tensor, fake: Tensor, how: Sharpness) -> tuple[Tensor, Tensor]:
        """See `encodings`."""
        return (real, fake) if how == "soft" else equally_sharp(real, fake, how)

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        """Softmax [N,K,H,W]; never arg max, which lets no gradient through."""
        # Over dimension 1 torch copies to the default layout first. Over the last one of channels_last it need not, but
        # takes rows shorter than its vectors one by one: ten times as long for 11 classes, 0.6 of it for 19.
        if output.shape[1] < _SHORT_ROW:
            return F.softmax(output, dim=1).contiguous(memory_format=torch.channels_last)
        return F.softmax(output.permute(0, 2, 3, 1), dim=-1).permute(0, 3, 1, 2)

    def as_compared(self, output: Tensor) -> Tensor:
        """Logits in torch's default layout: softmax over dimension 1 would copy them to it for every loss anew."""
        return output.contiguous()

    def pictures(self, output: Tensor, target: Tensor, spec: TaskSpec) -> tuple[Tensor, Tensor, Tensor]:
        """softmax(logits) x palette, and the target's colours."""
        colours = to_device(spec.labels.palette.astype(np.float32) / 255, output)
        predicted = F.conv2d(F.softmax(output, dim=1), colours.T[:, :, None, None])
        true = colours[target.clamp(max=len(colours) - 1)].permute(0, 3, 1, 2)
        return predicted, true, self.mask(target)

    def averaged_as(self, output: Tensor) -> Tensor:
        """Probabilities, whose arg max a meter takes: logits of a sure view would outvote all others."""
        return F.softmax(output.float(), dim=1)

    def pseudo_label(self, plain: Tensor, mirrored: Tensor) -> tuple[Tensor, Tensor]:
        """The most probable class by the mean of both views, int64, and its probability."""
        probability, classes = ((F.softmax(plain, 1) + F.softmax(mirrored, 1)) / 2).max(1, keepdim=True)
        return classes, probability

    def meter(self, spec: TaskSpec) -> Meter:
        """IoU, accuracy, boundary IoU."""
        return SegmentationMeter(spec.classes)

    def frame_meter(self, spec: TaskSpec) -> SegmentationFrames:
        """mIoU and pixel accuracy."""
        return SegmentationFrames(self.channels(spec))

    def headline(self, figures: Mapping[str, Any]) -> float:
        """mIoU."""
        return float(figures["miou"])

    def line(self, figures: Mapping[str, Any]) -> str:
        """mIoU."""
        return f"mIoU {figures['miou']:.3f}"

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        """The class map alone, uint8 [N,H,W]: probabilities of 19 classes would be 76 bytes a pixel to copy.

        255 everywhere where a logit is not a number.
        """
        # Upsampled by 4, each of the network's own logits has a share in one of these at least.
        good = are_numbers(output[:, :, ::4, ::4], output.shape[0])
        # As integers of the arg max: TensorRT has uint8 only at inputs and outputs.
        return {OUTPUT: torch.where(good, output.argmax(dim=1), IGNORE).to(torch.uint8)}

    def from_deployed(self, outputs: Mapping[str, Tensor], spec: TaskSpec) -> Tensor:
        """Logits with a single 1."""
        return F.one_hot(outputs[OUTPUT].long(), self.channels(spec)).permute(0, 3, 1, 2)


LEARNING = Segmentation()
