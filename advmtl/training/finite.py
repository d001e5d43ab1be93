"""NaN and infinite losses and gradients stop a step before it changes weights."""

import math

import torch

from advmtl.distributed import Processes
from advmtl.terms import Logs
from preprocessing.ground import FailedRun


class NonFiniteLoss(FailedRun):
    """A loss became NaN or infinite; the message names it, the step and the frames of the batch.

    Raised alike on all processes.
    """

    common = True


def check_finite(logs: Logs, step: int, names: list[str], processes: Processes) -> Logs:
    """The logged values' means over the processes. Raises: NonFiniteLoss, on all of them, where one is not finite."""
    values = torch.stack([value.float() for value in logs.values()])
    means = processes.total(values) / processes.count
    # Host sync, before each optimiser step, on 0-d values: a poisoned update would cost far more than this read.
    for index, (name, value) in enumerate(zip(logs, means.tolist(), strict=True)):
        if not math.isfinite(value):
            # A process names its frames only if its own value is not finite; a shared value is not finite on all.
            guilty = names if processes.count == 1 or not bool(values[index].isfinite()) else []
            frames = [frame for part in processes.gather(guilty) for frame in part]
            raise NonFiniteLoss(f"step {step}: {name} is {value}; frames of the batch: {', '.join(frames)}")
    return dict(zip(logs, means.unbind(), strict=True))
