"""RotoGrad's rotation of the shared representation, one per task."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RotatedHead(nn.Module):
    """A task's head on z with its channels rotated, head(R z) (Javaloy & Valera 2022; Fontana et al. 2024, Eq. 20).

    R [C,C] is orthogonal, the same at every pixel and part of the deployed network: one 1x1 convolution. It is a
    buffer, since `balancing.rotograd` moves it and not the generator's optimizer.
    """

    rotation: Tensor

    def __init__(self, head: nn.Module, channels: int) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("rotation", torch.eye(channels))

    def forward(self, z: Tensor) -> Tensor:
        """The head's map of the rotated z [N,C,h,w]."""
        return self.head(F.conv2d(z, self.rotation[:, :, None, None]))
