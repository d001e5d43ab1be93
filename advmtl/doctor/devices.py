"""Devices and what runs models on them: torch, ONNX Runtime's providers, TensorRT. All are tried, not only listed."""

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from advmtl.doctor.line import Line
from advmtl.doctor.trial import Outcome, try_out

DEVICES, PROVIDERS = "devices", "ONNX Runtime"
Try = Callable[..., Outcome]
_NO_TRIAL = {"AzureExecutionProvider"}  # calls a service; runs no model here
_LIBRARIES = "pip install '.[gpu]' (CUDA and cuDNN as wheels)"
# "libcublasLt.so.12: cannot open shared object file", "depends on "cudnn64_9.dll" which is missing".
_LIBRARY = re.compile(r"(lib[\w.+-]+\.so[.\d]*|\w+\.dll)[^\n]{0,20}(?:cannot open|not found|which is missing)")


def nvidia_driver(proc: Path = Path("/proc")) -> str | None:
    """Version of the NVIDIA driver, or None where there is none."""
    try:
        match = re.search(r"\b(\d{3,}\.[\d.]+)\b", (proc / "driver" / "nvidia" / "version").read_text())
    except OSError:
        match = None
    if match:
        return match[1]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None
    command = [tool, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.split("\n")[0].strip() or None if done.returncode == 0 else None


def nvidia_card(bus: Path = Path("/sys/bus/pci/devices")) -> bool:
    """Whether an NVIDIA display or compute card is on the PCI bus, with or without a driver."""
    try:
        found = [(one / "vendor").read_text().strip() for one in bus.iterdir() if _is_display(one)]
    except OSError:
        return False
    return "0x10de" in found


def _is_display(device: Path) -> bool:
    return (device / "class").read_text().startswith("0x03")


def torch_lines(outcome: Outcome, driver: str | None, card: bool) -> Iterable[Line]:
    """Lines about torch, torchvision and each device torch may use."""
    answer = outcome.answer or {"error": outcome.fault}
    if "torch" not in answer:
        found = f"does not import: {answer['error']}"
        yield Line(DEVICES, "torch", "broken", found, "pip install --force-reinstall torch")
        return
    if answer["torchvision"] is None:
        remedy = "install the torchvision that goes with this torch: pip install --upgrade torch torchvision"
        yield Line(DEVICES, "torchvision", "broken", f"does not import: {answer['torchvision_error']}", remedy)
    fault = answer["cpu"]["error"]
    speed = answer["cpu"]["capability"]
    if fault:
        yield Line(DEVICES, "CPU", "broken", f"torch cannot compute: {fault}", "pip install --force-reinstall torch")
    else:
        yield Line(DEVICES, "CPU", "ok", f"torch computes ({speed})", facts={"capability": speed})
    for device in answer["devices"]:
        yield _device_line(device, driver)
    if not answer["devices"]:
        yield _no_device_line(answer, driver, card)


def _device_line(device: dict[str, Any], driver: str | None) -> Line:
    what = f"{device['name']}, {device['total_bytes'] / 1e9:.0f} GB, capability {device['capability']}, driver {driver}"
    if device["error"]:
        remedy = "install a torch built for this card and driver (pytorch.org); until then --device cpu"
        return Line(DEVICES, device["device"], "broken", f"{what}: a kernel fails: {device['error']}", remedy, device)
    kinds = " and ".join(kind for kind in ("bf16", "fp16") if device[kind]) or "fp32 alone"
    found = f"{what}; computes, {device['free_bytes'] / 1e9:.0f} GB free, {kinds}"
    return Line(DEVICES, device["device"], "ok", found, facts=device | {"driver": driver})


def _no_device_line(answer: dict[str, Any], driver: str | None, card: bool) -> Line:
    facts = {"driver": driver, "cuda_build": answer["cuda_build"]}
    if driver and not answer["cuda_build"]:
        found = f"driver {driver} is there, but torch {answer['torch']} is built for the CPU alone"
        return Line(DEVICES, "CUDA", "warning", found, "install a CUDA build of torch (pytorch.org)", facts)
    if driver:
        found = f"driver {driver} is there, but torch {answer['torch']} (CUDA {answer['cuda_build']}) sees no device"
        remedy = "a newer driver, CUDA_VISIBLE_DEVICES, or the container's --gpus all"
        return Line(DEVICES, "CUDA", "warning", found, remedy, facts)
    if card:
        return Line(DEVICES, "CUDA", "warning", "an NVIDIA card without a driver", "install NVIDIA's driver", facts)
    return Line(DEVICES, "CUDA", "missing", "no NVIDIA GPU: everything runs on the CPU", facts=facts)


def provider_lines(listed: Outcome, driver: str | None, attempt: Try = try_out) -> Iterable[Line]:
    """A line for each provider that ONNX Runtime lists, after a model was run with it."""
    answer = listed.answer or {"error": listed.fault}
    if "listed" not in answer:
        remedy = "pip install --force-reinstall onnxruntime-gpu (or onnxruntime)"
        yield Line(PROVIDERS, "onnxruntime", "broken", f"does not import: {answer['error']}", remedy)
        return
    for provider in answer["listed"]:
        if provider not in _NO_TRIAL:
            yield _provider_line(provider, attempt("provider", provider), driver)
    if driver and "CUDAExecutionProvider" not in answer["listed"]:
        found = "a GPU is there, but this ONNX Runtime is built without CUDA"
        yield Line(PROVIDERS, "CUDA", "warning", found, "pip uninstall onnxruntime; pip install onnxruntime-gpu")


def _provider_line(provider: str, outcome: Outcome, driver: str | None) -> Line:
    name = provider.removesuffix("ExecutionProvider")
    fault = (outcome.answer or {}).get("error") or outcome.fault
    facts = {"provider": provider, "works": not fault}
    if not fault:
        return Line(PROVIDERS, name, "ok", "runs a model", facts=facts)
    if provider == "CPUExecutionProvider":
        return Line(PROVIDERS, name, "broken", fault, "pip install --force-reinstall onnxruntime", facts)
    nvidia = name in ("CUDA", "Tensorrt", "NvTensorRTRTX")
    if nvidia and driver is None:
        return Line(PROVIDERS, name, "missing", "listed, but this machine has no NVIDIA driver", facts=facts)
    library = missing_library(outcome.noise + "\n" + fault)
    reason = f"{library} is missing" if library else fault
    remedy = "pip install '.[tensorrt]'" if name == "Tensorrt" else _LIBRARIES if nvidia else "--provider cpu"
    return Line(PROVIDERS, name, "warning", f"listed, but does not run: {reason}", remedy, facts | {"library": library})


def missing_library(text: str) -> str | None:
    """The shared library that a loader's message complains about."""
    match = _LIBRARY.search(text)
    return match[1] if match else None


def tensorrt_lines(outcome: Outcome, driver: str | None) -> Iterable[Line]:
    """A line about TensorRT's own interface; it is optional."""
    answer = outcome.answer or {"error": outcome.fault}
    fault = answer.get("error")
    if fault and "ModuleNotFoundError" in fault:
        remedy = "pip install '.[tensorrt]'" if driver else ""
        yield Line(DEVICES, "TensorRT", "missing", "not installed", remedy)
    elif fault:
        remedy = "pip install --upgrade '.[tensorrt]', a driver that suits it" if driver else "needs an NVIDIA driver"
        yield Line(DEVICES, "TensorRT", "warning", f"no builder: {fault}", remedy, {"error": fault})
    else:
        yield Line(DEVICES, "TensorRT", "ok", f"{answer['version']}, makes a builder", facts=answer)
