"""The contrastive loss that keeps content where it is: patchwise InfoNCE (Park et al. 2020)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEMPERATURE = 0.07
_DIMENSIONS = 64


class PatchHeads(nn.Module):
    """A small network per layer that takes its patches to unit vectors of 64 dimensions (ibid., section 3.2)."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, _DIMENSIONS), nn.ReLU(), nn.Linear(_DIMENSIONS, _DIMENSIONS))
            for count in channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """Unit vectors [N,P,64] by layer. `maps` [N,C,H,W]; `places` int64 [P], of each layer its row-major pixels."""
        # As [N,H,W,C], the channels_last layout seen plainly, a patch is one row of memory.
        patches = (one.permute(0, 2, 3, 1).flatten(1, 2)[:, at] for one, at in zip(maps, places, strict=True))
        return [F.normalize(head(patch), dim=-1) for head, patch in zip(self.heads, patches, strict=True)]


def patch_nce(queries: Tensor, keys: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Mean over patches of −ln(exp(q·k⁺/τ) / Σ exp(q·k/τ)), k⁺ at the same place, all k of the same picture (ibid.,
    Eq. 2 and 3), 0-d.

    Args: unit vectors [N,P,D] of pictures after and before; gradients go to `queries`.
    """
    similar = queries.float() @ keys.detach().float().transpose(1, 2) / temperature
    own = torch.arange(similar.shape[1], device=similar.device).expand(len(similar), -1)
    return F.cross_entropy(similar.flatten(0, 1), own.flatten())


def drawn_places(maps: Sequence[Tensor], count: int, draws: torch.Generator) -> list[Tensor]:
    """Different pixels of each layer, at most `count` and all where it has no more, on the maps' device."""
    pixels = [one.shape[-2] * one.shape[-1] for one in maps]
    return [torch.randperm(n, generator=draws)[:count].to(maps[0].device, non_blocking=True) for n in pixels]
