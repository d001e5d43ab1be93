"""RotoGrad's rotation of the shared representation, one per task."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RotatedHead(nn.Module):
    """A task's head on z with its channels rotated, head(R z) (Javaloy & Valera 2022; seed 000, Eq. 20).

    R [C,C] is orthogonal, the same at every pixel and part of the deployed network: one 1x1 convolution. It is a
    buffer, since `turn` moves it and not the generator's optimizer.
    """

    rotation: Tensor

    def __init__(self, head: nn.Module, channels: int) -> None:
        super().__init__()
        self.head = head
        self.register_buffer("rotation", torch.eye(channels))

    def forward(self, z: Tensor) -> Tensor:
        """The head's map of the rotated z [N,C,h,w]."""
        return self.head(F.conv2d(z, self.rotation[:, :, None, None]))


@torch.no_grad()
def turn(
    heads: Mapping[str, nn.Module],
    gradients: Mapping[str, Tensor],
    weights: Mapping[str, float],
    angle: float,
    reduce: Callable[[Tensor], Tensor],
) -> None:
    """Turn each task's rotation so that its gradient at z comes closer to the mean of all: one step on Eq. 20.

    L_rot = −Σ ⟨Rᵀ g̃, v⟩ with g̃ the task's gradient at R z and v the mean of the scaled gradients at z. g = Rᵀ g̃ is the
    gradient at z itself, so with M = Σ g vᵀ over pixels the loss falls fastest along R exp(½ (M − Mᵀ)). The step is
    `angle` times that over ‖g‖‖v‖, the most it can be.

    Args:
        heads: by task, `RotatedHead`s.
        gradients: by row, at z [N,C,h,w].
        weights: by row, from the balancer.
        angle: [rad].
        reduce: mean over the processes, each of which has the part of every gradient that belongs to its own frames.
    """
    scaled = {name: weights[name] * gradient for name, gradient in gradients.items()}
    mean = torch.stack(list(scaled.values())).mean(0)
    towards = mean.transpose(0, 1).flatten(1)
    for name, gradient in scaled.items():
        head = heads.get(name)
        if isinstance(head, RotatedHead):
            own = gradient.transpose(0, 1).flatten(1)
            squares = reduce(torch.stack([own.square().sum(), towards.square().sum()]))
            cross = reduce(own @ towards.T) / squares.prod().sqrt().clamp_min(1e-30)
            rotation = head.rotation @ torch.linalg.matrix_exp(angle * 0.5 * (cross - cross.T))
            # One Newton step back to the orthogonal matrices: rounding would add up over a training.
            head.rotation.copy_(1.5 * rotation - 0.5 * rotation @ rotation.T @ rotation)
