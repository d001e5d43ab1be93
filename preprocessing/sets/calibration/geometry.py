"""Rectifying a raw pair by OpenCV: rotations and projections, and the maps by which pictures are drawn anew."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.ground import Lens
from preprocessing.sets.calibration.cameras import CameraModel, RawPair, Rectification, Rows, rows_of
from preprocessing.sets.calibration.document import Matrix

Float32 = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
ALPHA = 0.0
"""0: nothing but what both cameras see; 1: everything, with black borders."""
# Of version 4 only `undistortPointsIter` takes criteria, which version 5 has no more.
_iterated = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
_STEP = 8
_WIDEST = np.deg2rad(75.0)  # from the axis; what is farther out is no plane any more


def rectify(pair: RawPair, alpha: float = ALPHA) -> Rectification:
    """Compute rotations and projections at the pair's own size, or at twice its principal point where it has none.

    Principal points agree in x too (CALIB_ZERO_DISPARITY), so doffs is 0.
    """
    size = pair.left.size or (round(2 * pair.left.cx_px + 1), round(2 * pair.left.cy_px + 1))
    cameras = (pair.left.matrix, pair.left.coefficients, pair.right.matrix, pair.right.coefficients)
    rotation, translation = np.array(pair.rotation, np.float64), np.array(pair.translation_m, np.float64)[:, None]
    if pair.left.model == "radtan":
        r1, r2, p1, p2, *_ = cv2.stereoRectify(
            *cameras, size, rotation, translation, flags=cv2.CALIB_ZERO_DISPARITY, alpha=alpha
        )
        return Rectification(rows_of(r1), rows_of(r2), rows_of(p1), rows_of(p2))
    return _fisheye(pair, size, alpha)


def _fisheye(pair: RawPair, size: tuple[int, int], alpha: float) -> Rectification:
    """Rotations as of any pair; the projection by what the borders of both pictures show.

    `cv2.fisheye.stereoRectify` looks at the middles of the four edges alone, so that balance 0 still shows borders, and
    for lenses of 180 degrees and more its principal point lies 10,000 px beside the picture.
    """
    pinhole = np.array([[100.0, 0, 0], [0, 100.0, 0], [0, 0, 1]])
    rotation, translation = np.array(pair.rotation, np.float64), np.array(pair.translation_m, np.float64)[:, None]
    r1, r2, *_ = cv2.stereoRectify(pinhole, None, pinhole, None, size, rotation, translation)
    shown = [_shown(pair.left, r1, size), _shown(pair.right, r2, size)]
    inner = _bounds(shown, np.max)
    outer = _bounds(shown, np.min)
    focals = [max(_focals(inner, size)), min(_focals(outer, size))]
    focal = (1 - alpha) * focals[0] + alpha * focals[1]
    left, top, right, bottom = (1 - alpha) * inner + alpha * outer
    cx, cy = (size[0] - 1) / 2 - focal * (left + right) / 2, (size[1] - 1) / 2 - focal * (top + bottom) / 2
    p1 = np.array([[focal, 0, cx, 0], [0, focal, cy, 0], [0, 0, 1, 0]])
    p2 = p1.copy()
    p2[0, 3] = -focal * float(np.linalg.norm(translation))
    return Rectification(rows_of(r1), rows_of(r2), rows_of(p1), rows_of(p2))


def undistort(camera: CameraModel) -> tuple["Maps", Lens]:
    """Draw the pictures of one camera without distortion, square pixels, as large as leaves nothing black.

    Returns: the maps at the camera's own size, which must be known, and the pinhole that sees the drawn picture.
    """
    assert camera.size is not None
    size, eye = camera.size, np.eye(3)
    left, top, right, bottom = bounds = _bounds([_shown(camera, eye, size)], np.max)
    focal = max(_focals(bounds, size))
    cx, cy = (size[0] - 1) / 2 - focal * (left + right) / 2, (size[1] - 1) / 2 - focal * (top + bottom) / 2
    pinhole = ((focal, 0.0, cx, 0.0), (0.0, focal, cy, 0.0), (0.0, 0.0, 1.0, 0.0))
    return _maps(camera, rows_of(eye), pinhole, size), Lens(focal, focal, cx, cy, size)


def _focals(bounds: Matrix, size: tuple[int, int]) -> tuple[float, float]:
    left, top, right, bottom = bounds
    return (size[0] - 1) / (right - left), (size[1] - 1) / (bottom - top)


def _bounds(shown: list[list[Matrix]], inward: Callable[..., Any]) -> Matrix:
    """left, top, right, bottom of all cameras' edges: the innermost (`np.max`) or the outermost (`np.min`) points."""
    outward = np.min if inward is np.max else np.max
    edges = [np.concatenate([camera[index] for camera in shown]) for index in range(4)]
    left, top, right, bottom = edges
    return np.array([inward(left[:, 0]), inward(top[:, 1]), outward(right[:, 0]), outward(bottom[:, 1])])


def _shown(camera: CameraModel, rotation: Matrix, size: tuple[int, int]) -> list[Matrix]:
    """Directions (x/z, y/z) of the left, top, right and bottom edge of a picture: float64 [N, 2] each."""
    xs, ys = np.linspace(0, size[0] - 1, 65), np.linspace(0, size[1] - 1, 65)
    edges = [
        np.column_stack([np.zeros(65), ys]),
        np.column_stack([xs, np.zeros(65)]),
        np.column_stack([np.full(65, size[0] - 1.0), ys]),
        np.column_stack([xs, np.full(65, size[1] - 1.0)]),
    ]
    return [_directions(camera, edge, rotation) for edge in edges]


