"""Patch discriminators over task maps, and the maps that are their input.

A discriminator is defined by what it `sees`: a list of task names and `image`, whose maps are concatenated. Void
pixels and pixels without valid depth are zeroed in real and fake alike, each in its own map's channels only:
the union would leave a discriminator of dense labels and lidar depth the 4 % of pixels that have both, and
equal zeros on both sides reveal nothing, in whichever channels they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import spectral_norm

from advmtl.tasks import TASKS, Task, TaskSpec
from preprocessing.ground import InputError

_IMAGE_CHANNELS = 3
_LEAK = 0.2


class PatchDiscriminator(nn.Module):
    """Strided convolutions to linear scores per patch: [N,C,H,W] to [N,out_channels,ceil(H/2^L),ceil(W/2^L)].

    There is no normalisation of activations: batch norm would mix samples, which a gradient penalty per
    sample forbids, and lets real and fake batches be separated by their statistics.

    Args:
        in_channels: channels of what it sees, `input_channels(sees, spec)`.
        channels: width of the second layer; the first, where a channel costs most, has half of it, the third
            and all later ones twice.
        layers: L, the number of stride-2 convolutions; 3 see 31 px of the map per score.
        spectral: spectral normalisation of every convolution (Miyato et al. 2018), for LSGAN and hinge.
        out_channels: scores per patch: one that says how real it is, or one per class of a classifier.
    """

    def __init__(
        self, in_channels: int, channels: int = 32, layers: int = 3, *, spectral: bool, out_channels: int = 1
    ) -> None:
        super().__init__()
        widths = [max(channels // 2, 1) * 2 ** min(index, 2) for index in range(layers)]
        stages: list[nn.Module] = []
        for inputs, outputs in zip([in_channels, *widths[:-1]], widths, strict=True):
            stages += [nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.LeakyReLU(_LEAK)]
        stages.append(nn.Conv2d(widths[-1], out_channels, 3, padding=1))
        for stage in stages:
            if isinstance(stage, nn.Conv2d):
                nn.init.kaiming_normal_(stage.weight, a=_LEAK)
                nn.init.zeros_(stage.bias)  # type: ignore[arg-type]
                if spectral:
                    spectral_norm(stage)
        self.stages = nn.Sequential(*stages)
        self.to(memory_format=torch.channels_last)

    def forward(self, maps: Tensor) -> Tensor:
        """Score the patches of `maps` [N,in_channels,H,W]; higher = more real."""
        return self.stages(maps)

    def scores(self, maps: Tensor) -> Tensor:
        """The scores of `maps`, in float32 also under autocast, which computes the convolutions in half precision."""
        with self._steady(maps):
            scores: Tensor = self(maps)
        return _wide(scores)

    def scores_and_features(self, maps: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The scores, as of `scores`, and what each hidden layer gives, [N,C_l,ceil(H/2^l),ceil(W/2^l)], l from 1.

        torch.compile is not used here: it knows the whole forward.
        """
        features, x = [], maps
        with self._steady(maps):
            for stage in self.stages:
                x = stage(x)
                if not isinstance(stage, nn.Conv2d):
                    features.append(x)
        return _wide(x), [_wide(one) for one in features]

    @contextmanager
    def _steady(self, maps: Tensor) -> Iterator[None]:
        """Under autocast: spectral normalisation's power iteration stays in float32; made here, it is found ready."""
        if not torch.is_autocast_enabled(maps.device.type):
            yield
            return
        with parametrize.cached():
            with torch.autocast(maps.device.type, enabled=False):
                for part in self.modules():
                    if parametrize.is_parametrized(part):
                        _ = part.weight
            yield

    def slope(self, maps: Tensor, patches: Tensor | None = None) -> Tensor:
        """∇ of each sample's mean score at `maps` [N,C,H,W], with graph to the weights only.

        `patches` [N,1,h,w] weighs the scores in that mean, 1 in all for each sample; None: all alike.

        Between the kinks of its LeakyReLUs the network is linear, so the gradient is a chain of transposed
        convolutions and of slopes that no weight moves (almost everywhere). Written out, it is differentiated like any
        forward. Autograd's second derivative of a convolution costs twice as much, and that of LeakyReLU sends zeros
        back through the whole network.
        """
        convolutions, inputs, slopes = [], [], []
        x = maps.detach()
        with torch.no_grad():
            for stage in self.stages:
                if isinstance(stage, nn.Conv2d):
                    convolutions.append(stage)
                    inputs.append(x.shape[-2:])
                    x = stage(x)
                else:
                    slopes.append(torch.full_like(x, _LEAK).masked_fill_(x > 0, 1.0))
                    x = stage(x)
        gradient = torch.full_like(x, 1 / x[0].numel()) if patches is None else patches.to(x)
        for index in reversed(range(len(convolutions))):
            if index < len(slopes):
                gradient = gradient * slopes[index]
            gradient = _transposed(convolutions[index], gradient, inputs[index])
        return gradient


