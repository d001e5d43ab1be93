"""Instance files beside the sets of `street_set`, for the tests of data and evaluation."""

from pathlib import Path

import numpy as np
from street_set import SIZE

from preprocessing.ground.files import write_png
from preprocessing.sets.cityscapes import frame_path

# `street_set.write_cityscapes` labels the right half as car below four void rows. Here it is two touching cars.
LEFT_CAR, RIGHT_CAR, EDGE = 26000, 26001, 80


def instance_ids() -> np.ndarray:
    """instanceIds of a street_set frame, uint16: road, two cars that touch at column 80, void rows."""
    ids = np.full((SIZE[1], SIZE[0]), 7, np.uint16)
    ids[:, SIZE[0] // 2 : EDGE] = LEFT_CAR
    ids[:, EDGE:] = RIGHT_CAR
    ids[:4] = 0
    return ids


def write_instances(root: Path, split: str, names: list[str], ids: np.ndarray | None = None) -> None:
    """Give these frames an instance file."""
    for name in names:
        write_png(frame_path(root, "instances", split, "town", name), instance_ids() if ids is None else ids)
