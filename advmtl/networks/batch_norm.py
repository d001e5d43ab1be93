"""Which frames batch norm takes its statistics from in training: this process's, those of all processes, or none."""

import copy
from collections.abc import Iterator
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.distributed import SINGLE, Processes
from preprocessing.ground import InputError

Kind = Literal["local", "synchronised", "frozen"]


class FrozenBatchNorm2d(nn.BatchNorm2d):
    """Normalises by the running statistics in training too, and leaves them; scale and shift still learn."""

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] to the same shape."""
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """Mean and variance over the frames of all processes; for the CPU, where torch's SyncBatchNorm does not run.

    Every process must have as many pixels as the others. Has the values, gradients and running statistics of
    `nn.BatchNorm2d` on the batches of all processes together.
    """

    processes: Processes = SINGLE

    def forward(self, x: Tensor) -> Tensor:
        """[N,C,H,W] to the same shape."""
        if not self.training:
            return super().forward(x)
        y, mean, var = _Synchronised.apply(x, self.weight, self.bias, self.eps, self.processes)
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            pixels = self.processes.count * x.numel() // x.shape[1]
            self.running_mean.lerp_(mean, self.momentum or 0.0)
            self.running_var.lerp_(var * (pixels / max(pixels - 1, 1)), self.momentum or 0.0)
        return y


class _Synchronised(torch.autograd.Function):
    """One exchange on the way there, one on the way back (Ioffe & Szegedy 2015, Algorithm 1 and its gradients)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, processes: Processes
    ) -> tuple[Tensor, Tensor, Tensor]:
        own_var, own_mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
        means, variances = processes.gather_tensors(torch.stack([own_mean, own_var])).unbind(1)
        # Of equal counts; the spread of the means is added, which cancels nothing, unlike E[x²] − E[x]².
        mean = means.mean(0)
        var = variances.mean(0) + (means - mean).square().mean(0)
        scale = (var + eps).rsqrt()
        normal = (x - _wide(mean)) * _wide(scale)
        ctx.save_for_backward(normal, weight, scale)
        ctx.mark_non_differentiable(mean, var)
        ctx.processes = processes
        return normal * _wide(weight) + _wide(bias), mean, var

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        normal, weight, scale = ctx.saved_tensors
        gradient = upstream[0]
        own = torch.stack([gradient.sum((0, 2, 3)), (gradient * normal).sum((0, 2, 3))])
        processes: Processes = ctx.processes
        total = processes.total(own) / (processes.count * normal.numel() // normal.shape[1])
        through = gradient - _wide(total[0]) - normal * _wide(total[1])
        return through * _wide(weight * scale), own[1], own[0], None, None


def set_batch_norm(network: nn.Module, kind: Kind, device: torch.device, processes: Processes = SINGLE) -> nn.Module:
    """Give every batch norm of `network` the wished kind, in place; parameters, statistics and their names stay.

    "synchronised" is the ordinary one where there is one process.
    """
    if kind == "local" or (kind == "synchronised" and processes.count == 1):
        return network
    if kind == "synchronised" and device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    other = FrozenBatchNorm2d if kind == "frozen" else SynchronisedBatchNorm2d
    for parent, name, norm in list(_norms(network)):
        made = other(norm.num_features, norm.eps, norm.momentum)
        made.weight, made.bias = norm.weight, norm.bias
        made.running_mean, made.running_var = norm.running_mean, norm.running_var
        made.num_batches_tracked = norm.num_batches_tracked
        if isinstance(made, SynchronisedBatchNorm2d):
            made.processes = processes
        setattr(parent, name, made)
    return network


def check_batch_norm(network: nn.Module, frames: int, size: tuple[int, int]) -> None:
    """Raise InputError where, in training on so many frames of a size (width, height), a batch norm of this process has
    one value per channel, which has no variance.
    """
    if frames > 1:
        return
    tried = copy.deepcopy(network).to("meta").train()
    try:
        with torch.no_grad():
            tried(torch.empty(frames, 3, size[1], size[0], device="meta"))
    except (RuntimeError, ValueError) as error:
        if "more than 1 value per channel" not in str(error):
            return  # a network that does not run without values; its first step will tell
        raise InputError(
            f"data.batch_size: of {frames} frame of {size[0]}x{size[1]} px batch norm has one value per channel; set "
            "data.batch_size=2 or more, a larger data.size or data.crop, or train.batch_norm=frozen"
        ) from None


def running_statistics(network: nn.Module) -> list[Tensor]:
    """Running means and variances, which are not alike on all processes where each normalises its own frames."""
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    return [value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None]


def _norms(network: nn.Module) -> Iterator[tuple[nn.Module, str, nn.BatchNorm2d]]:
    for parent in network.modules():
        for name, child in parent.named_children():
            if type(child) is nn.BatchNorm2d:
                yield parent, name, child


def _wide(channels: Tensor) -> Tensor:
    return channels[:, None, None]
