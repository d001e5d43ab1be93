"""One frame measured: which pixels count, lidar through the camera, whose depth file it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_dots import BOX, CAMERA, FAR_PX, HEIGHT, NEAR_PX, WIDTH, true_disparity, write_set
from shared_files import shared_file
from written_set import output, write_exact, write_outputs

from preprocessing.ground.depth import write_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.files import read_grey_or_index, read_image, write_png
from preprocessing.ground.frame import Camera, Frame
from preprocessing.quality.frame import FrameJob, measure
from preprocessing.quality.metrics import BANDS_M, FrameSums, metrics_of
from preprocessing.sets.cityscapes import frame_path
from preprocessing.sets.layout import Layout
from preprocessing.sets.layouts import CITYSCAPES
from preprocessing.stereo.census import census
from preprocessing.stereo.cleaning import CleanSettings, clean

BOX_PIXELS = (BOX[0].stop - BOX[0].start) * (BOX[1].stop - BOX[1].start)
PIXELS = HEIGHT * WIDTH


def measured(
    root: Path, frame: Frame, layout: Layout = CITYSCAPES, *, matcher: str = "census", max_depth_m: float = 80.0
) -> FrameSums:
    result = measure(FrameJob(frame, layout, root, matcher, max_depth_m, check=False))
    assert isinstance(result, FrameSums), result
    return result


@pytest.fixture
def frame(tmp_path: Path) -> Frame:
    return write_exact(write_set(tmp_path, ("dots_0_1",)))[0]


def test_confidence_tells_matched_from_filled(tmp_path: Path, frame: Frame) -> None:
    """The box is filled and 4 px off, the first 16 columns are empty: over all, both are wrong."""
    disparity, valid, matched = true_disparity(), np.ones((HEIGHT, WIDTH), dtype=bool), np.ones((HEIGHT, WIDTH), bool)
    disparity[BOX] += 4
    matched[BOX] = False
    valid[:, :16] = matched[:, :16] = False
    write_outputs(tmp_path, frame, disparity, valid, matched)
    found = metrics_of(measured(tmp_path, frame))
    empty = 16 * HEIGHT
    assert found["filled_share"] == pytest.approx(BOX_PIXELS / PIXELS, abs=1e-6)
    assert found["matched_share"] == pytest.approx((PIXELS - BOX_PIXELS - empty) / PIXELS, abs=1e-6)
    truth = found["truth"]["disparity"]
    assert truth["answered"]["d1_share"] == 0
    assert truth["valid"]["d1_share"] == pytest.approx(BOX_PIXELS / (PIXELS - empty), abs=1e-6)
    assert truth["all"]["d1_share"] == pytest.approx((BOX_PIXELS + empty) / PIXELS, abs=1e-6)
    # The box at 80 / 10 = 8 m is taken for 80 / 14 m; the wall at 20 m is right.
    near = truth["depth_valid"][BANDS_M.index((0, 10))]
    assert near["pixels"] == BOX_PIXELS
    assert near["abs_rel"] == pytest.approx(1 - NEAR_PX / (NEAR_PX + 4), abs=1e-3)
    assert near["rmse_m"] == pytest.approx(8 - 80 / 14, abs=0.01)
    assert truth["depth_answered"][BANDS_M.index((0, 10))]["pixels"] == 0
    assert truth["depth_answered"][BANDS_M.index((10, 20))]["abs_rel"] == pytest.approx(0, abs=1e-4)


def test_without_confidence_all_valid_pixels_count_as_matched(tmp_path: Path, frame: Frame) -> None:
    output(tmp_path, "confidence_census", frame).unlink()
    sums = measured(tmp_path, frame)
    assert (sums.matched, sums.filled, sums.without_confidence) == (PIXELS, 0, 1)


def test_lidar_becomes_disparity_with_the_offset_of_the_principal_points(tmp_path: Path, frame: Frame) -> None:
    """Z = 80 / (d + 12): the wall at d = 4 is at 5 m, the box at d = 10 at 80 / 22 m. Lidar sees one row of each."""
    camera = replace(CAMERA, doffs_px=12.0)
    layout = replace(CITYSCAPES, read_camera=lambda frame, size: camera)
    depth_m = (80 / (true_disparity() + 12)).astype(np.float32)
    write_depth(output(tmp_path, "depth", frame), depth_m, {"matcher": "census"})
    points = np.zeros_like(depth_m)
    points[30], points[5, 40:44] = depth_m[30], 120.0  # beyond: still a disparity, 80 / 120 - 12 px
    write_depth(tmp_path / "lidar.png", points)
    only_lidar = replace(frame, lidar=tmp_path / "lidar.png", disparity=None)
    found = metrics_of(measured(tmp_path, only_lidar, layout))["truth"]
    assert set(found) == {"lidar"}
    lidar = found["lidar"]
    assert lidar["pixels"] == WIDTH + 4
    # Lidar's 1/256 m is 0.012 px at 5 m.
    assert lidar["valid"]["epe_mean_px"] == pytest.approx((0.01 * WIDTH + 4 * (16 - 80 / 120)) / (WIDTH + 4), abs=0.02)
    assert lidar["valid"]["d1_share"] == pytest.approx(4 / (WIDTH + 4), abs=1e-6)
    everything = lidar["depth_valid"][BANDS_M.index((0, 80))]
    assert (everything["pixels"], everything["truth_pixels"]) == (WIDTH, WIDTH)
    assert everything["abs_rel"] == pytest.approx(0, abs=1e-3)


def test_both_truths_are_told_apart(tmp_path: Path, frame: Frame) -> None:
    """Lidar says 16 m where the set's own disparity says 20 m and 8 m."""
    write_depth(tmp_path / "lidar.png", np.full((HEIGHT, WIDTH), 16, dtype=np.float32))
    found = metrics_of(measured(tmp_path, replace(frame, lidar=tmp_path / "lidar.png")))["truth"]
    assert found["disparity"]["valid"]["epe_mean_px"] == 0
    expected = ((5 - FAR_PX) * (PIXELS - BOX_PIXELS) + (NEAR_PX - 5) * BOX_PIXELS) / PIXELS
    assert found["lidar"]["valid"]["epe_mean_px"] == pytest.approx(expected, abs=1e-3)


