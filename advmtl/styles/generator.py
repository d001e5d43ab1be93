"""The generator that changes how a picture looks: a small residual encoder and decoder, fully convolutional."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGEST_CHANGE = 5.0
"""Of a pixel's log odds; a change of 5 takes white to 0.75 of it at the least, black to its quarter at the most."""
STRIDE = 4
_EDGE = 1 / 512  # half a step of 8 bits: pictures that are not changed come back to the bit


class RestyleGenerator(nn.Module):
    """Pictures RGB in 0..1 to pictures of the same size, both [N,3,H,W], sides multiples of 4.

    What it gives is a change of each pixel's log odds, so that what it leaves alone stays as it is and no value leaves
    0..1. Two strided convolutions, residual blocks, two upsampling ones (as Johnson et al. 2016 have it), with instance
    normalisation.

    Args:
        width: channels at full size; twice and four times as many at half and at a quarter of it.
        blocks: residual ones, at a quarter of the size.
    """

    def __init__(self, width: int = 16, blocks: int = 4) -> None:
        super().__init__()
        self.width, self.count = width, blocks
        self.stem = _Layer(3, width)
        self.halved = _Layer(width, 2 * width, stride=2)
        self.quartered = _Layer(2 * width, 4 * width, stride=2)
        self.blocks = nn.ModuleList(_Block(4 * width) for _ in range(blocks))
        self.doubled = _Layer(4 * width, 2 * width)
        self.full = _Layer(2 * width, width)
        self.head = nn.Conv2d(width, 3, 3, padding=1)
        nn.init.normal_(self.head.weight, std=0.02)  # at first it changes next to nothing
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)

    @property
    def tapped(self) -> tuple[int, ...]:
        """Channels of what `features` gives."""
        return (self.width, 2 * self.width, 4 * self.width, 4 * self.width)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """What a contrastive loss compares: [N,C,H,W] at full size, half, a quarter, and amid the residual blocks."""
        return self._encode(pictures, (len(self.blocks) + 1) // 2)

    def _encode(self, pictures: Tensor, blocks: int) -> list[Tensor]:
        x = (2 * pictures - 1).contiguous(memory_format=torch.channels_last)
        maps = []
        for layer in (self.stem, self.halved, self.quartered):
            x = layer(x)
            maps.append(x)
        for block in self.blocks[:blocks]:
            x = block(x)
        return [*maps, x]

    def forward(self, pictures: Tensor) -> Tensor:
        """The pictures as they look in the other style."""
        return changed(pictures, self.change(pictures))

    def change(self, pictures: Tensor) -> Tensor:
        """What to add to the log odds of each pixel, [N,3,H,W]."""
        return self.with_features(pictures)[0]

    def with_features(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The same, and the `features` of the pictures, which one forward has both."""
        middle = (len(self.blocks) + 1) // 2
        maps = self._encode(pictures, middle)
        x = maps[-1]
        for block in self.blocks[middle:]:
            x = block(x)
        x = self.doubled(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        x = self.full(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return LARGEST_CHANGE * torch.tanh(self.head(x) / LARGEST_CHANGE), maps


def changed(pictures: Tensor, change: Tensor) -> Tensor:
    """Pictures in 0..1 whose log odds are moved by `change`, of the same shape. Computed in float32."""
    odds = torch.logit(pictures.float().clamp(_EDGE, 1 - _EDGE))
    return torch.sigmoid(odds + change.float())


def applied(generator: RestyleGenerator, pictures: Tensor, size: Sequence[int] | None = None) -> Tensor:
    """Restyle pictures [N,3,H,W] of any size: the change is found at `size` (height, width) and enlarged.

    None: at their own, rounded to what the network takes.
    """
    own = pictures.shape[-2:]
    wanted = [max(2, round(side / STRIDE)) * STRIDE for side in (own if size is None else size)]
    seen = pictures
    if list(own) != wanted:
        seen = F.interpolate(pictures, wanted, mode="bilinear", align_corners=False, antialias=True)
    change = generator.change(seen)
    if list(own) != wanted:
        change = F.interpolate(change, own, mode="bilinear", align_corners=False)
    return changed(pictures, change)


class _Layer(nn.Module):
    """Convolution, instance normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = _convolution(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return _normalised(self.convolution(x)).relu()


class _Block(nn.Module):
    """x + two convolutions of it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.second = _convolution(channels, channels, 1), _convolution(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + _normalised(self.second(_normalised(self.first(x)).relu()))


def _convolution(inputs: int, outputs: int, stride: int) -> nn.Conv2d:
    # Mirrored edges, as CUT has them, cost a copy of every map; a rim of zeros shows as a faint frame of 1 to 2 px.
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight)
    return convolution


def _normalised(x: Tensor) -> Tensor:
    # Groups of one channel are instance normalisation; its own function leaves the channels_last layout.
    return F.group_norm(x, x.shape[1])
