"""Running a run folder or a checkpoint with PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, Task
from export.session.session import Session
from preprocessing.ground import InputError

if TYPE_CHECKING:
    from export.graph import Metadata


def open_checkpoint(path: Path, provider: str, threads: int, tasks: Mapping[str, Task]) -> Session:
    """Open a run folder or a `.pt` checkpoint (its EMA weights) on `auto`, `cuda` or `cpu`; threads: 0 = torch's own.

    Raises: InputError for a provider that this machine lacks.
    """
    import torch

    from advmtl.training import load_generator
    from export.graph import describe

    if provider == "tensorrt":
        raise InputError(f"{path}: a checkpoint runs on cuda or cpu; export it first for tensorrt")
    if provider == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{path}: provider cuda cannot run here (torch finds no GPU); try --provider auto")
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if provider != "cpu" and torch.cuda.is_available() else "cpu")
    generator, config = load_generator(path, {} if tasks is TASKS else {"tasks": tasks})
    return session_of_network(generator, describe(config), config.task_table, device)


def session_of_network(
    generator: Any, metadata: "Metadata", tasks: Mapping[str, Task], device: Any = None
) -> Session:
    """A network of ours at the size of `metadata`, with PyTorch; device: None = where it is."""
    import torch

    from export.graph import Deployable

    device = device or next(generator.parameters()).device
    model = Deployable(generator, tasks, metadata.zoom, metadata.sky)
    model = model.eval().to(device).to(memory_format=torch.channels_last)

    def network(image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray[Any]]:
        factor = None if zoom is None else torch.full((1,), zoom, device=device)
        with torch.inference_mode():
            outputs = model(torch.from_numpy(image).to(device), factor)
        # The copy to the host waits for the device.
        return {name: value.cpu().numpy() for name, value in outputs.items()}

    return Session(metadata, f"torch {device.type}", "", network, tasks=tasks, takes_zoom=True)
