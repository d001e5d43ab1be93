"""A run of several processes: one opens it, all hold the same state."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from advmtl.config import Config
from advmtl.distributed import Processes
from advmtl.networks.add_modules import architecture, regrow
from advmtl.networks.generator import Generator
from advmtl.training.checkpoint import UnusableCheckpoint, load_generator
from advmtl.training.log import Log
from advmtl.training.run_folder import Run
from advmtl.training.state import State, build, generator_from


def open_together(
    open_state: Callable[[], State],
    config: Config,
    device: torch.device,
    processes: Processes,
    warn: Callable[[str], None],
) -> State:
    """The state that the first process opens, on every process: only that one needs the run folder and the weights.

    A run of another number of processes goes on at the same frame of the epoch's order, its batches cut anew; `warn` is
    told. Raises: InputError, on all, what `open_state` raises on the first.
    """

    def mine() -> State:
        return open_state() if processes.writer else build(config, device, pretrained=False)

    state = processes.together(mine)
    saved = processes.from_writer(state.state_dict() if processes.writer else None) if processes.count > 1 else None
    if saved is not None and not processes.writer:
        state.load_state_dict(saved)
    if state.processes != processes.count:
        if state.step:
            size = config.data.batch_size
            warn(
                f"the run had {state.processes} processes and {state.processes * size} frames a step, now it has "
                f"{processes.count} and {processes.count * size}: the frames go on in the same order, but the weights "
                "will be others than without the change"
            )
        # Whole batches only: rather some frames twice than some never.
        state.batch = state.batch * state.processes // processes.count
        state.processes = processes.count
    return state


def load_best_together(run: Run, config: Config, processes: Processes, warn: Callable[[str], None]) -> Generator:
    """The generator of best.pt, or where that is damaged of last.pt, which `warn` is told: evaluation mode, CPU.

    The first process reads it for all. Raises: InputError.
    """

    def mine() -> Generator:
        return _load_best(run, warn) if processes.writer else generator_from(config, pretrained=False).eval()

    generator = processes.together(mine)
    if processes.count > 1:
        whole = (architecture(generator), generator.state_dict()) if processes.writer else None
        grown, weights = processes.from_writer(whole)
        if config.growth is not None and not processes.writer:
            regrow(generator, grown, config.growth.expansion)
        generator.load_state_dict(weights)
    return generator


def _load_best(run: Run, warn: Callable[[str], None]) -> Generator:
    try:
        return load_generator(run.best)[0]
    except UnusableCheckpoint as error:
        warn(f"{error}; the figures are those of the last state")
        return load_generator(run.last)[0]


class NoLog(Log):
    """The log of a process that does not write."""

    def __init__(self) -> None:
        """Open nothing."""
        self.lost_bytes = 0

    def write(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Drop the row."""

    def picture(self, name: str, picture: Any, step: int) -> None:
        """Drop the picture."""

    def sync(self) -> int:
        """Nothing was written."""
        return 0

    def close(self) -> None:
        """Nothing is open."""
