"""Does the exported file say what the checkpoint says?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.graph.deployable import Deployable
from export.graph.metadata import CLASSES, DEPTH, IGNORED_CLASS, OFFSETS
from export.session.session import open_session, prepare
from preprocessing.ground import InputError

CLASS_AGREEMENT = 0.999
DEPTH_RELATIVE = 0.001
OFFSET_PX = 0.01


class ParityError(RuntimeError):
    """The exported model differs from the checkpoint. The message is one line; the CLI exits with 1."""


@dataclass(frozen=True)
class ParityReport:
    """How far an exported model is from its checkpoint, over all pixels of all frames.

    class_agreement: share of pixels with the same class. Depth differences are |exported − checkpoint| /
    checkpoint: mean, 99.9th percentile and maximum. Offset differences are |exported − checkpoint| [px] of either
    component: mean and maximum. None where the network has no such output.
    """

    frames: int
    class_agreement: float | None
    depth_mean_relative: float | None
    depth_p999_relative: float | None
    depth_max_relative: float | None
    offset_mean_px: float | None = None
    offset_max_px: float | None = None

    def shortfall(self) -> str | None:
        """The first bound that does not hold, in words; None where all hold.

        Bounds: class agreement ≥ 99.9 %, and at every pixel depth within 0.1 % and offsets within 0.01 px (the maximum,
        not the mean).
        """
        if self.class_agreement is not None and self.class_agreement < CLASS_AGREEMENT:
            return f"classes agree on {self.class_agreement:.4%} of pixels, the bound is {CLASS_AGREEMENT:.1%}"
        worst = self.depth_max_relative
        if worst is not None and worst > DEPTH_RELATIVE:
            return f"depth differs by up to {worst:.3%}, the bound is {DEPTH_RELATIVE:.1%}"
        farthest = self.offset_max_px
        if farthest is not None and farthest > OFFSET_PX:
            return f"offsets differ by up to {farthest:.3f} px, the bound is {OFFSET_PX} px"
        return None


def _differences(
    pairs: Sequence[tuple[dict[str, NDArray], dict[str, NDArray]]], output: str, word: str, *, relative: bool
) -> NDArray[np.float64]:
    """|exported − checkpoint| of one output over all values of all frames; `relative`: over the checkpoint's."""
    errors = []
    for frame, (ours, theirs) in enumerate(pairs):
        for name, values in (("the exported model", ours[output]), ("the checkpoint", theirs[output])):
            if not np.isfinite(values).all():
                raise ParityError(f"parity: {word} of {name} is not finite on frame {frame}; the model is broken")
        wanted = theirs[output].astype(np.float64)
        error = np.abs(ours[output] - wanted)
        errors.append((error / wanted if relative else error).ravel())
    return np.concatenate(errors)


def compare(
    pairs: Sequence[tuple[dict[str, NDArray], dict[str, NDArray]]],
) -> ParityReport:
    """Summarise (exported, checkpoint) outputs of the same frames, each a dict as `Deployable` gives it.

    Raises: ParityError for a logit, depth or offset that is not finite, InputError without frames.
    """
    if not pairs:
        raise InputError("parity: no frames to compare on; give some real pictures")
    agreement: float | None = None
    mean = p999 = worst = offset_mean = offset_max = None
    if CLASSES in pairs[0][1]:
        for frame, pair in enumerate(pairs):
            for name, outputs in zip(("the exported model", "the checkpoint"), pair, strict=True):
                if (outputs[CLASSES] == IGNORED_CLASS).any():
                    raise ParityError(f"parity: a logit of {name} is not finite on frame {frame}; the model is broken")
        agreement = float(np.mean([np.mean(ours[CLASSES] == theirs[CLASSES]) for ours, theirs in pairs]))
    if DEPTH in pairs[0][1]:
        flat = _differences(pairs, DEPTH, "depth", relative=True)
        mean, p999, worst = float(flat.mean()), float(np.percentile(flat, 99.9)), float(flat.max())
    if OFFSETS in pairs[0][1]:
        flat = _differences(pairs, OFFSETS, "an offset", relative=False)
        offset_mean, offset_max = float(flat.mean()), float(flat.max())
    return ParityReport(len(pairs), agreement, mean, p999, worst, offset_mean, offset_max)


def check_parity(generator: nn.Module, path: Path, frames: Sequence[NDArray[np.uint8]]) -> ParityReport:
    """Run `frames` (uint8 `[H, W, 3]` RGB, any size) through checkpoint and file, on the CPU, and compare.

    Raises: ParityError where a bound of `ParityReport.shortfall` does not hold or an output is not finite.
    """
    session = open_session(path, "cpu")
    model = Deployable(generator).eval()
    device = next(iter(generator.parameters())).device
    model.to(device)
    pairs = []
    for frame in frames:
        image = prepare(frame, session.metadata.size)
        with torch.no_grad():
            outputs = model(torch.from_numpy(image).to(device))
        pairs.append((session.network(image), {name: value.cpu().numpy() for name, value in outputs.items()}))
    report = compare(pairs)
    if reason := report.shortfall():
        raise ParityError(f"parity: {reason}, over {report.frames} frames; no model was written")
    return report
