"""On and in the camera: drops and dirt on the lens, blur by its own motion, defocus, noise, JPEG, exposure."""

from collections.abc import Mapping

import cv2
import numpy as np

from preprocessing.weather.light import (
    Floats,
    UInt8,
    blurred,
    encoded,
    linear,
    mixed,
    row,
    sensor_noise,
    shouldered,
    smooth_noise,
    smoothstep,
)
from preprocessing.weather.scene import Scene

Done = tuple[Floats, Floats | None]


def drops(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """Drops on the glass, out of focus: each shows the whole street small and upside down, as a strong lens does."""
    height, width = scene.shape
    columns, rows = (one.astype(np.float32) for one in np.meshgrid(np.arange(width), np.arange(height)))
    x, y = columns.copy(), rows.copy()
    cover = np.zeros(scene.shape, np.float32)
    covered = 0.0
    while covered < given["share"] * height * width:
        radius = width * float(np.exp(rng.normal(np.log(0.016), 0.5)))
        u, v = rng.random(2) * (width, height)
        stretch = rng.uniform(1.0, 1.35)
        left, right = max(0, int(u - radius * 1.2)), min(width, int(u + radius * 1.2) + 1)
        top, bottom = max(0, int(v - radius * 1.6)), min(height, int(v + radius * 1.6) + 1)
        covered += np.pi * radius * radius * stretch
        if left >= right or top >= bottom:
            continue
        part = slice(top, bottom), slice(left, right)
        dx, dy = (columns[part] - u) / radius, (rows[part] - v) / (radius * stretch)
        r = np.sqrt(dx * dx + dy * dy)
        inside = r < 1.1
        bend = np.float32(0.3) * width * dx * (0.4 + 0.6 * r * r), np.float32(0.45) * height * dy * (0.4 + 0.6 * r * r)
        x[part] = np.where(inside, width / 2 - bend[0], x[part])
        y[part] = np.where(inside, height * 0.45 - bend[1], y[part])
        cover[part] = np.maximum(cover[part], 1 - smoothstep(r.astype(np.float32), 0.72, 1.08))
    soft = blurred(light, width / 110)
    bent = np.asarray(cv2.remap(soft, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.float32)
    bent = blurred(bent, width / 300)
    return mixed(light, bent, cover), 1 - cover


def dirt(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """Splashes and dust on the glass: they take light away, and give back a brownish mean of all of it."""
    width = scene.shape[1]
    patches = 0.6 * smooth_noise(scene.shape, width / 7, rng) + 0.4 * smooth_noise(scene.shape, width / 25, rng)
    edge = float(np.quantile(patches, 1 - given["share"]))
    cover = np.float32(0.85) * smoothstep(patches, edge - 0.06, edge + 0.12)
    specks = rng.random(scene.shape, np.float32) > 1 - 0.004 * given["share"]
    spots = np.asarray(cv2.GaussianBlur(specks.astype(np.float32), (0, 0), width / 200)) * (width / 200) ** 2 * 6
    cover = np.clip(blurred(cover, width / 250) + 0.7 * np.clip(spots, 0, 1), 0, 0.97).astype(np.float32)
    own = np.array([0.34, 0.29, 0.22], np.float32) * (0.35 + 0.9 * float(light.mean()))
    soft = blurred(light, width / 90)
    return mixed(light, 0.25 * soft + 0.75 * row(own, light), cover), 1 - cover


def motion(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """Blur of an exposure during which the camera moves `forward_m` ahead and turns by `yaw_deg`: near things stretch
    away from the principal point by f T / Z, a turn moves all alike. The depth is that of the middle of the exposure.
    """
    across, down = scene.rays
    inverse = np.zeros(scene.shape, np.float32)
    if scene.distance_m is not None:
        inverse = np.asarray(1 / np.maximum(scene.distance_m, 0.5), np.float32)
    forward, turn = np.float32(given["forward_m"]), np.float32(np.deg2rad(given["yaw_deg"]) * rng.choice((-1.0, 1.0)))
    # To Z − T at the end of the exposure: u' = u / (1 − T / Z), to the first order.
    flow_x = np.float32(scene.lens.fx_px) * (across * forward * inverse + turn * (1 + across * across))
    flow_y = np.float32(scene.lens.fy_px) * (down * forward * inverse + turn * across * down)
    width, height = scene.shape[1], scene.shape[0]
    flow_x, flow_y = (np.clip(flow, -0.15 * width, 0.15 * width).astype(np.float32) for flow in (flow_x, flow_y))
    longest = float(max(np.abs(flow_x).max(), np.abs(flow_y).max()))
    steps = int(np.clip(np.ceil(longest), 1, 17))
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    total = np.zeros_like(light)
    for share in (np.arange(steps) + 0.5) / steps - 0.5:
        u, v = x - np.float32(share) * flow_x, y - np.float32(share) * flow_y
        total += cv2.remap(light, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return total / np.float32(steps), None


def defocus(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """A disc in the place of each point; its diameter in thousandths of the width."""
    diameter = given["disc_per_mille"] / 1000 * scene.shape[1]
    side = int(np.ceil(diameter / 2)) * 2 + 1
    far = np.hypot(*np.meshgrid(*[np.arange(side) - side // 2] * 2))
    disc = np.clip(diameter / 2 + 0.5 - far, 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(light, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)), None


def noise(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """The sensor at a high gain: white is so few electrons, five more of noise come with reading."""
    return sensor_noise(light, given["electrons"], 5.0, rng), None


def jpeg(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """Compressed and read back."""
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), round(given["quality"])]
    done, content = cv2.imencode(".jpg", encoded(light)[..., ::-1], quality)
    assert done
    back: UInt8 = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), np.uint8)
    return linear(np.ascontiguousarray(back[..., ::-1])), None


def exposure(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """So many stops more light, or less; what is brighter than white is cut off, with a soft shoulder."""
    more = light * np.float32(2 ** given["stops"])
    return shouldered(more, 0.8, 0.2), None


def contrast(scene: Scene, light: Floats, given: Mapping[str, float], rng: np.random.Generator) -> Done:
    """Values of the file drawn towards their mean; a glass that is misted over does that."""
    image = encoded(light).astype(np.float32)
    mean = image.mean((0, 1))
    return linear(np.clip(np.rint(mean + (image - mean) * np.float32(given["factor"])), 0, 255).astype(np.uint8)), None
