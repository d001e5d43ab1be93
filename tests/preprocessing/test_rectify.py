"""Raw pairs: rows that agree once rectified, depth that stays, and the set that is written."""

import json
import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import calibrations_written as written
import cv2
import numpy as np
import pytest
from command_line import advmtl
from PIL import Image
from raw_pairs import raw_pair_of, raw_picture
from textured_planes import planes

from preprocessing.ground import InputError, read_depth, read_grey_or_index, read_image, write_json, write_png
from preprocessing.job import (
    PreprocessSettings,
    RectifySettings,
    check_matchable,
    preprocess,
    read_manifest,
    rectify_set,
)
from preprocessing.job.rectify import find_raw
from preprocessing.job.redraw import drawing_of, move_depth
from preprocessing.sets import CameraModel, RawPair, maps_of, read_calibration, rectify

SIZE = (480, 300)
FX, CX, CY, B = 520.0, 236.0, 153.0, 0.2
WALL_M, BOX_M = 8.0, 4.0
BOX = (150, 90, 330, 220)  # columns and rows in the left picture: x0, y0, x1, y1
TURNS = tuple(cv2.Rodrigues(np.array(turn))[0] for turn in ([0.01, -0.015, 0.02], [-0.012, 0.01, -0.008]))
LENSES = {
    "radtan": ((-0.25, 0.08, 0.001, -0.0008), (-0.22, 0.06, -0.0007, 0.0005)),
    "equidistant": ((0.02, -0.01, 0.004, -0.001), (0.015, -0.008, 0.003, -0.001)),
}


def raw_cameras(model: str) -> RawPair:
    first, second = LENSES[model]
    left = CameraModel(470.0, 473.0, 245.0, 147.0, first, model, SIZE)  # type: ignore[arg-type]
    right = CameraModel(478.0, 475.0, 238.0, 152.0, second, model, SIZE)  # type: ignore[arg-type]
    return raw_pair_of(left, right, TURNS, B)


def ideal() -> tuple[Any, Any]:
    """A wall and a box before it, as a rectified pair shows them."""
    return planes(SIZE, FX * B / WALL_M, ((*BOX, FX * B / BOX_M),))


def camchain(path: Path, pair: RawPair) -> None:
    between = np.eye(4)
    between[:3, :3], between[:3, 3] = np.array(pair.rotation), pair.translation_m
    text = ""
    for name, camera in (("cam0", pair.left), ("cam1", pair.right)):
        text += f"{name}:\n  camera_model: pinhole\n  distortion_model: {camera.model}\n"
        text += f"  intrinsics: {written.flow(np.array([camera.fx_px, camera.fy_px, camera.cx_px, camera.cy_px]))}\n"
        text += f"  distortion_coeffs: {list(camera.distortion)}\n  resolution: {list(SIZE)}\n"
    written.put(path, text + "  T_cn_cnm1:\n" + "".join(f"  - {row.tolist()}\n" for row in between))


def write_raw(root: Path, model: str = "radtan", names: tuple[str, ...] = ("a",)) -> Path:
    pair = raw_cameras(model)
    for side, picture, camera, turn in zip(("left", "right"), ideal(), (pair.left, pair.right), TURNS, strict=True):
        drawn = raw_picture(picture, FX, CX, CY, camera, turn)
        for name in names:
            write_png(root / side / f"{name}.png", drawn)
    camchain(root / "camchain.yaml", pair)
    return root


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "rig", names=("a", "b"))


def rectified_place(pair: RawPair, found: Any, side: int, points: Any) -> Any:
    """Where points [N, 3] of the ideal left camera fall in a rectified picture."""
    turn = np.asarray(TURNS[side]) if side == 0 else np.asarray(TURNS[1])
    shifted = points - (np.array([B, 0, 0]) if side else 0)
    seen = shifted @ turn.T @ np.array(found.r1 if side == 0 else found.r2).T
    p = np.array(found.p1 if side == 0 else found.p2)[:, :3]
    projected = seen @ p.T
    return projected[:, :2] / projected[:, 2:]


