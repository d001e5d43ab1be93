"""The table of kinds of weather and of faults of cameras: what they do, what they need, five strengths of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from preprocessing.weather import air, faults, night, rain, snow
from preprocessing.weather.light import Floats
from preprocessing.weather.scene import Scene

Effect = Callable[[Scene, Floats, Mapping[str, float], np.random.Generator], tuple[Floats, Floats | None]]
"""(scene, linear light [H,W,3], parameters, draws) -> the light now, and the share of it [H,W] that comes through from
the street (None: all). The scene's picture is the one before any effect."""


@dataclass(frozen=True)
class Parameter:
    """One number of a kind: unit, the range that it is drawn from where nobody says, and what it may be."""

    unit: str
    usual: tuple[float, float]
    limits: tuple[float, float]
    what: str


@dataclass(frozen=True)
class Kind:
    """One kind.

    Attributes:
        effect: what it does.
        what: in a few words.
        parameters: by name.
        strengths: five sets of parameters, from light to heavy, for `advmtl evaluate --corruptions`.
        needs_depth: it cannot be done without distances; others do less without.
        helped_by: what else it uses where it is there.
        stage: of several kinds on one picture those of an earlier stage come first, however they are written: 0 what
            lies and falls, 1 the air, 2 the light, 3 the lens, 4 the sensor and its file.
    """

    effect: Effect
    what: str
    parameters: Mapping[str, Parameter]
    strengths: Sequence[Mapping[str, float]]
    needs_depth: bool = False
    helped_by: str = ""
    stage: int = 3

    def drawn(self, ranges: Mapping[str, tuple[float, float]], rng: np.random.Generator) -> dict[str, float]:
        """Parameters drawn from ranges, evenly in their logarithm where they are positive; the same number of draws
        whatever the ranges.
        """
        found = {}
        for name, parameter in self.parameters.items():
            low, high = ranges.get(name, parameter.usual)
            share = rng.random()
            found[name] = float(low * (high / low) ** share) if low > 0 else float(low + (high - low) * share)
        return found


def _five(**values: Sequence[float]) -> list[dict[str, float]]:
    return [{name: float(steps[number]) for name, steps in values.items()} for number in range(5)]


_VISIBILITY = Parameter("m", (30, 300), (5, 20000), "distance at which contrast is 2 %")
_WETNESS = Parameter("1", (0.5, 1), (0, 1), "of the road: 0 dry, 1 with standing water")
_LIGHT = "share of daylight after the camera has opened"
_ELECTRONS = "that white gives: fewer are more noise"

