"""ROS bags: what they give is what a folder of the same pictures gives, byte for byte; and what is wrong is named."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from command_line import advmtl
from textured_planes import planes

pytest.importorskip("rosbags", reason="bags need the extra `bags`")
pytest.importorskip("mcap", reason="bags need the extra `bags`")

import written_bags as written
from raw_pairs import raw_pair_of, raw_picture
from written_bags import KINDS, START_NS, STEP_NS, Kind, Said

from preprocessing.ground import InputError, read_grey_or_index, read_image, write_json, write_png
from preprocessing.job import AskedTopics, BagSettings, PreprocessSettings, preprocess
from preprocessing.job.recording import plan_recording
from preprocessing.job.unpack import name_of, write_recording
from preprocessing.sets import CameraModel, describe, is_bag, read_calibration, rectify
from preprocessing.sets.bags import open_bag, scan

SIZE = (96, 60)
FX, CX, CY, B = 80.0, 47.0, 29.0, 0.2
LEFT, RIGHT = "/stereo/left/image_rect", "/stereo/right/image_rect"


def pictures(count: int = 3) -> list[tuple[Any, Any]]:
    return [planes(SIZE, 4.0 + index, seed=index + 1) for index in range(count)]


def messages(pairs: list[tuple[Any, Any]], encoding: str = "rgb8") -> list[Said]:
    found = written.rectified_infos(SIZE, FX, CX, CY, B)
    for index, (left, right) in enumerate(pairs):
        time = START_NS + index * STEP_NS
        found += [written.raw(LEFT, time, left, encoding, pad=5), written.raw(RIGHT, time, right, encoding)]
    return found


@pytest.fixture(scope="module", params=KINDS)
def bag(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind: Kind = request.param
    return written.write_bag(tmp_path_factory.mktemp("bag") / "drive", kind, messages(pictures()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("folder") / "rig"
    for index, pair in enumerate(pictures()):
        for side, picture in zip(("left", "right"), pair, strict=True):
            write_png(root / side / f"{name_of(START_NS + index * STEP_NS)}.png", picture)
    content = {"baseline_m": B, "fx_px": FX, "fy_px": FX, "cx_px": CX, "cy_px": CY, "doffs_px": 0.0}
    write_json(root / "calibration.json", {**content, "width_px": SIZE[0], "height_px": SIZE[1]})
    preprocess(root)
    return root


def test_depth_is_that_of_the_folder_byte_for_byte(bag: Path, folder: Path, tmp_path: Path) -> None:
    report = preprocess(bag, PreprocessSettings(out=tmp_path / "out"))
    assert report.root == tmp_path / "out" and report.done == 3
    names = sorted(path.name for path in (folder / "depth").glob("*.png"))
    assert names == [f"{START_NS + index * STEP_NS}.png" for index in range(3)]
    for name in names:
        for kind in ("depth", "disparity_census", "left"):
            found = read_image(tmp_path / "out" / kind / name) if kind == "left" else None
            if found is None:
                assert (tmp_path / "out" / kind / name).read_bytes() == (folder / kind / name).read_bytes()
            else:
                assert np.array_equal(found, read_image(folder / kind / name))
    camera = read_calibration(tmp_path / "out" / "calibration.json")
    assert camera.camera == read_calibration(folder / "calibration.json").camera and camera.size == SIZE
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    assert preprocess(bag, PreprocessSettings(out=tmp_path / "out")).reused == 3
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_a_single_file_of_a_bag_is_one_too(bag: Path) -> None:
    files = [bag] if bag.is_file() else [one for one in bag.iterdir() if one.suffix != ".yaml"]
    assert is_bag(bag) and is_bag(files[0]) and len(files) == 1
    plan = plan_recording(files[0], BagSettings())
    assert plan.pairs.left_ns.tolist() == [START_NS + index * STEP_NS for index in range(3)]


def file_of(path: Path) -> Path:
    return path if path.is_file() else next(one for one in path.iterdir() if one.suffix != ".yaml")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_cut_off_gives_what_it_holds_and_says_so(kind: Kind, tmp_path: Path) -> None:
    count = 90  # several chunks: rosbags closes one at a megabyte
    rng = np.random.default_rng(0)
    pair = tuple(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8) for _ in range(2))
    whole = file_of(written.write_bag(tmp_path / "drive", kind, messages([pair] * count)))
    cut = tmp_path / f"cut{whole.suffix}"
    content = whole.read_bytes()
    cut.write_bytes(content[: int(len(content) * 0.6)])
    plan = plan_recording(cut, BagSettings())
    assert 0.3 * count < len(plan.pairs.left_ns) <= 0.6 * count
    assert "ends or is damaged" in plan.notes[0] and str(cut) in plan.notes[0]
    assert write_recording(plan, tmp_path / "out") == []
    assert len(list((tmp_path / "out" / "right").iterdir())) == len(plan.pairs.left_ns)
    done = advmtl("preprocess", cut, "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 3 and f"skipped {cut.name}: " in done.output
    cut.write_bytes(content[:200])
    with pytest.raises(InputError, match=r"not one message in it; .*ends or is damaged"):
        plan_recording(cut, BagSettings())


def test_a_damaged_chunk_is_not_read_as_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pair = tuple(rng.integers(0, 256, (SIZE[1], SIZE[0], 3), dtype=np.uint8) for _ in range(2))
    path = written.with_checksums(file_of(written.write_bag(tmp_path / "drive", "mcap", messages([pair] * 100))))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4] = bytes(255 - value for value in content[middle : middle + 4])
    path.write_bytes(content)
    plan = plan_recording(path, BagSettings())
    assert 0 < len(plan.pairs.left_ns) < 100 and "damaged" in plan.notes[0]


def raw_of(rgb: Any, encoding: str) -> tuple[Any, Any]:
    """(what a camera would send, the picture that should come out) of an RGB picture with even sides."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if encoding in ("mono8", "8UC1"):
        return grey, grey
    if encoding in ("mono16", "16UC1"):
        wide = grey.astype(np.uint16) * 257
        return wide, wide
    if encoding in ("rgb8", "rgba8"):
        return (rgb if encoding == "rgb8" else np.dstack([rgb, np.full(grey.shape, 9, np.uint8)])), rgb
    if encoding in ("bgr8", "8UC3", "bgra8"):
        bgr = rgb[..., ::-1]
        return (bgr if encoding != "bgra8" else np.dstack([bgr, np.full(grey.shape, 9, np.uint8)])), rgb
    raise AssertionError(encoding)


