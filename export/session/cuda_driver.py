"""The few calls of NVIDIA's driver that an engine needs, by its own binding (cuda-bindings) and without torch: the GPU,
its memory, a stream.
"""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import InputError

_MAJOR, _MINOR = "COMPUTE_CAPABILITY_MAJOR", "COMPUTE_CAPABILITY_MINOR"


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver names it."""

    name: str
    compute_capability: tuple[int, int]


class CudaError(RuntimeError):
    """A call of the driver failed."""


def load_driver() -> Any:
    """NVIDIA's driver library; None where there is none."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _binding() -> Any:
    """NVIDIA's binding of its driver. Raises: InputError where it is not installed."""
    try:
        from cuda.bindings import driver  # type: ignore[import-not-found, unused-ignore]
    except ImportError:
        raise InputError("an engine needs NVIDIA's binding of its driver: pip install 'advmtl[tensorrt]'") from None
    return driver


def _call(driver: Any, name: str, *arguments: Any) -> Any:
    """The results of a call beside its result code. Raises: CudaError naming the call and the driver's message."""
    code, *values = getattr(driver, name)(*arguments)
    if int(code):
        _, text = driver.cuGetErrorString(code)
        said = text.decode() if text else f"error {int(code)}"
        raise CudaError(f"{name}: the CUDA driver answers: {said}")
    return values[0] if values else None


def first_gpu(driver: Any = None) -> Gpu | None:
    """The GPU that CUDA numbers 0 (CUDA_VISIBLE_DEVICES chooses it); None without a driver or a GPU.

    Raises: InputError where there is a driver and its binding is not installed.
    """
    if driver is None:
        if load_driver() is None:
            return None
        driver = _binding()
    try:
        _call(driver, "cuInit", 0)
        device = _call(driver, "cuDeviceGet", 0)
    except CudaError:
        return None
    name = _call(driver, "cuDeviceGetName", 256, device)
    kinds = [getattr(driver.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{one}") for one in (_MAJOR, _MINOR)]
    major, minor = (int(_call(driver, "cuDeviceGetAttribute", kind, device)) for kind in kinds)
    return Gpu(name.rstrip(b"\0").decode(), (major, minor))


class Device:
    """GPU 0 with its primary context, one stream, and buffers that live as long as this object.

    `stream`: its handle, as TensorRT takes it.
    """

    def __init__(self, driver: Any = None) -> None:
        self.driver = driver or _binding()
        self._buffers: list[Any] = []
        self._call("cuInit", 0)
        # The primary context is the one that TensorRT, through the CUDA runtime, works in.
        self.context = self._call("cuDevicePrimaryCtxRetain", self._call("cuDeviceGet", 0))
        self.use()
        self._stream = self._call("cuStreamCreate", 0)
        self.stream = int(self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        return _call(self.driver, name, *arguments)

    def use(self) -> None:
        """Make the context that of the calling thread: streaming infers in another one than it opens in."""
        self._call("cuCtxSetCurrent", self.context)

    def allocate(self, size: int) -> int:
        """Allocate bytes on the device; returns their address."""
        self._buffers.append(self._call("cuMemAlloc", size))
        return int(self._buffers[-1])

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a contiguous array to the device."""
        self._call("cuMemcpyHtoDAsync", address, array.ctypes.data, array.nbytes, self._stream)

    def download(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Queue a copy of an array from the device; its values are there after `wait`."""
        array: NDArray[Any] = np.empty(shape, dtype)
        self._call("cuMemcpyDtoHAsync", array.ctypes.data, address, array.nbytes, self._stream)
        return array

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self._call("cuStreamSynchronize", self._stream)
