"""Quality of a disparity without truth: the right image warped to the left, and a match of the right image."""

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Bool, Camera, Float32
from preprocessing.quality.metrics import LeftRightSums, PhotometricSums
from preprocessing.stereo import LARGEST_RANGE, CensusSettings, Match, left_right_check, match_pair, search_range

UInt8 = npt.NDArray[np.uint8]

SHIFT_PX = 8.0
"""The wrong disparity that gives the scale is this much larger than the written one."""
AGREE_PX = 1.0
"""Left and right match agree within this."""
_WINDOW_PX = 9
_TEXTURE_GREY = 3.0  # standard deviation in the window; below, noise decides
_CORRELATED = 0.5


def warp(right: Float32, disparity: Float32, valid: Bool) -> tuple[Float32, Bool]:
    """Bring the right image to the left view: left[y, x] is compared with right[y, x - d], bilinear.

    Args:
        right: float32 [H, W], grey levels.
        disparity: float32 [H, W], px.
        valid: bool [H, W].

    Returns:
        float32 [H, W], and where it means anything: `valid` less the pixels whose partner lies outside.
    """
    height, width = disparity.shape
    columns = np.arange(width, dtype=np.float32)[None, :] - disparity
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)
    warped = cv2.remap(right, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, dtype=np.float32), valid & (columns >= 0) & (columns <= width - 1)


def error_map(left: UInt8, right: UInt8, disparity: Float32, valid: Bool) -> tuple[Float32, Bool]:
    """Return |left - warped right| [grey levels] of two RGB images [H, W, 3], and where it means anything."""
    warped, inside = warp(_grey(right), disparity, valid)
    return np.where(inside, np.abs(_grey(left) - warped), 0).astype(np.float32), inside


def compare(left: UInt8, right: UInt8, disparity: Float32, valid: Bool) -> PhotometricSums:
    """Compare the left image with the right one warped by the disparity, and by one `SHIFT_PX` larger.

    The plain error also grows with a difference in exposure and in texture; so does that of the wrong disparity, and
    their ratio says more: near 1 the disparity is no better than a wrong one. The reliable measure is the share of
    textured pixels that the disparity leaves unexplained: no disparity, or the surroundings (9 x 9) do not correlate
    (zero-normalised, below 0.5), which no difference in exposure changes.
    """
    left_grey, right_grey = _grey(left), _grey(right)
    warped, inside = warp(right_grey, disparity, valid)
    shifted, shifted_inside = warp(right_grey, disparity + np.float32(SHIFT_PX), valid)
    both = inside & shifted_inside
    textured = _deviation(left_grey) >= _TEXTURE_GREY
    explained = textured & inside & (correlation(left_grey, warped, inside) >= _CORRELATED)
    by_chance = textured & shifted_inside & (correlation(left_grey, shifted, shifted_inside) >= _CORRELATED)
    return PhotometricSums(
        frames=1,
        pixels=int(both.sum()),
        error_grey=float(np.abs(left_grey - warped)[both].sum(dtype=np.float64)),
        shifted_grey=float(np.abs(left_grey - shifted)[both].sum(dtype=np.float64)),
        textured=int(textured.sum()),
        explained=int(explained.sum()),
        shifted_explained=int(by_chance.sum()),
    )


def correlation(one: Float32, other: Float32, valid: Bool) -> Float32:
    """Return the zero-normalised cross-correlation [H, W], -1..1, over the valid pixels of each 9 x 9 window.

    A window without contrast in either image correlates with nothing: 0.
    """
    mask = valid.astype(np.float32)
    count = np.maximum(_box(mask), 1)
    # Less its own mean first: float32 squares of grey levels would swallow a small variance.
    one, other = ((image - image.mean()) * mask for image in (one, other))
    mean_one, mean_other = _box(one) / count, _box(other) / count
    covariance = _box(one * other) / count - mean_one * mean_other
    variance_one = _box(one * one) / count - mean_one**2
    variance_other = _box(other * other) / count - mean_other**2
    flat = (variance_one < 0.1) | (variance_other < 0.1)
    product = np.sqrt(np.where(flat, 1, variance_one * variance_other))
    return np.where(flat, 0, covariance / product).clip(-1, 1).astype(np.float32)


def left_right(
    left: UInt8, right: UInt8, disparity: Float32, valid: Bool, matched: Bool, camera: Camera | None = None
) -> LeftRightSums:
    """Match the right image to the left one by census matching and count the written disparities that it confirms.

    For pixels that census matched this repeats the check they passed; for another matcher's it is a second opinion.
    Filled pixels are mostly hidden from the right camera and fail it rightly.
    """
    doffs = 0.0 if camera is None else camera.doffs_px
    from_infinity = disparity + np.float32(doffs)
    nearest = float(from_infinity[valid].max(initial=0))
    reach = max(search_range(None, left.shape[1]), min(int(nearest) // 16 * 16 + 32, LARGEST_RANGE))
    # Mirrored and swapped, the pair has the same geometry with the right image as the reference.
    settings = CensusSettings(disparities=reach, check=False)
    mirrored = match_pair(_mirror(right), _mirror(left), settings, camera)
    match = Match(from_infinity, valid, mirrored.disparity[:, ::-1], mirrored.valid[:, ::-1], doffs)
    consistent = left_right_check(match, AGREE_PX)
    filled = valid & ~matched
    return LeftRightSums(
        frames=1,
        matched=int(matched.sum()),
        matched_consistent=int((consistent & matched).sum()),
        filled=int(filled.sum()),
        filled_consistent=int((consistent & filled).sum()),
    )


def _mirror(image: UInt8) -> UInt8:
    return np.ascontiguousarray(image[:, ::-1])


def _grey(image: UInt8) -> Float32:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.float32)


def _box(values: Float32) -> Float32:
    side = (_WINDOW_PX, _WINDOW_PX)
    # Nothing is made up beyond the border: zeros, which `count` leaves out.
    return np.asarray(cv2.boxFilter(values, -1, side, normalize=False, borderType=cv2.BORDER_CONSTANT))


def _deviation(image: Float32) -> Float32:
    centred = image - image.mean()
    count = _box(np.ones_like(image))
    variance = _box(centred * centred) / count - (_box(centred) / count) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)
