"""The scale of depth apart from its shape: how many times too far everything is, and the errors that are left without.

A network behind another lens or at another height says all distances wrong by one factor. The metric figures show one
large error; these tell which part of it a factor removes: one of the whole set, or one of each frame.

All state stays on the device; only `compute` copies to the host.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from advmtl.tasks.depth.metrics import MIN_DEPTH_M, depth_mask

STEPS = 1024
"""Steps of a histogram in one unit of log ratio: medians over a set are exact to half a step, 0.05 %."""
_REACH = 4  # of the histogram, in units of log ratio: a ratio beyond e^±4, 55 times, counts as that
_BINS = 2 * _REACH * STEPS + 1
BOUND = 0.05
"""The scale error from which on an evaluation says so."""
_QUANTILES = (0.1, 0.5, 0.9)


@dataclass
class RatioHistogram:
    """How often each ratio predicted/true occurs, in rows of their own: for medians of streams that can be merged.

    Attributes:
        counts: int64 `[rows, bins]`; the middle one is of the ratio 1.
    """

    rows: int = 1
    counts: Tensor | None = field(default=None, repr=False)

    def update(self, log_ratio: Tensor, row: Tensor) -> None:
        """Add log ratios `[P]` to the rows of these numbers `[P]`; those of row −1 are left out."""
        place = (log_ratio * STEPS).round().clamp(-_REACH * STEPS, _REACH * STEPS).long() + _REACH * STEPS
        inside = row >= 0
        # Integers: the sum is the same in whatever order a GPU adds. No boolean indexing, so no host sync.
        counts = torch.zeros(self.rows * _BINS, dtype=torch.int64, device=log_ratio.device)
        counts.scatter_add_(0, torch.where(inside, row * _BINS + place, 0), inside.long())
        counts = counts.view(self.rows, _BINS)
        self.counts = counts if self.counts is None else self.counts + counts

    def merge(self, other: "RatioHistogram") -> None:
        """Add what another one of as many rows has counted."""
        if other.counts is not None:
            self.counts = other.counts if self.counts is None else self.counts + other.counts

    def medians(self) -> list[float | None]:
        """The median ratio of each row; None where it is empty."""
        counts = torch.zeros(self.rows, 1) if self.counts is None else self.counts.cpu()  # host sync, once per set
        totals = counts.sum(1).tolist()
        sums = counts.cumsum(1)
        places = [int(torch.searchsorted(row, (n + 1) // 2)) for row, n in zip(sums, totals, strict=True)]
        return [_ratio_at(place) if n else None for place, n in zip(places, totals, strict=True)]


def _ratio_at(place: int) -> float:
    return math.exp(place / STEPS - _REACH)


@dataclass(frozen=True)
class Ratios:
    """Pixels compared, all `[N,1,H,W]`; 1 m, 1 m and 0 where none counts.

    Attributes:
        mask: bool, the pixels that count.
        predicted, true: float64 [m].
        logs: ln(predicted / true).
    """

    mask: Tensor
    predicted: Tensor
    true: Tensor
    logs: Tensor


@dataclass
class DepthScale:
    """Scale of a set and of its frames, and what is left without, over pixels whose true depth is within (1e-3 m,
    `max_m`).

    A scale is the median over pixels of predicted/true. (Zhou et al. 2017, and the protocols `garg_median` and
    `eigen_median`, take the ratio of the medians, which is of the pixels of middling distance.)
    """

    max_m: float = 80.0
    ratios: RatioHistogram = field(default_factory=RatioHistogram)
    sums: Tensor | None = field(default=None, repr=False)  # float64 [4]: p², p·g, g², pixels
    scaled: Tensor | None = field(default=None, repr=False)  # float64 [4], see `frame_scale_sums`
    medians: list[Tensor] = field(default_factory=list, repr=False)  # log ratio of each frame [N], NaN: no pixel

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add metres `[N,1,H,W]`; `target` is the true depth before any clipping, 0 = invalid."""
        self.add(ratios_of(prediction, target, self.max_m))

    def add(self, ratios: Ratios) -> None:
        """Add pixels that were compared with this `max_m`."""
        mask, p, g = ratios.mask, ratios.predicted, ratios.true
        self.ratios.update(ratios.logs.flatten(), torch.where(mask, 0, -1).flatten())
        sums = torch.stack([(one * mask).sum() for one in (p * p, p * g, g * g, torch.ones_like(g))])
        medians = frame_medians(ratios)
        scaled = _scaled_sums(ratios, medians).sum(0)
        self.sums = sums if self.sums is None else self.sums + sums
        self.scaled = scaled if self.scaled is None else self.scaled + scaled
        self.medians.append(medians)

    def merge(self, other: "DepthScale") -> None:
        """Add what another one has summed."""
        self.ratios.merge(other.ratios)
        self.medians += other.medians
        if other.sums is not None and other.scaled is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums
            self.scaled = other.scaled if self.scaled is None else self.scaled + other.scaled

    def compute(self) -> dict[str, Any]:
        """See the task's `figures`; None where no pixel was valid."""
        if self.sums is None or self.scaled is None:
            return {}
        scale = self.ratios.medians()[0]
        if scale is None:
            return dict.fromkeys(_NAMES)
        frames = torch.cat(self.medians).cpu()  # host sync, once per set
        low, middle, high = quantiles(frames[~frames.isnan()].exp().tolist(), _QUANTILES)
        pixels, relative, squares, near = self.scaled.tolist()
        values = (scale, math.exp(abs(math.log(scale))) - 1, middle, low, high)
        by_frame = (relative / pixels, (squares / pixels) ** 0.5, near / pixels)
        return dict(zip(_NAMES, (*values, *by_frame, *self._by_set(scale)), strict=True))

    def _by_set(self, scale: float) -> tuple[float, float, float]:
        """AbsRel, RMSE [m] and δ1 after dividing all predictions by one scale: the first and the last are functions of
        the ratio alone, and exact to half a step of the histogram.
        """
        assert self.sums is not None and self.ratios.counts is not None
        pp, pg, gg, pixels = self.sums.tolist()  # host sync, once per set
        counts = self.ratios.counts[0].cpu().double()
        ratio = ((torch.arange(_BINS, dtype=torch.float64) / STEPS - _REACH) - math.log(scale)).exp()
        near = torch.maximum(ratio, 1 / ratio) < 1.25
        squares = max(0.0, pp / scale**2 - 2 * pg / scale + gg)
        relative = float((counts * (ratio - 1).abs()).sum())
        return relative / pixels, (squares / pixels) ** 0.5, float((counts * near).sum()) / pixels


