"""The CREStereo network (Li et al., "Practical Stereo Matching via Cascaded Recurrent Network with Adaptive
Correlation", CVPR 2022, arXiv 2203.11483), for inference.

Its parameters have the names and shapes of the public PyTorch port of the published weights
(crestereo_eth3d.pth, Apache-2.0), so that file loads as it is. Where the paper and what these weights were
trained with differ, the weights rule; such places say so.

Inside, a flow is float32 [N, 2, h, w], x and y, in pixels of its own level; left (x, y) is right (x, y) + flow.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 256
HIDDEN = CHANNELS // 2
GROUPS = 4  # groups of channels, each correlated on its own
SEARCHED = 9  # points looked at around each pixel, by turns along its row and in a square
HEADS = 8
UPSAMPLING = 4  # the finest features are at a quarter of the image

TILE_OVERLAP = 128
"""Pixels that neighbouring tiles share: the outer quarters are context only, the middle half is blended."""

# (flow, whether to search a square) -> [N, GROUPS * SEARCHED, h, w]
Correlate = Callable[[Tensor, bool], Tensor]


def _normalise(x: Tensor) -> Tensor:
    """Instance norm of a batch of one, in place where float32.

    Two passes: PyTorch's own leaves channels_last, and its batch norm there has thirty times the rounding error.
    """
    if x.dtype != torch.float32:
        return functional.batch_norm(x, None, None, training=True)  # squares would overflow
    x.sub_(x.mean((2, 3), keepdim=True))
    return x.mul_((x.square().mean((2, 3), keepdim=True) + 1e-5).rsqrt_())


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        y = _normalise(self.conv1(x)).relu_()
        y = _normalise(self.conv2(y)).relu_()
        return y.add_(_normalise(self.downsample(x))).relu_()


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
        self.layer1 = nn.Sequential(_Residual(64, 64), _Residual(64, 64))
        self.layer2 = nn.Sequential(_Residual(64, 96, stride=2), _Residual(96, 96))
        self.layer3 = nn.Sequential(_Residual(96, 128), _Residual(128, 128))
        self.conv2 = nn.Conv2d(128, CHANNELS, 1)

    def forward(self, images: Tensor) -> Tensor:
        images = (2 * (images / 255) - 1).contiguous(memory_format=torch.channels_last)
        # One image at a time: each is normalised on its own anyway, and memory is halved.
        return torch.cat([self._encode(image).float() for image in images.split(1)])

    def _encode(self, image: Tensor) -> Tensor:
        x = _normalise(self.conv1(image)).relu_()
        return self.conv2(self.layer3(self.layer2(self.layer1(x))))


class _AttentionLayer(nn.Module):
    """Linear attention and a feed-forward block, as in LoFTR (Sun et al., CVPR 2021), on tokens [N, S, C]."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.merge = (nn.Linear(CHANNELS, CHANNELS, False) for _ in range(4))
        self.mlp = nn.Sequential(
            nn.Linear(2 * CHANNELS, 2 * CHANNELS, False), nn.ReLU(), nn.Linear(2 * CHANNELS, CHANNELS, False)
        )
        self.norm1, self.norm2 = nn.LayerNorm(CHANNELS), nn.LayerNorm(CHANNELS)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        query = functional.elu(self.q_proj(x).unflatten(-1, (HEADS, -1))) + 1
        key = functional.elu(self.k_proj(source).unflatten(-1, (HEADS, -1))) + 1
        count = source.shape[1]
        value = self.v_proj(source).unflatten(-1, (HEADS, -1)) / count
        summed = torch.einsum("nshd,nshv->nhdv", key, value)
        weight = count / (torch.einsum("nlhd,nhd->nlh", query, key.sum(1)) + 1e-6)
        attended = torch.einsum("nlhd,nhdv->nlhv", query, summed) * weight.unsqueeze(-1)
        message = self.norm1(self.merge(attended.flatten(2)))
        return x + self.norm2(self.mlp(torch.cat([x, message], dim=2)))


class _Transformer(nn.Module):
    def __init__(self, across: bool) -> None:
        super().__init__()
        self.across = across
        self.layers = nn.ModuleList([_AttentionLayer()])

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        for layer in self.layers:
            left = layer(left, right if self.across else left)
            right = layer(right, left if self.across else right)  # across, it sees the left's new tokens
        return left, right


