"""Dusk and night: little light from the sky, much from lamps, and a sensor at its limit."""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from preprocessing.weather.light import (
    Floats,
    blurred,
    least,
    luma,
    mixed,
    most,
    row,
    sensor_noise,
    shouldered,
    smoothstep,
    wide,
)
from preprocessing.weather.scene import Scene

_LAMP = np.array([1.0, 0.78, 0.48], np.float32)  # of streets, warm white
_HEAD = np.array([1.0, 0.95, 0.85], np.float32)
_TAIL = np.array([1.0, 0.06, 0.03], np.float32)
_MOON = np.array([0.80, 0.93, 1.25], np.float32)  # of what is left of the sky's light, balanced for lamps
_GLOWS = ((0.004, 0.12), (0.016, 0.02), (0.06, 0.004))  # of a lens: sigma as share of the width, share of the light


@dataclass(frozen=True)
class _Lamp:
    """Where one shines: place [px], distance [m] and radius [px], colour and strength; 1 saturates."""

    u: float
    v: float
    metres: float
    radius: float
    colour: Floats
    strength: float


def dark(
    scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator
) -> tuple[Floats, Floats | None]:
    """`light` of the day is left (after the camera has opened), lamps shine, the own headlights light the street.

    Lamps: lit traffic lights, bright or red spots of vehicles, heads of tall poles, windows of buildings.
    """
    left = np.float32(given["light"])
    night = float(np.clip(1 - left / 0.3, 0, 1))  # how far lamps are what one sees by
    distance = scene.distance_m
    scenery = _evened(scene, light)  # no sun, no shadows of it
    sky = np.float32(0.5 + 0.5 * (1 - night))
    tint = 1 + (_MOON - 1) * np.float32(0.6)
    lit = scenery * wide(left * np.where(scene.sky, sky * 0.6, 1).astype(np.float32)) * row(tint, light)
    if scene.sky.any():
        lit = _with_glow_of_town(scene, lit, left, night)
    lamps = _car_lamps(scene, rng) + _street_lamps(scene, rng, night)
    if distance is not None:
        # The camera opens until the road ahead is of a middle grey, whatever it is made of.
        ahead = luma(scenery)[scene.shape[0] * 3 // 5 :]
        fall = _headlights(scene, distance) * np.float32(
            night * np.clip(0.16 / max(float(np.median(ahead)), 1e-3), 1, 5)
        )
        for lamp in lamps:
            if lamp.colour is _LAMP:
                fall = fall + _pool(scene, distance, lamp) * np.float32(night)
        lit += scenery * fall
    shine = np.zeros_like(light)
    shine += _signals(scene, light)
    shine += _windows(scene, luma(light), rng) * np.float32(0.35 + 0.65 * night)
    _draw(shine, lamps, night)
    lit = lit + shine
    for sigma, share in _GLOWS:
        lit += blurred(shine, sigma * scene.shape[1]) * np.float32(share * (1 + 3 * night))
    return sensor_noise(shouldered(lit, 0.7, 0.6), given["electrons"], 1.5, rng), None


def _evened(scene: Scene, light: Floats) -> Floats:
    """The street without the difference of sun and shade, somewhat paler, as eyes and sensors have it in the dark."""
    grey = luma(light)
    around = blurred(grey, scene.shape[1] / 25)
    usual = float(np.median(grey[~scene.sky])) if (~scene.sky).any() else float(np.median(grey))
    even = light * wide(np.clip(np.sqrt(usual / np.maximum(around, 1e-3)), 0.35, 1.6))
    return np.asarray(even + (wide(luma(even)) - even) * np.float32(0.35), np.float32)


def _with_glow_of_town(scene: Scene, lit: Floats, left: np.float32, night: float) -> Floats:
    """The sky: of itself dark blue, brighter and warmer towards the horizon."""
    height = np.clip(-scene.rays[1] * 2.2, 0, 1)[..., None]
    dusk = np.array([0.30, 0.42, 0.75], np.float32) * left
    low = np.array([0.95, 0.62, 0.42], np.float32) * left * np.float32(1 - 0.75 * night)
    town = np.array([0.016, 0.012, 0.009], np.float32) * np.float32(night)
    own = low + (dusk - low) * height + town * (1 - height)
    weight = np.asarray(cv2.GaussianBlur(scene.sky.astype(np.float32), (0, 0), 0.7))
    return mixed(lit, own + np.float32(0.25) * lit, weight)


def _headlights(scene: Scene, distance: Floats) -> Floats:
    """What the own dipped beam gives, `[H,W,3]`: most on the road 5 to 25 m ahead, little above the horizon."""
    across, down = scene.rays
    beam = np.exp(-((across / 0.32) ** 2)) * (0.12 + 0.88 * smoothstep(down + 0.012, -0.01, 0.03))
    beam = beam * (1 + 0.5 * np.exp(-(((across - 0.04) / 0.1) ** 2) - ((down - 0.06) / 0.05) ** 2))
    fall = np.minimum(1.0, (9.0 / np.maximum(np.where(np.isfinite(distance), distance, 1e4), 3.0)) ** 1.7)
    light = np.asarray(beam * fall, np.float32)
    return np.asarray(wide(light) * row(_HEAD, light), np.float32)


def _pool(scene: Scene, distance: Floats, lamp: _Lamp) -> Floats:
    """What a street lamp gives around it, `[H,W,3]`: by the square of the way, more straight below."""
    finite = np.where(np.isfinite(distance), distance, 1e4)
    across, down = scene.rays
    x, y, z = across * finite, down * finite, finite
    place = (lamp.u - scene.lens.cx_px) / scene.lens.fx_px * lamp.metres, (lamp.v - scene.lens.cy_px) / scene.lens.fy_px
    dx, dy, dz = x - place[0], y - place[1] * lamp.metres, z - lamp.metres
    way = dx * dx + dy * dy + dz * dz + 4.0
    below = np.clip(dy / np.sqrt(way), 0.05, 1)
    light = np.asarray(30.0 * below / way, np.float32)
    return np.asarray(wide(light) * row(lamp.colour, light), np.float32)


def _signals(scene: Scene, light: Floats) -> Floats:
    """What of traffic lights is lit by day shines: of each housing the brightest colour alone."""
    shine = np.zeros_like(light)
    lamps = scene.seen("lights")
    if lamps.any():
        brightest, darkest = most(light), least(light)
        strong = lamps & (brightest > 0.15) & (brightest - darkest > 0.55 * brightest)
        count, parts = cv2.connectedComponents(lamps.astype(np.uint8), connectivity=8)
        top = np.zeros(count, np.float32)
        np.maximum.at(top, parts[strong], brightest[strong])
        strong &= brightest > 0.8 * top[parts]
        colour = light / wide(np.maximum(brightest, 1e-3))
        shine[strong] = (1.6 * colour[strong] ** 1.6).astype(np.float32)
    return shine


def _car_lamps(scene: Scene, rng: np.random.Generator) -> list[_Lamp]:
    """Two of each vehicle that is seen whole enough: red ones of those to the right that go ahead, white ones of those
    that come; a part of the parked ones are dark.
    """
    cars = scene.seen("vehicle") & ~scene.seen("own car")
    if not cars.any():
        return []
    cut = cars.copy()
    if scene.distance_m is not None:  # cars one behind another are told apart by a step in depth
        depth = np.where(np.isfinite(scene.distance_m), scene.distance_m, 250)
        step = np.abs(cv2.Laplacian(np.log(depth).astype(np.float32), cv2.CV_32F)) > 0.12
        cut &= ~step
    count, parts, boxes, centres = cv2.connectedComponentsWithStats(cut.astype(np.uint8), connectivity=4)
    lamps = []
    for part in range(1, count):
        left, top, width, height, area = (int(one) for one in boxes[part])
        draws = rng.random(3)
        if area < scene.shape[0] * scene.shape[1] * 1e-4 or width < 4 or height < 3 or not 0.4 < width / height < 4:
            continue
        if draws[0] < 0.35:
            continue
        towards = centres[part][0] < scene.lens.cx_px if draws[1] < 0.85 else bool(draws[2] < 0.5)
        colour = _HEAD if towards else _TAIL
        metres = 15.0 if scene.distance_m is None else float(np.median(scene.distance_m[parts == part]))
        radius = max(0.6, 0.10 * scene.lens.fx_px / max(metres, 1.0))
        line = top + 0.56 * height
        for u in (left + 0.14 * width, left + 0.86 * width):
            row, column = min(scene.shape[0] - 1, int(line)), min(scene.shape[1] - 1, int(u))
            if cars[row, column]:
                lamps.append(_Lamp(u, line, metres, radius, colour, 4.0 if towards else 1.3))
    return lamps


def _street_lamps(scene: Scene, rng: np.random.Generator, night: float) -> list[_Lamp]:
    """At the heads of poles that reach well above the horizon, eight at most, the nearest."""
    poles, boards = scene.seen("pole"), scene.seen("lights") | scene.seen("upright")
    if not poles.any():
        return []
    joined = cv2.morphologyEx(poles.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 3), np.uint8))
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    lamps = []
    for part in range(1, count):
        left, top, width, height, _ = (int(one) for one in boxes[part])
        if height < scene.shape[0] / 7 or top > scene.lens.cy_px - scene.shape[0] / 10 or top < 3:
            continue
        if boards[max(0, top - 5) : top + 2, max(0, left - 2) : left + width + 2].any():
            continue  # that of a sign or a traffic light
        own = (parts == part) & poles
        metres = 18.0 if scene.distance_m is None else float(np.median(scene.distance_m[own])) if own.any() else 18.0
        if not np.isfinite(metres) or rng.random() < 0.15:
            continue
        head = (
            float(np.flatnonzero(parts[top + 1] == part).mean()) if (parts[top + 1] == part).any() else left + width / 2
        )
        radius = max(0.7, 0.16 * scene.lens.fx_px / max(metres, 2.0))
        lamps.append(_Lamp(head, top + 0.5, metres, radius, _LAMP, 3.0 * max(night, 0.3)))
    return sorted(lamps, key=lambda lamp: lamp.metres)[:8]


