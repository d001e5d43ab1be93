"""One scene from a seed and an index: street, objects, light and camera, all drawn from one random stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import Camera
from preprocessing.scenes import populate, roadside, vehicles
from preprocessing.scenes.ground import build_ground
from preprocessing.scenes.layout import Street, plan_street
from preprocessing.scenes.mesh import Floats
from preprocessing.scenes.mounting import AS_CITYSCAPES, Mounting
from preprocessing.scenes.stage import EGO_VEHICLE, Geometry, Placed, Stage
from preprocessing.sets import DEFAULT_BASELINE_M, DEFAULT_FOCAL_PX, DEFAULT_WIDTH_PX

# Every scene must show some of the rare classes: entry i mod len is drawn on top of what chance brings.
RARE: tuple[frozenset[str], ...] = (
    frozenset({"tram", "light"}),
    frozenset({"bus", "wall"}),
    frozenset({"rider", "fence"}),
    frozenset({"truck", "bicycle"}),
    frozenset({"motorcycle", "light"}),
    frozenset({"tram", "fence"}),
    frozenset({"bus", "bicycle"}),
    frozenset({"motorcycle", "wall"}),
    frozenset({"truck", "rider"}),
)


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


@dataclass(frozen=True)
class Rig:
    """A stereo camera in the world: rows of `axes` are right, down, forward; `centre` is the left eye."""

    camera: Camera
    centre: NDArray[np.float64]
    axes: NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Everything a renderer needs."""

    geometry: Geometry
    street: Street
    light: Light
    rig: Rig
    placed: tuple[Placed, ...]
    seed: int


def _light(rng: np.random.Generator) -> Light:
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


def _rig(
    rng: np.random.Generator, street: Street, ego_t: float, size: tuple[int, int], mounting: Mounting
) -> tuple[Rig, float]:
    """Near Cityscapes' own camera: focal length and baseline vary by 4 %, its height and angles a little.

    What `mounting` says goes before it; the same numbers are drawn, so that the street is the same through any lens.
    Returns the rig and how much higher it hangs than the street's own draw [m].
    """
    width, height = size
    zoom = float(rng.uniform(0.96, 1.04))
    focal = mounting.focal_px(width, (zoom - 0.96) / 0.08) or DEFAULT_FOCAL_PX * width / DEFAULT_WIDTH_PX * zoom
    camera = Camera(
        baseline_m=round(DEFAULT_BASELINE_M * float(rng.uniform(0.96, 1.04)), 6),
        fx_px=round(focal, 4),
        fy_px=round(focal, 4),
        u0_px=round((width - 1) / 2 + float(rng.uniform(-0.02, 0.02)) * width, 4),
        v0_px=round((height - 1) / 2 + float(rng.uniform(-0.03, 0.03)) * height, 4),
    )
    drawn = float(rng.uniform(1.2, 1.55))
    above = mounting.height_m(drawn, (drawn - 1.2) / 0.35)
    where = street.pose(0.0, ego_t, above)
    yaw, pitch, roll = rng.normal(0, 0.03), rng.normal(0.012, 0.012), rng.normal(0, 0.012)
    pitch = mounting.pitch_rad(pitch, (pitch - 0.012) / 0.012)
    forward, left, up = where.matrix.T
    forward, left = np.cos(yaw) * forward + np.sin(yaw) * left, np.cos(yaw) * left - np.sin(yaw) * forward
    forward, up = np.cos(pitch) * forward - np.sin(pitch) * up, np.cos(pitch) * up + np.sin(pitch) * forward
    left, up = np.cos(roll) * left + np.sin(roll) * up, np.cos(roll) * up - np.sin(roll) * left
    return Rig(camera, where.offset, np.stack([-left, -up, forward])), above - drawn


def compose(seed: int, index: int, size: tuple[int, int], mounting: Mounting = AS_CITYSCAPES) -> Scene:
    """Scene `index` of the set with this seed, for images of (width, height); the same whoever asks.

    Another mounting sees the same street from the same place on the road.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, index]))
    wanted = RARE[index % len(RARE)]
    theme = str(rng.choice(["city", "suburb", "avenue"], p=[0.5, 0.28, 0.22]))
    street = plan_street(rng, rails="tram" in wanted, theme=theme, wanted=wanted)
    stage = Stage()
    right = [lane for lane in street.lanes() if lane[0] > 0]
    ego_t = right[int(rng.integers(len(right)))][0] + float(rng.normal(0, 0.15))
    autumn = bool(rng.random() < 0.2)
    build_ground(stage, street, _ground_colours(rng))
    plan = populate.Plan(stage, street, rng, wanted)
    roadside.add_plots(plan, autumn)
    roadside.add_backdrop(plan, autumn)
    roadside.add_signals(plan)
    populate.add_traffic(plan, ego_t)
    populate.add_parked(plan)
    roadside.add_signs(plan)
    roadside.add_lamps(plan)
    roadside.add_street_trees(plan, autumn)
    populate.add_kerbside(plan)
    populate.add_pedestrians(plan)
    rig, raised = _rig(rng, street, ego_t, size, mounting)
    light = _light(rng)
    if rng.random() < 0.3:  # it is raised with the camera: a bonnet as high as the lens would hide the street
        vehicles.add_bonnet(stage, rng, street.pose(0.0, ego_t, raised), EGO_VEHICLE)
    scene_seed = int(rng.integers(1 << 30))
    return Scene(stage.finish(), street, light, rig, tuple(stage.placed), scene_seed)


def _ground_colours(rng: np.random.Generator) -> dict[str, tuple[float, float, float]]:
    def around(colour: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
        r, g, b = np.array(colour) * rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.97, 1.03, 3)
        return float(r), float(g), float(b)

    pavings = [(0.3, 0.29, 0.28), (0.34, 0.3, 0.25), (0.26, 0.26, 0.27), (0.3, 0.22, 0.18)]
    grass = [(0.09, 0.13, 0.035), (0.12, 0.15, 0.04), (0.13, 0.13, 0.05)]
    return {
        "road": around((0.13, 0.13, 0.135), 0.35),
        "walk": around(pavings[int(rng.integers(4))], 0.2),
        "verge": around(grass[int(rng.integers(3))], 0.2),
        "park": around(grass[int(rng.integers(3))], 0.2),
        "kerb": around((0.36, 0.35, 0.34), 0.2),
    }
