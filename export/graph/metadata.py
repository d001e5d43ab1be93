"""Metadata of an exported model: classes, units, sizes, lenses, how a frame is brought to it.

Plain dataclasses: a vehicle that runs the model has NumPy, OpenCV and ONNX Runtime, and no pydantic.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import TASKS, Task, TaskSpec, outputs_of
from preprocessing.ground import FITS, Camera, Fit, InputError, LabelSet, Lens, label_set_of

FORMAT_VERSION = 2
KEY = "advmtl"
# Further properties of the file: its precision; that its 8-bit products overflow on no processor; where it was judged.
PRECISION, SAFE_INTEGERS, JUDGED = f"{KEY}.precision", f"{KEY}.integers", f"{KEY}.judged"
MEASURED = f"{KEY}.measured"
"""JSON: processor, as it describes itself; p50_ms and cpu_ms of a frame, each of this model and of float32."""
INPUT = "image"
CLASSES = "classes"
DEPTH = "depth_m"
DEPTH_ERROR = "depth_error"
ZOOM = "lens_zoom"
"""The second input, float32 [1], which has a default in the file: f / f_canonical, see `Metadata.zoom`."""
RESIZE = "by area where both sides shrink, else bilinear"
OFFSETS = "offsets_px"
IGNORED_CLASS = 255
"""The class of all pixels of a frame whose logits are not numbers; the label sets' id for ignored pixels."""


def layouts_of(tasks: Mapping[str, Task]) -> dict[str, str]:
    """Type, shape and unit of the input and of all outputs of these tasks, by name."""
    outputs = {name: output.layout for name, output in outputs_of(tasks).items()}
    return {INPUT: "uint8 [1,H,W,3] RGB, 0..255", **outputs}


_OF_LENS = tuple(one.name for task in TASKS.values() for one in task.arrays.outputs if one.of_lens)
_OF_VERSION_2 = (
    *("lens_outputs", "canonical_fx_px", "trained_fx_px", "lens", "zoom", "zooms"),
    *("trained_size", "size_factor", "fit", "resize", "sky"),
)


LAYOUTS = layouts_of(TASKS)


def of_batch(metadata: "Metadata", frames: int) -> "Metadata":
    """The metadata of the same network that takes so many frames at a time."""
    layouts = {name: text.replace("[1,", f"[{frames},", 1) for name, text in metadata.layouts.items()}
    return replace(metadata, batch=frames, layouts=layouts)


