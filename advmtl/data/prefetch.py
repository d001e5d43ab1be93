"""Batches on the run's device, the next one on its way while a step computes."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import torch

from advmtl.data.batch import Batch

T = TypeVar("T")


def on_device(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches on `device`, in order.

    On a GPU each is copied from pinned memory on a stream of its own before the step on the one before it is queued, so
    that the copy costs the step nothing. One batch more than the step needs is then in the GPU's memory.
    """
    if device.type != "cuda":
        yield from (batch.to(device) for batch in batches)
        return
    side = torch.cuda.Stream(device)

    def start(batch: Batch) -> Batch:
        with torch.cuda.stream(side):
            return batch.to(device)

    for batch in one_ahead(map(start, batches)):
        now = torch.cuda.current_stream(device)
        now.wait_stream(side)
        for tensor in (batch.image, *batch.targets.values()):
            tensor.record_stream(now)  # else its memory could be given to the next copy while the step still reads it
        yield batch


def one_ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in order, each handed out once the next has been taken."""
    source = iter(items)
    try:
        held = next(source)
    except StopIteration:
        return
    for item in source:
        yield held
        held = item
    yield held
