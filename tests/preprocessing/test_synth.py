"""The scene generator: determinism, exactness of the geometry, the layout on disk, what occurs."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("embreex", reason="the scene generator needs the extra `synth`")

from preprocessing.ground.disparity import read_disparity
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, read_image
from preprocessing.ground.labels import label_set
from preprocessing.scenes import Asked, stage
from preprocessing.scenes.compose import RARE, compose
from preprocessing.scenes.mounting import Mounting, span_of
from preprocessing.scenes.noise import hashed, noise
from preprocessing.scenes.render import Renderer
from preprocessing.scenes.synth import Pair, frame_of, generate, render_pair
from preprocessing.sets.cityscapes import find_frames, read_camera

SIZE = (160, 96)
_ROAD_USERS = {stage.RIDER, stage.TRUCK, stage.BUS, stage.TRAIN, stage.MOTORCYCLE, stage.BICYCLE}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synth")
    generate(out, 3, SIZE, seed=5, workers=2, val_fraction=1 / 3)
    return out


@pytest.fixture(scope="module")
def pair() -> Pair:
    return render_pair(3, 1, (256, 128))


def _digests(root: Path) -> dict[str, str]:
    files = sorted(p for p in root.rglob("*") if p.is_file() and p.name != "coverage.json")  # that is of the whole set
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_same_seed_same_bytes_whatever_the_workers_and_the_length(written: Path, tmp_path: Path) -> None:
    generate(tmp_path, 2, SIZE, seed=5, workers=1, val_fraction=1 / 3)
    shorter, longer = _digests(tmp_path), _digests(written)
    assert len(shorter) == 2 * 6 + 1
    assert shorter == {name: longer[name] for name in shorter}


def test_the_version_of_opencv_is_recorded_and_two_of_them_in_one_set_are_told(tmp_path: Path) -> None:
    settings = {"seed": 5, "val_fraction": 1 / 3, "workers": 1}
    assert generate(tmp_path, 1, SIZE, **settings).note == ""
    manifest = tmp_path / "synth.json"
    found = json.loads(manifest.read_text())
    assert found["opencv"] == cv2.__version__
    manifest.write_text(json.dumps({**found, "opencv": "3.4.0"}))
    assert generate(tmp_path, 1, SIZE, **settings).note == ""  # nothing is added
    assert "begun with OpenCV 3.4.0 and goes on with" in generate(tmp_path, 2, SIZE, **settings).note
    manifest.write_text(json.dumps({key: value for key, value in found.items() if key != "opencv"}))
    assert generate(tmp_path, 3, SIZE, **settings).note == ""  # of a set from before


def test_another_seed_another_street() -> None:
    one, other = render_pair(5, 0, SIZE), render_pair(6, 0, SIZE)
    assert (one.labels != other.labels).mean() > 0.1


def test_find_frames_sees_every_file_of_every_frame(written: Path) -> None:
    frames = find_frames(written, None)
    assert len(frames) == 3
    for frame in frames:
        assert None not in (frame.right, frame.labels, frame.instances, frame.disparity, frame.camera)
        assert read_image(frame.left).shape == (96, 160, 3)
    cities = {split: {f.city for f in frames if f.split == split} for split in ("train", "val")}
    assert len(find_frames(written, "val")) == 1
    assert not cities["train"] & cities["val"]


def test_ids_are_cityscapes_ids(written: Path) -> None:
    for frame in find_frames(written, None):
        assert frame.labels is not None and frame.instances is not None
        labels, instances = read_grey_or_index(frame.labels), read_grey_or_index(frame.instances)
        assert instances.dtype == np.uint16
        assert set(np.unique(labels)) <= {1, 4, 5, 7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33}
        thing = instances >= 1000
        assert np.array_equal(np.where(thing, instances // 1000, instances), labels)
        assert np.array_equal(thing, np.isin(labels, sorted(stage.THINGS)))


def test_disparity_file_holds_baseline_times_focal_over_depth(written: Path) -> None:
    """d = B fx / Z in px at the written width, to the codec's half step of 1/512 px."""
    frame = next(f for f in find_frames(written, None) if "_000000_" in f.name)
    disparity, valid = read_disparity(frame.disparity)  # type: ignore[arg-type]
    camera = read_camera(frame.camera)
    assert camera.fx_px == pytest.approx(2262.52 * 160 / 2048, rel=0.041)
    assert camera.baseline_m == pytest.approx(0.209313, rel=0.041)
    view = Renderer(compose(5, 0, SIZE)).view(SIZE, 0.0)
    seen = (view.depth > 0) & (view.labels != stage.EGO_VEHICLE)
    assert np.array_equal(valid, seen)
    assert np.abs(disparity - camera.baseline_m * camera.fx_px / np.maximum(view.depth, 0.1))[seen].max() < 0.003


def test_sky_and_only_sky_has_no_disparity(pair: Pair) -> None:
    assert 0.01 < (pair.labels == stage.SKY).mean() < 0.9
    assert np.array_equal(pair.valid, ~np.isin(pair.labels, (stage.SKY, stage.EGO_VEHICLE)))
    assert pair.disparity[pair.valid].min() > 0 and not pair.disparity[~pair.valid].any()


