"""One feature vector per frame: f of seed 000, Eq. 34.

The survey leaves open which features f are. Here they are the shared representation z of the run's averaged generator,
averaged over a grid of 2 x 4 cells, so that layout counts: a car on the left is not the scene with one on the right
(Hoyer et al. average over a grid twice as wide as high, too). z and not the encoder's deepest map, with or without z
beside it: distances of z go best with how different the true class maps of two frames are, see docs/labelling.md.
Channels are not brought to the same spread, which measured worse.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

GRID = (2, 4)  # rows, columns
_CHUNK = 8192  # frames whose squares are held at a time


def frame_features(z: Tensor) -> Tensor:
    """Features `[N, 8*channels]`, float32, of the shared representation z `[N, channels, h, w]` of any size."""
    return F.adaptive_avg_pool2d(z.float(), GRID).flatten(1)


def scale_features(features: Tensor) -> Tensor:
    """Divide, in place, by the root mean square distance of a frame from the mean of all: any two frames are then about
    1.4 apart, whatever the network.

    `features`: float32 `[N, D]`; where all frames are alike they stay as they are. Returns: the same tensor.
    """
    mean = features.mean(0, dtype=torch.float64).float()
    squares = torch.zeros((), dtype=torch.float64, device=features.device)
    for chunk in features.split(_CHUNK):  # not all at once: that would hold the features twice
        squares += (chunk - mean).square().sum(dtype=torch.float64)
    spread = float(squares / len(features)) ** 0.5
    return features.div_(spread) if spread > 0 else features
