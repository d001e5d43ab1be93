"""What a source says of its depth files: which are taken, and what the numbers in them mean."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PositiveFloat, model_validator

from advmtl.config.typed import Strict
from preprocessing.ground import PER_METRE, MapCodec, MapKind

DepthRule = Literal["auto", "prepared", "dataset", "none"]


def _unit(value: Any) -> Any:
    if value not in PER_METRE:
        raise ValueError(f"{value!r} is no unit of depth; offered: {', '.join(PER_METRE)}")
    return value


def _numbers(value: Any) -> Any:
    """One number, a list, or as the command line has it: 65535, or [0,65535]."""
    if isinstance(value, str):
        return [part for part in value.strip("[]() ").replace(";", ",").split(",") if part.strip()]
    return value if isinstance(value, Iterable) else [value]


class DepthFiles(Strict):
    """Depth of a source whose files are not metres × 256.

    Attributes:
        take: which of its depths: auto, prepared, dataset, none; as the plain word in the place of the mapping.
        kind: what the files hold: depth, disparity [px], or inverse depth [1/m].
        scale: stored units per metre, per pixel, per 1/m; None: 256 in files of whole numbers, 1 in files of floats, or
            with a unit.
        unit: the scale is per this unit instead of per metre: mm alone is a scale of 1000.
        offset: what is stored for a quantity of 0.
        invalid: stored numbers that mean "not measured"; None: 0 in files of whole numbers.
        baseline_m: of a disparity in a source without cameras; with it goes one of the source's fx_px, hfov_deg.
    """

    take: DepthRule = "auto"
    kind: MapKind = "depth"
    scale: PositiveFloat | None = None
    unit: Annotated[str, BeforeValidator(_unit)] = "m"
    offset: float = 0.0
    invalid: Annotated[tuple[float, ...] | None, BeforeValidator(lambda v: None if v is None else _numbers(v))] = None
    baseline_m: PositiveFloat | None = None

    @model_validator(mode="after")
    def _sensible(self) -> "DepthFiles":
        if self.unit != "m" and self.kind != "depth":
            raise ValueError(f"unit: {self.unit} is one of depth, and kind is {self.kind}; give scale alone")
        if self.baseline_m is not None and self.kind != "disparity":
            raise ValueError(f"baseline_m: belongs to kind disparity, and kind is {self.kind}; leave it out")
        return self

    @property
    def codec(self) -> MapCodec | None:
        """How the files are stored; None where nothing is said of that."""
        if not self.model_fields_set - {"take", "baseline_m"}:
            return None
        return MapCodec(self.kind, self.scale, self.unit, self.offset, self.invalid)
