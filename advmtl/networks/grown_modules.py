"""Gradient mediative kernels, and how a task's head fuses what they give (seed 002, Eq. 7 and 8)."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.config.detection import Place
from advmtl.networks.encoder import StageShape


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

    The paper fuses the last layer alone, by concatenation. Here the decoder takes skips from all stages, so modules of
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
