"""The share of one process among those that `torchrun` started."""

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from preprocessing.ground.errors import InputError

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """Process `index` of `count`; 0 of 1 without `torchrun`."""

    index: int = 0
    count: int = 1

    def share(self, items: list[T]) -> list[T]:
        """Return every `count`-th item: neighbours, which cost alike, go to different processes."""
        return items[self.index :: self.count]

    def gather(self, value: T) -> list[T]:
        """Return everybody's `value` in the order of the processes; waits for all of them."""
        if self.count == 1:
            return [value]
        import torch.distributed as distributed

        if not distributed.is_initialized():
            # A slow share may take days longer than the others: nobody may give up waiting for it.
            distributed.init_process_group("gloo", timeout=timedelta(days=7))
        values: list[Any] = [None] * self.count
        distributed.all_gather_object(values, value)
        return values

    def close(self) -> None:
        """Leave the others; torch complains about a process that does not."""
        if self.count > 1:
            import torch.distributed as distributed

            if distributed.is_initialized():
                distributed.destroy_process_group()


def current_shard() -> Shard:
    """Read RANK and WORLD_SIZE, which `torchrun` sets. Raises: InputError where they make no sense."""
    texts = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    try:
        index, count = (int(text) for text in texts)
    except ValueError:
        index, count = -1, 0
    if not 0 <= index < count:
        raise InputError(f"RANK={texts[0]}, WORLD_SIZE={texts[1]}: not a process of torchrun; unset both")
    return Shard(index, count)