EXACT = ["rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "8UC1", "8UC3", "16UC1"]


def written_pictures(said: Said, right: Said, tmp_path: Path) -> Any:
    path = written.write_bag(tmp_path / "drive", "mcap", [*written.rectified_infos(SIZE, FX, CX, CY, B), said, right])
    plan = plan_recording(path, BagSettings(AskedTopics(LEFT, RIGHT)))
    assert write_recording(plan, tmp_path / "out") == []
    return cv2.imread(str(tmp_path / "out" / "left" / f"{name_of(START_NS)}.png"), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize("pad", [0, 8])
@pytest.mark.parametrize("encoding", EXACT)
def test_encodings_without_loss(encoding: str, pad: int, tmp_path: Path) -> None:
    (rgb, other) = pictures(1)[0]
    rgb = np.ascontiguousarray(rgb * np.array([1.0, 0.7, 0.4])).astype(np.uint8)  # colours that tell their order
    sent, expected = raw_of(rgb, encoding)
    found = written_pictures(
        written.raw(LEFT, START_NS, sent, encoding, pad=pad), written.raw(RIGHT, START_NS, other, "rgb8"), tmp_path
    )
    if found.ndim == 3:
        found = found[..., ::-1]
    assert found.dtype == expected.dtype and np.array_equal(found, expected)


def mosaic(rgb: Any, order: str) -> Any:
    """A Bayer mosaic: the colour of (row, column) % 2 is order[2 row + column]."""
    found = np.zeros(rgb.shape[:2], np.uint8)
    for index, colour in enumerate(order):
        row, column = divmod(index, 2)
        found[row::2, column::2] = rgb[row::2, column::2, "rgb".index(colour)]
    return found


@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_patterns_have_the_right_colours(order: str, tmp_path: Path) -> None:
    flat = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    flat[:, : SIZE[0] // 2] = (200, 90, 30)
    flat[:, SIZE[0] // 2 :] = (20, 120, 220)
    said = written.raw(LEFT, START_NS, mosaic(flat, order), f"bayer_{order}8", pad=3)
    found = written_pictures(said, written.raw(RIGHT, START_NS, flat, "rgb8"), tmp_path)[..., ::-1]
    # Constant areas come back as they were; at the seam colours mix.
    for half in (np.s_[4:-4, 4 : SIZE[0] // 2 - 4], np.s_[4:-4, SIZE[0] // 2 + 4 : -4]):
        assert np.array_equal(found[half], flat[half])


def yuv422(rgb: Any, order: str) -> Any:
    """Two bytes a pixel: uyvy or yuyv, BT.601 with 16..235, as OpenCV reads it."""
    yuv = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    height, width = rgb.shape[:2]
    y = yuv[:height]
    u = yuv[height : height + height // 4].reshape(height // 2, width // 2).repeat(2, axis=0)
    v = yuv[height + height // 4 :].reshape(height // 2, width // 2).repeat(2, axis=0)
    found = np.zeros((height, width, 2), np.uint8)
    luma, chroma = (1, 0) if order == "uyvy" else (0, 1)
    found[..., luma] = y
    found[:, 0::2, chroma], found[:, 1::2, chroma] = u, v
    return found


@pytest.mark.parametrize(
    ("encoding", "order"), [("yuv422", "uyvy"), ("uyvy", "uyvy"), ("yuv422_yuy2", "yuyv"), ("yuyv", "yuyv")]
)
def test_yuv422_has_the_right_colours(encoding: str, order: str, tmp_path: Path) -> None:
    flat = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    flat[:] = (200, 90, 30)
    said = written.raw(LEFT, START_NS, yuv422(flat, order), encoding, pad=6)
    found = written_pictures(said, written.raw(RIGHT, START_NS, flat, "rgb8"), tmp_path)[..., ::-1]
    assert np.abs(found.astype(int) - flat).max() <= 3


def test_nv12_has_the_right_colours(tmp_path: Path) -> None:
    flat = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    flat[:] = (200, 90, 30)
    i420 = cv2.cvtColor(flat, cv2.COLOR_RGB2YUV_I420)
    height, width = SIZE[1], SIZE[0]
    u, v = i420[height : height + height // 4].ravel(), i420[height + height // 4 :].ravel()
    planes_ = np.vstack([i420[:height], np.column_stack([u, v]).reshape(height // 2, width)])
    said = written.raw(LEFT, START_NS, planes_, "nv12", pad=4)
    said.fields["height"] = height
    found = written_pictures(said, written.raw(RIGHT, START_NS, flat, "rgb8"), tmp_path)[..., ::-1]
    assert found.shape == flat.shape and np.abs(found.astype(int) - flat).max() <= 3


def test_big_endian_pictures_are_turned_round(tmp_path: Path) -> None:
    wide = (np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]) * 7).astype(np.uint16)
    said = written.raw(LEFT, START_NS, wide.astype(">u2"), "mono16")
    said.fields["is_bigendian"] = 1
    assert np.array_equal(written_pictures(said, written.raw(RIGHT, START_NS, wide, "mono16"), tmp_path), wide)


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_compressed_pictures_are_kept_as_they_are(ending: str, tmp_path: Path) -> None:
    (left, right) = pictures(1)[0]
    topics = [f"/stereo/{side}/image_rect_color/compressed" for side in ("left", "right")]
    said = [written.compressed(topic, START_NS, one, ending) for topic, one in zip(topics, (left, right), strict=True)]
    path = written.write_bag(tmp_path / "drive", "ros1", [*written.rectified_infos(SIZE, FX, CX, CY, B), *said])
    write_recording(plan_recording(path, BagSettings()), tmp_path / "out")
    found = tmp_path / "out" / "left" / f"{name_of(START_NS)}{ending}"
    assert found.read_bytes() == said[0].fields["data"].tobytes()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoding": "32FC3"}, f"{LEFT}: its pictures are '32FC3'; read are rgb8"),
        ({"step": 20}, f"{LEFT}: a picture of 96x60 rgb8 has rows of 20 bytes"),
        ({"height": 200}, f"{LEFT}: a picture of 96x200 rgb8 has rows of 288 bytes and 17280 bytes in all"),
    ],
)
def test_pictures_that_cannot_be_are_named(change: dict[str, Any], named: str, tmp_path: Path) -> None:
    said = messages(pictures(1))
    said[2] = written.raw(LEFT, START_NS, pictures(1)[0][0], "rgb8")
    said[2].fields.update(change)
    path = written.write_bag(tmp_path / "drive", "mcap", said)
    with pytest.raises(InputError, match=named):
        plan_recording(path, BagSettings(AskedTopics(LEFT, RIGHT)))


def test_pictures_are_paired_by_their_stamps(tmp_path: Path) -> None:
    """Left every 100 ms; right 3 ms later, one 40 ms late, one missing, one too many."""
    pairs = pictures(5)
    said = written.rectified_infos(SIZE, FX, CX, CY, B)
    for index, (left, _) in enumerate(pairs):
        said.append(written.raw(LEFT, START_NS + index * STEP_NS, left, "rgb8"))
    late = {0: 3, 1: 3, 2: 40, 4: 3}
    for index, milliseconds in reversed(late.items()):  # not in order
        said.append(written.raw(RIGHT, START_NS + index * STEP_NS + milliseconds * 10**6, pairs[index][1], "rgb8"))
    said.append(written.raw(RIGHT, START_NS + 10 * STEP_NS, pairs[0][1], "rgb8"))
    path = written.write_bag(tmp_path / "drive", "sqlite", said)
    plan = plan_recording(path, BagSettings())
    assert ((plan.pairs.left_ns - START_NS) // STEP_NS).tolist() == [0, 1, 2, 4]  # 40 ms: within half of 100
    assert [line.split(";")[0] for line in plan.pairs.alone] == [
        "left 1700000000.423456789 has no right picture",
        "right 1700000001.123456789 has no left picture",
    ]
    assert "the nearest is 103.0 ms away" not in plan.pairs.alone[1] and "60.0 ms" in plan.pairs.alone[0]
    assert any("3.0 ms apart" in note for note in plan.notes)
    write_recording(plan, tmp_path / "out")
    name = name_of(START_NS + 4 * STEP_NS)
    assert np.array_equal(read_image(tmp_path / "out" / "right" / f"{name}.png"), pairs[4][1])
    narrow = plan_recording(path, BagSettings(pair_tolerance_s=0.01))
    assert ((narrow.pairs.left_ns - START_NS) // STEP_NS).tolist() == [0, 1, 4]
    with pytest.raises(InputError, match=r"no two stamps within 0\.001 s; the nearest are 0\.003 s apart"):
        plan_recording(path, BagSettings(pair_tolerance_s=0.001))


def test_headers_without_stamps_are_paired_by_recording(tmp_path: Path) -> None:
    said = messages(pictures(1))
    plain = [Said(one.topic, one.type, 0, one.fields) for one in said]
    path = written.write_bag(tmp_path / "drive", "mcap", plain)
    plan = plan_recording(path, BagSettings())
    assert plan.pairs.by_recording and "no stamps" in plan.notes[0] and plan.pairs.left_ns.tolist() == [7_000_000]


def test_a_depth_topic_becomes_the_truth(tmp_path: Path) -> None:
    said = messages(pictures(2))
    metres = np.full((SIZE[1], SIZE[0]), 4.5, np.float32)
    metres[0, :4] = [np.nan, np.inf, 0, 300]
    said.append(written.raw("/depth", START_NS + 10**6, metres, "32FC1"))
    said.append(written.raw("/depth_mm", START_NS + STEP_NS, np.full((SIZE[1], SIZE[0]), 4500, np.uint16), "16UC1"))
    path = written.write_bag(tmp_path / "drive", "mcap", said)
    for topic, index in (("/depth", 0), ("/depth_mm", 1)):
        out = tmp_path / topic[1:]
        plan = plan_recording(path, BagSettings(AskedTopics(truth=topic)))
        write_recording(plan, out)
        (found,) = (out / "lidar").iterdir()
        assert found.stem == name_of(START_NS + index * STEP_NS)
        stored = read_grey_or_index(found)
        assert stored[5, 5] == 4.5 * 256 and any(f"{topic}: 1 of 2 pairs" in note for note in plan.notes)
        assert stored[0, :4].tolist() == ([0, 0, 0, 0] if index == 0 else [1152] * 4)
    with pytest.raises(InputError, match="made of another bag, or by other topics"):
        write_recording(plan_recording(path, BagSettings(AskedTopics(truth="/depth"))), tmp_path / "depth_mm")


def test_topics_are_guessed_and_wrong_ones_named(tmp_path: Path) -> None:
    (left, right) = pictures(1)[0]
    said = written.rectified_infos(SIZE, FX, CX, CY, B)
    for kind in ("image_raw", "image_rect", "image_rect_color"):
        for side, picture in (("left", left), ("right", right)):
            said.append(written.raw(f"/stereo/{side}/{kind}", START_NS, picture, "rgb8"))
            said.append(written.compressed(f"/stereo/{side}/{kind}/compressed", START_NS, picture, ".jpg"))
    said.append(written.raw("/stereo/left/disparity", START_NS, left, "rgb8"))
    said.append(written.raw("/stereo/right/disparity", START_NS, left, "rgb8"))
    path = written.write_bag(tmp_path / "one", "mcap", said)
    chosen = plan_recording(path, BagSettings()).chosen
    assert "image_rect" in chosen.left and "compressed" not in chosen.left
    assert chosen.right == chosen.left.replace("left", "right")
    assert (chosen.left_info, chosen.right_info) == ("/stereo/left/camera_info", "/stereo/right/camera_info")
    half = plan_recording(path, BagSettings(AskedTopics(left="/stereo/left/image_raw"))).chosen
    assert half.right == "/stereo/right/image_raw"
    for asked, message in (
        (AskedTopics(left="/stereo/left/image_rek"), rf"image_rek \(--left\); did you mean {LEFT}\?"),
        (AskedTopics(left="/stereo/left/camera_info"), "--left /stereo/left/camera_info is a sensor_msgs/msg/Camera"),
        (AskedTopics(left=LEFT, right=LEFT), "is both --left and --right"),
        (AskedTopics(truth="/lidar"), r"no topic /lidar \(--truth\)"),
    ):
        with pytest.raises(InputError, match=message):
            plan_recording(path, BagSettings(asked))


def test_several_cameras_are_not_chosen_between(tmp_path: Path) -> None:
    (left, right) = pictures(1)[0]
    said = [
        written.raw(f"/{place}_{side}/image_rect", START_NS, picture, "rgb8")
        for place in ("front", "rear")
        for side, picture in (("left", left), ("right", right))
    ]
    path = written.write_bag(tmp_path / "two", "mcap", said)
    with pytest.raises(InputError, match="several pairs: /front_left/image_rect and /front_right/image_rect, /rear"):
        plan_recording(path, BagSettings())
    with pytest.raises(InputError, match=r"no CameraInfo goes with the left topic.*--left-info.*--calibration"):
        plan_recording(path, BagSettings(AskedTopics(left="/rear_left/image_rect")))
    file = tmp_path / "calibration.json"
    write_json(file, {"baseline_m": B, "fx_px": FX})
    plan = plan_recording(path, BagSettings(AskedTopics(left="/rear_left/image_rect"), calibration=file))
    assert plan.camera.baseline_m == B


def test_a_camera_that_was_never_calibrated_is_named(tmp_path: Path) -> None:
    said = messages(pictures(1))
    for one in said[:2]:
        one.fields["p"] = np.zeros(12)
    path = written.write_bag(tmp_path / "drive", "mcap", said)
    with pytest.raises(InputError, match=r"/stereo/left/camera_info holds no projection.*--calibration"):
        plan_recording(path, BagSettings())


def test_swapped_topics_are_refused_by_the_baseline(tmp_path: Path) -> None:
    path = written.write_bag(tmp_path / "drive", "mcap", messages(pictures(1)))
    with pytest.raises(InputError, match=r"baseline -0\.2 m.*swapped"):
        plan_recording(path, BagSettings(AskedTopics(left=RIGHT, right=LEFT)))


def raw_messages(size: tuple[int, int], kind: str = "image_raw") -> tuple[list[Said], Any]:
    """What a driver records: raw pictures, and K, D, R, P of a calibration. The pictures; their rectification."""
    turns = [cv2.Rodrigues(np.array(turn))[0] for turn in ([0.01, -0.01, 0.02], [-0.01, 0.005, -0.01])]
    left = CameraModel(400.0, 402.0, 236.0, 152.0, (-0.2, 0.05, 0.001, -0.001), "radtan", size)
    right = CameraModel(405.0, 401.0, 242.0, 148.0, (-0.22, 0.06, 0.0, 0.001), "radtan", size)
    pair = raw_pair_of(left, right, (turns[0], turns[1]), B)
    found = rectify(pair)
    said = []
    parts = zip(("left", "right"), planes(size, 12.0), (left, right), turns, (0, 1), strict=True)
    for side, picture, camera, turn, index in parts:
        r, p = (found.r1, found.p1) if index == 0 else (found.r2, found.p2)
        drawn = raw_picture(picture, 420.0, 240.0, 150.0, camera, turn)
        d = np.append(camera.coefficients, 0.0)
        said.append(
            written.info(f"/cam/{side}/camera_info", START_NS, size, camera.matrix, d, np.array(r), np.array(p))
        )
        said.append(written.raw(f"/cam/{side}/{kind}", START_NS, drawn, "bgr8"))
    return said, found


@pytest.mark.parametrize("kind", ["mcap", "ros1"])
def test_raw_topics_are_rectified_by_their_camera_info(kind: Kind, tmp_path: Path) -> None:
    said, found = raw_messages((480, 300))
    path = written.write_bag(tmp_path / "drive", kind, said)
    report = preprocess(path, PreprocessSettings(out=tmp_path / "out"))
    assert any("the pictures are raw: rows off by" in note for note in report.notes)
    content = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert content["fx_px"] == pytest.approx(found.p1[0][0]) and content["baseline_m"] == pytest.approx(B)
    assert np.allclose(content["rectification"]["P2"], found.p2)
    never = plan_recording(path, BagSettings(), rectify="never")
    assert never.drawing is None


def test_the_pictures_tell_what_a_topics_name_does_not(tmp_path: Path) -> None:
    """kitti2bag calls its rectified pictures image_raw; and some drivers call raw ones image_rect."""
    raw, found = raw_messages((480, 300), "image_rect")
    path = written.write_bag(tmp_path / "rect", "mcap", raw)
    assert plan_recording(path, BagSettings()).drawing is not None
    rectified = planes((480, 300), 12.0)
    drawn = [
        written.raw(f"/cam/{side}/image_raw", START_NS, picture, "rgb8")
        for side, picture in zip(("left", "right"), rectified, strict=True)
    ]
    said = [raw[0], drawn[0], raw[2], drawn[1]]
    plan = plan_recording(written.write_bag(tmp_path / "raw", "mcap", said), BagSettings())
    assert plan.drawing is None and plan.camera.fx_px == pytest.approx(found.p1[0][0])


def test_nothing_of_the_users_is_overwritten(bag: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "full" / "notes.json", {})
    with pytest.raises(InputError, match="is not empty, and was not made of a bag"):
        preprocess(bag, PreprocessSettings(out=tmp_path / "full"))
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        preprocess(bag, PreprocessSettings(out=tmp_path / "file"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x28\xb5\x2f\xfd1234", r"is compressed as a whole; unpack it first: zstd -d drive\.mcap"),
        (b"", "is empty"),
        (b"hello", "is no bag; MCAP, ROS 2's SQLite and ROS 1's"),
    ],
)
def test_what_is_no_bag_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "drive.mcap").write_bytes(content)
    with pytest.raises(InputError, match=rf"drive\.mcap: {said}"):
        preprocess(tmp_path / "drive.mcap")
    with pytest.raises(InputError, match=r"drive\.bag: no such bag"):
        preprocess(tmp_path / "drive.bag")


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, bag: Path) -> None:
    monkeypatch.setattr("preprocessing.sets.bags.bag.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs rosbags and mcap: pip install 'advmtl\[bags\]'"):
        open_bag(bag)


def test_files_of_a_split_bag_are_read_in_order(tmp_path: Path) -> None:
    pairs, folder = pictures(3), tmp_path / "drive"
    folder.mkdir()
    for index, name in enumerate(("drive_2", "drive_9", "drive_10")):
        said = messages([pairs[index]])
        moved = [Said(one.topic, one.type, one.stamp_ns + index * STEP_NS, one.fields) for one in said]
        shutil.copy(file_of(written.write_bag(tmp_path / name, "mcap", moved)), folder / f"{name}.mcap")
    bag = open_bag(folder)
    assert [path.stem for path in bag.files] == ["drive_2", "drive_9", "drive_10"]
    assert len(plan_recording(folder, BagSettings()).pairs.left_ns) == 3
    assert scan(bag)[LEFT].count == 3


def test_commands_list_the_topics(bag: Path, tmp_path: Path) -> None:
    dry = advmtl("preprocess", bag, "--dry-run", "--out", tmp_path / "out")
    assert dry.exit_code == 0 and not (tmp_path / "out").exists()
    assert f"left       {LEFT}  sensor_msgs/msg/Image  3 messages  96x60 rgb8  10.0 /s" in dry.output
    wrong = advmtl("preprocess", bag, "--left", "/stereo/left/image_rekt", "--out", tmp_path / "out")
    assert wrong.exit_code == 2 and f"did you mean {LEFT}?" in wrong.output
    done = advmtl("preprocess", bag, "--left", LEFT, "--right", RIGHT, "--out", tmp_path / "out", "--workers", 1)
    assert done.exit_code == 0 and "3 frames with depth" in done.output


def test_pictures_of_12_bits_are_as_bright_as_of_8(tmp_path: Path) -> None:
    """A camera's 12 bits lie in the lower ones of 16: rectified or of colours, the upper 8 of the 12 are written."""
    said, _ = raw_messages((480, 300))
    grey = []
    for one in said:
        if "encoding" in one.fields:
            picture = cv2.cvtColor(one.fields["data"].reshape(300, 480, 3), cv2.COLOR_BGR2GRAY)
            one = written.raw(one.topic, one.stamp_ns, picture.astype(np.uint16) * 16, "mono16")
        grey.append(one)
    eight = preprocess(written.write_bag(tmp_path / "eight", "mcap", said))
    path = written.write_bag(tmp_path / "twelve", "mcap", grey)
    twelve = preprocess(path)
    assert any("use 12 of 16 bits" in note for note in twelve.notes)
    left = [read_image(report.root / "left" / f"{START_NS}.png").astype(int) for report in (eight, twelve)]
    assert np.abs(left[0] - left[1]).max() <= 1
    preprocess(path, PreprocessSettings(out=tmp_path / "full", bits=16))
    assert (
        read_image(tmp_path / "full" / "left" / f"{START_NS}.png").max() == 255 * 16 // 256 + 1
    )  # the cubic overshoots
    colours = [(left.astype(np.uint16) * 16, right.astype(np.uint16) * 16) for left, right in pictures(1)]
    path = written.write_bag(tmp_path / "colours", "mcap", messages(colours, "rgb16"))
    write_recording(plan_recording(path, BagSettings()), tmp_path / "colours_out")
    assert np.array_equal(read_image(tmp_path / "colours_out" / "left" / f"{START_NS}.png"), pictures(1)[0][0])


def test_a_right_camera_calibrated_alone_is_said(tmp_path: Path) -> None:
    said = written.rectified_infos(SIZE, FX, CX, CY, 0.0) + messages(pictures(1))[2:]
    path = written.write_bag(tmp_path / "alone", "mcap", said)
    with pytest.raises(InputError, match=r"0 where the camera was calibrated alone"):
        plan_recording(path, BagSettings())


def test_a_bag_given_as_a_set_is_called_one(tmp_path: Path) -> None:
    path = written.write_bag(tmp_path / "drive", "mcap", messages(pictures(1)))
    assert path.is_dir() and "is a bag; advmtl preprocess" in describe(path, as_source=True)
    measured = advmtl("quality", path)
    assert measured.exit_code == 2 and "is a bag; advmtl preprocess" in measured.output
