"""Several processes as one: which one this is, what they sum, gather and agree on.

**A batch over all processes is one batch.** Each process has a loss whose mean over the processes is the loss of the
whole batch: what is divided by a count over the batch is divided by `divisor(count)`, and what is no sum over frames
(Dice, the berhu threshold) is made of `whole` sums. Gradients are means over the processes. So weights, histories,
averages and random state are the same on all of them between two steps, and the first one's checkpoint is everybody's.

gloo for tensors on the host, NCCL for those on CUDA. No wrapper around the networks: one update has several backwards.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from preprocessing.ground import InputError

T = TypeVar("T")


class ProcessLost(RuntimeError):
    """Another process left or does not answer; its own message says why."""


class CommonInputError(InputError):
    """Bad input that every process has been told of; the first one says it for all."""

    common = True


@dataclass(frozen=True)
class Processes:
    """Process `rank` of `count`. Everything here is a plain identity for one process; else all must call it alike."""

    rank: int = 0
    count: int = 1

    @property
    def writer(self) -> bool:
        """Whether this one writes files and messages for all."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum over the processes, without gradient."""
        return self._reduced(values, dist.ReduceOp.SUM)

    def totals(self, numbers: Sequence[int]) -> list[int]:
        """Sums of numbers that the host knows, by the host's network: no device sync."""
        return list(numbers) if self.count == 1 else [int(one) for one in self.total(torch.tensor(numbers)).tolist()]

    def largest(self, values: Tensor) -> Tensor:
        """Maximum over the processes, without gradient; a NaN may get lost."""
        return self._reduced(values, dist.ReduceOp.MAX)

    def divisor(self, count: Tensor) -> Tensor:
        """What to divide a sum by, of which `count` things are here: their mean number per process, for at least one.

        The mean of the quotients is then the sum over all processes by the count over all processes.
        """
        if self.count == 1:
            return count.clamp(min=1)
        return self.total(count).clamp(min=1) / self.count

    def whole(self, values: Tensor) -> Tensor:
        """Sum over the processes, with a gradient.

        What is computed from it must be the same on every process. Each passes on its own part's gradient times the
        count, since gradients are averaged later: nothing needs to be exchanged on the way back.
        """
        if self.count == 1:
            return values
        return self.total(values.detach()) + self.count * (values - values.detach())

    def average(self, tensors: Iterable[Tensor]) -> None:
        """Replace tensors by their means over the processes, in one exchange per device and type."""
        if self.count == 1:
            return
        buckets: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for tensor in tensors:
            buckets.setdefault((tensor.device, tensor.dtype), []).append(tensor)
        for bucket in buckets.values():
            flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
            dist.all_reduce(flat)
            flat /= self.count
            for tensor, part in zip(bucket, flat.split([t.numel() for t in bucket]), strict=True):
                tensor.detach().copy_(part.view(tensor.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on any process: one byte over the host's network, no device sync."""
        return bool(self.highest(int(flag)))

    def highest(self, number: int) -> int:
        """The largest of the processes' numbers, by the host's network."""
        return number if self.count == 1 else int(self.largest(torch.tensor([number])))

    def gather(self, value: T) -> list[T]:
        """Everybody's value in the order of the processes, tensors on the host; picklable things only."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, _packed(value))
        return [_unpacked(one) for one in found]

    def from_writer(self, value: T | None) -> T:
        """The first process's value everywhere, tensors on the host."""
        if self.count == 1:
            assert value is not None
            return value
        box = [_packed(value) if self.writer else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return _unpacked(box[0])

    def barrier(self) -> None:
        """Wait for the others."""
        self.highest(0)

    def together(self, work: Callable[[], T]) -> T:
        """Do `work`, which may fail on bad input, on every process; if any fails, all raise its InputError.

        Raises: CommonInputError with the text of the first process that has one, naming it where it is not the first.
        """
        if self.count == 1:
            return work()
        done, problem = [], None
        try:
            done.append(work())
        except InputError as error:
            problem = str(error)
        problems = [(rank, text) for rank, text in enumerate(self.gather(problem)) if text is not None]
        if problems:
            rank, text = problems[0]
            raise CommonInputError(text if rank == 0 else f"process {rank}: {text}")
        return done[0]

    def same(self, value: str, what: str) -> None:
        """Raise CommonInputError where the processes' values differ: all would wait for each other for ever."""
        values = self.gather(value)
        if len(set(values)) > 1:
            other = next(rank for rank, one in enumerate(values) if one != values[0])
            raise CommonInputError(f"{what}: process {other} has other than process 0; give all machines the same")

    def _reduced(self, values: Tensor, operation: Any) -> Tensor:
        if self.count == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values, op=operation)
        return values


ALONE = Processes()


def current() -> Processes:
    """This process among those that have met; ALONE where `torchrun` started none."""
    if dist.is_available() and dist.is_initialized():
        return Processes(dist.get_rank(), dist.get_world_size())
    return ALONE


@contextmanager
def own_draws() -> Iterator[None]:
    """Draws from torch's global generators that differ from process to process, and leave them alike behind."""
    processes = current()
    if processes.count == 1:
        yield
        return
    seed = int(torch.randint(2**31, ()))
    with torch.random.fork_rng():
        torch.manual_seed(seed + processes.rank)
        yield


def running_statistics(module: nn.Module) -> list[Tensor]:
    """Running means and variances of the batch norms, which are not alike where each process normalises its own."""
    norms = [part for part in module.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    return [value for norm in norms for value in (norm.running_mean, norm.running_var) if value is not None]


def gradients(parameters: Iterable[nn.Parameter]) -> Sequence[Tensor]:
    """The gradients there are."""
    return [parameter.grad for parameter in parameters if parameter.grad is not None]


def _packed(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _unpacked(data: Any) -> Any:
    # From a process of our own, which could run anything anyway. A tensor of another process's GPU comes to the host.
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
