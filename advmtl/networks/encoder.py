"""MobileNetV3-Small as an encoder: four maps at strides 4, 8, 16 and 32."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import MobileNet_V3_Small_Weights
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3

from advmtl.networks.weights import download
from preprocessing.ground import InputError

# Howard et al. 2019, Table 2: kernel, expansion (of the block's input), output channels, squeeze-excite,
# activation, stride. At width 1 the channels are torchvision's; at other widths they are TensorFlow's, which
# expands the scaled input (torchvision scales the expanded count instead, but has no weights at other
# widths).
_BLOCKS: tuple[tuple[int, float, int, bool, str, int], ...] = (
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
)
_TAPS = (1, 3, 8, 11)  # the last block at each of the strides 4, 8, 16, 32
_STEM_CHANNELS = 16


@dataclass(frozen=True)
class StageShape:
    """A stage as its first block has it: what leads from its input to its tap.

    Attributes:
        in_channels, out_channels: of the stage's input and of its tap.
        kernel, stride: of its depthwise convolution.
        activation: "RE" (ReLU) or "HS" (hard swish).
    """

    in_channels: int
    out_channels: int
    kernel: int
    stride: int
    activation: str


class Encoder(nn.Module):
    """Runs an image through MobileNetV3-Small's blocks and returns the maps at strides 4, 8, 16, 32.

    The final 1x1 convolution to 576 channels is left out: it exists for the classifier.

    Attributes:
        channels: channels of the four maps.
        strides: (4, 8, 16, 32); a map's side is ceil(side / stride).
    """

    strides = (4, 8, 16, 32)

    def __init__(self, features: nn.Sequential, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.features = features
        self.channels = channels

    def forward(self, image: Tensor) -> list[Tensor]:
        """Take an ImageNet-normalised image [N,3,H,W]; return maps [N,channels[i],ceil(H/s),ceil(W/s)]."""
        return self.walk(image)[1]

    def walk(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stem's map [N,C,ceil(H/2),ceil(W/2)], which the blocks of the first stage read, and `forward`'s maps."""
        maps = []
        x = stem = self.features[0](image)
        for index, block in enumerate(self.features[1:], start=1):
            x = block(x)
            if index in _TAPS:
                maps.append(x)
        return stem, maps

    def stages(self) -> list[nn.Sequential]:
        """The blocks between the taps, four stages; the stem belongs to the first."""
        return [self.features[start:end] for start, end in pairwise((0, *(tap + 1 for tap in _TAPS)))]

    def shapes(self) -> list[StageShape]:
        """What leads from a stage's input (the first one's: the stem's map) to its tap."""
        stem = self.features[0]
        assert isinstance(stem, nn.Sequential) and isinstance(stem[0], nn.Conv2d)
        widths = pairwise((stem[0].out_channels, *self.channels))
        firsts = (1, *(tap + 1 for tap in _TAPS[:-1]))
        rows = [_BLOCKS[first - 1] for first in firsts]
        return [
            StageShape(before, after, kernel, stride, activation)
            for (before, after), (kernel, _, _, _, activation, stride) in zip(widths, rows, strict=True)
        ]


def build_encoder(weights: str | None = None, bn_momentum: float = 0.1, width: float = 1.0) -> Encoder:
    """Build the encoder, with new weights or loaded ones.

    Args:
        weights: None (random), "imagenet" (torchvision's, downloaded once), or the path of a state dict: a
            whole torchvision MobileNetV3-Small or its features alone, with or without the prefix "features.".
        bn_momentum: batch-norm momentum. torchvision's 0.01 lets the running statistics lag behind the
            weights when training from scratch for a few hundred steps (evaluation then collapses to one
            class); 0.1 does not.
        width: channel multiplier; 1.0 is torchvision's network.

    Raises:
        InputError: the file is missing, is no state dict, or does not fit; or the download failed.
    """
    channels, settings = _settings(width)
    features = MobileNetV3(settings, last_channel=8).features[: len(_BLOCKS) + 1]
    for module in features.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = bn_momentum
    if weights is not None:
        if weights == "imagenet" and width != 1.0:
            raise InputError(
                f"encoder.weights: 'imagenet' has width 1.0 only, not {width}; give a path or set width: 1.0"
            )
        _load_features(features, _read_state(weights), weights)
    return Encoder(features, channels).to(memory_format=torch.channels_last)


def _settings(width: float) -> tuple[tuple[int, ...], list[InvertedResidualConfig]]:
    """Block settings at a width, and the channels of the four taps."""
    here = _divisible(_STEM_CHANNELS * width)
    # TensorFlow keeps the stem and rounds every output to a multiple of 8, never below 90 % of the wish.
    here = max(here, _STEM_CHANNELS)
    settings, taps = [], []
    for index, (kernel, expansion, out, excite, activation, stride) in enumerate(_BLOCKS, start=1):
        expanded, out = _divisible(here * expansion), _divisible(out * width)
        settings.append(InvertedResidualConfig(here, kernel, expanded, out, excite, activation, stride, 1, 1.0))
        here = out
        if index in _TAPS:
            taps.append(here)
    return tuple(taps), settings


def _divisible(channels: float) -> int:
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def _read_state(weights: str) -> dict[str, Tensor]:
    """Read a state dict from torchvision's download or from a file. Raises InputError."""
    if weights == "imagenet":
        instead = "set encoder.weights=PATH of that file, or encoder.weights=null to train from scratch"
        return download(MobileNet_V3_Small_Weights.IMAGENET1K_V1, "encoder.weights", instead)
    return read_state_dict(Path(weights), "encoder.weights")


def read_state_dict(path: Path, key: str) -> dict[str, Tensor]:
    """Read a file of tensors by name, and nothing else: code inside the file is not run.

    Args:
        path: a file written by `torch.save` of a state dict.
        key: configuration key the path came from, for the error message.

    Raises:
        InputError: the file is missing, unreadable, or holds something other than tensors by name.
    """
    if not path.is_file():
        raise InputError(f"{key}: no file {path}; give the path of a PyTorch state dict")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds (pickle, zip, EOF, runtime) on a file that is not its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{key}: {path} is no PyTorch state dict ({reason}); give another file") from None
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{key}: {path} holds no tensors by name; save model.state_dict() alone")
    return dict(state)


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load `state` into `module`; every key and shape must match.

    Raises:
        InputError: one line naming `where` and the first difference.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in state]
    unknown = [name for name in state if name not in own]
    shapes = [name for name in own if name in state and own[name].shape != state[name].shape]
    if missing or unknown:
        found = f"lacks {missing[0]}" if missing else f"has an unknown {unknown[0]}"
        raise InputError(
            f"{where} does not fit: it {found} ({len(missing)} missing, {len(unknown)} unknown); "
            "give this network's weights"
        )
    if shapes:
        name = shapes[0]
        theirs, ours = list(state[name].shape), list(own[name].shape)
        raise InputError(f"{where} does not fit: {name} is {theirs}, the network has {ours}; give weights of its width")
    module.load_state_dict(state)


def _load_features(features: nn.Sequential, state: Mapping[str, Tensor], weights: str) -> None:
    names = {name.removeprefix("features."): value for name, value in state.items()}
    classifier = ("classifier.", f"{len(_BLOCKS) + 1}.")  # with the 1x1 convolution that feeds it
    load_strictly(
        features,
        {name: value for name, value in names.items() if not name.startswith(classifier)},
        f"encoder.weights: {weights}",
    )