_NAMES = (
    *("scale", "scale_error", "scale_frames", "scale_frames_p10", "scale_frames_p90"),
    *("abs_rel_frame_scaled", "rmse_frame_scaled_m", "delta1_frame_scaled"),
    *("abs_rel_set_scaled", "rmse_set_scaled_m", "delta1_set_scaled"),
)


def ratios_of(prediction: Tensor, target: Tensor, max_m: float) -> Ratios:
    """Metres `[N,1,H,W]` compared where the true depth is within (1e-3 m, `max_m`)."""
    mask = depth_mask(target, max_m)
    p = torch.where(mask, prediction, 1.0).double().clamp_min(MIN_DEPTH_M)
    g = torch.where(mask, target, 1.0).double()
    return Ratios(mask, p, g, (p / g).log())


def frame_medians(ratios: Ratios) -> Tensor:
    """The median log ratio of each frame over its valid pixels, float64 `[N]`, NaN where there are none."""
    return torch.where(ratios.mask, ratios.logs, math.nan).flatten(1).nanmedian(dim=1).values


def frame_scale_sums(prediction: Tensor, target: Tensor, max_m: float) -> Tensor:
    """Per frame its median log ratio (0 without a valid pixel), and the sum of |p/s − g|/g after dividing by that scale
    s: float64 `[N,2]`, metres `[N,1,H,W]`.
    """
    ratios = ratios_of(prediction, target, max_m)
    medians = frame_medians(ratios)
    return torch.stack([medians.nan_to_num(0.0), _scaled_sums(ratios, medians)[:, 1]], dim=1)


def _scaled_sums(ratios: Ratios, medians: Tensor) -> Tensor:
    """Of each frame after dividing by its scale the sums over valid pixels of 1, |p−g|/g, (p−g)², δ < 1.25: `[N,4]`."""
    mask, g = ratios.mask, ratios.true
    scaled = torch.where(mask, ratios.predicted / medians.nan_to_num(0.0).exp().view(-1, 1, 1, 1), 1.0)
    near = (torch.maximum(scaled / g, g / scaled) < 1.25) & mask
    terms = (mask.double(), (scaled - g).abs() / g, (scaled - g) ** 2, near.double())
    return torch.stack([term.flatten(1).sum(1) for term in terms], dim=1)


def quantiles(values: Sequence[float], shares: Sequence[float]) -> list[float]:
    """The values at these shares of the sorted ones, linear between neighbours."""
    ordered = torch.tensor(sorted(values), dtype=torch.float64)
    found: list[float] = torch.quantile(ordered, torch.tensor(shares, dtype=torch.float64)).tolist()
    return found


def scale_doubt(figures: Mapping[str, Any], bound: float = BOUND) -> str | None:
    """A line where the scale of a set is off by more than `bound`; None where it is not, or is not known."""
    scale, error = figures.get("scale"), figures.get("scale_error")
    if scale is None or error is None or error <= bound:
        return None
    low, high = figures["scale_frames_p10"], figures["scale_frames_p90"]
    of_frames = f"frames {low:.2f} to {high:.2f}" if high - low > 0.005 else "of every frame"
    left = f"{figures['abs_rel']:.3f} -> {figures['abs_rel_set_scaled']:.3f}"
    return (
        f"metres are {scale:.2f} of the truth at the median ({of_frames}; AbsRel {left} without): another lens or "
        "camera height than it learnt? Say the lens (fx_px, hfov_deg or camera of the data source), or set the scale: "
        "advmtl calibrate"
    )