@pytest.mark.parametrize("model", LENSES)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_point_lies_in_one_row_at_its_disparity(model: str, alpha: float) -> None:
    """Without pictures: where a point of space falls is known, and the disparity must be B f / Z of the turned pair."""
    pair = raw_cameras(model)
    found = rectify(pair, alpha)
    rng = np.random.default_rng(3)
    points = np.column_stack([rng.uniform(-2, 2, 50), rng.uniform(-1, 1, 50), rng.uniform(4, 40, 50)])
    left, right = (rectified_place(pair, found, side, points) for side in (0, 1))
    assert np.abs(left[:, 1] - right[:, 1]).max() < 1e-6
    depth = (points @ np.asarray(TURNS[0]).T @ np.array(found.r1).T)[:, 2]
    camera = found.camera()
    assert camera.baseline_m == pytest.approx(B)
    assert np.allclose(left[:, 0] - right[:, 0], camera.baseline_m * camera.fx_px / depth)


@pytest.mark.parametrize("model", LENSES)
def test_maps_lead_to_where_the_lens_puts_a_point(model: str) -> None:
    """A rectified pixel's place in the raw picture is that of the same point through OpenCV's own projection."""
    pair = raw_cameras(model)
    found = rectify(pair)
    point = np.array([[0.7, -0.3, 6.0]])
    for side, maps in enumerate(maps_of(pair, found)):
        u, v = rectified_place(pair, found, side, point)[0]
        shifted = (point - (np.array([B, 0, 0]) if side else 0)) @ np.asarray(TURNS[side]).T
        camera = (pair.left, pair.right)[side]
        project = cv2.fisheye.projectPoints if model == "equidistant" else cv2.projectPoints
        if model == "equidistant":
            expected = project(shifted[None], np.zeros(3), np.zeros(3), camera.matrix, camera.coefficients)[0].ravel()
        else:
            expected = project(shifted, np.zeros(3), np.zeros(3), camera.matrix, camera.coefficients)[0].ravel()
        where = [cv2.remap(m, np.float32([[u]]), np.float32([[v]]), cv2.INTER_LINEAR)[0, 0] for m in (maps.x, maps.y)]
        assert where == pytest.approx(expected.tolist(), abs=0.02)


@pytest.mark.parametrize("model", LENSES)
def test_alpha_0_shows_nothing_that_one_camera_does_not_see(model: str) -> None:
    pair = raw_cameras(model)
    narrow, wide = ([maps.valid.mean() for maps in maps_of(pair, rectify(pair, alpha))] for alpha in (0.0, 1.0))
    assert min(narrow) > 0.999 and max(wide) < 0.97


@pytest.mark.parametrize("focal_px", [240.0, 150.0, 110.0])
def test_fisheyes_beyond_half_a_sphere_are_rectified(focal_px: float) -> None:
    """480 px at 150 px a radian see 183 degrees from side to side; a plane of about 150 is drawn of it."""
    camera = CameraModel(focal_px, focal_px, 245.0, 147.0, LENSES["equidistant"][0], "equidistant", SIZE)
    pair = raw_pair_of(camera, camera, TURNS, B)
    for alpha in (0.0, 1.0):
        found = rectify(pair, alpha)
        seen = found.camera()
        assert abs(seen.u0_px - 240) < 48 and abs(seen.v0_px - 150) < 48
        assert 2 * np.degrees(np.arctan(240 / seen.fx_px)) < (150 if alpha == 0 else 165)
        shares = [maps.valid.mean() for maps in maps_of(pair, found)]
        assert min(shares) > (0.99 if alpha == 0 else 0.5)


def test_what_a_lens_folds_back_is_not_valid() -> None:
    """r (1 - 0.4 r^2) rises to r = 0.91 and falls again: what lies beyond comes back into the picture."""
    camera = CameraModel(150.0, 150.0, 239.5, 149.5, (-0.4, 0.0, 0.0, 0.0), "radtan", SIZE)
    pair = RawPair(camera, camera, tuple(map(tuple, np.eye(3).tolist())), (-0.1, 0.0, 0.0))
    turn = tuple(map(tuple, np.eye(3).tolist()))
    p1 = ((60.0, 0.0, 239.5, 0.0), (0.0, 60.0, 149.5, 0.0), (0.0, 0.0, 1.0, 0.0))
    found = type(rectify(raw_cameras("radtan")))(turn, turn, p1, p1)
    left, _ = maps_of(pair, found)
    rays = np.hypot((np.arange(SIZE[0]) - 239.5) / 60, 0)
    row = left.valid[150]
    inside = (left.x[150] >= 0) & (left.x[150] <= SIZE[0] - 1)
    assert row[rays < 0.6].all() and inside[(rays > 1.0) & (rays < 1.5)].any() and not row[rays > 1.1].any()


