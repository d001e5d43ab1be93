"""Stereo pairs of random dots with known disparity, and small sets of them in the Cityscapes layout."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import frame_path, write_camera

WIDTH, HEIGHT = 176, 80
CAMERA = Camera(baseline_m=0.5, fx_px=160.0, fy_px=150.0, u0_px=88.0, v0_px=40.0)  # B * f = 80 px m
FAR_PX, NEAR_PX = 4, 10  # 20 m and 8 m with CAMERA
BOX = (slice(24, 60), slice(70, 120))  # rows and columns of the near box in the left image


def true_disparity() -> npt.NDArray[np.float32]:
    """A far wall with a near box before it [px]."""
    disparity = np.full((HEIGHT, WIDTH), FAR_PX, dtype=np.float32)
    disparity[BOX] = NEAR_PX
    return disparity


def dot_pair(seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Left and right RGB image of the wall and the box: left[y, x] is right[y, x - d]."""
    rng = np.random.default_rng(seed)
    wall, box = (rng.integers(0, 256, (HEIGHT, WIDTH + 32), dtype=np.uint8) for _ in range(2))
    columns = np.arange(WIDTH)
    left, right = wall[:, columns], wall[:, columns + FAR_PX]
    rows, cols = BOX
    left, right = left.copy(), right.copy()
    left[rows, cols] = box[rows, cols]
    right[rows, cols.start - NEAR_PX : cols.stop - NEAR_PX] = box[rows, cols]
    return np.repeat(left[..., None], 3, axis=2), np.repeat(right[..., None], 3, axis=2)


def write_set(root: Path, names: tuple[str, ...], split: str = "train", city: str = "dots") -> Path:
    """Write frames with images, labels, exact disparity and camera; each frame has dots of its own."""
    for seed, name in enumerate(names):
        left, right = dot_pair(seed)
        labels = np.full((HEIGHT, WIDTH), 7, dtype=np.uint8)
        labels[BOX] = 26
        for kind, picture in (("left", left), ("right", right), ("labels", labels)):
            write_png(frame_path(root, kind, split, city, name), picture)
        exact = true_disparity()
        write_disparity(frame_path(root, "disparity", split, city, name), exact, np.ones(exact.shape, dtype=bool))
        write_camera(frame_path(root, "camera", split, city, name), CAMERA)
    return root
