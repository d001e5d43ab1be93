"""Running a TensorRT engine as a session."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.graph.metadata import INPUT
from export.session.cuda_driver import Device, first_gpu, load_driver
from export.session.engine_build import import_tensorrt
from export.session.engine_header import check_fits, unpack
from export.session.session import Session
from preprocessing.ground import InputError


def open_engine(path: Path, trt: Any = None, driver: Any = None) -> Session:
    """Open an `.engine` file written by `advmtl export --engine`, on GPU 0.

    trt, driver: stand-ins for TensorRT and NVIDIA's driver, for tests.
    Raises: InputError, one line, where TensorRT or the GPU is missing, or the engine was built for others.
    """
    header, plan = unpack(path.read_bytes(), path)
    trt = trt or import_tensorrt(f"run the .onnx instead of {path}")
    gpu = first_gpu(driver or load_driver())
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
        if not self.context.execute_async_v3(self.device.stream.value or 0):
            raise RuntimeError("TensorRT could not run the engine; its log above says why")
        results = {name: self.device.download(*where) for name, where in self.outputs.items()}
        self.device.wait()
        return results
