"""The task maps of one forward, made where they are asked for: whole, or on a lattice of pixels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Lattice:
    """Every `stride`-th pixel of a map in both directions, from row `top` and column `left` on."""

    stride: int = 1
    top: int = 0
    left: int = 0

    def of(self, values: Tensor) -> Tensor:
        """The pixels of a map [...,H,W] at full size."""
        return values[..., self.top :: self.stride, self.left :: self.stride] if self.stride > 1 else values


def drawn_lattice(stride: int, seed: int, step: int) -> Lattice:
    """The lattice of a step: `stride`² steps in a row show every pixel once, in an order drawn from the seed."""
    cells = stride * stride
    place = int(np.random.default_rng((seed, step // cells)).permutation(cells)[step % cells]) if cells > 1 else 0
    return Lattice(stride, *divmod(place, stride))


class TaskMaps(Mapping[str, Tensor]):
    """The maps [N,channels,H,W] of all tasks by name, each in its task's unit, each made when it is first asked for.

    A head's output is upsampled before it is activated, so depth is interpolated in log space.

    Args:
        heads: the heads' outputs [N,K,h,w], with graph.
        size: height and width of the whole maps.
        activate: a task's name and its upsampled output to its map.
        aside: by task, how many last channels are brought to a size by themselves, so that the others come to the same
            bits as without them.
    """

    def __init__(
        self,
        heads: Mapping[str, Tensor],
        size: tuple[int, int],
        activate: Callable[[str, Tensor], Tensor],
        aside: Mapping[str, int] | None = None,
    ) -> None:
        self.heads = heads
        self._size, self._activate, self._aside = size, activate, aside or {}
        self._whole: dict[str, Tensor] = {}

    def __getitem__(self, task: str) -> Tensor:
        if task not in self._whole:
            head = self.heads[task]
            with torch.set_grad_enabled(head.requires_grad):  # who asks first may be one who needs no graph
                whole = _interpolated(head, self._size, self._aside.get(task, 0))
                self._whole[task] = self._activate(task, whole)
        return self._whole[task]

    def __iter__(self) -> Iterator[str]:
        return iter(self.heads)

    def __len__(self) -> int:
        return len(self.heads)

    def on(self, lattice: Lattice, task: str) -> Tensor:
        """A task's map on a lattice [N,channels,⌈(H−top)/stride⌉,⌈(W−left)/stride⌉]: the values that the whole one has
        there, to rounding, for the work of those pixels alone where the size of z divides the picture's.
        """
        if lattice.stride == 1 or task in self._whole:
            return lattice.of(self[task])
        sampled = self.heads[task]
        for axis, start in ((2, lattice.top), (3, lattice.left)):
            sampled = _upsampled_at(sampled, axis, self._size[axis - 2], start, lattice.stride)
        return self._activate(task, sampled)

    def at(self, scale: int, task: str) -> Tensor:
        """A task's map at 1/scale of the size [N,channels,⌈H/scale⌉,⌈W/scale⌉]: the head's output brought to it, then
        activated. At the heads' own stride that is no work.
        """
        if scale == 1:
            return self[task]
        head, size = self.heads[task], (-(-self._size[0] // scale), -(-self._size[1] // scale))
        if size[0] > head.shape[-2]:
            head = _interpolated(head, size, self._aside.get(task, 0))
        elif head.shape[-2:] != size:
            head = F.interpolate(head, size=size, mode="area")
        return self._activate(task, head)


def on_lattice(lattice: Lattice, outputs: Mapping[str, Tensor], task: str) -> Tensor:
    """A task's map on a lattice, of `TaskMaps` or of whole maps."""
    return outputs.on(lattice, task) if isinstance(outputs, TaskMaps) else lattice.of(outputs[task])


def _interpolated(head: Tensor, size: tuple[int, int], aside: int) -> Tensor:
    """Bilinear; the `aside` last channels apart, since how torch rounds depends on how many there are."""
    if aside:
        parts = head[:, :-aside].contiguous(), head[:, -aside:].contiguous()
        return torch.cat([_interpolated(part, size, 0) for part in parts], 1)
    return F.interpolate(head, size=size, mode="bilinear", align_corners=False)


def _upsampled_at(values: Tensor, axis: int, size: int, start: int, stride: int) -> Tensor:
    """Bilinear upsampling (`align_corners=False`) along one axis of [N,C,h,w] to `size`, at places start, start +
    stride, … alone.
    """
    coarse = values.shape[axis]
    factor = size // coarse
    if coarse * factor != size or factor % stride:
        whole = [size if one == axis else values.shape[one] for one in (2, 3)]
        dense = F.interpolate(values, size=whole, mode="bilinear", align_corners=False)
        return dense[:, :, start::stride] if axis == 2 else dense[..., start::stride]
    # Pixel factor·j + q lies at j + (q + ½) / factor − ½: the same blend of two neighbours for every j.
    shifted = [_blend(values, axis, (place + 0.5) / factor - 0.5) for place in range(start, factor, stride)]
    return shifted[0] if len(shifted) == 1 else torch.stack(shifted, axis + 1).flatten(axis, axis + 1)


def _blend(values: Tensor, axis: int, offset: float) -> Tensor:
    """The values at `offset`, −½ to ½, from their places; beyond the border, the border's."""
    if offset == 0:
        return values
    inner = values.shape[axis] - 1
    if offset < 0:
        neighbour = torch.cat([values.narrow(axis, 0, 1), values.narrow(axis, 0, inner)], axis)
    else:
        neighbour = torch.cat([values.narrow(axis, 1, inner), values.narrow(axis, inner, 1)], axis)
    return torch.lerp(values, neighbour, abs(offset))
