"""ROS bags in and out of a stream: stamps, frames, cameras and pixels; read back with checksums and by the file's own
schemas, as Foxglove does.
"""

import json
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import advmtl
from standins import make_frame, make_metadata, make_session, make_source

pytest.importorskip("rosbags")
pytest.importorskip("mcap")

import written_bags as written
from mcap.reader import make_reader
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from written_bags import KINDS, Kind, Said

import export.__main__ as command
from export.session import Session, open_session
from export.sources import Loaded, Notice, Skipped, open_source
from export.stream import Outputs, Reading, infer
from preprocessing.ground import InputError, Lens

TOPIC, INFO = "/camera/image_raw", "/camera/camera_info"
SIZE = (200, 120)
STAMPS = [1_700_000_000_123_456_789 + i * 66_666_667 for i in range(3)]
K = np.array([[150, 0, 98.5], [0, 152, 61.5], [0, 0, 1.0]])
P = np.array([[140, 0, 97.5, 0], [0, 140, 60.5, 0], [0, 0, 1.0, 0]])
BENT = np.array([-0.3, 0.1, 0, 0, 0])


def picture(number: int, stamp: int | None = None, topic: str = TOPIC) -> Said:
    """A bgr8 picture with padded rows, in a frame of its own number."""
    bgr = np.ascontiguousarray(make_frame(number, SIZE)[..., ::-1])
    said = written.raw(topic, STAMPS[number] if stamp is None else stamp, bgr, "bgr8", pad=8)
    return replace(said, frame_id=f"cam{number}")


def camera(stamp: int = STAMPS[0], k: np.ndarray = K, topic: str = INFO) -> Said:
    return written.info(topic, stamp, SIZE, k, BENT, np.eye(3), P)


def pictures() -> list[Said]:
    return [camera(), *(picture(i) for i in range(3))]


def file_in(bag: Path) -> Path:
    return bag if bag.is_file() else next(one for one in bag.iterdir() if one.suffix in (".mcap", ".db3"))


@dataclass
class Read:
    """What a bag holds: topic -> messages; checksums were compared, types are those of the file's own schemas."""

    messages: dict[str, list[Any]]
    times: dict[str, list[int]]
    types: dict[str, str]
    model: dict[str, str]


def read(path: Path) -> Read:
    found = Read({}, {}, {}, {})
    store = get_typestore(Stores.EMPTY)
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        assert reader.get_header().profile == "ros2"
        for schema, channel, message in reader.iter_messages():
            assert schema is not None and (schema.encoding, channel.message_encoding) == ("ros2msg", "cdr")
            if schema.name not in store.types:
                store.register(get_types_from_msg(schema.data.decode(), schema.name))
            found.types[channel.topic] = schema.name
            found.messages.setdefault(channel.topic, []).append(store.deserialize_cdr(message.data, schema.name))
            found.times.setdefault(channel.topic, []).append(message.log_time)
        (found.model,) = [one.metadata for one in reader.iter_metadata()]
    return found


def stamps(messages: list[Any]) -> list[int]:
    return [one.header.stamp.sec * 10**9 + one.header.stamp.nanosec for one in messages]


def loaded(source: Any) -> list[Loaded]:
    return [one for one in source.frames() if isinstance(one, Loaded)]