def _wide(values: Tensor) -> Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _transposed(convolution: nn.Conv2d, gradient: Tensor, size: torch.Size) -> Tensor:
    """The gradient at a convolution's input of height and width `size` from that at its output."""
    kernel, stride, padding = convolution.kernel_size, convolution.stride, convolution.padding
    assert not isinstance(padding, str)
    left = [
        whole - ((part - 1) * step - 2 * pad + side)
        for whole, part, step, pad, side in zip(size, gradient.shape[-2:], stride, padding, kernel, strict=True)
    ]
    return F.conv_transpose2d(gradient, convolution.weight, None, stride, padding, left)


def input_channels(sees: Sequence[str], spec: TaskSpec, tasks: Mapping[str, Task] = TASKS) -> int:
    """Channels of a discriminator's input."""
    return sum(_IMAGE_CHANNELS if name == "image" else tasks[name].learning.encoded_channels(spec) for name in sees)


def validity(targets: Mapping[str, Tensor], tasks: Mapping[str, Task] = TASKS) -> dict[str, Tensor]:
    """Which pixels have a label, bool [N,1,H,W] per task."""
    return {name: tasks[name].learning.mask(target) for name, target in targets.items()}


def real_maps(
    targets: Mapping[str, Tensor],
    spec: TaskSpec,
    smoothing: float = 0.0,
    tasks: Mapping[str, Task] = TASKS,
    scale: int = 1,
) -> dict[str, Tensor]:
    """Labels as a discriminator sees them [N,channels,H,W], at 1/scale of the size, not yet masked; `smoothing`: see
    `encode_real`.
    """
    maps = {}
    for name, target in targets.items():
        learning = tasks[name].learning
        if scale == 1:
            maps[name] = learning.encode_real(target, spec, smoothing)
        else:
            maps[name] = learning.encode_real_at(target, spec, smoothing, scale)
    return _encoded(maps, spec, tasks)


def fake_maps(outputs: Mapping[str, Tensor], spec: TaskSpec, tasks: Mapping[str, Task] = TASKS) -> dict[str, Tensor]:
    """Predictions as a discriminator sees them [N,channels,H,W], not yet masked."""
    maps = {name: tasks[name].learning.encode_fake(output, spec) for name, output in outputs.items()}
    return _encoded(maps, spec, tasks)


def _encoded(maps: dict[str, Tensor], spec: TaskSpec, tasks: Mapping[str, Task]) -> dict[str, Tensor]:
    for name, values in maps.items():
        channels = tasks[name].learning.encoded_channels(spec)
        if values.ndim != 4 or values.shape[1] != channels:
            raise InputError(f"task {name}: its encoding is {tuple(values.shape)}, not [N,{channels},H,W]")
    return maps


def discriminator_input(
    maps: Mapping[str, Tensor], sees: Sequence[str], masks: Mapping[str, Tensor] | None, image: Tensor | None = None
) -> Tensor:
    """Concatenate what a discriminator sees, each map zeroed where it has no label: [N,C,H,W].

    Args:
        maps: from `real_maps` or `fake_maps`.
        sees: task names and `image`, in the order of the channels.
        masks: from `validity`; the same for real and fake. None: the maps are masked already.
        image: ImageNet-normalised [N,3,H,W], unmasked; needed where `sees` has "image".
    """
    parts = []
    for name in sees:
        if name == "image":
            if image is None:
                raise ValueError("a discriminator sees the image, but none was given")
            parts.append(image)
        else:
            parts.append(maps[name] if masks is None else maps[name] * masks[name])
    if len(parts) == 1:
        return parts[0].contiguous(memory_format=torch.channels_last)
    # As [N,H,W,C], the channels_last layout seen plainly, torch joins several times faster.
    return torch.cat([part.permute(0, 2, 3, 1) for part in parts], dim=-1).permute(0, 3, 1, 2)
