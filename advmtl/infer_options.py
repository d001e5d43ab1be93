"""The options of `advmtl infer` and `python -m export`, in one place: a board has neither typer nor rich."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args


class Help(NamedTuple):
    """What `--help` says of an option, and the smallest value allowed."""

    text: str
    least: int | None = None


@dataclass(frozen=True)
class InferOptions:
    """What is asked for: a model, a source, where the results go and how frames are read.

    A field with a default is an option of its name, the others are arguments.
    """

    model: Annotated[Path, Help("Exported .onnx, a folder of them, run folder or .pt checkpoint.")]
    source: Annotated[str, Help("Folder of pictures, video, camera (0, /dev/video0), URL or GStreamer pipeline.")]
    camera: Annotated[
        Path | None, Help("Calibration file of the frames as they are; without any, the model's own lens is taken.")
    ] = None
    fx_px: Annotated[float | None, Help("Instead: focal length in pixels of the frames as they are.")] = None
    hfov_deg: Annotated[float | None, Help("Instead: what the frames show from side to side, degrees.")] = None
    fit: Annotated[
        str | None, Help("Frames of another aspect: crop, pad or stretch; default: as the model was trained.")
    ] = None
    out: Annotated[Path | None, Help("A .mp4 or .mkv file or a folder for pictures.")] = None
    arrays: Annotated[Path | None, Help("Folder for raw maps, one .npz a frame.")] = None
    log: Annotated[Path | None, Help("File for a line of JSON a frame with its latencies.")] = None
    show: Annotated[bool, Help("Show the frames in a window.")] = False
    policy: Annotated[str, Help("every, latest (drop what is late), auto (live: latest).")] = "auto"
    limit: Annotated[int | None, Help("Frames at most.", 1)] = None
    loop: Annotated[int, Help("How often a file or folder is repeated; 0 = for ever.", 0)] = 1
    reconnect_seconds: Annotated[float, Help("How long a lost camera or stream is tried again [s].", 0)] = 30.0
    fps: Annotated[float, Help("Rate of the written video; 0 = that of the source.", 0)] = 0.0
    threads: Annotated[
        int, Help("CPU threads that a frame in the network may use; 0 = all cores, shared by the frames in flight.", 0)
    ] = 0
    in_flight: Annotated[
        int, Help("Frames in the network at once, of every frame only: more frames/s, each takes longer.", 1)
    ] = 1
    provider: Annotated[str, Help("auto, tensorrt, cuda or cpu; one that is named runs, or it is an error.")] = "auto"
    runtime: Annotated[str, Help("What runs an .onnx file: onnxruntime or openvino.")] = "onnxruntime"
    report: Annotated[Path | None, Help("Write the latency report as JSON.")] = None


class Option(NamedTuple):
    """A field of `InferOptions`; `default` is `MISSING` for an argument."""

    name: str
    type: Any
    default: Any
    help: Help


def _option(name: str, annotation: Any, default: Any) -> Option:
    kind, text = get_args(annotation)
    return Option(name, kind, default, text)


OPTIONS = {one.name: _option(one.name, one.type, one.default) for one in fields(InferOptions)}
