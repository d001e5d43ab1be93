"""Boundaries and depth contours of drawn shapes."""

import cv2
import numpy as np
import pytest
import torch

from advmtl.tasks.depth.edges import EDGE_THRESHOLDS, DepthEdges
from advmtl.tasks.segmentation.boundaries import BoundaryIoU, boundary_map, boundary_width


def boundary_iou(prediction, target):
    meter = BoundaryIoU("camvid11")
    meter.update(prediction[None], target[None])
    return meter.compute()["boundary_iou"]


def square(left, top=30, side=20, size=(80, 100)):
    labels = torch.zeros(size, dtype=torch.int64)
    labels[top : top + side, left : left + side] = 8
    return labels


def test_width_of_the_band():
    # 0.02 of the diagonal: 2048×1024 -> 2289.7 px -> 46; 40×30 -> 50 px -> 1; 20×10 -> at least 1.
    assert [boundary_width(*size) for size in ((1024, 2048), (30, 40), (10, 20))] == [46, 1, 1]


@pytest.mark.parametrize("distance", [1, 2, 5])
def test_boundary_map_equals_mask_minus_eroded_mask_of_every_class(distance):
    """Cheng et al.: mask − erosion(mask, d times 3×3), zeros outside the picture."""
    labels = np.random.default_rng(2).integers(0, 3, (6, 9)).repeat(7, 0).repeat(5, 1)
    expected = np.zeros(labels.shape, bool)
    for number in range(3):
        mask = labels == number
        padded = np.pad(mask.astype(np.uint8), 1)
        eroded = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=distance)[1:-1, 1:-1]
        expected |= mask & (eroded == 0)
    found = boundary_map(torch.from_numpy(labels)[None], distance)[0].numpy()
    np.testing.assert_array_equal(found, expected)


def test_equal_maps_score_one_and_a_shift_by_hand():
    """A 20 px square shifted by its band's width d = 3 (of 80×100 px): bands of area 20² − 14² = 204 each.

    True columns 40..59, predicted 43..62. In common: the upper and lower 3 rows over columns 43..59,
    2·3·17 = 102; between them the bars 43..45 and 60..62 meet the true ones 40..42 and 57..59 nowhere.
    """
    assert boundary_width(80, 100) == 3
    assert boundary_iou(square(40), square(40)) == 1.0
    meter = BoundaryIoU("camvid11")
    meter.update(square(43)[None], square(40)[None])
    both, true, predicted = meter.counts[:, 8].tolist()
    assert (both, true, predicted) == (102, 204, 204)


def test_boundary_iou_sees_what_pixel_accuracy_does_not():
    sharp, target = square(40), square(40)
    frayed = target.clone()
    frayed[28:30, 40:60:2] = 8  # teeth on one side: 20 of 8000 px
    assert (frayed != target).float().mean() < 0.003
    assert boundary_iou(frayed, target) < boundary_iou(sharp, target) - 0.01


def test_void_regions_do_not_punish_what_is_predicted_there():
    target, prediction = square(40), square(40)
    target[:, :20] = 255
    prediction[:, :20] = torch.randint(0, 11, (80, 20), generator=torch.Generator().manual_seed(0))
    assert boundary_iou(prediction, target) == 1.0


def test_boundary_counts_merge():
    one, two = BoundaryIoU("camvid11"), BoundaryIoU("camvid11")
    one.update(square(43)[None], square(40)[None])
    two.merge(one)
    two.merge(BoundaryIoU("camvid11"))
    assert two.compute() == one.compute()


def edge_f1(prediction, target):
    meter = DepthEdges()
    meter.update(prediction[None, None], target[None, None])
    return meter.compute()


def wall_with_box(left=20, near=10.0, far=20.0, size=(30, 50)):
    depth = torch.full(size, far)
    depth[10:20, left : left + 12] = near
    return depth


