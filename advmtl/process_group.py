"""Meeting the other processes that `torchrun` started, and leaving them."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist

from advmtl.distributed import ALONE, Processes, ProcessLost, current
from preprocessing.ground import InputError
from preprocessing.job import current_shard

# How long a process waits for the others: a measurement or a save may keep one, a stuck network must not hold a
# machine for ever. One that dies is noticed at once.
PATIENCE = timedelta(minutes=15)
_NEEDED = ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@contextmanager
def process_group(device: torch.device, patience: timedelta = PATIENCE) -> Iterator[tuple[Processes, torch.device]]:
    """Join the processes of `torchrun`'s environment while the block runs; without that environment, be alone.

    Args:
        device: "cuda" becomes this process's own GPU, by its number on the machine.
        patience: how long to wait for the others in any exchange.
    Yields: who this is, and its device. Raises: InputError where the environment is incomplete, nobody can be met, or
        there are fewer GPUs than processes; ProcessLost where another one left.
    """
    if current_shard().count == 1:
        yield ALONE, device
        return
    device = _own(device)
    _meet(device, patience)
    try:
        with losing():
            yield current(), device
    finally:
        dist.destroy_process_group()


@contextmanager
def losing() -> Iterator[None]:
    """Turn the error of an exchange that failed since another process is gone into ProcessLost."""
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
