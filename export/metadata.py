"""What an exported model says about itself: classes, units, sizes, the camera it learned from."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from preprocessing.errors import InputError
from preprocessing.frame import Camera

FORMAT_VERSION = 1
KEY = "advmtl"
INPUT = "image"
CLASSES = "classes"
DEPTH = "depth_m"
OFFSETS = "offsets_px"
OUTPUTS = (CLASSES, DEPTH, OFFSETS)

LAYOUTS = {
    INPUT: "uint8 [1,H,W,3] RGB, 0..255",
    CLASSES: "uint8 [1,H,W], index into the class names",
    DEPTH: "float32 [1,H,W], metres along the optical axis",
    OFFSETS: "float32 [1,2,H,W], dy, dx of a pixel from the centre of its instance, in pixels of this picture",
}


class Metadata(BaseModel):
    """Everything a reader of the file needs to use its outputs, and where the model came from.

    `size` is (width, height) of the network. `camera` is the camera of the training data, if it is known, in
    pixels of pictures of `camera_size` (width, height), the training size, which need not be `size`; None in
    files that do not tell. A network learns metric depth for one focal length in its own pixels, and a lens
    twice as long makes everything look half as far. `things` are the classes that have instances; elsewhere an offset
    means nothing. `normalisation` happens inside the graph and is told for
    information: (pixel / 255 − mean) / deviation.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: int = FORMAT_VERSION
    advmtl_version: str
    size: tuple[int, int]
    outputs: tuple[str, ...] = (CLASSES, DEPTH)
    layouts: dict[str, str] = Field(default_factory=lambda: dict(LAYOUTS))
    label_set: str = ""
    class_names: tuple[str, ...] = ()
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_id: int = 255
    things: tuple[int, ...] = ()
    depth_range_m: tuple[float, float] | None = None
    depth_unit: Literal["m"] = "m"
    camera: Camera | None = None
    camera_size: tuple[int, int] | None = None
    configuration: str = ""
    configuration_hash: str = ""
    normalisation: dict[str, tuple[float, float, float]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agree(self) -> "Metadata":
        if not self.outputs or any(name not in OUTPUTS for name in self.outputs):
            raise ValueError(f"outputs {self.outputs} are not among {OUTPUTS}")
        if CLASSES in self.outputs and not self.class_names:
            raise ValueError("no class names for the class map")
        if len(self.class_names) != len(self.palette):
            raise ValueError(f"{len(self.class_names)} class names, {len(self.palette)} colours")
        if DEPTH in self.outputs and self.depth_range_m is None:
            raise ValueError("no depth range for the depth map")
        if any(not 0 <= thing < len(self.class_names) for thing in self.things):
            raise ValueError(f"things {self.things} are not among {len(self.class_names)} classes")
        return self

    @property
    def colours(self) -> NDArray[np.uint8]:
        """The palette as uint8 `[K, 3]`, RGB."""
        return np.array(self.palette, dtype=np.uint8).reshape(-1, 3)


def to_properties(metadata: Metadata) -> dict[str, str]:
    """The metadata as ONNX properties: all of it as JSON under one key, the main facts readable beside it."""
    width, height = metadata.size
    properties = {
        KEY: metadata.model_dump_json(),
        f"{KEY}.format": str(metadata.format_version),
        f"{KEY}.version": metadata.advmtl_version,
        f"{KEY}.configuration": f"{metadata.configuration} {metadata.configuration_hash}".strip(),
        f"{KEY}.input": f"{INPUT}: {LAYOUTS[INPUT]}, H={height}, W={width}",
    }
    if CLASSES in metadata.outputs:
        properties[f"{KEY}.classes"] = ", ".join(metadata.class_names)
    if metadata.depth_range_m is not None:
        low, high = metadata.depth_range_m
        properties[f"{KEY}.depth"] = f"{low:g} to {high:g} {metadata.depth_unit}"
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
    return properties


def from_properties(properties: Mapping[str, str], path: object) -> Metadata:
    """Read the metadata back. Raises: InputError naming the file without metadata that this version reads."""
    if KEY not in properties:
        raise InputError(f"{path}: no advmtl metadata in this model; make the file with `advmtl export`")
    try:
        metadata = Metadata.model_validate_json(properties[KEY])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "metadata"
        raise InputError(f"{path}: garbled metadata ({place}: {first['msg']}); export it again") from None
    if metadata.format_version > FORMAT_VERSION:
        raise InputError(
            f"{path}: written in format {metadata.format_version} by advmtl {metadata.advmtl_version},"
            f" this one reads up to {FORMAT_VERSION}; update advmtl"
        )
    return metadata
