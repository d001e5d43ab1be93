"""Encoders: an extensible table, any timm network by name, and the protocol that each must satisfy.

`build_encoder` builds and checks one. To add an encoder, write a file with a function of weights and width that
returns an `Encoder`, and a line here; or pass `encoders=ENCODERS | {"mine": build_mine}`.
"""

from collections.abc import Mapping

import torch
from torch import nn

from advmtl.networks.encoders.contract import STRIDES as STRIDES
from advmtl.networks.encoders.contract import Build as Build
from advmtl.networks.encoders.contract import Encoder as Encoder
from advmtl.networks.encoders.contract import Growable as Growable
from advmtl.networks.encoders.contract import StageShape as StageShape
from advmtl.networks.encoders.contract import check_encoder as check_encoder
from advmtl.networks.encoders.contract import growable as growable
from advmtl.networks.encoders.mobilenet_v3 import large, small
from advmtl.networks.encoders.timm import build_timm, known_to_timm

__all__ = [
    "DEFAULT",
    "ENCODERS",
    "STRIDES",
    "Build",
    "Encoder",
    "Growable",
    "StageShape",
    "build_encoder",
    "check_encoder",
    "growable",
]

DEFAULT = "mobilenet_v3_small"
ENCODERS: Mapping[str, Build] = {
    "mobilenet_v3_small": small,
    "mobilenet_v3_large": large,
}


def build_encoder(
    weights: str | None = None,
    bn_momentum: float = 0.1,
    width: float = 1.0,
    *,
    name: str = DEFAULT,
    encoders: Mapping[str, Build] | None = None,
) -> Encoder:
    """Build an encoder, with new weights or loaded ones, in channels_last.

    Args:
        weights: None (random), "imagenet" (downloaded once), or the path of a state dict.
        bn_momentum: batch-norm momentum. torchvision's 0.01 lets the running statistics lag behind the
            weights when training from scratch for a few hundred steps (evaluation then collapses to one
            class); 0.1 does not.
        width: channel multiplier, where the network has one; 1.0 is the published network.
        name: a key of `encoders`, or timm's name of a network with maps at strides 4, 8, 16 and 32.
        encoders: `ENCODERS` by default, or more.

    Raises:
        InputError: the name is not known, the network gives other maps than `Encoder` says, or its weights are missing
            or do not fit.
    """
    table = ENCODERS if encoders is None else encoders
    if name in table:
        encoder = table[name](weights, width)
    elif known_to_timm(name, table):
        encoder = build_timm(name, weights, width)
    check_encoder(encoder, name)
    for module in encoder.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = bn_momentum
    return encoder.to(memory_format=torch.channels_last)