@pytest.mark.parametrize("model", LENSES)
def test_depth_of_a_raw_pair_is_that_of_the_scene(model: str, tmp_path: Path) -> None:
    """The wall is flat in the ideal camera; in the turned one its depth varies, and is known pixel by pixel."""
    root = write_raw(tmp_path / "rig", model)
    report = preprocess(root, PreprocessSettings(out=tmp_path / "out"))
    assert report.root == tmp_path / "out" and report.done == 1
    pair = raw_cameras(model)
    found = rectify(pair)
    p1, turn = np.array(found.p1)[:, :3], np.array(found.r1) @ np.asarray(TURNS[0])
    us, vs = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]))
    rays = np.column_stack([us.ravel(), vs.ravel(), np.ones(us.size)]) @ np.linalg.inv(p1).T @ turn
    x, y = rays[:, 0] / rays[:, 2] * FX + CX, rays[:, 1] / rays[:, 2] * FX + CY
    depth = read_depth(tmp_path / "out" / "depth" / "a.png").ravel()
    for metres, region in (
        (BOX_M, (x > BOX[0] + 12) & (x < BOX[2] - 12) & (y > BOX[1] + 12) & (y < BOX[3] - 12)),
        (WALL_M, (x < BOX[0] - 40) | (x > BOX[2] + 40)),
    ):
        truth = metres / rays[:, 2]
        seen = region & (depth > 0)
        assert seen.sum() > 0.8 * region.sum() - 40 * SIZE[1]
        assert np.median(np.abs(depth[seen] / truth[seen] - 1)) < 0.01
        assert abs(np.median(depth[seen] / truth[seen]) - 1) < 0.002


def test_a_generated_street_keeps_its_rows_and_its_depth(tmp_path: Path) -> None:
    pytest.importorskip("embreex", reason="the scene generator needs the extra `synth`")
    from preprocessing.ground import read_disparity
    from preprocessing.job.rows import rows_off
    from preprocessing.scenes import generate

    size = (1024, 512)
    generate(tmp_path / "city", 1, size, seed=3, workers=1, val_fraction=0)
    camera = json.loads(next((tmp_path / "city").rglob("*_camera.json")).read_text())
    fx, cx, cy = (camera["intrinsic"][key] for key in ("fx", "u0", "v0"))
    baseline = camera["extrinsic"]["baseline"]
    first, second = LENSES["radtan"]
    left = CameraModel(fx * 0.9, fx * 0.905, cx + 9, cy - 5, first, "radtan", size)
    right = CameraModel(fx * 0.92, fx * 0.91, cx - 6, cy + 4, second, "radtan", size)
    pair = raw_pair_of(left, right, TURNS, baseline)
    pictures = [read_image(next((tmp_path / "city").rglob(f"*_{side}Img8bit.png"))) for side in ("left", "right")]
    drawn = [
        raw_picture(picture, fx, cx, cy, one, turn)
        for picture, one, turn in zip(pictures, (left, right), TURNS, strict=True)
    ]
    for side, picture in zip(("left", "right"), drawn, strict=True):
        write_png(tmp_path / "rig" / side / "a.png", picture)
    camchain(tmp_path / "rig" / "camchain.yaml", pair)
    text = (tmp_path / "rig" / "camchain.yaml").read_text()
    (tmp_path / "rig" / "camchain.yaml").write_text(text.replace(str(list(SIZE)), str(list(size))))
    preprocess(tmp_path / "rig", PreprocessSettings(out=tmp_path / "out"))

    found = [read_image(tmp_path / "out" / side / "a.png") for side in ("left", "right")]
    before, after = rows_off([(drawn[0], drawn[1])]), rows_off([(found[0], found[1])])
    assert before is not None and after is not None and before > 5 and after < 0.1

    # The depth of a rectified pixel by the disparity of the generated pair: the same ray in both cameras.
    content = read_calibration(tmp_path / "out" / "calibration.json").camera
    record = json.loads((tmp_path / "out" / "calibration.json").read_text())["rectification"]
    us, vs = np.meshgrid(np.arange(size[0]), np.arange(size[1]))
    rays = np.stack([(us - content.u0_px) / content.fx_px, (vs - content.v0_px) / content.fy_px, np.ones(us.shape)], -1)
    rays = rays @ (np.array(record["R1"]) @ np.asarray(TURNS[0]))
    x, y = rays[..., 0] / rays[..., 2] * fx + cx, rays[..., 1] / rays[..., 2] * fx + cy
    disparity, valid = read_disparity(next((tmp_path / "city").rglob("*_disparity.png")))
    own = np.where(valid & (disparity > 0), fx * baseline / np.maximum(disparity, 1e-6), 0).astype(np.float32)
    truth = cv2.remap(own, x.astype(np.float32), y.astype(np.float32), cv2.INTER_NEAREST) / rays[..., 2]
    depth = read_depth(tmp_path / "out" / "depth" / "a.png")
    grey = cv2.cvtColor(found[0], cv2.COLOR_RGB2GRAY)
    texture = cv2.boxFilter(np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0)), -1, (7, 7))
    seen = (depth > 0) & (truth > 0) & (truth < 40)
    seen &= texture > np.median(texture[seen])
    assert seen.sum() > 10_000 and np.median(np.abs(depth[seen] / truth[seen] - 1)) < 0.01