def test_what_is_infinitely_far_is_no_truth(tmp_path: Path, frame: Frame) -> None:
    disparity = true_disparity()
    disparity[:10] = 0
    write_disparity(frame_path(tmp_path, "disparity", "train", "dots", frame.name), disparity, disparity >= 0)
    truth = metrics_of(measured(tmp_path, frame))["truth"]["disparity"]
    assert truth["pixels"] == PIXELS - 10 * WIDTH
    assert truth["valid"]["epe_mean_px"] == 0


def test_the_sets_own_disparity_is_no_truth_to_itself(tmp_path: Path, frame: Frame) -> None:
    for kind in ("disparity", "confidence"):
        (tmp_path / f"{kind}_census").rename(tmp_path / f"{kind}_dataset")
    sums = measured(tmp_path, frame, matcher="dataset")
    assert sums.truths == {}
    assert sums.photometric is not None


def test_a_depth_file_of_another_matcher_is_left_alone(tmp_path: Path, frame: Frame) -> None:
    """The depth file says 3 m everywhere and that the set's disparity made it; census' disparity is right."""
    three = np.full((HEIGHT, WIDTH), 3, dtype=np.float32)
    path = output(tmp_path, "depth", frame)
    errors = []
    for matcher in ("dataset", "census"):
        write_depth(path, three, {"matcher": matcher})
        sums = measured(tmp_path, frame)
        assert sums.other_depth == (matcher == "dataset")
        errors.append(metrics_of(sums)["truth"]["disparity"]["depth_valid"][-1]["abs_rel"])
    assert errors[0] == pytest.approx(0, abs=1e-4)
    # The wall's 20 m are taken for 3, the box's 8 m, too.
    assert errors[1] == pytest.approx((0.85 * (PIXELS - BOX_PIXELS) + 0.625 * BOX_PIXELS) / PIXELS, abs=1e-3)


