from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from preprocessing.ground.depth import (
    depth_to_disparity,
    disparity_to_depth,
    read_depth,
    resize_disparity,
    write_depth,
)
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Camera
from preprocessing.ground.pictures import resize_nearest
from preprocessing.sets.cityscapes import DEFAULT_CAMERA


def f32(values: list[list[float]]) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_equation_1_by_hand() -> None:
    """B f = 0.209313 * 2262.52 = 473.575: 5.92 px is 80.0 m, 47.3575 px is 10 m, 236.7874 px is 2 m."""
    disparity = f32([[5.92, 47.3575, 236.7874]])
    depth = disparity_to_depth(disparity, disparity > 0, DEFAULT_CAMERA, max_depth_m=100)
    assert depth[0] == pytest.approx([79.996, 10.0, 2.0], rel=1e-4)
    assert depth.dtype == np.float32


def test_far_is_clipped_and_invalid_stays_zero() -> None:
    """With B f = 100: 0.5 px is 200 m, clipped to 80; 4 px is 25 m."""
    camera = Camera(0.5, 200.0, 200.0, 0.0, 0.0)
    disparity, valid = f32([[0.5, 4.0, 4.0]]), np.array([[True, True, False]])
    assert disparity_to_depth(disparity, valid, camera).tolist() == [[80.0, pytest.approx(25.0), 0.0]]


@pytest.mark.parametrize(("infinity", "expected"), [("invalid", 0.0), ("clip", 60.0)])
def test_a_match_at_zero_is_masked_before_dividing(infinity: str, expected: float) -> None:
    camera = Camera(0.5, 200.0, 200.0, 0.0, 0.0)
    disparity, valid = f32([[0.0, 0.0, 10.0]]), np.array([[True, False, True]])
    with np.errstate(all="raise"):
        depth = disparity_to_depth(
            disparity,
            valid,
            camera,
            epsilon=0.0,
            max_depth_m=60.0,
            infinity=infinity,  # type: ignore[arg-type]
        )
    assert depth.tolist() == [[expected, 0.0, 10.0]]


MOTORCYCLE = Camera(0.193001, 994.978, 994.978, 311.193, 254.877, doffs_px=31.086)


def test_principal_points_apart_by_hand() -> None:
    """Middlebury's motorcycle: Z = 0.193001 * 994.978 / (d + 31.086). At d = 0, 192.0317 / 31.086 = 6.1774 m: no
    infinity; at 41.976, 192.0317 / 73.062 = 2.6283 m; at 64.93, 192.0317 / 96.016 = 2.0000 m."""
    disparity = f32([[0.0, 41.976, 64.93], [0.0, 41.976, 64.93]])
    valid = np.array([[True] * 3, [False] * 3])
    depth = disparity_to_depth(disparity, valid, MOTORCYCLE)
    assert depth[0] == pytest.approx([6.1774, 2.6283, 2.0], rel=1e-4)
    assert depth[1].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("infinity", "expected"), [("invalid", 0.0), ("clip", 60.0)])
def test_infinity_is_where_disparity_and_doffs_cancel(infinity: str, expected: float) -> None:
    """With doffs = -4 and B f = 100: 4 px is infinity, 2 px beyond it, 6 px is 50 m and 14 px 10 m."""
    camera = Camera(0.5, 200.0, 200.0, 0.0, 0.0, doffs_px=-4.0)
    disparity = f32([[4.0, 2.0, 6.0, 14.0, 4.0]])
    valid = np.array([[True, True, True, True, False]])
    with np.errstate(all="raise"):
        depth = disparity_to_depth(
            disparity,
            valid,
            camera,
            epsilon=0.0,
            max_depth_m=60.0,
            infinity=infinity,  # type: ignore[arg-type]
        )
    assert depth.tolist() == [[expected, expected, 50.0, 10.0, 0.0]]


def test_beyond_the_shift_of_the_principal_points_disparity_is_negative() -> None:
    """192.0317 / 10 - 31.086 = -11.8828 px."""
    disparity, valid = depth_to_disparity(f32([[10.0, 2.0, 0.0]]), MOTORCYCLE)
    assert disparity[0] == pytest.approx([-11.8828, 64.9298, 0.0], abs=2e-4)
    assert valid.tolist() == [[True, True, False]]


