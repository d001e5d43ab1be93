"""Maps at a whole fraction of their size, where only some pixels have a label."""

import torch.nn.functional as F
from torch import Tensor


def shrink(maps: Tensor, scale: int, mask: Tensor | None = None) -> Tensor:
    """Means [N,C,ceil(H/scale),ceil(W/scale)] over squares of `scale` px, which are smaller at the far edges.

    Args:
        maps: [N,C,H,W], float.
        mask: which pixels count [N,1,H,W]; a square without any gives 0. None: all.
    """
    if scale == 1:
        return maps if mask is None else maps * mask
    if mask is None:
        return _means(maps, scale)
    share = _means(mask.to(maps.dtype), scale)
    return _means(maps * mask, scale) / share.clamp(min=1 / scale**2)


def shrink_mask(mask: Tensor, scale: int) -> Tensor:
    """Which squares have a labelled pixel, bool [N,1,ceil(H/scale),ceil(W/scale)], of bool [N,1,H,W]."""
    if scale == 1:
        return mask
    return F.max_pool2d(mask.float(), scale, ceil_mode=True) > 0


def _means(maps: Tensor, scale: int) -> Tensor:
    return F.avg_pool2d(maps, scale, ceil_mode=True, count_include_pad=False)