def test_the_written_set_is_an_ordinary_one(raw: Path, tmp_path: Path) -> None:
    report = rectify_set(raw, RectifySettings(tmp_path / "out", alpha=1.0))
    assert (report.done, report.reused, report.skipped) == (2, 0, [])
    out = tmp_path / "out"
    content = json.loads((out / "calibration.json").read_text())
    p1, p2 = (np.array(content["rectification"][key]) for key in ("P1", "P2"))
    assert content["fx_px"] == p1[0, 0] and p2[0, 3] == pytest.approx(-p1[0, 0] * B)
    assert content["baseline_m"] == pytest.approx(B) and (content["width_px"], content["height_px"]) == SIZE
    assert not read_calibration(out / "calibration.json").is_raw
    mask = read_grey_or_index(out / "mask.png")
    assert 0.5 < (mask > 0).mean() < 0.97
    assert not read_image(out / "left" / "a.png")[mask == 0].any()
    preprocess(out)
    depth = read_depth(out / "depth" / "a.png")
    assert not depth[mask == 0].any() and (depth[mask > 0] > 0).mean() > 0.5
    row = read_manifest(out / "depth")["a"]
    assert np.allclose(row["projections"], [p1, p2])


def test_what_is_there_is_not_drawn_again(raw: Path, tmp_path: Path) -> None:
    root, out = tmp_path / "rig", tmp_path / "out"
    shutil.copytree(raw, root)
    preprocess(root, PreprocessSettings(out=out))
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.*") if "manifest" not in path.name}
    again = preprocess(root, PreprocessSettings(out=out))
    assert again.reused == 2
    names = [path for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert [path.name for path in names] == ["preprocess.json"]
    # One picture replaced: it alone is drawn again, and its depth with it.
    write_png(root / "left" / "b.png", read_image(root / "left" / "b.png") // 2)
    changed = preprocess(root, PreprocessSettings(out=out))
    assert changed.reused == 1


def test_nothing_of_the_users_is_overwritten(raw: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_json(other / "calibration.json", {"baseline_m": 0.1, "fx_px": 700})
    for out, said in (
        (raw, "needs a folder of its own"),
        (other, "is not empty, and rectification did not make it"),
        (other / "calibration.json", "is a file"),
    ):
        with pytest.raises(InputError, match=said):
            rectify_set(raw, RectifySettings(out))
    rectify_set(raw, RectifySettings(tmp_path / "mine"))
    shutil.copytree(raw, tmp_path / "second")
    with pytest.raises(InputError, match="holds the rectified set of"):
        rectify_set(tmp_path / "second", RectifySettings(tmp_path / "mine"))
    write_png(tmp_path / "mine" / "left" / "a.png", read_image(raw / "left" / "a.png"))
    report = rectify_set(raw, RectifySettings(tmp_path / "mine"))
    assert [name for name, _ in report.skipped] == ["a"] and "did not write it" in report.skipped[0][1]


@pytest.mark.parametrize("labels_on", ["left", "rectified", "none"])
def test_labels_lie_on_the_left_picture_or_where_one_says(labels_on: Any, raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "rig"
    shutil.copytree(raw, root)
    ids = np.full((SIZE[1], SIZE[0]), 7, np.uint8)
    ids[:, SIZE[0] // 2 :] = 26
    write_png(root / "labels" / "a.png", ids)
    rectify_set(root, RectifySettings(tmp_path / "out", alpha=1.0, labels_on=labels_on))
    path = tmp_path / "out" / "labels" / "a.png"
    if labels_on == "none":
        assert not path.exists()
        return
    found = read_grey_or_index(path)
    if labels_on == "rectified":
        assert np.array_equal(found, ids)
        return
    assert set(np.unique(found)) == {7, 26, 255}
    maps, _ = maps_of(raw_cameras("radtan"), rectify(raw_cameras("radtan"), 1.0))
    expected = np.where(np.rint(maps.x) >= SIZE[0] // 2, 26, 7)
    assert np.array_equal(found[maps.valid], expected[maps.valid]) and (found[~maps.valid] == 255).all()


def test_labels_keep_their_kind(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "rig"
    shutil.copytree(raw, root)
    (root / "labels").mkdir()
    palette = Image.fromarray(np.full((SIZE[1], SIZE[0]), 3, np.uint8), mode="L")
    palette.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    palette.save(root / "labels" / "a.png")
    write_png(root / "labels" / "b.png", np.full((SIZE[1], SIZE[0]), 4000, np.uint16))
    rectify_set(root, RectifySettings(tmp_path / "out"))
    with Image.open(tmp_path / "out" / "labels" / "a.png") as image:
        assert image.mode == "P" and image.getpalette()[9:12] == [3, 252, 7]
    wide = read_grey_or_index(tmp_path / "out" / "labels" / "b.png")
    assert wide.dtype == np.uint16 and np.median(wide) == 4000


def test_labels_in_colours_have_none_for_nothing(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "rig"
    shutil.copytree(raw, root)
    write_png(root / "labels" / "a.png", np.full((SIZE[1], SIZE[0], 3), (128, 64, 32), np.uint8))
    assert rectify_set(root, RectifySettings(tmp_path / "out")).skipped == []
    found = read_image(tmp_path / "out" / "labels" / "a.png")
    assert (found == (128, 64, 32)).all()  # no colour that no set knows
    report = rectify_set(root, RectifySettings(tmp_path / "wide", alpha=1.0))
    assert [name for name, _ in report.skipped] == ["a"] and "--labels-on none" in report.skipped[0][1]


def test_measured_depth_moves_with_the_camera() -> None:
    """A point of the raw camera at 6 m is nearer or farther along the turned axis, at another pixel."""
    pair = raw_cameras("radtan")
    drawing = drawing_of(pair, 0.0, "left")
    stored = np.zeros((SIZE[1], SIZE[0]), np.uint16)
    stored[60, 100] = 6 * 256
    ys, xs = np.nonzero(moved := move_depth(stored, drawing))
    assert len(xs) == 1
    ray = cv2.undistortPoints(np.array([[[100.0, 60.0]]]), pair.left.matrix, pair.left.coefficients).ravel()
    seen = np.array(drawing.found.r1) @ np.array([*ray * 6, 6.0])
    place = np.array(drawing.found.p1)[:, :3] @ seen
    assert (xs[0], ys[0]) == pytest.approx(place[:2] / place[2], abs=0.6)
    assert moved[ys[0], xs[0]] / 256 == pytest.approx(seen[2], abs=0.005) and seen[2] != 6


def test_pictures_that_are_rectified_already_are_not_rectified_again(tmp_path: Path) -> None:
    """The calibration holds raw cameras and P: as ROS's files do, which lie beside pictures of either kind."""
    pair = raw_cameras("radtan")
    found = rectify(pair)
    content = {"M1": pair.left.matrix, "D1": pair.left.coefficients[None], "M2": pair.right.matrix}
    content |= {"D2": pair.right.coefficients[None], "R": np.array(pair.rotation)}
    content |= {"T": np.array(pair.translation_m)[:, None]}
    stated = {"R1": np.array(found.r1), "R2": np.array(found.r2), "P1": np.array(found.p1), "P2": np.array(found.p2)}
    root = tmp_path / "rig"
    for side, picture in zip(("left", "right"), ideal(), strict=True):
        write_png(root / side / "a.png", picture)
    written.storage(root / "stereo.yml", {**content, **stated}, SIZE)
    report = preprocess(root, PreprocessSettings())
    assert report.root == root and "rectified already" in report.notes[0]
    assert read_manifest(root / "depth")["a"]["camera"]["fx_px"] == pytest.approx(found.camera().fx_px)
    always = preprocess(root, PreprocessSettings(rectify="always", out=tmp_path / "out"))
    assert always.root == tmp_path / "out"
    written.storage(root / "stereo.yml", content, SIZE)  # without P nobody knows the camera of such pictures
    with pytest.raises(InputError, match=r"stereo\.yml: is of raw cameras, but the pictures look rectified"):
        preprocess(root, PreprocessSettings(again=True))


def test_a_rig_without_raw_cameras_cannot_be_rectified(tmp_path: Path) -> None:
    for side, picture in zip(("left", "right"), ideal(), strict=True):
        write_png(tmp_path / side / "a.png", picture)
    write_json(tmp_path / "calibration.json", {"baseline_m": B, "fx_px": FX})
    with pytest.raises(InputError, match="tells of rectified cameras alone"):
        rectify_set(tmp_path, RectifySettings(tmp_path / "out"))


def test_commands_say_what_they_do(raw: Path, tmp_path: Path) -> None:
    dry = advmtl("preprocess", raw, "--dry-run", "--out", tmp_path / "out")
    assert dry.exit_code == 0 and "would be rectified into" in dry.output and "radtan distortion" in dry.output
    assert not (tmp_path / "out").exists()
    dry = advmtl("rectify", raw, "--out", tmp_path / "out", "--dry-run")
    assert dry.exit_code == 0 and "px rectified (2 pairs)" in dry.output and not (tmp_path / "out").exists()
    done = advmtl("rectify", raw, "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0 and "2 pairs rectified (0 from before)" in done.output
    (tmp_path / "half").mkdir()
    shutil.copytree(raw, tmp_path / "half" / "rig")
    (tmp_path / "half" / "rig" / "right" / "b.png").unlink()
    half = advmtl("rectify", tmp_path / "half" / "rig", "--out", tmp_path / "half" / "out", "--workers", 1)
    assert half.exit_code == 3 and "its right image is missing" in half.output
    wrong = advmtl("rectify", raw, "--out", tmp_path / "x", "--alpha", 2)
    assert wrong.exit_code == 2 and "alpha: 2.0 must be within 0..1" in wrong.output


def test_two_cameras_in_one_set_have_a_file_for_each_frame(raw: Path, tmp_path: Path) -> None:
    root = tmp_path / "rig"
    shutil.copytree(raw, root)
    other = raw_cameras("equidistant")
    camchain(root / "elsewhere" / "chain.yaml", other)
    write_json(root / "calibration" / "b.json", {"from": "../elsewhere/chain.yaml"})
    rectify_set(root, RectifySettings(tmp_path / "out"))
    files = sorted((tmp_path / "out" / "calibration").glob("*.json"))
    assert [path.name for path in files] == ["a.json", "b.json"]
    focal = [read_calibration(path).camera.fx_px for path in files]
    assert focal == pytest.approx([rectify(raw_cameras(m)).camera().fx_px for m in ("radtan", "equidistant")])


def write_two_bits(path: Path, ids: Any) -> None:
    """A grey PNG of two bits a pixel, as annotation tools write up to four classes."""
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], 2, 0, 0, 0, 0)
    packed = ids.reshape(len(ids), -1, 4)
    rows = packed[..., 0] << 6 | packed[..., 1] << 4 | packed[..., 2] << 2 | packed[..., 3]
    data = zlib.compress(np.column_stack([np.zeros(len(rows), np.uint8), rows]).tobytes())
    parts = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    chunks = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def test_labels_of_few_bits_stay_ids_and_lossy_ones_are_refused(tmp_path: Path) -> None:
    root = write_raw(tmp_path / "rig")
    ids = np.tile(np.repeat(np.arange(4, dtype=np.uint8), SIZE[0] // 4), (SIZE[1], 1))
    (root / "labels").mkdir()
    write_two_bits(root / "labels" / "a.png", ids)
    report = rectify_set(root, RectifySettings(tmp_path / "out"))
    assert not report.skipped
    found = np.unique(read_grey_or_index(tmp_path / "out" / "labels" / "a.png"))
    assert set(found.tolist()) - {255} == {0, 1, 2, 3}
    (root / "labels" / "a.png").unlink()
    Image.fromarray(ids).save(root / "labels" / "a.jpg")
    with pytest.raises(InputError, match=r"labels/a\.jpg: labels in JPEG"):
        rectify_set(root, RectifySettings(tmp_path / "other"))


def test_stated_bits_hold_for_raw_pictures_too(tmp_path: Path) -> None:
    root = write_raw(tmp_path / "rig")
    for side in ("left", "right"):
        grey = cv2.imread(str(root / side / "a.png"), cv2.IMREAD_GRAYSCALE)
        write_png(root / side / "a.png", grey.astype(np.uint16) * 4)  # 10 bits
    preprocess(root, PreprocessSettings(out=tmp_path / "found"))
    preprocess(root, PreprocessSettings(out=tmp_path / "stated", bits=12))
    brightest = [read_image(tmp_path / out / "left" / "a.png").max() for out in ("found", "stated")]
    assert brightest[0] == 255 and brightest[1] < 80  # a quarter, and what cubic interpolation adds


def test_nothing_is_written_among_the_pictures_or_without_a_camera(tmp_path: Path) -> None:
    root = write_raw(tmp_path / "rig")
    write_png(root / "depth" / "a.png", np.full((SIZE[1], SIZE[0]), 8000, np.uint16))
    for out in (root / "left" / "new", root / "right"):
        with pytest.raises(InputError, match=r"whose pictures are frames"):
            rectify_set(root, RectifySettings(out))
        with pytest.raises(InputError, match=r"whose pictures are frames"):
            preprocess(root, PreprocessSettings(out=out, rectify="never"))
    pair = raw_cameras("radtan")
    rotation = np.array(pair.rotation).T
    x, y, z = (float(value) for value in -rotation @ np.array(pair.translation_m))
    turned = tuple(tuple(map(float, row)) for row in rotation)
    camchain(root / "camchain.yaml", RawPair(pair.right, pair.left, turned, (x, y, z)))
    settings = PreprocessSettings(out=tmp_path / "out")
    with pytest.raises(InputError, match=r'"cameras": \[1, 0\]\} into a calibration\.json.*nothing is written'):
        preprocess(root, settings)
    assert not (tmp_path / "out").exists()
    write_json(root / "calibration.json", {"from": "camchain.yaml", "cameras": [1, 0]})
    report = preprocess(root, settings)
    assert report.done == 1 and any("its own depth/ is left out" in note for note in report.notes)
    depth = read_depth(tmp_path / "out" / "depth" / "a.png")
    assert np.median(depth[depth > 0]) == pytest.approx(WALL_M, rel=0.01)


def test_a_key_that_a_format_does_not_take_is_refused(tmp_path: Path) -> None:
    root = write_raw(tmp_path / "rig")
    write_json(root / "opencv.json", {"P1": np.eye(3, 4).tolist(), "P2": np.eye(3, 4).tolist()})
    write_json(root / "calibration.json", {"from": "opencv.json", "cameras": [1, 0]})
    with pytest.raises(InputError, match=r"cameras says nothing of a file of OpenCV"):
        read_calibration(root / "calibration.json")


def test_raw_pairs_are_not_taken_for_rectified_ones(tmp_path: Path) -> None:
    """Neither does `calibrate --stereo` match them, nor `quality` leave the user without a way."""
    root = write_raw(tmp_path / "rig")
    with pytest.raises(InputError, match=r"as raw cameras took them.* advmtl rectify .*rig --out .*rig_rectified"):
        check_matchable(root)
    report = preprocess(root)
    check_matchable(report.root)
    measured = advmtl("quality", root)
    assert measured.exit_code == 2 and f"advmtl quality {report.root}" in measured.output


@pytest.mark.parametrize("what", ["folder", "raw", "rectify"])
def test_what_cannot_be_written_is_said_before_anything_is_matched(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_raw(tmp_path / "rig")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(InputError, match=r"nothing can be written there .*--out"):
        if what == "rectify":
            rectify_set(root, RectifySettings(tmp_path / "out" / "deep"))
        else:
            preprocess(root, PreprocessSettings(rectify="never" if what == "folder" else "auto"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rig"] and not (root / "depth").exists()


def test_a_set_whose_layout_means_rectified_pictures_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "city" / "leftImg8bit").mkdir(parents=True)
    with pytest.raises(InputError, match="city: pictures in the layout of cityscapes are rectified as they are"):
        find_raw(tmp_path / "city", RectifySettings(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
