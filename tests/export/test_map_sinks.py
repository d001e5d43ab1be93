"""Maps for other programs: PNG files, depth as a video, points, a Rerun recording, several of them in one run."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from standins import NAMES, PALETTE, SIZE, make_frame, make_metadata, make_session

from export.graph import CLASSES, DEPTH
from export.session import Session
from export.sinks import Outputs
from export.sources import Frames, Loaded, Source
from export.stream import infer
from preprocessing.ground import InputError, Lens, read_grey_or_index

SKY = NAMES.index("sky")
STAMPS = (5_000_000_000, 5_040_000_000, 5_300_000_000)
FRAME = (240, 96)  # of another aspect than the network's 160x96: padded to 160x64, 16 px below row 0
LENS = Lens(200.0, 210.0, 118.0, 45.0, FRAME)


def model(**changes: object) -> Session:
    """The stand-in with +Inf where the class is sky."""
    told = {"fit": "pad", "sky": (SKY,), "trained_fx_px": 130.0, **changes}
    session = replace(make_session(), metadata=replace(make_metadata(), **told))

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        outputs = make_session().network(image)
        return outputs | {DEPTH: np.where(outputs[CLASSES] == SKY, np.float32(np.inf), outputs[DEPTH])}

    return replace(session, network=network)


def drive(count: int = 3, size: tuple[int, int] = FRAME, lens: Lens | None = LENS) -> Source:
    def frames() -> Frames:
        for i in range(count):
            yield Loaded(f"f{i}", make_frame(i, size), STAMPS[i], lens=lens)

    return Source("drive", frames, count, 25.0)


def network_truth(session: Session, number: int, size: tuple[int, int] = FRAME) -> tuple[NDArray, NDArray]:
    """Classes and stored depth of a frame at the network's size."""
    result = session.run(make_frame(number, size), LENS if size == FRAME else None)
    assert result.classes is not None and result.depth_m is not None
    known = np.where(np.isfinite(result.depth_m), result.depth_m, 0)
    return result.classes, np.floor(known * 256 + 0.5).astype(np.uint16)


def test_raw_maps_are_those_of_predict_at_the_network_s_size(tmp_path: Path) -> None:
    session = model()
    report = infer(session, drive(), Outputs(raw=tmp_path / "raw"))
    assert report.out == [str(tmp_path / "raw")]
    names = [f"f{i}_{what}.png" for i in range(3) for what in ("classes", "depth")]
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == names
    classes, depth = network_truth(session, 2)
    assert classes.shape == (64, 160) and (depth == 0).any() and (classes == SKY).any()
    np.testing.assert_array_equal(read_grey_or_index(tmp_path / "raw" / "f2_classes.png"), classes)
    np.testing.assert_array_equal(read_grey_or_index(tmp_path / "raw" / "f2_depth.png"), depth)


def test_raw_maps_at_the_frame_s_size(tmp_path: Path) -> None:
    session = model(fit="crop")
    infer(session, drive(1), Outputs(raw=tmp_path, raw_size="frame"))
    classes = read_grey_or_index(tmp_path / "f0_classes.png")
    assert classes.shape == read_grey_or_index(tmp_path / "f0_depth.png").shape == (96, 240)
    # 240x96 is shown 1:1, its middle 160 columns; what was cut off is unknown.
    assert (classes[:, :40] == 255).all() and (classes[:, 200:] == 255).all()
    np.testing.assert_array_equal(classes[:, 40:200], make_frame(0, FRAME)[:, 40:200, 0] % len(NAMES))


def test_names_that_come_again_have_one_number_for_all_files(tmp_path: Path) -> None:
    def frames() -> Frames:
        for i in range(2):
            yield Loaded("same", make_frame(i))

    infer(model(), Source("twice", frames, 2, 10.0), Outputs(raw=tmp_path))
    ends = ("classes.png", "depth.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *(f"same_000001_{end}" for end in ends),
        *(f"same_{end}" for end in ends),
    ]


