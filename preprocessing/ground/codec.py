"""What the numbers in a depth or disparity file mean: quantity, scale, unit, offset, what is invalid."""

import math
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError

MapKind = Literal["depth", "disparity", "inverse"]
PER_METRE: dict[str, float] = {
    "m": 1.0,
    "dm": 10.0,
    "cm": 100.0,
    "mm": 1000.0,
    "um": 1e6,
    "km": 1e-3,
    "ft": 1 / 0.3048,
    "in": 1 / 0.0254,
}
"""Units of depth, by how many of them a metre has."""
WHOLE_NUMBERS = 256.0
"""The scale of files of whole numbers that is meant where none is stated: metres or pixels × 256."""

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MapCodec:
    """How a map is stored: stored = quantity * scale + offset.

    Attributes:
        kind: The quantity: depth along the optical axis [m], disparity [px], or inverse depth [1/m].
        scale: Stored units per metre (per pixel, per 1/m). None: 256 in files of whole numbers, or 1 where a unit is
            given; 1 in files of floats.
        unit: The scale is per this unit of length and not per metre, for depth alone: with "mm" and no scale, files
            hold millimetres.
        offset: Stored for a quantity of 0.
        invalid: Stored numbers that mean "not measured". None: 0 in files of whole numbers. NaN and -Inf always do,
            and so does all depth that is not positive.

    Raises: InputError where a value cannot be.
    """

    kind: MapKind = "depth"
    scale: float | None = None
    unit: str = "m"
    offset: float = 0.0
    invalid: tuple[float, ...] | None = field(default=None)

    def __post_init__(self) -> None:
        if self.kind not in get_args(MapKind):
            raise InputError(f"kind: {self.kind!r}; offered: {', '.join(get_args(MapKind))}")
        if self.unit not in PER_METRE:
            raise InputError(f"unit: {self.unit!r}; offered: {', '.join(PER_METRE)}")
        if self.unit != "m" and self.kind != "depth":
            raise InputError(f"unit: {self.unit!r} is one of depth, and the kind is {self.kind}; give the scale alone")
        if self.scale is not None and not (math.isfinite(self.scale) and self.scale > 0):
            raise InputError(f"scale: {self.scale!r} must be a positive number, units per metre")
        if not math.isfinite(self.offset):
            raise InputError(f"offset: {self.offset!r} must be a finite number")

    def divisor(self, whole: bool) -> float:
        """What a stored number, less the offset, is divided by; `whole`: the file has whole numbers."""
        if self.scale is None and self.unit == "m":
            if whole and self.kind == "inverse":
                raise InputError("inverse depth in whole numbers needs its scale, in units per 1/m; state depth.scale")
            return WHOLE_NUMBERS if whole else 1.0
        return (1.0 if self.scale is None else self.scale) * PER_METRE[self.unit]

    def decode(self, stored: npt.NDArray[Any]) -> tuple[Float32, Bool]:
        """The quantity, float32 [H, W] in m, px or 1/m, and where it was measured. Depth may be +Inf: beyond range.

        Raises: InputError where a needed scale is not stated.
        """
        whole = stored.dtype.kind in "ui"
        none = (0.0,) if whole and self.invalid is None else self.invalid or ()
        precise = np.float64 if stored.dtype.itemsize > 2 else np.float32
        values: npt.NDArray[np.floating[Any]] = stored.astype(precise, copy=False)
        valid = ~np.isnan(values) & ~np.isneginf(values)
        for one in none:
            valid &= values != precise(one)
        if self.offset:
            values = values - precise(self.offset)
        quantity = (values / precise(self.divisor(whole))).astype(np.float32)
        if self.kind != "disparity":
            valid &= quantity > 0
        if self.kind != "depth":
            valid &= ~np.isinf(quantity)
        return np.where(valid, quantity, np.float32(0)), valid

    @property
    def words(self) -> str:
        """As a message says it: "depth in mm", "disparity in px x 16"."""
        per = "" if self.scale is None else f" x {self.scale:g}"
        unit = {"depth": self.unit, "disparity": "px", "inverse": "1/m"}[self.kind]
        whole = f" (whole numbers x {WHOLE_NUMBERS:g})" if self.scale is None and self.unit == "m" else ""
        return f"{self.kind} in {unit}{per}{whole}"


CODEC_KEYS = tuple(one.name for one in fields(MapCodec))
KITTI_DISPARITY = MapCodec("disparity", 256.0, invalid=(0.0,))
CITYSCAPES_DISPARITY = MapCodec("disparity", 256.0, offset=1.0, invalid=(0.0,))
NAMED_DISPARITY: dict[str, MapCodec] = {"kitti": KITTI_DISPARITY, "cityscapes": CITYSCAPES_DISPARITY}


def codec_of(value: object, kind: MapKind) -> MapCodec:
    """A codec as a file states it: a number is the scale, a mapping has the keys of `MapCodec`, a disparity may have a
    name of `NAMED_DISPARITY`. Raises: InputError saying what cannot be, without the name of a file.
    """
    if isinstance(value, str) and kind == "disparity" and value in NAMED_DISPARITY:
        return NAMED_DISPARITY[value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return MapCodec(kind, scale=float(value))
    if not isinstance(value, dict):
        names = f"{', '.join(NAMED_DISPARITY)}, " if kind == "disparity" else ""
        per = "pixel" if kind == "disparity" else "metre"
        raise InputError(f"is {value!r}; offered: {names}a number (units per {per}), or a mapping such as {_EXAMPLE}")
    unknown = sorted(set(value) - set(CODEC_KEYS))
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}; known: {', '.join(CODEC_KEYS)}")
    for key in ("scale", "offset"):
        if key in value and (isinstance(value[key], bool) or not isinstance(value[key], int | float)):
            raise InputError(f"{key} is {value[key]!r}; it must be a number")
    if "invalid" in value:
        none = value["invalid"] if isinstance(value["invalid"], list) else [value["invalid"]]
        if any(isinstance(one, bool) or not isinstance(one, int | float) for one in none):
            raise InputError(f"invalid is {value['invalid']!r}; it must be a list of numbers")
        value = {**value, "invalid": tuple(map(float, none))}
    return MapCodec(**{"kind": kind, **value})


_EXAMPLE = '{"scale": 1000, "invalid": [65535]}'
