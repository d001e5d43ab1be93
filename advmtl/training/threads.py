"""How many threads a training step on a CPU takes.

OpenMP's threads wait for each other after every operation, a thousand times a step: where one of them shares its core
with another process, all wait for that one. They should sleep meanwhile (`preprocessing.ground.let_threads_sleep`), or
be fewer. Their number is part of what is computed: sums over threads are added in another order, and a run's weights
differ in their last bits, which training enlarges. So it is chosen once, at the start of a run, and kept in its state.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from preprocessing.ground import idle_cores, usable_cores


def threads_for(setting: int | Literal["idle"] | None, recorded: int = 0) -> int:
    """Threads of a process by `train.threads`.

    None: torch's own number, but no more than the cores that a container's share of time is worth, unless
    OMP_NUM_THREADS says it. "idle": as many as there are idle cores now, shared with the other processes of the same
    training; a run that is resumed keeps the number it began with, `recorded` (0: none).
    """
    if isinstance(setting, int):
        return setting
    usable = max(1, int(usable_cores()[0]))
    if setting is None:
        return torch.get_num_threads() if "OMP_NUM_THREADS" in os.environ else min(torch.get_num_threads(), usable)
    if recorded:
        return recorded
    idle = idle_cores()
    if idle is None:
        return min(torch.get_num_threads(), usable)
    return max(1, min(usable, round(idle)) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def chosen_threads(setting: int | Literal["idle"] | None, recorded: int, told: Callable[[str], None]) -> int:
    """`threads_for`; `told` gets a line where they are not those that the run had, or more than find an idle core."""
    threads = threads_for(setting, recorded)
    if recorded not in (0, threads):
        had = f"{recorded} thread{'s' * (recorded > 1)}"
        told(f"the run computed with {had}, now with {threads}: its weights will differ from those without the change")
    elif setting is None and (line := crowded(threads)):
        told(line)
    return threads


@contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """This process computes with so many threads while the block runs; 0: as it did."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def crowded(threads: int) -> str:
    """A line where so many threads would wait, and not sleep, for cores that others use; empty where none does."""
    awake = os.environ.get("OMP_WAIT_POLICY", "").lower() != "passive" and "GOMP_SPINCOUNT" not in os.environ
    idle = idle_cores() if threads > 1 and awake else None
    if idle is None or idle > threads - 0.5:
        return ""
    fewer = max(1, round(idle))
    return (
        f"{idle:.1f} of the cores are idle, and a step of {threads} threads waits for the last of them: set "
        f"OMP_WAIT_POLICY=passive before torch is loaded, or train.threads={fewer} (docs/training.md)"
    )
