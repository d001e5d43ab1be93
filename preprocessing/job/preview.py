"""A preview of one frame as in Figure 1 of the system paper: image, mask, disparity and depth, with legends."""

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from preprocessing.ground import Bool, Float32

UInt8 = npt.NDArray[np.uint8]
_PANEL_WIDTH = 640
_TITLE_HEIGHT = 20
_LEGEND_WIDTH = 58


def colour_values(values: Float32, valid: Bool, low: float, high: float, *, logarithmic: bool = False) -> UInt8:
    """Colour values [H, W] from `low` (blue) to `high` (red), invalid ones black: RGB uint8 [H, W, 3]."""
    scaled = np.clip(values, low, high)
    share = np.log(scaled / low) / np.log(high / low) if logarithmic else (scaled - low) / (high - low)
    colours = cv2.applyColorMap(np.rint(share * 255).astype(np.uint8), cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where(valid[..., None], colours, 0).astype(np.uint8)


def draw_frame(image: UInt8, mask: UInt8 | None, disparity: Float32, valid: Bool, depth_m: Float32) -> UInt8:
    """Draw image | mask over disparity [px] | depth [m]; near is red in both. RGB uint8."""
    height = max(1, round(image.shape[0] * _PANEL_WIDTH / image.shape[1]))
    size = (_PANEL_WIDTH, height)
    shrink = cv2.INTER_AREA if image.shape[1] > _PANEL_WIDTH else cv2.INTER_NEAREST

    far_px, near_px = _span(disparity[valid])
    near_m, far_m = _span(depth_m[depth_m > 0])
    coloured = colour_values(disparity, valid, far_px, near_px)
    # Red is near in both, so depth runs the other way; its logarithm, or all but the horizon is one colour.
    nearness = np.reciprocal(np.maximum(depth_m, np.float32(1e-3)))
    inverse = colour_values(nearness, depth_m > 0, 1 / far_m, 1 / near_m, logarithmic=True)
    panels = (
        ("image", cv2.resize(image, size, interpolation=shrink), None),
        ("mask" if mask is not None else "mask: no label file", _nearest(mask, image, size), None),
        ("disparity [px], black = invalid", _nearest(coloured, image, size), _ticks(far_px, near_px, "px")),
        (
            "depth [m], black = invalid",
            _nearest(inverse, image, size),
            _ticks(far_m, near_m, "m", logarithmic=True),
        ),
    )
    drawn = [_panel(title, panel, ticks) for title, panel, ticks in panels]
    return np.vstack([np.hstack(drawn[:2]), np.hstack(drawn[2:])])


def _span(values: Float32) -> tuple[float, float]:
    """1st and 99th percentile, always apart: a few stray pixels must not decide the colours."""
    if not values.size:
        return 1.0, 2.0
    low, high = (float(v) for v in np.percentile(values, (1, 99)))
    low = max(low, 1e-2)
    return low, max(high, low * 1.01)


def _nearest(panel: UInt8 | None, image: UInt8, size: tuple[int, int]) -> UInt8:
    if panel is None:
        panel = np.full_like(image, 40)
    return np.asarray(cv2.resize(panel, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _ticks(bottom: float, top: float, unit: str, *, logarithmic: bool = False) -> list[str]:
    """Five labels from the top of the legend to its bottom."""
    shares = np.linspace(1, 0, 5)
    values = bottom * (top / bottom) ** shares if logarithmic else bottom + (top - bottom) * shares
    return [f"{v:.1f} {unit}" if v < 10 else f"{v:.0f} {unit}" for v in values]


def _panel(title: str, picture: UInt8, ticks: list[str] | None) -> UInt8:
    height, width = picture.shape[:2]
    canvas = np.full((height + _TITLE_HEIGHT, width + 14 + _LEGEND_WIDTH, 3), 255, dtype=np.uint8)
    canvas[_TITLE_HEIGHT:, :width] = picture
    if ticks is not None:
        ramp = np.linspace(255, 0, height).round().astype(np.uint8)[:, None]
        canvas[_TITLE_HEIGHT:, width + 4 : width + 14] = cv2.applyColorMap(ramp, cv2.COLORMAP_TURBO)[..., ::-1]
    drawing = Image.fromarray(canvas)
    pen, font = ImageDraw.Draw(drawing), ImageFont.load_default(12)
    pen.text((4, 3), title, fill=(0, 0, 0), font=font)
    for index, tick in enumerate(ticks or []):
        y = _TITLE_HEIGHT + index * (height - 14) / 4
        pen.text((width + 18, y), tick, fill=(0, 0, 0), font=font)
    return np.asarray(drawing)
