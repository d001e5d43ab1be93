"""A load equal to the joint light-weight RefineNet of Nekrasov et al. 2019 (arXiv 1809.04766), with random weights.

Written from the papers' descriptions: MobileNetV2 up to its 320 channels; its maps of 24, 32, 64, 96, 160 and 320 channels
brought to 256 by 1x1 convolutions; chained residual pooling of four stages with 1x1 convolutions at strides 32, 16, 8 and 4, the
last one depthwise; per task a depthwise 1x1 and a plain 3x3 convolution. 3.00 M parameters and 1.95 GMACs at 512x256 with 11
classes; published: 3.0 M and 1.94. It learns nothing here: only its cost is compared.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from advmtl.networks import Generator
from advmtl.tasks import TASKS, Task, TaskSpec
from preprocessing.ground import LabelSet

TAPS = {3: 24, 6: 32, 10: 64, 13: 96, 16: 160, 17: 320}  # block of MobileNetV2: channels it gives
LEVELS = ((0,), (1,), (2, 3), (4, 5))  # which of the six maps meet at strides 4, 8, 16, 32


class MobileNetV2Maps(nn.Module):
    """MobileNetV2's blocks; maps at strides 4, 8, 16, 16, 32, 32."""

    strides = (4, 8, 16, 16, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.features = mobilenet_v2(weights=None).features[:18]
        self.channels = tuple(TAPS.values())

    def forward(self, image: Tensor) -> list[Tensor]:
        """Take [N,3,H,W], return the six maps, finest first."""
        maps = []
        for index, block in enumerate(self.features):
            image = block(image)
            if index in TAPS:
                maps.append(image)
        return maps


class Pooling(nn.Module):
    """Chained residual pooling without a first ReLU; depthwise or full 1x1 convolutions."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 1, groups=groups, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Refine `x`."""
        top = x
        for convolution in self.convolutions:
            top = convolution(F.max_pool2d(top, 5, stride=1, padding=2))
            x = x + top
        return x


class LightRefineNet(nn.Module):
    """The decoder: six maps to one of `channels` channels at stride 4."""

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, channels, 1, bias=False) for count in TAPS.values())
        self.pooling = nn.ModuleList(Pooling(channels, channels if level == 0 else 1) for level in range(4))
        self.adapters = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(3))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse coarse to fine."""
        x: Tensor | None = None
        for level in (3, 2, 1, 0):
            here = [self.laterals[index](maps[index]) for index in LEVELS[level]]
            if x is not None:
                x = F.interpolate(self.adapters[level](x), here[0].shape[-2:], mode="bilinear", align_corners=False)
                here.append(x)
            x = self.pooling[level](F.relu6(sum(here[1:], here[0])))
        assert x is not None
        return x


def ours(classes: int) -> tuple[dict[str, Task], TaskSpec]:
    """Segmentation of so many classes, and depth."""
    names = tuple(str(number) for number in range(classes))
    labels = LabelSet("benchmark", names, np.zeros((classes, 3), np.uint8))
    return {name: TASKS[name] for name in ("segmentation", "depth")}, TaskSpec(told_labels=labels)


def build_light_refinenet(classes: int = 11) -> Generator:
    """The whole network as a `Generator`, so that it gets the very pre- and post-processing that ours has."""
    tasks, spec = ours(classes)
    heads = {
        name: nn.Sequential(
            *(nn.Conv2d(256, 256, 1, groups=256, bias=False), nn.ReLU6()),
            nn.Conv2d(256, task.learning.channels(spec), 3, padding=1),
        )
        for name, task in tasks.items()
    }
    network = Generator(MobileNetV2Maps(), LightRefineNet(), nn.ModuleDict(heads), tasks, spec)  # type: ignore[arg-type]
    return network.to(memory_format=torch.channels_last).eval()
