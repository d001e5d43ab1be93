"""Sun, sky and air by day, at dusk and at night."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocessing.scenes.vectors import Floats, rgb


@dataclass(frozen=True)
class Light:
    """Sun, sky and air. Colours are linear RGB."""

    sun: NDArray[np.float64]  # unit vector to the sun, world
    sun_colour: Floats
    sky_colour: Floats  # at the zenith; also what shadows are lit by
    horizon_colour: Floats
    haze_per_m: float
    clouds: float  # share of the sky, 0..1
    exposure: float
    noise: float  # sensor noise, grey levels
    tint: Floats  # white balance
    cloud_light: float = 1.0  # how bright clouds are, by a bright day's
    lamps: float = 0.0  # how strong street lamps, windows and headlights are; 0 = off


def draw_light(rng: np.random.Generator, kind: str) -> Light:
    """The light of a scene; every kind draws the same numbers, so that the street's sensor noise stays its own."""
    day = _daylight(rng)
    return {"day": lambda: day, "dusk": lambda: _dusk(day), "night": lambda: _night(day)}[kind]()


def _daylight(rng: np.random.Generator) -> Light:
    weather = str(rng.choice(["clear", "cloudy", "overcast", "low"], p=[0.5, 0.2, 0.15, 0.15]))
    height = np.radians(rng.uniform(12, 25) if weather == "low" else rng.uniform(28, 62))
    bearing = rng.uniform(0, 2 * np.pi)
    sun = np.array([np.cos(height) * np.sin(bearing), np.cos(height) * np.cos(bearing), np.sin(height)])
    warm = np.clip((np.radians(40) - height) / np.radians(30), 0, 1)
    strength = {"clear": 3.4, "cloudy": 2.3, "overcast": 0.12, "low": 2.9}[weather]
    sun_colour = strength * np.array([1.0, 0.95 - 0.17 * warm, 0.86 - 0.42 * warm])
    blue = {"clear": 0.85, "cloudy": 0.5, "overcast": 0.05, "low": 0.6}[weather]
    sky = np.array([0.62, 0.65, 0.68]) * (1 - blue) + np.array([0.16, 0.34, 0.72]) * blue
    horizon = (np.array([0.84, 0.88, 0.93]) + np.array([-0.1, 0.0, 0.1]) * blue) * (1 - 0.25 * warm) + np.array(
        [0.25, 0.1, -0.08]
    ) * warm
    haze = float(rng.choice([0.0006, 0.0015, 0.0035, 0.008], p=[0.42, 0.33, 0.18, 0.07]))
    bright = {"clear": 0.8, "cloudy": 0.92, "overcast": 1.4, "low": 1.0}[weather]
    return Light(
        sun=sun,
        sun_colour=sun_colour.astype(np.float32),
        sky_colour=sky.astype(np.float32),
        horizon_colour=horizon.astype(np.float32),
        haze_per_m=haze * float(rng.uniform(0.7, 1.3)),
        clouds={"clear": 0.25, "cloudy": 0.6, "overcast": 1.0, "low": 0.4}[weather],
        exposure=bright * float(rng.uniform(0.85, 1.15)),
        noise=float(rng.uniform(0.6, 2.0)),
        tint=rng.normal(1, 0.03, 3).astype(np.float32),
    )


def _dusk(day: Light) -> Light:
    """The sun has just set: a glow at the horizon, a blue sky, lamps lit."""
    bearing = day.sun[:2] / np.hypot(*day.sun[:2])
    sun = np.array([*(np.cos(0.05) * bearing), np.sin(0.05)])
    clear = 1 - day.clouds
    return replace(
        day,
        sun=sun,
        sun_colour=rgb(0.16, 0.07, 0.03) * np.float32(0.3 + 0.7 * clear),
        sky_colour=rgb(0.085, 0.12, 0.24) * np.float32(0.6 + 0.4 * clear),
        horizon_colour=rgb(0.3, 0.2, 0.19) * np.float32(0.6 + 0.4 * clear),
        exposure=day.exposure * 1.9,
        noise=day.noise * 1.5,
        cloud_light=0.2,
        lamps=0.45,
    )


def _night(day: Light) -> Light:
    """No sun; the sky gives off what the town below it does."""
    return replace(
        day,
        sun=np.array([0.3, 0.5, np.sqrt(1 - 0.34)]),
        sun_colour=rgb(0.004, 0.005, 0.007),
        sky_colour=rgb(0.009, 0.011, 0.019),
        horizon_colour=rgb(0.034, 0.026, 0.019),
        exposure=1.5 * (day.exposure if day.exposure < 1.2 else 1.0),
        noise=day.noise * 2.5,
        cloud_light=0.03,
        lamps=1.0,
    )
