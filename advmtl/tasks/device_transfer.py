"""Copying small host tensors to the device without synchronising."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def send(numbers: Tensor, like: Tensor) -> Tensor:
    """A tensor of the host on the device of `like`.

    From pinned memory: a copy from any other, as `torch.tensor(…, device=…)` makes one, and as an index that is a list
    does, waits until the device has finished all queued work.
    """
    return (numbers.pin_memory() if like.is_cuda else numbers).to(like.device, non_blocking=True)


def to_device(values: np.ndarray | Sequence[float], like: Tensor) -> Tensor:
    """Numbers in the type and on the device of `like`."""
    return send(torch.from_numpy(np.asarray(values)).to(like.dtype), like)


def index_on(places: Sequence[int], like: Tensor) -> Tensor:
    """Places int64 [n] on the device of `like`, to index it by; there may be none."""
    return send(torch.tensor(places, dtype=torch.int64), like)
