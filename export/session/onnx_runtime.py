"""Running an exported `.onnx` file with one of ONNX Runtime's providers: TensorRT, CUDA, the CPU."""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph import INPUT, ZOOM, from_properties
from export.session.cuda_driver import load_driver
from export.session.processor import integers_here, this_processor, threads_here
from export.session.session import Session
from preprocessing.ground import InputError, first_line

# Tried in this order by "auto".
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver library can be loaded."""
    return load_driver() is not None


def _provider_options(name: str, path: Path) -> dict[str, str]:
    """TensorRT builds its engine for minutes at the first start; kept beside the model, the next start takes seconds.

    TensorRT itself looks whether an engine fits the GPU and its own version, and builds another where it does not.
    """
    if name != "tensorrt":
        return {}
    folder = path.with_suffix(".engines")
    try:
        folder.mkdir(exist_ok=True)
    except OSError:  # a read-only model folder: built at each start
        return {}
    if not os.access(folder, os.W_OK):
        return {}
    return {
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(folder),
        "trt_engine_cache_prefix": path.stem,
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(folder),
    }


def session_options(threads: int, optimise: bool, spin: bool) -> Any:
    """ONNX Runtime's `SessionOptions`, as `open_session` describes these arguments.

    Raises: InputError where it is not installed.
    """
    try:
        import onnxruntime as ort
    except ModuleNotFoundError:
        raise InputError("ONNX Runtime is not installed here: pip install onnxruntime (or onnxruntime-gpu)") from None

    options = ort.SessionOptions()
    # Left to count for itself, ONNX Runtime pins a thread to each core of the machine, also to those that this process
    # may not use (taskset, containers). Given a number, it pins none, and threads stay where the process may run.
    options.intra_op_num_threads = threads or threads_here()
    # Idle threads must not spin: decoding and drawing need the cores (two busy ones: 19 became 31 frames/s). On idle
    # cores, sleeping and waking is a fifth of a frame's time. Between frames they always sleep.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spin else "0")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.log_severity_level = 3  # warnings about nodes left on the CPU are not the user's business
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


_TOO_NEW = re.compile(r"model IR version: (\d+), max supported IR version: (\d+)")


def _unreadable(path: Path, error: Exception, version: str) -> str:
    """One line on a file that ONNX Runtime refuses; where its IR is too new, how to get one that is not."""
    if found := _TOO_NEW.search(str(error)):
        theirs, ours = found.groups()
        return (
            f"{path}: its IR version is {theirs}, ONNX Runtime {version} reads up to {ours}; "
            f"export it again with `advmtl export --ir-version {ours}`"
        )
    return f"{path}: ONNX Runtime cannot read it ({first_line(error)})"


def _start(path: Path, provider: str, options: Any) -> tuple[Any, str]:
    import onnxruntime as ort

    offered = ort.get_available_providers()
    wanted = list(PROVIDERS) if provider == "auto" else [provider]
    tried: list[str] = []
    for name in wanted:
        if PROVIDERS[name] not in offered:
            tried.append(f"{name}: not in this ONNX Runtime")
            continue
        if name != "cpu" and not has_cuda_driver():
            # Asked all the same, ONNX Runtime prints a page of loader errors before it falls back.
            tried.append(f"{name}: no NVIDIA driver on this machine")
            continue
        order = list(PROVIDERS)
        chain = [later for later in order[order.index(name) :] if PROVIDERS[later] in offered]
        try:
            session = ort.InferenceSession(
                str(path),
                options,
                providers=[PROVIDERS[one] for one in chain],
                provider_options=[_provider_options(one, path) for one in chain],
            )
        except Exception as error:  # ONNX Runtime's exceptions share no other parent
            if name == "cpu":
                raise InputError(_unreadable(path, error, ort.__version__)) from None
            tried.append(f"{name}: did not start")
            continue
        # A provider whose libraries are missing is left out silently, and the CPU would run under its name.
        if session.get_providers()[0] == PROVIDERS[name]:
            return session, f"others cannot run: {'; '.join(tried)}" if tried else ""
        tried.append(f"{name}: its libraries do not load")
    raise InputError(f"{path}: provider {provider} cannot run here ({'; '.join(tried)}); try --provider auto")


def open_onnx(path: Path, provider: str, options: Any) -> Session:
    """Open an exported file on `provider`, or for `auto` on the first that starts; options: of `session_options`.

    Raises: InputError for a file that is not ours, or a provider that cannot run here.
    """
    session, others = _start(path, provider, options)
    properties = session.get_modelmeta().custom_metadata_map
    metadata = from_properties(properties, path)
    width, height = metadata.size
    inputs = [(value.name, value.shape, value.type) for value in session.get_inputs()]
    if inputs != [(INPUT, [1, height, width, 3], "tensor(uint8)")]:
        raise InputError(f"{path}: its input {inputs} is not the one its metadata describe; export it again")
    names = [value.name for value in session.get_outputs()]
    if tuple(names) != metadata.outputs:
        raise InputError(f"{path}: its outputs {names} are not those its metadata describe; export it again")

    takes_zoom = any(value.name == ZOOM for value in session.get_overridable_initializers())

    def network(image: NDArray[np.uint8], zoom: float | None = None, /) -> dict[str, NDArray[Any]]:
        given: dict[str, NDArray[Any]] = {INPUT: image}
        if zoom is not None:
            given[ZOOM] = np.array([zoom], np.float32)
        return dict(zip(names, session.run(names, given), strict=True))

    runs_on = session.get_providers()[0]
    integers = integers_here(properties, this_processor()) if runs_on == PROVIDERS["cpu"] else ""
    note = "; ".join(note for note in (others, integers) if note)
    return Session(metadata, runs_on, note, network, takes_zoom=takes_zoom)
