"""The deployed graph rearranged for processors: the same weights and the same outputs in half the time.

`Deployable` says what is computed; here it is computed where it is cheap. See docs/deployment_speed.md.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import SqueezeExcitation

from advmtl.networks.generator import Generator
from export.graph.deployable import DEVIATION, MEAN, Deployable, are_numbers
from export.graph.metadata import CLASSES, DEPTH, IGNORED_CLASS, OFFSETS

TARGETS = ("cpu", "gpu")
STRIDE = 4  # of the shared representation, from which all maps are upsampled


def deployable_for(generator: nn.Module, size: tuple[int, int], target: str) -> nn.Module:
    """The module to export for `target`, "cpu" or "gpu", at `size` (width, height).

    "gpu" is `Deployable` itself, in which every shape is fixed, as TensorRT wants it. "cpu" is `CpuDeployable` where
    the sides divide by 4 and the network is ours; else `Deployable` too.
    """
    width, height = size
    if target == "cpu" and isinstance(generator, Generator) and not (width % STRIDE or height % STRIDE):
        return CpuDeployable(generator, size)
    return Deployable(generator)


class CpuDeployable(nn.Module):
    """`Deployable` for one size and batch 1, with equal outputs up to rounding.

    Three things differ. The first convolution takes the pixels as they lie in memory. One- and two-channel maps are
    upsampled in plain layout: ONNX Runtime's blocked one computes 16 channels for each. Classes are compared at full
    size only in the cells where they can change (`BorderClasses`).
    """

    mean: Tensor

    def __init__(self, generator: Generator, size: tuple[int, int]) -> None:
        super().__init__()
        width, height = size
        self.generator = copy.deepcopy(generator)
        first = self.generator.encoder.features[0]
        assert isinstance(first, nn.Sequential) and isinstance(first[0], nn.Conv2d)
        first[0] = convolution_of_pixels(first[0])
        for block in list(self.generator.modules()):
            for name, child in block.named_children():
                if isinstance(child, SqueezeExcitation):
                    setattr(block, name, Gate(child))
        mean = 255 * torch.tensor(MEAN).repeat(width).view(1, 1, 1, 3 * width)
        self.register_buffer("mean", mean, persistent=False)
        self.upsample = Upsample(height // STRIDE)
        self.decide = BorderClasses(height // STRIDE, width // STRIDE)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        # As it lies in memory: [1,1,H,3W], red, green, blue, red, …; no transpose.
        line = image.reshape(1, 1, image.shape[1], -1).float() - self.mean
        maps = self.generator.emit(*self.generator.encode(line))
        outputs: dict[str, Tensor] = {}
        if "segmentation" in maps:
            outputs[CLASSES] = self.decide(maps["segmentation"])
        if "depth" in maps:
            outputs[DEPTH] = self.generator.activate("depth", self.upsample(maps["depth"]))
        if "instance" in maps:
            outputs[OFFSETS] = self.generator.activate("instance", self.upsample(maps["instance"])[None])
        return outputs


@torch.no_grad()
def convolution_of_pixels(stem: nn.Conv2d) -> nn.Conv2d:
    """The first convolution, taking interleaved pixels [N,1,H,3W] less 255 x mean instead of normalised RGB planes.

    A kernel of 3 columns in 3 channels is one of 9 columns, its stride and padding three times as wide. Deviation and
    255 move into the weights. The mean cannot move into a bias: padding is 0 after its subtraction, not before.
    """
    rows, columns = stem.kernel_size[0], stem.kernel_size[1]
    pixels = nn.Conv2d(
        1,
        stem.out_channels,
        (rows, 3 * columns),
        (stem.stride[0], 3 * stem.stride[1]),
        (int(stem.padding[0]), 3 * int(stem.padding[1])),
        bias=stem.bias is not None,
    )
    weight = stem.weight.double() / (255 * torch.tensor(DEVIATION, dtype=torch.float64).view(1, 3, 1, 1))
    pixels.weight.copy_(weight.permute(0, 2, 3, 1).reshape(stem.out_channels, 1, rows, 3 * columns))
    if stem.bias is not None and pixels.bias is not None:
        pixels.bias.copy_(stem.bias)
    return pixels


class Gate(nn.Module):
    """`SqueezeExcitation` in operators that ONNX Runtime has in its blocked layout.

    Its mean and its product with [N,C,1,1] are not: each map was brought to plain layout, multiplied on one core, and
    brought back.
    """

    def __init__(self, gate: SqueezeExcitation) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of `x` [N,C,h,w]."""
        height, width = x.shape[-2:]
        mean = F.avg_pool2d(F.avg_pool2d(x, (1, width)), (height, 1))
        scale = self.gate.scale_activation(self.gate.fc2(self.gate.activation(self.gate.fc1(mean))))
        return x * F.interpolate(scale, size=(height, width), mode="nearest")


