"""Running an exported `.onnx` file with one of ONNX Runtime's providers: TensorRT, CUDA, the CPU."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph import INPUT, ZOOM, Metadata, from_properties
from export.session.cuda_driver import load_driver
from export.session.processor import integers_here, this_processor, threads_here
from export.session.session import Session, Zoom
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

    Raises: InputError where ONNX Runtime is not installed.
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
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for `left_on_cpu`
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


@dataclass(frozen=True)
class _Missing:
    """A provider that does not run here: why, and what it would take."""

    name: str
    why: str
    takes: str


_BUILDS = "an ONNX Runtime that is built with it (pip install onnxruntime-gpu, alone)"
_GPU = "an NVIDIA GPU with its driver"


def _libraries(name: str) -> str:
    """What libraries a provider of this ONNX Runtime loads; from 1.27 on that is CUDA 13."""
    import onnxruntime as ort

    version = getattr(ort, "cuda_version", "") or ""
    cuda = f"CUDA {version.partition('.')[0]}" if version else "the CUDA it was built with"
    if name == "tensorrt":
        return f"TensorRT for {cuda} (pip install 'advmtl[gpu,tensorrt]')"
    return f"{cuda} and cuDNN 9 (pip install 'advmtl[gpu]')"


def _joined(missing: list[_Missing]) -> str:
    """What the faster providers would take, those that take the same together."""
    takes: dict[tuple[str, str], list[str]] = {}
    for one in missing:
        takes.setdefault((one.takes, one.why), []).append(one.name)
    return "; ".join(f"{' or '.join(names)} would take {what} ({why})" for (what, why), names in takes.items())


def _tried(path: Path, name: str, options: Any) -> Any:
    """A session on this provider that has run a frame, or why there is none (`_Missing`).

    Raises: InputError where the CPU cannot read the file.
    """
    import onnxruntime as ort

    offered = ort.get_available_providers()
    if PROVIDERS[name] not in offered:
        return _Missing(name, f"not in this ONNX Runtime {ort.__version__}", _BUILDS)
    if name != "cpu" and not has_cuda_driver():
        # Asked all the same, ONNX Runtime prints a page of loader errors before it falls back.
        return _Missing(name, "no NVIDIA driver on this machine", _GPU)
    order = list(PROVIDERS)
    chain = [later for later in order[order.index(name) :] if PROVIDERS[later] in offered]
    try:
        session = ort.InferenceSession(
            str(path),
            options,
            providers=[PROVIDERS[one] for one in chain],
            provider_options=[_provider_options(one, path) for one in chain],
            # Else a provider that fails, also in the middle of a stream, is replaced by the CPU with a print.
            enable_fallback=0,
        )
    except Exception as error:  # ONNX Runtime's exceptions share no other parent
        if name == "cpu":
            raise InputError(_unreadable(path, error, ort.__version__)) from None
        return _Missing(name, f"did not start: {first_line(error)}", _libraries(name))
    # A provider whose libraries are missing is left out silently, and the CPU would run under its name.
    if session.get_providers()[0] != PROVIDERS[name]:
        return _Missing(name, "its libraries do not load", _libraries(name))
    if name != "cpu":
        try:
            session.run(None, {one.name: np.zeros(one.shape, np.uint8) for one in session.get_inputs()})
        except Exception as error:
            return _Missing(name, f"fails on a frame: {first_line(error)}", "what that message names")
    return session


def _start(path: Path, provider: str, options: Any) -> tuple[Any, str, str]:
    """The session, the provider's name, and for `auto` a line about the faster ones. Raises: InputError."""
    missing: list[_Missing] = []
    for name in list(PROVIDERS) if provider == "auto" else [provider]:
        found = _tried(path, name, options)
        if not isinstance(found, _Missing):
            return found, name, f"auto runs {name}; {_joined(missing)}" if missing else ""
        missing.append(found)
    if provider == "auto":  # an ONNX Runtime without its own CPU provider
        raise InputError(f"{path}: no provider runs here: {_joined(missing)}")
    (one,) = missing
    raise InputError(
        f"{path}: provider {provider} cannot run here: {one.why}; it takes {one.takes}; --provider auto takes what runs"
    )


def left_on_cpu(session: Any) -> str:
    """How many nodes of a session on a GPU run on the CPU, in words; empty where none does, or where this ONNX Runtime
    does not tell.
    """
    try:
        parts = session.get_provider_graph_assignment_info()
    except Exception:  # older than 1.24, or a build that records none
        return ""
    counts = {part.ep_name: 0 for part in parts}
    for part in parts:
        counts[part.ep_name] += len(part.get_nodes())
    left, total = counts.get(PROVIDERS["cpu"], 0), sum(counts.values())
    return f"{left} of {total} nodes run on the CPU" if left else ""


def open_onnx(path: Path, provider: str, options: Any) -> Session:
    """Open an exported file on `provider`, or for `auto` on the first that runs a frame; options: of `session_options`.

    Nothing falls back later: what fails at run time is an error. Raises: InputError for a file that is not ours, or a
    provider that cannot run here; in `Session.network` where a GPU fails.
    """
    session, name, others = _start(path, provider, options)
    properties = session.get_modelmeta().custom_metadata_map
    metadata = from_properties(properties, path)
    inputs = [(value.name, value.shape, value.type) for value in session.get_inputs()]
    names = [value.name for value in session.get_outputs()]
    width, height = metadata.size
    check_described(path, metadata, inputs, [(INPUT, [metadata.batch, height, width, 3], "tensor(uint8)")], names)
    takes_zoom = any(value.name == ZOOM for value in session.get_overridable_initializers())

    def network(image: NDArray[np.uint8], zoom: Zoom | None = None, /) -> dict[str, NDArray[Any]]:
        given: dict[str, NDArray[Any]] = {INPUT: image}
        if zoom is not None:
            given[ZOOM] = np.full(metadata.batch, zoom, np.float32)
        try:
            return dict(zip(names, session.run(names, given), strict=True))
        except Exception as error:
            if name == "cpu":
                raise
            raise InputError(f"{path}: {name} failed ({first_line(error)}); --provider cpu runs without it") from None

    on_cpu = name == "cpu"
    integers = integers_here(properties, this_processor()) if on_cpu else left_on_cpu(session)
    note = "; ".join(note for note in (others, integers) if note)
    return Session(metadata, session.get_providers()[0], note, network, takes_zoom=takes_zoom)


def check_described(path: Path, metadata: Metadata, inputs: Any, wanted: Any, names: list[str]) -> None:
    """Raises: InputError where a file's inputs and outputs are not those that its metadata describe."""
    if inputs != wanted:
        raise InputError(f"{path}: its input {inputs} is not the one its metadata describe; export it again")
    if tuple(names) != metadata.outputs:
        raise InputError(f"{path}: its outputs {names} are not those its metadata describe; export it again")
