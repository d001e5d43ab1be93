"""What is tried in a process of its own, where it may crash or hang: `run_probe` here, and there
`python -m advmtl.doctor.probe NAME [ARGUMENT]`, which prints one line of JSON.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preprocessing.ground import first_line

MARK = "advmtl-probe:"
TIME_LIMIT_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """The result of a probe; or, with `answer` None, why there is none. `noise`: what libraries wrote meanwhile."""

    answer: dict[str, Any] | None
    fault: str
    noise: str


def run_probe(*arguments: str, time_limit_s: float = TIME_LIMIT_S, module: str = "advmtl.doctor.probe") -> Outcome:
    """Run `python -m advmtl.doctor.probe ARGUMENTS` and read its answer."""
    command = [sys.executable, "-m", module, *arguments]
    # The child must find this advmtl, and not another that is installed.
    roots = [str(Path(__file__).resolve().parents[2]), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, roots)), "PYTHONFAULTHANDLER": ""}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=time_limit_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(None, f"gave no answer in {time_limit_s:g} s", "")
    answer = next((line[len(MARK) :] for line in done.stdout.splitlines() if line.startswith(MARK)), None)
    if answer is not None and done.returncode == 0:
        return Outcome(json.loads(answer), "", done.stderr)
    if done.returncode < 0:
        return Outcome(None, f"crashed ({_signal_name(-done.returncode)})", done.stderr)
    lines = done.stderr.strip().splitlines()
    return Outcome(None, lines[-1] if lines else f"ended with exit code {done.returncode}", done.stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reason_of(error: BaseException) -> str:
    """Kind and first line of an error."""
    kind, line = type(error).__name__, first_line(error)
    return kind if line == kind else f"{kind}: {line}"


def probe_torch() -> dict[str, Any]:
    """Import torch and torchvision, and run forward and backward of a small convolution on every device."""
    import torch

    found: dict[str, Any] = {"torch": torch.__version__, "cuda_build": torch.version.cuda, "torchvision": None}
    try:
        import torchvision

        found["torchvision"] = torchvision.__version__
    except Exception as error:  # built for another torch: operators are missing
        found["torchvision_error"] = reason_of(error)
    found["cpu"] = {"error": _convolve("cpu"), "capability": torch.backends.cpu.get_cpu_capability()}
    found["devices"] = []
    if torch.cuda.is_available():
        found["devices"] = [_cuda(number) for number in range(torch.cuda.device_count())]
    return found


def _convolve(device: str, kind: Any = None) -> str | None:
    """The error of a small convolution, forward and backward, or None."""
    import torch

    try:
        image = torch.ones(1, 3, 8, 12, device=device, dtype=kind, requires_grad=True)
        weight = torch.ones(4, 3, 3, 3, device=device, dtype=kind)
        torch.nn.functional.conv2d(image, weight).sum().backward()
        # Every pixel away from the border lies under 9 positions of 4 filters.
        middle = float(image.grad[0, 0, 4, 6]) if image.grad is not None else float("nan")
    except Exception as error:
        return reason_of(error)
    return None if middle == 36 else f"a convolution's gradient is {middle} instead of 36"


def _cuda(number: int) -> dict[str, Any]:
    import torch

    properties = torch.cuda.get_device_properties(number)
    device = f"cuda:{number}"
    found: dict[str, Any] = {
        "device": device,
        "name": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "total_bytes": properties.total_memory,
        "error": _convolve(device),
    }
    if found["error"] is None:
        found["free_bytes"] = torch.cuda.mem_get_info(number)[0]
        found["fp16"] = _convolve(device, torch.float16) is None
        # Emulated bf16 on older cards runs too, but slower than fp32.
        found["bf16"] = properties.major >= 8 and _convolve(device, torch.bfloat16) is None
    return found


def probe_provider(name: str) -> dict[str, Any]:
    """Run a two-line ONNX model with one provider of ONNX Runtime."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    shape = [1, 3, 4, 6]
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end in ("x", "y")]
    nodes = [helper.make_node("Add", ["x", "x"], ["z"]), helper.make_node("Relu", ["z"], ["y"])]
    graph = helper.make_graph(nodes, "probe", ends[:1], ends[1:])
    # Old enough for every ONNX Runtime that advmtl allows.
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=[name])
    # A provider whose libraries are missing is left out without an error, and the CPU runs under its name.
    if session.get_providers()[0] != name:
        return {"error": f"left out, {session.get_providers()[0]} would run"}
    x = np.linspace(-1, 1, 72, dtype=np.float32).reshape(shape)
    same = np.allclose(session.run(None, {"x": x})[0], np.maximum(2 * x, 0), atol=1e-3)
    return {"error": None if same else "gives wrong numbers"}


def probe_providers() -> dict[str, Any]:
    """The providers that ONNX Runtime lists."""
    import onnxruntime

    return {"version": onnxruntime.__version__, "listed": onnxruntime.get_available_providers()}


def probe_tensorrt() -> dict[str, Any]:
    """Import TensorRT and make a builder, which needs a driver and a device."""
    import tensorrt

    builder = tensorrt.Builder(tensorrt.Logger(tensorrt.Logger.ERROR))
    return {"version": tensorrt.__version__, "error": None if builder else "no builder"}


def probe_video() -> dict[str, Any]:
    """OpenCV's backends, and each encoder tried on a few frames that are read back."""
    import cv2

    names = {cv2.videoio_registry.getBackendName(one): cv2.videoio_registry.hasBackend(one) for one in _backends(cv2)}
    with tempfile.TemporaryDirectory() as folder:
        coded = {code: _encode(cv2, code, Path(folder) / f"{code}.mp4") for code in ("mp4v", "avc1")}
    return {"version": cv2.__version__, "backends": names, "encoders": coded}


def _backends(cv2: Any) -> list[int]:
    return list(cv2.videoio_registry.getBackends())


def _encode(cv2: Any, code: str, path: Path) -> str | None:
    """The fault of an encoder, or None: 6 frames, each of one grey, must come back in order."""
    import numpy as np

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), 10, (96, 64))
    if not writer.isOpened():
        return "this OpenCV has no such encoder"
    greys = (20, 60, 100, 140, 180, 220)
    for grey in greys:
        writer.write(np.full((64, 96, 3), grey, np.uint8))
    writer.release()
    capture, seen = cv2.VideoCapture(str(path)), []
    while (frame := capture.read())[0]:
        seen.append(float(frame[1].mean()))
    capture.release()
    if len(seen) != len(greys):
        return f"{len(seen)} of {len(greys)} frames could be read back"
    worst = max(abs(a - b) for a, b in zip(seen, greys, strict=True))
    return None if worst < 12 else f"frames come back with other colours (off by {worst:.0f} of 255)"


def probe_next_steps(folder: str) -> dict[str, Any]:
    """What to do next in a folder."""
    from advmtl.doctor.report import next_steps

    return {"next": next_steps(Path(folder))}


PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "torch": probe_torch,
    "provider": probe_provider,
    "providers": probe_providers,
    "tensorrt": probe_tensorrt,
    "video": probe_video,
    "next_steps": probe_next_steps,
}


def main(arguments: list[str]) -> None:
    """Run one probe and print its answer; an error is an answer too."""
    try:
        answer = PROBES[arguments[0]](*arguments[1:])
    except Exception as error:
        answer = {"error": reason_of(error)}
    print(MARK + json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
