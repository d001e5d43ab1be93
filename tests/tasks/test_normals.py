"""Surface normals without torch: of depth in closed form, under every transform, in pictures and files."""

from pathlib import Path

import numpy as np
import pytest

from advmtl.config.data import Source
from advmtl.data.augment import Geometry, window_of
from advmtl.data.frames import load_frame
from advmtl.data.index import index_source, missing_label
from advmtl.tasks import TASKS
from advmtl.tasks.normals.arrays import ARRAYS, color_normals, normals_of, sphere, to_stored_normals
from advmtl.tasks.record import FrameRecord
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground.depth import write_depth
from preprocessing.ground.disparity import write_disparity
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import frame_path, write_camera

WIDTH, HEIGHT = 83, 47
CAMERA = Camera(0.4, 90.0, 70.0, 33.3, 20.6)  # the principal point is not the middle
PLANE, DISTANCE = np.array([0.3, -0.8, -0.5]) / np.sqrt(0.98), -3.0
EXACT = np.zeros((HEIGHT, WIDTH))
TARGET = TaskSpec()


def directions(camera: Camera, width: int = WIDTH, height: int = HEIGHT) -> tuple[np.ndarray, np.ndarray]:
    return (np.arange(width) - camera.u0_px) / camera.fx_px, (np.arange(height) - camera.v0_px) / camera.fy_px


def plane_depth(x: np.ndarray, y: np.ndarray, normal: np.ndarray = PLANE) -> np.ndarray:
    """Z of the plane n · P = d along the ray (x, y, 1)."""
    return DISTANCE / (normal[0] * x + normal[1] * y + normal[2])


def angles(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((found * wanted).sum(axis=0), -1, 1)))


def target_of(stored: np.ndarray) -> np.ndarray:
    return ARRAYS.target(stored, TARGET, training=True)


def test_a_tilted_plane_has_its_normal_everywhere_but_in_the_corners() -> None:
    x, y = directions(CAMERA)
    found = normals_of(plane_depth(x, y[:, None]), x, y, EXACT)
    has = (found != 0).any(axis=0)
    # A corner's window has 9 of its 25 pixels, its neighbours along the border 12.
    assert (~has).sum() == 4 * 3 and not has[0, 0] and not has[-1, -2] and has[1, 1] and has[0, 2]
    assert angles(found, PLANE[:, None, None])[has].max() < 1e-4
    points = np.stack(np.broadcast_arrays(x, y[:, None], 1.0))
    assert ((found * points).sum(axis=0)[has] < 0).all()


def test_a_sphere_has_the_normals_of_its_radii() -> None:
    x, y = directions(CAMERA)
    rays = np.stack(np.broadcast_arrays(x, y[:, None], 1.0))
    centre, radius = np.array([0.4, -0.2, 6.0])[:, None, None], 1.5
    a, b, c = (rays**2).sum(0), (rays * centre).sum(0), float((centre**2).sum()) - radius**2
    hit = b**2 > a * c
    depth = np.where(hit, (b - np.sqrt(np.where(hit, b**2 - a * c, 0))) / a, 0)
    found = normals_of(depth, x, y, EXACT)
    has = (found != 0).any(axis=0)
    assert not (has & ~hit).any() and has.sum() > 0.5 * hit.sum()
    wanted = (depth * rays - centre) / radius
    # At the silhouette the window holds one side of the pixel only.
    assert angles(found, wanted)[has & (wanted[2] < -0.5)].max() < 8
    assert np.median(angles(found, wanted)[has]) < 1.5


def test_no_normal_at_edges_nor_without_depth_nor_of_the_sky() -> None:
    x, y = directions(CAMERA)
    depth = np.full((HEIGHT, WIDTH), 5.0)
    depth[:, 40:] = 10
    depth[:6], depth[30, 20] = np.inf, 0
    found = normals_of(depth, x, y, EXACT)
    has = (found != 0).any(axis=0)
    assert not has[:6].any() and not has[:, 38:42].any() and not has[30, 20]
    assert has[10:-2, 2:37].sum() == (HEIGHT - 12) * 35 - 1  # all else, round the hole too
    facing = np.array([0, 0, -1.0])[:, None, None]
    assert angles(found, facing)[has].max() < 1e-4


