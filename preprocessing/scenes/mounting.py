"""Which lens a generated set is seen through, and how its camera is mounted."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from preprocessing.ground import InputError, Lens

Span = tuple[float, float]
"""Least and greatest; every scene draws its own in between."""
# A lens on the road sees nothing but the next kerb; one higher than this looks over the houses that are modelled.
_HEIGHTS_M = (0.3, 6.0)
_PITCHES_DEG = (-30.0, 45.0)


@dataclass(frozen=True)
class Mounting:
    """What is asked of the camera; None for each leaves it near that of Cityscapes.

    Attributes:
        hfov_deg: Horizontal field of view, 2 atan(width / (2 fx)) [degrees]; None = 48.7 and 4 % of fx around it.
        camera_height_m: Of the lens above the road [m]; None = 1.2 to 1.55.
        pitch_deg: Downwards from the road's own direction [degrees]; None = 0.7 and a little around it.

    Raises: InputError naming the value that no such camera has.
    """

    hfov_deg: Span | None = None
    camera_height_m: Span | None = None
    pitch_deg: Span | None = None

    def __post_init__(self) -> None:
        for name, bounds in (("camera_height_m", _HEIGHTS_M), ("pitch_deg", _PITCHES_DEG)):
            for value in getattr(self, name) or ():
                if not bounds[0] <= value <= bounds[1]:
                    raise InputError(f"{name}: {value:g} must be within {bounds[0]:g}..{bounds[1]:g}")
        for name, span in self.given().items():
            if span[0] > span[1]:
                raise InputError(f"{name}: {span[0]:g}:{span[1]:g}; the smaller one comes first")
        for value in self.hfov_deg or ():
            Lens.of_hfov(value, (1024, 512))

    def given(self) -> dict[str, list[float]]:
        """What is asked for, as synth.json holds it: name -> [least, greatest]."""
        return {name: list(span) for name, span in asdict(self).items() if span is not None}

    def focal_px(self, width: int, share: float) -> float | None:
        """Focal length for pictures of this width [px], `share` of the way from the narrowest view to the widest."""
        if self.hfov_deg is None:
            return None
        return width / (2 * math.tan(math.radians(_within(self.hfov_deg, share)) / 2))

    def height_m(self, drawn: float, share: float) -> float:
        """Height above the road [m]: `drawn`, or what is asked for."""
        return drawn if self.camera_height_m is None else _within(self.camera_height_m, share)

    def pitch_rad(self, drawn: float, sigmas: float) -> float:
        """Angle downwards [rad]: `drawn`, which lies `sigmas` deviations off its mean, or what is asked for."""
        if self.pitch_deg is None:
            return drawn
        return math.radians(_within(self.pitch_deg, (1 + math.erf(sigmas / math.sqrt(2))) / 2))


AS_CITYSCAPES = Mounting()


def span_of(text: str, name: str) -> Span:
    """Read "50" or "48:56". Raises: InputError naming `name` where it is neither."""
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    if not 1 <= len(values) <= 2 or not all(map(math.isfinite, values)):
        raise InputError(f"{name}: {text!r}; expected a number such as 50, or two with a colon such as 48:56")
    return values[0], values[-1]


def _within(span: Span, share: float) -> float:
    return span[0] + (span[1] - span[0]) * share
