"""The options of `advmtl infer` and `python -m export`, in one place: a board has neither typer nor rich."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from preprocessing.ground import (
    FILM,
    Input,
    Output,
    beginning_kind,
    check_outputs,
    inputs_in,
    json_kind,
    lines_kind,
)


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
    source: Annotated[
        str, Help("Folder of pictures, video, ROS bag, camera (0, /dev/video0), URL or GStreamer pipeline.")
    ]
    topic: Annotated[str | None, Help("Of a bag, the topic of pictures; default: its only one.")] = None
    camera: Annotated[
        Path | None, Help("Calibration file of the frames as they are; without any, the model's own lens is taken.")
    ] = None
    fx_px: Annotated[float | None, Help("Instead: focal length in pixels of the frames as they are.")] = None
    hfov_deg: Annotated[float | None, Help("Instead: what the frames show from side to side, degrees.")] = None
    fit: Annotated[
        str | None, Help("Frames of another aspect: crop, pad or stretch; default: as the model was trained.")
    ] = None
    undistort: Annotated[bool, Help("Draw the frames anew without the distortion that --camera tells.")] = False
    crop: Annotated[str | None, Help("Part of the frames, LEFT,TOP,WIDTH,HEIGHT in pixels.")] = None
    camera_size: Annotated[str | None, Help("Frame size asked of a camera, WIDTHxHEIGHT.")] = None
    camera_fps: Annotated[float | None, Help("Frames a second asked of a camera.", 0)] = None
    camera_format: Annotated[str | None, Help("Pixel format asked of a camera: MJPG, YUYV.")] = None
    camera_exposure: Annotated[float | None, Help("Exposure asked of a camera [ms]; 0 = automatic.", 0)] = None
    live: Annotated[str, Help("yes or no for a URL or pipe that does not say; auto: by what it announces.")] = "auto"
    out: Annotated[
        tuple[Path, ...],
        Help("A .mp4 or .mkv film, a folder for pictures, a .mcap bag, a .rrd recording, points as .ply; may repeat."),
    ] = ()
    raw: Annotated[Path | None, Help("Folder for maps: classes and 16-bit depth as PNG.")] = None
    raw_size: Annotated[str, Help("Size of these maps and of the depth video: network or frame.")] = "network"
    depth_video: Annotated[Path | None, Help("A .mkv file for depth, 16-bit grey without loss.")] = None
    clouds: Annotated[Path | None, Help("Folder for points with class and colour, one .ply a frame.")] = None
    arrays: Annotated[Path | None, Help("Folder for raw maps, one .npz a frame.")] = None
    log: Annotated[Path | None, Help("File for a line of JSON a frame with its latencies.")] = None
    show: Annotated[bool, Help("Show the frames in a window.")] = False
    policy: Annotated[str, Help("every, latest (drop what is late), auto (live: latest).")] = "auto"
    limit: Annotated[int | None, Help("Frames at most.", 1)] = None
    loop: Annotated[int, Help("How often a file or folder is repeated; 0 = for ever.", 0)] = 1
    reconnect_seconds: Annotated[float, Help("How long a lost camera or stream is tried again [s].", 0)] = 30.0
    damaged: Annotated[str, Help("Frames of a damaged video: skip (and list them) or keep (and tell them).")] = "skip"
    fps: Annotated[
        float, Help("A constant rate of written films, and of a source without times; 0 = the times of the source.", 0)
    ] = 0.0
    codec: Annotated[str, Help("Of written films: auto, h264, hevc or mpeg4.")] = "auto"
    threads: Annotated[
        int, Help("CPU threads that a frame in the network may use; 0 = all cores, shared by the frames in flight.", 0)
    ] = 0
    in_flight: Annotated[
        int, Help("Frames in the network at once, of every frame only: more frames/s, each takes longer.", 1)
    ] = 1
    waiting: Annotated[
        str,
        Help(
            "How the network's threads wait for each other within a frame: sleep, spin, or auto: the faster of both, "
            "measured on the first frames; with frames in flight they sleep."
        ),
    ] = "auto"
    provider: Annotated[str, Help("auto, tensorrt, cuda or cpu; one that is named runs, or it is an error.")] = "auto"
    runtime: Annotated[str, Help("What runs an .onnx file: onnxruntime or openvino.")] = "onnxruntime"
    report: Annotated[Path | None, Help("Write the latency report as JSON.")] = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", (self.out,) if isinstance(self.out, Path) else tuple(self.out))


class Option(NamedTuple):
    """A field of `InferOptions`; `default` is `MISSING` for an argument."""

    name: str
    type: Any
    default: Any
    help: Help

    @property
    def several(self) -> Any | None:
        """Of an option that may be repeated the type of each value, else None."""
        return get_args(self.type)[0] if get_origin(self.type) is tuple else None


def _option(name: str, annotation: Any, default: Any) -> Option:
    kind, text = get_args(annotation)
    return Option(name, kind, default, text)


OPTIONS = {one.name: _option(one.name, one.type, one.default) for one in fields(InferOptions)}


REPORT = json_kind("a report of infer", "source", "provider", "frames", "stages")
LOG = lines_kind("a log of infer", "frame", "name", "net_ms")
FILES = {".mp4": FILM, ".mkv": FILM}
"""By the ending of `out`: how an earlier result is known."""
_OTHER = beginning_kind("a result of infer", b"advmtl")
"""Of any other ending: it says in its first 4096 bytes whose it is."""


def _out(option: str, path: Path) -> list[Output]:
    if path.is_dir() or not path.suffix:
        return [Output(option, path, folder=not path.is_file(), kind=_OTHER, endings=(".png",))]
    return [Output(option, path, FILES.get(path.suffix.lower(), _OTHER))]


WRITES: dict[str, Callable[[str, Path], Iterable[Output]]] = {
    "out": _out,
    "arrays": lambda option, path: [Output(option, path, folder=True, endings=(".npz",))],
    "raw": lambda option, path: [Output(option, path, folder=True, endings=(".png",))],
    "clouds": lambda option, path: [Output(option, path, folder=True, endings=(".ply",))],
    "depth_video": lambda option, path: [Output(option, path, FILM)],
    "log": lambda option, path: [Output(option, path, LOG, stream=True)],
    "report": lambda option, path: [Output(option, path, REPORT)],
}
"""Fields that name what is written, each with what its value stands for."""
READS = ("model", "source", "camera")
"""Fields that name what is read."""


def check_files(options: InferOptions) -> None:
    """Raise InputError where a result would replace what is read, another result, or a file that is none."""
    given = vars(options)
    check_places(given, [one for name in READS for one in inputs_in(_called(name), given[name])])


def check_places(given: Mapping[str, Any], read: Sequence[Input] = ()) -> None:
    """The same of values by name; those that name nothing that is written are passed over."""
    outputs = [
        output
        for name, written in WRITES.items()
        for path in paths_in(given.get(name))
        for output in written(f"--{name.replace('_', '-')}", path)
    ]
    check_outputs(outputs, read)


def paths_in(value: Any) -> list[Path]:
    """The paths that an option's value names: none, one, or those of an option that may be repeated."""
    if value is None:
        return []
    return [Path(value)] if isinstance(value, str | Path) else [Path(one) for one in value]


def _called(name: str) -> str:
    return f"--{name}" if name == "camera" else name.upper()