def test_no_normal_where_the_steps_of_the_file_are_as_large_as_the_slant() -> None:
    """The same wall at 8 times the distance: a step of disparity slants its plane by 8 times the angle.

    Of a window of 5 columns 1/90 apart the slope of 1/Z is known to step/√12 · 90/√50, its angle is that times Z; the
    rows, 1/70 apart, add theirs. With a step of 0.01/m and Z = 4 m it is 0.15 rad · √(1 + (7/9)²), 10.6°.
    """
    x, y = directions(CAMERA)
    for step, metres, kept in ((0.01, 4.0, False), (0.01, 0.5, True), (0.001, 4.0, True), (0.001, 32.0, False)):
        found = normals_of(np.full((HEIGHT, WIDTH), metres), x, y, np.full_like(EXACT, step))
        assert bool((found[:, 23, 41] != 0).any()) is kept


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry((39.0, 22.0), 1.0, flip=True),
        Geometry((30.0, 25.0), 1.7),
        Geometry((45.0, 20.0), 1.0, rotation_deg=9.0),
        Geometry((45.0, 20.0), 1.4, rotation_deg=-7.0, flip=True),
    ],
)
def test_warped_normals_are_those_of_the_warped_depth(geometry: Geometry) -> None:
    """Depth of the same plane as the window shows it, divided by the zoom, behind the same lens."""
    focal = 80.0
    camera = Camera(0.4, focal, focal, 33.3, 20.6)
    crop = (41, 27)
    window = window_of(crop, geometry)
    stored = to_stored_normals(np.broadcast_to(PLANE[:, None, None], (3, HEIGHT, WIDTH)))
    warped = ARRAYS.behind_lens(ARRAYS.warp(stored, window), geometry.zoom, TARGET)
    inside = (warped != 0).any(axis=0)
    assert warped.dtype == np.int16 and warped.shape == (3, 27, 41) and inside.mean() > 0.8

    columns, rows = np.meshgrid(np.arange(crop[0]), np.arange(crop[1]))
    u, v = np.einsum("ij,jhw->ihw", window.matrix, np.stack([columns, rows, np.ones_like(rows)]).astype(float))
    x, y = (u - camera.u0_px) / focal, (v - camera.v0_px) / focal
    depth = plane_depth(x, y) / geometry.zoom
    # Where the optical axis now lies: the output pixel that shows the old principal point.
    centre = np.linalg.solve(window.matrix[:, :2], np.array([camera.u0_px, camera.v0_px]) - window.matrix[:, 2])
    again = normals_of(
        depth, (np.arange(crop[0]) - centre[0]) / focal, (np.arange(crop[1]) - centre[1]) / focal, np.zeros((27, 41))
    )
    both = inside & (again != 0).any(axis=0)
    assert both.mean() > 0.8
    assert angles(again, target_of(warped))[both].max() < 0.02


def test_a_mirror_and_a_zoom_by_hand() -> None:
    """(0.6, 0, −0.8) mirrored is (−0.6, 0, −0.8); zoomed by 2 it is (0.6, 0, −1.6) / √2.92."""
    normal = np.array([0.6, 0, -0.8])[:, None, None] * np.ones((3, HEIGHT, WIDTH))
    mirrored = target_of(
        ARRAYS.warp(to_stored_normals(normal), window_of((20, 10), Geometry((40, 20), 1.0, flip=True)))
    )
    np.testing.assert_allclose(mirrored[:, 3, 7], [-0.6, 0, -0.8], atol=1e-4)
    zoomed = target_of(ARRAYS.behind_lens(to_stored_normals(normal), 2.0, TARGET))
    np.testing.assert_allclose(zoomed[:, 3, 7], np.array([0.6, 0, -1.6]) / np.sqrt(2.92), atol=1e-4)


