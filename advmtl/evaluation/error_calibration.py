"""Calibrating the stated errors of a trained network on one half of the validation frames, checked on the other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from advmtl.config import Config
from advmtl.data import Batch, NamedLoader
from advmtl.distributed import SINGLE, Processes
from advmtl.evaluation.frame_metrics import Gather
from advmtl.evaluation.measure import evaluate
from advmtl.networks import Generator
from advmtl.tasks import ErrorMeter, ErrorScale, index_on
from preprocessing.ground import InputError

_SHARE = 0.8  # of the truth, that the interval is to hold


@dataclass(frozen=True)
class ErrorCalibration:
    """What was found, and what it does on frames that it was not made of.

    Attributes:
        scale: how the stated errors are read from now on.
        held_out_frames: how many frames the other half has.
        before, after: figures on the other half, as `evaluation.json` names them, as the errors were learnt and as
            they are read now; {} where it has no pixel with a truth.
    """

    scale: ErrorScale
    held_out_frames: int
    before: Mapping[str, Any]
    after: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with what they mean."""
        return {
            "means": "depth_error = factor * what the head says; truth within depth_m * exp(+-interval * depth_error)",
            "share": _SHARE,
            **asdict(self.scale),
            "held_out": {"frames": self.held_out_frames, "before": dict(self.before), "after": dict(self.after)},
        }

    @property
    def line(self) -> str:
        """In one line for the console."""
        said = f"expected error calibrated on {self.scale.frames} validation frames: times {self.scale.factor:.2f}"
        if not self.after:
            return f"{said}; no other frame with depth to check it on"
        held = f"{self.before['error_within_80']:.0%} before, {self.after['error_within_80']:.0%} after"
        return f"{said}; on {self.held_out_frames} others the 80 % interval held {held} of the truth"


class _Halves:
    """An observer that sums the frames of the first half of every source apart from the others.

    By their order, not in turn: in a recording, neighbours are nearly one picture, and the one would tell the other.
    """

    def __init__(self, loaders: Sequence[NamedLoader], task: str, meters: tuple[ErrorMeter, ErrorMeter]) -> None:
        self.task, self.meters = task, meters
        self.frames = [0, 0]
        self._first = set()
        for name, loader in loaders:
            names = [record.name for record in loader.dataset.records]
            self._first |= {(name, one) for one in names[: (len(names) + 1) // 2]}

    def update(self, outputs: Mapping[str, Tensor], batch: Batch, source: str) -> None:
        """Add a batch; frames without the label add nothing."""
        for half, meter in enumerate(self.meters):
            places = [
                place
                for place, name in enumerate(batch.names)
                if batch.present[self.task][place] and ((source, name) in self._first) == (half == 0)
            ]
            if places:
                rows = index_on(places, batch.image)
                meter.update(outputs[self.task][rows].float(), batch.targets[self.task][rows])
                self.frames[half] += len(places)

    def whole(self, gather: Gather) -> None:
        """Take over the sums of all processes."""
        (meters, frames), *others = gather((self.meters, self.frames))
        self.meters, self.frames = meters, list(frames)
        for theirs, counts in others:
            for half, meter in enumerate(self.meters):
                meter.merge(theirs[half])
                self.frames[half] += counts[half]


def calibrate_errors(
    generator: Generator,
    loaders: Sequence[NamedLoader],
    config: Config,
    device: torch.device | str = "cpu",
    processes: Processes = SINGLE,
) -> ErrorCalibration:
    """Find how the expected errors of a network are to be read, on the first half of the frames of every source; what
    they are read as now counts for nothing. The network is left as it was; see `read_so`.

    Validation frames, since errors on those that were learnt are smaller. They chose the best state, too, and its two
    numbers are checked on the other half. Raises: InputError where no frame of the first half has a depth.
    """
    config, spec = config.with_error(None), generator.spec
    generator.spec = config.spec
    halves = _halves(loaders, config)
    try:
        evaluate(generator, loaders, config, device, observers=[halves], processes=processes, tasks=config.task_table)
    finally:
        generator.spec = spec
    first, second = halves.meters
    scale = first.calibrated(halves.frames[0])
    if scale is None:
        raise InputError(
            f"expected error: no validation frame has {halves.task} to calibrate it on; give data.val a source with it"
        )
    plain = ErrorScale()
    before, after = second.compute(plain.interval), second.compute(scale.interval, scale.factor)
    return ErrorCalibration(scale, halves.frames[1], before, after)


def _halves(loaders: Sequence[NamedLoader], config: Config) -> _Halves:
    for name in config.tasks:
        own = [config.task_table[name].learning.error_meter(config.spec) for _ in range(2)]
        if own[0] is not None and own[1] is not None:
            return _Halves(loaders, name, (own[0], own[1]))
    raise InputError("expected error: no task of this configuration states one; give depth the loss expected_error")


def read_so(generator: Generator, config: Config, scale: ErrorScale) -> Config:
    """Let a network state its errors under a scale, in place; the configuration that says so."""
    config = config.with_error(scale)
    generator.spec = config.spec
    return config
