"""Statistics of batch norms, measured on pictures without labels (AdaBN, Li et al. 2018, Algorithm 1)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Statistics = Mapping[str, tuple[Tensor, Tensor]]
"""By the name of a batch norm: mean and variance of what it gets, by channel."""


def batch_norms(network: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """Those that keep running statistics, by name."""
    return {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats
    }


@torch.no_grad()
def measure_statistics(network: nn.Module, pictures: Iterable[Tensor]) -> Statistics:
    """What each batch norm gets while every batch is normalised by its own statistics: means over all pictures.

    The variance is that about the mean of all pictures: the mean of the batches' and the variance of their means.

    Args:
        network: in any mode; it comes out as it went in.
        pictures: batches [N,3,H,W], normalised, on the network's device; they may differ in size.
    """
    norms = batch_norms(network)
    sums = {name: torch.zeros(3, norm.num_features, dtype=torch.float64) for name, norm in norms.items()}
    frames = 0
    with _by_batch(network, norms):
        for batch in pictures:
            network(batch)
            frames += len(batch)
            for name, norm in norms.items():
                mean, variance = (one.double().cpu() for one in (norm.running_mean, norm.running_var))  # type: ignore[union-attr]
                sums[name] += len(batch) * torch.stack([mean, variance, mean.square()])
    found = {}
    for name, total in sums.items():
        mean, within, square = total / max(1, frames)
        found[name] = mean.float(), (within + square - mean.square()).clamp(min=0).float()
    return found


@contextmanager
def _by_batch(network: nn.Module, norms: Mapping[str, nn.modules.batchnorm._BatchNorm]) -> Iterator[None]:
    """Batch norms normalise by the batch, and their running statistics are those of the last one; restored after."""
    modes = [(part, part.training) for part in network.modules()]
    kept = {
        name: (norm.momentum, {key: value.clone() for key, value in norm.named_buffers()})
        for name, norm in norms.items()
    }
    network.eval()
    for norm in norms.values():
        norm.momentum, norm.training = 1.0, True
    try:
        yield
    finally:
        for name, norm in norms.items():
            norm.momentum = kept[name][0]
            for key, value in kept[name][1].items():
                norm.get_buffer(key).copy_(value)
        for part, mode in modes:
            part.training = mode


@torch.no_grad()
def normalise_as(network: nn.Module, found: Statistics, strength: float = 1.0) -> None:
    """Give batch norms (1 − strength) of their own statistics and `strength` of those found."""
    for name, norm in batch_norms(network).items():
        assert norm.running_mean is not None and norm.running_var is not None
        for own, other in zip((norm.running_mean, norm.running_var), found[name], strict=True):
            own.lerp_(other.to(own), strength)
