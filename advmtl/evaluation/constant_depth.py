"""Predicting one depth everywhere: what a network has to beat."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.data.batch import Batch
from advmtl.data.loading import val_loaders
from advmtl.evaluation.evaluate import NamedLoader, evaluate
from advmtl.evaluation.metrics import depth_mask
from preprocessing.ground import InputError


class ConstantDepth(nn.Module):
    """Predicts one depth [m] everywhere: what a network has to beat."""

    def __init__(self, depth_m: float) -> None:
        super().__init__()
        self.depth_m = depth_m

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Image `[N,3,H,W]` -> {"depth": metres `[N,1,H,W]`}."""
        return {"depth": torch.full_like(image[:, :1], self.depth_m)}


@dataclass(frozen=True)
class DepthPrior:
    """Mean and median of the valid training depths [m], and how many pixels they are from."""

    mean_m: float
    median_m: float
    pixels: int


def depth_prior(batches: Iterable[Batch], max_depth_m: float = 80.0) -> DepthPrior:
    """Statistics of the true depth within (1e-3 m, `max_depth_m`), frames weighted by their pixels.

    The median is exact to 1/16 m (a histogram). Raises: InputError where no pixel is valid.
    """
    bins = math.ceil(max_depth_m * 16)
    histogram = torch.zeros(bins, dtype=torch.float64)
    total = torch.zeros((), dtype=torch.float64)
    for batch in batches:
        depth = batch.targets["depth"].cpu()
        depth = depth[depth_mask(depth, max_depth_m)].double()
        histogram += torch.histc(depth, bins=bins, min=0, max=bins / 16)
        total += depth.sum()
    pixels = int(histogram.sum())
    if not pixels:
        raise InputError("no training frame has a valid depth; there is no constant depth to compare with")
    middle = int(torch.searchsorted(histogram.cumsum(0), pixels / 2))
    return DepthPrior(float(total) / pixels, (middle + 0.5) / 16, pixels)


def mean_depth_baseline(config: Config, loaders: Sequence[NamedLoader]) -> dict[str, Any]:
    """What predicting the mean, and the median, depth of the training frames (not augmented) scores on
    `loaders`.

    Returns: {"mean": {"depth_m", "abs_rel", ...}, "median": {...}}. Raises: InputError without any training
        depth.
    """
    train = val_loaders(config, config.data.train, "train")
    prior = depth_prior((batch for _, loader in train for batch in loader), config.depth.max_m)
    constants = {"mean": prior.mean_m, "median": prior.median_m}
    return {
        name: {"depth_m": value, **evaluate(ConstantDepth(value), loaders, config).get("depth", {})}
        for name, value in constants.items()
    }
