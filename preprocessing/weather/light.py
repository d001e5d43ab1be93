"""Light that adds up: sRGB to linear and back, blurs, the air's own light, the noise of a sensor."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
UInt8 = NDArray[np.uint8]
Numbers = NDArray[np.floating[Any]]

LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)  # ITU-R BT.709, of linear light
_STEPS = 16384


def _to_linear(code: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)


def _to_code(light: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


_LINEAR = _to_linear(np.arange(256) / 255).astype(np.float32)
_CODE = np.rint(255 * _to_code(np.arange(_STEPS) / (_STEPS - 1))).astype(np.uint8)


def linear(image: UInt8) -> Floats:
    """sRGB 0..255 `[H,W,3]` as linear light, 1 = white (IEC 61966-2-1)."""
    return _LINEAR[image]


def encoded(light: Floats) -> UInt8:
    """Linear light as sRGB; what is brighter than white is white."""
    places = np.clip(light, 0, 1)
    places *= _STEPS - 1
    places += 0.5
    return _CODE[places.astype(np.uint16)]


def wide(share: Numbers) -> Floats:
    """A map [H,W] for each colour, `[H,W,3]`: to broadcast over the last axis of three takes NumPy ten times longer."""
    one = np.asarray(share, np.float32)
    return np.asarray(cv2.merge([one, one, one]), np.float32)


def row(colour: Floats, light: Floats) -> Floats:
    """One colour [3] as a row of the picture, `[1,W,3]`, for the same reason."""
    return np.tile(np.asarray(colour, np.float32), light.shape[1]).reshape(1, -1, 3)


def mixed(light: Floats, other: Floats, share: Numbers) -> Floats:
    """`other`, a picture or a colour [3], over `light` by a map [H,W] of its share."""
    over = row(other, light) if other.ndim == 1 else other
    return np.asarray(light + (over - light) * wide(share), np.float32)


def shouldered(light: Floats, knee: float, width: float) -> Floats:
    """What is brighter than `knee` drawn in below white, as films and sensors' curves do."""
    bright = light > knee
    light[bright] = np.float32(knee) + np.float32(1 - knee) * np.tanh(
        (light[bright] - np.float32(knee)) / np.float32(width)
    )
    return light


def least(light: Floats) -> Floats:
    """The darkest channel `[H,W]`."""
    return np.asarray(np.minimum(np.minimum(light[..., 0], light[..., 1]), light[..., 2]))


def most(light: NDArray[Any]) -> NDArray[Any]:
    """The brightest channel `[H,W]`."""
    return np.asarray(np.maximum(np.maximum(light[..., 0], light[..., 1]), light[..., 2]))


def luma(light: Floats) -> Floats:
    """Luminance `[H,W]` of linear light `[H,W,3]`."""
    return np.asarray(cv2.transform(light, LUMA[None]), np.float32)


def blurred(light: Floats, sigma_px: float) -> Floats:
    """Gaussian blur; a wide one at a fraction of the size, which nobody can tell from a slow one."""
    if sigma_px < 0.3:
        return light
    factor = max(1, int(sigma_px / 3))
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(light, (0, 0), sigma_px), np.float32)
    height, width = light.shape[:2]
    small = max(2, width // factor), max(2, height // factor)
    less = cv2.GaussianBlur(cv2.resize(light, small, interpolation=cv2.INTER_AREA), (0, 0), sigma_px / factor)
    return np.asarray(cv2.resize(less, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def airlight(light: Floats, sky: NDArray[np.bool_] | None = None) -> Floats:
    """The light of the air itself, linear RGB `[3]`, from the picture as Sakaridis et al. (2018) do after He et al.
    (2009): the median of the 0.1 % of pixels whose darkest channel within 15 px is brightest. Drops of water scatter
    all colours alike, so most of the colour of a blue sky is taken out.

    `sky`: where it is known and seen, only its pixels count.
    """
    dark = cv2.erode(least(light), np.ones((15, 15), np.uint8))
    if sky is not None and np.count_nonzero(sky) > 50:
        dark = np.where(sky, dark, -1)
    count = max(1, dark.size // 1000)
    places = np.argpartition(dark.ravel(), -count)[-count:]
    colour = np.median(light.reshape(-1, 3)[places], axis=0)
    grey = float(colour @ LUMA)
    return np.asarray(np.clip(0.3 * colour + 0.7 * grey, 0.05, 0.9), np.float32)


def sensor_noise(light: Floats, electrons: float, read_electrons: float, rng: np.random.Generator) -> Floats:
    """Shot and read noise in linear light: variance x / electrons + (read / electrons)², the Gaussian approximation of
    a Poisson count (Foi et al. 2008).

    `electrons`: that white gives at this gain; fewer at a higher gain.
    """
    variance = np.maximum(light, 0) / np.float32(electrons) + np.float32((read_electrons / electrons) ** 2)
    return np.asarray(light + np.sqrt(variance) * rng.standard_normal(light.shape, np.float32), np.float32)


def smooth_noise(shape: tuple[int, int], cell_px: float, rng: np.random.Generator) -> Floats:
    """Noise `[H,W]` of about 0..1 whose patches are about `cell_px` wide, two octaves."""
    total = np.zeros(shape, np.float32)
    for cell, weight in ((cell_px, 0.65), (cell_px / 2.5, 0.35)):
        rows, columns = (max(2, int(np.ceil(side / max(cell, 1)) + 1)) for side in shape)
        grid = rng.random((rows, columns), np.float32)
        total += np.float32(weight) * np.asarray(
            cv2.resize(grid, shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32
        )
    return total


def smoothstep(values: Numbers, low: float, high: float) -> Floats:
    """0 up to `low`, 1 from `high` on, smooth between."""
    share = np.clip((values - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
