"""RotoGrad: equalised gradient norms, and a rotation of the shared representation per task."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from advmtl.balancing.balancer import GramBalancer
from advmtl.distributed import Processes
from advmtl.networks import RotatedHead


class RotoGrad(GramBalancer):
    """Equal gradient norms, Σ α_k‖g_k‖ with α_k ∝ ‖g_k‖/‖g_k(0)‖ (Javaloy & Valera 2022; Fontana et al. 2024, Eq. 19).

    So the task whose gradient has shrunk least sets the pace. The second half of the method, a rotation of z per task
    (Eq. 20), is `networks.rotated_head.RotatedHead`, which `rotate_heads` moves in each step.

    Args:
        angle: how far a rotation may turn in one step [rad].
    """

    transforms_representation: ClassVar[bool] = True
    first_norms: Tensor

    def __init__(self, objectives: Sequence[str], *, angle: float = 0.01) -> None:
        super().__init__(objectives)
        self.angle = angle
        self.register_buffer("first_norms", torch.zeros(len(objectives), dtype=torch.float64))  # 0: not seen yet

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        """Weights that give every gradient the common norm."""
        del losses
        norms = gramian.diagonal().sqrt()
        first = torch.where(self.first_norms[active] > 0, self.first_norms[active], norms)
        self.first_norms[active] = first
        share = norms / first
        common = (share / share.sum()) @ norms
        return common / norms

    def transform(
        self,
        heads: Mapping[str, nn.Module],
        gradients: Mapping[str, Tensor],
        weights: Mapping[str, float],
        processes: Processes,
    ) -> None:
        """Update every task's rotation of z."""
        rotate_heads(heads, gradients, weights, self.angle, processes)


@torch.no_grad()
def rotate_heads(
    heads: Mapping[str, nn.Module],
    gradients: Mapping[str, Tensor],
    weights: Mapping[str, float],
    angle: float,
    processes: Processes,
) -> None:
    """Update each task's rotation so that its gradient at z comes closer to the mean of all: one step on Eq. 20.

    L_rot = −Σ ⟨Rᵀ g̃, v⟩ with g̃ the task's gradient at R z and v the mean of the scaled gradients at z. g = Rᵀ g̃ is the
    gradient at z itself, so with M = Σ g vᵀ over pixels the loss falls fastest along R exp(½ (M − Mᵀ)). The step is
    `angle` times that over ‖g‖‖v‖, the most it can be.

    Args:
        heads: by task, `RotatedHead`s.
        gradients: by objective, at z [N,C,h,w].
        weights: by objective, from the balancer.
        angle: [rad].
        processes: each has the part of every gradient that belongs to its own frames.
    """
    scaled = {name: weights[name] * gradient for name, gradient in gradients.items()}
    mean = torch.stack(list(scaled.values())).mean(0)
    towards = mean.transpose(0, 1).flatten(1)
    for name, gradient in scaled.items():
        head = heads.get(name)
        if isinstance(head, RotatedHead):
            own = gradient.transpose(0, 1).flatten(1)
            squares = torch.stack([own.square().sum(), towards.square().sum()])
            cross = own @ towards.T
            processes.average([squares, cross])
            cross = cross / squares.prod().sqrt().clamp_min(1e-30)
            rotation = head.rotation @ torch.linalg.matrix_exp(angle * 0.5 * (cross - cross.T))
            # One Newton step back to the orthogonal matrices: rounding would add up over a training.
            head.rotation.copy_(1.5 * rotation - 0.5 * rotation @ rotation.T @ rotation)
