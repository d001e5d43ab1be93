"""How long a trial trains: epochs, steps, or the epochs that fit into so many seconds."""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Literal

import torch

from advmtl.compare import ready
from advmtl.config import Config
from advmtl.data import on_device, train_loader, val_loaders
from advmtl.evaluation import evaluate
from advmtl.training import settle_classes, train_step

Unit = Literal["epochs", "steps", "seconds"]
_WARM_UP, _TIMED = 3, 6


@dataclass(frozen=True)
class Budget:
    """`amount` of a `unit` for every trial; without a unit, what the configuration says.

    Whole epochs always, since the learning rates fall to 0 over them: of steps, as many as come nearest.
    """

    unit: Unit | None = None
    amount: float = 0

    @property
    def text(self) -> str:
        """In words."""
        return "as the configuration says" if self.unit is None else f"{self.amount:g} {self.unit}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    def epochs(self, config: Config, device: torch.device) -> int:
        """The epochs of a trial of this configuration. In seconds it is measured, so what it gives must be kept.

        Raises: what opening the data and a step raise.
        """
        if self.unit is None:
            return config.train.epochs
        if self.unit == "epochs":
            return int(self.amount)
        if self.unit == "steps":
            return max(1, round(self.amount / train_loader(config).batch_sampler.batches))
        return fitting_epochs(self.amount, *measure(config, device), config.train.evaluate_every_epochs)


def fitting_epochs(seconds: float, epoch_s: float, measurement_s: float, every: int) -> int:
    """The most epochs, at least one, that take `seconds` at most.

    Args: seconds of an epoch's steps; of a measurement, of which there is one `every` so many epochs, one after the
        last, and one of the best state at the end.
    """
    epochs = max(1, int(seconds / epoch_s))
    while epochs > 1 and epochs * epoch_s + (-(-epochs // every) + 1) * measurement_s > seconds:
        epochs -= 1
    return epochs


def measure(config: Config, device: torch.device) -> tuple[float, float]:
    """Seconds of an epoch, all terms at work and batches read as in training, and of a measurement."""
    state, loader = ready(config, device), train_loader(config)
    settle_classes(state, loader)
    batches, times = loader.batch_sampler.batches, []
    done = 0
    while done < _WARM_UP + _TIMED:  # also of sets of a few batches
        loader.batch_sampler.set_position(done)
        start = time.perf_counter()
        for batch in on_device(loader, device):
            train_step(state, batch)
            _wait(device)
            times.append(time.perf_counter() - start)
            start, done = time.perf_counter(), done + 1
            if done == _WARM_UP + _TIMED:
                break
    start = time.perf_counter()
    evaluate(state.ema, val_loaders(config), config, device, tasks=config.task_table)
    _wait(device)
    return batches * median(times[_WARM_UP:]), time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
