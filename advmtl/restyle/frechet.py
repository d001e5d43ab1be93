"""The distance of two sets of pictures: that of Gaussians fitted to features of a frozen encoder (Fréchet)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advmtl.networks import build_encoder
from advmtl.restyle.judge import Judge
from preprocessing.ground import InputError

Vectors = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """A frozen encoder's deepest map, averaged over the picture. No Inception network, so no FID of other papers.

    Attributes:
        name: what the features are, for those who read the figures.
        encoder: normalised pictures [N,3,H,W] to maps, the deepest last.
    """

    name: str
    encoder: nn.Module

    @torch.no_grad()
    def of(self, images: Tensor) -> Tensor:
        """Features [N,D] of normalised pictures [N,3,H,W]."""
        maps: Sequence[Tensor] = self.encoder(images)
        return maps[-1].float().mean((2, 3))


def features_of(weights: str | None, judge: Judge | None) -> Features | None:
    """Those of ImageNet where weights are given ("imagenet" or a file), else the model's; None without either.

    Raises: InputError where the weights cannot be read.
    """
    if weights is not None:
        given = weights if weights == "imagenet" else str(Path(weights).expanduser())
        try:
            encoder: Any = build_encoder(given)
        except InputError as error:
            raise InputError(f"--features {weights}: {error}") from None
        name = "MobileNetV3-Small on ImageNet, stride 32, mean over the picture"
        return Features(name, encoder.eval().requires_grad_(False))
    if judge is None:
        return None
    return Features("the model's encoder, stride 32, mean over the picture", judge.network.encoder)  # type: ignore[arg-type]


def frechet_distance(one: Vectors, other: Vectors) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½) of features [N,D] and [M,D] (Dowson and Landau 1982; Heusel et al. 2017,
    Eq. 6), two of each at least.
    """
    means = one.mean(0), other.mean(0)
    covariances = [np.cov(features, rowvar=False).reshape(features.shape[1], -1) for features in (one, other)]
    return gaussian_distance(means, covariances)


def gaussian_distance(means: Sequence[Vectors], covariances: Sequence[Vectors]) -> float:
    """The same of two Gaussians: their means [D] and covariances [D,D]."""
    first, second = covariances
    root = _root(first)
    # Σ₁ Σ₂ has the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric: no complex root of it is needed.
    shared = np.linalg.eigvalsh(root @ second @ root).clip(min=0)
    distance = np.square(means[0] - means[1]).sum() + np.trace(first) + np.trace(second) - 2 * np.sqrt(shared).sum()
    return float(max(distance, 0.0))


def _root(matrix: Vectors) -> Vectors:
    values, vectors = np.linalg.eigh(matrix)
    found: Vectors = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return found


def set_distances(
    before: Vectors, after: Vectors, target: Vectors, name: str, shuffled: Callable[[int], NDArray[np.int64]]
) -> dict[str, Any]:
    """Distances to one half of the target: of the pictures before, after, and of the target's other half, the floor.

    All three are of equally many pictures, because the distance of small sets is larger. `shuffled`: a permutation.
    """
    order = shuffled(len(target))
    reference, rest = target[order[: len(target) // 2]], target[order[len(target) // 2 :]]
    count = min(len(before), len(rest))
    chosen = np.linspace(0, len(before) - 1, count).round().astype(int)
    if count < 2 or len(reference) < 2:
        return {}
    return {
        "features": name,
        "dimensions": target.shape[1],
        "pictures": count,
        "reference_pictures": len(reference),
        "before": frechet_distance(before[chosen], reference),
        "after": frechet_distance(after[chosen], reference),
        "target_halves": frechet_distance(rest[:count], reference),
    }