def write_frame(root: Path, name: str, depth: np.ndarray, *, camera: Camera | None, as_disparity: bool) -> None:
    height, width = depth.shape
    write_png(frame_path(root, "left", "train", "town", name), np.full((height, width, 3), 99, np.uint8))
    if camera is not None:
        write_camera(frame_path(root, "camera", "train", "town", name), camera)
    if as_disparity:
        disparity = (CAMERA.baseline_m * 2.5 * CAMERA.fx_px / depth).astype(np.float32)
        write_disparity(frame_path(root, "disparity", "train", "town", name), disparity, depth > 0)
    else:
        write_depth(frame_path(root, "depth", "train", "town", name), depth.astype(np.float32))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plane at 2.5 times the size, no whole ratio: as depth, as disparity, and without a camera file."""
    root = tmp_path_factory.mktemp("planes")
    camera = CAMERA.scaled(2.5, 2.5)
    x, y = directions(camera, 208, 118)
    depth = plane_depth(x, y[:, None])
    write_frame(root, "town_000000_000000", depth, camera=camera, as_disparity=False)
    write_frame(root, "town_000000_000001", depth, camera=camera, as_disparity=True)
    write_frame(root, "town_000000_000002", depth, camera=None, as_disparity=False)
    return root


def records_of(street: Path) -> list[FrameRecord]:
    return index_source(Source(format="cityscapes", root=str(street)), "cityscapes19", "train")


def test_read_from_files_of_another_size_than_the_network(street: Path) -> None:
    for record in records_of(street)[:2]:
        ARRAYS.check(record, (118, 208))
        stored = ARRAYS.read(record, (118, 208), (WIDTH, HEIGHT), TARGET)
        assert stored.dtype == np.int16 and stored.shape == (3, HEIGHT, WIDTH)
        target = target_of(stored)
        has = (target != 0).any(axis=0)
        assert target.dtype == np.float32 and has.mean() > 0.95
        np.testing.assert_allclose(np.linalg.norm(target, axis=0)[has], 1, atol=1e-6)
        assert angles(target, PLANE[:, None, None])[has].max() < 1.5


def test_without_a_camera_there_is_depth_and_no_normal(street: Path) -> None:
    records = records_of(street)
    assert [TASKS["normals"].has(record) for record in records] == [True, True, False]
    assert all(TASKS["depth"].has(record) for record in records)
    labels = load_frame(records[2], (WIDTH, HEIGHT)).labels
    assert labels["depth"].all() and not labels["normals"].any()
    own = Source(format="cityscapes", root=str(street))
    assert "camera file" in missing_label(TASKS["normals"], [own])
    assert "has no cameras" in missing_label(TASKS["normals"], [Source(format="folder", root=str(street))])


def test_a_label_is_withheld_from_one_task_though_another_reads_its_file(street: Path) -> None:
    record = records_of(street)[0]
    alone = TASKS["depth"].without(record)
    assert TASKS["normals"].has(alone) and not TASKS["depth"].has(alone)
    assert TASKS["depth"].has(TASKS["normals"].without(record))
    labels = load_frame(alone, (WIDTH, HEIGHT)).labels
    assert labels["normals"].any() and not labels["depth"].any()


def test_colours_are_those_of_normal_maps() -> None:
    wall, road, right, none = (0, 0, -1), (0, -1, 0), (1, 0, 0), (0, 0, 0)
    colours = color_normals(np.array([wall, road, right, none], np.float32).T[:, None])
    assert colours.tolist() == [[[128, 128, 255], [128, 255, 128], [255, 128, 128], [0, 0, 0]]]
    assert not color_normals(np.array([0, np.nan, 1], np.float32)[:, None, None]).any()
    ball = sphere(41).astype(int)
    assert ball[1, 20].argmax() == 1 and ball[20, 39].argmax() == 0 and ball[20, 20].tolist() == [128, 128, 255]
    assert (ball[0, 0] == 24).all() and ball[39, 20, 1] < 40


def test_pictures_and_files() -> None:
    image = np.zeros((30, 64, 3), np.uint8)
    truth = np.zeros((3, 30, 64), np.float32)
    truth[2, :20] = -1
    predicted = np.zeros((3, 30, 64), np.float32)
    predicted[0, :, :32], predicted[2, :, 32:] = 1, -1
    outputs = {"normals": predicted}
    (row,) = ARRAYS.draw(image, truth, outputs, TARGET)
    (blank,) = ARRAYS.draw(image, None, outputs, TARGET)
    assert row.shape == blank.shape and row.shape[1] > 3 * 64
    assert ARRAYS.paint(image, outputs, TARGET).shape == image.shape
    assert ARRAYS.footer(TARGET, 320).shape[1:] == (320, 3)
    named = ARRAYS.errors(image, truth, outputs, TARGET)
    wrong = named[-1][1].astype(int)
    # A right angle is beyond the end of the scale, red; no error is its beginning; no truth is black.
    assert wrong[5, 5].argmax() == 0 and wrong[5, 50].argmax() != 0 and not wrong[25].any()
    file = ARRAYS.files(outputs)["normals"]
    decoded = (file.array.astype(float) - 128) / 127 * np.array([1, -1, -1])
    np.testing.assert_allclose(decoded.transpose(2, 0, 1), predicted, atol=0.005)
    assert "128" in file.text["normals"]
    half = ARRAYS.resized("normals", predicted, (32, 60))
    assert half.shape == (3, 60, 32) and (half[0, :, :16] == 1).all() and (half[2, :, 16:] == -1).all()
