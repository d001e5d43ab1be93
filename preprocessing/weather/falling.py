"""What falls between camera and street: drops as streaks, flakes as discs, in layers by distance."""

import cv2
import numpy as np

from preprocessing.weather.light import Floats
from preprocessing.weather.scene import Scene

_LAYERS_M = ((0.7, 1.5), (1.5, 4.0), (4.0, 10.0), (10.0, 25.0))
_MOST = 2500  # of a layer: farther ones are finer than a pixel and belong to the veil


def _count(scene: Scene, near: float, far: float, per_m3: float) -> int:
    """Things of so many in a cubic metre within a slab of the view, at most `_MOST`."""
    height, width = scene.shape
    volume = width / scene.lens.fx_px * height / scene.lens.fy_px * (far**3 - near**3) / 3
    return int(min(_MOST, per_m3 * volume))


def _before(scene: Scene, metres: float) -> Floats:
    """1 where the street is farther than this."""
    if scene.distance_m is None:
        return np.ones(scene.shape, np.float32)
    return (scene.distance_m > metres).astype(np.float32)


def streaks(scene: Scene, per_m3: float, drop_mm: float, length_m: float, rng: np.random.Generator) -> Floats:
    """How much of each pixel [H,W] drops cover, 0..1.

    A drop of `drop_mm` falls `length_m` during the exposure. By physics a drop covers each place for a few per cent of
    it, so single streaks hardly show; they are drawn about three times stronger, as most pictures of rain show them.
    """
    height, width = scene.shape
    lean = np.deg2rad(rng.normal(0, 6))
    cover = np.zeros(scene.shape, np.float32)
    for near, far in _LAYERS_M:
        count = _count(scene, near, far, per_m3)
        middle = (near + far) / 2
        size_px, length_px = drop_mm / 1000 * scene.lens.fx_px / middle, length_m * scene.lens.fy_px / middle
        places = rng.random((count, 2)) * (width * 1.2, height * 1.2) - (width * 0.1, height * 0.1)
        lengths = length_px * rng.uniform(0.6, 1.3, count)
        steps = np.stack([np.sin(lean) * lengths, np.cos(lean) * lengths], 1)
        lines = np.rint(16 * np.stack([places, places + steps], 1)).astype(np.int32)
        drawn = np.zeros(scene.shape, np.uint8)
        if count:
            cv2.polylines(drawn, list(lines), False, 255, max(1, round(size_px)), cv2.LINE_AA, 4)
        strength = 0.1 * min(1.0, size_px)
        layer = np.float32(strength / 255) * drawn * _before(scene, middle)
        cover = 1 - (1 - cover) * (1 - layer)
    return np.asarray(cover, np.float32)


def flakes(scene: Scene, per_m3: float, flake_mm: float, rng: np.random.Generator) -> Floats:
    """How much of each pixel [H,W] falling flakes cover, 0..1; the nearest are out of focus."""
    height, width = scene.shape
    cover = np.zeros(scene.shape, np.float32)
    for near, far in _LAYERS_M:
        count = _count(scene, near, far, per_m3)
        middle = (near + far) / 2
        radius = flake_mm / 2000 * scene.lens.fx_px / middle
        drawn = np.zeros(scene.shape, np.float32)
        x, y = rng.random(count) * width, rng.random(count) * height
        sizes = rng.uniform(0.6, 1.5, count)
        if radius < 0.8:  # a part of a pixel
            np.maximum.at(
                drawn, (y.astype(int), x.astype(int)), (np.minimum(1, radius * sizes) ** 1.5).astype(np.float32)
            )
        else:
            for u, v, size in zip(x, y, sizes, strict=True):
                centre = round(16 * float(u)), round(16 * float(v))
                cv2.circle(drawn, centre, round(16 * radius * float(size)), 1.0, -1, cv2.LINE_AA, 4)
        drawn = np.asarray(cv2.GaussianBlur(drawn, (0, 0), max(0.5, radius * (0.9 if near < 1 else 0.4))))
        layer = np.clip(drawn * (0.75 if near < 1 else 0.9), 0, 1) * _before(scene, middle)
        cover = 1 - (1 - cover) * (1 - layer)
    return np.asarray(cover, np.float32)
