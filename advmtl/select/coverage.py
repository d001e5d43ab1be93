"""How well the chosen frames cover all: distances to the nearest chosen one, kept as frames are added."""

from collections.abc import Sequence

import torch
from torch import Tensor


class Coverage:
    """Distance of every frame to the nearest chosen one (feature L2); infinite while none is chosen.

    Adding a frame takes one pass over the features and memory for one distance a frame: never frames x frames.

    Attributes:
        nearest: float32 `[N]`.
    """

    def __init__(self, features: Tensor, start: Sequence[int] = ()) -> None:
        """`features`: float32 `[N, D]`, on any device. `start`: frames that are chosen already."""
        self._features = features
        self.nearest = torch.full((len(features),), float("inf"), device=features.device)
        for place in start:
            self.add(place)

    def add(self, place: int) -> None:
        """Choose a frame."""
        # By differences: the usual way over a matrix product leaves equal frames a little apart.
        to_it = torch.cdist(self._features, self._features[place][None], compute_mode="donot_use_mm_for_euclid_dist")
        self.nearest = torch.minimum(self.nearest, to_it[:, 0])

    def farthest(self, among: Tensor) -> int:
        """The frame farthest from all chosen ones, of those where `among` (bool `[N]`) is true; the first of equals.

        Source: seed 000, Eq. 34: arg max over G_U of the min over G_A.
        """
        return int(torch.where(among, self.nearest, -1.0).argmax())  # waits for the device, as the choice must

    def radius(self, among: Tensor) -> tuple[float, float]:
        """Largest and mean distance to the nearest chosen frame, over the frames where `among` is true."""
        distances = self.nearest[among]
        return float(distances.max()), float(distances.mean())
