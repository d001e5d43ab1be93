"""Clouds of a bag as truth: every pixel's depth is known by hand, through frames that turn."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import advmtl
from textured_planes import planes

pytest.importorskip("rosbags", reason="bags need the extra `bags`")
pytest.importorskip("mcap", reason="bags need the extra `bags`")

import written_bags as written
from raw_pairs import raw_pair_of, raw_picture
from written_bags import KINDS, START_NS, STEP_NS, Kind, Said

from preprocessing.ground import Camera, InputError, draw_points, read_grey_or_index, write_json
from preprocessing.job import AskedTopics, BagSettings
from preprocessing.job.recording import Recording, plan_recording
from preprocessing.job.unpack import name_of, write_recording
from preprocessing.sets import CameraModel, rectify
from preprocessing.sets.bags import read_mount

SIZE = (96, 60)
FX, CX, CY, B = 80.0, 47.0, 29.0, 0.2
LEFT, RIGHT, LIDAR = "/stereo/left/image_rect", "/stereo/right/image_rect", "/velodyne_points"
BOX = np.s_[10:30, 20:40]
PLANE_M, BOX_M = 10.0, 4.0
HALF = math.sqrt(0.5)
PLAIN = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")])
TRUTH = BagSettings(AskedTopics(truth=LIDAR))

# The camera looks to the left of the vehicle: its z is the vehicle's y, its x the vehicle's x, its y down.
STATIC = (
    ("base_link", "velodyne", (1.0, 0.0, 2.0), (0, 0, HALF, HALF)),  # turned to the left by 90 degrees, too
    ("base_link", "mast", (1.5, 0.3, 1.2), (0, 0, HALF, HALF)),
    ("mast", "left_optical", (0, 0, 0), (-0.5, 0.5, -0.5, 0.5)),  # as REP 103 turns an optical frame
)


def to_lidar(points: Any) -> Any:
    """Points of the camera in the lidar's frame, by hand.

    In the vehicle's: the mast's place + (x, z, -y). The lidar stands at (1, 0, 2); its x is the vehicle's y, its y the
    vehicle's -x.
    """
    x, y, z = points.T
    vehicle = np.column_stack([1.5 + x, 0.3 + z, 1.2 - y]) - (1.0, 0.0, 2.0)
    return np.column_stack([vehicle[:, 1], -vehicle[:, 0], vehicle[:, 2]])


def at_pixels(us: Any, vs: Any, z: float) -> Any:
    return np.column_stack([(us - CX) * z / FX, (vs - CY) * z / FX, np.full(us.size, z)])


def scene() -> tuple[Any, Any]:
    """Points of a plane with a box before it, and much that is not seen; the depth in every pixel, times 256."""
    vs, us = (one.ravel() for one in np.mgrid[0 : SIZE[1], 0 : SIZE[0]].astype(float))
    expected = np.full((SIZE[1], SIZE[0]), PLANE_M * 256, np.uint16)
    expected[BOX] = BOX_M * 256
    in_box = np.zeros_like(expected, bool)
    in_box[BOX] = True
    box = at_pixels(us[in_box.ravel()], vs[in_box.ravel()], BOX_M)
    unseen = [(0, 0, -3), (1, 1, 0), (-12, 0, 10), (0, 20, 10), (0.01, 0.01, 0.45), (0, 0, 300), (np.nan, 0, 5)]
    points = np.vstack([at_pixels(us, vs, PLANE_M), box, unseen])
    return np.random.default_rng(0).permutation(points), expected


def records_of(points: Any, dtype: Any = PLAIN) -> Any:
    found = np.zeros(len(points), dtype)
    for index, name in enumerate("xyz"):
        found[name] = points[:, index]
    return found


def stereo(count: int = 1) -> list[Said]:
    found = written.rectified_infos(SIZE, FX, CX, CY, B)
    for index in range(count):
        for topic, picture in zip((LEFT, RIGHT), planes(SIZE, 4.0, seed=index + 1), strict=True):
            said = written.raw(topic, START_NS + index * STEP_NS, picture, "rgb8")
            found.append(Said(said.topic, said.type, said.stamp_ns, said.fields, "left_optical"))
    return found


def planned(tmp_path: Path, said: list[Said], settings: BagSettings = TRUTH, kind: Kind = "mcap") -> Recording:
    return plan_recording(written.write_bag(tmp_path / "drive", kind, said), settings)


def lidar_of(plan: Recording, out: Path) -> list[Any]:
    assert write_recording(plan, out) == []
    return [read_grey_or_index(path) for path in sorted((out / "lidar").iterdir())]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_pixel_has_its_depth_through_frames_that_turn(kind: Kind, order: str, tmp_path: Path) -> None:
    points, expected = scene()
    dtype = np.dtype([(name, f"{order}f4") for name in "xyz"])
    said = [
        *stereo(),
        written.transforms("/tf_static", START_NS, *STATIC),
        written.cloud(LIDAR, START_NS + 3 * 10**6, records_of(to_lidar(points), dtype), "velodyne"),
    ]
    plan = planned(tmp_path, said, kind=kind)
    (found,) = lidar_of(plan, tmp_path / "out")
    assert np.array_equal(found, expected)
    assert [path.stem for path in (tmp_path / "out" / "lidar").iterdir()] == [name_of(START_NS)]
    notes = "\n".join(plan.notes)
    assert f"{LIDAR}: 1 of 1 pairs have a cloud" in notes and "3.0 ms apart in the median" in notes
    assert f"{SIZE[0] * SIZE[1]} of the first cloud's {len(points)} points have a pixel" in notes
    assert "velodyne -> base_link -> mast -> left_optical; 4.0 to 10.0 m, 10.0 m in the median" in notes


LAYOUTS = {
    "intensity and ring behind": ([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("ring", "<u2")], 0),
    "in another order": ([("ring", "<u2"), ("z", "<f4"), ("y", "<f4"), ("t", "<f8"), ("x", "<f4")], 0),
    "float64": ([("x", "<f8"), ("y", "<f8"), ("z", "<f8")], 0),
    "mixed": ([("x", ">f8"), ("y", ">f4"), ("z", ">f8")], 0),
    "rows that are padded": ([("x", "<f4"), ("y", "<f4"), ("z", "<f4")], 13),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_fields_are_found_by_their_names(layout: str, tmp_path: Path) -> None:
    points, expected = scene()
    points = np.vstack([points, np.full((-len(points) % 3, 3), np.nan)])  # three rows, as of three rings
    fields, row_pad = LAYOUTS[layout]
    records = records_of(to_lidar(points), np.dtype(fields)).reshape(3, -1)
    for name in set(records.dtype.names or ()) - set("xyz"):
        records[name] = 7
    said = [*stereo(), written.transforms("/tf_static", START_NS, *STATIC)]
    said.append(written.cloud(LIDAR, START_NS, records, "/velodyne", row_pad=row_pad))  # as before tf2
    (found,) = lidar_of(planned(tmp_path, said), tmp_path / "out")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ([("x", "<f4"), ("y", "<f4"), ("range", "<f4")], f"{LIDAR}: its clouds have no field 'z', but x, y, range"),
        ([("x", "<f4"), ("y", "<i4"), ("z", "<f4")], f"{LIDAR}: its field 'y' is int32; x, y and z are read as"),
    ],
)
def test_fields_that_are_no_metres_are_named(fields: Any, message: str, tmp_path: Path) -> None:
    records = np.zeros(4, np.dtype(fields))
    said = [*stereo(), written.transforms("/tf_static", START_NS, *STATIC)]
    with pytest.raises(InputError, match=message):
        planned(tmp_path, [*said, written.cloud(LIDAR, START_NS, records, "velodyne")])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"point_step": 10}, "its field 'z' at byte 8 lies outside a point of 10 bytes"),
        ({"width": 9}, "a cloud of 9x1 points of 12 bytes has rows of 108 bytes and 48 bytes in all"),
    ],
)
def test_clouds_that_cannot_be_are_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    said = written.cloud(LIDAR, START_NS, np.zeros(4, PLAIN), "velodyne")
    said.fields.update(change)
    with pytest.raises(InputError, match=message):
        planned(tmp_path, [*stereo(), written.transforms("/tf_static", START_NS, *STATIC), said])


def test_of_tf_the_latest_at_or_before_the_picture_counts(tmp_path: Path) -> None:
    """The mast stands right at the first picture only; at the second it has moved on by 1 m along its z, to -0.3 m."""
    points, expected = scene()
    base, mast, optical = STATIC
    right = ("base_link", "mast", (1.5, 0.3, 1.2), mast[3])
    later = ("base_link", "mast", (1.5, -0.7, 1.2), mast[3])
    cloud = records_of(to_lidar(points))
    said = [*stereo(2), written.transforms("/tf_static", START_NS, base, optical)]
    moves = [(50, later), (-20, later), (0, right), (100, later)]  # ms; not in order
    said += [written.transforms("/tf", START_NS + ms * 10**6, edge) for ms, edge in moves]
    said += [written.cloud(LIDAR, START_NS + index * STEP_NS, cloud, "velodyne") for index in range(2)]
    first, second = lidar_of(planned(tmp_path, said), tmp_path / "out")
    assert np.array_equal(first, expected)
    # A metre farther away, the picture's edge pixels excepted, for the plane covers less of it.
    assert second[CYI, CXI] == 11 * 256 and second[15, 30] in (5 * 256, 11 * 256) and (second == 5 * 256).any()


CXI, CYI = round(CX), round(CY)


def test_tf_of_ros_1_before_tf2_is_read(tmp_path: Path) -> None:
    """Its /tf repeats what stands still, under another type and with a slash before each frame."""
    points, expected = scene()
    old = [(f"/{parent}", f"/{child}", shift, turn) for parent, child, shift, turn in STATIC]
    repeated = written.transforms("/tf", START_NS - STEP_NS, *old)
    cloud = written.cloud(LIDAR, START_NS, records_of(to_lidar(points)), "/velodyne")
    said = [*stereo(), Said("/tf", "tf/msg/tfMessage", repeated.stamp_ns, repeated.fields), cloud]
    (found,) = lidar_of(planned(tmp_path, said, kind="ros1"), tmp_path / "out")
    assert np.array_equal(found, expected)


def test_where_tf_does_not_know_the_pictures_frame_that_of_camera_info_is_taken(tmp_path: Path) -> None:
    points, expected = scene()
    renamed = [(parent, child.replace("left_optical", "camera"), *rest) for parent, child, *rest in STATIC]
    said = [*stereo(), written.transforms("/robot/tf_static", START_NS, *renamed)]
    said.append(written.cloud(LIDAR, START_NS, records_of(to_lidar(points)), "velodyne"))
    (found,) = lidar_of(planned(tmp_path, said), tmp_path / "out")
    assert np.array_equal(found, expected)


def test_a_lidar_of_another_clock_is_named(tmp_path: Path) -> None:
    said = [*stereo(), written.transforms("/tf_static", START_NS, *STATIC)]
    said.append(written.cloud(LIDAR, START_NS + 5 * 10**9, np.ones(4, PLAIN), "velodyne"))
    with pytest.raises(InputError, match=f"{LIDAR}: its stamp nearest to a left picture's is 5 s away; was it recorde"):
        planned(tmp_path, said)


def test_transforms_of_another_time_leave_a_frame_out(tmp_path: Path) -> None:
    points, _ = scene()
    base, mast, optical = STATIC
    said = [*stereo(2), written.transforms("/tf_static", START_NS, base, optical)]
    said += [written.transforms("/tf", START_NS + ms * 10**6, mast) for ms in (60, 90)]
    cloud = records_of(to_lidar(points))
    said += [written.cloud(LIDAR, START_NS + index * STEP_NS, cloud, "velodyne") for index in range(2)]
    plan = planned(tmp_path, said)
    ((name, reason),) = write_recording(plan, tmp_path / "out")
    assert name == name_of(START_NS) and "/tf has mast in base_link only 0.060 s after the picture" in reason
    assert [path.stem for path in (tmp_path / "out" / "lidar").iterdir()] == [name_of(START_NS + STEP_NS)]


def test_a_missing_transform_names_both_frames_and_the_option(tmp_path: Path) -> None:
    cloud = written.cloud(LIDAR, START_NS, np.ones(4, PLAIN), "velodyne")
    none = [*stereo(), cloud]
    with pytest.raises(InputError, match=r"from its frame velodyne to the left camera's left_optical; the bag has no "):
        planned(tmp_path / "none", none)
    apart = written.transforms("/tf_static", START_NS, STATIC[0], STATIC[2])
    with pytest.raises(InputError) as error:
        planned(tmp_path / "apart", [*stereo(), apart, cloud])
    assert "frames known: base_link, left_optical, mast, velodyne" in str(error.value)
    assert "velodyne is joined to base_link; left_optical is joined to mast" in str(error.value)
    assert "give --lidar-to-camera FILE" in str(error.value)


def test_a_quaternion_that_is_none_is_named(tmp_path: Path) -> None:
    broken = ("base_link", "velodyne", (0, 0, 0), (0, 0, 0, 0))
    said = [*stereo(), written.transforms("/tf_static", START_NS, broken, *STATIC[1:])]
    plan = planned(tmp_path, [*said, written.cloud(LIDAR, START_NS, np.ones(4, PLAIN), "velodyne")])
    assert any("the transform of velodyne in base_link is a quaternion of length 0" in note for note in plan.notes)


def by_hand() -> Any:
    """Lidar to camera, by hand: the camera's x is the lidar's -y, its y the lidar's -z, its z the lidar's x."""
    turn = np.array([[0, -1.0, 0], [0, 0, -1.0], [1.0, 0, 0]])
    found = np.eye(4)
    found[:3, :3] = turn
    found[:3, 3] = -turn @ to_lidar(np.zeros((1, 3)))[0]
    return found


@pytest.mark.parametrize("form", ["matrix", "bare", "quaternion"])
def test_a_file_says_what_the_bag_does_not(form: str, tmp_path: Path) -> None:
    points, expected = scene()
    matrix = by_hand()
    contents: dict[str, Any] = {
        "matrix": {"matrix": matrix.tolist()},
        "bare": matrix.tolist(),
        "quaternion": {"translation_m": matrix[:3, 3].tolist(), "quaternion_xyzw": [0.5, -0.5, 0.5, 0.5]},
    }
    path = tmp_path / "mount.json"
    path.write_text(json.dumps(contents[form]))
    said = [*stereo(), written.cloud(LIDAR, START_NS, records_of(to_lidar(points)), "velodyne")]
    settings = BagSettings(AskedTopics(truth=LIDAR), lidar_to_camera=path)
    (found,) = lidar_of(planned(tmp_path, said, settings), tmp_path / "out")
    assert np.array_equal(found, expected)
    matrix[2, 3] += 1.0
    path.write_text(json.dumps(matrix.tolist()))
    with pytest.raises(InputError, match="made of another bag, or by other topics, cameras, bits or transforms"):
        write_recording(plan_recording(tmp_path / "drive", settings), tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"translation": [0, 0, 0]}, "unknown key 'translation'; known: matrix, translation_m"),
        ({"translation_m": [0, 0, 0]}, "quaternion_xyzw is missing; expected 4 numbers"),
        ({"matrix": np.diag([1, 1, -1, 1]).tolist()}, "matrix is no turn with a shift"),
        ({"matrix": np.eye(3).tolist()}, "matrix is 9 values; expected 16 numbers"),
        ({"translation_m": [270, 0, 0], "quaternion_xyzw": [0, 0, 0, 1]}, "270 m apart; are these millimetres"),
        ({"translation_m": [0, 0, 0], "quaternion_xyzw": [1, 1, 1, 1]}, "quaternion of length 2; it must be 1"),
        ({"matrix": np.eye(4).tolist(), "camera": "left"}, "camera is 'left'; offered: raw, rectified"),
        ({}, "needs either matrix, or translation_m and quaternion_xyzw"),
    ],
)
def test_files_that_cannot_be_right_are_refused(content: Any, message: str, tmp_path: Path) -> None:
    write_json(tmp_path / "mount.json", content)
    with pytest.raises(InputError, match=rf"mount\.json: .*{message}"):
        read_mount(tmp_path / "mount.json")


def test_a_cloud_that_the_picture_shows_nothing_of_is_doubted(tmp_path: Path) -> None:
    """The lidar's frame, x forward and z up, given as the optical one: what is below the camera is behind it then."""
    points, _ = scene()
    below = points[(points[:, 2] > 1) & (points[:, 1] > 0)]
    body = np.column_stack([below[:, 2], -below[:, 0], -below[:, 1]])
    wrong = ("left_optical", "velodyne", (0, 0, 0), (0, 0, 0, 1))
    said = [*stereo(), written.transforms("/tf_static", START_NS, wrong)]
    said.append(written.cloud(LIDAR, START_NS, records_of(body), "velodyne"))
    with pytest.raises(InputError, match=rf"not one of the first cloud's {len(body)} points falls into the left pict"):
        planned(tmp_path, said)


