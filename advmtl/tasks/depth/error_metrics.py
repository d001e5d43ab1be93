"""Whether a stated error of depth is true: sparsification, share of truth inside the interval, stated against measured.

All state stays on the device; only `compute` copies to the host. Sums are of whole numbers, so that they do not depend
on the order in which they are added.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from advmtl.tasks.depth.distance_bands import EDGES_M
from advmtl.tasks.depth.metrics import MIN_DEPTH_M, depth_mask
from advmtl.tasks.spec import ErrorScale

COVERED = 0.8
"""Share of the truth that the stated interval is to hold."""
_BINS = 4000
_LEAST, _MOST = math.log(1e-6), math.log(1e3)  # of the values that are sorted; a bin is 0.5 % wide
_SHARES, _SQUARES = 2**20, 2**16  # fixed point of relative errors and of m²
_KEYS = ("stated", "stated_m", "relative", "metres")


@dataclass
class ErrorSums:
    """Histograms over the pixels of a set whose true depth is within (1e-3 m, `max_m`).

    Attributes:
        sorted_by: by `_KEYS` int64 [bins,2]: pixels, and their relative (in the first and third) or squared error.
        ratios: int64 [bands,bins], of |ln Z − ln Z*| by the stated error.
        bands: int64 [bands,3]: pixels, stated and measured relative error.
    """

    max_m: float = 80.0
    sorted_by: dict[str, Tensor] = field(default_factory=dict, repr=False)
    ratios: Tensor | None = field(default=None, repr=False)
    bands: Tensor | None = field(default=None, repr=False)

    @property
    def edges_m(self) -> list[float]:
        """Borders of the bands [m], as of `DistanceBands`."""
        return [*(edge for edge in EDGES_M if edge < self.max_m), self.max_m]

    def update(self, output: Tensor, target: Tensor) -> None:
        """Add metres and stated relative errors [N,2,H,W], and true metres before any clipping, 0 = invalid [N,1,H,W];
        a map without errors adds nothing.
        """
        if output.shape[1] == 1:
            return
        mask = depth_mask(target, self.max_m).flatten()
        # Invalid pixels become p = g = 1 m, and are counted in no bin: no boolean indexing, so no host sync.
        depth_m, error = output[:, 0].flatten(), output[:, 1].flatten()
        p = torch.where(mask, depth_m, 1.0).double().clamp_min(MIN_DEPTH_M)
        g = torch.where(mask, target.flatten(), 1.0).double()
        e = torch.where(mask, error, 1.0).double()
        off = (p - g).abs()
        count = mask.long()
        relative, square = _fixed(off / g, mask, _SHARES), _fixed(off**2, mask, _SQUARES)
        keys = dict(zip(_KEYS, (e, e * p, off / g, off), strict=True))
        for name, key in keys.items():
            sums = _binned(_bin(key), torch.stack([count, square if name.endswith(("_m", "metres")) else relative], 1))
            self.sorted_by[name] = self.sorted_by[name] + sums if name in self.sorted_by else sums
        edges = torch.tensor(self.edges_m[1:-1], dtype=torch.float64, device=g.device)
        band, bands = torch.bucketize(g, edges), len(self.edges_m) - 1
        ratio = _bin((p.log() - g.log()).abs() / e)
        ratios = _binned(band * _BINS + ratio, count[:, None], bands * _BINS).view(bands, _BINS)
        rows = _binned(band, torch.stack([count, _fixed(e, mask, _SHARES), relative], 1), bands)
        self.ratios = ratios if self.ratios is None else self.ratios + ratios
        self.bands = rows if self.bands is None else self.bands + rows

    def merge(self, other: "ErrorSums") -> None:
        """Add what another one has summed. Both need the same `max_m`."""
        if other.ratios is None or other.bands is None:
            return
        for name, sums in other.sorted_by.items():
            self.sorted_by[name] = self.sorted_by[name] + sums if name in self.sorted_by else sums
        self.ratios = other.ratios if self.ratios is None else self.ratios + other.ratios
        self.bands = other.bands if self.bands is None else self.bands + other.bands

    def calibrated(self, frames: int) -> ErrorScale | None:
        """The scale under which what is stated has the measured mean, and the interval holds `COVERED` of the truth.

        Args: `frames`: how many these sums are of, stated as they were learnt.
        Returns: None where no pixel was valid, or every depth exact.
        """
        if self.ratios is None or self.bands is None:
            return None
        pixels, stated, measured = (float(value) for value in self.bands.sum(0).tolist())  # host sync, once per set
        if not pixels or not measured:
            return None
        factor = measured / stated
        interval = _quantile(self.ratios.sum(0).cpu().numpy(), COVERED) / factor
        return ErrorScale(factor, interval, frames)

    def compute(self, interval: float, factor: float = 1.0) -> dict[str, Any]:
        """The figures of `evaluation.json`, of what was stated times `factor`, under an interval; {} without a pixel.

        AUSE is the area between two curves: the error of the pixels that are left (mean relative, root mean square)
        over that of all, once those of the largest stated error (relative, in metres) are taken away, and once those of
        the largest true one (Ilg et al. 2018, section 5). A constant leaves the error as it is.
        """
        if self.ratios is None or self.bands is None:
            return {}
        rows = self.bands.cpu().numpy().astype(np.float64)  # host sync, once per set
        if not rows[:, 0].any():
            return {}
        tables = {name: sums.cpu().numpy().astype(np.float64) for name, sums in self.sorted_by.items()}
        inside = _below(self.ratios.cpu().numpy(), interval * factor)
        figures = {}
        for what, stated, oracle, root in (("abs_rel", *_KEYS[::2], False), ("rmse", *_KEYS[1::2], True)):
            least = _area_left(tables[oracle], root=root)
            figures[f"error_ause_{what}"] = _area_left(tables[stated], root=root) - least
            figures[f"error_ause_{what}_constant"] = 1 - least
        return {
            **figures,
            "error_within_80": float(inside.sum() / rows[:, 0].sum()),
            "error_stated": float(factor * rows[:, 1].sum() / rows[:, 0].sum() / _SHARES),
            "error_measured": float(rows[:, 2].sum() / rows[:, 0].sum() / _SHARES),
            "error_bands": [
                {
                    "from_m": low,
                    "to_m": high,
                    "pixels": int(pixels),
                    "within_80": float(held / pixels) if pixels else None,
                    "stated": float(factor * stated / pixels / _SHARES) if pixels else None,
                    "measured": float(measured / pixels / _SHARES) if pixels else None,
                }
                for low, high, (pixels, stated, measured), held in zip(
                    self.edges_m[:-1], self.edges_m[1:], rows, inside, strict=True
                )
            ],
        }


def _fixed(values: Tensor, mask: Tensor, unit: int) -> Tensor:
    return torch.where(mask, (values.clamp(max=1e6) * unit).round(), 0).long()


def _bin(values: Tensor) -> Tensor:
    """The bin of positive values; those that are 0 or too large are at the ends."""
    place = (values.clamp_min(1e-12).log() - _LEAST) * (_BINS / (_MOST - _LEAST))
    return place.floor().clamp(0, _BINS - 1).long()


def _binned(place: Tensor, values: Tensor, bins: int = _BINS) -> Tensor:
    """Sums of int64 values [n,k] by their place: [bins,k]."""
    return values.new_zeros(bins, values.shape[1]).index_add_(0, place, values)


def _place(value: float) -> float:
    return (math.log(value) - _LEAST) * (_BINS / (_MOST - _LEAST))


def _below(counts: NDArray[np.int64], value: float) -> NDArray[np.float64]:
    """How many of each row [rows,bins] lie below a value, the bin that it is in shared in proportion."""
    place = min(max(_place(value), 0.0), float(_BINS))
    whole = int(place)
    found: NDArray[np.float64] = counts[:, :whole].sum(1).astype(np.float64)
    return found if whole == _BINS else found + (place - whole) * counts[:, whole]


def _quantile(counts: NDArray[np.int64], share: float) -> float:
    """The value below which this share of all [bins] lies."""
    total = np.cumsum(counts)
    place = int(np.searchsorted(total, share * total[-1]))
    within = (share * total[-1] - (total[place] - counts[place])) / max(counts[place], 1)
    return math.exp(_LEAST + (place + within) * (_MOST - _LEAST) / _BINS)


def _area_left(table: NDArray[np.float64], *, root: bool) -> float:
    """Area under the error of what is left over the share that is taken away, the highest bins [bins,2] first, 1 where
    nothing changes. Pixels of one bin are taken away in no order.
    """
    left = np.cumsum(table, axis=0)[::-1]  # from all pixels down to those of the lowest bin
    left = left[left[:, 0] > 0]
    error = left[:, 1] / left[:, 0]
    error = np.sqrt(error) if root else error
    if not error[0]:
        return 1.0
    taken = 1 - left[:, 0] / left[0, 0]
    # The last pixels have the error of their bin to the end.
    return float(np.trapezoid(np.append(error, error[-1]) / error[0], np.append(taken, 1.0)))