def test_exact_disparity_carries_the_right_picture_onto_the_left(pair: Pair) -> None:
    """Where both eyes see a point it looks the same; a disparity that is off by 2 px must look worse."""
    height, width = pair.labels.shape
    v, u = np.mgrid[0:height, 0:width].astype(np.float32)

    def difference(extra: float) -> float:
        x = u - pair.disparity - np.float32(extra)
        carried = cv2.remap(pair.right, x, v, cv2.INTER_LINEAR)
        inside = pair.valid & (x > 0) & (x < width - 1)
        return float(np.median(np.abs(carried.astype(int) - pair.left.astype(int)).mean(-1)[inside]))

    exact = difference(0.0)
    assert exact < 4
    assert exact < 0.6 * min(difference(2.0), difference(-2.0))


def test_the_right_eye_sees_the_same_depths() -> None:
    """Going to the right eye by the left disparity leads to the same depth, unless hidden there."""
    scene, size = compose(3, 2, (256, 128)), (256, 128)
    renderer, camera = Renderer(scene), scene.rig.camera
    left, right = renderer.view(size, 0.0), renderer.view(size, camera.baseline_m)
    v, u = np.nonzero((left.labels == stage.ROAD) & (left.depth < 25))
    x = np.round(u - camera.baseline_m * camera.fx_px / left.depth[v, u]).astype(int)
    v, u, x = v[x >= 0], u[x >= 0], x[x >= 0]
    road = right.labels[v, x] == stage.ROAD
    assert road.mean() > 0.9
    ratio = right.depth[v, x][road] / left.depth[v, u][road]
    assert np.abs(np.median(ratio) - 1) < 0.002 and np.percentile(np.abs(ratio - 1), 95) < 0.02


def test_depths_are_those_of_a_street() -> None:
    view = Renderer(compose(3, 4, SIZE)).view(SIZE, 0.0)
    seen = view.depth[(view.depth > 0) & (view.labels != stage.EGO_VEHICLE)]
    assert seen.min() > 1.0 and np.percentile(seen, 90) > 12 and seen.max() < 400


@pytest.mark.slow
def test_rare_classes_stand_in_view_in_a_tenth_of_the_scenes() -> None:
    """Counts objects in front of the camera, within 60 m and its view, over two rounds of the programme."""
    scenes = 2 * len(RARE)
    counts: Counter[int] = Counter()
    for index in range(scenes):
        scene = compose(1, index, SIZE)
        axes, centre = scene.rig.axes, scene.rig.centre
        ahead = {
            p.label
            for p in scene.placed
            if 3 < (way := axes[[0, 2]] @ (np.array([p.x, p.y, centre[2]]) - centre))[1] < 60
            and abs(way[0]) < 0.45 * way[1]
        }
        counts.update(ahead)
    rare = _ROAD_USERS | {stage.WALL, stage.FENCE, stage.TRAFFIC_LIGHT, stage.TRAFFIC_SIGN, stage.POLE}
    assert {label: counts[label] for label in rare if counts[label] < scenes / 10} == {}


def test_the_road_lies_where_lens_height_and_pitch_put_it() -> None:
    """A level road h below a camera that looks down by p: the pixel (u, v) sees it at Z = h / (y cos p + sin p) with
    y = (v - v0) / fy, along the middle column; here the street itself rises and rolls a little, hence the tolerance.
    """
    lens = Mounting(hfov_deg=(70, 70), camera_height_m=(2.2, 2.2), pitch_deg=(8, 8))
    checked = 0
    for index in (0, 1, 3):
        scene, size = compose(11, index, (200, 96), Asked(lens)), (200, 96)
        camera, view = scene.rig.camera, Renderer(scene).view(size, 0.0)
        assert camera.fx_px == pytest.approx(200 / (2 * np.tan(np.radians(35))), abs=1e-3)
        column = round(camera.u0_px)
        y = (np.arange(96) - camera.v0_px) / camera.fy_px
        with np.errstate(divide="ignore"):
            expected = 2.2 / (y * np.cos(np.radians(8)) + np.sin(np.radians(8)))
        near = (view.labels[:, column] == stage.ROAD) & (expected > 0) & (expected < 9)
        checked += int(near.sum())
        assert np.abs(view.depth[near, column] / expected[near] - 1).max(initial=0) < 0.05
    assert checked > 20


