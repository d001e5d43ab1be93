"""A run of several processes: rank 0 opens it, all ranks hold the same state."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from advmtl.config import Config
from advmtl.distributed import Processes
from advmtl.networks import architecture, regrow
from advmtl.training.checkpoint import Trained, UnusableCheckpoint, load_trained
from advmtl.training.log import Log
from advmtl.training.run_folder import Run
from advmtl.training.state import State, build, generator_from


def open_together(
    open_state: Callable[[], State],
    config: Config,
    device: torch.device,
    processes: Processes,
    warn: Callable[[str], None],
    given: State | None = None,
) -> State:
    """The state that the first process opens, on every process: only that one needs the run folder and the weights.

    `given`: a caller's own state, which `open_state` begins with.

    A run of another number of processes resumes at the same frame of the epoch's order with new batches; `warn` gets a
    line. Raises: InputError, on all, what `open_state` raises on the first.
    """

    def mine() -> State:
        if processes.is_main:
            return open_state()
        return given or build(config, device, pretrained=False, processes=processes)

    state = processes.raise_together(mine)
    saved = (
        processes.object_from_rank0(state.state_dict() if processes.is_main else None) if processes.count > 1 else None
    )
    if saved is not None and not processes.is_main:
        state.load_state_dict(saved)
    if state.world_size != processes.count:
        if state.step:
            size = config.data.batch_size
            warn(
                f"the run had {state.world_size} processes and {state.world_size * size} frames a step, now it has "
                f"{processes.count} and {processes.count * size}: the order of frames stays, but the weights "
                "will differ from those without the change"
            )
        # Whole batches only: rather some frames twice than some never.
        state.batch = state.batch * state.world_size // processes.count
        state.world_size = processes.count
    return state


def load_best_together(
    run: Run,
    config: Config,
    processes: Processes,
    warn: Callable[[str], None],
) -> Trained:
    """The generator of best.pt, or where that is damaged of last.pt, which `warn` reports: evaluation mode, CPU.

    The first process reads it for all. Raises: InputError.
    """

    def read() -> Trained:
        try:
            return load_trained(run.best, config.tables)
        except UnusableCheckpoint as error:
            warn(f"{error}; the metrics are those of the last state")
            return load_trained(run.last, config.tables)

    return load_together(read, config, processes)


def load_together(read: Callable[[], Trained], config: Config, processes: Processes) -> Trained:
    """A trained generator of the run, which the first process reads for all. Raises: InputError, on all."""

    def mine() -> Trained:
        if processes.is_main:
            return read()
        return Trained(generator_from(config, pretrained=False).eval(), config, {})

    trained = processes.raise_together(mine)
    if processes.count > 1:
        generator = trained.generator
        whole = (architecture(generator), generator.state_dict(), trained.chosen) if processes.is_main else None
        grown, weights, chosen = processes.object_from_rank0(whole)
        if config.growth is not None and not processes.is_main:
            regrow(generator, grown, config.growth.expansion)
        generator.load_state_dict(weights)
        return Trained(generator, config, chosen)
    return trained


class NoLog(Log):
    """A log that discards everything, for processes other than rank 0."""

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