def _directions(camera: CameraModel, points: Matrix, rotation: Matrix) -> Matrix:
    """(x/z, y/z) of pixels as a turned camera sees them, none farther from its axis than `_WIDEST`: float64 [N, 2]."""
    centred = (points - (camera.cx_px, camera.cy_px)) / (camera.fx_px, camera.fy_px)
    outward = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    # tan of the angle to the axis: negative from 90 degrees on, about -1e6 where OpenCV finds no angle.
    tangent = (undistorted(camera, points) * outward).sum(axis=1)
    angle = np.arctan(tangent) + np.where(tangent < 0, np.pi, 0)
    rays = np.column_stack([np.sin(angle)[:, None] * outward, np.cos(angle)]) @ rotation.T
    beside = np.linalg.norm(rays[:, :2], axis=1)
    kept = np.minimum(np.arctan2(beside, rays[:, 2]), _WIDEST)
    return np.asarray(rays[:, :2] / np.maximum(beside, 1e-12)[:, None] * np.tan(kept)[:, None])


def undistorted(camera: CameraModel, points: Matrix, rotation: Matrix | None = None) -> Matrix:
    """Directions (x/z, y/z), turned by `rotation`, of the pixels (x, y) of a raw picture: float64 [N, 2]."""
    stacked = np.ascontiguousarray(points, np.float64)[:, None]
    turn = np.eye(3) if rotation is None else rotation
    if camera.model == "equidistant":
        found = cv2.fisheye.undistortPoints(stacked, camera.matrix, camera.coefficients, R=turn)
    else:
        # The default of five rounds leaves hundredths of a pixel at the corners of wide lenses.
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
        found = _iterated(stacked, camera.matrix, camera.coefficients, R=turn, P=np.eye(3), criteria=criteria)
    return np.asarray(found, np.float64).reshape(-1, 2)


@dataclass(frozen=True)
class Maps:
    """Where the pixels of a rectified picture come from.

    Attributes:
        x, y: Place in the raw picture [px]: float32 [H, W].
        valid: Whether that lies inside the raw picture: bool [H, W].
    """

    x: Float32
    y: Float32
    valid: npt.NDArray[np.bool_]

    def picture(self, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Draw a picture [H, W] or [H, W, C] anew, black where the raw one shows nothing."""
        # Cubic: linear interpolation blurs by where a pixel falls, which differs between the two pictures.
        drawn = cv2.remap(image, self.x, self.y, cv2.INTER_CUBIC)
        drawn[~self.valid] = 0
        return drawn

    def nearest(self, ids: npt.NDArray[Any], outside: int) -> npt.NDArray[Any]:
        """Draw a map of ids anew, without mixing any; `outside` where the raw one has nothing."""
        x, y = np.rint(self.x).astype(np.intp), np.rint(self.y).astype(np.intp)
        height, width = ids.shape[:2]
        drawn = ids[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
        drawn[~self.valid] = outside
        return np.asarray(drawn)


def maps_of(pair: RawPair, found: Rectification) -> tuple[Maps, Maps]:
    """The maps of the left and the right picture, at the pair's own size, which must be known."""
    assert pair.left.size is not None
    return _maps(pair.left, found.r1, found.p1, pair.left.size), _maps(pair.right, found.r2, found.p2, pair.left.size)


def _maps(camera: CameraModel, rotation: Rows, projection: Rows, size: tuple[int, int]) -> Maps:
    turn, drawn = np.array(rotation, np.float64), np.array(projection, np.float64)[:, :3]
    arguments = (camera.matrix, camera.coefficients, turn, np.ascontiguousarray(drawn), size, cv2.CV_32FC1)
    if camera.model == "equidistant":
        x, y = cv2.fisheye.initUndistortRectifyMap(*arguments)
    else:
        x, y = cv2.initUndistortRectifyMap(*arguments)
    inside = (x >= 0) & (x <= size[0] - 1) & (y >= 0) & (y <= size[1] - 1)
    return Maps(x, y, inside & _bends_once(camera, turn, drawn, x, y))


def _bends_once(camera: CameraModel, turn: Matrix, drawn: Matrix, x: Float32, y: Float32) -> npt.NDArray[np.bool_]:
    """Whether the way back from the raw picture ends where it began.

    The polynomial of a lens turns back on itself outside the picture that it was fitted to, so that places far outside
    the view fall inside the raw picture once more; and what is behind a camera is projected too.
    """
    height, width = x.shape
    ys, xs = np.arange(0, height, _STEP), np.arange(0, width, _STEP)
    sampled = np.ix_(ys, xs)
    back = undistorted(camera, np.column_stack([x[sampled].ravel(), y[sampled].ravel()]), turn)
    grid_x, grid_y = np.meshgrid(xs, ys)
    off_x = back[:, 0].reshape(grid_x.shape) * drawn[0, 0] + drawn[0, 2] - grid_x
    off_y = back[:, 1].reshape(grid_x.shape) * drawn[1, 1] + drawn[1, 2] - grid_y
    bad = ~(np.hypot(off_x, off_y) < 1.0)
    if not bad.any():
        return np.ones((height, width), np.bool_)
    bad = cv2.dilate(bad.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return ~bad.repeat(_STEP, axis=0).repeat(_STEP, axis=1)[:height, :width]
