"""What a run takes from its training frames before the first step: pixels of each class, statistics of batch norms."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from advmtl.data import TrainLoader, on_device
from advmtl.networks import folded_norms, unfold_norms
from advmtl.training.class_counts import settle_classes
from advmtl.training.state import State

_FRAMES = 64


def settle(state: State, loader: TrainLoader, warn: Callable[[str], None] = lambda text: None) -> None:
    """Settle class weights and draws by class (`settle_classes`), and batch norms that a weight file has folded into
    convolutions (`settle_norms`).

    `warn` gets a line for each thing that is not as one would think. Raises: as these.
    """
    settle_classes(state, loader, warn)
    settle_norms(state, loader, warn)


def settle_norms(state: State, loader: TrainLoader, warn: Callable[[str], None] = lambda text: None) -> None:
    """Give batch norms that came folded the statistics of the first training frames, so that training begins with what
    the weights have learnt (`unfold_norms`).

    Does nothing for a run that has begun, nor where no batch norm is folded. Frames that cannot be read do not count.
    The loader comes out at the state's position. Raises: what reading the frames raises.
    """
    processes = state.processes
    folded = processes.object_from_rank0(0 if state.step else len(folded_norms(state.generator)))
    if not folded:
        return
    frames = processes.raise_together(lambda: _unfold(state, loader) if processes.is_main else 0)
    if processes.count > 1:
        weights = processes.object_from_rank0(state.generator.state_dict())
        for network in (state.generator, state.ema):
            network.load_state_dict(weights)
    if not frames:
        return  # none can be read, which the first steps will say
    init = state.config.init
    where = f"encoder.weights: {state.config.encoder.weights}" if init is None else f"init.weights: {init.weights}"
    warn(
        f"{where}: {folded} batch norms are folded into their convolutions, and training would lose what was learnt; "
        f"they now have mean and variance of {frames} training frames, and in evaluation the network is the same"
    )


def _unfold(state: State, loader: TrainLoader) -> int:
    """From how many frames."""
    count = 0

    def pictures() -> Iterator[Tensor]:
        nonlocal count
        for batch in on_device(loader, state.device):
            read = [place for place in range(len(batch.names)) if place not in batch.unread]
            if read:
                count += len(read)
                yield batch.image[read]
            if count >= _FRAMES:
                return

    with torch.random.fork_rng(devices=[]):  # a loader's iterator draws a seed, and the run's draws are its own
        loader.batch_sampler.set_position(state.epoch, state.batch)
        unfold_norms(state.generator, pictures())
        loader.batch_sampler.set_position(state.epoch, state.batch)
    state.ema.load_state_dict(state.generator.state_dict())
    return count
