"""One way to run a model, whatever runs it: ONNX Runtime's providers or torch.

Nothing here imports torch unless a checkpoint is opened, so a vehicle needs only ONNX Runtime.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks.grouping import group
from export.graph.metadata import CLASSES, DEPTH, INPUT, OFFSETS, Metadata, from_properties
from export.session.cuda_driver import load_driver
from export.session.processor import integers_here, this_processor, threads_here
from preprocessing.ground import InputError

# Tried in this order by "auto".
PROVIDERS = {
    "tensorrt": "TensorrtExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "cpu": "CPUExecutionProvider",
}
Network = Callable[[NDArray[np.uint8]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Result:
    """Outputs for one frame at the network's size; None where the model has no such task.

    classes: uint8 `[h, w]`, indices into the metadata's class names, 255 where there is none. depth_m: float32
    `[h, w]`, metres. offsets_px: float32 `[2, h, w]`, dy and dx from the instance's centre, in pixels of this size.
    instances: uint16 `[h, w]`, class * 1000 + number, 0 = none; None also where not asked for (`add_instances`).
    """

    classes: NDArray[np.uint8] | None
    depth_m: NDArray[np.float32] | None
    offsets_px: NDArray[np.float32] | None = None
    instances: NDArray[np.uint16] | None = None


@dataclass(frozen=True)
class Session:
    """A loaded model. `network` maps uint8 `[1, h, w, 3]` RGB of the network's size to its outputs by name.

    The outputs are on the host when it returns, so timing a call needs no further synchronisation.
    `provider` names what runs it, `note` says why that one, and what integers do here.
    `concurrent`: several threads may call `network` at once.
    """

    metadata: Metadata
    provider: str
    note: str
    network: Network
    concurrent: bool = True

    def run(self, frame: NDArray[np.uint8]) -> Result:
        """Infer one frame, uint8 `[H, W, 3]` RGB of any size; the results have the network's size."""
        return add_instances(unpack(self.network(prepare(frame, self.metadata.size))), self.metadata.things)


def prepare(frame: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Bring a frame uint8 `[H, W, 3]` to the network's input uint8 `[1, h, w, 3]`; `size` is (width, height).

    By area when shrinking, so that thin things do not alias away; bilinear when growing. A frame of another
    aspect is stretched, as in training.
    """
    height, width = frame.shape[:2]
    if (width, height) != size:
        shrinks = width >= size[0] and height >= size[1]
        resized = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        frame = np.asarray(resized, dtype=np.uint8)
    return np.ascontiguousarray(frame)[None]


def unpack(outputs: dict[str, NDArray[Any]]) -> Result:
    """Drop the batch axis of the network's outputs."""
    first = {name: value[0] for name, value in outputs.items()}
    return Result(first.get(CLASSES), first.get(DEPTH), first.get(OFFSETS))


def add_instances(result: Result, things: Sequence[int]) -> Result:
    """The result with its offsets grouped into instances of the classes `things`, where it has offsets and classes."""
    if result.classes is None or result.offsets_px is None or not things:
        return result
    if not np.isfinite(result.offsets_px).all():  # they lead nowhere
        return replace(result, instances=np.zeros(result.classes.shape, np.uint16))
    return replace(result, instances=group(result.offsets_px, result.classes, things).encoded())


def fit(result: Result, size: tuple[int, int]) -> Result:
    """Bring results to another `size` (width, height) by nearest: no class or depth invented at edges.

    Offsets are pixels of the new size: each component is multiplied by the ratio of its side.
    """

    def nearest(map_: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if map_ is None else np.asarray(cv2.resize(map_, size, interpolation=cv2.INTER_NEAREST))

    offsets = result.offsets_px
    if offsets is not None:
        ratios = [new / old for new, old in zip(size[::-1], offsets.shape[1:], strict=True)]
        offsets = np.stack([np.float32(r) * np.asarray(nearest(o)) for r, o in zip(ratios, offsets, strict=True)])
    return Result(nearest(result.classes), nearest(result.depth_m), offsets, nearest(result.instances))


def open_session(
    path: Path | str, provider: str = "auto", threads: int = 0, *, optimise: bool = True, spin: bool = False
) -> Session:
    """Open an exported `.onnx` file, a TensorRT `.engine`, a run folder or a `.pt` checkpoint.

    provider: for ONNX `auto`, `tensorrt`, `cuda` or `cpu`; for a checkpoint `auto`, `cuda` or `cpu`. `auto`
    takes the first that starts. threads: CPU threads of the network, 0 = one for each core that this process
    may use. optimise: False lets ONNX Runtime run an ONNX graph as written, to measure what another runtime will make
    of it. spin: ONNX Runtime's threads wait for each other without sleeping within a frame; for cores that have nothing
    else to do.
    Raises: InputError, one line, for a missing file, a model that is not ours, or a provider this machine lacks.
    """
    path = Path(path)
    if provider not in ("auto", *PROVIDERS):
        raise InputError(f"provider {provider!r}: choose auto, {', '.join(PROVIDERS)}")
    if not path.exists():
        raise InputError(f"{path}: no such model; give an exported .onnx file, a run folder or a .pt checkpoint")
    if path.suffix == ".onnx":
        return _open_onnx(path, provider, _options(threads, optimise, spin))
    if path.is_dir() or path.suffix == ".pt":
        return _open_torch(path, provider, threads)
    if path.suffix == ".engine":
        from export.session.engine import open_engine

        return open_engine(path)
    raise InputError(f"{path}: not a model; give an .onnx or .engine file, a run folder or a .pt checkpoint")


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


def _options(threads: int, optimise: bool, spin: bool) -> Any:
    import onnxruntime as ort

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
                reason = str(error).splitlines()[0]
                raise InputError(f"{path}: ONNX Runtime cannot read it ({reason})") from None
            tried.append(f"{name}: did not start")
            continue
        # A provider whose libraries are missing is left out silently, and the CPU would run under its name.
        if session.get_providers()[0] == PROVIDERS[name]:
            return session, f"others cannot run: {'; '.join(tried)}" if tried else ""
        tried.append(f"{name}: its libraries do not load")
    raise InputError(f"{path}: provider {provider} cannot run here ({'; '.join(tried)}); try --provider auto")


def _open_onnx(path: Path, provider: str, options: Any) -> Session:
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

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        return dict(zip(names, session.run(names, {INPUT: image}), strict=True))

    runs_on = session.get_providers()[0]
    integers = integers_here(properties, this_processor()) if runs_on == PROVIDERS["cpu"] else ""
    return Session(metadata, runs_on, "; ".join(note for note in (others, integers) if note), network)


def _open_torch(path: Path, provider: str, threads: int) -> Session:
    import torch

    from advmtl.training import load_generator
    from export.graph.deployable import Deployable
    from export.graph.description import describe

    if provider == "tensorrt":
        raise InputError(f"{path}: a checkpoint runs on cuda or cpu; export it first for tensorrt")
    if provider == "cuda" and not torch.cuda.is_available():
        raise InputError(f"{path}: provider cuda cannot run here (torch finds no GPU); try --provider auto")
    if threads:
        torch.set_num_threads(threads)
    device = torch.device("cuda" if provider != "cpu" and torch.cuda.is_available() else "cpu")
    generator, config = load_generator(path)
    model = Deployable(generator).eval().to(device).to(memory_format=torch.channels_last)

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        with torch.inference_mode():
            outputs = model(torch.from_numpy(image).to(device))
        # The copy to the host waits for the device.
        return {name: value.cpu().numpy() for name, value in outputs.items()}

    return Session(describe(config), f"torch {device.type}", "", network)
