"""Opening a model, whatever its backend.

A runtime is imported when a file asks for it: a vehicle needs ONNX Runtime or TensorRT alone, and never torch.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advmtl.tasks import TASKS, Task
from export.session.checkpoint import open_checkpoint
from export.session.engine import open_engine
from export.session.onnx_runtime import PROVIDERS, open_onnx, session_options
from export.session.processor import threads_here
from export.session.session import Session
from export.session.waiting import MeasuredWaiting
from preprocessing.ground import FITS, Fit, InputError, Lens
from preprocessing.sets import ToldLens


def open_session(
    path: Path | str,
    provider: str = "auto",
    threads: int = 0,
    *,
    optimise: bool = True,
    spin: bool | None = False,
    tasks: Mapping[str, Task] = TASKS,
    lens: ToldLens | Lens | None = None,
    fit: Fit | None = None,
) -> Session:
    """Open an exported `.onnx` file, a TensorRT `.engine`, a run folder or a `.pt` checkpoint.

    provider: for ONNX `auto`, `tensorrt`, `cuda` or `cpu`; for a checkpoint `auto`, `cuda` or `cpu`. `auto`
    takes the first that starts. threads: CPU threads of the network, 0 = one for each core that this process
    may use. optimise: False lets ONNX Runtime run an ONNX graph as written, to measure what another runtime will make
    of it. spin: ONNX Runtime's threads wait for each other without sleeping within a frame; for cores that have nothing
    else to do; None: as proves faster on the first frames (`MeasuredWaiting`). tasks: a table with those that the model has learnt. lens: of the frames as they are, where they bring
    none (`told_lens`); None: the model's own. fit: crop, pad or stretch frames of another aspect; None: as the model
    says.
    Raises: InputError, one line, for a missing file, a model that is not ours, or a provider this machine lacks.
    """
    path = Path(path)
    if fit is not None and fit not in FITS:
        raise InputError(f"fit {fit!r}: choose {', '.join(FITS)}")
    if provider not in ("auto", *PROVIDERS):
        raise InputError(f"provider {provider!r}: choose auto, {', '.join(PROVIDERS)}")
    if not path.exists():
        raise InputError(f"{path}: no such model; give an exported .onnx file, a run folder or a .pt checkpoint")
    if path.suffix == ".onnx":
        session = replace(open_onnx(path, provider, session_options(threads, optimise, bool(spin))), tasks=tasks)
        if spin is None and session.provider == PROVIDERS["cpu"] and (threads or threads_here()) > 1:
            other = open_onnx(path, "cpu", session_options(threads, optimise, spin=True))
            session = replace(session, network=MeasuredWaiting(session.network, other.network))  # type: ignore[arg-type]
    elif path.is_dir() or path.suffix == ".pt":
        session = open_checkpoint(path, provider, threads, tasks)
    elif path.suffix == ".engine":
        session = replace(open_engine(path), tasks=tasks)
    else:
        raise InputError(f"{path}: not a model; give an .onnx or .engine file, a run folder or a .pt checkpoint")
    return replace(session, lens=lens, fit=fit)
