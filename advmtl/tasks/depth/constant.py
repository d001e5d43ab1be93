"""The constant-depth baseline: one depth predicted everywhere."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from advmtl.tasks.depth.metrics import depth_mask
from advmtl.tasks.learning import Constant
from preprocessing.ground import InputError


class ConstantDepth(nn.Module):
    """Predicts one depth [m] everywhere, under the name of a task."""

    def __init__(self, depth_m: float, task: str) -> None:
        super().__init__()
        self.depth_m, self.task = depth_m, task

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image `[N,3,H,W]` -> metres `[N,1,H,W]` by the task's name."""
        return {self.task: torch.full_like(image[:, :1], self.depth_m)}


@dataclass(frozen=True)
class DepthPrior:
    """Mean and median of the valid training depths [m], and how many pixels they are from."""

    mean_m: float
    median_m: float
    pixels: int


def depth_prior(depths: Iterable[Tensor], max_depth_m: float = 80.0) -> DepthPrior:
    """Statistics of true depths `[N,1,H,W]` within (1e-3 m, `max_depth_m`), frames weighted by their pixels.

    The median is exact to 1/16 m (a histogram). Raises: InputError where no pixel is valid.
    """
    bins = math.ceil(max_depth_m * 16)
    histogram = torch.zeros(bins, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for batch in depths:
        depth = batch.cpu()
        depth = depth[depth_mask(depth, max_depth_m)].double()
        histogram += torch.histc(depth, bins=bins, min=0, max=bins / 16)
        total += depth.sum()
    pixels = int(histogram.sum())
    if not pixels:
        raise InputError("no training frame has a valid depth; there is no constant depth to compare with")
    middle = int(torch.searchsorted(histogram.cumsum(0), pixels / 2))
    return DepthPrior(float(total) / pixels, (middle + 0.5) / 16, pixels)


def constant_depths(depths: Iterable[Tensor], task: str, max_m: float) -> dict[str, Constant]:
    """The mean and the median of the training depths as networks. Raises: InputError without any training depth."""
    prior = depth_prior(depths, max_m)
    found = {"mean": prior.mean_m, "median": prior.median_m}
    return {name: Constant({"depth_m": value}, ConstantDepth(value, task)) for name, value in found.items()}