class Upsample(nn.Module):
    """Bilinear by `STRIDE`, [1,C,h,w] to [C,4h,4w], as `F.interpolate` does it with `align_corners=False`.

    ONNX Runtime upsamples a map of one channel on one core, or in blocks of 16 channels of which 15 are padding. Here a
    convolution gives the four columns of each place as channels, which lie in memory as a row has them, and a product
    the four rows from the nearest three.
    """

    columns: Tensor
    rows: Tensor
    nearest: Tensor

    def __init__(self, height: int) -> None:
        """For maps of this height."""
        super().__init__()
        # Three places in a row, upsampled one at a time: their shares of the pixels of the middle one.
        shares = F.interpolate(torch.eye(3)[:, None], scale_factor=STRIDE, mode="linear")[:, 0, STRIDE : 2 * STRIDE]
        self.register_buffer("columns", shares.t().reshape(STRIDE, 1, 1, 3).contiguous(), persistent=False)
        self.register_buffer("rows", shares.t().contiguous(), persistent=False)
        nearest = (torch.arange(height)[:, None] + torch.tensor([-1, 0, 1])).clamp(0, height - 1)
        self.register_buffer("nearest", nearest.flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Upsample `x`."""
        channels, height, width = x.shape[1:]
        padded = F.pad(x, (1, 1, 0, 0), mode="replicate").transpose(0, 1)
        wide = F.conv2d(padded, self.columns).permute(0, 2, 3, 1).reshape(channels, height, -1)
        near = wide.index_select(1, self.nearest).reshape(channels, height, 3, -1)
        return (self.rows @ near).reshape(channels, STRIDE * height, STRIDE * width)


class BorderClasses(nn.Module):
    """Arg max of logits upsampled bilinearly by `STRIDE`, computed only where classes meet.

    A full-size pixel lies between four neighbours of the small map, in one cell. Its logits are a weighted mean of
    theirs. So where one class leads at all four, it leads in the whole cell, and nothing need be upsampled. Only the
    other cells (3 to 25 % on street scenes) are gathered, interpolated and compared; equal to the arg max of all.
    255 everywhere where a logit is not a number.
    """

    leader: Tensor
    corners: Tensor
    weights: Tensor

    def __init__(self, height: int, width: int) -> None:
        """For logits of this size."""
        super().__init__()
        self.height, self.width = height, width
        # Cell (i, j) lies between rows i - 1 and i, columns j - 1 and j; at the edge both are the same.
        top = (torch.arange(height + 1) - 1).clamp(min=0) * width
        bottom = torch.arange(height + 1).clamp(max=height - 1) * width
        left = (torch.arange(width + 1) - 1).clamp(min=0)
        right = torch.arange(width + 1).clamp(max=width - 1)
        corners = [(row[:, None] + column).flatten() for row in (top, bottom) for column in (left, right)]
        self.register_buffer("corners", torch.stack(corners, 1), persistent=False)
        far = (torch.arange(STRIDE) + 0.5) / STRIDE  # of a cell's pixels: share of the farther neighbour
        shares = torch.stack([1 - far, far], 1)
        weights = torch.einsum("ya,xb->yxab", shares, shares).reshape(STRIDE**2, 4)
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Take logits [1,K,h,w]; return the classes, uint8 [1,4h,4w]."""
        classes = logits.shape[1]
        best = logits.argmax(1, keepdim=True).float()  # float because torch pads no integers by the edge
        best = F.pad(best, (1, 1, 1, 1), mode="replicate")[0, 0]
        first = best[:-1, :-1]
        differs = (first != best[:-1, 1:]) | (first != best[1:, :-1]) | (first != best[1:, 1:])
        good = are_numbers(logits)
        border = (differs & good).flatten().nonzero()[:, 0]
        # A row of 16 equal pixels per class: cells of one class are copied, not computed.
        rows = torch.where(good, torch.arange(classes), IGNORED_CLASS).to(torch.uint8)[:, None].repeat(1, STRIDE**2)
        cells = rows.index_select(0, first.flatten().long())
        cells = torch.index_put(cells, (border,), self._between(logits, border))
        full = cells.view(self.height + 1, self.width + 1, STRIDE, STRIDE).permute(0, 2, 1, 3)
        full = full.reshape(1, (self.height + 1) * STRIDE, (self.width + 1) * STRIDE)
        half = STRIDE // 2
        return full[:, half:-half, half:-half]

    def _between(self, logits: Tensor, border: Tensor) -> Tensor:
        """The classes of the pixels of the cells `border`, uint8 [cells, 16]."""
        classes = logits.shape[1]
        pixels = logits.permute(0, 2, 3, 1).reshape(-1, classes)
        near = pixels.index_select(0, self.corners.index_select(0, border).t().flatten())
        # Classes stay last: brought to the middle and compared there, these steps took 1.05 to 1.24 times as long.
        between = (self.weights @ near.view(4, -1)).view(STRIDE**2, -1, classes)
        return between.argmax(2).to(torch.uint8).t()