def test_the_same_street_through_another_lens() -> None:
    """A point seen by both lenses has one depth: pixels of equal direction, fx times as far off the principal point."""
    wide, narrow = compose(5, 1, SIZE), compose(5, 1, SIZE, Asked(Mounting(hfov_deg=(25, 25))))
    assert np.array_equal(wide.geometry.corners, narrow.geometry.corners)
    assert np.array_equal(wide.rig.axes, narrow.rig.axes) and np.array_equal(wide.rig.centre, narrow.rig.centre)
    a, b = (Renderer(scene).view(SIZE, 0.0) for scene in (wide, narrow))
    v, u = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    ratio = wide.rig.camera.fx_px / narrow.rig.camera.fx_px
    x = np.rint((u - narrow.rig.camera.u0_px) * ratio + wide.rig.camera.u0_px).astype(int)
    y = np.rint((v - narrow.rig.camera.v0_px) * ratio + wide.rig.camera.v0_px).astype(int)
    both = (b.labels == stage.ROAD) & (a.labels[y, x] == stage.ROAD)
    assert both.sum() > 200
    assert np.median(np.abs(b.depth / np.maximum(a.depth[y, x], 0.1) - 1)[both]) < 0.03


def test_lens_and_mounting_reach_the_files_and_the_record(tmp_path: Path) -> None:
    lens = Mounting(hfov_deg=(60, 80), camera_height_m=(0.8, 0.8))
    generate(tmp_path, 3, (64, 32), seed=2, workers=1, asked=Asked(lens))
    record = json.loads((tmp_path / "synth.json").read_text())
    assert record["hfov_deg"] == [60, 80] and record["camera_height_m"] == [0.8, 0.8] and "pitch_deg" not in record
    views = [2 * np.degrees(np.arctan(32 / read_camera(f.camera).fx_px)) for f in find_frames(tmp_path, None)]
    assert 60 <= min(views) < max(views) <= 80
    with pytest.raises(InputError, match=r"synth\.json.*another hfov_deg"):
        generate(tmp_path, 3, (64, 32), seed=2, workers=1, asked=Asked(Mounting(camera_height_m=(0.8, 0.8))))


@pytest.mark.parametrize(
    ("lens", "named"),
    [
        ({"hfov_deg": (50, 170)}, "hfov_deg is 170"),
        ({"camera_height_m": (0, 1)}, "camera_height_m: 0"),
        ({"pitch_deg": (5, 2)}, "pitch_deg: 5:2"),
    ],
)
def test_a_mounting_that_no_camera_has_is_refused_by_name(lens: dict[str, tuple[float, float]], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Mounting(**lens)


def test_a_span_is_one_number_or_two() -> None:
    assert span_of("50", "hfov_deg") == (50, 50) and span_of("48:56", "hfov_deg") == (48, 56)
    for text in ("", "wide", "1:2:3", "nan"):
        with pytest.raises(InputError, match="hfov_deg"):
            span_of(text, "hfov_deg")


def test_val_scenes_are_spread_evenly() -> None:
    splits = [frame_of(index, 1, 1 / 8)[0] for index in range(24)]
    assert [k for k, split in enumerate(splits) if split == "val"] == [7, 15, 23]
    assert {frame_of(index, 1, 0.0)[0] for index in range(9)} == {"train"}


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path: Path) -> None:
    generate(tmp_path, 1, (64, 32), seed=2, workers=1)
    left = find_frames(tmp_path, None)[0].left
    before = left.stat().st_mtime_ns
    summary = generate(tmp_path, 2, (64, 32), seed=2, workers=1)
    assert (summary.scenes, summary.made) == (2, 1)
    assert left.stat().st_mtime_ns == before
    assert set(summary.class_frames) == set(label_set("cityscapes19").names)
    assert summary.class_frames["road"] == 2


def test_a_folder_of_another_set_is_refused(tmp_path: Path) -> None:
    generate(tmp_path, 1, (64, 32), seed=2, workers=1)
    with pytest.raises(InputError, match=r"synth\.json.*another seed"):
        generate(tmp_path, 1, (64, 32), seed=3, workers=1)


@pytest.mark.parametrize(
    ("scenes", "size", "fraction", "workers", "named"),
    [
        (0, (64, 32), 0.1, 1, "scenes"),
        (1, (64, 8), 0.1, 1, "size"),
        (1, (64, 32), 1.5, 1, "val_fraction"),
        (1, (64, 32), 0.1, 0, "workers"),
    ],
)
def test_impossible_numbers_are_refused_by_name(
    tmp_path: Path, scenes: int, size: tuple[int, int], fraction: float, workers: int, named: str
) -> None:
    with pytest.raises(InputError, match=f"^{named}:"):
        generate(tmp_path / "new", scenes, size, 0, workers, fraction)
    assert not (tmp_path / "new").exists()


def test_noise_is_a_function_of_the_point_alone() -> None:
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-300, 300, (2, 5000)).astype(np.float32)
    field = noise(u, v, 0.7)
    order = rng.permutation(5000)[:777]
    assert np.array_equal(noise(u[order], v[order], 0.7), field[order])
    assert abs(field.mean()) < 0.1 and field.std() == pytest.approx(0.95, abs=0.1)


def test_hash_depends_on_every_key_and_spreads_evenly() -> None:
    keys = np.arange(-4000, 4000)
    values = hashed(keys, 3)
    assert values.min() >= 0 and values.max() < 1
    assert np.histogram(values, 8, (0, 1))[0] == pytest.approx(1000, abs=120)
    assert (values != hashed(keys, 4)).mean() > 0.99
    assert np.array_equal(hashed(keys + 0.5, 3), values)
