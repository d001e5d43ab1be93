import numpy as np
import pytest
from standins import NAMES, PALETTE, made, make_frame, make_metadata

from advmtl.tasks.depth.arrays import depth_footer
from advmtl.tasks.segmentation.arrays import class_footer
from export.session.session import Result
from export.sinks import Painter
from preprocessing.ground.labels import LabelSet

SIZE = (512, 130)


def result(depth_m: float = 10.0) -> Result:
    classes = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    classes[:, 256:] = 3
    return made(classes, np.full((SIZE[1], SIZE[0]), depth_m, np.float32))


def test_classes_left_depth_right_legend_below() -> None:
    painter = Painter(make_metadata(SIZE))
    grey = np.full((SIZE[1], SIZE[0], 3), 100, np.uint8)
    near, far = painter.paint(grey, result(1.5)), painter.paint(grey, result(70.0))
    assert near.dtype == np.uint8
    assert near.shape == far.shape
    assert near.shape[0] > SIZE[1] and near.shape[1] == 2 * SIZE[0]
    left = near[60, [100, 400]].astype(int)
    assert left[0, 2] > left[0, 1], "road is purple"
    assert left[1, 2] > left[1, 0] + 40, "car is blue"
    assert near[60, 600, 0] > near[60, 600, 2], "near is red"
    assert far[60, 600, 2] > far[60, 600, 0], "far is blue"


def test_one_task_has_one_panel() -> None:
    for outputs, part in (
        (("classes",), made(result().classes, None)),
        (("depth_m",), made(None, result().depth_m)),
    ):
        picture = Painter(make_metadata(SIZE, outputs)).paint(make_frame(0, SIZE), part)
        assert picture.shape[1] == SIZE[0]


@pytest.mark.parametrize(
    ("size", "width"), [((160, 96), 480), ((1024, 512), 1024), ((333, 201), 666), ((401, 99), 401)]
)
def test_small_frames_are_enlarged_and_sides_are_even(size: tuple[int, int], width: int) -> None:
    maps = made(np.zeros((size[1], size[0]), np.uint8), np.full((size[1], size[0]), 5, np.float32))
    picture = Painter(make_metadata(size)).paint(make_frame(0, size), maps)
    assert picture.shape[1] == 2 * width
    assert picture.shape[0] % 2 == picture.shape[1] % 2 == 0


def test_legend_shows_every_colour_and_wraps() -> None:
    labels = LabelSet("own", NAMES, np.array(PALETTE, np.uint8))
    wide, narrow = class_footer(labels, 512), class_footer(labels, 160)
    assert wide.shape[1] == 512 and narrow.shape[1] == 160
    assert narrow.shape[0] > wide.shape[0]
    for strip in (wide, narrow):
        for colour in PALETTE:
            assert (strip == colour).all(-1).sum() >= 100


def test_scale_runs_from_near_red_to_far_blue() -> None:
    strip = depth_footer((1.0, 80.0), 512).astype(int)
    row = strip[10]
    bar = np.flatnonzero(np.ptp(row, axis=1) > 20)
    first, last = row[bar[0] + 2], row[bar[-1] - 2]
    assert first[0] > first[2] and last[2] > last[0]
    assert 380 < len(bar) < 512