def test_a_frame_without_meaning_holds_nothing_known(tmp_path: Path) -> None:
    session = make_session()

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        outputs = session.network(image)
        outputs[DEPTH][0, 3, 4:6] = np.nan, -np.inf
        return outputs

    told = replace(session.metadata, trained_fx_px=130.0)
    outputs = Outputs(tmp_path / "a.ply", raw=tmp_path)
    infer(replace(session, metadata=told, network=network), drive(1), outputs, None)
    assert not read_grey_or_index(tmp_path / "f0_depth.png").any()
    assert (read_grey_or_index(tmp_path / "f0_classes.png") == 255).all()
    assert b"element vertex 0\n" in (tmp_path / "a.ply").read_bytes()


@pytest.mark.parametrize("map_size", ["network", "frame"])
def test_depth_video_loses_nothing_and_has_the_source_s_times(map_size: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed")
    session, path = model(), tmp_path / "depth.mkv"
    infer(session, drive(), Outputs(depth_video=path, raw=tmp_path / "raw", raw_size=map_size))  # type: ignore[arg-type]
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        tags, stream = container.metadata, container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("ffv1", "gray16le")
        assert tags["DEPTH_SCALE"] == "256" and "0 = none" in tags["title"]
    assert [round(1e9 * frame.pts * frame.time_base) for frame in frames] == list(STAMPS)
    for number, frame in enumerate(frames):
        values, stored = frame.to_ndarray(), read_grey_or_index(tmp_path / "raw" / f"f{number}_depth.png")
        if map_size == "frame":
            np.testing.assert_array_equal(values, stored)
        else:  # with what stands beside a padded frame: 16 rows above and below
            assert values.shape == SIZE[::-1] and not values[:16].any() and not values[80:].any()
            np.testing.assert_array_equal(values[16:80], stored)


def test_what_a_depth_video_cannot_be(tmp_path: Path) -> None:
    for outputs, words in (
        (Outputs(depth_video=tmp_path / "a.mp4"), "FFV1 goes into Matroska"),
        (Outputs(depth_video=tmp_path / "a.mkv", raw_size="huge"), "--raw-size huge: choose network or frame"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InputError, match=words):
            infer(model(), drive(), outputs)
    for outputs in (Outputs(raw=tmp_path / "raw"), Outputs(depth_video=tmp_path / "a.mkv")):
        with pytest.raises(InputError, match=r"reaches 300 m, 16-bit files hold 255\.996 m"):
            infer(model(depth_range_m=(1.0, 300.0)), drive(), outputs)
    classes_alone = replace(make_session(), metadata=make_metadata(outputs=(CLASSES,)))
    for outputs in (
        Outputs(clouds=tmp_path / "c"),
        Outputs(tmp_path / "a.ply"),
        Outputs(depth_video=tmp_path / "a.mkv"),
    ):
        with pytest.raises(InputError, match="this model gives no depth"):
            infer(classes_alone, drive(), outputs)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def read_ply(path: Path) -> tuple[list[str], NDArray]:
    """Header lines and points, by the format's own words."""
    head, _, body = path.read_bytes().partition(b"end_header\n")
    lines, kinds = head.decode().splitlines(), {"float": "<f4", "uchar": "u1"}
    fields = [(name, kinds[kind]) for word, kind, name in (line.split() for line in lines if line[:4] == "prop")]
    points = np.frombuffer(body, fields)
    assert lines[:2] == ["ply", "format binary_little_endian 1.0"] and f"element vertex {len(points)}" in lines
    return lines, points


def test_points_lie_where_the_lens_saw_them(tmp_path: Path) -> None:
    session = model()
    infer(session, drive(), Outputs(clouds=tmp_path / "clouds"))
    assert sorted(path.name for path in (tmp_path / "clouds").iterdir()) == [f"f{i}.ply" for i in range(3)]
    lines, points = read_ply(tmp_path / "clouds" / "f1.ply")
    assert f"comment timestamp_ns {STAMPS[1]}" in lines and f"comment class {SKY} sky" in lines
    result = session.run(make_frame(1, FRAME), LENS)
    assert result.depth_m is not None and result.classes is not None
    assert len(points) == np.isfinite(result.depth_m).sum() < result.depth_m.size
    assert not (points["class"] == SKY).any()
    # Pixel (u, v) of the 160x64 picture of the frame: 2/3 of the frame's 240x96, centres at whole numbers.
    v, u = np.argwhere(np.isfinite(result.depth_m))[1234]
    z = float(result.depth_m[v, u])
    x = ((u + 0.5) * 1.5 - 0.5 - LENS.cx_px) / LENS.fx_px * z
    y = ((v + 0.5) * 1.5 - 0.5 - LENS.cy_px) / LENS.fy_px * z
    point = points[1234]
    np.testing.assert_allclose([point["x"], point["y"], point["z"]], [x, y, z], rtol=1e-5, atol=1e-5)
    assert point["class"] == result.classes[v, u]


def test_other_programs_read_the_points(tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile", reason="plyfile is not installed")
    infer(model(), drive(1), tmp_path / "one.ply")
    vertices = plyfile.PlyData.read(tmp_path / "one.ply")["vertex"]
    _, points = read_ply(tmp_path / "one.ply")
    assert [one.name for one in vertices.properties] == ["x", "y", "z", "red", "green", "blue", "class"]
    np.testing.assert_array_equal(vertices["z"], points["z"])


def test_a_ply_file_is_of_one_frame_and_needs_a_lens(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds the points of one frame; for all give --clouds FOLDER"):
        infer(model(), drive(), tmp_path / "a.ply")
    with pytest.raises(InputError, match=r"points need the lens.* give --camera, --fx-px or --hfov-deg"):
        infer(make_session(), drive(1, SIZE, None), tmp_path / "a.ply")
    assert not list(tmp_path.iterdir())


def test_several_results_of_one_run(tmp_path: Path) -> None:
    outs = (tmp_path / "a.mkv", tmp_path / "b.mp4", tmp_path / "drawn")
    report = infer(model(), drive(), Outputs(outs, clouds=tmp_path / "points"))
    assert report.out == [*map(str, outs), str(tmp_path / "points")]
    assert outs[0].stat().st_size and outs[1].stat().st_size and len(list(outs[2].iterdir())) == 3
    with pytest.raises(InputError, match=r"a\.mkv: are one; give each a name of its own"):
        infer(model(), drive(), [outs[0], outs[0]])


def test_a_second_run_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "a.ply", raw=tmp_path / "raw", clouds=tmp_path / "raw")
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "f0_depth.png").write_bytes(b"somebody's own")
    (tmp_path / "raw" / "f0.ply").write_bytes(b"ply\nformat ascii 1.0\n")
    names: list[list[str]] = []
    for _ in range(2):
        infer(model(), drive(1), outputs)
        names.append(sorted(path.name for path in (tmp_path / "raw").iterdir()))
    kept = ["f0.ply", "f0_depth.png"]
    assert (tmp_path / "raw" / kept[1]).read_bytes() == b"somebody's own" and names[0] == names[1]
    assert names[0] == sorted([*kept, "f0_000000.ply", "f0_000000_classes.png", "f0_000000_depth.png"])
    with pytest.raises(InputError, match=r"f0\.ply: is there, and is not"):
        infer(model(), drive(1), tmp_path / "raw" / "f0.ply")


def test_a_recording_for_rerun(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the Rerun SDK is not installed")
    from rerun.chunk import RrdReader

    for _ in range(2):  # the second one replaces the first
        infer(model(), drive(), tmp_path / "a.rrd")
    assert [path.name for path in tmp_path.iterdir()] == ["a.rrd"]
    seen: dict[str, int] = {}
    stamps, texts = set[int](), ""
    for chunk in RrdReader(tmp_path / "a.rrd").stream():
        batch = chunk.to_record_batch()
        seen[chunk.entity_path] = seen.get(chunk.entity_path, 0) + batch.num_rows
        if chunk.entity_path == "/camera/depth":
            stamps |= {int(one.value) for one in batch.column("time")}
        texts += str(batch.to_pydict()) if chunk.entity_path == "/" else ""
    assert all(seen[f"/camera/{what}"] == 3 for what in ("image", "classes", "depth"))
    assert stamps == set(STAMPS)
    assert all(name in texts for name in NAMES) and len(PALETTE) == len(NAMES)


def test_without_rerun_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(InputError, match=r"needs the Rerun SDK: pip install 'advmtl\[rerun\]'"):
        infer(model(), drive(), tmp_path / "a.rrd")
