"""Batch norms that came out of a file folded into their convolutions: found, and given statistics again.

For deployment a batch norm's scale is multiplied into the convolution before it, and its shift is all that is left:
mean 0, variance 1, scale 1. In evaluation that is the same network. In training a batch norm divides by the deviation
of what it gets, which here is nothing like 1, and all that the weights had learnt is gone in the first step.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor, nn

_NEAR = 2e-3  # the variance may be written as 1 or as 1 − eps, and eps is 1e-3 in TensorFlow's networks


def folded_norms(network: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """The batch norms, by name, that leave all but a shift to the convolution before them."""
    return {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and _is_folded(part)
    }


def _is_folded(norm: nn.modules.batchnorm._BatchNorm) -> bool:
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None or norm.weight is None:
        return False
    # A new one has no shift either, and a trained one has neither a mean of 0 nor a scale of 1 in every channel.
    return bool(
        (norm.weight == 1).all() and (mean == 0).all() and ((var - 1).abs() <= _NEAR).all() and (norm.bias != 0).any()
    )


@torch.no_grad()
def unfold_norms(network: nn.Module, pictures: Iterable[Tensor]) -> int:
    """Give folded batch norms the mean and variance of what they get, and the scale and shift that undo them.

    In evaluation the network says what it said, to rounding; in training batch norms now do nearly nothing at first, as
    those of a file that is not folded. The network comes out in the mode it went in.

    Args:
        network: in place.
        pictures: batches [N,3,H,W], normalised, on the network's device; they may differ in size.

    Returns: how many batch norms were folded. Pictures are only read where there is one.
    """
    norms = folded_norms(network)
    if not norms:
        return 0
    modes = [(part, part.training) for part in network.modules()]
    found = {name: _Moments(norm.num_features) for name, norm in norms.items()}
    network.eval()
    try:
        with ExitStack() as stack:
            for name, norm in norms.items():
                handle = norm.register_forward_pre_hook(partial(_hear, found[name]))
                stack.callback(handle.remove)
            for batch in pictures:
                network(batch)
    finally:
        for part, mode in modes:
            part.training = mode
    _rewrite(norms, found)
    return len(norms)


class _Moments:
    """Sums by channel, in float64 on the CPU."""

    def __init__(self, channels: int) -> None:
        self.pixels = 0
        self.sums = torch.zeros(2, channels, dtype=torch.float64)

    def add(self, x: Tensor) -> None:
        """[N,C,...]."""
        x = x.detach().double().transpose(0, 1).flatten(1)
        self.pixels += x.shape[1]
        self.sums += torch.stack([x.sum(1), x.square().sum(1)]).cpu()

    def mean_and_variance(self) -> tuple[Tensor, Tensor]:
        """By channel."""
        mean, square = self.sums / max(1, self.pixels)
        return mean, (square - mean.square()).clamp(min=0)


def _hear(moments: _Moments, module: nn.Module, given: tuple[Tensor, ...]) -> None:
    moments.add(given[0])


def _rewrite(norms: Mapping[str, nn.modules.batchnorm._BatchNorm], found: Mapping[str, _Moments]) -> None:
    for name, norm in norms.items():
        assert norm.running_mean is not None and norm.running_var is not None
        if not found[name].pixels:
            continue  # nothing came by
        mean, variance = found[name].mean_and_variance()
        own = norm.weight.double().cpu() / (norm.running_var.double().cpu() + norm.eps).sqrt()
        shift = norm.bias.double().cpu() - own * norm.running_mean.double().cpu()
        for value, new in (
            (norm.weight, own * (variance + norm.eps).sqrt()),
            (norm.bias, shift + own * mean),
            (norm.running_mean, mean),
            (norm.running_var, variance),
        ):
            value.copy_(new.to(value))
