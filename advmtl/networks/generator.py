"""The deployed network: encoder, shared generator (decoder), one light head per task."""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.networks.encoders import Encoder, Growable, check_encoder
from advmtl.networks.task_maps import TaskMaps
from advmtl.tasks import Task, TaskSpec
from preprocessing.ground import InputError

GrownFeatures = Mapping[str, Tensor]  # what the modules that grew give to the heads, by the module's name


class ChainedResidualPooling(nn.Module):
    """`top = x`, then per stage `top = conv1x1(maxpool5x5(top)); x = x + top`; [N,C,H,W] to the same shape.

    RefineNet (Lin et al. 2017), in the light-weight form of Nekrasov et al. 2018 with 1x1 convolutions; the
    "Conditional Refinement Pooling" of the system paper (docs/method.md).

    Attributes:
        windows: what maxima are taken over, one after the other; the maxima of columns and then of rows are the same.
    """

    def __init__(self, channels: int, stages: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(stages))
        self.windows: tuple[tuple[int, int], ...] = ((5, 5),)

    def forward(self, x: Tensor) -> Tensor:
        """Refine `x`."""
        x = F.relu(x)
        top = x
        for convolution in self.convolutions:
            for height, width in self.windows:
                top = F.max_pool2d(top, (height, width), stride=1, padding=(height // 2, width // 2))
            top = convolution(top)
            x = x + top
        return x


class SharedGenerator(nn.Module):
    """Encoder maps at strides 4, 8, 16, 32 to one shared representation z [N,channels,ceil(H/4),ceil(W/4)].

    Args:
        in_channels: channels of the encoder's maps, finest first.
        channels: width of the decoder, for all levels or per level (finest first); z has the finest level's.
        crp_stages: stages of chained residual pooling, for all levels or per level (finest first).
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int | Sequence[int] = 64, crp_stages: int | Sequence[int] = 4
    ) -> None:
        super().__init__()
        levels = len(in_channels)
        widths, stages = _per_level("channels", channels, levels), _per_level("crp_stages", crp_stages, levels)
        self.laterals = nn.ModuleList(map(_lateral, in_channels, widths))
        self.pooling = nn.ModuleList(map(ChainedResidualPooling, widths, stages))
        self.adapters = nn.ModuleList(map(_lateral, widths[1:], widths))
        self.fuse = separable_convolution(widths[0], widths[0])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Fuse the encoder's maps, coarse to fine."""
        x = self.pooling[-1](self.laterals[-1](maps[-1]))
        for level in range(len(maps) - 2, -1, -1):
            size = maps[level].shape[-2:]
            x = F.interpolate(self.adapters[level](x), size=size, mode="bilinear", align_corners=False)
            x = self.pooling[level](x + self.laterals[level](maps[level]))
        return self.fuse(x)


class TaskGenerator(nn.Module):
    """A task's head: separable 3x3 convolution, then 1x1 to its channels, at the resolution of z.

    Where modules of the task have grown, `fusion` (`networks.grown.Fusion`) adds what they give to z first. Further
    channels of `aside` (`add_aside`) read the same features and teach them nothing: all else of the network learns as
    it would without them.
    """

    fusion: nn.Module | None
    aside: nn.Module | None

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.refine = separable_convolution(channels, channels)
        self.emit = nn.Conv2d(channels, out_channels, 1)
        self.register_module("fusion", None)
        self.register_module("aside", None)

    def add_aside(self, channels: int) -> None:
        """Give it so many further channels, 0 at first; draws no random number."""
        aside = nn.utils.skip_init(nn.Conv2d, self.emit.in_channels, channels, 1)
        for parameter in aside.parameters():
            nn.init.zeros_(parameter)
        self.aside = aside

    def forward(self, z: Tensor, taps: GrownFeatures | None = None) -> Tensor:
        """Map z [N,channels,h,w] to [N,out_channels,h,w], not yet activated."""
        if self.fusion is not None:
            if not taps:
                raise ValueError("a grown network: give what its modules give too, `decode(*encode(image), size)`")
            z = self.fusion(z, taps)
        features = self.refine(z)
        if self.aside is None:
            return self.emit(features)
        own = self.emit(features)
        if own.requires_grad:  # of a part of a tensor, torch would add up the bias's gradient in another order
            own.register_hook(torch.Tensor.contiguous)
        return torch.cat([own, self.aside(features.detach())], 1)


class Generator(nn.Module):
    """Image to full-size task maps: `decode(shared_representation(image), size)`.

    Where modules have grown (`networks.grown`), they are `kernels`, and the heads need what these give beside z.

    Attributes:
        tasks: those that it has a head for, by name, in the order of the heads.
        spec: what the tasks need to know: classes, depth range, width. Constants of the network, not of a picture.
    """

    kernels: nn.Module | None

    def __init__(
        self,
        encoder: Encoder,
        shared: SharedGenerator,
        heads: nn.ModuleDict,
        tasks: Mapping[str, Task],
        spec: TaskSpec,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.shared = shared
        self.heads = heads
        self.register_module("kernels", None)
        self.tasks = dict(tasks)
        self.spec = spec

    def shared_representation(self, image: Tensor) -> Tensor:
        """The shared representation z [N,channels,ceil(H/4),ceil(W/4)] of an ImageNet-normalised image
        [N,3,H,W].
        """
        return self.shared(self.encoder(image))

    def encode(self, image: Tensor) -> tuple[Tensor, GrownFeatures]:
        """z, as of `represent`, and what the grown modules give; nothing where none has grown."""
        if self.kernels is None:
            return self.shared_representation(image), {}
        stem, maps = cast(Growable, self.encoder).walk(image)  # `grow` has seen to that
        return self.shared(maps), self.kernels(stem, maps)

    def decode(self, z: Tensor, size: tuple[int, int], taps: GrownFeatures | None = None) -> dict[str, Tensor]:
        """Task maps [N,channels,H,W] at `size` (height, width) from z, each in its task's unit.

        Heads are upsampled before they are activated, so depth is interpolated in log space.
        """
        return dict(self._maps(self.emit(z, taps), size))

    def emit(self, z: Tensor, taps: GrownFeatures | None = None) -> dict[str, Tensor]:
        """The heads' outputs [N,K,h,w] at the size of z, before upsampling and activation.

        Raises: ValueError for a grown network without `taps`.
        """
        return {name: head(z, taps) if taps else head(z) for name, head in self.heads.items()}

    def activate(self, name: str, x: Tensor) -> Tensor:
        """A head's output [N,channels,H,W] to the map of task `name`, of the same shape."""
        activated = self.tasks[name].learning.activate(x, self.spec)
        if activated.shape != x.shape:
            raise InputError(f"task {name}: activate gave {tuple(activated.shape)}, its head {tuple(x.shape)}")
        return activated

    def forward_features(self, image: Tensor) -> tuple[Tensor, GrownFeatures, TaskMaps]:
        """z, what grown modules give, and the task maps of a normalised image [N,3,H,W], at its own size where whole.

        All are in the weights' type whatever an autocast around the call computes in: so are then the objectives'
        gradients at z and at what modules give, which balancers compare.
        """
        kind = next(self.parameters()).dtype
        z, taps = self.encode(image)
        z, taps = z.to(kind), {name: tap.to(kind) for name, tap in taps.items()}
        if torch.is_grad_enabled() and not z.requires_grad:
            z.requires_grad_()  # all before it is frozen; objectives still have gradients at it
        heads = {task: output.to(kind) for task, output in self.emit(z, taps).items()}
        return z, taps, self._maps(heads, (image.shape[-2], image.shape[-1]))

    def _maps(self, heads: Mapping[str, Tensor], size: tuple[int, int]) -> TaskMaps:
        aside = {name: task.learning.channels_aside(self.spec) for name, task in self.tasks.items() if name in heads}
        return TaskMaps(heads, size, self.activate, aside)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Task maps at the image's own size; any size works."""
        z, taps = self.encode(image)
        return self.decode(z, (image.shape[-2], image.shape[-1]), taps)


def build_generator(
    encoder: Encoder,
    tasks: Mapping[str, Task],
    spec: TaskSpec,
    channels: int | Sequence[int] = 64,
    crp_stages: int | Sequence[int] = 4,
) -> Generator:
    """Put the deployed network together, in channels_last.

    Args:
        encoder: from `build_encoder`, or any module that gives what `Encoder` says.
        tasks: what it learns, by name: a head each.
        spec: what the tasks need to know.
        channels: width of the decoder, for all levels or per level (finest first); z has the finest level's.
        crp_stages: stages of chained residual pooling, for all levels or per level (finest first).

    Raises: InputError naming the task or the encoder that breaks its contract.
    """
    check_encoder(encoder, type(encoder).__name__)
    shared = SharedGenerator(encoder.channels, channels, crp_stages)
    width = z_channels(channels)
    heads = nn.ModuleDict()
    for name, task in tasks.items():
        count = task.learning.channels(spec)
        if not isinstance(count, int) or count < 1:
            raise InputError(f"task {name}: channels must be a whole number from 1, not {count!r}")
        heads[name] = TaskGenerator(width, count - task.learning.channels_aside(spec))
    _initialise(nn.ModuleList([shared, heads]))
    for name, head in heads.items():
        _start_small(head, tasks[name].learning.initial_bias(spec))
        if aside := tasks[name].learning.channels_aside(spec):
            cast(TaskGenerator, head).add_aside(aside)
    return Generator(encoder, shared, heads, tasks, spec).to(memory_format=torch.channels_last)


def z_channels(channels: int | Sequence[int]) -> int:
    """Width of z: that of the finest level."""
    return channels if isinstance(channels, int) else channels[0]


def _per_level(name: str, given: int | Sequence[int], levels: int) -> list[int]:
    values = [given] * levels if isinstance(given, int) else list(given)
    if len(values) != levels:
        raise ValueError(f"{len(values)} {name} for {levels} levels")
    return values


def separable_convolution(in_channels: int, out_channels: int) -> nn.Sequential:
    """Depthwise 3x3, pointwise 1x1, batch norm, ReLU; keeps the size."""
    return nn.Sequential(
        nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    )


def _lateral(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))


def _initialise(decoder: nn.Module) -> None:
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in decoder.modules():
        if isinstance(module, ChainedResidualPooling):
            for stage in module.convolutions:
                assert isinstance(stage, nn.Conv2d)
                # Pooling maxima are large and positive: at the usual scale four stages amplify eightfold per
                # level, and what the finer levels add is lost in it (measured: std 1 against 300).
                nn.init.normal_(stage.weight, std=0.3 / math.sqrt(stage.in_channels))


@torch.no_grad()
def _start_small(head: nn.Module, bias: float) -> None:
    """Begin near uniform class scores and near one depth: confident random guesses cost the first epochs."""
    assert isinstance(head, TaskGenerator) and head.emit.bias is not None
    head.emit.weight.mul_(0.1)
    head.emit.bias.fill_(bias)
