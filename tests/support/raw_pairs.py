"""Raw pairs, as cameras with lenses and turns would have taken them, drawn from rectified ones with known depth."""

import cv2
import numpy as np
import numpy.typing as npt

from preprocessing.sets import CameraModel, RawPair

Array = npt.NDArray[np.generic]


def raw_picture(picture: Array, fx: float, cx: float, cy: float, camera: CameraModel, turn: Array) -> Array:
    """What `camera`, turned so that its x is `turn` @ x of the ideal pinhole's, sees of the ideal picture [H, W, 3].

    A turn about the optical centre needs no depth: each raw pixel's ray falls on one place of the ideal picture.
    """
    height, width = picture.shape[:2]
    us, vs = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    pixels = np.ascontiguousarray(np.column_stack([us.ravel(), vs.ravel()]))[:, None]
    if camera.model == "equidistant":
        found = cv2.fisheye.undistortPoints(pixels, camera.matrix, camera.coefficients)
    else:
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-12)
        iterated = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)
        found = iterated(pixels, camera.matrix, camera.coefficients, R=np.eye(3), P=np.eye(3), criteria=criteria)
    rays = np.column_stack([found.reshape(-1, 2), np.ones(width * height)]) @ np.asarray(turn, np.float64)
    x = (rays[:, 0] / rays[:, 2] * fx + cx).reshape(height, width).astype(np.float32)
    y = (rays[:, 1] / rays[:, 2] * fx + cy).reshape(height, width).astype(np.float32)
    return cv2.remap(picture, x, y, cv2.INTER_CUBIC)


def raw_pair_of(left: CameraModel, right: CameraModel, turns: tuple[Array, Array], baseline_m: float) -> RawPair:
    """The calibration of two cameras that are turned by `turns` against an ideal pair `baseline_m` apart."""
    first, second = (np.asarray(turn, np.float64) for turn in turns)
    rotation = second @ first.T
    x, y, z = (float(value) for value in second @ np.array([-baseline_m, 0.0, 0.0]))
    return RawPair(left, right, tuple(tuple(map(float, row)) for row in rotation), (x, y, z))
