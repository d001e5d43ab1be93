"""Modules added between encoder and heads (MAMO, Tan et al. 2024, Eq. 7 and 8), and how they are added.

Gradient mediative kernels, how a task's head fuses what they give, and growing a generator that has learnt already.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.config import Place
from advmtl.networks.encoders import StageShape, growable
from advmtl.networks.generator import Generator, TaskGenerator

Part = TypeVar("Part", bound=nn.Module)
Architecture = list[list[tuple[int, list[str]]]]


class MediativeKernel(nn.Module):
    """h of Eq. 7: a light inverted-residual block from a stage's input to the shape of the stage's tap.

    1x1 expansion, depthwise convolution with the stage's kernel and stride, 1x1 projection, a batch norm after each.
    Where the same tasks have a module one stage before, its output is the second part of the input. A convolution of a
    concatenation is the sum of two, so `link` is a second expansion, which costs nothing where there is no such module.
    """

    link: nn.Module | None

    def __init__(self, shape: StageShape, expansion: float) -> None:
        super().__init__()
        inner = max(1, round(shape.in_channels * expansion))
        self.expand = nn.Conv2d(shape.in_channels, inner, 1, bias=False)
        self.register_module("link", None)
        activation = nn.Hardswish if shape.activation == "HS" else nn.ReLU
        self.body = nn.Sequential(
            nn.BatchNorm2d(inner),
            activation(inplace=True),
            nn.Conv2d(inner, inner, shape.kernel, shape.stride, shape.kernel // 2, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            activation(inplace=True),
            nn.Conv2d(inner, shape.out_channels, 1, bias=False),
            nn.BatchNorm2d(shape.out_channels),
        )

    def forward(self, shared: Tensor, before: Tensor | None) -> Tensor:
        """Take the stage's input [N,C,h,w] and the output of the tasks' module before it, of the same shape or None;
        return [N,C',ceil(h/s),ceil(w/s)].
        """
        x = self.expand(shared)
        if self.link is not None and before is not None:
            x = x + self.link(before)
        return self.body(x)


class Kernels(nn.Module):
    """All modules that have grown.

    Attributes:
        history: per growth, the places of its modules: what `grow` needs to build the same network again.
        grown: the kernels by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: list[list[Place]] = []
        self.grown = nn.ModuleDict()

    def places(self) -> list[Place]:
        """All places, in the order of growth."""
        return [place for places in self.history for place in places]

    def forward(self, stem: Tensor, maps: Sequence[Tensor]) -> dict[str, Tensor]:
        """What every module gives to the heads, by name, from the encoder's stem and maps.

        An identity view of its output, which only the heads read: a gradient there is that of the heads' use alone, and
        not of the next module's too.
        """
        inputs = (stem, *maps)
        outputs: dict[str, Tensor] = {}
        for place in sorted(self.places(), key=lambda place: place.stage):
            before = outputs.get(Place(place.stage - 1, place.owners).name)
            outputs[place.name] = self.grown[place.name](inputs[place.stage - 1], before)
        if torch.is_grad_enabled() and not torch.compiler.is_exporting():
            return {name: output.view_as(output) for name, output in outputs.items()}
        return outputs


class Fusion(nn.Module):
    """A task's adaptive fusion (Eq. 8): z + Σ β up(project(o)) over the modules that the task uses.

    Tan et al. fuse the last layer alone, by concatenation. Here the decoder takes skips from all stages, so modules of
    every stage are fused; the sum of projections is what a 1x1 convolution makes of the concatenation. Projections of a
    stage are added before they are upsampled: upsampling is linear.

    β starts at 1 and the projection at 0: the task's output does not change when a module enters, and the projection
    has its full gradient at once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stages: dict[str, int] = {}
        self.beta = nn.ParameterDict()
        self.project = nn.ModuleDict()

    def add(self, place: Place, beta: nn.Parameter, project: nn.Conv2d) -> None:
        """Fuse one module more."""
        self.stages[place.name] = place.stage
        self.beta[place.name], self.project[place.name] = beta, project

    def forward(self, z: Tensor, taps: Mapping[str, Tensor]) -> Tensor:
        """z [N,C,h,w] with what the modules give added."""
        sums: dict[int, Tensor] = {}
        for name, project in self.project.items():
            part, stage = self.beta[name] * project(taps[name]), self.stages[name]
            sums[stage] = sums[stage] + part if stage in sums else part
        for part in sums.values():
            same = part.shape[-2:] == z.shape[-2:]
            z = z + (part if same else F.interpolate(part, size=z.shape[-2:], mode="bilinear", align_corners=False))
        return z


def grow(generator: Generator, places: Sequence[Place], expansion: float, seed: int) -> list[nn.Parameter]:
    """Add a module at each place, in place; the generator's outputs stay as they are.

    A module that enters before one of the same tasks, one stage later, is linked to it by zeros. Weights are drawn from
    a generator of their own, so that equal calls on equal networks give equal networks, and no other draw is moved.

    Args: `seed` of the drawing. Returns: the new parameters, in the network's order.
    """
    known = {id(parameter) for parameter in generator.parameters()}
    noise, like = torch.Generator().manual_seed(seed), next(generator.parameters())
    kernels = generator.kernels if isinstance(generator.kernels, Kernels) else Kernels()
    generator.kernels = kernels
    kernels.history.append(list(places))
    shapes = growable(generator.encoder, "of this network").shapes()
    for place in places:
        shape = shapes[place.stage - 1]
        kernels.grown[place.name] = _ready(partial(MediativeKernel, shape, expansion), like, noise)
        for task in place.owners:
            head = generator.heads[task]
            assert isinstance(head, TaskGenerator)
            fusion = head.fusion if isinstance(head.fusion, Fusion) else Fusion()
            head.fusion = fusion
            project = _ready(_pointwise(shape.out_channels, head.emit.in_channels), like, None)
            fusion.add(place, nn.Parameter(like.new_ones(())), project)
    for place in kernels.places():
        _link(kernels, place, place in places, like, noise)
    return [parameter for parameter in generator.parameters() if id(parameter) not in known]


def _link(kernels: Kernels, place: Place, new: bool, like: Tensor, noise: torch.Generator) -> None:
    """The second expansion of a module whose tasks have one a stage before; zero in a module that is read already."""
    before = Place(place.stage - 1, place.owners)
    kernel = kernels.grown[place.name]
    assert isinstance(kernel, MediativeKernel)
    if before in kernels.places() and kernel.link is None:
        widths = (kernel.expand.in_channels, kernel.expand.out_channels)
        kernel.link = _ready(_pointwise(*widths), like, noise if new else None)


def _pointwise(in_channels: int, out_channels: int) -> Callable[[], nn.Conv2d]:
    return partial(nn.Conv2d, in_channels, out_channels, 1, bias=False)


def _ready(build: Callable[[], Part], like: Tensor, noise: torch.Generator | None) -> Part:
    """A part with the type, device and layout of the network, its weights drawn, or 0 without `noise`.

    It is built on the meta device, where torch draws nothing.
    """
    with torch.device("meta"):
        part = build()
    part = part.to(like.dtype).to_empty(device="cpu")
    for module in part.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d):
            if noise is None:
                nn.init.zeros_(module.weight)
            else:
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=noise)
    return part.to(like.device).to(memory_format=torch.channels_last)


def architecture(generator: nn.Module) -> Architecture:
    """Plain values from which `regrow` builds the same network; empty where nothing has grown."""
    kernels = getattr(generator, "kernels", None)
    if not isinstance(kernels, Kernels):
        return []
    return [[(place.stage, list(place.owners)) for place in places] for places in kernels.history]


def regrow(generator: Generator, recorded: Architecture, expansion: float) -> list[list[nn.Parameter]]:
    """Grow a fresh generator as another one did, for weights that are loaded next.

    Returns: the new parameters of each growth.
    """
    return [
        grow(generator, [Place(stage, tuple(owners)) for stage, owners in places], expansion, 0) for places in recorded
    ]