def said_of(source: Any) -> str:
    return "\n".join(one.text for one in source.frames() if isinstance(one, Notice))


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_becomes_a_bag_with_the_same_stamps(kind: Kind, model_path: Path, tmp_path: Path) -> None:
    bag, out = written.write_bag(tmp_path / "drive", kind, pictures()), tmp_path / "result.mcap"
    line = [str(model_path), str(bag), "--topic", TOPIC, "--out", str(out), "--threads", "1", "--provider", "cpu"]
    if kind == "mcap":
        assert command.main(line) == 0
    else:
        assert advmtl("infer", *line).exit_code == 0
    found, session = read(out), open_session(model_path, "cpu", 1)
    assert found.types == {
        "/advmtl/classes": "sensor_msgs/msg/Image",
        "/advmtl/depth": "sensor_msgs/msg/Image",
        "/advmtl/label_info": "vision_msgs/msg/LabelInfo",
        "/advmtl/camera_info": "sensor_msgs/msg/CameraInfo",
        "/advmtl/overlay/compressed": "sensor_msgs/msg/CompressedImage",
        "/advmtl/records": "std_msgs/msg/String",
    }
    for topic, messages in found.messages.items():
        assert found.times[topic] == STAMPS
        if topic != "/advmtl/records":
            assert stamps(messages) == STAMPS
            assert [one.header.frame_id for one in messages] == ["cam0", "cam1", "cam2"]
    assert [json.loads(one.data)["timestamp_ns"] for one in found.messages["/advmtl/records"]] == STAMPS
    for number, (classes, depth) in enumerate(
        zip(found.messages["/advmtl/classes"], found.messages["/advmtl/depth"], strict=True)
    ):
        expected = session.run(make_frame(number, SIZE))
        assert (classes.encoding, classes.step, depth.encoding, depth.step) == ("mono8", 160, "32FC1", 640)
        np.testing.assert_array_equal(classes.data.reshape(96, 160), expected.classes)
        np.testing.assert_array_equal(depth.data.view(np.float32).reshape(96, 160), expected.depth_m)
    info = found.messages["/advmtl/camera_info"][2]
    np.testing.assert_allclose(info.k, [120, 0, 78.7, 0, 121.6, 49.1, 0, 0, 1])  # by 0.8; 0.8 * 99 - 0.5 = 78.7
    assert list(info.d) == list(BENT) and (info.width, info.height) == (160, 96)
    named = [(one.class_id, one.class_name) for one in found.messages["/advmtl/label_info"][0].class_map]
    assert named == [(0, "road"), (1, "building"), (2, "sky"), (3, "car"), (4, "person")]
    assert json.loads(found.model["colours"])[4] == [220, 20, 60]
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_compressed_pictures(ending: str, tmp_path: Path) -> None:
    topic = "/camera/image_raw/compressed"
    said = [camera(), *(written.compressed(topic, STAMPS[i], make_frame(i, SIZE), ending) for i in range(3))]
    source = open_source(written.write_bag(tmp_path / "drive", "mcap", said))
    frames = loaded(source)
    assert [one.timestamp_ns for one in frames] == STAMPS and source.total == 3
    assert source.fps == pytest.approx(15.0, abs=1e-3)
    for number, one in enumerate(frames):
        off = np.abs(one.image.astype(int) - make_frame(number, SIZE))
        assert off.mean() <= (3 if ending == ".jpg" else 0)
        assert one.lens == Lens(150, 152, 98.5, 61.5, SIZE)


def test_several_topics_are_listed_and_one_is_chosen(model_path: Path, tmp_path: Path) -> None:
    said = [*pictures(), picture(1, topic="/rear/image_raw"), picture(2, topic="/camera/depth/image_raw")]
    bag = file_in(written.write_bag(tmp_path / "drive", "mcap", said))
    for source, options, message in (
        (bag, [], "2 topics of pictures; choose with --topic: /camera/image_raw, /rear/image_raw"),
        (bag, ["--topic", "/rear/image_rw"], "no topic /rear/image_rw; did you mean /rear/image_raw? "),
        (bag, ["--topic", INFO], f"--topic {INFO} is a sensor_msgs/msg/CameraInfo; pictures are in: "),
        (f"bag:{bag}:{TOPIC}", ["--topic", "/rear/image_raw"], "names the topic /camera/image_raw, --topic /rear"),
        (tmp_path, ["--topic", TOPIC], "is for ROS bags"),
        (f"bag:{tmp_path}/none.mcap:{TOPIC}", [], "none.mcap: no such bag"),
    ):
        result = advmtl("infer", model_path, source, *options)
        assert result.exit_code == 2
        (line,) = result.stderr.strip().splitlines()
        assert line.startswith("error: ") and message in line
    assert [one.frame_id for one in loaded(open_source(f"bag:{bag}:/rear/image_raw"))] == ["cam1"]
    assert [one.frame_id for one in loaded(open_source(bag, topic="rear/image_raw"))] == ["cam1"]
    assert "the only topic" not in said_of(open_source(bag, topic=TOPIC))


def test_the_only_topic_is_chosen_and_said(tmp_path: Path) -> None:
    bag = written.write_bag(tmp_path / "drive", "sqlite", pictures())
    source = open_source(f"bag:{bag}")
    assert f"{TOPIC}, the only topic of pictures" in said_of(source)
    assert source.description == f"{bag} {TOPIC}"


def test_a_bag_without_pictures_is_one_line(tmp_path: Path) -> None:
    bag = written.write_bag(tmp_path / "drive", "mcap", [camera()])
    with pytest.raises(InputError, match=rf"no topic of pictures .*; it has {INFO}"):
        open_source(bag)


def test_headers_without_stamps_take_the_time_of_recording(tmp_path: Path) -> None:
    said = [picture(i, stamp=0) for i in range(2)]
    bag = written.write_bag(tmp_path / "drive", "mcap", said, late_ns=1_234_567_891)
    assert [one.timestamp_ns for one in loaded(open_source(bag))] == [1_234_567_891] * 2
    assert "headers without a stamp: the time of recording is taken" in said_of(open_source(bag))


