"""preprocessing.stereo.subpixel: fractions by hand, and of pairs that are shifted by known ones."""

import cv2
import numpy as np
import pytest

from preprocessing.stereo.census import match_census
from preprocessing.stereo.search import Search
from preprocessing.stereo.subpixel import vertex, with_fraction


def costs(*columns: tuple[int, ...], kind: type = np.uint8) -> np.ndarray:
    """[D, W] of columns."""
    return np.array(columns, kind).T


def test_two_lines_of_equal_slope_by_hand() -> None:
    """10 2 6: the steeper line falls by 8, so the other one, -8 (x - v), meets it at (10 - 6) / 16 to the right.

    7 3 7 is even; 9 4 4 lies between both; 5 6 9 has a cheaper neighbour, and 8 8 8 no slope.
    """
    fraction, slope = vertex(*costs((10, 2, 6), (7, 3, 7), (9, 4, 4), (5, 6, 9), (8, 8, 8)))
    assert fraction.tolist() == [0.25, 0.0, 0.5, -0.5, 0.0]
    assert slope.tolist() == [8, 4, 5, 0, 0]
    assert vertex(*costs((255, 0, 255)))[1].tolist() == [255]  # bytes do not wrap


def test_windows_tell_the_fraction_and_sums_where_windows_cannot() -> None:
    """The sums say 1/8 to the right in every column (10 2 8, all 100 more), the window something of its own.

    10 2 6 is steep: 1/4. 3 1 2 has half the slope that is needed: half of each, (1/8 + 1/4) / 2. 5 6 9 would choose
    another disparity, 6 6 6 none: the sums' 1/8. Winners at the ends of the range stay whole.
    """
    window = costs(
        (9, 10, 2, 6, 9), (9, 3, 1, 2, 9), (9, 5, 6, 9, 9), (6, 6, 6, 6, 6), (1, 9, 9, 9, 9), (9, 9, 9, 9, 1)
    )
    sums = costs(*6 * [(150, 110, 102, 108, 150)], kind=np.uint16)
    found = with_fraction(np.array([2, 2, 2, 2, 0, 4], np.int32), sums, window)
    assert found.dtype == np.float32
    assert found.tolist() == [2.25, 2.1875, 2.125, 2.125, 0.0, 4.0]


@pytest.mark.parametrize("eighths", range(8))
def test_no_fraction_is_pulled_to_a_whole_pixel(eighths: int) -> None:
    """A wall at 5 px and some eighths: sampled from a texture eight times as fine, so that the shift is exact.

    From the path sums alone the answers at 1/8, 2/8 and 3/8 are 0.09, 0.19 and 0.28 px too small.
    """
    rng = np.random.default_rng(eighths)
    width, height, shift = 120, 48, 5 + eighths / 8
    fine = cv2.GaussianBlur(rng.uniform(0, 255, (height, 8 * (width + 12))).astype(np.float32), (0, 0), 9.6, sigmaY=1.2)
    fine = cv2.blur((fine - fine.min()) / np.ptp(fine) * 255, (8, 1))
    left, right = (
        np.ascontiguousarray(np.rint(fine[:, 4 + start : 4 + start + 8 * width : 8]).astype(np.uint8))
        for start in (0, round(8 * shift))
    )
    found, _ = match_census(left, right, Search(0, 16), 3, 13, 100)
    error = (found - shift)[6:-6, 24:-10]
    assert abs(float(np.median(error))) < 0.03
    assert float(np.mean(np.abs(error) < 0.2)) > 0.9
