"""The CREStereo network (Li et al., "Practical Stereo Matching via Cascaded Recurrent Network with Adaptive
Correlation", CVPR 2022, arXiv 2203.11483), for inference.

Its parameters have the names and shapes of the public PyTorch port of the published weights
(crestereo_eth3d.pth, Apache-2.0), so that file loads as it is. Where the paper and what these weights were
trained with differ, the weights rule; such places say so.

Inside, a flow is float32 [N, 2, h, w], x and y, in pixels of its own level; left (x, y) is right (x, y) + flow.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from preprocessing.stereo.crestereo.layers import Encoder, Transformer, UpdateBlock
from preprocessing.stereo.crestereo.sampling import (
    CHANNELS,
    SEARCHED,
    UPSAMPLING,
    correlate_points,
    correlate_window,
    grid,
    position,
    resize_flow,
    split,
)

TILE_OVERLAP = 128
"""Pixels that neighbouring tiles share: the outer quarters are context only, the middle half is blended."""


class CREStereo(nn.Module):
    """CREStereo with the parameters of the published weights.

    Args:
        max_disp: As the reference has it; nothing in the network depends on it.
    """

    def __init__(self, max_disp: int = 256) -> None:
        super().__init__()
        self.max_disp = max_disp
        self.fnet = Encoder()
        self.update_block = UpdateBlock()
        self.self_att_fn = Transformer(across=False)
        self.cross_att_fn = Transformer(across=True)
        self.conv_offset_16 = nn.Conv2d(CHANNELS, 2 * SEARCHED, 3, padding=1)
        self.conv_offset_8 = nn.Conv2d(CHANNELS, 2 * SEARCHED, 3, padding=1)

    @torch.no_grad()
    def forward(
        self,
        left: Tensor,
        right: Tensor,
        iterations: int = 20,
        flow_init: Tensor | None = None,
        tile: int | None = None,
    ) -> Tensor:
        """Return float32 [N, 2, H, W] in pixels: channel 0 the disparity, channel 1 the same in y.

        Args:
            left, right: A rectified pair, float [N, 3, H, W], BGR 0..255, sides multiples of 16 from 32 on.
            iterations: At a quarter of the size; without `flow_init`, half as many before at 1/16 and at 1/8.
            flow_init: An answer for a smaller size, [N, 2, h, w], to start from.
            tile: Side [px] of the tiles in which the quarter-size stage runs, a multiple of 4 above
                `TILE_OVERLAP`; None = all at once. The features are always those of the whole images, so a
                tile sees every disparity.

        Raises:
            ValueError: Sizes, iterations or tile are none of these.
        """
        _check(left, right, iterations, flow_init, tile)
        features_left, features_right = self.fnet(left), self.fnet(right)
        if flow_init is None:
            flow = self._coarse(features_left, features_right, iterations // 2)
        else:
            flow = resize_flow(flow_init.float(), features_left)
        answer = left.new_zeros(len(left), 2, *left.shape[2:], dtype=torch.float32)
        for rows, row_weight in _tiles(flow.shape[2], tile):
            for columns, column_weight in _tiles(flow.shape[3], tile):
                part = (slice(None), slice(None), rows, columns)
                pixels = grid(rows, columns, flow.device)
                correlate = partial(correlate_window, features_left[part], features_right, pixels)
                state, context = split(features_left[part])
                refined = self.update_block(state, context, flow[part], iterations, correlate)
                place = tuple(slice(UPSAMPLING * s.start, UPSAMPLING * s.stop) for s in (rows, columns))
                weight = row_weight.unsqueeze(1) * column_weight
                answer[:, :, place[0], place[1]] -= refined * weight.to(refined.device)
        return answer

    def _coarse(self, left: Tensor, right: Tensor, iterations: int) -> Tensor:
        """Search the features [N, C, h, w] from nothing at a quarter, then at half their size; return flow there."""
        state, context = split(left)
        flow: Tensor | None = None
        for factor, convolution in ((4, self.conv_offset_16), (2, self.conv_offset_8)):
            left_small, right_small = (functional.avg_pool2d(x, factor) for x in (left, right))
            offsets = 2 * (convolution(left_small).float().sigmoid() - 0.5)
            if flow is None:
                flow = torch.zeros_like(offsets[:, :2])
                left_small, right_small = self._attend(left_small, right_small)
            else:
                flow = resize_flow(flow, left_small)
            points = offsets.unflatten(1, (SEARCHED, 2))
            correlate = partial(correlate_points, left_small, right_small, points)
            small = [functional.avg_pool2d(x, factor) for x in (state, context)]
            flow = self.update_block(small[0], small[1], flow, iterations, correlate)
        assert flow is not None
        return resize_flow(flow, left)

    def _attend(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        shape, encoding = left.shape, position(left.shape[2], left.shape[3], left.device)
        # In half precision the sums over all tokens overflow.
        with torch.autocast(left.device.type, enabled=False):
            tokens = [(x + encoding).flatten(2).transpose(1, 2) for x in (left, right)]
            tokens = self.cross_att_fn(*self.self_att_fn(*tokens))
        left, right = (x.transpose(1, 2).reshape(shape) for x in tokens)
        return left, right


def _check(left: Tensor, right: Tensor, iterations: int, flow_init: Tensor | None, tile: int | None) -> None:
    height, width = left.shape[2:]
    if left.shape != right.shape or left.shape[1] != 3:
        raise ValueError(f"left is {tuple(left.shape)} and right {tuple(right.shape)}; both must be one [N, 3, H, W]")
    if height % 16 or width % 16 or min(height, width) < 32:
        raise ValueError(f"images of {width}x{height}: both sides must be multiples of 16 from 32 on")
    least = 2 if flow_init is None else 1
    if iterations < least:
        raise ValueError(f"iterations: {iterations} must be at least {least}")
    if flow_init is not None and (flow_init.ndim != 4 or flow_init.shape[:2] != (len(left), 2)):
        raise ValueError(f"flow_init is {tuple(flow_init.shape)}, expected [{len(left)}, 2, h, w]")
    if tile is not None and (tile <= TILE_OVERLAP or tile % UPSAMPLING):
        raise ValueError(f"tile: {tile} must be a multiple of {UPSAMPLING} above {TILE_OVERLAP}")


def _tiles(length: int, tile: int | None) -> list[tuple[slice, Tensor]]:
    """Cover so many quarter-size pixels by tiles; with each, its weights at full size, which sum to 1 everywhere."""
    if tile is None or tile >= UPSAMPLING * length:
        return [(slice(0, length), torch.ones(UPSAMPLING * length))]
    side, overlap = tile // UPSAMPLING, TILE_OVERLAP // UPSAMPLING
    starts = [min(start, length - side) for start in range(0, length - overlap, side - overlap)]
    ramp = ((torch.arange(tile) + 0.5 - TILE_OVERLAP / 4) / (TILE_OVERLAP / 2)).clamp(0, 1)
    total = torch.zeros(UPSAMPLING * length)
    weights = []
    for start in starts:
        weight = torch.ones(tile)
        weight = torch.minimum(weight, ramp) if start > 0 else weight
        weight = torch.minimum(weight, ramp.flip(0)) if start + side < length else weight
        total[UPSAMPLING * start : UPSAMPLING * (start + side)] += weight
        weights.append(weight)
    return [
        (slice(start, start + side), weight / total[UPSAMPLING * start : UPSAMPLING * (start + side)])
        for start, weight in zip(starts, weights, strict=True)
    ]
