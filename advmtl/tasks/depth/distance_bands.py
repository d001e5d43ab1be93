"""Depth errors in bands of the true distance: errors of near pixels are hidden in a mean over all."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from advmtl.tasks.depth.scale import RatioHistogram, Ratios, ratios_of

EDGES_M = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0)
"""Where bands begin [m]; the last one ends at the depth beyond which the truth does not count."""


@dataclass
class DistanceBands:
    """AbsRel, RMSE, bias and scale in bands of the true depth, over all pixels of a set."""

    max_m: float = 80.0
    sums: Tensor | None = field(default=None, repr=False)
    ratios: RatioHistogram = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.ratios = RatioHistogram(len(self.edges_m) - 1)

    @property
    def edges_m(self) -> list[float]:
        """Borders of the bands [m], one more than there are bands."""
        return [*(edge for edge in EDGES_M if edge < self.max_m), self.max_m]

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add metres `[N,1,H,W]`; `target` is the true depth before any clipping, 0 = invalid."""
        self.add(ratios_of(prediction, target, self.max_m))

    def add(self, ratios: Ratios) -> None:
        """Add pixels that were compared with this `max_m`."""
        band = bands_of(ratios.true, ratios.mask, self.edges_m)
        sums = band_sums(ratios.predicted.flatten(), ratios.true.flatten(), band, len(self.edges_m) - 1)
        self.ratios.update(ratios.logs.flatten(), band)
        self.sums = sums if self.sums is None else self.sums + sums

    def merge(self, other: "DistanceBands") -> None:
        """Add what another one has summed. Both need the same `max_m`."""
        self.ratios.merge(other.ratios)
        if other.sums is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums

    def compute(self) -> list[dict[str, Any]]:
        """One row a band, from_m < depth <= to_m: pixels, abs_rel, rmse_m, bias_m (+ = too far), and scale, the
        median of predicted/true; None: no pixel.
        """
        if self.sums is None:
            return []
        rows = []
        edges = self.edges_m
        for low, high, (pixels, relative, squares, signed), scale in zip(
            edges[:-1],
            edges[1:],
            self.sums.tolist(),  # host sync, once per set
            self.ratios.medians(),
            strict=True,
        ):
            rows.append(
                {
                    "from_m": low,
                    "to_m": high,
                    "pixels": int(pixels),
                    "abs_rel": relative / pixels if pixels else None,
                    "rmse_m": (squares / pixels) ** 0.5 if pixels else None,
                    "bias_m": signed / pixels if pixels else None,
                    "scale": scale,
                }
            )
        return rows


def bands_of(true: Tensor, mask: Tensor, edges_m: list[float]) -> Tensor:
    """The number of each pixel's band by its true depth [m], `[P]`; −1 where `mask` leaves it out."""
    borders = torch.tensor(edges_m[1:-1], dtype=torch.float64, device=true.device)
    return torch.where(mask.flatten(), torch.bucketize(true.flatten(), borders), -1)


def band_sums(p: Tensor, g: Tensor, band: Tensor, bands: int) -> Tensor:
    """Per band the sums over its pixels of 1, |p−g|/g, (p−g)², p−g: float64 `[bands,4]`; p predicted, g true [m] and
    the band's number, each `[P]`.
    """
    # A product with the one-hot rows adds in a fixed order; scattered additions on a GPU would not.
    inside = (band == torch.arange(bands, device=g.device)[:, None]).double()
    error = p - g
    return inside @ torch.stack([torch.ones_like(g), error.abs() / g, error**2, error], dim=1)