@dataclass(frozen=True)
class Metadata:
    """Everything a reader of the file needs to use its outputs, and where the model came from.

    `size` is (width, height) of the network, `trained_size` that of its training. `batch` is how many frames it takes
    at a time, each with a zoom of its own. `outputs` are what `layouts` describes. `camera` is the camera of the
    training data, if it is known, in pixels of pictures of `camera_size`, the training size; None in files without it.
    `things` are the classes that have instances; elsewhere an offset means nothing. `own_classes`: the content of a
    label set that is none of advmtl's own, by which label files can be read.
    `normalisation` happens inside the graph and is recorded for information: (pixel / 255 − mean) / deviation.

    A network knows the metres of `lens_outputs` for one focal length in its own pixels: a lens twice as long makes
    everything look half as far. That one is `canonical_fx_px`; None where it learnt the metres of its training lens,
    `trained_fx_px`. `lens` is the lens that is taken where nothing else is said, in pixels of frames of its own size.
    The graph multiplies metres by its input `lens_zoom`, the focal length in pixels of what the network sees over the
    one that it learnt for; `zoom` is its default, that of `lens`, and `zooms` the least and the greatest that training
    has shown.

    `size_factor` is what the graph multiplies depth by beside it, so that metres at `size` are those of the trained
    size.

    A frame of another aspect is brought to `size` as `fit` says (`preprocessing.ground.Framing`), its pixels as
    `resize` says. `sky` are the classes whose pixels have no distance: their depth is +Inf, beyond range.

    `depth_scale` is a factor that the graph multiplies depth by, too, and `calibration` what `advmtl calibrate` says of
    how it was found; of any format.

    `error_interval`, of a file that gives expected errors: 80 % of the truth lies within
    depth_m · exp(±error_interval · depth_error), as found on `error_frames` held-out frames; 0: not calibrated.

    Files of format 1 have none of these: their metres are those of the training lens at the training size (`zoom` 1),
    frames are stretched, and the sky has a finite distance.

    Raises: ValueError where the fields contradict each other.
    """

    advmtl_version: str
    size: tuple[int, int]
    batch: int = 1
    format_version: int = FORMAT_VERSION
    outputs: tuple[str, ...] = (CLASSES, DEPTH)
    layouts: dict[str, str] = field(default_factory=lambda: dict(LAYOUTS))
    label_set: str = ""
    own_classes: dict[str, Any] | None = None
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_id: int = IGNORED_CLASS
    things: tuple[int, ...] = ()
    depth_range_m: tuple[float, float] | None = None
    depth_unit: str = "m"
    error_interval: float | None = None
    error_frames: int = 0
    camera: Camera | None = None
    camera_size: tuple[int, int] | None = None
    trained_size: tuple[int, int] | None = None
    size_factor: float = 1.0
    lens_outputs: tuple[str, ...] | None = None
    canonical_fx_px: float | None = None
    trained_fx_px: float | None = None
    lens: Lens | None = None
    zoom: float = 1.0
    zooms: tuple[float, float] | None = None
    fit: Fit = "stretch"
    resize: str = RESIZE
    sky: tuple[int, ...] = ()
    depth_scale: float = 1.0
    calibration: dict[str, Any] | None = None
    configuration: str = ""
    configuration_hash: str = ""
    gmacs: float | None = None  # 1e9 multiply-accumulates of the network at `size`; None in files of older versions
    normalisation: dict[str, tuple[float, float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"size {self.size} is not a width and a height")
        known = tuple(name for name in self.layouts if name != INPUT)
        if self.batch < 1:
            raise ValueError(f"batch {self.batch} is no number of frames")
        if not self.outputs or any(name not in known for name in self.outputs):
            raise ValueError(f"outputs {self.outputs} are not among {known}")
        if CLASSES in self.outputs and not self.class_names:
            raise ValueError("no class names for the class map")
        if len(self.class_names) != len(self.palette):
            raise ValueError(f"{len(self.class_names)} class names, {len(self.palette)} colours")
        if DEPTH in self.outputs and self.depth_range_m is None:
            raise ValueError("no depth range for the depth map")
        if any(not 0 <= thing < len(self.class_names) for thing in self.things):
            raise ValueError(f"things {self.things} are not among {len(self.class_names)} classes")
        if any(not 0 <= one < len(self.class_names) for one in self.sky):
            raise ValueError(f"sky {self.sky} is not among {len(self.class_names)} classes")
        if not 0 < self.depth_scale < math.inf:
            raise ValueError(f"depth_scale {self.depth_scale} is not a factor")
        if not 0 < self.size_factor < math.inf:
            raise ValueError(f"size_factor {self.size_factor} is not a factor")
        if not 0 < self.zoom < math.inf:
            raise ValueError(f"zoom {self.zoom} is not a ratio of focal lengths")
        if self.fit not in FITS:
            raise ValueError(f"fit {self.fit!r} is none of {', '.join(FITS)}; this version cannot follow it")
        if self.depth_unit != "m":
            raise ValueError(f"depth in {self.depth_unit!r}; this version reads metres, 'm'")

    @property
    def of_lens(self) -> bool:
        """Whether any of the outputs means something else behind another lens."""
        names = _OF_LENS if self.lens_outputs is None else self.lens_outputs
        return any(name in self.outputs for name in names)

    @property
    def learnt_fx_px(self) -> float | None:
        """The focal length that depth was learnt for, in pixels of what the network sees; None where nobody tells it.

        Of a file of format 1 that of its training camera, at the training size.
        """
        told = self.canonical_fx_px or self.trained_fx_px
        if told is not None or self.camera is None or self.camera_size is None:
            return told
        return math.sqrt(self.camera.fx_px * self.camera.fy_px)

    @property
    def classes(self) -> str | LabelSet:
        """The label set, for reading label files; the usual one where the file has no classes.

        Raises: InputError where its content cannot be one.
        """
        if self.own_classes is not None:
            return label_set_of(self.own_classes, "own_classes")
        return self.label_set or TaskSpec().classes

    @property
    def colours(self) -> NDArray[np.uint8]:
        """The palette as uint8 `[K, 3]`, RGB."""
        return np.array(self.palette, dtype=np.uint8).reshape(-1, 3)


def to_json(metadata: Metadata) -> str:
    """All of the metadata as one line of JSON."""
    return json.dumps(asdict(metadata), separators=(",", ":"), allow_nan=False)


def from_json(text: str) -> Metadata:
    """Read what `to_json` wrote; fields of later versions are ignored.

    Raises: ValueError, one line that names the field, where a value is missing or of another kind.
    """
    values = json.loads(text)
    if not isinstance(values, dict):
        raise ValueError("metadata: not a mapping")
    known: dict[str, Any] = {}
    old = values.get("format_version", FORMAT_VERSION) in (1, "1")
    for one in fields(Metadata):
        if one.name not in values or (old and one.name in _OF_VERSION_2):
            continue
        read = _READ.get(one.name, str)
        try:
            known[one.name] = read(values[one.name])
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{one.name}: {error}") from None
    for name in ("advmtl_version", "size"):
        if name not in known:
            raise ValueError(f"{name}: missing")
    return Metadata(**known)


def _pair(value: Any) -> tuple[int, int]:
    width, height = (int(side) for side in value)
    return width, height


def _range(value: Any) -> tuple[float, float]:
    low, high = (float(end) for end in value)
    return low, high


def _triple(value: Any, kind: type) -> tuple[Any, ...]:
    first, second, third = (kind(one) for one in value)
    return first, second, third


def _camera(value: dict[str, Any]) -> Camera:
    names = [one.name for one in fields(Camera)]
    return Camera(**{name: value[name] for name in names if name in value})


def _lens(value: dict[str, Any]) -> Lens:
    fx, fy, cx, cy = (float(value[name]) for name in ("fx_px", "fy_px", "cx_px", "cy_px"))
    return Lens(fx, fy, cx, cy, _pair(value["size"]))


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


# How JSON becomes the fields again; those that are not here are text.
_READ: dict[str, Any] = {
    "size": _pair,
    "batch": int,
    "format_version": int,
    "outputs": tuple,
    "own_classes": _optional(dict),
    "layouts": dict,
    "class_names": tuple,
    "palette": lambda value: tuple(_triple(colour, int) for colour in value),
    "ignore_id": int,
    "things": lambda value: tuple(int(one) for one in value),
    "depth_range_m": _optional(_range),
    "error_interval": _optional(float),
    "error_frames": int,
    "gmacs": _optional(float),
    "camera": _optional(_camera),
    "camera_size": _optional(_pair),
    "trained_size": _optional(_pair),
    "size_factor": float,
    "lens_outputs": _optional(tuple),
    "canonical_fx_px": _optional(float),
    "trained_fx_px": _optional(float),
    "lens": _optional(_lens),
    "zoom": float,
    "zooms": _optional(_range),
    "sky": lambda value: tuple(int(one) for one in value),
    "depth_scale": float,
    "calibration": _optional(dict),
    "normalisation": lambda value: {name: _triple(one, float) for name, one in value.items()},
}


def to_properties(metadata: Metadata) -> dict[str, str]:
    """The metadata as ONNX properties: all of it as JSON under one key, the main facts readable beside it."""
    width, height = metadata.size
    properties = {
        KEY: to_json(metadata),
        f"{KEY}.format": str(metadata.format_version),
        f"{KEY}.version": metadata.advmtl_version,
        f"{KEY}.configuration": f"{metadata.configuration} {metadata.configuration_hash}".strip(),
        f"{KEY}.input": f"{INPUT}: {metadata.layouts.get(INPUT, LAYOUTS[INPUT])}, H={height}, W={width}",
    }
    if CLASSES in metadata.outputs:
        properties[f"{KEY}.classes"] = ", ".join(metadata.class_names)
    if metadata.depth_range_m is not None:
        low, high = metadata.depth_range_m
        names = ", ".join(metadata.class_names[one] for one in metadata.sky)
        properties[f"{KEY}.depth"] = f"{low:g} to {high:g} {metadata.depth_unit}" + (
            f"; +Inf, beyond range, where the class is {names}" if names else ""
        )
    if metadata.calibration is not None:
        told = {"distances": "?", "from": "?", "date": "?", **metadata.calibration}
        properties[f"{KEY}.depth_scale"] = (
            f"x{metadata.depth_scale:.4g}, in the graph; found by {told['distances']} known distances of "
            f"{told['from']}, {told['date']}"
        )
    if DEPTH_ERROR in metadata.outputs and metadata.error_interval is not None:
        how = f"calibrated on {metadata.error_frames} frames" if metadata.error_frames else "not calibrated"
        properties[f"{KEY}.depth_error"] = (
            f"{outputs_of()[DEPTH_ERROR].layout}; 80 % of the truth within depth_m * exp(+-"
            f"{metadata.error_interval:.4g} * depth_error), {how}"
        )
    if OFFSETS in metadata.outputs:
        things = ", ".join(metadata.class_names[thing] for thing in metadata.things)
        properties[f"{KEY}.offsets"] = f"{LAYOUTS[OFFSETS]}; instances of {things or 'unknown classes'}"
    if metadata.camera is not None:
        at = "of the training size"
        if metadata.camera_size is not None:
            at = f"at {metadata.camera_size[0]}x{metadata.camera_size[1]} px"
        properties[f"{KEY}.camera"] = (
            f"baseline {metadata.camera.baseline_m:g} m, focal length {metadata.camera.fx_px:g} px {at}"
        )
    if metadata.format_version > 1:
        properties |= _of_frames(metadata)
    return properties


def _of_frames(metadata: Metadata) -> dict[str, str]:
    """How a frame comes to the network, and whose lens its metres are of."""
    told = {f"{KEY}.resize": metadata.resize, f"{KEY}.fit": _FITS[metadata.fit]}
    if metadata.trained_size is not None:
        told[f"{KEY}.trained_size"] = "{}x{}".format(*metadata.trained_size)
        if metadata.size_factor != 1:
            told[f"{KEY}.trained_size"] += f"; metres at this size times {metadata.size_factor:g}, in the graph"
    if metadata.lens is not None:
        (width, height), lens = metadata.lens.size, metadata.lens
        told[f"{KEY}.lens"] = (
            f"without another, metres are those of a lens of {lens.hfov_deg:.1f} degrees horizontally, focal length "
            f"{lens.fx_px:g} px in frames of {width}x{height}"
        )
    if metadata.of_lens and metadata.learnt_fx_px is not None:
        told[f"{KEY}.{ZOOM}"] = (
            f"{ZOOM}: float32 [{metadata.batch}], optional, {metadata.zoom:g} where it is not given: the frame's "
            f"focal length in pixels of what the network sees, over {metadata.learnt_fx_px:g}"
        )
    return told


_FITS = {
    "crop": "crop: as large as covers the network's size, the middle of it",
    "pad": "pad: as large as fits into the network's size, in its middle, its edges repeated beside it",
    "stretch": "stretch: to the network's size, whatever the aspect",
}


def from_properties(properties: Mapping[str, str], path: object) -> Metadata:
    """Read the metadata back. Raises: InputError naming the file without metadata that this version reads."""
    if KEY not in properties:
        raise InputError(f"{path}: no advmtl metadata in this model; make the file with `advmtl export`")
    try:
        metadata = from_json(properties[KEY])
    except ValueError as error:  # json's own is one
        raise InputError(f"{path}: garbled metadata ({error}); export it again") from None
    if metadata.format_version > FORMAT_VERSION:
        raise InputError(
            f"{path}: written in format {metadata.format_version} by advmtl {metadata.advmtl_version},"
            f" this one reads up to {FORMAT_VERSION}; update advmtl"
        )
    return metadata
