"""An encoder as a training leaves it, and folded as a converter for deployment does."""

import torch
from torch import nn

from advmtl.networks.encoders import build_encoder


def fold(network: nn.Module) -> None:
    """As a converter for deployment does, in place: scale and mean go into the convolution before."""
    before: nn.Module | None = None
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            assert isinstance(before, nn.Conv2d) and before.bias is None
            scale = part.weight.detach() / (part.running_var + part.eps).sqrt()
            before.weight.data *= scale[:, None, None, None]
            part.bias.data -= part.running_mean * scale
            part.weight.data.fill_(1)
            part.running_mean.zero_()
            part.running_var.fill_(1 - part.eps)
        before = part


def trained(seed: int = 3) -> nn.Module:
    """A small encoder whose batch norms have statistics, as after a training."""
    torch.manual_seed(seed)
    encoder = build_encoder(width=0.5)
    for part in encoder.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.normal_(part.bias, 0.0, 0.3)
    with torch.no_grad():
        for _ in range(20):
            encoder(torch.randn(4, 3, 64, 96))
    return encoder.eval()
