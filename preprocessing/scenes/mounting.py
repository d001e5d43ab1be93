"""Which lens a generated set is seen through, and how its camera is mounted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from preprocessing.ground import Camera, InputError, Lens

Span = tuple[float, float]
"""Least and greatest; every scene draws its own in between."""
# A lens on the road sees nothing but the next kerb; one higher than this looks over the houses that are modelled.
_HEIGHTS_M = (0.3, 6.0)
_PITCHES_DEG = (-30.0, 45.0)
_BASELINES_M = (0.02, 3.0)
_SPANS = ("hfov_deg", "camera_height_m", "pitch_deg", "baseline_m")


@dataclass(frozen=True)
class Mounting:
    """What is asked of the camera; None for each leaves it near that of Cityscapes.

    Attributes:
        hfov_deg: Horizontal field of view, 2 atan(width / (2 fx)) [degrees]; None = 48.7 and 4 % of fx around it.
        camera_height_m: Of the lens above the road [m]; None = 1.2 to 1.55.
        pitch_deg: Downwards from the road's own direction [degrees]; None = 0.7 and a little around it.
        baseline_m: Between the two eyes [m]; None = 0.2093 and 4 % around it.
        lens: Focal lengths and principal point, in pixels of the pictures asked for, instead of `hfov_deg`.

    Raises: InputError naming the value that no such camera has.
    """

    hfov_deg: Span | None = None
    camera_height_m: Span | None = None
    pitch_deg: Span | None = None
    baseline_m: Span | None = None
    lens: Lens | None = None

    def __post_init__(self) -> None:
        for name, bounds in (
            ("camera_height_m", _HEIGHTS_M),
            ("pitch_deg", _PITCHES_DEG),
            ("baseline_m", _BASELINES_M),
        ):
            for value in getattr(self, name) or ():
                if not bounds[0] <= value <= bounds[1]:
                    raise InputError(f"{name}: {value:g} must be within {bounds[0]:g}..{bounds[1]:g}")
        for name in _SPANS:
            span = getattr(self, name)
            if span is not None and span[0] > span[1]:
                raise InputError(f"{name}: {span[0]:g}:{span[1]:g}; the smaller one comes first")
        for value in self.hfov_deg or ():
            Lens.of_hfov(value, (1024, 512))
        if self.lens is not None and self.hfov_deg is not None:
            raise InputError("hfov_deg: a camera file tells the field of view already; give one of the two")

    def given(self) -> dict[str, object]:
        """What is asked for, as synth.json holds it: name -> [least, greatest], and the lens in pixels."""
        spans: dict[str, object] = {
            name: list(getattr(self, name)) for name in _SPANS if getattr(self, name) is not None
        }
        lens = self.lens
        return spans if lens is None else {**spans, "lens_px": [lens.fx_px, lens.fy_px, lens.cx_px, lens.cy_px]}

    def camera(self, drawn: Camera, share: float) -> Camera:
        """The stereo camera: `drawn`, or what is asked for; `share` is how far its baseline lies from the shortest."""
        if self.baseline_m is not None:
            drawn = replace(drawn, baseline_m=round(_within(self.baseline_m, share), 6))
        if self.lens is None:
            return drawn
        lens = self.lens
        return replace(drawn, fx_px=lens.fx_px, fy_px=lens.fy_px, u0_px=lens.cx_px, v0_px=lens.cy_px)

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
