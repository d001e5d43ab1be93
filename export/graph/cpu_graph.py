"""The deployed graph rearranged for CPUs: the same weights and the same outputs in half the time.

`Deployable` says what is computed; here it is computed where it is cheap. See docs/deployment_speed.md.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.networks import ChainedResidualPooling, Generator
from advmtl.tasks import TASKS, Task, are_numbers
from export.graph.deployable import Deployable, Finish
from preprocessing.ground import IGNORE, IMAGENET_MEAN, IMAGENET_STD

TARGETS = ("cpu", "gpu")
STRIDE = 4  # of the shared representation, from which all maps are upsampled


def deployable_for(
    generator: nn.Module,
    size: tuple[int, int],
    target: str,
    tasks: Mapping[str, Task] = TASKS,
    zoom: float = 1.0,
    sky: Sequence[int] = (),
    size_factor: float = 1.0,
) -> nn.Module:
    """The module to export for `target`, "cpu" or "gpu", at `size` (width, height).

    "gpu" is `Deployable` itself, in which every shape is fixed, as TensorRT wants it. "cpu" is `CpuDeployable` where
    the sides divide by 4 and the network is ours; else `Deployable` too.
    """
    width, height = size
    if target == "cpu" and isinstance(generator, Generator) and not (width % STRIDE or height % STRIDE):
        return CpuDeployable(generator, size, tasks, zoom, sky, size_factor)
    return Deployable(generator, tasks, zoom, sky, size_factor)


class CpuDeployable(nn.Module):
    """`Deployable` for one size and batch 1, with equal outputs up to rounding.

    Four things differ. The first convolution takes the pixels as they lie in memory, where nothing but plain
    convolutions reads the picture. Squeeze-and-excitation gates run in the blocked layout. One- and two-channel maps
    are upsampled in plain layout: ONNX Runtime's blocked one computes 16 channels for each. Classes are compared at
    full size only in the cells where they can change (`BorderClasses`).

    Attributes:
        takes_pixels: the encoder's first convolutions were rearranged; else the picture is normalised as planes.
    """

    mean: Tensor
    shift: Tensor
    factor: Tensor

    def __init__(
        self,
        generator: Generator,
        size: tuple[int, int],
        tasks: Mapping[str, Task] = TASKS,
        zoom: float = 1.0,
        sky: Sequence[int] = (),
        size_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.finish, self.zoom = Finish(tasks, generator.spec, sky, size_factor), zoom
        width, height = size
        self.generator = copy.deepcopy(generator)
        rearrange_gates(self.generator)
        for module in self.generator.modules():
            if isinstance(module, ChainedResidualPooling):
                module.windows = ((5, 1), (1, 5))  # equal maxima of 10 values instead of 25
        self.takes_pixels = take_pixels(self.generator.get_submodule("encoder"))
        mean = 255 * torch.tensor(IMAGENET_MEAN).repeat(width).view(1, 1, 1, 3 * width)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("shift", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("factor", 1 / (255 * torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)), persistent=False)
        self.upsample = Upsample(height // STRIDE)
        self.decide = BorderClasses(height // STRIDE, width // STRIDE)

    def forward(self, image: Tensor, zoom: Tensor | None = None) -> dict[str, Tensor]:
        if self.takes_pixels:
            # As it lies in memory: [1,1,H,3W], red, green, blue, red, …; no transpose.
            read = image.reshape(1, 1, image.shape[1], -1).float() - self.mean
        else:
            read = (image.permute(0, 3, 1, 2).contiguous().float() - self.shift) * self.factor
        maps = self.generator.emit(*self.generator.encode(read))
        outputs: dict[str, Tensor] = {}
        for name, learning in self.finish.learning.items():
            if name not in maps:
                continue
            if learning.arg_max is not None:
                outputs[learning.arg_max] = self.decide(maps[name])
            else:
                full = self.upsample(maps[name])[None]
                metres = self.generator.activate(name, full)
                outputs |= self.finish.measured(name, metres, self.zoom if zoom is None else zoom)
        return self.finish.without_sky(outputs)


@torch.no_grad()
def take_pixels(encoder: nn.Module) -> bool:
    """Let the encoder, in evaluation mode, take interleaved pixels [1,1,H,3W] less 255 x mean, in place.

    Found by looking: the convolutions that a normalised picture reaches unchanged are replaced by
    `convolution_of_pixels`, and the maps are compared. Returns: False, and the encoder as it was, where none is such a
    convolution, or something else reads the picture too.
    """
    height, width = 64, 96
    pixels = torch.randint(0, 256, (1, height, width, 3), generator=torch.Generator().manual_seed(0)).float()
    mean = 255 * torch.tensor(IMAGENET_MEAN)
    image = ((pixels - mean) / (255 * torch.tensor(IMAGENET_STD))).permute(0, 3, 1, 2).contiguous()
    readers: list[str] = []

    def noting(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda module, args: readers.append(name) if args and args[0] is image else None

    handles = [m.register_forward_pre_hook(noting(n)) for n, m in encoder.named_modules() if type(m) is nn.Conv2d]
    wanted = encoder(image)
    for handle in handles:
        handle.remove()
    before = {name: encoder.get_submodule(name) for name in readers}
    if not before or not all(isinstance(one, nn.Conv2d) and _is_plain(one) for one in before.values()):
        return False
    for name, one in before.items():
        assert isinstance(one, nn.Conv2d)
        encoder.set_submodule(name, convolution_of_pixels(one))
    try:
        found = encoder((pixels - mean).reshape(1, 1, height, -1))
        same = all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.abs().max())) for a, b in _pairs(found, wanted))
    except (RuntimeError, ValueError, AssertionError):  # what else reads the picture wants three planes
        same = False
    if not same:
        for name, one in before.items():
            encoder.set_submodule(name, one)
    return same


def _pairs(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
    for ours, theirs in zip(found, wanted, strict=True):
        if ours.shape != theirs.shape:
            raise ValueError("maps of another size")
        yield ours, theirs


def _is_plain(convolution: nn.Conv2d) -> bool:
    return (
        convolution.groups == 1
        and convolution.dilation == (1, 1)
        and convolution.padding_mode == "zeros"
        and not isinstance(convolution.padding, str)
    )


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
    weight = stem.weight.double() / (255 * torch.tensor(IMAGENET_STD, dtype=torch.float64).view(1, 3, 1, 1))
    pixels.weight.copy_(weight.permute(0, 2, 3, 1).reshape(stem.out_channels, 1, rows, 3 * columns))
    if stem.bias is not None and pixels.bias is not None:
        pixels.bias.copy_(stem.bias)
    return pixels


# What a squeeze-and-excitation gate sends the mean through, by the names of its parts: torchvision's, and timm's of its
# EfficientNets and MobileNets, and of its other networks.
_GATE_PARTS = (
    ("fc1", "activation", "fc2", "scale_activation"),
    ("conv_reduce", "act1", "conv_expand", "gate"),
    ("fc1", "bn", "act", "fc2", "gate"),
)


@torch.no_grad()
def rearrange_gates(network: nn.Module) -> None:
    """Put a `Gate` in the place of every squeeze-and-excitation gate that it equals; any other stays as it is."""
    for block in list(network.modules()):
        for name, child in list(block.named_children()):
            parts = next((parts for parts in _GATE_PARTS if all(hasattr(child, part) for part in parts)), None)
            first = getattr(child, parts[0]) if parts else None
            if parts and isinstance(first, nn.Conv2d):
                gate = Gate(child, parts)
                x = torch.randn(1, first.in_channels, 5, 7, generator=torch.Generator().manual_seed(0))
                if torch.allclose(gate(x), child(x.clone()), rtol=1e-4, atol=1e-5):
                    setattr(block, name, gate)


class Gate(nn.Module):
    """A squeeze-and-excitation gate in operators that ONNX Runtime has in its blocked layout.

    Its mean and its product with [N,C,1,1] are not: each map was brought to plain layout, multiplied on one core, and
    brought back.
    """

    def __init__(self, gate: nn.Module, parts: Sequence[str] = _GATE_PARTS[0]) -> None:
        """parts: names of the modules of `gate` between the mean and the scale."""
        super().__init__()
        self.gate = gate
        self.parts = tuple(parts)

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of `x` [N,C,h,w]."""
        height, width = x.shape[-2:]
        scale = F.avg_pool2d(F.avg_pool2d(x, (1, width)), (height, 1))
        for part in self.parts:
            scale = self.gate.get_submodule(part)(scale)
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
        pixels = logits.permute(0, 2, 3, 1).reshape(-1, classes)
        # Of a matrix's rows: a transposition alone ONNX Runtime pushes through the arg max, which then runs across
        # memory and takes four times as long (findings/ort_arg_max_transposed.sh).
        best = pixels.argmax(1).float().view(1, 1, self.height, self.width)  # torch pads no integers by the edge
        best = F.pad(best, (1, 1, 1, 1), mode="replicate")[0, 0]
        first = best[:-1, :-1]
        differs = (first != best[:-1, 1:]) | (first != best[1:, :-1]) | (first != best[1:, 1:])
        good = are_numbers(pixels)
        border = (differs & good).flatten().nonzero()[:, 0]
        # A row of 16 equal pixels per class: cells of one class are copied, not computed.
        rows = torch.where(good, torch.arange(classes), IGNORE).to(torch.uint8)[:, None].repeat(1, STRIDE**2)
        cells = rows.index_select(0, first.flatten().long())
        cells = torch.index_put(cells, (border,), self._between(pixels, border))
        full = cells.view(self.height + 1, self.width + 1, STRIDE, STRIDE).permute(0, 2, 1, 3)
        full = full.reshape(1, (self.height + 1) * STRIDE, (self.width + 1) * STRIDE)
        half = STRIDE // 2
        return full[:, half:-half, half:-half]

    def _between(self, pixels: Tensor, border: Tensor) -> Tensor:
        """The classes of the pixels of the cells `border`, uint8 [cells, 16], from the small map's logits [h·w, K]."""
        classes = pixels.shape[1]
        near = pixels.index_select(0, self.corners.index_select(0, border).t().flatten())
        between = (self.weights @ near.view(4, -1)).view(-1, classes)
        return between.argmax(1).to(torch.uint8).view(STRIDE**2, -1).t()
