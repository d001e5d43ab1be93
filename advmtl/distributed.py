"""Data-parallel processes: meeting, sums, gathering, agreement. The only module that uses torch.distributed.

**A batch over all processes is one batch.** Each process has a loss whose mean over the processes is the loss of the
whole batch: what is divided by a count over the batch is divided by `global_count(count)`, and what is no sum over
frames (Dice, the berhu threshold) is made of `sum_with_gradient`. Gradients are means over the processes. So weights,
histories, averages and random state are the same on all of them between two steps, and rank 0's checkpoint is
everybody's.

gloo for tensors on the host, NCCL for those on CUDA. No wrapper around the networks: one update has several backwards.
`process_group` yields the one `Processes` of a run; whatever needs it is given it.
"""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from preprocessing.ground import InputError
from preprocessing.job import current_shard

T = TypeVar("T")
# How long a process waits for the others: a measurement or a save may keep one, a stuck network must not hold a
# machine for ever. One that dies is noticed at once.
PATIENCE = timedelta(minutes=15)
_NEEDED = ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class ProcessLost(RuntimeError):
    """Another process exited or does not respond; its own message has the reason."""


class CommonInputError(InputError):
    """Bad input that is known to every process; rank 0 reports it for all."""

    common = True


@dataclass(frozen=True)
class Processes:
    """Process `rank` of `count`. Everything here is a plain identity for one process; else all must call it alike."""

    rank: int = 0
    count: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this one, rank 0, writes files and messages for all."""
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

    def global_count(self, count: Tensor) -> Tensor:
        """What to divide a sum by, of which `count` things are here: their mean number per process, for at least one.

        The mean of the quotients is then the sum over all processes by the count over all processes.
        """
        if self.count == 1:
            return count.clamp(min=1)
        return self.total(count).clamp(min=1) / self.count

    def sum_with_gradient(self, values: Tensor) -> Tensor:
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

    def average_gradients(self, *modules: nn.Module, others: Iterable[Tensor] = ()) -> None:
        """`average` of the gradients that the modules' parameters have, and of other tensors."""
        parameters = [parameter for module in modules for parameter in module.parameters()]
        self.average([*(parameter.grad for parameter in parameters if parameter.grad is not None), *others])

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any process: one byte over the host's network, no device sync."""
        return bool(self.highest(int(flag)))

    def highest(self, number: int) -> int:
        """The largest of the processes' numbers, by the host's network."""
        return number if self.count == 1 else int(self.largest(torch.tensor([number])))

    def gather(self, value: T) -> list[T]:
        """The values of all processes in their order, tensors on the host; picklable things only."""
        if self.count == 1:
            return [value]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, _packed(value))
        return [_unpacked(one) for one in found]

    def gather_tensors(self, values: Tensor) -> Tensor:
        """The values of all processes, of one shape, stacked in their order, on their device; no gradient."""
        parts = [torch.empty_like(values) for _ in range(self.count)]
        dist.all_gather(parts, values)
        return torch.stack(parts)

    def broadcast_from_rank0(self, values: Tensor, device: torch.device) -> Tensor:
        """Broadcast of rank 0's values: some methods draw random numbers, and solvers may differ in the last bit.

        `device` is where the processes exchange tensors.
        """
        if self.count == 1:
            return values
        shared = values.to(device)
        dist.broadcast(shared, src=0)
        return shared.to(values.device)

    def object_from_rank0(self, value: T | None) -> T:
        """Broadcast of rank 0's value, tensors on the host; picklable things only."""
        if self.count == 1:
            assert value is not None
            return value
        box = [_packed(value) if self.is_main else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return _unpacked(box[0])

    def barrier(self) -> None:
        """Wait for the others."""
        self.highest(0)

    def raise_together(self, work: Callable[[], T]) -> T:
        """Do `work`, which may fail on bad input, on every process; if any fails, all raise its InputError.

        Raises: CommonInputError with the text of the first process that has one, naming it where it is not rank 0.
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

    def assert_equal(self, value: str, what: str) -> None:
        """Raise CommonInputError where the processes' values differ: they would deadlock."""
        values = self.gather(value)
        if len(set(values)) > 1:
            other = next(rank for rank, one in enumerate(values) if one != values[0])
            raise CommonInputError(f"{what}: process {other} has other than process 0; give all machines the same")

    @contextmanager
    def fork_rng_per_rank(self) -> Iterator[None]:
        """Draws from torch's global generators that differ from process to process, and are equal again afterwards."""
        if self.count == 1:
            yield
            return
        seed = int(torch.randint(2**31, ()))
        with torch.random.fork_rng():
            torch.manual_seed(seed + self.rank)
            yield

    def _reduced(self, values: Tensor, operation: Any) -> Tensor:
        if self.count == 1:
            return values
        values = values.detach().clone()
        dist.all_reduce(values, op=operation)
        return values


SINGLE = Processes()


@contextmanager
def process_group(device: torch.device, patience: timedelta = PATIENCE) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes of `torchrun`'s environment while the block runs; without it, a single process.

    Args:
        device: "cuda" becomes this process's own GPU, by its number on the machine.
        patience: how long to wait for the others in any exchange.
    Yields: who this is, and its device. Raises: InputError where the environment is incomplete, no other process can
        be reached, or there are fewer GPUs than processes; ProcessLost where another one left.
    """
    if current_shard().count == 1:
        yield SINGLE, device
        return
    device = _own(device)
    _meet(device, patience)
    try:
        with losing():
            yield Processes(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()


@contextmanager
def losing() -> Iterator[None]:
    """Turn the error of an exchange that failed because another process is gone into ProcessLost."""
    try:
        yield
    except RuntimeError as error:
        # gloo has no error type of its own.
        if isinstance(error, dist.DistError) or "gloo" in str(error).lower() or "by peer" in str(error):
            line = str(error).splitlines()[0]
            raise ProcessLost(f"another process of this training left or is stuck ({line})") from None
        raise


def _own(device: torch.device) -> torch.device:
    shard = current_shard()
    missing = [name for name in _NEEDED if name not in os.environ]
    if missing:
        raise InputError(
            f"{missing[0]} is not set although WORLD_SIZE is {shard.count}: start all processes with torchrun, "
            "or unset WORLD_SIZE"
        )
    if device.type != "cuda":
        return device
    local, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if device.index is not None:
        raise InputError(f"--device {device}: {shard.count} processes cannot share one GPU; write --device cuda")
    if local >= there:
        raise InputError(
            f"process {local} of this machine has no GPU of its own, there are {there}; "
            f"use --nproc-per-node {there}, or --device cpu"
        )
    torch.cuda.set_device(local)
    return torch.device("cuda", local)


def _meet(device: torch.device, patience: timedelta) -> None:
    # Counts and flags stay on the host and go by gloo, so that they never wait for the GPU.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    try:
        dist.init_process_group(backend, timeout=patience)
    except (RuntimeError, ValueError, OSError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"the other processes cannot be met at {where} ({reason}); see docs/clusters.md") from None


def _packed(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _unpacked(data: Any) -> Any:
    # From a process of our own, which could run anything anyway. A tensor of another process's GPU comes to the host.
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
