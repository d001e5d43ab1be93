"""Parity: the outputs of an exported file against those of the checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advmtl.tasks import TASKS, Task
from advmtl.tasks import outputs_of as outputs_of
from export.graph import CLASSES, IGNORED_CLASS, Deployable
from export.session import open_session, prepare
from preprocessing.ground import InputError

Comparison = Literal["agreement", "relative", "absolute", "angle"]
Outputs = Mapping[str, NDArray[Any]]


class ParityError(RuntimeError):
    """The exported model differs from the checkpoint. The message is one line; the CLI exits with 1."""


@dataclass(frozen=True)
class Difference:
    """How far one output is from the checkpoint's, over all its values.

    Attributes:
        comparison, bound: as the output's task declares them, see `advmtl.tasks.Output`.
        mean, p999, largest: of the differences, a share ("agreement": of 1 where values differ; "relative"), in the
            output's unit, or in degrees.
    """

    comparison: Comparison
    bound: float
    mean: float
    p999: float
    largest: float

    @property
    def measured(self) -> float:
        """The bounded value: the share of equal values, or the largest difference at any pixel, not the mean."""
        return 1 - self.mean if self.comparison == "agreement" else self.largest

    @property
    def holds(self) -> bool:
        """Whether the bound holds."""
        return self.measured >= self.bound if self.comparison == "agreement" else self.measured <= self.bound


@dataclass(frozen=True)
class ParityReport:
    """How far an exported model is from its checkpoint, over all pixels of all frames; `outputs` by name."""

    frames: int
    outputs: Mapping[str, Difference] = field(default_factory=dict)

    def shortfall(self) -> str | None:
        """The first bound that does not hold, in words; None where all hold."""
        for name, one in self.outputs.items():
            if one.holds:
                continue
            if one.comparison == "agreement":
                return f"{name} agree on {one.measured:.4%} of pixels, the bound is {one.bound:.1%}"
            largest, bound = (in_unit(name, one.comparison, value, 3) for value in (one.measured, one.bound))
            return f"{name} differs by up to {largest}, the bound is {bound}"
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def in_unit(output: str, comparison: Comparison, value: float, digits: int) -> str:
    """A difference as text: in percent, degrees, or the unit that the output's name ends in."""
    if comparison in ("agreement", "relative"):
        return f"{value:.{digits}%}"
    return f"{value:.{digits}f}°" if comparison == "angle" else f"{value:.{digits}f} {output.rpartition('_')[2]}"


def differences(comparison: Comparison, ours: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.float64]:
    """Of every value of an output (of every pixel for "angle", whose vectors lie along axis 1); see `Difference`."""
    if comparison == "agreement":
        return (ours != wanted).astype(np.float64)
    exact = wanted.astype(np.float64)
    if comparison == "angle":
        # Kahan's form: an arc cosine makes 0.03° of the rounding of two equal vectors in float32.
        apart, together = (np.linalg.norm(one, axis=1) for one in (ours - exact, ours + exact))
        return 2 * np.degrees(np.arctan2(apart, together))
    error: NDArray[np.float64] = np.abs(ours - exact)
    return error / exact if comparison == "relative" else error


def compare(pairs: Sequence[tuple[Outputs, Outputs]], tasks: Mapping[str, Task] = TASKS) -> ParityReport:
    """Summarise (exported, checkpoint) outputs of the same frames, each a dict as `Deployable` gives it.

    Raises: ParityError for a value that is not finite, InputError without frames.
    """
    if not pairs:
        raise InputError("parity: no frames to compare on; give some real pictures")
    found = {}
    for name, output in outputs_of(tasks).items():
        if name not in pairs[0][1]:
            continue
        for frame, pair in enumerate(pairs):
            for whose, values in zip(("the exported model", "the checkpoint"), pair, strict=True):
                broken = name == CLASSES and (values[name] == IGNORED_CLASS).any()  # a logit that is not a number
                if broken or not np.isfinite(values[name]).all():
                    what = "a logit" if broken else name
                    raise ParityError(f"parity: {what} of {whose} is not finite on frame {frame}; the model is broken")
        flat = np.concatenate([differences(output.comparison, one[name], two[name]).ravel() for one, two in pairs])
        figures = (float(flat.mean()), float(np.percentile(flat, 99.9)), float(flat.max()))
        found[name] = Difference(output.comparison, output.bound, *figures)
    return ParityReport(len(pairs), found)


def check_parity(
    generator: nn.Module, path: Path, frames: Sequence[NDArray[np.uint8]], tasks: Mapping[str, Task] = TASKS
) -> ParityReport:
    """Run `frames` (uint8 `[H, W, 3]` RGB, any size) through checkpoint and file, on the CPU, and compare.

    Raises: ParityError where a bound does not hold or an output is not finite.
    """
    session = open_session(path, "cpu")
    model = Deployable(generator, tasks).eval()
    device = next(iter(generator.parameters())).device
    model.to(device)
    pairs = []
    for frame in frames:
        image = prepare(frame, session.metadata.size)
        with torch.no_grad():
            outputs = model(torch.from_numpy(image).to(device))
        pairs.append((session.network(image), {name: value.cpu().numpy() for name, value in outputs.items()}))
    report = compare(pairs, tasks)
    if reason := report.shortfall():
        raise ParityError(f"parity: {reason}, over {report.frames} frames; no model was written")
    return report
