"""Parity: the outputs of an exported file against those of the checkpoint."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from advmtl.tasks import TASKS, Task
from advmtl.tasks import outputs_of as outputs_of
from export.graph import CLASSES, IGNORED_CLASS, Deployable
from export.session import Session, open_session, prepare
from preprocessing.ground import InputError

Comparison = Literal["agreement", "relative", "absolute", "angle"]
Outputs = Mapping[str, NDArray[Any]]


ONE_SIDED = 0.001
"""Pixels that may be sky for one and not for the other: as many as classes may differ at."""


ANOTHER = 1.25
"""The lens that the first frame is compared behind, too, over the one that is baked in."""


class ParityError(RuntimeError):
    """The exported model differs from the checkpoint. The message is one line; the CLI exits with 1."""


@dataclass(frozen=True)
class Difference:
    """How far one output is from the checkpoint's, over all its values.

    Attributes:
        comparison, bound: as the output's task declares them, see `advmtl.tasks.Output`.
        mean, p999, largest: of the differences, a share ("agreement": of 1 where values differ; "relative"), in the
            output's unit, or in degrees.
        one_sided: the share of values that are infinite on one side alone, pixels that only one calls sky; the
            differences are of the others.
    """

    comparison: Comparison
    bound: float
    mean: float
    p999: float
    largest: float
    one_sided: float = 0.0

    @property
    def measured(self) -> float:
        """The bounded value: the share of equal values, or the largest difference at any pixel, not the mean."""
        return 1 - self.mean if self.comparison == "agreement" else self.largest

    @property
    def holds(self) -> bool:
        """Whether the bound holds."""
        if self.comparison == "agreement":
            return self.measured >= self.bound
        return self.measured <= self.bound and self.one_sided <= ONE_SIDED


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
            if one.one_sided > ONE_SIDED:
                apart = f"{one.one_sided:.4%} of pixels, the bound is {ONE_SIDED:.1%}"
                return f"{name} is infinite on one side alone at {apart}"
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
    # What has no distance on both sides is equal; where only one side has none, classes differ, and they count it.
    endless = np.isposinf(ours) | np.isposinf(exact)
    ours, exact = (np.where(endless, 1.0, one) for one in (ours, exact))
    error: NDArray[np.float64] = np.abs(ours - exact)
    return error / exact if comparison == "relative" else error


def one_sided(ours: NDArray[Any], wanted: NDArray[Any]) -> float:
    """The share of values that are +Inf on one side alone."""
    return float(np.mean(np.isposinf(ours) != np.isposinf(wanted)))


def compare(
    pairs: Sequence[tuple[Outputs, Outputs]], tasks: Mapping[str, Task] = TASKS, sky: Collection[int] = ()
) -> ParityReport:
    """Summarise (exported, checkpoint) outputs of the same frames, each a dict as `Deployable` gives it; `sky`: the
    classes that have no distance.

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
                numbers = values[name]
                if output.endless and sky and CLASSES in values:
                    numbers = numbers[~(np.isposinf(numbers) & np.isin(values[CLASSES], list(sky)))]
                if broken or not np.isfinite(numbers).all():
                    what = "a logit" if broken else name
                    raise ParityError(f"parity: {what} of {whose} is not finite on frame {frame}; the model is broken")
        flat = np.concatenate([differences(output.comparison, one[name], two[name]).ravel() for one, two in pairs])
        figures = (float(flat.mean()), float(np.percentile(flat, 99.9)), float(flat.max()))
        apart = float(np.mean([one_sided(one[name], two[name]) for one, two in pairs])) if output.endless else 0.0
        found[name] = Difference(output.comparison, output.bound, *figures, apart)
    return ParityReport(len(pairs), found)


def _groups(frames: Sequence[NDArray[np.uint8]], size: int) -> list[list[NDArray[np.uint8]]]:
    """Frames by `size`, different ones as far as there are so many; the last is filled up from the first on."""
    count = -(-len(frames) // size) * size
    return [[frames[(first + i) % len(frames)] for i in range(size)] for first in range(0, count, size)]


def check_parity(
    generator: nn.Module, path: Path, frames: Sequence[NDArray[np.uint8]], tasks: Mapping[str, Task] = TASKS
) -> ParityReport:
    """Run `frames` (uint8 `[H, W, 3]` RGB, any size) through checkpoint and file, on the CPU, and compare.

    Raises: ParityError where a bound does not hold or an output is not finite.
    """
    report = parity_of(open_session(path, "cpu", batches=True), generator, frames, tasks)
    if reason := report.shortfall():
        raise ParityError(f"parity: {reason}, over {len(frames)} frames; no model was written")
    return report


def parity_of(
    session: Session, generator: nn.Module, frames: Sequence[NDArray[np.uint8]], tasks: Mapping[str, Task] = TASKS
) -> ParityReport:
    """Compare a session of the exported file, of any runtime, with the checkpoint; see `check_parity`.

    Raises: ParityError where an output is not finite.
    """
    metadata = session.metadata
    model = Deployable(generator, tasks, metadata.zoom, metadata.sky, metadata.size_factor).eval()
    device = next(iter(generator.parameters())).device
    model.to(device)

    def wanted(images: NDArray[np.uint8], zooms: NDArray[np.float32] | None) -> Outputs:
        found = []
        for i in range(len(images)):  # one by one: nothing of a batch is taken for granted
            factor = None if zooms is None else torch.from_numpy(zooms[i : i + 1]).to(device)
            with torch.no_grad():
                found.append(model(torch.from_numpy(images[i : i + 1]).to(device), factor))
        return {name: torch.cat([one[name] for one in found]).cpu().numpy() for name in found[0]}

    return replace(compare(_pairs(session, wanted, frames), tasks, metadata.sky), frames=len(frames))


def runtimes_parity(
    session: Session, reference: Session, frames: Sequence[NDArray[np.uint8]], tasks: Mapping[str, Task] = TASKS
) -> ParityReport:
    """Compare one file in two runtimes; `checkpoint` in a fault's text means the `reference`.

    Raises: ParityError where an output is not finite.
    """
    pairs = _pairs(session, reference.infer, frames)
    return replace(compare(pairs, tasks, session.metadata.sky), frames=len(frames))


def _pairs(
    session: Session,
    wanted: Callable[[NDArray[np.uint8], NDArray[np.float32] | None], Outputs],
    frames: Sequence[NDArray[np.uint8]],
) -> list[tuple[Outputs, Outputs]]:
    """Outputs of both on every frame; on the first one once more behind another lens, where there can be one."""
    metadata = session.metadata
    other = metadata.zoom * np.linspace(ANOTHER, 1, metadata.batch, dtype=np.float32)  # of each frame of a batch
    pairs: list[tuple[Outputs, Outputs]] = []
    for group in _groups(frames, metadata.batch):
        images = np.concatenate([prepare(frame, metadata.size, metadata.fit) for frame in group])
        # Once behind the lens that is baked in, once behind another one, where there can be one.
        zooms = (None, other)[: 1 + (session.takes_zoom and not pairs)]
        pairs += [(session.infer(images, zoom), wanted(images, zoom)) for zoom in zooms]
    return pairs
