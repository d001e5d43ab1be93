"""Devices and what runs models on them (torch, ONNX Runtime's providers, TensorRT), and what video can be read and
written. All are tried, not only listed.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from advmtl.doctor.installed import Finding, installed_versions
from advmtl.doctor.matched import jetpack_of, mismatch
from advmtl.doctor.probe import Outcome, run_probe

DEVICES, PROVIDERS, VIDEO = "devices", "ONNX Runtime", "video"
_BACKENDS = {
    "FFMPEG": "video files and network streams",
    "GSTREAMER": "pipelines such as nvarguscamerasrc",
    "V4L2": "cameras",
}
_ENCODERS = {"mp4v": "MPEG-4, what advmtl infer --out VIDEO.mp4 writes", "avc1": "H.264"}
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


def torch_lines(outcome: Outcome, driver: str | None, card: bool) -> Iterable[Finding]:
    """Lines about torch, torchvision and each device torch may use."""
    answer = outcome.answer or {"error": outcome.fault}
    if "torch" not in answer:
        found = f"does not import: {answer['error']}"
        yield Finding(DEVICES, "torch", "broken", found, "pip install --force-reinstall torch")
        return
    if answer["torchvision"] is None:
        remedy = "install the torchvision that goes with this torch: pip install --upgrade torch torchvision"
        yield Finding(DEVICES, "torchvision", "broken", f"does not import: {answer['torchvision_error']}", remedy)
    fault = answer["cpu"]["error"]
    speed = answer["cpu"]["capability"]
    if fault:
        yield Finding(DEVICES, "CPU", "broken", f"torch cannot compute: {fault}", "pip install --force-reinstall torch")
    else:
        yield Finding(DEVICES, "CPU", "ok", f"torch computes ({speed})", facts={"capability": speed})
    for device in answer["devices"]:
        yield _device_line(device, driver)
    if not answer["devices"]:
        yield _no_device_line(answer, driver, card)


def _device_line(device: dict[str, Any], driver: str | None) -> Finding:
    what = f"{device['name']}, {device['total_bytes'] / 1e9:.0f} GB, capability {device['capability']}, driver {driver}"
    if device["error"]:
        remedy = "install a torch built for this card and driver (pytorch.org); until then --device cpu"
        return Finding(
            DEVICES, device["device"], "broken", f"{what}: a kernel fails: {device['error']}", remedy, device
        )
    kinds = " and ".join(kind for kind in ("bf16", "fp16") if device[kind]) or "fp32 alone"
    found = f"{what}; computes, {device['free_bytes'] / 1e9:.0f} GB free, {kinds}"
    return Finding(DEVICES, device["device"], "ok", found, facts=device | {"driver": driver})


def _no_device_line(answer: dict[str, Any], driver: str | None, card: bool) -> Finding:
    facts = {"driver": driver, "cuda_build": answer["cuda_build"]}
    if driver and not answer["cuda_build"]:
        found = f"driver {driver} is there, but torch {answer['torch']} is built for the CPU alone"
        return Finding(DEVICES, "CUDA", "warning", found, "install a CUDA build of torch (pytorch.org)", facts)
    if driver:
        found = f"driver {driver} is there, but torch {answer['torch']} (CUDA {answer['cuda_build']}) sees no device"
        remedy = "a newer driver, CUDA_VISIBLE_DEVICES, or the container's --gpus all"
        return Finding(DEVICES, "CUDA", "warning", found, remedy, facts)
    if card:
        return Finding(DEVICES, "CUDA", "warning", "an NVIDIA card without a driver", "install NVIDIA's driver", facts)
    return Finding(DEVICES, "CUDA", "missing", "no NVIDIA GPU: everything runs on the CPU", facts=facts)


def provider_lines(
    listed: Outcome, driver: str | None, attempt: Try = run_probe, installed: Mapping[str, str] | None = None
) -> Iterable[Finding]:
    """A line for each provider that ONNX Runtime lists, after a model was run with it.

    installed: versions by distribution, those of this environment by default.
    """
    answer = listed.answer or {"error": listed.fault}
    if "listed" not in answer:
        remedy = "pip install --force-reinstall onnxruntime-gpu (or onnxruntime)"
        yield Finding(PROVIDERS, "onnxruntime", "broken", f"does not import: {answer['error']}", remedy)
        return
    for provider in answer["listed"]:
        if provider not in _NO_TRIAL:
            line = _provider_line(provider, attempt("provider", provider), driver)
            yield _with_versions(line, answer.get("version", ""), installed)
    if driver and "CUDAExecutionProvider" not in answer["listed"]:
        found = "a GPU is there, but this ONNX Runtime is built without CUDA"
        yield Finding(PROVIDERS, "CUDA", "warning", found, "pip uninstall onnxruntime; pip install onnxruntime-gpu")


def _with_versions(line: Finding, onnxruntime: str, installed: Mapping[str, str] | None) -> Finding:
    """The line of a provider; where it does not run and versions do not go together, that, and which do."""
    if line.status == "ok" or line.name not in ("CUDA", "Tensorrt"):
        return line
    found = mismatch(line.name, onnxruntime, installed_versions() if installed is None else installed)
    if found is None:
        return line
    said, remedy = found
    facts = {**line.facts, "mismatch": said}
    return replace(line, status="warning", found=f"{line.found}; {said}", remedy=remedy, facts=facts)


def jetpack_lines(release_file: Path = Path("/etc/nv_tegra_release")) -> Iterable[Finding]:
    """A line on a Jetson: what its JetPack brings, and what of it is too old for advmtl."""
    found = jetpack_of(release_file)
    if found is None:
        return
    python = ".".join(map(str, found.python))
    what = f"JetPack {found.name}: CUDA {found.cuda}, TensorRT {found.tensorrt}, Python {python}"
    facts = asdict(found)
    if found.python < (3, 10):
        remedy = "a container with Python 3.10 or newer, or JetPack 6: the board's package needs 3.10"
        yield Finding(DEVICES, "JetPack", "warning", what, remedy, facts)
    elif int(found.tensorrt.split(".")[0]) < 10:
        yield Finding(DEVICES, "JetPack", "warning", what, "JetPack 6.1 or newer: engines need TensorRT 10", facts)
    else:
        yield Finding(DEVICES, "JetPack", "ok", what, facts=facts)


def _provider_line(provider: str, outcome: Outcome, driver: str | None) -> Finding:
    name = provider.removesuffix("ExecutionProvider")
    fault = (outcome.answer or {}).get("error") or outcome.fault
    facts = {"provider": provider, "works": not fault}
    if not fault:
        return Finding(PROVIDERS, name, "ok", "runs a model", facts=facts)
    if provider == "CPUExecutionProvider":
        return Finding(PROVIDERS, name, "broken", fault, "pip install --force-reinstall onnxruntime", facts)
    nvidia = name in ("CUDA", "Tensorrt", "NvTensorRTRTX")
    if nvidia and driver is None:
        return Finding(PROVIDERS, name, "missing", "listed, but this machine has no NVIDIA driver", facts=facts)
    library = missing_library(outcome.noise + "\n" + fault)
    reason = f"{library} is missing" if library else fault
    remedy = "pip install '.[tensorrt]'" if name == "Tensorrt" else _LIBRARIES if nvidia else "--provider cpu"
    return Finding(
        PROVIDERS, name, "warning", f"listed, but does not run: {reason}", remedy, facts | {"library": library}
    )


def missing_library(text: str) -> str | None:
    """The missing shared library that a loader's message names."""
    match = _LIBRARY.search(text)
    return match[1] if match else None


