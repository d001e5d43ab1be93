"""Metrics by their paths."""

import pytest

from advmtl.tasks import TASKS, TaskSpec
from advmtl.tasks.figure_path import figure_at
from preprocessing.ground.errors import InputError

SPEC = TaskSpec("categories7")


@pytest.mark.parametrize(
    ("path", "higher", "unit"),
    [
        ("segmentation.miou", True, "1"),
        ("depth.rmse_m", False, "m"),
        ("segmentation.iou_per_class.vehicle", True, "1"),
        ("normals.mean_angle_deg", False, "°"),
    ],
)
def test_a_path_knows_its_direction_and_unit(path: str, higher: bool, unit: str) -> None:
    found = figure_at(path, TASKS, SPEC)
    assert (found.key, found.higher, found.figure.unit) == (path, higher, unit)


def test_values_are_read_out_of_an_evaluation() -> None:
    metrics = {"segmentation": {"miou": 1, "iou_per_class": {"flat": 0.25, "sky": None}}}
    assert figure_at("segmentation.miou", TASKS, SPEC).of(metrics) == 1.0
    assert figure_at("segmentation.iou_per_class.flat", TASKS, SPEC).of(metrics) == 0.25
    assert figure_at("segmentation.iou_per_class.sky", TASKS, SPEC).of(metrics) is None
    assert figure_at("depth.abs_rel", TASKS, SPEC).of(metrics) is None


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("segmentatio.miou", "segmentatio.miou: no task 'segmentatio' here; there are segmentation, depth"),
        ("depth.abs_rell", "depth.abs_rell: no metric that ranks models; did you mean depth.abs_rel?"),
        ("depth.pixels", "depth.pixels: no metric that ranks models"),
        ("segmentation.iou_per_class", "segmentation.iou_per_class: write segmentation.iou_per_class.CLASS"),
        ("segmentation.iou_per_class.bus", "segmentation.iou_per_class.bus: write .*; the classes are flat, "),
        ("depth.abs_rel.car", "depth.abs_rel.car: depth.abs_rel has no parts"),
    ],
)
def test_a_wrong_path_is_one_line_with_what_there_is(path: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        figure_at(path, TASKS, SPEC)
