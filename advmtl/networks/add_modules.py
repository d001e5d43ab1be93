"""Adding modules to a generator that has learnt already."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn

from advmtl.config.detection import Place
from advmtl.networks.generator import Generator, TaskGenerator
from advmtl.networks.grown_modules import Fusion, Kernels, MediativeKernel

Part = TypeVar("Part", bound=nn.Module)
Architecture = list[list[tuple[int, list[str]]]]


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
    shapes = generator.encoder.shapes()
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
