"""The few calls of NVIDIA's driver that an engine needs, without torch: the GPU, its memory, a stream."""

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


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


def _check(code: int, call: str) -> None:
    if code:
        raise CudaError(f"{call}: the CUDA driver answers with error {code}")


def first_gpu(driver: Any = None) -> Gpu | None:
    """The GPU that CUDA numbers 0 (CUDA_VISIBLE_DEVICES chooses it); None without a driver or a GPU."""
    driver = driver or load_driver()
    device = ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return None
    name = ctypes.create_string_buffer(256)
    _check(driver.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    values = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _check(driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device), "cuDeviceGetAttribute")
        values.append(value.value)
    return Gpu(name.value.decode(), (values[0], values[1]))


class Device:
    """GPU 0 with its primary context, one stream, and buffers that live as long as this object."""

    def __init__(self, driver: Any = None) -> None:
        self.driver = driver or load_driver()
        self._buffers: list[ctypes.c_uint64] = []
        device, self.context, self.stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        # The primary context is the one that TensorRT, through the CUDA runtime, works in.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self.use()
        self._call("cuStreamCreate", ctypes.byref(self.stream), 0)

    def _call(self, name: str, *arguments: Any) -> None:
        _check(getattr(self.driver, name)(*arguments), name)

    def use(self) -> None:
        """Make the context that of the calling thread: streaming infers in another one than it opens in."""
        self._call("cuCtxSetCurrent", self.context)

    def allocate(self, size: int) -> int:
        """Allocate bytes on the device; returns their address."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        self._buffers.append(address)
        return address.value

    def upload(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a contiguous array to the device."""
        pointer = ctypes.c_void_p(array.ctypes.data)
        self._call(
            "cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), pointer, ctypes.c_size_t(array.nbytes), self.stream
        )

    def download(self, address: int, shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
        """Queue a copy of an array from the device; its values are there after `wait`."""
        array: NDArray[Any] = np.empty(shape, dtype)
        pointer = ctypes.c_void_p(array.ctypes.data)
        self._call(
            "cuMemcpyDtoHAsync_v2", pointer, ctypes.c_uint64(address), ctypes.c_size_t(array.nbytes), self.stream
        )
        return array

    def wait(self) -> None:
        """Wait until all that was queued is done."""
        self._call("cuStreamSynchronize", self.stream)
