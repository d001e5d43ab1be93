"""Disparity to metric depth and back, the rules of resizing, and the 16-bit depth PNG.

Eq. 1 is that of the system's paper, which docs/method.md names.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, write_png
from preprocessing.ground.frame import Camera
from preprocessing.ground.pictures import resize_nearest

DEPTH_SCALE = 256
"""uint16 = metres * 256; 0 = invalid. The largest depth a file can hold is 65535 / 256 = 255.996 m."""
MAX_STORED_DEPTH_M = 65535 / DEPTH_SCALE

Float32 = npt.NDArray[np.float32]
Bool = npt.NDArray[np.bool_]


def disparity_to_depth(
    disparity: Float32,
    valid: Bool,
    camera: Camera,
    *,
    epsilon: float = 1e-6,
    max_depth_m: float = 80.0,
    infinity: Literal["invalid", "clip"] = "invalid",
) -> Float32:
    """Convert disparity to depth by Eq. 1, Z = B * f / (d + doffs + epsilon), clipped to `max_depth_m`.

    The paper has doffs = 0, as cameras have whose principal points were aligned. Where d + doffs is 0 the match is
    at infinity (below 0: beyond it, by an error): it has no metric depth and is masked before dividing. By default it
    is left invalid; `infinity="clip"` gives it `max_depth_m`, as any other point beyond that.

    Args:
        disparity: float32 [H, W], px at the width that `camera` is for.
        valid: bool [H, W].
        camera: Baseline [m], fx and doffs [px] at this very width.
        epsilon: px; only guards the division, so keep it far below the codec's 1/256 px.
        max_depth_m: Farther points are clipped to it [m].

    Returns:
        float32 [H, W] in metres, 0 = invalid.
    """
    parallax = disparity + np.float32(camera.doffs_px)  # what aligned principal points would give
    finite = valid & (parallax > 0)
    depth = np.zeros(disparity.shape, dtype=np.float32)
    np.divide(np.float32(camera.baseline_m * camera.fx_px), parallax + np.float32(epsilon), out=depth, where=finite)
    np.minimum(depth, np.float32(max_depth_m), out=depth)
    if infinity == "clip":
        depth[valid & (parallax <= 0)] = max_depth_m
    return depth


def depth_to_disparity(depth_m: Float32, camera: Camera) -> tuple[Float32, Bool]:
    """Invert Eq. 1 (epsilon = 0): depth [H, W] in metres, 0 = invalid, to disparity [px] and its validity.

    With doffs > 0, points beyond B * f / doffs have a negative disparity.
    """
    valid = depth_m > 0
    disparity = np.zeros(depth_m.shape, dtype=np.float32)
    disparity[valid] = camera.baseline_m * camera.fx_px / depth_m[valid].astype(np.float64) - camera.doffs_px
    return disparity, valid


def resize_disparity(disparity: Float32, valid: Bool, size: tuple[int, int]) -> tuple[Float32, Bool]:
    """Resize disparity to `size` = (width, height) with nearest; values are multiplied by the width ratio.

    With fx and doffs scaled by the same ratio (`Camera.scaled`) the depth of a pixel does not change.
    """
    ratio = size[0] / disparity.shape[1]
    return resize_nearest(disparity, size) * np.float32(ratio), resize_nearest(valid, size)


def read_depth(path: Path) -> Float32:
    """Read a depth PNG (uint16 = metres * 256) as float32 [H, W] in metres, 0 = invalid.

    Raises:
        InputError: Missing, truncated, or not a 16-bit picture of one channel.
    """
    stored = read_grey_or_index(path)
    if stored.dtype != np.uint16:
        raise InputError(f"{path}: a depth file has 16 bits (metres * {DEPTH_SCALE}), this one has {stored.dtype}")
    return stored.astype(np.float32) / np.float32(DEPTH_SCALE)


def read_depth_clip(path: Path) -> float | None:
    """The depth [m] at which `preprocess` clipped this file: what stands there is that far or farther. None where the
    file does not say. Reads the header only.
    """
    from PIL import Image  # a vehicle has none

    try:
        with Image.open(path) as image:
            return float(image.info["max_depth_m"])
    except (OSError, SyntaxError, KeyError, ValueError):
        return None


def tells_scale(path: Path) -> bool:
    """Whether a depth PNG says of itself what `DEPTH_TEXT` says. Reads the header only."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return all(image.info.get(key) == value for key, value in DEPTH_TEXT.items())
    except (OSError, SyntaxError, ValueError):
        return False


DEPTH_TEXT = {"unit": "metre", "scale": str(DEPTH_SCALE), "invalid": "0"}
"""What a depth PNG says of itself, in text chunks."""


def to_stored(depth_m: Float32) -> npt.NDArray[np.uint16]:
    """Depth [H, W] in metres, 0 = invalid, as its file holds it: uint16 = metres * 256.

    Raises:
        ValueError: A depth is negative, not finite, or beyond 255.996 m, which 16 bits cannot hold.
    """
    if depth_m.size and not (depth_m.min() >= 0 and depth_m.max() <= MAX_STORED_DEPTH_M):
        raise ValueError(
            f"depth must be within 0..{MAX_STORED_DEPTH_M:.3f} m; it spans {depth_m.min()}..{depth_m.max()}"
        )
    # Times a power of two: exact in float32. Cut off after adding a half: rounded.
    stored = (depth_m * np.float32(DEPTH_SCALE) + np.float32(0.5)).astype(np.uint16)
    stored[(depth_m > 0) & (stored == 0)] = 1  # nearer than 2 mm: still valid
    return stored


def write_depth(path: Path, depth_m: Float32, text: dict[str, str] | None = None) -> None:
    """Write depth [H, W] in metres, 0 = invalid, as a 16-bit PNG with its unit and scale in text chunks,
    atomically.

    Raises:
        ValueError: As `to_stored`.
    """
    write_png(path, to_stored(depth_m), {**DEPTH_TEXT, **(text or {})})
