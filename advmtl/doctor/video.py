"""What can be read from and written to: OpenCV's backends, encoders, cameras."""

import os
from collections.abc import Iterable
from pathlib import Path

from advmtl.doctor.line import Line
from advmtl.doctor.trial import Outcome

SECTION = "video"
_BACKENDS = {
    "FFMPEG": "video files and network streams",
    "GSTREAMER": "pipelines such as nvarguscamerasrc",
    "V4L2": "cameras",
}
_ENCODERS = {"mp4v": "MPEG-4, what advmtl infer --out VIDEO.mp4 writes", "avc1": "H.264"}


def video_lines(outcome: Outcome) -> Iterable[Line]:
    """Lines about OpenCV's backends and encoders."""
    answer = outcome.answer or {"error": outcome.fault}
    if "backends" not in answer:
        remedy = "pip install --force-reinstall opencv-python, or opencv-python-headless where libGL is missing"
        yield Line(SECTION, "OpenCV", "broken", f"does not work: {answer['error']}", remedy)
        return
    for name, use in _BACKENDS.items():
        yield _backend_line(name, use, bool(answer["backends"].get(name)))
    for code, use in _ENCODERS.items():
        fault = answer["encoders"].get(code)
        facts = {"encoder": code, "works": fault is None}
        if fault is None:
            yield Line(SECTION, f"encoder {code}", "ok", f"{use}; frames were written and read back", facts=facts)
        elif code == "mp4v":
            remedy = "advmtl infer --out FOLDER writes pictures instead"
            yield Line(SECTION, f"encoder {code}", "warning", f"{use}: {fault}", remedy, facts)
        else:
            yield Line(SECTION, f"encoder {code}", "missing", f"{use}: {fault}; advmtl does not need it", facts=facts)


def _backend_line(name: str, use: str, there: bool) -> Line:
    facts = {"backend": name, "there": there}
    if there:
        return Line(SECTION, name, "ok", use, facts=facts)
    if name == "GSTREAMER":  # the wheels of OpenCV come without; most need it not
        return Line(SECTION, name, "missing", f"{use}: an OpenCV built with GStreamer reads them", facts=facts)
    return Line(SECTION, name, "warning", f"not there: no {use}", "pip install opencv-python", facts)


def camera_lines(devices: Path = Path("/dev"), names: Path = Path("/sys/class/video4linux")) -> Iterable[Line]:
    """A line for each camera; none is switched on."""
    found = sorted(devices.glob("video[0-9]*"), key=lambda path: int(path.name[5:]))
    if not found:
        yield Line(SECTION, "cameras", "missing", f"no {devices}/video*", facts={"cameras": []})
    for path in found:
        try:
            name = (names / path.name / "name").read_text().strip()
        except OSError:
            name = "unnamed"
        if os.access(path, os.R_OK | os.W_OK):
            yield Line(SECTION, str(path), "ok", f"{name}; advmtl infer MODEL {path}", facts={"name": name})
        else:
            remedy = "sudo usermod -a -G video $USER, then log in again"
            yield Line(SECTION, str(path), "warning", f"{name}: no permission", remedy, {"name": name})
