"""Rain: wet road, veil, streaks."""

from collections.abc import Mapping

import cv2
import numpy as np

from preprocessing.weather.air import veiled
from preprocessing.weather.falling import streaks
from preprocessing.weather.light import Floats, airlight, blurred, luma, mixed, row, smooth_noise, smoothstep, wide
from preprocessing.weather.scene import Scene

_WATER = 0.02  # reflectance of water seen from above
_DARKER = 0.45  # what a soaked road takes of the light that a dry one gives back
_DROP_MM = 1.0


def drops_per_m3(rate_mm_h: float) -> float:
    """Drops of more than a millimetre in a cubic metre, by the sizes of Marshall and Palmer (1948)."""
    slope = 4.1 * rate_mm_h**-0.21
    return 8000 / slope * float(np.exp(-slope * _DROP_MM))


def extinction_per_m(rate_mm_h: float) -> float:
    """Of light by rain, 0.312 R^0.67 per kilometre, as Halder et al. (2019) take it."""
    return 0.312 * rate_mm_h**0.67 / 1000


def wet_road(scene: Scene, light: Floats, wetness: float, rng: np.random.Generator) -> Floats:
    """The road darker, and mirroring what stands above it: more the flatter it is seen (Schlick 1994), less sharply the
    farther from where the thing stands. Puddles mirror all, the rest a part. Without a road by class nothing changes.
    """
    road = scene.seen("road")
    if not road.any() or wetness <= 0:
        return light
    height, width = scene.shape
    rows = np.arange(height, dtype=np.float32)[:, None]
    edge = np.maximum.accumulate(np.where(road, -1, np.arange(height)[:, None]), axis=0)
    edge = np.asarray(cv2.medianBlur(np.ascontiguousarray(np.maximum(edge, 0), np.int16), 5), np.float32)
    # A thing that stands on the plane at row e is mirrored at 2 e − v.
    source = np.clip(2 * edge - rows, 0, height - 1).astype(np.float32)
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    # Ripples: each place of the road mirrors a little from beside.
    tremble = (smooth_noise(scene.shape, max(3, width / 90), rng) - 0.5) * np.clip((rows - edge) / height * 40, 0, 8)
    beside = (columns + tremble).astype(np.float32)
    near = np.asarray(cv2.remap(light, beside, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    sigma = max(1.0, height / 40)
    rough = np.asarray(cv2.GaussianBlur(near, (0, 0), sigmaX=max(0.8, sigma / 4), sigmaY=sigma), np.float32)
    share = smoothstep((rows - edge) / height, 0.0, 0.25)
    mirrored = mixed(near, rough, 0.35 + 0.65 * share)
    down = np.maximum(scene.rays[1], 1e-3)
    cosine = down / np.sqrt(1 + down * down + scene.rays[0] ** 2)
    fresnel = _WATER + (1 - _WATER) * (1 - cosine) ** 5
    patches = smooth_noise((64, 64), 10, rng)
    puddles = smoothstep(on_ground(scene, patches), 0.75 - 0.35 * wetness, 0.9 - 0.25 * wetness)
    amount = np.float32(wetness) * fresnel * (0.3 + 0.7 * puddles)
    soaked = light * wide(1 - np.float32(_DARKER * wetness) * (0.8 + 0.2 * puddles))
    wet = np.asarray(soaked + (mirrored - soaked * np.float32(0.5)) * wide(amount), np.float32)
    return mixed(light, wet, np.asarray(cv2.GaussianBlur(road.astype(np.float32), (0, 0), 0.7)) * road)


def on_ground(scene: Scene, grid: Floats, cell_m: float = 0.5) -> Floats:
    """A square map laid on the road again and again, as it is seen [H,W]."""
    across, down = scene.rays
    along = np.clip(scene.camera_height_m / np.maximum(down, 1e-3), 0, 200)
    x, y = across * along / cell_m, along / cell_m / 3  # puddles and tracks lie along the street
    x, y = np.broadcast_arrays(x % grid.shape[1], y % grid.shape[0])
    columns, rows = (np.ascontiguousarray(one, np.float32) for one in (x, y))
    return np.asarray(cv2.remap(grid, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def overcast(scene: Scene, light: Floats, amount: float, sky_luma: float = 0.62) -> Floats:
    """Light from clouds alone: the sky an even grey, colours paler, sunlit places no brighter than the others."""
    grey = luma(light)
    around = blurred(grey, scene.shape[1] / 20)
    usual = float(np.median(grey[~scene.sky])) if (~scene.sky).any() else 0.2
    pale = light * wide(np.clip((usual / np.maximum(around, 1e-3)) ** np.float32(0.45 * amount), 0.4, 1.6))
    pale += (wide(luma(pale)) - pale) * np.float32(0.45 * amount)
    if scene.sky.any():
        rows = np.linspace(0.85, 1.05, scene.shape[0], dtype=np.float32)[:, None]
        texture = 0.25 * (grey / max(float(grey[scene.sky].mean()), 1e-3) - 1)
        clouds = wide(rows * np.float32(sky_luma) * (1 + np.clip(texture, -0.3, 0.3)))
        clouds *= row(np.array([0.98, 1.0, 1.03], np.float32), light)
        pale = mixed(pale, clouds, np.asarray(cv2.GaussianBlur(scene.sky.astype(np.float32), (0, 0), 0.8)) * amount)
    return np.asarray(pale, np.float32)


def rain(
    scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """Clouds, a wet road, the veil by distance and streaks before it."""
    rate = given["rate_mm_h"]
    amount = min(1.0, 0.5 + rate / 50)
    light = overcast(scene, light, amount) * np.float32(1 - 0.15 * amount)
    light = wet_road(scene, light, given["wetness"], rng)
    air = airlight(light, scene.sky)
    share = None
    if scene.distance_m is not None:
        share = np.exp(np.float32(-extinction_per_m(rate)) * scene.distance_m)
        sky = np.float32(0.6)  # clouds stay clouds
        light = veiled(light, np.where(np.isinf(scene.distance_m), sky, share), air)
    cover = streaks(scene, drops_per_m3(rate), 2.0, 0.12, rng)
    # A drop shows most of what is around it, the sky above all, whatever it is before (Garg and Nayar 2007).
    drop = np.float32(0.94) * (air + light.mean((0, 1))) / 2
    return mixed(light, drop, cover), share


def wet(
    scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """A wet road after the rain."""
    return wet_road(scene, light, given["wetness"], rng), None