class _MotionEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convc1 = nn.Conv2d(GROUPS * SEARCHED, 256, 1)
        self.convc2 = nn.Conv2d(256, 192, 3, padding=1)
        self.convf1 = nn.Conv2d(2, 128, 7, padding=3)
        self.convf2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv = nn.Conv2d(64 + 192, HIDDEN - 2, 3, padding=1)

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        matching = self.convc2(self.convc1(correlation).relu_()).relu_()
        motion = self.convf2(self.convf1(flow).relu_()).relu_()
        motion = self.conv(torch.cat([matching, motion], dim=1)).relu_()
        return torch.cat([motion, flow.to(motion.dtype)], dim=1)


class _GruPass(NamedTuple):
    """One direction: kernels over state and motion, and what the context adds to their answers."""

    gates: Tensor
    candidate: Tensor
    gates_context: Tensor
    candidate_context: Tensor


class _Gru(nn.Module):
    """A convolutional gated recurrent unit, first along rows, then along columns."""

    def __init__(self) -> None:
        super().__init__()
        self.convz1, self.convr1, self.convq1 = (nn.Conv2d(3 * HIDDEN, HIDDEN, (1, 5)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (nn.Conv2d(3 * HIDDEN, HIDDEN, (5, 1)) for _ in range(3))

    def prepare(self, context: Tensor) -> list[_GruPass]:
        """Convolve with the context [N, 128, h, w], a third of the input that no iteration changes."""
        passes = []
        for gates in ((self.convz1, self.convr1, self.convq1), (self.convz2, self.convr2, self.convq2)):
            weight = torch.cat([gate.weight for gate in gates])
            bias = torch.cat([gate.bias for gate in gates if gate.bias is not None])
            state, seen, motion = weight.split(HIDDEN, dim=1)
            kernels = torch.cat([state, motion], dim=1).split(2 * HIDDEN)
            added = [
                functional.conv2d(context, kernel, offset, padding="same")
                for kernel, offset in zip(seen.split(2 * HIDDEN), bias.split(2 * HIDDEN), strict=True)
            ]
            passes.append(_GruPass(kernels[0], kernels[1], added[0], added[1]))
        return passes

    def forward(self, state: Tensor, motion: Tensor, passes: list[_GruPass]) -> Tensor:
        state = state.to(motion.dtype)
        for p in passes:
            gates = functional.conv2d(torch.cat([state, motion], dim=1), p.gates, padding="same")
            update, reset = gates.add_(p.gates_context).sigmoid_().chunk(2, dim=1)
            candidate = functional.conv2d(torch.cat([reset * state, motion], dim=1), p.candidate, padding="same")
            state = torch.lerp(state, candidate.add_(p.candidate_context).tanh_(), update)
        return state


class _FlowHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(HIDDEN, 256, 3, padding=1)
        self.conv2 = nn.Conv2d(256, 2, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        return self.conv2(self.conv1(state).relu_()).float()


class _UpdateBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = _MotionEncoder()
        self.gru = _Gru()
        self.flow_head = _FlowHead()
        self.mask = nn.Sequential(
            nn.Conv2d(HIDDEN, 256, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(256, 9 * UPSAMPLING**2, 1)
        )

    def forward(self, state: Tensor, context: Tensor, flow: Tensor, iterations: int, correlate: Correlate) -> Tensor:
        """Refine `flow` so many times and return it at four times the sides, in pixels of these."""
        flow = flow.contiguous(memory_format=torch.channels_last)  # as all else is: one other slows all down
        passes = self.gru.prepare(context)
        for iteration in range(iterations):
            motion = self.encoder(flow, correlate(flow, iteration % 2 == 1))
            state = self.gru(state, motion, passes)
            flow = flow + self.flow_head(state)
        return _upsample(flow, 0.25 * self.mask(state).float())


class CREStereo(nn.Module):
    """CREStereo with the parameters of the published weights.

    Args:
        max_disp: As the reference has it; nothing in the network depends on it.
    """

    def __init__(self, max_disp: int = 256) -> None:
        super().__init__()
        self.max_disp = max_disp
        self.fnet = _Encoder()
        self.update_block = _UpdateBlock()
        self.self_att_fn = _Transformer(across=False)
        self.cross_att_fn = _Transformer(across=True)
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
            flow = _resize_flow(flow_init.float(), features_left)
        answer = left.new_zeros(len(left), 2, *left.shape[2:], dtype=torch.float32)
        for rows, row_weight in _tiles(flow.shape[2], tile):
            for columns, column_weight in _tiles(flow.shape[3], tile):
                part = (slice(None), slice(None), rows, columns)
                grid = _grid(rows, columns, flow.device)
                correlate = partial(_correlate_window, features_left[part], features_right, grid)
                state, context = _split(features_left[part])
                refined = self.update_block(state, context, flow[part], iterations, correlate)
                place = tuple(slice(UPSAMPLING * s.start, UPSAMPLING * s.stop) for s in (rows, columns))
                weight = row_weight.unsqueeze(1) * column_weight
                answer[:, :, place[0], place[1]] -= refined * weight.to(refined.device)
        return answer

    def _coarse(self, left: Tensor, right: Tensor, iterations: int) -> Tensor:
        """Search the features [N, C, h, w] from nothing at a quarter, then at half their size; return flow there."""
        state, context = _split(left)
        flow: Tensor | None = None
        for factor, convolution in ((4, self.conv_offset_16), (2, self.conv_offset_8)):
            left_small, right_small = (functional.avg_pool2d(x, factor) for x in (left, right))
            offsets = 2 * (convolution(left_small).float().sigmoid() - 0.5)
            if flow is None:
                flow = torch.zeros_like(offsets[:, :2])
                left_small, right_small = self._attend(left_small, right_small)
            else:
                flow = _resize_flow(flow, left_small)
            points = offsets.unflatten(1, (SEARCHED, 2))
            correlate = partial(_correlate_points, left_small, right_small, points)
            small = [functional.avg_pool2d(x, factor) for x in (state, context)]
            flow = self.update_block(small[0], small[1], flow, iterations, correlate)
        assert flow is not None
        return _resize_flow(flow, left)

    def _attend(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        shape, position = left.shape, _position(left.shape[2], left.shape[3], left.device)
        # In half precision the sums over all tokens overflow.
        with torch.autocast(left.device.type, enabled=False):
            tokens = [(x + position).flatten(2).transpose(1, 2) for x in (left, right)]
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


def _split(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state and the context: the features' two halves, each [N, 128, h, w]."""
    state, context = features.split(HIDDEN, dim=1)
    return state.tanh(), context.relu()


def _position(height: int, width: int, device: torch.device) -> Tensor:
    """Return the sinusoidal encoding [C, h, w]; x and y count from 1.

    The frequencies are exp(-2 k), not LoFTR's intended 10000^(-4 k / C): a known slip, `-log(10000) / C // 2`, that
    the published weights were trained with.
    """
    frequency = torch.exp(-2 * torch.arange(CHANNELS // 4, device=device, dtype=torch.float32)).view(-1, 1, 1)
    x = (torch.arange(1, width + 1, device=device) * frequency).expand(-1, height, -1)
    y = (torch.arange(1, height + 1, device=device).unsqueeze(1) * frequency).expand(-1, -1, width)
    return torch.stack([x.sin(), x.cos(), y.sin(), y.cos()], dim=1).flatten(0, 1)


def _grid(rows: slice, columns: slice, device: torch.device) -> Tensor:
    """Return x and y of each pixel of a part, [2, h, w]."""
    y = torch.arange(rows.start, rows.stop, device=device, dtype=torch.float32)
    x = torch.arange(columns.start, columns.stop, device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def _sample(features: Tensor, points: Tensor) -> Tensor:
    """Sample [N, C, H, W] at the points (x, y) of [N, 2, h, w] bilinearly, zero outside; return [N, h, w, C].

    An embedding bag of four neighbours: with channels last it is a third of grid_sample's time on a CPU.
    """
    count, channels, height, width = features.shape
    corner = points.floor().nan_to_num_(0)  # NaN is no index; it stays in the weights, and so in what is returned
    fraction = points - corner
    neighbour = torch.tensor([[0, 1, 0, 1], [0, 0, 1, 1]], device=points.device).view(1, 2, 1, 1, 4)
    weight = torch.where(neighbour == 1, fraction.unsqueeze(-1), 1 - fraction.unsqueeze(-1)).prod(1)
    x, y = (corner.unsqueeze(-1) + neighbour).unbind(1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    index = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
    index += torch.arange(count, device=index.device).view(-1, 1, 1, 1) * (height * width)
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    bags = functional.embedding_bag(
        index.view(-1, 4), table, per_sample_weights=(weight * inside).view(-1, 4), mode="sum"
    )
    return bags.view(count, *points.shape[2:], channels)


def _correlate_window(left: Tensor, right: Tensor, grid: Tensor, flow: Tensor, square: bool) -> Tensor:
    """Correlate with a window of the right features warped by the flow; beyond the border its edge is repeated.

    The window takes the place of the paper's all-pairs matching: 1x9 along the row, or 3x3.
    """
    rows, columns = (1, 1) if square else (0, 4)
    # Repeating the points' edge repeats the warped features' edge.
    points = functional.pad(grid + flow, (columns, columns, rows, rows), mode="replicate")
    warped = _sample(right, points)
    height, width = flow.shape[2:]
    views = (warped[:, y : y + height, x : x + width] for y in range(2 * rows + 1) for x in range(2 * columns + 1))
    return _group_means(left, views)


def _correlate_points(left: Tensor, right: Tensor, offsets: Tensor, flow: Tensor, square: bool) -> Tensor:
    """Correlate with the right features at the flow plus the window's points, each moved by its learned offset.

    `offsets` is [N, 9, 2, h, w].
    """
    height, width = flow.shape[2:]
    window = _grid(slice(-1, 2), slice(-1, 2), flow.device) if square else _grid(slice(0, 1), slice(-4, 5), flow.device)
    centre = flow + _grid(slice(0, height), slice(0, width), flow.device)
    points = centre.unsqueeze(1) + (window.flatten(1).T.view(1, SEARCHED, 2, 1, 1) + offsets)
    return _group_means(left, (_sample(right, point) for point in points.unbind(1)))


def _group_means(left: Tensor, views: Iterable[Tensor]) -> Tensor:
    """Return the mean products per group of `left` [N, C, h, w] with each view [N, h, w, C], group by group."""
    count, channels, height, width = left.shape
    left = left.permute(0, 2, 3, 1).unflatten(3, (GROUPS, -1))
    means = left.new_empty(count, height, width, GROUPS, SEARCHED)
    # On a CPU, products of so many rows stay in the cache: five times faster than the whole at once.
    band = height if left.is_cuda else max(1, 2**18 // (width * channels))
    for index, view in enumerate(views):
        grouped = view.unflatten(3, (GROUPS, -1))
        for start in range(0, height, band):
            rows = slice(start, start + band)
            means[:, rows, ..., index] = (left[:, rows] * grouped[:, rows]).sum(-1)
    return (means * (GROUPS / channels)).flatten(3).permute(0, 3, 1, 2)


def _resize_flow(flow: Tensor, like: Tensor) -> Tensor:
    """Resize a flow to the size of `like` and turn its sign, as the reference does from level to level.

    An answer is the negative of a flow, so this makes a flow of one; between the levels the weights expect it too.
    """
    size = like.shape[2:]
    resized = functional.interpolate(flow, size=size, mode="bilinear", align_corners=True)
    return -(size[0] / flow.shape[2]) * resized


def _upsample(flow: Tensor, logits: Tensor) -> Tensor:
    """Enlarge by convex combinations of the 3x3 neighbours (RAFT, Teed and Deng, ECCV 2020, section 3.3)."""
    count, _, height, width = flow.shape
    weight = logits.reshape(count, 1, 9, UPSAMPLING, UPSAMPLING, height, width).softmax(dim=2)
    neighbours = functional.unfold(UPSAMPLING * flow, 3, padding=1).view(count, 2, 9, 1, 1, height, width)
    fine = torch.zeros_like(weight[:, :, 0]).repeat(1, 2, 1, 1, 1, 1)
    for index in range(9):  # one at a time: all at once takes nine times the memory
        fine += weight[:, :, index] * neighbours[:, :, index]
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(count, 2, UPSAMPLING * height, UPSAMPLING * width)


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
