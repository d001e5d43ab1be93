"""Joint geometric and photometric transforms of one frame, with the depth rule of a zoom.

A zoom by z shows the scene as a lens of z times the focal length would: every object is z times larger, which
is what it looks like from 1/z of the distance, so **depth is divided by z** (protocols.md; disparity would be
multiplied). Labels and depth are only ever picked from existing pixels, never averaged.
"""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.config import Augment
from advmtl.tasks.grouping import IGNORED_INSTANCE
from preprocessing.ground import IGNORE

Size = tuple[int, int]  # (width, height) [px]


@dataclass(frozen=True)
class Geometry:
    """One window into a frame: its centre in source pixels, zoom, rotation and mirroring."""

    center: tuple[float, float]
    zoom: float
    rotation_deg: float = 0.0
    flip: bool = False


@dataclass(frozen=True)
class Arrays:
    """One frame: image RGB uint8 `[H,W,3]`, labels uint8 `[H,W]` (255 = ignore), depth float32 `[H,W]` [m] (0
    = invalid), instances uint16 `[H,W]` as `map_instances` gives them (0 = none, 65535 = ignore), or None where
    nobody asks for them.
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.uint8]
    depth: NDArray[np.float32]
    instances: NDArray[np.uint16] | None = None


@dataclass(frozen=True)
class Jitter:
    """Colour factors: 1 leaves brightness, contrast and saturation alone, 0 turns the hue by nothing (in
    turns).
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue: float = 0.0
    identity: bool = field(default=False, compare=False)


def augment(frame: Arrays, crop: Size, rng: np.random.Generator, settings: Augment) -> Arrays:
    """Draw one flip, zoom, rotation, crop and colour change from `rng` and apply them to all arrays."""
    height, width = frame.labels.shape
    geometry = draw_geometry(rng, (width, height), crop, settings)
    jitter = draw_jitter(rng, settings)
    warped = warp(frame, crop, geometry)
    return replace(warped, image=apply_jitter(warped.image, jitter))


def draw_geometry(rng: np.random.Generator, size: Size, crop: Size, settings: Augment) -> Geometry:
    """Draw a window of `crop / zoom` source pixels that lies inside a frame of `size`.

    Where the frame is smaller than the drawn window, the zoom is raised until the frame covers it; depth
    follows. The zoom is drawn log-uniformly. Every call takes the same number of draws, whatever the
    settings.
    """
    flip, zoom, rotation, x, y = rng.random(5)
    low, high = settings.zoom
    factor = float(low * (high / low) ** zoom)
    factor = max(factor, crop[0] / size[0], crop[1] / size[1])
    window = (crop[0] / factor, crop[1] / factor)
    # A whole-pixel corner: at zoom 1 the crop is then an exact copy, not one blurred by half a pixel.
    left = min(round(float(x) * (size[0] - window[0])), size[0] - window[0])
    top = min(round(float(y) * (size[1] - window[1])), size[1] - window[1])
    return Geometry(
        center=(left + window[0] / 2 - 0.5, top + window[1] / 2 - 0.5),
        zoom=factor,
        rotation_deg=float((2 * rotation - 1) * settings.rotation_deg),
        flip=bool(flip < settings.flip),
    )


def window_matrix(crop: Size, geometry: Geometry) -> NDArray[np.float64]:
    """The 2×3 matrix from an output pixel (x, y, 1) to source pixels; pixel centres are whole numbers."""
    angle = np.deg2rad(geometry.rotation_deg)
    cosine, sine = np.cos(angle) / geometry.zoom, np.sin(angle) / geometry.zoom
    linear = np.array([[cosine, -sine], [sine, cosine]])
    if geometry.flip:
        linear[:, 0] *= -1
    middle = np.array([(crop[0] - 1) / 2, (crop[1] - 1) / 2])
    return np.column_stack([linear, np.asarray(geometry.center) - linear @ middle])


def warp(frame: Arrays, crop: Size, geometry: Geometry) -> Arrays:
    """Cut the window out of the frame at `crop` size: one warp, the image bilinear, labels and depth nearest.

    What a rotation brings in from outside is ignored in the labels (255), the depth (0) and the instances (65535) and
    mirrored in the image. Depth is divided by the zoom. Offsets to instances' centres are computed only from the ids
    that come out, so they need no rule of their own for mirror, zoom or rotation.
    """
    matrix = window_matrix(crop, geometry)
    flags = cv2.WARP_INVERSE_MAP
    image = cv2.warpAffine(frame.image, matrix, crop, flags=flags | cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    nearest = flags | cv2.INTER_NEAREST
    labels = cv2.warpAffine(frame.labels, matrix, crop, flags=nearest, borderValue=IGNORE)
    depth = cv2.warpAffine(frame.depth, matrix, crop, flags=nearest, borderValue=0)
    if geometry.zoom != 1.0:
        depth *= np.float32(1 / geometry.zoom)
    instances = frame.instances
    if instances is not None:
        instances = cv2.warpAffine(instances, matrix, crop, flags=nearest, borderValue=IGNORED_INSTANCE)
    return Arrays(image, labels, depth, instances)


def draw_jitter(rng: np.random.Generator, settings: Augment) -> Jitter:
    """Draw factors uniformly from 1 ± each setting, and a hue turn from ± `hue`."""
    brightness, contrast, saturation, hue = 2 * rng.random(4) - 1
    strengths = (settings.brightness, settings.contrast, settings.saturation, settings.hue)
    return Jitter(
        brightness=float(1 + brightness * settings.brightness),
        contrast=float(1 + contrast * settings.contrast),
        saturation=float(1 + saturation * settings.saturation),
        hue=float(hue * settings.hue),
        identity=not any(strengths),
    )


LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
# RGB -> YIQ (FCC 1953): a turn in the IQ plane changes the hue and leaves the luma. As in HSV, a small turn
# makes red yellowish.
YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
RGB_FROM_YIQ = np.linalg.inv(YIQ)


def jitter_matrix(jitter: Jitter, mean_luma: float) -> NDArray[np.float64]:
    """All four colour changes as one 3×4 matrix on (R, G, B, 1) in 0..255.

    In order: brightness scales; contrast scales around the mean luma of the brightened image; saturation
    blends with the luma; hue turns the IQ plane. One linear map instead of a way to HSV and back is several
    times faster.
    """
    turn = 2 * np.pi * jitter.hue
    rotation = np.array(
        [[1, 0, 0], [0, np.cos(turn), np.sin(turn)], [0, -np.sin(turn), np.cos(turn)]], dtype=np.float64
    )
    hue = RGB_FROM_YIQ @ rotation @ YIQ
    saturation = jitter.saturation * np.eye(3) + (1 - jitter.saturation) * np.tile(LUMA, (3, 1))
    color = hue @ saturation
    offset = (1 - jitter.contrast) * jitter.brightness * mean_luma
    # Both colour maps keep grey as it is, so the offset passes through them unchanged.
    return np.column_stack([jitter.contrast * jitter.brightness * color, np.full(3, offset)])


def apply_jitter(image: NDArray[np.uint8], jitter: Jitter) -> NDArray[np.uint8]:
    """Change the colours of an RGB uint8 image `[H,W,3]`; values outside 0..255 are clipped."""
    if jitter.identity:
        return image
    mean_luma = float(np.dot(cv2.mean(image)[:3], LUMA))
    return np.asarray(cv2.transform(image, jitter_matrix(jitter, mean_luma)), dtype=np.uint8)
