"""One scene from a seed and an index: street, objects, light and camera, all drawn from one random stream."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import Camera
from preprocessing.scenes import density, events, furniture, populate, roadside, vehicles
from preprocessing.scenes.asked import AS_EVER, Asked, Weights
from preprocessing.scenes.daylight import Light, draw_light
from preprocessing.scenes.ground import build_ground
from preprocessing.scenes.lamps import Lamp
from preprocessing.scenes.layout import Street, plan_street
from preprocessing.scenes.mounting import Mounting
from preprocessing.scenes.stage import EGO_VEHICLE, Colour, Geometry, Placed, Stage
from preprocessing.scenes.street_types import STREET_TYPES
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
    lamps: tuple[Lamp, ...] = ()
    wet: bool = False


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
    apart = float(rng.uniform(0.96, 1.04))
    camera = Camera(
        baseline_m=round(DEFAULT_BASELINE_M * apart, 6),
        fx_px=round(focal, 4),
        fy_px=round(focal, 4),
        u0_px=round((width - 1) / 2 + float(rng.uniform(-0.02, 0.02)) * width, 4),
        v0_px=round((height - 1) / 2 + float(rng.uniform(-0.03, 0.03)) * height, 4),
    )
    camera = mounting.camera(camera, (apart - 0.96) / 0.08)
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


_THEMES = (("city", 0.5), ("suburb", 0.28), ("avenue", 0.22))


def street_type(seed: int, index: int, asked: Asked = AS_EVER) -> str:
    """The type of street of a scene, without making it."""
    return _drawn_type(_stream(seed, index), asked)


def _stream(seed: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, index]))


def season_asked(seed: int, index: int, asked: Asked = AS_EVER) -> str:
    """One of SEASONS for a scene, without making it, from a stream of its own."""
    if not asked.season:
        return "usual"
    return _weighted(np.random.default_rng(np.random.SeedSequence([seed, index, 2])), asked.season)


def _drawn_type(rng: np.random.Generator, asked: Asked) -> str:
    return _weighted(rng, asked.streets or _THEMES)


def _weighted(rng: np.random.Generator, names: Weights) -> str:
    weights = np.array([weight for _, weight in names])
    return str(rng.choice([name for name, _ in names], p=weights / weights.sum()))


def compose(seed: int, index: int, size: tuple[int, int], asked: Asked = AS_EVER) -> Scene:
    """Scene `index` of the set with this seed, for images of (width, height); the same whoever asks.

    Another mounting, light, wetness or season sees the same street from the same place on the road.
    """
    rng = _stream(seed, index)
    theme = _drawn_type(rng, asked)
    wanted = RARE[index % len(RARE)] & STREET_TYPES[theme].wanted
    street = plan_street(rng, rails="tram" in wanted, theme=theme, wanted=wanted)
    stage = Stage()
    right = [lane for lane in street.lanes() if lane[0] > 0]
    ego_t = right[int(rng.integers(len(right)))][0] + float(rng.normal(0, 0.15))
    by_chance = "autumn" if rng.random() < 0.2 else "summer"  # drawn whatever is asked: the street stays as it is
    season = season_asked(seed, index, asked)
    season = by_chance if season == "usual" else season
    build_ground(stage, street, _ground_colours(rng, season))
    plan = populate.Plan(stage, street, rng, wanted, season)
    _fill(plan, ego_t)
    rig, raised = _rig(rng, street, ego_t, size, asked.mounting)
    light = draw_light(rng, asked.light)
    if rng.random() < 0.3:  # it is raised with the camera: a bonnet as high as the lens would hide the street
        vehicles.add_bonnet(stage, rng, street.pose(0.0, ego_t, raised), EGO_VEHICLE)
    scene_seed = int(rng.integers(1 << 30))
    # What is asked for beyond the street draws from a stream of its own, so that the street stays as it is.
    extra = replace(plan, rng=np.random.default_rng(np.random.SeedSequence([seed, index, 1])))
    if asked.events:
        events.add_event(extra, asked.events[index % len(asked.events)])
    density.add_more(extra, ego_t, dict(asked.density))
    density.thin_out(extra, dict(asked.density))
    lamps = (*stage.lamps, vehicles.headlights(street.pose(0.0, ego_t), 2.2, 0.65)) if light.lamps else ()
    furniture.add_bulbs(stage, list(lamps))
    street = replace(street, lamps=light.lamps)
    return Scene(stage.finish(), street, light, rig, tuple(stage.placed), scene_seed, lamps, asked.wet)


def _fill(plan: populate.Plan, ego_t: float) -> None:
    """Put everything on a street; the order is part of the picture."""
    roadside.add_plots(plan)
    roadside.add_backdrop(plan)
    if plan.street.kind.signals:
        roadside.add_signals(plan)
    populate.add_traffic(plan, ego_t)
    populate.add_parked(plan)
    roadside.add_signs(plan)
    if plan.street.kind.lamps:
        roadside.add_lamps(plan)
    if plan.street.kind.trees:
        roadside.add_street_trees(plan)
    if plan.street.kind.walkers:
        populate.add_kerbside(plan)
        populate.add_pedestrians(plan)


def _ground_colours(rng: np.random.Generator, season: str) -> dict[str, tuple[float, float, float]]:
    def around(colour: tuple[float, float, float], spread: float) -> tuple[float, float, float]:
        r, g, b = np.array(colour) * rng.uniform(1 - spread, 1 + spread) * rng.uniform(0.97, 1.03, 3)
        return float(r), float(g), float(b)

    pavings = [(0.3, 0.29, 0.28), (0.34, 0.3, 0.25), (0.26, 0.26, 0.27), (0.3, 0.22, 0.18)]
    grass = [(0.09, 0.13, 0.035), (0.12, 0.15, 0.04), (0.13, 0.13, 0.05)]
    colours = {
        "road": around((0.13, 0.13, 0.135), 0.35),
        "walk": around(pavings[int(rng.integers(4))], 0.2),
        "verge": around(grass[int(rng.integers(3))], 0.2),
        "park": around(grass[int(rng.integers(3))], 0.2),
        "kerb": around((0.36, 0.35, 0.34), 0.2),
    }
    if season == "winter":
        colours |= {name: _dulled(colours[name]) for name in ("verge", "park")}
    return colours


def _dulled(grass: Colour) -> Colour:
    """Grass of winter: less green, a little darker."""
    r, g, b = (np.array(grass) * 0.6 + 0.4 * np.mean(grass)) * np.array([0.98, 0.86, 0.8])
    return float(r), float(g), float(b)
