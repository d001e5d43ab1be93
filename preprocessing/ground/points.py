"""Points in space drawn as a depth picture: one point a pixel, the nearest."""

import numpy as np
import numpy.typing as npt

from preprocessing.ground.depth import DEPTH_SCALE
from preprocessing.ground.frame import Camera


def draw_points(
    points_m: npt.NDArray[np.floating], camera: Camera, size: tuple[int, int], near_m: float = 0.0
) -> npt.NDArray[np.uint16]:
    """Draw points as a camera sees them, as lidar/ stores it.

    Pixel centres are whole numbers, as OpenCV and ROS have it: (u, v) = (fx x / z + cx, fy y / z + cy) goes to the
    nearest pixel. (Evaluations of KITTI that follow its MATLAB code take one off both, for indices there begin at 1.)

    Args:
        points_m: float [N, 3], x to the right, y down, z forward [m]; those with a NaN or an infinity are left out.
        camera: fx, fy and principal point at `size`.
        size: (width, height) [px].
        near_m: Points that are not beyond this along z are left out [m].

    Returns:
        uint16 [H, W], metres along z * 256, 0 = nothing there or beyond 255.996 m.
    """
    width, height = size
    z = points_m[:, 2]
    points = points_m[(z > max(near_m, 0.0)) & (z < 65536 / DEPTH_SCALE)]  # false for NaN
    with np.errstate(over="ignore", invalid="ignore"):
        u = np.rint(points[:, 0] / points[:, 2] * camera.fx_px + camera.u0_px)
        v = np.rint(points[:, 1] / points[:, 2] * camera.fy_px + camera.v0_px)
    values = np.rint(points[:, 2] * DEPTH_SCALE)
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height) & (values >= 1) & (values <= 65535)
    values, places = values[inside], (v[inside] * width + u[inside]).astype(np.intp)
    order = np.argsort(-values, kind="stable")  # the nearest is written last
    drawn = np.zeros(height * width, np.uint16)
    drawn[places[order]] = values[order].astype(np.uint16)
    return drawn.reshape(height, width)
