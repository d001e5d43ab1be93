"""One feature vector per frame, and how it is scaled: f of seed 000, Eq. 34.

The survey leaves open which features f are. Here they are the encoder's deepest map (what is in the picture) and the
shared representation z (what both tasks make of it), each averaged over a grid of 2 x 4 cells, so that layout counts:
a car on the left is not the same scene as one on the right. Hoyer et al. also average over a grid twice as wide as
high. The two parts are brought to the same spread over the set, since nothing says which should weigh more.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.networks.generator import Generator

GRID = (2, 4)  # rows, columns
_CHUNK = 8192  # frames whose squares are held at a time


def feature_widths(generator: Generator, channels: int) -> tuple[int, int]:
    """Where z's columns begin, and how many there are in all; `channels`: of z."""
    cells = GRID[0] * GRID[1]
    return cells * generator.encoder.channels[-1], cells * (generator.encoder.channels[-1] + channels)


def represent(generator: Generator, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Deepest map `[N, C*8]` and z `[N, channels*8]` averaged over the grid, in float32; and z itself.

    `image`: normalised, `[N,3,H,W]`.
    """
    maps = generator.encoder(image)
    z = generator.shared(maps)
    deepest, shared = (F.adaptive_avg_pool2d(one.float(), GRID).flatten(1) for one in (maps[-1], z))
    return deepest, shared, z


def scale_features(features: Tensor, split: int) -> Tensor:
    """Scale, in place, columns before and from `split` on to the same spread, together 1: the root mean square distance
    of a frame from the mean of all. So any two frames are about 1.4 apart.

    `features`: float32 `[N, D]`. A part that is the same in all frames stays as it is. Returns: the same tensor.
    """
    for part in (features[:, :split], features[:, split:]):
        mean = part.mean(0, dtype=torch.float64).float()
        squares = torch.zeros((), dtype=torch.float64, device=features.device)
        for chunk in part.split(_CHUNK):  # not all at once: 100,000 frames are half a gigabyte
            squares += (chunk - mean).square().sum(dtype=torch.float64)
        spread = float(squares / len(part)) ** 0.5
        if spread > 0:
            part.div_(spread * 2**0.5)
    return features
