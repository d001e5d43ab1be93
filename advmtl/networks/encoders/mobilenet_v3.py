"""MobileNetV3-Small and -Large as encoders: four maps at strides 4, 8, 16 and 32."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Large_Weights, MobileNet_V3_Small_Weights
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from advmtl.networks.encoders.contract import STRIDES, StageShape
from advmtl.networks.weights import download, load_strictly, read_state_dict
from preprocessing.ground import InputError

_Block = tuple[int, float, int, bool, str, int]
_STEM_CHANNELS = 16


@dataclass(frozen=True)
class Plan:
    """One of the two networks.

    Attributes:
        blocks: kernel, expansion (of the block's input), output channels, squeeze-excite, activation, stride. At width
            1 the channels are torchvision's; at other widths they are TensorFlow's, which expands the scaled input
            (torchvision scales the expanded count instead, but has no weights at other widths).
        taps: number of the last block at each of the strides 4, 8, 16, 32; the stem is 0.
        published: torchvision's weights of width 1.
    """

    blocks: tuple[_Block, ...]
    taps: tuple[int, int, int, int]
    published: Any

    def stage(self, number: int) -> tuple[_Block, ...]:
        """The blocks that lead to tap `number`, counted from 0."""
        first = (0, *self.taps)[number]
        return self.blocks[first : self.taps[number]]


# Howard et al. 2019, Table 2.
SMALL = Plan(
    (
        (3, 1.0, 16, True, "RE", 2),
        (3, 4.5, 24, False, "RE", 2),
        (3, 88 / 24, 24, False, "RE", 1),
        (5, 4.0, 40, True, "HS", 2),
        (5, 6.0, 40, True, "HS", 1),
        (5, 6.0, 40, True, "HS", 1),
        (5, 3.0, 48, True, "HS", 1),
        (5, 3.0, 48, True, "HS", 1),
        (5, 6.0, 96, True, "HS", 2),
        (5, 6.0, 96, True, "HS", 1),
        (5, 6.0, 96, True, "HS", 1),
    ),
    (1, 3, 8, 11),
    MobileNet_V3_Small_Weights.IMAGENET1K_V1,
)
# Table 1.
LARGE = Plan(
    (
        (3, 1.0, 16, False, "RE", 1),
        (3, 4.0, 24, False, "RE", 2),
        (3, 3.0, 24, False, "RE", 1),
        (5, 3.0, 40, True, "RE", 2),
        (5, 3.0, 40, True, "RE", 1),
        (5, 3.0, 40, True, "RE", 1),
        (3, 6.0, 80, False, "HS", 2),
        (3, 2.5, 80, False, "HS", 1),
        (3, 2.3, 80, False, "HS", 1),
        (3, 2.3, 80, False, "HS", 1),
        (3, 6.0, 112, True, "HS", 1),
        (3, 6.0, 112, True, "HS", 1),
        (5, 6.0, 160, True, "HS", 2),
        (5, 6.0, 160, True, "HS", 1),
        (5, 6.0, 160, True, "HS", 1),
    ),
    (3, 6, 12, 15),
    MobileNet_V3_Large_Weights.IMAGENET1K_V2,
)


class MobileNetV3Encoder(nn.Module):
    """Runs an image through MobileNetV3's blocks and returns the maps at strides 4, 8, 16, 32.

    The final 1x1 convolution (to 576 channels in Small) is left out: it exists for the classifier.

    Attributes:
        channels: channels of the four maps.
        strides: (4, 8, 16, 32); a map's side is ceil(side / stride).
    """

    strides = STRIDES

    def __init__(self, features: nn.Sequential, channels: tuple[int, ...], plan: Plan = SMALL) -> None:
        super().__init__()
        self.features = features
        self.channels = channels
        self.plan = plan

    def forward(self, image: Tensor) -> list[Tensor]:
        """Take an ImageNet-normalised image [N,3,H,W]; return maps [N,channels[i],ceil(H/s),ceil(W/s)]."""
        return self.walk(image)[1]

    def walk(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stem's map [N,C,ceil(H/2),ceil(W/2)], which the blocks of the first stage read, and `forward`'s maps."""
        maps = []
        x = stem = self.features[0](image)
        for index, block in enumerate(self.features[1:], start=1):
            x = block(x)
            if index in self.plan.taps:
                maps.append(x)
        return stem, maps

    def stages(self) -> list[nn.Sequential]:
        """The blocks between the taps, four stages; the stem belongs to the first."""
        return [self.features[start:end] for start, end in pairwise((0, *(tap + 1 for tap in self.plan.taps)))]

    def stage_parameters(self) -> list[list[nn.Parameter]]:
        """The parameters of each of the `stages`."""
        return [list(stage.parameters()) for stage in self.stages()]

    def shapes(self) -> list[StageShape]:
        """What leads from a stage's input (the first one's: the stem's map) to its tap."""
        stem = self.features[0]
        assert isinstance(stem, nn.Sequential) and isinstance(stem[0], nn.Conv2d)
        widths = pairwise((stem[0].out_channels, *self.channels))
        found = []
        for number, (before, after) in enumerate(widths):
            kernel, *_, activation, stride = max(self.plan.stage(number), key=lambda block: block[-1])
            found.append(StageShape(before, after, kernel, stride, activation))
        return found


def small(weights: str | None, width: float) -> MobileNetV3Encoder:
    """MobileNetV3-Small, the system paper's encoder and the default."""
    return _build(SMALL, weights, width)


def large(weights: str | None, width: float) -> MobileNetV3Encoder:
    """MobileNetV3-Large."""
    return _build(LARGE, weights, width)


def _build(plan: Plan, weights: str | None, width: float) -> MobileNetV3Encoder:
    """Build the encoder, with new weights or loaded ones.

    Args:
        weights: None (random), "imagenet" (torchvision's, downloaded once), or the path of a state dict: the whole
            torchvision network or its features alone, with or without the prefix "features.".
        width: channel multiplier; 1.0 is torchvision's network.

    Raises:
        InputError: the file is missing, is no state dict, or does not fit; or the download failed.
    """
    channels, settings = _settings(plan, width)
    features = MobileNetV3(settings, last_channel=8).features[: len(plan.blocks) + 1]
    if weights is not None:
        if weights == "imagenet" and width != 1.0:
            raise InputError(
                f"encoder.weights: 'imagenet' has width 1.0 only, not {width}; give a path or set width: 1.0"
            )
        _load_features(features, _read_state(plan, weights), weights)
    return MobileNetV3Encoder(features, channels, plan)


def _settings(plan: Plan, width: float) -> tuple[tuple[int, ...], list[InvertedResidualConfig]]:
    """Block settings at a width, and the channels of the four taps."""
    here = _divisible(_STEM_CHANNELS * width)
    # TensorFlow keeps the stem and rounds every output to a multiple of 8, never below 90 % of the wish.
    here = max(here, _STEM_CHANNELS)
    settings, taps = [], []
    for index, (kernel, expansion, out, excite, activation, stride) in enumerate(plan.blocks, start=1):
        expanded, out = _divisible(here * expansion), _divisible(out * width)
        settings.append(InvertedResidualConfig(here, kernel, expanded, out, excite, activation, stride, 1, 1.0))
        here = out
        if index in plan.taps:
            taps.append(here)
    return tuple(taps), settings


def _divisible(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _read_state(plan: Plan, weights: str) -> dict[str, Tensor]:
    """Read a state dict from torchvision's download or from a file. Raises InputError."""
    if weights == "imagenet":
        instead = "set encoder.weights=PATH of that file, or encoder.weights=null to train from scratch"
        return download(plan.published, "encoder.weights", instead)
    return read_state_dict(Path(weights), "encoder.weights")


def _load_features(features: nn.Sequential, state: Mapping[str, Tensor], weights: str) -> None:
    names = {name.removeprefix("features."): value for name, value in state.items()}
    classifier = ("classifier.", f"{len(features)}.")  # with the 1x1 convolution that feeds it
    load_strictly(
        features,
        {name: value for name, value in names.items() if not name.startswith(classifier)},
        f"encoder.weights: {weights}",
    )