def test_truth_beyond_the_clip_of_the_file_is_left_out(tmp_path: Path, frame: Frame) -> None:
    """Clipped at 12 m, the wall at 20 m can only be wrong; what counts is the box at 8 m."""
    write_outputs(tmp_path, frame, true_disparity(), clip_m=12.0)
    sums = measured(tmp_path, frame)
    rows = metrics_of(sums)["truth"]["disparity"]["depth_valid"]
    assert sums.nearer_clip == 1
    assert [row["pixels"] for row in rows] == [BOX_PIXELS, 0, 0, 0, BOX_PIXELS, BOX_PIXELS]
    assert rows[-1]["abs_rel"] == pytest.approx(0, abs=1e-4)
    assert measured(tmp_path, frame, max_depth_m=10.0).nearer_clip == 0


def test_a_frame_without_right_image_is_measured_against_its_truth(tmp_path: Path, frame: Frame) -> None:
    sums = measured(tmp_path, replace(frame, right=None))
    assert sums.photometric is None
    assert sums.truths["disparity"].pixels == PIXELS


def test_a_frame_without_camera_file_is_counted_and_does_not_warn(tmp_path: Path, frame: Frame) -> None:
    assert measured(tmp_path, replace(frame, camera=None)).default_cameras == 1


def test_figures_of_a_real_pair_are_those_of_the_formulas(tmp_path: Path) -> None:
    source = shared_file("data/kitti_stereo/2015_000000")
    left, right = (read_image(source / f"{side}.png") for side in ("left", "right"))
    truth = read_grey_or_index(source / "disparity.png") / 256
    camera = Camera(0.54, 721.5, 721.5, 609.6, 172.9)
    match = census(left, right)
    cleaned = clean(match, CleanSettings())
    frame = Frame("a", "train", "k", tmp_path / "l.png", tmp_path / "r.png", None, None, None, None, None)
    write_png(frame.left, left)
    assert frame.right is not None
    write_png(frame.right, right)
    lidar_m = np.where(truth > 0, 0.54 * 721.5 / np.maximum(truth, 1e-3), 0).clip(max=255).astype(np.float32)
    write_depth(tmp_path / "lidar.png", lidar_m)
    write_outputs(tmp_path, frame, cleaned.disparity, cleaned.valid)
    layout = replace(CITYSCAPES, read_camera=lambda frame, size: camera)
    found = metrics_of(measured(tmp_path, replace(frame, lidar=tmp_path / "lidar.png"), layout))

    known = truth > 0
    both = known & cleaned.valid
    error = np.abs(cleaned.disparity - truth)
    wrong = (error > 3) & (error > 0.05 * truth)
    lidar = found["truth"]["lidar"]
    assert lidar["pixels"] == known.sum() > 50_000
    # Lidar depth in steps of 1/256 m costs up to 0.01 px nearby.
    assert lidar["valid"]["epe_mean_px"] == pytest.approx(error[both].mean(), abs=0.02)
    assert lidar["valid"]["epe_median_px"] == pytest.approx(np.median(error[both]), abs=0.03)
    assert lidar["valid"]["d1_share"] == pytest.approx(wrong[both].mean(), abs=0.001)
    assert lidar["all"]["d1_share"] == pytest.approx((wrong | ~cleaned.valid)[known].mean(), abs=0.001)
    photometric = found["photometric"]
    assert photometric["unexplained_share"] < photometric["unexplained_by_wrong_disparity_share"] - 0.3
    assert photometric["error_ratio"] < 0.6
