"""Correct, swapped and unrectified pairs, generated and real, and the finding for each."""

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from shared_files import shared_file

from preprocessing.ground.files import read_image
from preprocessing.sets.cityscapes import find_frames
from preprocessing.sets.rectification import MIN_MATCHES, inspect_pair

UInt8 = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 300, 140


def plane_pair(
    near_px: float = 12.0, far_px: float = 3.0, row_px: float = 0.0, tilt_deg: float = 0.0
) -> tuple[UInt8, UInt8]:
    """A textured road that comes nearer to the bottom: disparity far..near [px] by row; the right image is shifted by
    rows and turned about its centre as asked."""
    rng = np.random.default_rng(3)
    texture = cv2.GaussianBlur(rng.uniform(0, 255, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 1.5)
    left = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    turn = np.deg2rad(tilt_deg)
    x, y = u - WIDTH / 2, v - HEIGHT / 2
    row = np.cos(turn) * y - np.sin(turn) * x + HEIGHT / 2 + row_px
    column = np.cos(turn) * x + np.sin(turn) * y + WIDTH / 2
    disparity = far_px + (near_px - far_px) * row / HEIGHT
    right = cv2.remap(left, (column + disparity).astype(np.float32), row.astype(np.float32), cv2.INTER_LINEAR)
    pair = (cv2.cvtColor(image.astype(np.uint8), cv2.COLOR_GRAY2RGB) for image in (left, right))
    return next(pair), next(pair)


def test_a_good_pair_is_left_alone() -> None:
    report = inspect_pair(*plane_pair())
    assert report.matches > 100
    assert (report.negative, report.positive, report.reduction) == (0, 1, 1)
    assert report.vertical_px == pytest.approx(0, abs=0.05) and report.systematic_px < 0.1
    assert report.finding is None


def test_swapped_sides_are_reported_with_the_remedy() -> None:
    left, right = plane_pair()
    report = inspect_pair(right, left)
    assert report.looks_swapped and not report.looks_unrectified
    assert report.negative == pytest.approx(1, abs=0.02)
    assert report.finding is not None and "\n" not in report.finding
    assert "swapped" in report.finding and "100%" in report.finding


def test_disparities_down_to_minus_doffs_are_real() -> None:
    """-10..-1 px with doffs = 15: 5..14 px before infinity. With doffs = -15 a disparity of 3..12 is beyond it."""
    pair = plane_pair(near_px=-1, far_px=-10)
    assert inspect_pair(*pair).looks_swapped
    assert inspect_pair(*pair, doffs_px=15).finding is None
    assert inspect_pair(*plane_pair(), doffs_px=-15).looks_swapped


@pytest.mark.parametrize("row_px", [-2.5, 1.6, 9.0])
def test_a_row_offset_is_measured(row_px: float) -> None:
    """A point of the right image at row v shows what the left one has at v + row_px."""
    report = inspect_pair(*plane_pair(row_px=row_px))
    assert report.vertical_px == pytest.approx(row_px, abs=0.1)
    assert report.looks_unrectified and not report.looks_swapped
    assert report.finding is not None and f"{row_px:+.1f} px" in report.finding and "rectify" in report.finding


def test_half_a_pixel_is_no_offset() -> None:
    assert inspect_pair(*plane_pair(row_px=0.5)).finding is None


def test_a_turned_camera_is_told_though_the_median_row_agrees() -> None:
    """One degree over 300 px: rows differ by up to 2.6 px at the sides, 1.5 px root mean square, 0 in the middle."""
    report = inspect_pair(*plane_pair(tilt_deg=1.0))
    assert abs(report.vertical_px) < 0.5
    assert report.systematic_px == pytest.approx(np.sin(np.deg2rad(1)) * WIDTH / np.sqrt(12), rel=0.2)
    assert report.looks_unrectified


def test_offsets_are_in_pixels_of_the_images_themselves() -> None:
    """Four times as large, the pair is looked at on every other pixel (1200 / 480, rounded), and its 2 px are 8 px."""
    large = [
        cv2.resize(image, (4 * WIDTH, 4 * HEIGHT), interpolation=cv2.INTER_CUBIC) for image in plane_pair(row_px=2)
    ]
    report = inspect_pair(*large)
    assert report.reduction == 2
    assert report.vertical_px == pytest.approx(8, abs=0.4)


def test_another_exposure_makes_no_difference() -> None:
    left, right = plane_pair()
    darker = (255 * (right / 255) ** 1.7 * 0.6).astype(np.uint8)
    assert inspect_pair(left, darker).finding is None
    assert inspect_pair(darker, left).looks_swapped


def test_the_same_picture_twice_is_told() -> None:
    left, _ = plane_pair()
    assert "same picture" in (inspect_pair(left, left.copy()).finding or "")
    other = left.copy()
    other[0, 0, 0] ^= 128
    assert inspect_pair(left, other).finding is None


def test_of_what_has_no_corners_nothing_is_said() -> None:
    plain = np.full((90, 170, 3), 40, dtype=np.uint8)
    for pair in ((plain, plain + 1), (plain, plane_pair()[0][:90, :170])):
        report = inspect_pair(*pair)
        assert (report.corners, report.matches, report.finding) == (0, 0, None)


def test_pictures_of_different_things_are_told() -> None:
    """The right picture is of elsewhere, or upside down."""
    left, right = plane_pair()
    elsewhere = np.random.default_rng(99).integers(0, 256, left.shape, dtype=np.uint8)
    for other in (elsewhere, right[::-1].copy()):
        report = inspect_pair(left, other)
        assert report.looks_unrelated and not report.looks_swapped and not report.looks_unrectified
        assert report.finding is not None and f"{report.matches} of {report.corners} corners" in report.finding


def test_the_smallest_pictures_are_no_error() -> None:
    for shape in ((1, 1, 3), (2, 5, 3), (1, 900, 3), (40, 3, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert inspect_pair(image, image[::-1, ::-1].copy()).matches < MIN_MATCHES


def real_pairs() -> Iterator[tuple[str, UInt8, UInt8, float]]:
    for frame in find_frames(shared_file("data/stereo_drive")):
        assert frame.right is not None
        yield frame.name, read_image(frame.left), read_image(frame.right), 0.0
    for folder in sorted(shared_file("data/kitti_stereo").iterdir()):
        yield folder.name, read_image(folder / "left.png"), read_image(folder / "right.png"), 0.0
    motorcycle = shared_file("data/middlebury_motorcycle")
    sides = (read_image(motorcycle / f"motorcycle_{side}.png") for side in ("left", "right"))
    yield "motorcycle", next(sides), next(sides), 31.086


def test_no_good_real_pair_is_lost_and_no_swapped_one_passes() -> None:
    count = 0
    for name, left, right, doffs_px in real_pairs():
        good, exchanged = inspect_pair(left, right, doffs_px), inspect_pair(right, left, doffs_px)
        assert good.finding is None, name
        assert exchanged.looks_swapped, name
        assert good.negative < 0.1 < 0.5 < exchanged.negative, name  # far from the threshold, both
        assert inspect_pair(left, np.roll(right, 2, axis=0), doffs_px).looks_unrectified, name
        count += 1
    assert count == 29