def _windows(scene: Scene, grey: Floats, rng: np.random.Generator) -> Floats:
    """Lit windows: of the panes of a wall, which by day are darker than the wall around them, one in three."""
    shine = np.zeros((*scene.shape, 3), np.float32)
    walls = scene.seen("building")
    if not walls.any():
        return shine
    dark_spots = walls & (grey < 0.7 * blurred(grey, scene.shape[1] / 60))
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(dark_spots.astype(np.uint8), connectivity=4)
    draws = rng.random((count, 2))
    width, height, area = (boxes[:, one].astype(np.float64) for one in (2, 3, 4))
    pane = (area >= 5) & (area < 0.006 * grey.size) & (area > 0.5 * width * height)
    pane &= (width < 3 * height) & (height < 5 * width)
    pane[0] = False
    lit = pane & (draws[:, 0] < 0.33)
    warm = draws[:, 1:]
    colours = warm * (0.85, 0.55, 0.25) + (1 - warm) * (0.70, 0.72, 0.66)
    table = np.where(lit[:, None], 0.55 * colours, 0).astype(np.float32)
    return table[parts]


def _draw(shine: Floats, lamps: list[_Lamp], night: float) -> None:
    """The bodies of lamps, into the light that shines."""
    for lamp in sorted(lamps, key=lambda one: -one.metres):
        colour = tuple(float(one) for one in lamp.colour * lamp.strength * (0.35 + 0.65 * night))
        centre = round(16 * lamp.u), round(16 * lamp.v)
        cv2.circle(shine, centre, round(16 * lamp.radius), colour, -1, cv2.LINE_AA, 4)
