"""Views of one picture (mirrored, at other scales, in windows) and the mean of what a network says of them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advmtl.data import Batch
from advmtl.evaluation.manner import PLAIN, Manner
from advmtl.networks import Generator
from advmtl.tasks import TASKS, Task, TaskSpec
from preprocessing.ground import InputError

Maps = Mapping[str, Tensor]


@runtime_checkable
class Sized(Protocol):
    """A network that itself says its maps at another size than its picture's."""

    def maps_at(self, image: Tensor, size: tuple[int, int]) -> Maps:
        """Of a normalised image [N,3,H,W], maps [N,channels,h,w] at `size` (height, width)."""


@runtime_checkable
class Finished(Protocol):
    """A network that itself says its maps as they are of the scene, as a deployed file does."""

    def maps_behind(self, image: Tensor, size: tuple[int, int], zoom: float | Tensor) -> Maps:
        """Of a normalised image [N,3,H,W], maps at `size` (height, width), behind lenses `zoom` times as long as the
        canonical one, a number or float32 [N].
        """


def maps_of(
    network: nn.Module,
    batch: Batch,
    manner: Manner = PLAIN,
    tasks: Mapping[str, Task] = TASKS,
    spec: TaskSpec | None = None,
) -> Maps:
    """What a network says of the scenes of a batch, at the size of its targets, that of its picture where it has none.

    Upsampling is bilinear, of what a task's head gives where the network is ours: of logits, and of depth in log space.
    Means over views are of what a task's `averaged_as` says: of probabilities, of metres. Metres and normals are those
    of the canonical lens, and turned back with the frame's own (`as_measured`).
    """
    image = _fast(batch.image)
    size = grid_of(batch)
    spec = spec or TaskSpec()
    if manner.one_view and manner.scales == (1.0,):
        if isinstance(network, Finished):
            return network.maps_behind(image, size, batch.zoom)
        outputs = _at(network, image, size)
        return {name: _as_measured(tasks[name], name, one, batch, image, size, spec) for name, one in outputs.items()}
    _check_window(image, manner)
    total: dict[str, Tensor] = {}
    count = 0
    for shown in _shown(batch, image, manner):
        for mirrored in (False, True) if manner.flip else (False,):
            seen = _fast(shown.flip(-1)) if mirrored else shown
            see = _seen_at_once if manner.window is None else partial(_seen_in_windows, manner=manner)
            for name, view in see(network, seen, size, batch, tasks, spec).items():
                turned = tasks[name].learning.mirrored(view) if mirrored else view
                total[name] = turned if name not in total else total[name] + turned
            count += 1
    return {name: tasks[name].learning.from_average(one / count) for name, one in total.items()}


def grid_of(batch: Batch) -> tuple[int, int]:
    """(height, width) that a batch is compared at."""
    shapes = [target.shape[-2:] for target in batch.targets.values()] or [batch.image.shape[-2:]]
    return int(shapes[0][0]), int(shapes[0][1])


def windows(size: Sequence[int], window: Sequence[int], step: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of the windows over a picture of `size`; all are (height, width).

    The last ones are moved back to the picture's end, so that every window is whole; one larger than the picture is cut
    to it.
    """
    height, width = min(window[0], size[0]), min(window[1], size[1])
    for top in _starts(size[0], height, step[0]):
        for left in _starts(size[1], width, step[1]):
            yield slice(top, top + height), slice(left, left + width)


def _starts(length: int, window: int, step: int) -> list[int]:
    return [*range(0, length - window, step), length - window]


def _shown(batch: Batch, image: Tensor, manner: Manner) -> Iterator[Tensor]:
    """The picture at every scale: as the loader has made it, or, where a caller's own has not, of the picture shown."""
    others = iter(batch.scaled)
    for scale in manner.scales:
        if scale == 1:
            yield image
        elif batch.scaled:
            yield _fast(next(others))
        else:
            size = round(image.shape[-2] * scale), round(image.shape[-1] * scale)
            yield _fast(F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True))


def _check_window(image: Tensor, manner: Manner) -> None:
    """Raises: InputError where a window shows no less than the whole picture, at every scale."""
    height, width = (max(manner.scales) * side for side in image.shape[-2:])
    if manner.window is not None and manner.window[0] >= width and manner.window[1] >= height:
        raise InputError(
            f"window: {manner.window[0]}x{manner.window[1]} covers the whole picture, which is shown at "
            f"{image.shape[-1]}x{image.shape[-2]}; give a larger input, or a smaller window"
        )


def _seen_at_once(
    network: nn.Module, shown: Tensor, size: tuple[int, int], batch: Batch, tasks: Mapping[str, Task], spec: TaskSpec
) -> Maps:
    maps = _at(network, shown, size)
    return {
        name: tasks[name].learning.averaged_as(_as_measured(tasks[name], name, one, batch, shown, size, spec))
        for name, one in maps.items()
    }


def _seen_in_windows(
    network: nn.Module,
    shown: Tensor,
    size: tuple[int, int],
    batch: Batch,
    tasks: Mapping[str, Task],
    spec: TaskSpec,
    manner: Manner,
) -> Maps:
    """What is averaged of every window, averaged where they overlap, and brought to `size`."""
    assert manner.window is not None
    whole = shown.shape[-2:]
    total: dict[str, Tensor] = {}
    covered = torch.zeros(whole, device=shown.device)
    for rows, columns in windows(whole, manner.window[::-1], manner.step[::-1]):
        covered[rows, columns] += 1
        part = _fast(shown[..., rows, columns])
        for name, one in _at(network, part, part.shape[-2:]).items():
            view = tasks[name].learning.averaged_as(_as_measured(tasks[name], name, one, batch, shown, size, spec))
            if name not in total:
                total[name] = view.new_zeros(*view.shape[:2], *whole)
            total[name][..., rows, columns] += view
    return {name: _resized(one / covered, size) for name, one in total.items()}


def zoom_of_frames(batch: Batch) -> float | Tensor:
    """How many times as large as behind the canonical lens things are shown, [N,1,1,1] where it is not one number."""
    return batch.zoom.view(-1, 1, 1, 1) if isinstance(batch.zoom, Tensor) else batch.zoom


def _as_measured(
    task: Task, name: str, output: Tensor, batch: Batch, shown: Tensor, size: tuple[int, int], spec: TaskSpec
) -> Tensor:
    zoom = zoom_of_frames(batch) * (shown.shape[-1] / batch.image.shape[-1])
    measured = task.learning.as_measured(output, zoom, (size[0] / shown.shape[-2], size[1] / shown.shape[-1]), spec)
    if measured.shape != output.shape:
        raise InputError(f"task {name}: as_measured gave {tuple(measured.shape)} of {tuple(output.shape)}")
    return measured


def _at(network: nn.Module, image: Tensor, size: Sequence[int]) -> Maps:
    size = int(size[0]), int(size[1])
    if size == tuple(image.shape[-2:]):
        found: Maps = network(image)
        return found
    if isinstance(network, Generator):
        z, taps = network.encode(image)
        return network.decode(z, size, taps)
    if isinstance(network, Sized):
        return network.maps_at(image, size)
    return {name: _resized(one, size) for name, one in network(image).items()}


def _resized(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)


def _fast(image: Tensor) -> Tensor:
    return image.contiguous(memory_format=torch.channels_last)