@given(st.floats(1.0, 79.0), st.floats(0.1, 1.0), st.floats(100, 3000), st.floats(-50, 50))
def test_depth_and_disparity_are_inverse(depth_m: float, baseline: float, focal: float, doffs: float) -> None:
    camera = Camera(baseline, focal, focal, 0.0, 0.0, doffs_px=doffs)
    depth = f32([[depth_m, 0.0]])
    disparity, valid = depth_to_disparity(depth, camera)
    assert valid.tolist() == [[True, False]]
    back = disparity_to_depth(disparity, valid, camera, epsilon=0.0)
    # float32 holds a disparity near 50 px to 2e-6 px, and the least parallax here is 0.127 px.
    assert back[0] == pytest.approx([depth_m, 0.0], rel=3e-5)


@pytest.mark.parametrize("doffs_px", [0.0, 7.0])
def test_resizing_leaves_depth_as_it_is(doffs_px: float) -> None:
    """Half the width and a third of the height: d, doffs and fx halve, so Z = B f / (d + doffs) stays."""
    camera = Camera(0.5, 200.0, 210.0, 12.0, 6.0, doffs_px=doffs_px)
    disparity = np.arange(1, 73, dtype=np.float32).reshape(6, 12)
    valid = disparity != 17
    small, small_valid = resize_disparity(disparity, valid, (6, 2))
    before = resize_nearest(disparity_to_depth(disparity, valid, camera), (6, 2))
    after = disparity_to_depth(small, small_valid, camera.scaled(6 / 12, 2 / 6))
    assert small.shape == (2, 6)
    assert after == pytest.approx(before, rel=1e-5)


def test_nearest_takes_pixel_centres() -> None:
    """6 -> 2 columns: new centres lie at (0.5, 1.5) * 3 = 1.5 and 4.5: inside old pixels 1 and 4."""
    assert resize_nearest(np.array([[0, 1, 2, 3, 4, 5]]), (2, 1)).tolist() == [[1, 4]]
    assert resize_nearest(np.array([[3, 9], [5, 7]]), (4, 2)).tolist() == [[3, 3, 9, 9], [5, 5, 7, 7]]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40))
def test_nearest_never_makes_a_new_value(height: int, width: int, new_height: int, new_width: int) -> None:
    array = np.random.default_rng(0).choice(np.array([3, 77, 255], dtype=np.uint8), (height, width))
    resized = resize_nearest(array, (new_width, new_height))
    assert resized.shape == (new_height, new_width)
    assert set(resized.ravel()) <= set(array.ravel())


def test_file_round_trip_with_unit_and_scale(tmp_path: Path) -> None:
    depth = f32([[0.0, 0.001, 1.5], [12.3456, 80.0, 255.99]])
    write_depth(tmp_path / "d.png", depth, {"matcher": "census"})
    back = read_depth(tmp_path / "d.png")
    # 1 mm would round to 0, which means invalid: it becomes the least depth instead.
    assert back[0].tolist() == [0.0, 1 / 256, 1.5]
    assert np.abs(back - depth)[1].max() <= 0.5 / 256 + 1e-6
    with Image.open(tmp_path / "d.png") as picture:
        picture.load()
        assert picture.mode == "I;16"
        text = getattr(picture, "text", {})
        assert text | {"unit": "metre", "scale": "256", "matcher": "census"} == text


@pytest.mark.parametrize("bad", [-1.0, 256.0, np.nan, np.inf])
def test_what_16_bits_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path, bad: float) -> None:
    with pytest.raises(ValueError, match="depth must be within"):
        write_depth(tmp_path / "d.png", f32([[1.0, bad]]))
    assert list(tmp_path.iterdir()) == []


def test_an_eight_bit_file_is_no_depth(tmp_path: Path) -> None:
    write_png(tmp_path / "d.png", np.zeros((2, 3), dtype=np.uint8))
    with pytest.raises(InputError, match=r"d\.png.*16 bits"):
        read_depth(tmp_path / "d.png")
