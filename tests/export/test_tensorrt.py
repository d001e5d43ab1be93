"""Engines with stand-ins for TensorRT and NVIDIA's driver, which record what is asked of them: none is here."""

import ctypes
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from rich.console import Console
from standins import SIZE, make_frame

from export.graph.tensorrt_edits import fit_types
from export.session import cuda_driver
from export.session import engine as to_tensorrt
from export.session.cuda_driver import Device, Gpu, first_gpu
from export.session.engine import (
    MAGIC,
    TIMING_CACHE,
    build_engine,
    build_engines,
    check_fits,
    open_engine,
    trtexec_line,
    unpack_engine,
)
from preprocessing.ground.errors import InputError

GPU = Gpu("Orin Nano", (8, 7))


class Driver:
    """`cuda.bindings.driver` in host memory: a device address is that of a buffer here."""

    class CUdevice_attribute:
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 0, 1

    def __init__(self, name: str = GPU.name, capability: tuple[int, int] = GPU.compute_capability) -> None:
        self.name, self.capability, self.buffers, self.calls = name, capability, [], []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> tuple[int, ...]:
            self.calls.append(name)
            gives = name in ("cuDeviceGet", "cuDevicePrimaryCtxRetain", "cuStreamCreate")
            return (0, 7) if gives else (0,)

        return call

    def cuDeviceGetName(self, length: int, device: int) -> tuple[int, bytes]:
        return 0, self.name.encode().ljust(length, b"\0")  # the binding hands on the whole buffer

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> tuple[int, int]:
        return 0, self.capability[attribute]

    def cuMemAlloc(self, size: int) -> tuple[int, int]:
        self.buffers.append(ctypes.create_string_buffer(size))
        return 0, ctypes.addressof(self.buffers[-1])

    def cuMemcpyHtoDAsync(self, to: int, source: int, size: int, stream: int) -> tuple[int]:
        ctypes.memmove(to, source, size)
        return (0,)

    cuMemcpyDtoHAsync = cuMemcpyHtoDAsync

    def cuGetErrorString(self, code: int) -> tuple[int, bytes]:
        return 0, b"out of memory"


class Engine:
    """Input image, outputs classes and depth_m of the stand-in network; classes are the red channel / 64."""

    tensors: ClassVar = {
        "image": ("in", (1, SIZE[1], SIZE[0], 3), np.uint8),
        "classes": ("out", (1, SIZE[1], SIZE[0]), np.uint8),
        "depth_m": ("out", (1, SIZE[1], SIZE[0]), np.float32),
    }
    num_io_tensors = 3

    def __init__(self) -> None:
        self.addresses: dict[str, int] = {}

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][1]

    def get_tensor_dtype(self, name: str) -> Any:
        return self.tensors[name][2]

    def get_tensor_mode(self, name: str) -> str:
        return self.tensors[name][0]

    def create_execution_context(self) -> "Engine":
        return self

    def set_tensor_address(self, name: str, address: int) -> None:
        self.addresses[name] = address

    def execute_async_v3(self, stream: int) -> bool:
        def view(name: str) -> np.ndarray:
            _, shape, dtype = self.tensors[name]
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            return np.frombuffer((ctypes.c_char * size).from_address(self.addresses[name]), dtype).reshape(shape)

        view("classes")[:] = view("image")[..., 0] // 64
        view("depth_m")[:] = 7.5
        return True


class TensorRT:
    """The part of the package that is used; `calls` says with what."""

    __version__ = "10.9.0"

    def __init__(self, *, plan: bytes | None = b"plan", parses: bool = True) -> None:
        self.calls: dict[str, Any] = {}
        self.plan, self.parses, self.num_errors = plan, parses, 1
        self.Logger = type("Logger", (), {"WARNING": 1, "__init__": lambda self, level: None})
        self.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
        self.MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
        self.TensorIOMode = SimpleNamespace(INPUT="in")
        self.nptype = lambda dtype: dtype
        self.engine = Engine()

    def Builder(self, logger: Any) -> "TensorRT":
        return self

    def create_network(self, flags: int) -> str:
        self.calls["flags"] = flags
        return "network"

    def OnnxParser(self, network: str, logger: Any) -> "TensorRT":
        return self

    def parse(self, content: bytes) -> bool:
        self.calls["parsed"] = content
        return self.parses

    def get_error(self, index: int) -> str:
        return "node 3: no"

    def create_builder_config(self) -> "TensorRT":
        return self

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.calls["pool"] = (pool, size)

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        self.calls.setdefault("caches", []).append((cache, ignore_mismatch))
        return cache != b"of another GPU"

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: b"times")

    def build_serialized_network(self, network: str, config: Any) -> bytes | None:
        return self.plan

    def Runtime(self, logger: Any) -> "TensorRT":
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> Engine | None:
        self.calls["loaded"] = plan
        return self.engine


