"""Depth errors in bands of the true distance: errors of near pixels are hidden in a mean over all."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from advmtl.tasks.depth.metrics import MIN_DEPTH_M, depth_mask

EDGES_M = (0.0, 10.0, 20.0, 30.0, 50.0, 80.0)
"""Where bands begin [m]; the last one ends at the depth beyond which the truth does not count."""


@dataclass
class DistanceBands:
    """AbsRel, RMSE and bias in bands of the true depth, over all pixels of a set."""

    max_m: float = 80.0
    sums: Tensor | None = field(default=None, repr=False)

    @property
    def edges_m(self) -> list[float]:
        """Borders of the bands [m], one more than there are bands."""
        return [*(edge for edge in EDGES_M if edge < self.max_m), self.max_m]

    def update(self, prediction: Tensor, target: Tensor) -> None:
        """Add metres `[N,1,H,W]`; `target` is the true depth before any clipping, 0 = invalid."""
        sums = band_sums(prediction, target, self.edges_m)
        self.sums = sums if self.sums is None else self.sums + sums

    def merge(self, other: "DistanceBands") -> None:
        """Add what another one has summed. Both need the same `max_m`."""
        if other.sums is not None:
            self.sums = other.sums if self.sums is None else self.sums + other.sums

    def compute(self) -> list[dict[str, Any]]:
        """One row a band, from_m < depth <= to_m: pixels, abs_rel, rmse_m, bias_m (+ = too far); None: no pixel."""
        if self.sums is None:
            return []
        rows = []
        edges = self.edges_m
        for low, high, (pixels, relative, squares, signed) in zip(
            edges[:-1],
            edges[1:],
            self.sums.tolist(),  # host sync, once per set
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
                }
            )
        return rows


def band_sums(prediction: Tensor, target: Tensor, edges_m: list[float]) -> Tensor:
    """Per band the sums over its pixels of 1, |p−g|/g, (p−g)², p−g: float64 `[bands,4]`, p predicted, g true [m]."""
    mask = depth_mask(target, edges_m[-1])
    # Invalid pixels become p = g = 1 m of no band: no boolean indexing, so no host sync.
    p = torch.where(mask, prediction, 1.0).double().clamp_min(MIN_DEPTH_M).flatten()
    g = torch.where(mask, target, 1.0).double().flatten()
    borders = torch.tensor(edges_m[1:-1], dtype=torch.float64, device=g.device)
    band = torch.where(mask.flatten(), torch.bucketize(g, borders), -1)
    # A product with the one-hot rows adds in a fixed order; scattered additions on a GPU would not.
    inside = (band == torch.arange(len(edges_m) - 1, device=g.device)[:, None]).double()
    error = p - g
    return inside @ torch.stack([torch.ones_like(g), error.abs() / g, error**2, error], dim=1)
