"""Geometry and colours of the augmentation, on pictures whose answer can be worked out by hand."""

import numpy as np
import pytest

from advmtl.config.data import Augment
from advmtl.data.augment import (
    Geometry,
    Jitter,
    apply_jitter,
    augment,
    behind_lens,
    draw_geometry,
    draw_jitter,
    jitter_matrix,
    warp,
    window_of,
)
from advmtl.data.frames import Arrays
from preprocessing.ground.labels import IGNORE

PLAIN = Augment(flip=0, zoom=(1, 1), rotation_deg=0, brightness=0, contrast=0, saturation=0, hue=0)


def arrays(image: np.ndarray, labels: np.ndarray, depth: np.ndarray) -> Arrays:
    return Arrays(image, {"segmentation": labels, "depth": depth})


def cut(before: Arrays, crop: tuple[int, int], geometry: Geometry) -> Arrays:
    return behind_lens(warp(before, window_of(crop, geometry)))


def frame(width: int = 60, height: int = 40) -> Arrays:
    """Random noise: any resampling other than a copy shows."""
    rng = np.random.default_rng(3)
    return arrays(
        rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        rng.integers(0, 19, (height, width), dtype=np.uint8),
        rng.uniform(2, 60, (height, width)).astype(np.float32),
    )


def whole(width: int = 60, height: int = 40, **changes: float | bool) -> Geometry:
    return Geometry(center=((width - 1) / 2, (height - 1) / 2), zoom=1.0, **changes)  # type: ignore[arg-type]


def test_the_whole_frame_at_zoom_one_is_an_exact_copy() -> None:
    before = frame()
    after = augment(before, (60, 40), np.random.default_rng(0), PLAIN)
    np.testing.assert_array_equal(after.image, before.image)
    for name, label in before.labels.items():
        np.testing.assert_array_equal(after.labels[name], label)


def test_flip_mirrors_all_three_and_leaves_depth_values() -> None:
    before, after = frame(), cut(frame(), (60, 40), whole(flip=True))
    np.testing.assert_array_equal(after.image, before.image[:, ::-1])
    np.testing.assert_array_equal(after.labels["segmentation"], before.labels["segmentation"][:, ::-1])
    np.testing.assert_array_equal(after.labels["depth"], before.labels["depth"][:, ::-1])


def test_a_crop_at_zoom_one_copies_its_window() -> None:
    # A 24×16 window whose corner is (x 10, y 5): its centre is (10 + 11.5, 5 + 7.5).
    before = frame()
    after = cut(before, (24, 16), Geometry(center=(21.5, 12.5), zoom=1.0))
    np.testing.assert_array_equal(after.image, before.image[5:21, 10:34])
    np.testing.assert_array_equal(after.labels["depth"], before.labels["depth"][5:21, 10:34])


def test_zoom_divides_depth_and_enlarges_objects() -> None:
    # A wall at 30 m with a sign 6 px wide and 4 px high at (27..32, 18..21). At zoom 2: 12×8 px, at 15 m.
    depth = np.full((40, 60), 30, np.float32)
    labels = np.zeros((40, 60), np.uint8)
    labels[18:22, 27:33] = 7
    before = arrays(np.zeros((40, 60, 3), np.uint8), labels, depth)
    after = cut(before, (60, 40), Geometry(center=(29.5, 19.5), zoom=2.0))
    np.testing.assert_allclose(after.labels["depth"], 15.0)
    rows, columns = np.nonzero(after.labels["segmentation"] == 7)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (16, 23, 24, 35)


def test_zoom_keeps_metric_shape_of_a_slanted_plane() -> None:
    """A road plane y = h below a camera of focal length f at principal row v0 has Z = f·h/(v − v0).

    Zooming by z about v0 shows, r rows below the horizon, what was r/z rows below it: at f·h·z/r. Divided by
    z that is f·h/r again, the plane a camera of focal length f sees: one geometry fits all zooms, which
    neither the undivided nor the multiplied depth does.
    """
    focal_height, horizon = 120.0, 19.5
    rows = np.arange(40) - horizon
    depth = np.where(rows > 0, focal_height / np.maximum(rows, 0.5), 0).astype(np.float32)
    before = arrays(np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60), np.uint8), np.tile(depth[:, None], (1, 60)))
    after = cut(before, (60, 40), Geometry(center=(29.5, horizon), zoom=3.0))
    # Row 30, 10.5 below the horizon, shows source row 23, 3.5 below it: 120 / 3.5 / 3 = 120 / 10.5.
    assert after.labels["depth"][30, 7] == pytest.approx(focal_height / 10.5, rel=1e-6)
    assert (after.labels["depth"][:19] == 0).all(), "invalid must stay invalid under a zoom"


