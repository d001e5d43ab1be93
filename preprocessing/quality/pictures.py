"""Pictures of one frame for the quality page: image, disparity, confidence, error maps."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Float32, Picture
from preprocessing.job import colour_values
from preprocessing.quality.frame import MATCHED_FROM, Maps, Truth
from preprocessing.quality.metrics import SOURCES
from preprocessing.quality.photometric import error_map

UInt8 = npt.NDArray[np.uint8]

WIDTH_PX = 800
_ERROR_PX = (0.1, 50.0)
_ERROR_GREY = (0.0, 64.0)
_GREY = 112
_SPARSE = 0.5  # less truth than this share of the image is drawn in blots


@dataclass(frozen=True)
class Panel:
    """One picture with what is said about it.

    Attributes:
        title, caption: Heading, and what the colours mean.
        picture: As JPEG.
        ticks: Labels from the blue to the red end of the colour bar; empty without one.
    """

    title: str
    caption: str
    picture: Picture
    ticks: tuple[str, ...] = ()


def draw_panels(maps: Maps) -> list[Panel]:
    """Draw a frame: its image, disparity, confidence, and an error map for each truth, else the photometric one."""
    matched, valid = maps.matched.mean(), maps.valid.mean()
    panels = [
        _panel("Left image", "The image whose pixels the maps below are for.", "Left camera image.", maps.left),
        _disparity_panel(maps, f"{valid:.0%} of the pixels have a disparity."),
    ]
    if maps.confidence is not None:
        colours = colour_values(maps.confidence.astype(np.float32), maps.valid, 0, 255)
        caption = f"Below {MATCHED_FROM} filled, from there on matched, rising with confidence; black = no disparity."
        alt = (
            f"Confidence map: {matched:.0%} matched, {valid - matched:.0%} filled, {1 - valid:.0%} without a disparity."
        )
        panels.append(_panel("Confidence", caption, alt, colours, ("1", str(MATCHED_FROM), "255"), exact=True))
    panels += [_error_panel(maps, source, truth) for source, truth in maps.truths.items()]
    if not maps.truths and maps.right is not None:
        panels.append(_photometric_panel(maps, maps.right))
    return panels


def _disparity_panel(maps: Maps, alt: str) -> Panel:
    values = maps.disparity[maps.valid]
    # A few stray pixels must not decide the colours.
    low, high = (float(v) for v in np.percentile(values, (1, 99))) if values.size else (0.0, 1.0)
    high = max(high, low + 1)
    colours = colour_values(maps.disparity, maps.valid, low, high)
    ticks = tuple(f"{v:.1f} px" for v in (low, (low + high) / 2, high))
    caption = "Red is near; black = no disparity. The colours span the 1st to the 99th percentile."
    return _panel("Disparity as written", caption, f"Disparity map. {alt}", colours, ticks, exact=True)


def _error_panel(maps: Maps, source: str, truth: Truth) -> Panel:
    both, missing = truth.valid & maps.valid, truth.valid & ~maps.valid
    error = np.where(both, np.abs(maps.disparity - truth.disparity), 0).astype(np.float32)
    off = float((error[both] > 3).mean()) if both.any() else 0.0
    without = missing.sum() / max(int(truth.valid.sum()), 1)
    caption = "Logarithmic colours, from 0.1 px (blue) to 50 px (red); grey = no disparity; black = no truth."
    if truth.valid.mean() < _SPARSE:
        # Shrunk or not, single points would hardly be seen.
        side = 1 + 2 * round(max(maps.left.shape[1] / WIDTH_PX, 1))
        error, both, missing = _spread(error, side), _spread(both, side) > 0, _spread(missing, side) > 0
        caption += " Measured points are enlarged; where they meet, the larger error shows."
    low, high = _ERROR_PX
    colours = colour_values(error, both, low, high, logarithmic=True)
    colours[missing & ~both] = _GREY
    against = f"against {SOURCES[source]}"
    alt = (
        f"Map of disparity errors {against}: {off:.0%} of the compared pixels are off by more than 3 px, "
        f"{without:.0%} of those with truth have no disparity."
    )
    return _panel(f"Error {against}", caption, alt, colours, ("0.1 px", "2.2 px", "50 px"), exact=True)


def _spread(values: Float32 | Bool, side: int) -> Float32:
    """Let each value [H, W] reach over a square of `side` pixels; the largest wins."""
    return np.asarray(cv2.dilate(values.astype(np.float32), np.ones((side, side), np.uint8)), dtype=np.float32)


def _photometric_panel(maps: Maps, right: UInt8) -> Panel:
    error, inside = error_map(maps.left, right, maps.disparity, maps.valid)
    low, high = _ERROR_GREY
    mean = float(error[inside].mean()) if inside.any() else 0.0
    caption = "Left image less the right one warped by the disparity, 0 to 64 grey levels; black = nothing to compare."
    alt = f"Map of photometric errors: {mean:.1f} grey levels on average."
    colours = colour_values(error, inside, low, high)
    return _panel("Photometric error", caption, alt, colours, ("0", "32", "64 grey levels"), exact=True)


def _panel(
    title: str, caption: str, alt: str, picture: UInt8, ticks: tuple[str, ...] = (), *, exact: bool = False
) -> Panel:
    """Shrink to the page's width and encode; `exact` keeps colours that stand for values unmixed."""
    height, width = picture.shape[:2]
    size = (width, height) if width <= WIDTH_PX else (WIDTH_PX, max(1, round(height * WIDTH_PX / width)))
    shrunk = cv2.resize(picture, size, interpolation=cv2.INTER_NEAREST if exact else cv2.INTER_AREA)
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(shrunk[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not done:
        raise RuntimeError(f"{title}: OpenCV could not encode a picture of {size[0]}x{size[1]} as JPEG")
    return Panel(title, caption, Picture(encoded.tobytes(), "jpeg", size, alt), ticks)
