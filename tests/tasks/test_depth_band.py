"""What is left out beside jumps of a depth label."""

import numpy as np
import pytest

from advmtl.tasks import TASKS, TaskSpec

ARRAYS = TASKS["depth"].arrays


def shown(depth: list[list[float]], band: int, *, training: bool = True) -> list[list[float]]:
    spec = TaskSpec(depth_range_m=(1.0, 80.0), depth_edge_band_px=band)
    target: list[list[float]] = ARRAYS.target(np.array(depth, np.float32), spec, training=training).tolist()
    return target


@pytest.mark.parametrize(
    ("band", "row"), [(0, [10, 10, 10, 20, 20, 20]), (1, [10, 10, 0, 0, 20, 20]), (2, [10, 0, 0, 0, 0, 20])]
)
def test_a_jump_takes_so_many_pixels_on_each_side(band: int, row: list[float]) -> None:
    assert shown([[10, 10, 10, 20, 20, 20]] * 2, band) == [row] * 2


def test_a_jump_downward_counts_as_one_across() -> None:
    column = [row[0] for row in shown([[10.0]] * 3 + [[30.0]] * 3, 1)]
    assert column == [10, 10, 0, 0, 30, 30]


def test_a_slope_is_no_jump_and_a_hole_is_none_either() -> None:
    """1.19 a pixel is below a fifth; between 10 m, no depth and 40 m, no two neighbours are known."""
    slope = [[10 * 1.19**i for i in range(5)]]
    assert shown(slope, 1)[0] == pytest.approx(slope[0])
    assert shown([[10, 0, 40]], 1) == [[10, 0, 40]]


def test_measuring_sees_every_pixel() -> None:
    assert shown([[10, 10, 20, 20]], 1, training=False) == [[10, 10, 20, 20]]
