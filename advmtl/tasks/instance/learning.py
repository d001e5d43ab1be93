"""Instances for training: offsets dy, dx [N,2,H,W] [px]; target dy, dx and ids [N,3,H,W], 0 = none, 65535 = ignore."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advmtl.tasks.device_transfer import to_device
from advmtl.tasks.instance.grouping import OFFSET_UNIT_PER_WIDTH
from advmtl.tasks.instance.losses import LOSSES, instance_mask
from advmtl.tasks.instance.metrics import InstanceMetrics
from advmtl.tasks.learning import Figure, Meter, PrecisionLoss, TaskLearning
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground import LabelSet

NAME = "instance"
OUTPUT = "offsets_px"
CLASSES_FROM = "segmentation"
"""The task whose classes say what an instance is of."""


class InstanceMeter:
    """Offsets, and panoptic quality where there are classes too."""

    def __init__(self, classes: str | LabelSet) -> None:
        self.offsets = InstanceMetrics(classes)

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch. Without classes, as in a network of this task alone, only the offsets can be measured."""
        classes = outputs[CLASSES_FROM].argmax(dim=1) if CLASSES_FROM in outputs else None
        self.offsets.update(outputs[NAME].float(), targets[NAME], classes, frames)

    def merge(self, other: "InstanceMeter") -> None:
        """Add what another one has counted."""
        self.offsets.merge(other.offsets)

    def compute(self) -> dict[str, Any]:
        """See `InstanceMetrics`."""
        figures = self.offsets.compute()
        return figures if figures.get("offset_rmse_px") is not None else {}


class Instance(TaskLearning):
    """Every pixel's way from its instance's centre [px]."""

    losses = LOSSES
    figures: Sequence[Figure] = (
        Figure("offset_rmse_px", "px", False, main=True, title="offset RMSE", delta_m=True),
        Figure("zero_rmse_px", "px"),
        Figure("width_px", "px"),
        Figure("pq", "1", True, main=True, title="PQ"),
        Figure("sq", "1", True),
        Figure("rq", "1", True),
        Figure("pq_per_class", "1", True, title="PQ", per_class=True),
        Figure("frames", "frames"),
        Figure("pixels", "px"),
        Figure("instances", "instances"),
        Figure("instances_found", "instances"),
    )
    dense = False  # an offset means something inside instances alone
    lower_precision = PrecisionLoss("offset_rmse_px", "percent", 5.0)

    def channels(self, spec: TaskSpec) -> int:
        """Two, dy before dx."""
        return 2

    def parts(self, figure: str, spec: TaskSpec) -> Sequence[str]:
        """The classes that have instances."""
        return [spec.labels.names[number] for number in spec.things]

    def activate(self, x: Tensor, spec: TaskSpec) -> Tensor:
        """Pixels. A constant of the network, not of the picture: what it has learnt is pixels, whatever the size it is
        shown.
        """
        return x * (spec.width_px * OFFSET_UNIT_PER_WIDTH)

    def tensor(self, targets: Any) -> Tensor:
        """float32 [N,3,H,W]."""
        return torch.from_numpy(targets)

    def halved(self, target: Tensor, spec: TaskSpec) -> Tensor:
        """Offsets are half as many pixels; ids stay."""
        small = target[..., ::2, ::2]
        return torch.cat([small[:, :2] / 2, small[:, 2:]], 1)

    def mask(self, target: Tensor) -> Tensor:
        """Pixels of an instance."""
        return instance_mask(target)

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        """Offsets in units of 1/32 of the width."""
        return _unitless(target[:, :2])

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        """As `encode_real`."""
        return _unitless(output)

    def mirrored(self, output: Tensor) -> Tensor:
        """dx turns its sign, too."""
        dy, dx = output.flip(-1).split(1, dim=1)
        return torch.cat([dy, -dx], dim=1)

    def as_measured(self, output: Tensor, zoom: float | Tensor, pixels: tuple[float, float], spec: TaskSpec) -> Tensor:
        """In pixels of the map's picture."""
        if pixels == (1.0, 1.0):
            return output
        return output * to_device(np.array(pixels, np.float32), output).view(1, 2, 1, 1)

    def meter(self, spec: TaskSpec) -> Meter:
        """Offsets and panoptic quality."""
        return InstanceMeter(spec.classes)

    def headline(self, figures: Mapping[str, Any]) -> float:
        """1 less the RMSE over that of predicting none."""
        return float(1 - figures["offset_rmse_px"] / max(figures["zero_rmse_px"], 1e-6))

    def line(self, figures: Mapping[str, Any]) -> str:
        """RMSE of the offsets, and PQ where there is one."""
        quality = "" if figures.get("pq") is None else f", PQ {figures['pq']:.3f}"
        return f"offset RMSE {figures['offset_rmse_px']:.2f} px{quality}"

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        """float32 [N,2,H,W]; grouped into instances outside of the graph: counting votes is not for one."""
        return {OUTPUT: output.float()}

    def from_deployed(self, outputs: Mapping[str, Tensor], spec: TaskSpec) -> Tensor:
        """[N,2,H,W]."""
        return outputs[OUTPUT]


def _unitless(offsets: Tensor) -> Tensor:
    """Offsets [px] in the loss's unit, of order 1, so that a discriminator of bounded slope can separate them."""
    return offsets / (OFFSET_UNIT_PER_WIDTH * offsets.shape[-1])


LEARNING = Instance()
