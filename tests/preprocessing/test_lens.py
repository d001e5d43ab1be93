"""Lenses: what resize, crop and mirror make of focal lengths and principal points."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.ground import Camera, InputError, Lens

SIZES = st.tuples(st.integers(64, 4000), st.integers(48, 3000))


def seen_at(lens: Lens, x: float, y: float, z: float) -> tuple[float, float]:
    return lens.fx_px * x / z + lens.cx_px, lens.fy_px * y / z + lens.cy_px


def test_a_field_of_view_gives_its_focal_length():
    # 90 degrees: half of the width over the tangent of 45 degrees, 1.
    assert Lens.of_hfov(90, (640, 400)).fx_px == pytest.approx(320)
    assert Lens.of_fx(320, (640, 400)).hfov_deg == pytest.approx(90)
    # Cityscapes: 2262.52 px at 2048, 2 atan(1024 / 2262.52).
    assert Lens.of_fx(2262.52, (2048, 1024)).hfov_deg == pytest.approx(2 * math.degrees(math.atan(1024 / 2262.52)))


@given(SIZES, SIZES, st.floats(10, 140))
def test_a_resize_moves_every_point_as_it_moves_pixels(size, other, hfov):
    lens = Lens.of_hfov(hfov, size)
    u, v = seen_at(lens, 1.3, -0.4, 7.0)
    u2, v2 = seen_at(lens.resized(other), 1.3, -0.4, 7.0)
    assert u2 + 0.5 == pytest.approx((u + 0.5) * other[0] / size[0], rel=1e-9)
    assert v2 + 0.5 == pytest.approx((v + 0.5) * other[1] / size[1], rel=1e-9)
    assert lens.resized(other).hfov_deg == pytest.approx(hfov)


def test_a_crop_and_a_mirror_move_the_principal_point_alone():
    lens = Lens(500.0, 510.0, 300.0, 130.0, (640, 400))
    assert lens.cropped(40, 30, (200, 100)) == Lens(500.0, 510.0, 260.0, 100.0, (200, 100))
    assert lens.cropped(0, -50, (640, 500)).cy_px == 180
    assert lens.mirrored() == Lens(500.0, 510.0, 339.0, 130.0, (640, 400))
    assert lens.mirrored().mirrored() == lens


def test_an_untold_principal_point_is_the_middle():
    assert Lens.of_camera(Camera(0.2, 500, 500, 0, 0), (641, 401)) == Lens(500, 500, 320.0, 200.0, (641, 401))


@pytest.mark.parametrize("fx", [0.0, -3.0, math.nan, math.inf, 4.0, 1e6])
def test_an_impossible_focal_length_is_refused(fx):
    with pytest.raises(InputError, match="fx_px"):
        Lens.of_fx(fx, (640, 400))


@pytest.mark.parametrize("hfov", [0.0, -10.0, 180.0, math.nan])
def test_an_impossible_field_of_view_is_refused(hfov):
    with pytest.raises(InputError, match="hfov_deg"):
        Lens.of_hfov(hfov, (640, 400))


def test_an_odd_lens_is_doubted():
    assert Lens.of_fx(500, (640, 400)).doubts() == []
    # Cityscapes' file beside pictures at three quarters: (1097, 513) of 1536 x 768.
    (doubt,) = Lens(2262.5, 2262.5, 1097.0, 513.0, (1536, 768)).doubts()
    assert "2194x1026" in doubt