KINDS: dict[str, Kind] = {
    "fog": Kind(
        air.fog,
        "fog by distance",
        {"visibility_m": _VISIBILITY},
        _five(visibility_m=(400, 200, 120, 70, 35)),
        needs_depth=True,
        stage=1,
    ),
    "haze": Kind(
        air.fog,
        "thin fog",
        {"visibility_m": replace(_VISIBILITY, usual=(500, 2000))},
        _five(visibility_m=(2000, 1400, 1000, 700, 500)),
        needs_depth=True,
        stage=1,
    ),
    "rain": Kind(
        rain.rain,
        "clouds, wet road, veil, streaks",
        {
            "rate_mm_h": Parameter("mm/h", (5, 80), (0.5, 300), "of rain"),
            "wetness": _WETNESS,
        },
        _five(rate_mm_h=(5, 15, 35, 70, 120), wetness=(0.5, 0.7, 0.85, 1, 1)),
        helped_by="classes (the wet road), depth (the veil)",
        stage=0,
    ),
    "wet": Kind(
        rain.wet,
        "a wet road under the same sky",
        {"wetness": _WETNESS},
        _five(wetness=(0.3, 0.5, 0.7, 0.85, 1)),
        helped_by="classes (the road)",
        stage=0,
    ),
    "snow": Kind(
        snow.snow,
        "snow on what faces up, flakes, veil",
        {
            "cover": Parameter("1", (0.2, 0.9), (0, 1), "of what faces up"),
            "visibility_m": replace(_VISIBILITY, usual=(120, 800)),
            "flakes_per_m3": Parameter("1/m³", (10, 120), (0, 1000), "flakes in the air"),
        },
        _five(
            cover=(0.15, 0.35, 0.55, 0.75, 0.95),
            visibility_m=(800, 450, 280, 180, 110),
            flakes_per_m3=(10, 25, 50, 90, 150),
        ),
        helped_by="classes and depth (where snow lies)",
        stage=0,
    ),
    "dusk": Kind(
        night.dark,
        "dusk: a darker, bluer street, first lamps",
        {
            "light": Parameter("1", (0.12, 0.35), (0.001, 1), _LIGHT),
            "electrons": Parameter("1", (2000, 10000), (20, 50000), _ELECTRONS),
        },
        _five(light=(0.35, 0.28, 0.22, 0.17, 0.12), electrons=(10000, 7000, 5000, 3500, 2000)),
        helped_by="classes (lamps), depth (what they light)",
        stage=2,
    ),
    "night": Kind(
        night.dark,
        "night: lamps, windows, the own headlights, noise",
        {
            "light": Parameter("1", (0.01, 0.08), (0.001, 1), _LIGHT),
            "electrons": Parameter("1", (400, 3000), (20, 50000), _ELECTRONS),
        },
        _five(light=(0.08, 0.05, 0.03, 0.018, 0.01), electrons=(3000, 1900, 1200, 700, 400)),
        helped_by="classes (lamps), depth (what they light)",
        stage=2,
    ),
    "drops": Kind(
        faults.drops,
        "drops on the lens",
        {"share": Parameter("1", (0.02, 0.15), (0, 0.8), "of the picture behind drops")},
        _five(share=(0.02, 0.05, 0.09, 0.15, 0.25)),
    ),
    "dirt": Kind(
        faults.dirt,
        "dirt on the lens",
        {"share": Parameter("1", (0.05, 0.3), (0, 0.9), "of the picture behind dirt")},
        _five(share=(0.05, 0.1, 0.18, 0.28, 0.4)),
    ),
    "motion": Kind(
        faults.motion,
        "blur by the car's own motion",
        {
            "forward_m": Parameter("m", (0.05, 0.6), (0, 5), "driven during the exposure"),
            "yaw_deg": Parameter("degrees", (0, 0.5), (0, 10), "turned during the exposure"),
        },
        _five(forward_m=(0.1, 0.2, 0.35, 0.55, 0.8), yaw_deg=(0.1, 0.2, 0.35, 0.6, 0.9)),
        needs_depth=True,
    ),
    "defocus": Kind(
        faults.defocus,
        "out of focus",
        {"disc_per_mille": Parameter("‰ of the width", (3, 12), (0, 60), "diameter of a point")},
        _five(disc_per_mille=(4, 6, 9, 13, 18)),
    ),
    "noise": Kind(
        faults.noise,
        "sensor noise",
        {"electrons": Parameter("1", (60, 800), (10, 50000), _ELECTRONS)},
        _five(electrons=(600, 300, 150, 80, 45)),
        stage=4,
    ),
    "jpeg": Kind(
        faults.jpeg,
        "JPEG",
        {"quality": Parameter("1", (10, 50), (1, 100), "of libjpeg")},
        _five(quality=(25, 18, 13, 9, 6)),
        stage=4,
    ),
    "bright": Kind(
        faults.exposure,
        "exposed for too long",
        {"stops": Parameter("stops", (0.5, 2), (-6, 6), "more light")},
        _five(stops=(0.5, 0.9, 1.3, 1.7, 2.2)),
        stage=4,
    ),
    "contrast": Kind(
        faults.contrast,
        "contrast lost",
        {"factor": Parameter("1", (0.2, 0.7), (0.02, 1), "of the values' distance from their mean")},
        _five(factor=(0.6, 0.45, 0.32, 0.2, 0.12)),
        stage=4,
    ),
}
"""By name. A caller's own go beside: KINDS | {"mine": Kind(…)}."""
