"""Where the search begins and how far it goes, by the camera; what is too near gets no answer."""

from collections.abc import Callable

import numpy as np
import pytest
from textured_planes import planes

from preprocessing.ground import Camera, InputError, disparity_to_depth
from preprocessing.stereo import CensusSettings, CleanSettings, SgbmSettings, clean, match_pair
from preprocessing.stereo.search import measurable_m, search_for, widest_range

Settings = CensusSettings | SgbmSettings
MATCHERS: list[Settings] = [CensusSettings(), SgbmSettings()]
CONVERGING = Camera(0.12, 700.0, 700.0, 0.0, 0.0, doffs_px=20.0)  # B f = 84 px m


def depth_of(settings: Settings, camera: Camera, pair: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    match = match_pair(*pair, settings, camera)
    cleaned = clean(match, CleanSettings(sky="off"), pair[0])
    aligned = Camera(camera.baseline_m, camera.fx_px, camera.fy_px, 0.0, 0.0)
    return disparity_to_depth(cleaned.disparity, cleaned.valid, aligned, max_depth_m=200)


def share_within(depth: np.ndarray, right: float, tolerance: float = 0.03) -> float:
    return float((np.abs(depth / right - 1) < tolerance).mean())


@pytest.mark.parametrize("settings", MATCHERS)
def test_cameras_that_converge_see_far_things_where_they_are(settings: Settings) -> None:
    """Z = 84 / (d + 20): d = -17.2 is 30 m, -6 is 6 m, 4 is 3.5 m. A search from 0 has only the last."""
    pair = planes((400, 240), -17.2, ((60, 90, 180, 200, -6.0), (260, 30, 300, 230, 4.0)))
    depth = depth_of(settings, CONVERGING, pair)
    for (x0, y0, x1, y1), right in (
        ((310, 20, 370, 220), 30.0),
        ((80, 100, 170, 190), 6.0),
        ((266, 40, 296, 220), 3.5),
    ):
        # OpenCV's fractions lie up to 0.3 px off: a tenth of a parallax of 2.8 px.
        tolerance = 0.03 if isinstance(settings, CensusSettings) or right < 10 else 0.11
        assert share_within(depth[y0:y1, x0:x1], right, tolerance) > 0.9, right


@pytest.mark.parametrize("settings", MATCHERS)
@pytest.mark.parametrize("doffs", [13.0, -13.0, 6.4])
def test_where_infinity_lies_changes_no_distance(settings: Settings, doffs: float) -> None:
    """The right picture of a camera whose principal point lies further right shows everything further right."""
    walls = [planes((256, 96), 8.0 - step, ((90, 30, 170, 70, 21.0 - step),), seed=3) for step in (0.0, doffs)]
    cameras = [Camera(0.5, 320.0, 320.0, 0.0, 0.0, doffs_px=step) for step in (0.0, doffs)]
    plain, moved = (depth_of(settings, c, pair) for c, pair in zip(cameras, walls, strict=True))
    for region, right in ((np.s_[36:64, 96:160], 160 / 21), (np.s_[8:88, 190:236], 160 / 8)):
        tolerance = 0.02 if isinstance(settings, CensusSettings) else 0.05
        assert share_within(plain[region], right, tolerance) > 0.9
        assert share_within(moved[region], right, tolerance) > 0.9


@pytest.mark.parametrize("settings", MATCHERS)
@pytest.mark.parametrize("near_px", [100.0, 180.0])
def test_a_near_thing_is_measured_beyond_a_tenth_of_the_width(settings: Settings, near_px: float) -> None:
    """B f = 270 px m, and a tenth of the width ends at 64 px, 4.2 m: 100 px is 2.7 m, 180 px 1.5 m."""
    camera = Camera(0.3, 900.0, 900.0, 0.0, 0.0)
    depth = depth_of(settings, camera, planes((640, 300), 12.0, ((330, 80, 520, 260, near_px),)))
    assert share_within(depth[80:260, 330:520], 270 / near_px) > 0.95
    assert share_within(depth[10:60, 60:630], 270 / 12) > 0.9


@pytest.mark.parametrize("kind", [CensusSettings, SgbmSettings])
def test_what_is_nearer_than_a_given_range_gets_no_far_distance(
    kind: Callable[..., Settings],
) -> None:
    """64 disparities end at 4.2 m; the thing stands at 2.7 m."""
    camera = Camera(0.3, 900.0, 900.0, 0.0, 0.0)
    depth = depth_of(kind(disparities=64), camera, planes((640, 300), 12.0, ((330, 80, 520, 260, 100.0),)))
    assert (depth[80:260, 330:520] > 0).mean() < 0.02


@pytest.mark.parametrize("kind", [CensusSettings, SgbmSettings])
def test_the_last_step_of_the_range_does_not_count(kind: Callable[..., Settings]) -> None:
    """Of 16 disparities 15 is the last; things beyond end there too."""
    answered = [
        match_pair(*planes((200, 80), d, seed=4), kind(disparities=16)).valid[:, 40:].mean() for d in (13.0, 15.0)
    ]
    assert answered[0] > 0.95 and answered[1] < 0.05


@pytest.mark.parametrize("fraction", [0.25, 0.375])
def test_windows_halve_the_pull_to_whole_pixels(fraction: float) -> None:
    pair = planes((240, 96), 6 + fraction, seed=5)
    errors = [
        float(np.median(match_pair(*pair, SgbmSettings(fractions=kind)).disparity[8:88, 40:230])) - 6 - fraction
        for kind in ("sums", "windows")
    ]
    assert abs(errors[0]) > 0.1 and abs(errors[1]) < 0.5 * abs(errors[0])


def test_ranges_and_distances_by_hand() -> None:
    """B f = 384.4: 2.5 m is 153.8 px, 155.8 with the step that does not count, so 160; 158 of these are 2.433 m."""
    kitti = Camera(0.5327, 721.54, 721.54, 0.0, 0.0)
    assert widest_range(None, 2.5, 1242, kitti) == 160
    assert widest_range(None, 5.0, 1242, kitti) == 128  # a tenth of the width at least
    assert widest_range(96, 2.5, 1242, kitti) == 96
    assert widest_range(None, 0.5, 1242, kitti) == 240  # what files hold
    nearest, farthest = measurable_m(160, kitti)
    assert nearest == pytest.approx(2.4328, abs=1e-3) and farthest == pytest.approx(768.7, abs=0.1)


def test_the_range_grows_only_where_something_near_is_seen() -> None:
    camera = Camera(0.3, 900.0, 900.0, 0.0, 0.0)
    far, near = planes((640, 300), 12.0), planes((640, 300), 12.0, ((330, 80, 520, 260, 100.0),))
    counts = [search_for(left[..., 0], right[..., 0], None, 2.5, camera).count for left, right in (far, near)]
    assert counts == [64, 112]


def test_infinity_lies_at_a_whole_number_or_just_before_the_search() -> None:
    grey = np.zeros((40, 64), np.uint8)
    for doffs, first in ((0.0, 0), (31.086, -32), (-31.086, 31), (20.0, -20)):
        search = search_for(grey, grey, None, 2.5, Camera(0.2, 60.0, 60.0, 0.0, 0.0, doffs_px=doffs))
        assert search.first == first and -1 < search.offset_px <= 0


@pytest.mark.parametrize("near_m", [0.0, -1.0, 1000.0])
def test_a_nearest_distance_that_no_camera_has_is_refused(near_m: float) -> None:
    with pytest.raises(InputError, match=r"census\.near_m"):
        CensusSettings(near_m=near_m)
