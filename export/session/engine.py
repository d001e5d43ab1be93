"""TensorRT engines: the header before one in its file, building one for this machine's GPU, running it as a session.

A vehicle opens one with NumPy, OpenCV and TensorRT alone.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from export.graph import INPUT, KEY, Metadata, from_properties
from export.graph import from_json as metadata_from_json
from export.session.cuda_driver import Device, Gpu, first_gpu
from export.session.session import Session
from preprocessing.ground import InputError, beginning_kind, sha256_of, write_bytes

if TYPE_CHECKING:  # a vehicle opens engines and has no rich
    from rich.console import Console


MAGIC = b"advmtl engine 1\n"
ENGINE_FILE = beginning_kind("an engine that advmtl built", MAGIC)

_TEXTS = ("precision", "tensorrt", "gpu", "onnx_sha256")


@dataclass(frozen=True)
class EngineHeader:
    """What an engine was built from, with and for."""

    metadata: Metadata
    precision: str
    tensorrt: str
    gpu: str
    compute_capability: tuple[int, int]
    onnx_sha256: str


def to_json(header: EngineHeader) -> str:
    """All of the header as one line of JSON."""
    return json.dumps(asdict(header), separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> EngineHeader:
    """Read what `to_json` wrote; fields of later versions are ignored.

    Raises: ValueError where a value is missing or of another kind.
    """
    values = json.loads(text)
    try:
        major, minor = (int(one) for one in values["compute_capability"])
        texts = {name: values[name] for name in _TEXTS}
        known = metadata_from_json(json.dumps(values["metadata"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"header: {error}") from None
    if not all(isinstance(one, str) for one in texts.values()):
        raise ValueError(f"header: {', '.join(_TEXTS)} must be text")
    return EngineHeader(known, compute_capability=(major, minor), **texts)


def pack_engine(header: EngineHeader, plan: bytes) -> bytes:
    """Header and engine as one file: a magic line, the header's length (uint32, little endian), its JSON, the plan."""
    text = to_json(header).encode()
    return MAGIC + struct.pack("<I", len(text)) + text + plan


def unpack_engine(content: bytes, path: Path) -> tuple[EngineHeader, bytes]:
    """The opposite of `pack_engine`. Raises: InputError naming the file where it is not one of ours, or garbled."""
    if not content.startswith(MAGIC):
        raise InputError(f"{path}: an engine without advmtl's header; build it with `advmtl export --engine`")
    start = len(MAGIC) + 4
    try:
        (length,) = struct.unpack("<I", content[len(MAGIC) : start])
        header = from_json(content[start : start + length].decode())
    except (struct.error, ValueError):  # json's own is one
        raise InputError(f"{path}: its header is garbled; build it again with `advmtl export --engine`") from None
    return header, content[start + length :]


def check_fits(header: EngineHeader, gpu: Gpu, tensorrt_version: str, path: Path) -> None:
    """Raises: InputError, one line, where the engine was built on another GPU or with another TensorRT."""
    remedy = "build it here with `advmtl export --engine`"
    if header.tensorrt != tensorrt_version:
        raise InputError(f"{path}: built with TensorRT {header.tensorrt}, here is {tensorrt_version}; {remedy}")
    if (header.gpu, header.compute_capability) != (gpu.name, gpu.compute_capability):
        theirs, ours = (
            f"{name} (compute capability {major}.{minor})"
            for name, (major, minor) in ((header.gpu, header.compute_capability), (gpu.name, gpu.compute_capability))
        )
        raise InputError(f"{path}: built for {theirs}, here is {ours}; {remedy}")


WORKSPACE_MB = 1024

TIMING_CACHE = "tensorrt_timing.cache"  # one for all models of a folder: kernels are timed by shape


def trtexec_line(model: Path) -> str:
    """The command of TensorRT's own tool that builds the same engine from `model`."""
    return (
        f"trtexec --onnx={model} --saveEngine={model.with_suffix('.engine')} --stronglyTyped"
        f" --memPoolSize=workspace:{WORKSPACE_MB} --timingCacheFile={model.with_name(TIMING_CACHE)}"
    )


def import_tensorrt(remedy: str) -> ModuleType:
    """TensorRT's Python package. Raises: InputError ending in `remedy` where it is missing or too old."""
    try:
        import tensorrt
    except ImportError:
        raise InputError(f"TensorRT is not installed here (pip install 'advmtl[tensorrt]'); {remedy}") from None
    module: ModuleType = tensorrt
    if int(str(module.__version__).split(".")[0]) < 10:
        raise InputError(f"TensorRT {module.__version__} is here, 10 is the oldest that works; {remedy}")
    return module


