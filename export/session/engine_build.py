"""TensorRT engines of exported models, for the GPU of this machine."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from export.graph.metadata import KEY, from_properties
from export.session.cuda_driver import Gpu, first_gpu
from export.session.engine_header import EngineHeader, pack
from preprocessing.ground import InputError, sha256_of, write_bytes

if TYPE_CHECKING:  # a vehicle opens engines and has no rich
    from rich.console import Console

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

    from export.graph.tensorrt_edits import unsupported

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
    write_bytes(out, pack(header_of(model, gpu, trt), bytes(plan)))
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
