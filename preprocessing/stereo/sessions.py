"""Opening ONNX files with ONNX Runtime: device, threads, and errors that name the file."""

import ctypes
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from preprocessing.ground import InputError, first_line, usable_cores

INPUT_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


def open_session(path: Path, device: str, matcher: str) -> Any:
    """Return ONNX Runtime's session of a file on a device ("auto", "cpu", "cuda" or "cuda:N").

    Raises: InputError naming the file, or `MATCHER.device` where there is no such device.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # warnings about nodes left on the CPU are not the user's business
    # Left to itself it takes all cores of the machine in each of several workers, and keeps them busy while it waits.
    options.intra_op_num_threads = threads()
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=_providers(device, matcher))
    except InputError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no other parent
        raise InputError(f"{path}: ONNX Runtime cannot open it: {first_line(error)}") from None


def threads() -> int:
    """How many threads one session may use: OMP_NUM_THREADS, which workers have too, or the cores of this process."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdigit() and int(text) > 0 else max(1, math.floor(usable_cores()[0]))


def _providers(device: str, matcher: str) -> list[Any]:
    """Return ONNX Runtime's providers for a device setting, best first."""
    import onnxruntime

    has_gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers() and _has_cuda_driver()
    if device == "cpu" or (device == "auto" and not has_gpu):
        return ["CPUExecutionProvider"]
    if not has_gpu:
        raise InputError(f"{matcher}.device: {device}: ONNX Runtime has no GPU here; take auto or cpu")
    index = int(device.partition(":")[2] if ":" in device else os.environ.get("LOCAL_RANK", "0"))
    return [("CUDAExecutionProvider", {"device_id": index}), "CPUExecutionProvider"]


def _has_cuda_driver() -> bool:
    # Asked for CUDA without a driver, ONNX Runtime prints a page of loader errors before it falls back.
    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return False
    return True