def build_engines(models: Sequence[Path], console: "Console", trt: ModuleType | None = None) -> list[Path]:
    """Build `NAME.engine` beside each ONNX model. `trt`: a stand-in for TensorRT, for tests.

    Raises: InputError where TensorRT or a GPU is missing, with the trtexec line of every model; the models stay.
    """
    lines = " ; ".join(trtexec_line(model) for model in models)
    trt = trt or import_tensorrt(f"the ONNX is written, build on the vehicle with: {lines}")
    gpu = first_gpu()
    if gpu is None:
        raise InputError(f"no NVIDIA GPU here, and an engine fits only the one it was built on; run there: {lines}")
    engines = []
    for model in models:
        engines.append(build_engine(model, gpu, trt))
        console.print(f"written: {engines[-1]}, for {gpu.name}, TensorRT {trt.__version__}", highlight=False)
    return engines


def build_engine(model: Path, gpu: Gpu, trt: Any) -> Path:
    """Build the engine of one ONNX model and write it with its header; returns its path.

    Strongly typed: each layer has the type that the file gives it, the types whose accuracy was measured. With
    TensorRT's older precision flags it could run the depth's exponential in float16. Raises: InputError naming the
    model and TensorRT's first complaint.
    """
    import onnx  # not at the top: opening an engine needs `import_tensorrt` alone

    from export.graph import unsupported

    if faults := unsupported(onnx.load(model)):
        raise InputError(f"{model}: not for TensorRT ({faults[0]}); export it with --target gpu")
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(model.read_bytes()):
        first = parser.get_error(0) if parser.num_errors else "no reason given"
        raise InputError(f"{model}: TensorRT cannot read it ({first}); export it with --target gpu")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_MB << 20)
    times = model.with_name(TIMING_CACHE)
    cache = config.create_timing_cache(times.read_bytes() if times.is_file() else b"")
    # Not ignoring a mismatch: times of another GPU would choose its kernels. It is then started anew.
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise InputError(f"{model}: TensorRT could not build an engine; its log above says why")
    write_bytes(times, bytes(config.get_timing_cache().serialize()))
    out = model.with_suffix(".engine")
    write_bytes(out, pack_engine(header_of(model, gpu, trt), bytes(plan)))
    return out


def header_of(model: Path, gpu: Gpu, trt: Any) -> EngineHeader:
    """The header of an engine built here from `model`."""
    import onnx

    properties = {entry.key: entry.value for entry in onnx.load(model, load_external_data=False).metadata_props}
    return EngineHeader(
        metadata=from_properties(properties, model),
        precision=properties.get(f"{KEY}.precision", "fp32"),
        tensorrt=str(trt.__version__),
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        onnx_sha256=sha256_of(model),
    )


def open_engine(path: Path, trt: Any = None, driver: Any = None) -> Session:
    """Open an `.engine` file written by `advmtl export --engine`, on GPU 0.

    trt, driver: stand-ins for TensorRT and NVIDIA's driver, for tests.
    Raises: InputError, one line, where TensorRT or the GPU is missing, or the engine was built for others.
    """
    header, plan = unpack_engine(path.read_bytes(), path)
    trt = trt or import_tensorrt(f"run the .onnx instead of {path}")
    gpu = first_gpu(driver)
    if gpu is None:
        raise InputError(f"{path}: an engine needs its GPU, {header.gpu}, and none is here; run the .onnx")
    check_fits(header, gpu, str(trt.__version__), path)
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise InputError(f"{path}: TensorRT cannot load it; build it again with `advmtl export --engine`")
    network = _Network(trt, engine, Device(driver))
    if {*network.outputs} != {*header.metadata.outputs} or network.input_name != INPUT:
        raise InputError(f"{path}: its outputs {list(network.outputs)} are not those of its header; build it again")
    # Nothing else was tried: nothing to note. Its buffers are of one frame.
    return Session(header.metadata, "TensorRT engine", "", network, concurrent=False)


class _Network:
    """An execution context with its buffers; called with a frame, it gives the outputs on the host."""

    def __init__(self, trt: Any, engine: Any, device: Device) -> None:
        self.engine, self.device = engine, device  # the context holds no reference to its engine
        self.context = engine.create_execution_context()
        self.outputs: dict[str, tuple[int, tuple[int, ...], Any]] = {}
        self.input_name, self._input = "", 0
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            shape, dtype = tuple(engine.get_tensor_shape(name)), np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            address = device.allocate(int(np.prod(shape)) * dtype.itemsize)
            self.context.set_tensor_address(name, address)
            if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                self.input_name, self._input = name, address
            else:
                self.outputs[name] = (address, shape, dtype)

    def __call__(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        self.device.use()
        self.device.upload(self._input, np.ascontiguousarray(image))
        if not self.context.execute_async_v3(self.device.stream):
            raise RuntimeError("TensorRT could not run the engine; its log above says why")
        results = {name: self.device.download(*where) for name, where in self.outputs.items()}
        self.device.wait()
        return results