def test_exact_contours_score_one_at_any_scale():
    target = wall_with_box()
    assert edge_f1(target, target) == {"edge_f1": pytest.approx(1.0), "edge_frames": 1}
    assert edge_f1(target * 1.7, target)["edge_f1"] == pytest.approx(1.0)


def test_flat_prediction_and_shifted_contours():
    target = wall_with_box()
    assert edge_f1(torch.full_like(target, 15.0), target)["edge_f1"] == 0.0
    # Shifted by 3 px in x: left and right contours miss; of the 12 px of the upper and lower ones 9 agree:
    # precision = recall = mean(0, 0, 9/12, 9/12) = 0.375 = F1, at every threshold.
    assert edge_f1(wall_with_box(23), target)["edge_f1"] == pytest.approx(0.375)


def test_a_blurred_contour_loses_at_high_thresholds():
    """Steps 20 -> 18.4 -> 10 m: the true pair has ratio 2, the predicted 1.84 at the same place and 1.087
    beside it.

    The extra contour of 1.087 costs precision at the thresholds below it only: 1.05 and 1.072.
    """
    target = wall_with_box()
    prediction = target.clone()
    prediction[10:20, 19] = 18.4
    below = sum(t for t in EDGE_THRESHOLDS if t < 20 / 18.4)
    assert [t < 20 / 18.4 for t in EDGE_THRESHOLDS].count(True) == 2
    # Of the four directions one (near on the right) predicts 20 contours for 10 true ones; in the others, up
    # and down, the column 19 adds one pixel of ratio 1.087 beside 12.
    precision = (10 / 20 + 1 + 12 / 13 + 12 / 13) / 4
    f1 = 2 * precision / (1 + precision)
    expected = (below * f1 + sum(EDGE_THRESHOLDS) - below) / sum(EDGE_THRESHOLDS)
    assert edge_f1(prediction, target)["edge_f1"] == pytest.approx(expected)


def test_direction_matters():
    # Near and far exchanged: contours lie at the same pixels but face the other way.
    assert edge_f1(wall_with_box(near=20.0, far=10.0), wall_with_box())["edge_f1"] == 0.0


def test_contours_next_to_invalid_depth_do_not_count():
    target = wall_with_box()
    target[:, :18] = 0
    prediction = wall_with_box()
    prediction[5, 3:9] = 1.0
    assert edge_f1(prediction, target)["edge_f1"] == pytest.approx(1.0)


def test_sparse_truth_is_left_out():
    sparse = torch.where(torch.rand(30, 50, generator=torch.Generator().manual_seed(1)) < 0.05, 20.0, 0.0)
    assert edge_f1(wall_with_box(), sparse) == {"edge_f1": None, "edge_frames": 0}
    both = DepthEdges()
    both.update(torch.stack([wall_with_box()] * 2)[:, None], torch.stack([sparse, wall_with_box()])[:, None])
    assert both.compute() == {"edge_f1": pytest.approx(1.0), "edge_frames": 1}


def test_counts_against_the_published_formula_per_threshold():
    """Depth Pro counts `ratio > t` for each threshold and direction; ours does so in one pass."""
    rng = torch.Generator().manual_seed(4)
    target = torch.exp(torch.rand(12, 17, generator=rng) * 0.6) * 10
    prediction = torch.exp(torch.rand(12, 17, generator=rng) * 0.6) * 10
    meter = DepthEdges()
    meter.update(prediction[None, None], target[None, None])
    for row, threshold in enumerate(EDGE_THRESHOLDS):
        for column, (p, g) in enumerate(zip(contours(prediction, threshold), contours(target, threshold), strict=True)):
            assert meter.counts[:, row, column].tolist() == [int((p & g).sum()), int(g.sum()), int(p.sum())]


def contours(depth, threshold):
    across, down = depth[:, 1:] / depth[:, :-1], depth[1:] / depth[:-1]
    return [across > threshold, 1 / across > threshold, down > threshold, 1 / down > threshold]