def test_rotation_turns_the_marker_and_marks_what_came_from_outside() -> None:
    # Turning the sampling window by +90° about the centre of a square: output (x, y) reads source
    # c + R(90°)·(dx, dy) = (c − dy, c + dx); so the source pixel (6, 2) shows at dx = 2 − c, dy = c − 6.
    size, center = 11, 5.0
    labels = np.zeros((size, size), np.uint8)
    labels[2, 6] = 9
    before = arrays(np.zeros((size, size, 3), np.uint8), labels, np.where(labels == 9, 4.0, 8.0).astype(np.float32))
    turned = cut(before, (size, size), Geometry(center=(center, center), zoom=1.0, rotation_deg=90.0))
    assert [tuple(place) for place in np.argwhere(turned.labels["segmentation"] == 9)] == [(4, 2)]
    assert turned.labels["depth"][4, 2] == 4.0
    slanted = cut(before, (size, size), Geometry(center=(center, center), zoom=1.0, rotation_deg=45.0))
    assert slanted.labels["segmentation"][0, 0] == IGNORE and slanted.labels["depth"][0, 0] == 0
    assert slanted.labels["segmentation"][5, 5] == 0 and slanted.labels["depth"][5, 5] == 8


def test_labels_and_depth_are_only_ever_picked_never_mixed() -> None:
    before = frame()
    labels = np.where(before.labels["segmentation"] < 9, 3, 17).astype(np.uint8)
    depth = np.where(before.labels["segmentation"] < 9, 4.0, 40.0).astype(np.float32)
    before = arrays(before.image, labels, depth)
    settings = Augment(flip=0.5, zoom=(0.8, 1.9), rotation_deg=10)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        height, width = labels.shape
        geometry = draw_geometry(rng, (width, height), (48, 24), settings)
        after = cut(before, (48, 24), geometry)
        assert set(np.unique(after.labels["segmentation"])) <= {3, 17, IGNORE}
        values = np.unique(np.round(after.labels["depth"] * geometry.zoom, 3))
        assert set(values) <= {0.0, 4.0, 40.0}
        np.testing.assert_array_equal(after.labels["segmentation"] == IGNORE, after.labels["depth"] == 0)


@pytest.mark.parametrize(("crop", "zoom"), [((75, 32), 1.5), ((40, 64), 2.0)])
def test_a_small_frame_is_zoomed_until_it_covers_the_crop(crop: tuple[int, int], zoom: float) -> None:
    size = (50, 32)
    geometry = draw_geometry(np.random.default_rng(1), size, crop, PLAIN)
    assert geometry.zoom == zoom
    before = arrays(
        np.zeros((size[1], size[0], 3), np.uint8),
        np.zeros((size[1], size[0]), np.uint8),
        np.full((size[1], size[0]), 10, np.float32),
    )
    after = cut(before, crop, geometry)
    assert after.labels["segmentation"].shape == (crop[1], crop[0])
    assert (after.labels["segmentation"] == 0).all(), "no border may come in"
    np.testing.assert_allclose(after.labels["depth"], 10 / zoom, rtol=1e-6)


def test_windows_lie_inside_the_frame_and_reach_its_corners() -> None:
    settings = Augment(flip=0.5, zoom=(1.0, 1.5), rotation_deg=0)
    corners = []
    for seed in range(300):
        geometry = draw_geometry(np.random.default_rng(seed), (100, 60), (40, 30), settings)
        half = (20 / geometry.zoom, 15 / geometry.zoom)
        left, top = geometry.center[0] + 0.5 - half[0], geometry.center[1] + 0.5 - half[1]
        assert left >= -1e-9 and left + 2 * half[0] <= 100 + 1e-9
        assert top >= -1e-9 and top + 2 * half[1] <= 60 + 1e-9
        assert 1.0 <= geometry.zoom <= 1.5
        corners.append((left, top))
    spread = np.array(corners)
    assert spread.min() < 2 and spread[:, 0].max() > 60 and spread[:, 1].max() > 30


def test_brightness_contrast_and_saturation_by_hand() -> None:
    image = np.array([[[100, 60, 20], [40, 40, 40]]], np.uint8)
    np.testing.assert_array_equal(apply_jitter(image, Jitter(brightness=1.5))[0, 0], [150, 90, 30])
    # Luma of (100, 60, 20) is 29.9 + 35.22 + 2.28 = 67.4; half the saturation is the mean of colour and luma.
    np.testing.assert_array_equal(apply_jitter(image, Jitter(saturation=0.5))[0, 0], [84, 64, 44])
    # Mean luma is (67.4 + 40)/2 = 53.7; contrast 2 doubles the distance from it: 200 − 53.7 = 146.3, ...
    np.testing.assert_array_equal(apply_jitter(image, Jitter(contrast=2.0))[0], [[146, 66, 0], [26, 26, 26]])
    assert apply_jitter(image, Jitter(brightness=9.0)).max() == 255


def test_hue_keeps_luma_and_grey_and_comes_round_after_a_turn() -> None:
    matrix = jitter_matrix(Jitter(hue=0.3), 90.0)
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma @ matrix[:, :3], luma, atol=1e-5)
    np.testing.assert_allclose(matrix @ [50, 50, 50, 1], 50, atol=1e-3)
    np.testing.assert_allclose(jitter_matrix(Jitter(hue=1.0), 90.0), np.eye(3, 4), atol=1e-9)
    red = matrix @ [200, 0, 0, 1]
    assert red[1] > red[0], "a third of a turn makes red greenish"


def test_the_same_generator_state_gives_the_same_frame_and_another_does_not() -> None:
    settings = Augment()
    first, again, other = (
        augment(frame(), (40, 32), np.random.default_rng((5, 2, index)), settings) for index in (9, 9, 10)
    )
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.labels["depth"], again.labels["depth"])
    assert (first.image != other.image).any()
    assert draw_jitter(np.random.default_rng(1), PLAIN).identity
