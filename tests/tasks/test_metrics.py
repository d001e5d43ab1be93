"""Metrics of segmentation and depth, derived by hand."""

import math

import numpy as np
import pytest
import torch

from advmtl.evaluation.tables import HIGHER_IS_BETTER, UNITS
from advmtl.tasks.depth.metrics import DepthMetrics
from advmtl.tasks.segmentation.metrics import SegmentationMetrics, confusion_matrix, iou_per_class, merge_classes
from preprocessing.ground.labels import label_set


def ids(*rows):
    return torch.tensor([rows])


def test_confusion_counts_truth_by_row_and_leaves_out_ignored_pixels():
    target = ids([0, 0, 1, 255], [2, 2, 1, 255])
    prediction = ids([0, 1, 1, 0], [2, 0, 1, 2])
    expected = [[1, 1, 0], [0, 2, 0], [1, 0, 1]]
    assert confusion_matrix(prediction, target, 3).tolist() == expected
    assert confusion_matrix(prediction.to(torch.uint8), target.to(torch.uint8), 3).tolist() == expected


def test_iou_of_a_hand_made_matrix():
    # Class 0: 3 hits, 4 true, 4 predicted -> 3 / (4 + 4 − 3). Class 1: 5 / (6 + 6 − 5). Class 2: absent.
    iou = iou_per_class(np.array([[3, 1, 0], [1, 5, 0], [0, 0, 0]]))
    np.testing.assert_allclose(iou[:2], [3 / 5, 5 / 7])
    assert np.isnan(iou[2])


def test_set_level_miou_is_not_the_mean_over_images():
    """Frame 1: 4 px of sky, all right. Frame 2: 1 px of sky, wrong, 3 px of building, right.

    Over the set: sky 4/5, building 3/4, mean 0.775. Per image: 1 and (0 + 3/4) / 2, mean 0.6875.
    """
    metrics = SegmentationMetrics("camvid11")
    metrics.update(ids([0, 0], [0, 0]), ids([0, 0], [0, 0]))
    metrics.update(ids([1, 1], [1, 1]), ids([0, 1], [1, 1]))
    result = metrics.compute()
    assert result["miou"] == pytest.approx(0.775)
    assert result["pixel_accuracy"] == pytest.approx(7 / 8)
    assert result["iou_per_class"]["sky"] == pytest.approx(0.8)
    assert result["iou_per_class"]["car"] is None
    assert (result["classes_absent"], result["frames"]) == (9, 2)


def test_a_class_only_predicted_counts_as_zero():
    metrics = SegmentationMetrics("camvid11")
    metrics.update(ids([0, 8]), ids([0, 0]))
    result = metrics.compute()
    assert result["iou_per_class"]["car"] == 0.0
    assert result["miou"] == pytest.approx((0.5 + 0) / 2)


def test_categories_equal_mapping_both_maps_first():
    rng = torch.Generator().manual_seed(1)
    target = torch.randint(0, 19, (2, 7, 13), generator=rng)
    prediction = torch.randint(0, 19, (2, 7, 13), generator=rng)
    target[0, 0] = 255
    table = torch.from_numpy(label_set("cityscapes19").group_table.astype(np.int64))
    mapped = confusion_matrix(table[prediction], table[target], 7).numpy()
    whole = confusion_matrix(prediction, target, 19).numpy()
    np.testing.assert_array_equal(merge_classes(whole, label_set("cityscapes19").group_table, 7), mapped)


def test_confusing_classes_of_one_category_is_right_for_the_categories():
    # cityscapes19: 13 car, 14 truck are both vehicles; 0 road.
    metrics = SegmentationMetrics("cityscapes19")
    metrics.update(ids([14, 13, 0]), ids([13, 14, 0]))
    result = metrics.compute()
    assert result["miou"] == pytest.approx(1 / 3)
    assert result["miou_categories"] == 1.0


def depths(*values):
    return torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1)


def test_depth_figures_by_hand():
    """p = 11, 10, 30 m against g = 10, 20, 24 m; ratios 1.1, 2, 1.25.

    AbsRel (0.1 + 0.5 + 0.25)/3; SqRel (1/10 + 100/20 + 36/24)/3; RMSE √((1 + 100 + 36)/3);
    δ1 counts 1.1 only (1.25 is not below 1.25), δ2 < 1.5625 adds 1.25, δ3 < 1.953 adds none (2).
    """
    metrics = DepthMetrics()
    metrics.update(depths(11, 10, 30), depths(10, 20, 24))
    result = metrics.compute()
    assert result["abs_rel"] == pytest.approx(0.85 / 3)
    assert result["sq_rel_m"] == pytest.approx(6.6 / 3)
    assert result["rmse_m"] == pytest.approx(math.sqrt(137 / 3))
    logs = math.log(1.1) ** 2 + math.log(2) ** 2 + math.log(1.25) ** 2
    assert result["rmse_log"] == pytest.approx(math.sqrt(logs / 3), rel=1e-6)
    assert (result["delta1"], result["delta2"], result["delta3"]) == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert (result["pixels"], result["frames"]) == (3, 1)


def test_invalid_and_far_truth_is_left_out_and_the_mask_too():
    metrics = DepthMetrics(max_m=80)
    prediction, target = depths(9, 9, 79, 9, 1), depths(0, 10, 81, 5e-4, 20)
    metrics.update(prediction, target, mask=depths(1, 1, 1, 1, 0).bool())
    result = metrics.compute()
    assert result["pixels"] == 1 and result["abs_rel"] == pytest.approx(0.1)


def test_depth_sums_over_pixels_of_the_set_not_per_image():
    # One frame with one pixel off by 100 %, one with three exact pixels: 0.25, not 0.5.
    metrics = DepthMetrics()
    metrics.update(depths(20, 1, 1), depths(10, 0, 0))
    other = DepthMetrics()
    other.update(depths(5, 6, 7), depths(5, 6, 7))
    metrics.merge(other)
    assert metrics.compute()["abs_rel"] == pytest.approx(0.25)
    assert metrics.compute()["frames"] == 2


def test_no_valid_pixel_gives_none_and_no_update_gives_nothing():
    metrics = DepthMetrics()
    metrics.update(depths(3), depths(0))
    assert metrics.compute()["abs_rel"] is None and metrics.compute()["pixels"] == 0
    segmentation = SegmentationMetrics("camvid11")
    segmentation.update(ids([3]), ids([255]))
    assert segmentation.compute()["miou"] is None
    assert DepthMetrics().compute() == SegmentationMetrics("camvid11").compute() == {}


def test_sums_do_not_lose_small_terms_over_a_large_set():
    # 1000 updates of 10⁵ pixels each 0.1 % off: float32 sums would drift in the fourth digit.
    metrics = DepthMetrics()
    target = torch.full((1, 1, 250, 400), 10.0)
    for _ in range(40):
        metrics.update(target * 1.001, target)
    assert metrics.compute()["abs_rel"] == pytest.approx(0.001, rel=1e-4)
    assert metrics.compute()["pixels"] == 4_000_000


def test_every_ranked_figure_has_a_unit():
    assert set(HIGHER_IS_BETTER) <= set(UNITS)
    assert UNITS["rmse_m"] == UNITS["sq_rel_m"] == "m"