def test_pictures_recorded_out_of_order_come_by_their_stamps(tmp_path: Path) -> None:
    order = [2, 0, 1, 5, 3, 4]
    said = [picture(i % 3, stamp=STAMPS[0] + i) for i in order]
    frames = loaded(open_source(written.write_bag(tmp_path / "drive", "mcap", said)))
    assert [one.timestamp_ns for one in frames] == [STAMPS[0] + i for i in range(6)]
    late = [*(picture(0, stamp=STAMPS[0] + i) for i in range(1, 9)), picture(1, stamp=STAMPS[0])]
    source = open_source(written.write_bag(tmp_path / "late", "mcap", late))
    assert sorted(one.timestamp_ns or 0 for one in loaded(source)) == [STAMPS[0] + i for i in range(9)]
    assert "recorded long after newer ones" in said_of(source)


def test_a_camera_goes_with_the_picture_of_its_stamp(tmp_path: Path) -> None:
    """It zooms with the second picture, and its message comes after that."""
    longer = np.diag([2.0, 2.0, 1.0]) @ K
    said = [picture(0), camera(), picture(1), camera(STAMPS[1], longer), picture(2)]
    frames = loaded(open_source(written.write_bag(tmp_path / "drive", "mcap", said)))
    assert [one.lens and one.lens.fx_px for one in frames] == [150, 300, 300]
    assert frames[0].distortion is not None and frames[0].distortion.coefficients == tuple(BENT)


def test_rectified_pictures_have_the_lens_of_p(tmp_path: Path) -> None:
    said = [camera(), picture(0, topic="/camera/image_rect_color")]
    (frame,) = loaded(open_source(written.write_bag(tmp_path / "drive", "mcap", said)))
    assert frame.lens == Lens(140, 140, 97.5, 60.5, SIZE) and frame.distortion is None


def test_another_camera_s_lens_is_not_taken(tmp_path: Path) -> None:
    said = [camera(topic="/rear/camera_info"), picture(0)]
    (frame,) = loaded(open_source(written.write_bag(tmp_path / "drive", "mcap", said)))
    assert frame.lens is None


def of_lens(fit: str = "pad") -> Session:
    metadata = replace(make_metadata(), canonical_fx_px=120.0, trained_size=(160, 96), fit=fit)  # type: ignore[arg-type]
    return replace(make_session(), metadata=metadata)


