"""Maps of any two tasks in one joint space: the mapping network of cross-task consistency.

Seed paper 000, section V.B, "Cross-Task Consistency", and Fig. 15, after Li, Liu and Bilen 2022 (MTPSL). The paper
prints no equation for it. Its symbols here: m_ψ is `JointSpace`, k_θ is `JointSpace.conditions`, the matrix A is
`JointSpace.codes`, its [222] is FiLM (Perez et al. 2018): `modulated`.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.tasks.table import TASKS

STRIDE = 4
"""Of the joint space: that of z, which it is compared with."""
# Vectors shorter than this have no direction to speak of.
_SHORTEST = 1e-4


class JointSpace(nn.Module):
    """A task's map [N,c,H,W] to the joint space [N,J,ceil(H/4),ceil(W/4)], on condition of a pair of tasks.

    One network for all pairs, so that it does not grow with their number: a task has its first convolution to itself,
    since channels differ, and a pair of tasks has what `conditions` makes of its code: a scale and a shift for each
    channel of every convolution. There is no normalisation of activations: it would let pixels without a label
    reach the others.

    Args:
        task_channels: channels of the map, by task; the keys must be in `TASKS`.
        joint_channels: J.
        width: channels of the shared convolutions; the first one, where a channel costs most, has half of it.
    """

    def __init__(self, task_channels: Mapping[str, int], joint_channels: int, width: int = 32) -> None:
        super().__init__()
        self.widths = [max(width // 2, 1), width, width]
        self.stems = nn.ModuleDict(
            {task: nn.Conv2d(inputs, self.widths[0], 3, stride=2, padding=1) for task, inputs in task_channels.items()}
        )
        self.shared = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1)
            for inputs, outputs, stride in zip(self.widths, self.widths[1:], (2, 1), strict=False)
        )
        self.emit = nn.Linear(width, joint_channels)
        # A's entries for all tasks there are: its size does not depend on which of them a configuration has.
        pairs = len(TASKS) ** 2
        self.register_buffer("codes", torch.eye(pairs), persistent=False)
        self.conditions = nn.Sequential(nn.Linear(pairs, width), nn.ReLU(), nn.Linear(width, 2 * sum(self.widths)))
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
                assert part.bias is not None
                nn.init.zeros_(part.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, maps: Tensor, task: str, source: str, target: str) -> Tensor:
        """Map `maps` [N,c,H,W] of `task`, which is the pair's source or its target."""
        places = list(TASKS)
        code = self.codes[places.index(source) * len(places) + places.index(target)]  # type: ignore[index]
        scales, shifts = (values.split(self.widths) for values in self.conditions(code).chunk(2))
        x = maps.contiguous(memory_format=torch.channels_last)
        for convolution, scale, shift in zip((self.stems[task], *self.shared), scales, shifts, strict=True):
            x = F.relu(modulated(convolution, x, scale, shift), inplace=True)
        # A 1 x 1 convolution; torch's own falls back to a slow path here.
        joint: Tensor = self.emit(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return joint


def modulated(convolution: nn.Conv2d, x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """(1 + scale) features + shift, per channel, of a convolution's features [N,C,h,w]; scale and shift [C].

    Perez et al. 2018, Eq. 2, around 1, so that a condition that says nothing changes nothing. Written into the weights:
    on the features it would cost as much as the convolution.
    """
    assert convolution.bias is not None and not isinstance(convolution.padding, str)
    weight = convolution.weight * (1 + scale)[:, None, None, None]
    bias = convolution.bias * (1 + scale) + shift
    return F.conv2d(x, weight, bias, convolution.stride, convolution.padding)


def units(vectors: Tensor) -> Tensor:
    """Vectors per pixel [N,J,h,w] of any precision, at length 1, in float32 or wider."""
    wide = vectors if vectors.dtype == torch.float64 else vectors.float()
    return F.normalize(wide, dim=1, eps=_SHORTEST)


def frame_distances(one: Tensor, other: Tensor, weights: Tensor) -> Tensor:
    """Per frame, the weighted mean over pixels of 1 − cosine: [N], in 0..2; 0 where no pixel weighs anything.

    Args:
        one, other: from `units` [N,J,h,w].
        weights: [N,h,w].
    """
    distances = 1 - (one * other).sum(1)
    return (distances * weights).sum((1, 2)) / weights.sum((1, 2)).clamp(min=_SHORTEST)


def shares_at_stride(mask: Tensor) -> Tensor:
    """Share of true pixels in each 4 x 4 cell of `mask` bool [N,1,H,W]: [N,ceil(H/4),ceil(W/4)].

    As weights of a mean over cells, they make it one over the true pixels: a lidar's few count as they are.
    """
    values = mask.to(torch.get_default_dtype())
    shares = F.avg_pool2d(F.pad(values, (0, -values.shape[-1] % STRIDE, 0, -values.shape[-2] % STRIDE)), STRIDE)
    return shares.squeeze(1)


def directions(z: Tensor) -> Tensor:
    """The encoded features f(I) as the joint space is held to them: `units` of z [N,J,h,w] less each frame's mean.

    z comes out of a ReLU: all of it points about one way, and a mapping to one point would be close to all of it.
    """
    return units(z - z.mean((2, 3), keepdim=True))