@pytest.fixture
def model(model_path: Path, tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    onnx.save(fit_types(onnx.load(model_path)), path)
    return path


def test_build_and_run(model: Path) -> None:
    trt = TensorRT()
    out = build_engine(model, GPU, trt)
    assert out == model.with_suffix(".engine") and out.read_bytes().startswith(MAGIC)
    assert trt.calls["flags"] == 2, "strongly typed"
    assert trt.calls["parsed"] == model.read_bytes() and trt.calls["pool"] == ("workspace", 1 << 30)
    assert model.with_name(TIMING_CACHE).read_bytes() == b"times"
    header, plan = unpack_engine(out.read_bytes(), out)
    assert (header.tensorrt, header.gpu, header.compute_capability, plan) == ("10.9.0", "Orin Nano", (8, 7), b"plan")
    driver = Driver()
    session = open_engine(out, trt, driver)
    frame = make_frame(3)
    result = session.run(frame)
    assert result.classes is not None and result.depth_m is not None
    np.testing.assert_array_equal(result.classes, frame[..., 0] // 64)
    assert result.depth_m.dtype == np.float32 and (result.depth_m == 7.5).all()
    assert session.note == "", "reports call it what could not run"
    assert session.metadata == header.metadata and trt.calls["loaded"] == b"plan"
    assert driver.calls[-1] == "cuStreamSynchronize", "outputs are on the host when the call returns"


def test_timing_cache_is_used_again_and_not_that_of_another_gpu(model: Path) -> None:
    trt, cache = TensorRT(), model.with_name(TIMING_CACHE)
    for content in (b"times", b"of another GPU"):
        cache.write_bytes(content)
        build_engine(model, GPU, trt)
    assert trt.calls["caches"] == [(b"times", False), (b"of another GPU", False), (b"", False)]


@pytest.mark.parametrize(
    ("gpu", "version", "words"),
    [
        (Gpu("RTX 4090", (8, 9)), "10.9.0", r"built for Orin Nano \(compute capability 8.7\), here is RTX 4090"),
        (Gpu("Orin Nano", (8, 9)), "10.9.0", "8.7.*here is Orin Nano .*8.9"),
        (GPU, "10.10.1", "built with TensorRT 10.9.0, here is 10.10.1"),
    ],
)
def test_refused_elsewhere(model: Path, gpu: Gpu, version: str, words: str) -> None:
    out = build_engine(model, GPU, TensorRT())
    header, _ = unpack_engine(out.read_bytes(), out)
    check_fits(header, GPU, "10.9.0", out)
    with pytest.raises(InputError, match=words):
        check_fits(header, gpu, version, out)
    trt = TensorRT()
    trt.__version__ = version  # type: ignore[misc]
    with pytest.raises(InputError, match=words):
        open_engine(out, trt, Driver(gpu.name, gpu.compute_capability))
    assert "loaded" not in trt.calls


@pytest.mark.parametrize("content", [b"ftrt plan of trtexec", MAGIC + b"\x10\0\0\0{}", MAGIC + b"\1"])
def test_foreign_and_garbled_files(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=r"engine\.engine: .*advmtl export --engine"):
        unpack_engine(content, tmp_path / "engine.engine")


@pytest.mark.parametrize(("options", "words"), [({"parses": False}, "node 3: no"), ({"plan": None}, "could not build")])
def test_failures_leave_no_engine(model: Path, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        build_engine(model, GPU, TensorRT(**options))
    assert not model.with_suffix(".engine").exists()


def test_a_graph_for_the_cpu_is_not_given_to_tensorrt(model_path: Path) -> None:
    with pytest.raises(InputError, match="--target gpu"):
        build_engine(model_path, GPU, TensorRT())


def test_without_tensorrt_or_gpu(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(InputError, match=r"not installed.*trtexec --onnx=.*--stronglyTyped"):
        build_engines([model], Console())
    monkeypatch.setattr(to_tensorrt, "first_gpu", lambda: None)
    with pytest.raises(InputError, match=r"no NVIDIA GPU here.*trtexec"):
        build_engines([model], Console(), TensorRT())  # type: ignore[arg-type]
    assert model.exists()
    old = SimpleNamespace(__version__="8.6.1")
    monkeypatch.setitem(sys.modules, "tensorrt", old)
    with pytest.raises(InputError, match="10 is the oldest"):
        build_engines([model], Console())
    assert f"--saveEngine={model.with_suffix('.engine')}" in trtexec_line(model)


def test_driver_errors_are_named() -> None:
    driver = Driver()
    assert first_gpu(driver) == GPU
    driver.cuStreamCreate = lambda *_: (2, None)  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="cuStreamCreate: the CUDA driver answers: out of memory"):
        Device(driver)
    driver.cuInit = lambda *_: (100,)  # type: ignore[method-assign]
    assert first_gpu(driver) is None


def test_what_is_asked_of_the_driver_is_in_its_binding() -> None:
    """Names and numbers of arguments, where NVIDIA's package is installed; it needs no GPU to be imported."""
    binding = pytest.importorskip("cuda.bindings.driver", reason="extra tensorrt is not installed")
    text = Path(cuda_driver.__file__).read_text()
    names = set(re.findall(r'"(cu[A-Z]\w+)"', text)) | {"cuGetErrorString"}
    assert len(names) >= 11 and not [name for name in names if not hasattr(binding, name)]
    assert int(binding.CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) == 75