def test_a_lens_that_is_told_goes_before_the_bag_s(tmp_path: Path) -> None:
    bag = written.write_bag(tmp_path / "drive", "mcap", pictures())
    for reading, fx in ((Reading(), 150.0), (Reading(own_lens=False), 200.0)):
        session = replace(of_lens(), lens=Lens.of_fx(200.0, SIZE))
        infer(session, bag, Outputs(log=tmp_path / "log.jsonl"), reading)
        records = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        assert [one["lens"]["fx_px"] for one in records] == [fx] * 3


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        # 200x120 to 160x100 by 0.8 is 160x96: rows 2 to 97 show it; cy 0.8 * 62 - 0.5 = 49.1 of the picture itself.
        ("pad", (160, 100), (160, 96, 120, 121.6, 78.7, 49.1)),
        # to 160x80: resized to 160x96, cut to its middle 80 rows, from row 8 on.
        ("crop", (160, 80), (160, 80, 120, 121.6, 78.7, 41.1)),
        # to 80x96, stretched: fx by 0.4, fy by 0.8.
        ("stretch", (80, 96), (80, 96, 60, 121.6, 39.1, 49.1)),
    ],
)
def test_the_camera_is_that_of_the_maps(
    fit: str, size: tuple[int, int], expected: tuple[float, ...], tmp_path: Path
) -> None:
    bag, out = written.write_bag(tmp_path / "drive", "mcap", pictures()), tmp_path / "result.mcap"
    session = make_session(size)
    metadata = replace(session.metadata, canonical_fx_px=120.0, trained_size=size, fit=fit)  # type: ignore[arg-type]
    infer(replace(session, metadata=metadata), bag, out)
    found = read(out).messages
    info, depth = found["/advmtl/camera_info"][1], found["/advmtl/depth"][1]
    assert (info.width, info.height) == (depth.width, depth.height)
    np.testing.assert_allclose((info.width, info.height, *info.k[[0, 4, 2, 5]]), expected)
    np.testing.assert_allclose(info.p, [*info.k[:3], 0, *info.k[3:6], 0, *info.k[6:], 0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_bag_cut_off_gives_what_is_whole_and_exit_code_3(kind: Kind, model_path: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    said = [written.raw(TOPIC, STAMPS[0] + i, noise, "rgb8") for i in range(40)]
    whole = file_in(written.write_bag(tmp_path / "drive", kind, said))
    cut, out = tmp_path / f"cut{whole.suffix}", tmp_path / "result.mcap"
    cut.write_bytes(whole.read_bytes()[: int(0.7 * whole.stat().st_size)])
    done = advmtl("infer", model_path, cut, "--out", out, "--threads", 1)
    assert done.exit_code == 3 and "ends or is damaged" in done.stdout, done.output
    times = read(out).times["/advmtl/depth"]
    assert 10 < len(times) < 30 and times == [STAMPS[0] + i for i in range(len(times))]


def test_what_follows_a_damaged_chunk_is_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    said = [written.raw(TOPIC, STAMPS[0] + i, noise, "rgb8") for i in range(40)]
    path = written.with_checksums(file_in(written.write_bag(tmp_path / "drive", "mcap", said)))
    for place, gone in ((0.5, range(15, 24)), (0.02, range(4))):  # the first chunk names the topic, too
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 255
        (tmp_path / "damaged.mcap").write_bytes(content)
        frames = list(open_source(tmp_path / "damaged.mcap").frames())
        left = {one.timestamp_ns - STAMPS[0] for one in frames if isinstance(one, Loaded) and one.timestamp_ns}
        (lost,) = [one for one in frames if isinstance(one, Skipped)]
        assert "is damaged before byte" in lost.reason
        missing = set(range(40)) - left
        assert len(missing) < 6 and missing & set(gone) and 39 in left


def test_a_garbled_picture_is_skipped(tmp_path: Path) -> None:
    short = replace(picture(1), fields={**picture(1).fields, "data": np.zeros(5, np.uint8)})
    frames = list(open_source(written.write_bag(tmp_path / "drive", "mcap", [picture(0), short, picture(2)])).frames())
    assert [one.name for one in frames if isinstance(one, Skipped)] == [str(STAMPS[1])]
    assert [one.timestamp_ns for one in frames if isinstance(one, Loaded)] == [STAMPS[0], STAMPS[2]]


def test_pictures_without_times_get_those_of_the_rate(tmp_path: Path) -> None:
    source = make_source(3)
    timeless = replace(
        source, frames=lambda: (replace(one, timestamp_ns=None) for one in source.frames() if isinstance(one, Loaded))
    )  # type: ignore[arg-type, misc]
    infer(make_session(), timeless, Outputs(tmp_path / "out.mcap", fps=8.0))
    found = read(tmp_path / "out.mcap")
    assert found.times["/advmtl/depth"] == [0, 125_000_000, 250_000_000]
    assert "/advmtl/camera_info" not in found.types  # nobody tells a lens


def test_an_interrupted_bag_is_whole(tmp_path: Path) -> None:
    # A job started in the background comes with Ctrl-C ignored.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)

    def before(number: int) -> None:
        if number == 4:
            signal.raise_signal(signal.SIGINT)

    try:
        report = infer(make_session(), make_source(1000, fps=100.0, before=before), tmp_path / "out.mcap")
    finally:
        signal.signal(signal.SIGINT, former)
    assert report.interrupted and len(read(tmp_path / "out.mcap").times["/advmtl/depth"]) == report.frames


def test_an_error_leaves_no_bag(tmp_path: Path) -> None:
    def before(number: int) -> None:
        if number == 2:
            raise KeyError("gone")

    with pytest.raises(KeyError):
        infer(make_session(), make_source(5, before=before), tmp_path / "out.mcap")
    assert list(tmp_path.iterdir()) == []


def test_the_bag_itself_is_never_replaced(model_path: Path, tmp_path: Path) -> None:
    bag = written.write_bag(tmp_path / "drive", "mcap", pictures())
    before = {path.name: path.read_bytes() for path in bag.iterdir()}
    (tmp_path / "drawn").mkdir()
    for source, out, message in (
        (file_in(bag), file_in(bag), "--out"),
        (f"bag:{bag}:{TOPIC}", file_in(bag), "--out"),
        (bag, bag / "result.mcap", "lies in the bag"),
    ):
        result = advmtl("infer", model_path, source, "--out", out)
        assert result.exit_code == 2 and message in result.stderr, result.output
    assert {path.name: path.read_bytes() for path in bag.iterdir()} == before
    assert advmtl("infer", model_path, bag, "--out", tmp_path / "drawn").exit_code == 0
    for _ in range(2):  # an earlier result is replaced
        assert advmtl("infer", model_path, bag, "--out", tmp_path / "result.mcap").exit_code == 0
    assert len(list((tmp_path / "drawn").glob("*.png"))) == 3


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("export.sinks.bag.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs rosbags and mcap: pip install 'advmtl\[bags\]'"):
        infer(make_session(), make_source(1), tmp_path / "out.mcap")


def test_a_limit_and_a_loop(tmp_path: Path) -> None:
    bag = written.write_bag(tmp_path / "drive", "mcap", pictures())
    report = infer(make_session(), bag, tmp_path / "out.mcap", Reading(loop=2, limit=5))
    assert report.frames == 5