def test_each_cloud_goes_with_its_nearest_picture(tmp_path: Path) -> None:
    """Pictures every 100 ms; clouds every 200 ms, so that half of theirs is 100: at 30, 230, 430 ms and at 2000 ms."""
    points, _ = scene()
    cloud = records_of(to_lidar(points))
    said = [*stereo(6), written.transforms("/tf_static", START_NS, *STATIC)]
    said += [written.cloud(LIDAR, START_NS + ms * 10**6, cloud, "velodyne") for ms in (430, 30, 230, 2000)]
    plan = planned(tmp_path, said)
    assert [(left - START_NS) // STEP_NS for left in plan.truth.values()] == [0, 2, 4]
    assert any(
        "3 of 6 pairs have a cloud within 100 ms, half of its interval; 30.0 ms apart" in note for note in plan.notes
    )


def test_one_point_a_pixel_the_nearest() -> None:
    """fx 10, centre (2, 1): a point at x = 0.24, z = 1 is at u = 4.4, in pixel 4; at 0.26, in pixel 5."""
    camera = Camera(0.1, 10.0, 10.0, 2.0, 1.0)
    points = np.array([(0.24, 0, 1), (0.72, 0, 3), (0.26, 0.1, 1), (0, 0, 0.5), (0, 0, 255.999), (np.inf, 0, 9)])
    found = draw_points(points, camera, (6, 3), near_m=0.5)
    assert found[1, 4] == 256 and found[2, 5] == 256 and (found > 0).sum() == 2  # 255.999 * 256 is 65536
    assert draw_points(points[:0], camera, (6, 3)).shape == (3, 6)


WIDE = (480, 300)


def lensed(raw: bool) -> tuple[list[Said], Any]:
    """A pair of turned cameras with lenses: their CameraInfo, and their pictures, raw or rectified before recording."""
    turns = [turn_x(0.02), turn_x(-0.01)]
    left = CameraModel(400.0, 402.0, 236.0, 152.0, (-0.2, 0.05, 0.001, -0.001), "radtan", WIDE)
    right = CameraModel(405.0, 401.0, 242.0, 148.0, (-0.22, 0.06, 0.0, 0.001), "radtan", WIDE)
    found = rectify(raw_pair_of(left, right, (turns[0], turns[1]), B))
    said = []
    parts = zip(("left", "right"), planes(WIDE, 12.0), (left, right), turns, (0, 1), strict=True)
    for side, picture, camera, turn, index in parts:
        r, p = (found.r1, found.p1) if index == 0 else (found.r2, found.p2)
        drawn = raw_picture(picture, 420.0, 240.0, 150.0, camera, turn) if raw else picture
        d = np.append(camera.coefficients, 0.0)
        info = written.info(f"/cam/{side}/camera_info", START_NS, WIDE, camera.matrix, d, np.array(r), np.array(p))
        said += [info, written.raw(f"/cam/{side}/image_raw", START_NS, drawn, "bgr8")]
    return said, found


@pytest.mark.parametrize(
    ("raw", "said", "led_to"),
    [(True, None, "raw"), (True, "rectified", "rectified"), (False, None, "rectified"), (False, "raw", "raw")],
)
def test_truth_lies_on_the_rectified_picture(raw: bool, said: str | None, led_to: str, tmp_path: Path) -> None:
    """A plane square to the rectified camera, 12 m away: a point on every 7th row and 5th column.

    A transform leads to the camera of the pictures in the bag, unless its file says to which.
    """
    messages, found = lensed(raw)
    p1 = np.array(found.p1)
    vs, us = (one.ravel() for one in np.mgrid[0 : WIDE[1] : 7, 0 : WIDE[0] : 5].astype(float))
    ideal = np.column_stack([(us - p1[0, 2]) / p1[0, 0], (vs - p1[1, 2]) / p1[1, 1], np.ones(us.size)]) * 12.0
    points = ideal @ np.array(found.r1) if led_to == "raw" else ideal  # what R takes to the rectified camera
    mount = tmp_path / "mount.json"
    write_json(mount, {"matrix": np.eye(4).tolist(), **({} if said is None else {"camera": said})})
    messages.append(written.cloud(LIDAR, START_NS, records_of(points), "velodyne"))
    plan = planned(tmp_path, messages, BagSettings(AskedTopics(truth=LIDAR), lidar_to_camera=mount))
    assert (plan.drawing is not None) == raw
    (stored,) = lidar_of(plan, tmp_path / "out")
    expected = np.zeros((WIDE[1], WIDE[0]), np.uint16)
    expected[0::7, 0::5] = 12 * 256
    assert np.array_equal(stored, expected)
    doubts = [note for note in plan.notes if f"taken as one to the {led_to} left camera" in note]
    assert len(doubts) == (said is None)
    degrees = math.degrees(math.acos((np.trace(np.array(found.r1)) - 1) / 2))
    assert not doubts or f"turned by {degrees:.2f} degrees" in doubts[0]


def turn_x(angle: float) -> Any:
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def test_commands_list_clouds_and_draw_them(tmp_path: Path) -> None:
    points, expected = scene()
    said = [*stereo(), written.transforms("/tf_static", START_NS, *STATIC)]
    said.append(written.cloud(LIDAR, START_NS, records_of(to_lidar(points)), "velodyne"))
    bag = written.write_bag(tmp_path / "drive", "mcap", said)
    dry = advmtl("preprocess", bag, "--dry-run")
    assert f"{LIDAR}  sensor_msgs/msg/PointCloud2  1 messages  {len(points)} points of x y z in velodyne" in dry.output
    assert f"--truth {LIDAR}" in dry.output and f"--truth {LIDAR}" in advmtl("inspect", bag).output
    near = advmtl("preprocess", bag, "--truth", "/velodyne_point", "--out", tmp_path / "out")
    assert near.exit_code == 2 and f"did you mean {LIDAR}?" in near.output
    idle = advmtl("preprocess", bag, "--lidar-to-camera", "mount.json", "--out", tmp_path / "out")
    assert idle.exit_code == 2 and "--lidar-to-camera: goes with --truth TOPIC of clouds" in idle.output
    done = advmtl("preprocess", bag, "--truth", LIDAR, "--out", tmp_path / "out", "--workers", 1, "--check")
    assert done.exit_code == 0 and "lidar" in done.output
    assert np.array_equal(read_grey_or_index(tmp_path / "out" / "lidar" / f"{name_of(START_NS)}.png"), expected)
