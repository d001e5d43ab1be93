"""Depth of KITTI as papers measure it: Eigen's and Garg's crops, a mean over frames, with and without median scaling.

The crops are those of monodepth's evaluation (Godard et al. 2017), in shares of the picture: Garg et al. 2016, and the
one found there to give the results of Eigen et al. 2014. True depths within (1e-3 m, 80 m) count, predictions are
clipped to that range, and figures of frames are averaged, so that each frame counts alike.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from advmtl.tasks.depth.metrics import MIN_DEPTH_M, depth_mask
from advmtl.tasks.learning import Meter
from advmtl.tasks.spec import TaskSpec

CAP_M = 80.0
CROPS = {
    "garg": (0.40810811, 0.99189189, 0.03594771, 0.96405229),
    "eigen": (0.3324324, 0.91351351, 0.0359477, 0.96405229),
}
"""First and last row, first and last column, as shares of height and width, rounded down; the last is not in it."""
_FIGURES = ("abs_rel", "sq_rel_m", "rmse_m", "rmse_log", "delta1", "delta2", "delta3")
_DEPTH = "depth"


@dataclass
class PublishedDepth:
    """Figures of frames, averaged. Frames without a true depth in the crop are left out.

    Attributes:
        crop: of `CROPS`.
        median_scaling: metres are multiplied by the ratio of true and predicted medians of each frame first (Zhou et
            al. 2017): what is measured is then depth up to a scale, and the name of the protocol says so.
    """

    crop: str
    median_scaling: bool = False
    frames: list[NDArray[np.float64]] = field(default_factory=list)  # [1 + figures]: pixels, then `_FIGURES`

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        """Add a batch of metres."""
        for prediction, target in zip(outputs[_DEPTH].float(), targets[_DEPTH], strict=True):
            figures = _frame(prediction[0], target[0], CROPS[self.crop], self.median_scaling)
            if figures is not None:
                self.frames.append(figures)

    def merge(self, other: "PublishedDepth") -> None:
        """Add the frames of another one."""
        self.frames += other.frames

    def compute(self) -> dict[str, Any]:
        """Means over frames, and how many frames and pixels they are from."""
        if not self.frames:
            return {}
        rows = np.stack(self.frames)
        # Sorted, so that the sum has the same bits in whatever order several processes have measured the frames.
        means = np.sort(rows[:, 1:], axis=0).mean(axis=0)
        figures = dict(zip(_FIGURES, means.tolist(), strict=True))
        return {**figures, "pixels": int(rows[:, 0].sum()), "frames": len(rows)}


def _frame(
    prediction: Tensor, target: Tensor, crop: tuple[float, float, float, float], median_scaling: bool
) -> NDArray[np.float64] | None:
    """Of metres `[H,W]`; None where no pixel counts."""
    height, width = target.shape
    top, bottom, left, right = (int(part * side) for part, side in zip(crop, 2 * (height,) + 2 * (width,), strict=True))
    true, guess = target[top:bottom, left:right], prediction[top:bottom, left:right]
    mask = depth_mask(true, CAP_M)
    # Host sync, a frame each: papers' medians are those of NumPy.
    g, p = (one[mask].double().cpu().numpy() for one in (true, guess))
    if not len(g):
        return None
    if median_scaling:
        p = p * (np.median(g) / np.median(p))
    p = np.clip(p, MIN_DEPTH_M, CAP_M)
    ratio = np.maximum(p / g, g / p)
    errors = (np.abs(p - g) / g, (p - g) ** 2 / g, (p - g) ** 2, (np.log(p) - np.log(g)) ** 2)
    relative, squared, square, log_square = (one.mean() for one in errors)
    deltas = [(ratio < 1.25**k).mean() for k in (1, 2, 3)]
    return np.array([len(g), relative, squared, square**0.5, log_square**0.5, *deltas])


def _meter(spec: TaskSpec, *, crop: str, median_scaling: bool) -> Meter:
    return PublishedDepth(crop, median_scaling)


PROTOCOLS: dict[str, Callable[[TaskSpec], Meter]] = {
    f"{crop}{ending}": partial(_meter, crop=crop, median_scaling=scaled)
    for crop in CROPS
    for ending, scaled in (("", False), ("_median", True))
}
"""By name: `garg`, `garg_median`, `eigen`, `eigen_median`."""