def tensorrt_lines(outcome: Outcome, driver: str | None) -> Iterable[Finding]:
    """A line about TensorRT's own interface; it is optional."""
    answer = outcome.answer or {"error": outcome.fault}
    fault = answer.get("error")
    if fault and "ModuleNotFoundError" in fault:
        remedy = "pip install '.[tensorrt]'" if driver else ""
        yield Finding(DEVICES, "TensorRT", "missing", "not installed", remedy)
    elif fault:
        remedy = "pip install --upgrade '.[tensorrt]', a driver that suits it" if driver else "needs an NVIDIA driver"
        yield Finding(DEVICES, "TensorRT", "warning", f"no builder: {fault}", remedy, {"error": fault})
    else:
        yield Finding(DEVICES, "TensorRT", "ok", f"{answer['version']}, makes a builder", facts=answer)


def video_lines(outcome: Outcome) -> Iterable[Finding]:
    """Lines about OpenCV's backends and encoders."""
    answer = outcome.answer or {"error": outcome.fault}
    if "backends" not in answer:
        remedy = "pip install --force-reinstall opencv-python, or opencv-python-headless where libGL is missing"
        yield Finding(VIDEO, "OpenCV", "broken", f"does not work: {answer['error']}", remedy)
        return
    for name, use in _BACKENDS.items():
        yield _backend_line(name, use, bool(answer["backends"].get(name)))
    for code, use in _ENCODERS.items():
        fault = answer["encoders"].get(code)
        facts = {"encoder": code, "works": fault is None}
        if fault is None:
            yield Finding(VIDEO, f"encoder {code}", "ok", f"{use}; frames were written and read back", facts=facts)
        elif code == "mp4v":
            remedy = "advmtl infer --out FOLDER writes pictures instead"
            yield Finding(VIDEO, f"encoder {code}", "warning", f"{use}: {fault}", remedy, facts)
        else:
            yield Finding(VIDEO, f"encoder {code}", "missing", f"{use}: {fault}; advmtl does not need it", facts=facts)


def _backend_line(name: str, use: str, there: bool) -> Finding:
    facts = {"backend": name, "there": there}
    if there:
        return Finding(VIDEO, name, "ok", use, facts=facts)
    if name == "GSTREAMER":  # the wheels of OpenCV come without; most need it not
        return Finding(VIDEO, name, "missing", f"{use}: an OpenCV built with GStreamer reads them", facts=facts)
    return Finding(VIDEO, name, "warning", f"not there: no {use}", "pip install opencv-python", facts)


def camera_lines(devices: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")) -> Iterable[Finding]:
    """A line for each camera; none is switched on."""
    found = sorted(devices.glob("video[0-9]*"), key=lambda path: int(path.name[5:]))
    if not found:
        yield Finding(VIDEO, "cameras", "missing", f"no {devices}/video*", facts={"cameras": []})
    for path in found:
        try:
            name = (names / path.name / "name").read_text().strip()
        except OSError:
            name = "unnamed"
        if os.access(path, os.R_OK | os.W_OK):
            yield Finding(VIDEO, str(path), "ok", f"{name}; advmtl infer MODEL {path}", facts={"name": name})
        else:
            remedy = "sudo usermod -a -G video $USER, then log in again"
            yield Finding(VIDEO, str(path), "warning", f"{name}: no permission", remedy, {"name": name})
