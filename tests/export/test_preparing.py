"""Frames undistorted and cut before anybody sees them, and the lens that goes with them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from standins import make_session

from export.sources import Frames, Loaded, Notice, Preparing, Skipped, Source, crop_of
from export.stream.stream import Reading, run
from preprocessing.ground.errors import InputError
from preprocessing.sets import ToldLens, read_camera, undistort, undistorted

SIZE = (200, 120)
K = [[150.0, 0.0, 96.0], [0.0, 148.0, 63.0], [0.0, 0.0, 1.0]]
RADTAN, FISHEYE = [-0.31, 0.09, 0.002, -0.001, 0.0], [0.02, -0.01, 0.003, 0.0]


def calibration(path: Path, distortion: Sequence[float] = RADTAN, model: str = "plumb_bob") -> Path:
    """As ROS's camera calibrator writes one."""

    def matrix(rows: int, values: Sequence[float]) -> dict[str, object]:
        return {"rows": rows, "cols": len(values) // rows, "data": list(values)}

    flat = [one for row in K for one in row]
    projection = [140.0, 0, 99.5, 0, 0, 140.0, 59.5, 0, 0, 0, 1, 0]
    content = {
        "image_width": SIZE[0],
        "image_height": SIZE[1],
        "camera_name": "front",
        "camera_matrix": matrix(3, flat),
        "distortion_model": model,
        "distortion_coefficients": matrix(1, distortion),
        "rectification_matrix": matrix(3, [1, 0, 0, 0, 1, 0, 0, 0, 1]),
        "projection_matrix": matrix(3, projection),
    }
    path.write_text(yaml.safe_dump(content))
    return path


def source(*frames: Loaded) -> Source:
    def given() -> Frames:
        yield from frames

    return Source("made", given, len(frames), 10.0)


def wall(camera_path: Path) -> tuple[np.ndarray, tuple[float, float]]:
    """A wall with one vertical edge, as the distorting camera sees it; x/z of the edge and of the lower one."""
    camera = read_camera(camera_path, raw=True).scaled(SIZE)
    xs, ys = np.meshgrid(np.arange(SIZE[0], dtype=float), np.arange(SIZE[1], dtype=float))
    rays = undistorted(camera, np.column_stack([xs.ravel(), ys.ravel()])).reshape(SIZE[1], SIZE[0], 2)
    edge, line = 0.37, -0.24
    picture = np.where((rays[..., 0] > edge) ^ (rays[..., 1] > line), 255, 0).astype(np.uint8)
    return np.repeat(picture[..., None], 3, 2), (edge, line)


@pytest.mark.parametrize(("distortion", "model"), [(RADTAN, "plumb_bob"), (FISHEYE, "equidistant")])
def test_straight_edges_are_straight_again_where_the_lens_says(
    tmp_path: Path, distortion: list[float], model: str
) -> None:
    path = calibration(tmp_path / "front.yaml", distortion, model)
    picture, (edge, line) = wall(path)
    notice, ready = Preparing(path).of(source(Loaded("a", picture, 7))).frames()
    assert isinstance(notice, Notice) and notice.text.startswith(f"frames of 200x120: undistorted after {path}")
    assert isinstance(ready, Loaded) and ready.image.shape == picture.shape and ready.timestamp_ns == 7
    lens = ready.lens
    assert lens is not None and lens.fx_px == lens.fy_px
    column, row = lens.fx_px * edge + lens.cx_px, lens.fy_px * line + lens.cy_px
    grey = ready.image[..., 0].astype(float)
    # Above and below the line, the place where each row changes; left and right of the edge, where each column does.
    for y in (2, int(row) - 6, int(row) + 7, 117):
        assert abs(np.argmax(np.abs(np.diff(grey[y]))) + 0.5 - column) < 1.0
    for x in (2, int(column) - 7, int(column) + 7, 197):
        assert abs(np.argmax(np.abs(np.diff(grey[:, x]))) + 0.5 - row) < 1.0


@pytest.mark.parametrize(("distortion", "model"), [(RADTAN, "plumb_bob"), (FISHEYE, "equidistant")])
def test_nothing_black_is_shown(tmp_path: Path, distortion: list[float], model: str) -> None:
    camera = read_camera(calibration(tmp_path / "a.yaml", distortion, model), raw=True)
    maps, lens = undistort(camera)
    assert maps.valid.mean() > 0.999 and lens.size == SIZE
    drawn = maps.picture(np.full((SIZE[1], SIZE[0], 3), 200, np.uint8))
    assert np.median(drawn) == 200 and (drawn == 0).mean() < 0.001


def test_a_part_keeps_the_focal_length_and_moves_the_principal_point(tmp_path: Path) -> None:
    frame = np.arange(120 * 200 * 3, dtype=np.uint32).reshape(120, 200, 3).astype(np.uint8)
    told = ToldLens(fx_px=160.0)
    _, part = Preparing(crop=(20, 30, 100, 60), lens=told).of(source(Loaded("a", frame))).frames()
    assert isinstance(part, Loaded)
    np.testing.assert_array_equal(part.image, frame[30:90, 20:120])
    lens = part.lens
    assert lens is not None
    assert (lens.fx_px, lens.cx_px, lens.cy_px, lens.size) == (160.0, 99.5 - 20, 59.5 - 30, (100, 60))
    # Of a lens that the frame brings.
    _, own = Preparing(crop=(20, 30, 100, 60)).of(source(Loaded("a", frame, lens=told.at(SIZE)))).frames()
    assert isinstance(own, Loaded) and own.lens == lens
    # Where nobody tells one, nothing is known of the part's either.
    _, unknown = Preparing(crop=(20, 30, 100, 60)).of(source(Loaded("a", frame))).frames()
    assert isinstance(unknown, Loaded) and unknown.lens is None


def test_undistorted_then_cut(tmp_path: Path) -> None:
    path = calibration(tmp_path / "front.yaml")
    frame = np.zeros((120, 200, 3), np.uint8)
    _, whole = Preparing(path).of(source(Loaded("a", frame))).frames()
    _, part = Preparing(path, (10, 20, 90, 70)).of(source(Loaded("a", frame))).frames()
    assert isinstance(whole, Loaded) and isinstance(part, Loaded) and whole.lens is not None
    assert part.lens == whole.lens.cropped(10, 20, (90, 70)) and part.image.shape == (70, 90, 3)


def test_frames_of_half_the_size_are_undistorted_alike(tmp_path: Path) -> None:
    path = calibration(tmp_path / "front.yaml")
    _, small = Preparing(path).of(source(Loaded("a", np.zeros((60, 100, 3), np.uint8)))).frames()
    _, whole = Preparing(path).of(source(Loaded("a", np.zeros((120, 200, 3), np.uint8)))).frames()
    assert isinstance(small, Loaded) and isinstance(whole, Loaded) and small.lens and whole.lens
    assert small.lens.hfov_deg == pytest.approx(whole.lens.hfov_deg, abs=0.6)


def test_what_does_not_go_together(tmp_path: Path) -> None:
    path = calibration(tmp_path / "front.yaml")
    plain = calibration(tmp_path / "plain.yaml", [0.0] * 5)
    with pytest.raises(InputError, match=r"plain\.yaml: tells no distortion"):
        Preparing(plain)
    square = Loaded("square", np.zeros((120, 120, 3), np.uint8))
    with pytest.raises(InputError, match=r"front\.yaml is for frames of 200x120, these have 120x120"):
        list(Preparing(path).of(source(square)).frames())
    with pytest.raises(InputError, match="reaches outside of frames of 120x120"):
        list(Preparing(crop=(0, 0, 121, 10)).of(source(square)).frames())
    # In mid-stream the frame is skipped and listed.
    good = Loaded("good", np.zeros((120, 200, 3), np.uint8))
    frames = list(Preparing(path).of(source(good, square, good)).frames())
    assert [type(one) for one in frames] == [Notice, Loaded, Skipped, Loaded]
    for text in ("1,2,3", "a,b,c,d", "0,0,10,-1", "0 0 10 10"):
        with pytest.raises(InputError, match="--crop"):
            crop_of(text)
    assert crop_of("1,2, 3,4") == (1, 2, 3, 4) and crop_of(None) is None
    with pytest.raises(InputError, match="--crop"):
        Preparing(crop=(0, 0, 0, 5))


def test_a_distorting_camera_that_nobody_undistorts_is_doubted(tmp_path: Path) -> None:
    euroc = tmp_path / "sensor.yaml"
    euroc.write_text(
        "T_BS: {rows: 4, cols: 4, data: [1,0,0,0, 0,1,0,0, 0,0,1,0, 0,0,0,1]}\n"
        "camera_model: pinhole\nresolution: [200, 120]\nintrinsics: [150.0, 148.0, 96.0, 63.0]\n"
        "distortion_model: radial-tangential\ndistortion_coefficients: [-0.3, 0.1, 0.0, 0.0]\n"
    )
    doubted = Preparing(lens=ToldLens(camera=euroc))
    assert not doubted.nothing
    frames = list(doubted.of(source(Loaded("a", np.zeros((120, 200, 3), np.uint8)))).frames())
    assert isinstance(frames[0], Notice) and "tells a distortion" in frames[0].text and len(frames) == 2
    # Of a file that tells the rectified camera, pictures are taken as rectified.
    assert Preparing(lens=ToldLens(camera=calibration(tmp_path / "ros.yaml"))).nothing


def test_a_stream_is_inferred_as_it_was_made_ready(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((120, 200, 3), 90, np.uint8))
    seen = []
    reading = Reading(preparing=Preparing(crop=(20, 24, 160, 96)))
    report = run(make_session(), folder, seen.append, reading=reading)
    assert seen[0].frame_size == (160, 96) and any("cut to 160x96 at (20, 24)" in one for one in report.notices)


def test_a_camera_file_without_distortion_is_said_to_have_none(tmp_path: Path) -> None:
    path = tmp_path / "a_camera.json"  # as Cityscapes has them
    path.write_text('{"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 150, "fy": 150, "u0": 96, "v0": 63}}')
    with pytest.raises(InputError, match="tells no distortion; leave --undistort out"):
        Preparing(path, lens=ToldLens(camera=path))
    (tmp_path / "odd.json").write_text('{"focal": 3}')
    with pytest.raises(InputError, match="unknown key 'focal'"):  # nobody has read this one
        Preparing(tmp_path / "odd.json", lens=ToldLens(camera=path))
