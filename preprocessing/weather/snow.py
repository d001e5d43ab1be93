"""Snow that lies and snow that falls."""

from collections.abc import Mapping

import cv2
import numpy as np

from preprocessing.weather.air import transmission, veiled
from preprocessing.weather.falling import flakes
from preprocessing.weather.light import Floats, airlight, blurred, luma, mixed, row, smooth_noise, smoothstep, wide
from preprocessing.weather.rain import on_ground, overcast
from preprocessing.weather.scene import Scene

_ALBEDO = np.array([0.80, 0.83, 0.87], np.float32)
_TRACKS_M = (0.75, 0.28)  # of wheels, beside the middle of a lane, and half their width


def lying(scene: Scene, light: Floats, cover: float, rng: np.random.Generator) -> Floats:
    """Snow on what faces up, thinner on the road, with tracks of wheels where the road's distances are known."""
    up = scene.upward
    plants, road = scene.seen("plants"), scene.seen("road")
    amount = smoothstep(up, 0.45, 0.8)
    grey = luma(light)
    # The upper side of leaves and branches is the bright one.
    bright = smoothstep(grey / np.maximum(blurred(grey, 6), 1e-3), 0.9, 1.5)
    amount = np.where(plants, 0.15 + 0.6 * bright, amount)
    # Of a vehicle the upper edge of what is seen; its sides are too even for a stereo depth to be flat there.
    cars, band = scene.seen("vehicle"), max(1, scene.shape[0] // 90)
    edge = cars.copy()
    edge[band:] &= ~cars[:-band]
    amount = np.where(cars, 0.9 * edge, amount)
    amount = np.where(scene.seen("building") | scene.seen("upright") | scene.seen("pole"), 0.3 * amount, amount)
    ground = scene.seen("ground") | road
    patches = smooth_noise(scene.shape, max(4, scene.shape[1] / 40), rng)
    patches = np.where(ground, on_ground(scene, smooth_noise((64, 64), 6, rng), 0.3), patches)
    amount *= smoothstep(patches + np.float32(cover), 0.4, 1.1)
    if scene.distance_m is not None:
        x = scene.rays[0] * np.where(np.isfinite(scene.distance_m), scene.distance_m, 0)
        beside = np.abs(np.abs((x + 1.75) % 3.5 - 1.75) - np.float32(_TRACKS_M[0]))  # lanes of 3.5 m
        tracks = 1 - smoothstep(beside.astype(np.float32), _TRACKS_M[1] * 0.6, _TRACKS_M[1] * 1.6)
        amount = np.where(road, amount * (1 - 0.75 * tracks * (1 - 0.4 * cover)), amount)
    amount = np.where(scene.sky | scene.seen("own car"), 0, amount).astype(np.float32)
    amount = np.asarray(cv2.GaussianBlur(amount, (0, 0), 0.8), np.float32)
    # What the ground gives back tells how much light falls on it, shadows included.
    flat = (scene.upward > 0.7) & ~scene.sky
    usual = float(np.median(grey[flat])) if flat.any() else 0.2
    shade = np.clip(blurred(grey, 2.5) / max(usual, 1e-3), 0.55, 1.15)
    level = 0.62 * shade * (0.93 + 0.14 * patches)
    return mixed(light, wide(level) * row(_ALBEDO, light), amount)


def snow(
    scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """Clouds, snow on surfaces that face up, the veil of falling snow by distance, and flakes before it."""
    light = lying(scene, overcast(scene, light, 1.0, 0.6), given["cover"], rng)
    air = airlight(light, scene.sky)
    share = None
    if scene.distance_m is not None:
        share = transmission(scene.distance_m, given["visibility_m"])
        light = veiled(light, share, air)
    near = flakes(scene, given["flakes_per_m3"], 6.0, rng)
    white = np.maximum(air, 0.55)
    return mixed(light, white, near), share
