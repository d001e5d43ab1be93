"""CREStereo's steps without parameters: sampling, correlation, positions, flow from level to level.

A flow is float32 [N, 2, h, w], x and y, in pixels of its own level; left (x, y) is right (x, y) + flow.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional

CHANNELS = 256
HIDDEN = CHANNELS // 2
GROUPS = 4  # groups of channels, each correlated on its own
SEARCHED = 9  # points looked at around each pixel, by turns along its row and in a square
UPSAMPLING = 4  # the finest features are at a quarter of the image


def split(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state and the context: the features' two halves, each [N, 128, h, w]."""
    state, context = features.split(HIDDEN, dim=1)
    return state.tanh(), context.relu()


def position(height: int, width: int, device: torch.device) -> Tensor:
    """Return the sinusoidal encoding [C, h, w]; x and y count from 1.

    The frequencies are exp(-2 k), not LoFTR's intended 10000^(-4 k / C): a known slip, `-log(10000) / C // 2`, that
    the published weights were trained with.
    """
    frequency = torch.exp(-2 * torch.arange(CHANNELS // 4, device=device, dtype=torch.float32)).view(-1, 1, 1)
    x = (torch.arange(1, width + 1, device=device) * frequency).expand(-1, height, -1)
    y = (torch.arange(1, height + 1, device=device).unsqueeze(1) * frequency).expand(-1, -1, width)
    return torch.stack([x.sin(), x.cos(), y.sin(), y.cos()], dim=1).flatten(0, 1)


def grid(rows: slice, columns: slice, device: torch.device) -> Tensor:
    """Return x and y of each pixel of a part, [2, h, w]."""
    y = torch.arange(rows.start, rows.stop, device=device, dtype=torch.float32)
    x = torch.arange(columns.start, columns.stop, device=device, dtype=torch.float32)
    return torch.stack(torch.meshgrid(x, y, indexing="xy"))


def sample(features: Tensor, points: Tensor) -> Tensor:
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


def correlate_window(left: Tensor, right: Tensor, pixels: Tensor, flow: Tensor, square: bool) -> Tensor:
    """Correlate with a window of the right features warped by the flow; beyond the border its edge is repeated.

    The window replaces RAFT's all-pairs matching, as in Li et al. 2022: 1x9 along the row, or 3x3.
    """
    rows, columns = (1, 1) if square else (0, 4)
    # Repeating the points' edge repeats the warped features' edge.
    points = functional.pad(pixels + flow, (columns, columns, rows, rows), mode="replicate")
    warped = sample(right, points)
    height, width = flow.shape[2:]
    views = (warped[:, y : y + height, x : x + width] for y in range(2 * rows + 1) for x in range(2 * columns + 1))
    return _group_means(left, views)


def correlate_points(left: Tensor, right: Tensor, offsets: Tensor, flow: Tensor, square: bool) -> Tensor:
    """Correlate with the right features at the flow plus the window's points, each moved by its learned offset.

    `offsets` is [N, 9, 2, h, w].
    """
    height, width = flow.shape[2:]
    window = grid(slice(-1, 2), slice(-1, 2), flow.device) if square else grid(slice(0, 1), slice(-4, 5), flow.device)
    centre = flow + grid(slice(0, height), slice(0, width), flow.device)
    points = centre.unsqueeze(1) + (window.flatten(1).T.view(1, SEARCHED, 2, 1, 1) + offsets)
    return _group_means(left, (sample(right, point) for point in points.unbind(1)))


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


def resize_flow(flow: Tensor, like: Tensor) -> Tensor:
    """Resize a flow to the size of `like` and turn its sign, as the reference does from level to level.

    An answer is the negative of a flow, so this makes a flow of one; between the levels the weights expect it too.
    """
    size = like.shape[2:]
    resized = functional.interpolate(flow, size=size, mode="bilinear", align_corners=True)
    return -(size[0] / flow.shape[2]) * resized


def upsample(flow: Tensor, logits: Tensor) -> Tensor:
    """Enlarge by convex combinations of the 3x3 neighbours (RAFT, Teed and Deng, ECCV 2020, section 3.3)."""
    count, _, height, width = flow.shape
    weight = logits.reshape(count, 1, 9, UPSAMPLING, UPSAMPLING, height, width).softmax(dim=2)
    neighbours = functional.unfold(UPSAMPLING * flow, 3, padding=1).view(count, 2, 9, 1, 1, height, width)
    fine = torch.zeros_like(weight[:, :, 0]).repeat(1, 2, 1, 1, 1, 1)
    for index in range(9):  # one at a time: all at once takes nine times the memory
        fine += weight[:, :, index] * neighbours[:, :, index]
    return fine.permute(0, 1, 4, 2, 5, 3).reshape(count, 2, UPSAMPLING * height, UPSAMPLING * width)
