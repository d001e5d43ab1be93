"""Running a run folder or a checkpoint with PyTorch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, Task
from export.session.session import Session, Zoom
from export.session.session import fit as resize_result
from preprocessing.ground import Fit, InputError
from preprocessing.sets import ToldLens

if TYPE_CHECKING:
    from advmtl.training import Model
    from export.graph import Metadata


def open_checkpoint(path: Path, provider: str, threads: int, tasks: Mapping[str, Task]) -> Session:
    """Open a run folder or a `.pt` checkpoint (its EMA weights) on `auto`, `cuda` or `cpu`; threads: 0 = torch's own.

    Raises: InputError for a provider that this machine lacks.
    """
    try:
        import torch

        from advmtl.training import load_trained
        from export.graph import describe
    except ModuleNotFoundError as error:
        raise InputError(
            f"{path}: a checkpoint needs what trains ({error.name} is not here: pip install advmtl); here, give an "
            "exported .onnx file"
        ) from None

    if provider == "tensorrt":
        raise InputError(f"{path}: a checkpoint runs on cuda or cpu; export it first for tensorrt")
    if provider == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{path}: provider cuda cannot run here; it takes {_cuda()}; --provider auto takes what runs")
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if provider != "cpu" and torch.cuda.is_available() else "cpu")
    trained = load_trained(path, {} if tasks is TASKS else {"tasks": tasks})
    config = trained.config
    session = session_of_network(trained.generator, describe(config, lenses=trained.lenses), config.task_table, device)
    if provider == "auto" and device.type == "cpu":
        session = replace(session, note=f"auto runs torch on the cpu; cuda would take {_cuda()}")
    return session


def _cuda() -> str:
    """What torch would take to run on a GPU."""
    import torch

    if torch.version.cuda is None:
        return f"a torch that is built with CUDA (this is {torch.__version__})"
    return f"an NVIDIA GPU with a driver for CUDA {torch.version.cuda} (torch finds none)"


def session_of_network(generator: Any, metadata: "Metadata", tasks: Mapping[str, Task], device: Any = None) -> Session:
    """A network of ours at the size of `metadata`, with PyTorch; device: None = where it is."""
    import torch

    from export.graph import Deployable

    device = device or next(generator.parameters()).device
    model = Deployable(generator, tasks, metadata.zoom, metadata.sky, metadata.size_factor)
    model = model.eval().to(device).to(memory_format=torch.channels_last)

    def network(image: NDArray[np.uint8], zoom: Zoom | None = None, /) -> dict[str, NDArray[Any]]:
        factor = None if zoom is None else torch.from_numpy(np.atleast_1d(np.float32(zoom))).to(device)
        with torch.inference_mode():
            outputs = model(torch.from_numpy(image).to(device), factor)
        # The copy to the host waits for the device.
        return {name: value.cpu().numpy() for name, value in outputs.items()}

    return Session(metadata, f"torch {device.type}", "", network, tasks=tasks, takes_zoom=True)


def predict_with(
    model: "Model",
    image: NDArray[np.uint8],
    size: tuple[int, int] | None,
    lens: ToldLens | None = None,
    fit: Fit | None = None,
) -> dict[str, NDArray[Any]]:
    """Outputs of one picture by name, and what is derived of them, with a network of ours where it is, in evaluation
    mode meanwhile.

    Args:
        image: RGB uint8 [H,W,3] of any size.
        size: (width, height) of what is returned; None: the network's, without resizing.
        lens, fit: of the image, as `open_session` takes them.
    Raises: InputError where the image is no such array, or cannot have the lens.
    """
    from advmtl.evaluation import evaluating
    from export.graph import describe

    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        kind = f"{image.dtype} {list(image.shape)}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InputError(f"image: is {kind}; it must be uint8 [H,W,3] RGB")
    generator = model.network
    if generator not in _DESCRIBED:  # it looks into the training set for its lens
        _DESCRIBED[generator] = describe(model.config, lenses=model.lenses)
    with evaluating(generator):
        session = session_of_network(generator, _DESCRIBED[generator], generator.tasks)
        result = replace(session, lens=lens, fit=fit).run(image)
    if size is None:
        return dict(result.outputs)
    return dict(resize_result(result, size, generator.tasks).outputs)


_DESCRIBED: "WeakKeyDictionary[Any, Metadata]" = WeakKeyDictionary()
