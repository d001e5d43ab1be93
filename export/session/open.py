"""Opening a model, whatever its backend.

A runtime is imported when a file asks for it: a vehicle needs ONNX Runtime or TensorRT alone, and never torch.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from advmtl.tasks import TASKS, Task
from export.session.checkpoint import open_checkpoint
from export.session.choice import is_export, suited
from export.session.engine import open_engine
from export.session.onnx_runtime import PROVIDERS, has_cuda_driver
from export.session.runtimes import RUNTIMES, Asked, Runtime, runtime_of
from export.session.session import Session
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
    runtime: str = "onnxruntime",
    runtimes: Mapping[str, Runtime] = RUNTIMES,
    batches: bool = False,
) -> Session:
    """Open an exported `.onnx` file, a folder of them, a TensorRT `.engine`, a run folder or a `.pt` checkpoint.

    Of a folder of exported files the one that suits this machine runs (`suited`), and `note` says which.

    provider: for ONNX `auto`, `tensorrt`, `cuda` or `cpu`; for a checkpoint `auto`, `cuda` or `cpu`. `auto`
    takes the first that starts. threads: CPU threads of the network, 0 = one for each core that this process
    may use. optimise: False lets ONNX Runtime run an ONNX graph as written, to measure what another runtime will make
    of it. spin: ONNX Runtime's threads wait for each other without sleeping within a frame; for cores that have nothing
    else to do; None: as proves faster on the first frames (`MeasuredWaiting`). tasks: a table with those that the model
    has learnt. lens: of the frames as they are, where they bring none (`told_lens`); None: the model's own. fit: crop,
    pad or stretch frames of another aspect; None: as the model says. runtime: a name of `runtimes`, what runs an
    `.onnx` file; onnxruntime and openvino. batches: a file of several frames at a time will do, for
    `Session.run_batch`.
    Raises: InputError, one line, for a missing file, a model that is not ours, a runtime or provider this machine
    lacks. A provider that is asked for runs, or it is an error; nothing falls back, at run time either.
    """
    path = Path(path)
    if fit is not None and fit not in FITS:
        raise InputError(f"fit {fit!r}: choose {', '.join(FITS)}")
    if provider not in ("auto", *PROVIDERS):
        raise InputError(f"provider {provider!r}: choose auto, {', '.join(PROVIDERS)}")
    if not path.exists():
        raise InputError(f"{path}: no such model; give an exported .onnx file, a run folder or a .pt checkpoint")
    runs, asked = runtime_of(runtime, runtimes), Asked(provider, threads, optimise, spin)
    exported = path.suffix == ".onnx" or is_export(path)
    if runtime != "onnxruntime" and not exported:
        raise InputError(f"{path}: --runtime {runtime} runs exported .onnx files; `advmtl export` makes one")
    if path.suffix == ".onnx":
        session = replace(runs.open(path, asked), tasks=tasks)
    elif exported:
        session = replace(_open_suited(path, runs, asked), tasks=tasks)
    elif path.is_dir() or path.suffix == ".pt":
        session = open_checkpoint(path, provider, threads, tasks)
    elif path.suffix == ".engine":
        if provider not in ("auto", "tensorrt"):
            raise InputError(f"{path}: an engine runs on tensorrt alone; give the .onnx file for --provider {provider}")
        session = replace(open_engine(path), tasks=tasks)
    else:
        raise InputError(f"{path}: not a model; give an .onnx or .engine file, a run folder or a .pt checkpoint")
    if session.metadata.batch != 1 and not batches:
        raise InputError(
            f"{path}: takes {session.metadata.batch} frames at a time (export --batch) and is given one here; export "
            "it without --batch, or see docs/deployed_file.md#several-cameras-at-a-time for a program of your own"
        )
    return replace(session, lens=lens, fit=fit)


def _open_suited(folder: Path, runs: Runtime, asked: Asked) -> Session:
    """The file of a folder that suits what will run it; a GPU that turns out not to run is none."""
    gpu = asked.provider in ("tensorrt", "cuda") or (asked.provider == "auto" and has_cuda_driver())
    model, why = suited(folder, gpu)
    session = runs.open(model, asked)
    if gpu and not on_gpu(session):
        model, why = suited(folder, gpu=False)
        session = runs.open(model, asked)
    return replace(session, note="; ".join(one for one in (why, session.note) if one))


def on_gpu(session: Session) -> bool:
    """Whether a session of an exported file runs on a GPU."""
    return session.provider in (PROVIDERS["tensorrt"], PROVIDERS["cuda"], "TensorRT engine")


def file_of(path: Path, session: Session) -> Path:
    """The file that a session of `path` runs: of a folder of exported files the one that was chosen."""
    return suited(path, on_gpu(session))[0] if is_export(path) else path
