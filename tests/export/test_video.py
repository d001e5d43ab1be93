"""Films through PyAV: times, turns, colours, ends and damages, of films made here."""

import gc
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from standins import make_session

from export.sources import Film, Loaded, Notice, Skipped, colours, open_source, opening
from export.stream.stream import Outputs, Reading, infer, run
from preprocessing.ground.errors import InputError

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))
import damaged_video as films

MS = 1_000_000


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 frames, 25/s, B frames, a key frame every 12."""
    path = tmp_path_factory.mktemp("film") / "whole.mp4"
    return films.write_film(path, films.made_pictures(60, (160, 96)), g="12")


def remux(source: Path, out: Path, pts: Callable[[int], int | None], unit: Fraction = Fraction(1, 1000)) -> Path:
    """The packets of `source` with another time [unit] by the number of their frame; None leaves one out."""
    with av.open(str(source)) as given, av.open(str(out), "w") as made:
        video = given.streams.video[0]
        stream = made.add_stream_from_template(video)
        for packet in given.demux(video):
            if packet.pts is None or packet.dts is None:
                continue
            number = round(packet.pts * video.time_base * 25)
            decoded = round(packet.dts * video.time_base * 25)
            at, before = pts(number), pts(decoded)
            if at is None or before is None:
                continue
            packet.pts, packet.dts, packet.time_base, packet.duration = at, before, unit, 0
            packet.stream = stream
            made.mux(packet)
    return out


def read(path: Path | str, **how: object) -> tuple[list[Loaded], list[str], list[str]]:
    """Frames, reasons of what was skipped, notices."""
    found = list(open_source(path, film=Film(**how)).frames())  # type: ignore[arg-type]
    skipped = [one.reason for one in found if isinstance(one, Skipped)]
    return [one for one in found if isinstance(one, Loaded)], skipped, [o.text for o in found if isinstance(o, Notice)]


def times_ms(path: Path | str, **how: object) -> list[float]:
    frames, skipped, _ = read(path, **how)
    assert not skipped
    return [(one.timestamp_ns or 0) / MS for one in frames]


def test_times_are_those_of_the_file(film: Path, tmp_path: Path) -> None:
    """Constant, from 100 s on, and of a variable rate: 20 frames of 40 ms, then of 250 ms."""
    assert times_ms(film) == [40 * i for i in range(60)]
    assert times_ms(remux(film, tmp_path / "o.mkv", lambda i: 100_000 + 40 * i)) == [
        100_000 + 40 * i for i in range(60)
    ]

    def variable(number: int) -> int:
        return 40 * number if number < 20 else 800 + 250 * (number - 20)

    assert times_ms(remux(film, tmp_path / "v.mkv", variable)) == [variable(i) for i in range(60)]
    ticks = [round(1001 / 30 * i * 90) for i in range(60)]  # 29.97/s in 1/90000 s, beginning at 1 s
    ts = remux(film, tmp_path / "t.ts", lambda i: 90_000 + (ticks[i] if i >= 0 else 3003 * i), Fraction(1, 90_000))
    offset = times_ms(ts)[0] - 1000  # the container's own delay
    assert np.allclose(times_ms(ts), [1000 + offset + tick / 90 for tick in ticks], atol=1e-6)


def test_frames_before_the_start_of_an_edit_list_are_not_shown(film: Path, tmp_path: Path) -> None:
    """Cut without encoding at frame 18: the key frame is 12, six frames are there to be decoded only."""
    cut = remux(film, tmp_path / "cut.mp4", lambda i: 40 * (i - 18) if i >= 10 else None)
    frames, skipped, _ = read(cut)
    whole = read(film)[0]
    assert not skipped and len(frames) == 42
    assert [one.timestamp_ns for one in frames] == [40 * i * MS for i in range(42)]
    np.testing.assert_array_equal(frames[0].image, whole[18].image)


def test_a_stream_without_times_is_timed_by_its_rate(film: Path, tmp_path: Path) -> None:
    raw = remux(film, tmp_path / "raw.h264", lambda i: i)
    assert times_ms(raw) == [40 * i for i in range(60)]  # 25/s stands in it
    assert times_ms(raw, fps=50.0) == [20 * i for i in range(60)]
    assert "holds no times; frames are timed by 25/s, as it states" in read(raw)[2][0]


@pytest.mark.parametrize("degrees, mirrored", [(90, False), (180, False), (270, False), (0, True), (90, True)])
def test_frames_stand_upright(film: Path, tmp_path: Path, degrees: int, mirrored: bool) -> None:
    """A display matrix by hand: rows (a, b), (c, d) of a turn clockwise, after a mirroring from left to right."""
    turned = tmp_path / "turned.mp4"
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    a, b = (-cos, -sin) if mirrored else (cos, sin)
    matrix = [a, b, 0, -sin, cos, 0, 0, 0, 1]
    data = bytearray(film.read_bytes())
    at = data.find(b"tkhd") + 4 + 4 + 20 + 16  # version and flags, times, ids and durations; layer to reserved
    scale = [1 << 16, 1 << 16, 1 << 30] * 3
    assert data[at + 32 : at + 36] == (1 << 30).to_bytes(4, "big")
    for index, (value, unit) in enumerate(zip(matrix, scale, strict=True)):
        data[at + 4 * index : at + 4 * index + 4] = (value * unit).to_bytes(4, "big", signed=True)
    turned.write_bytes(data)
    plain = read(film)[0][5].image
    expected = plain[:, ::-1] if mirrored else plain
    np.testing.assert_array_equal(read(turned)[0][5].image, np.rot90(expected, -degrees // 90))


def test_colours_follow_what_the_film_states(tmp_path: Path) -> None:
    """Grey 128 with Cr 200 in limited range: red is 1.164 (128 - 16) + 1.596 · 72 by BT.601, 1.793 · 72 by BT.709."""
    shown = {}
    for name, space in (("601", 6), ("709", 1), ("none", 2)):
        path = tmp_path / f"{name}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            stream.codec_context.colorspace = space
            frame = av.VideoFrame(64, 48, "yuv420p")
            for plane, value in zip(frame.planes, (128, 128, 200), strict=True):
                plane.update(bytes([value]) * plane.buffer_size)
            frame.pts, frame.time_base = 0, Fraction(1, 10)
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        shown[name] = int(read(path)[0][0].image[20, 30, 0])
    assert abs(shown["601"] - 245) <= 1 and shown["none"] == shown["601"] and shown["709"] == 255


def test_what_is_to_be_known_is_said_once(tmp_path: Path) -> None:
    path = tmp_path / "hdr.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.color_trc = 16
        for number in range(3):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    notices = read(path)[2]
    assert len(notices) == 1 and "high dynamic range (PQ, 10 bits)" in notices[0]
    (wide,) = colours.notes(av.VideoFrame(64, 48, "yuv420p"), 2, Fraction(4, 3))
    assert "1.333 times as wide as high" in wide and not list(
        colours.notes(av.VideoFrame(8, 8, "rgb24"), 2, Fraction(1))
    )


def test_a_film_that_is_cut_off_says_so(film: Path, tmp_path: Path) -> None:
    """Matroska in its middle; MP4 with its index in front (the last frame in part)."""
    whole = remux(film, tmp_path / "whole.mkv", lambda i: 40 * i)
    for name, data in (("cut.mkv", whole.read_bytes()),):
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        frames, skipped, _ = read(tmp_path / name)
        assert 20 < len(frames) < 45 and "cut off: the last frame ends at" in skipped[-1]
        assert "of the 2.400 s announced" in skipped[-1]
    (tmp_path / "no_index.mp4").write_bytes(film.read_bytes()[:-3000])
    with pytest.raises(InputError, match=r"no_index.mp4: cannot be opened \(is it a video, and whole\?"):
        open_source(tmp_path / "no_index.mp4")


def test_a_file_without_a_film_is_one_line(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mka"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(InputError, match="no film in it, no pictures at all"):
        open_source(tmp_path / "sound.mka")
    with pytest.raises(InputError, match="--damaged drop: choose skip or keep"):
        Film("drop")


@pytest.mark.parametrize(
    "ending, kind, unknowable", [(".ts", "packets", 0), (".mp4", "sector", 2), (".mkv", "bursts", 2)]
)
def test_no_frame_of_a_damaged_film_is_taken_for_whole(ending: str, kind: str, unknowable: int, tmp_path: Path) -> None:
    """Of six films. Lost packets show always, overwritten bytes not in one of twenty (docs/streaming.md); where they
    fall depends on the encoder's bytes, which are others on another processor.
    """
    path = films.write_film(tmp_path / f"whole{ending}", films.made_pictures(48, (320, 192)))
    whole, told = films.read(path)
    assert not told and len(whole) == 48
    count, hurt = films.Count(), tmp_path / f"hurt{ending}"
    for seed in range(6):
        hurt.write_bytes(films.damaged(path.read_bytes(), ending, kind, seed))
        films.judge(hurt, whole, count)
    assert count.harmed > 10 and count.films_missed <= unknowable and count.given_up < 0.2 * count.frames


def test_a_stream_lists_damaged_frames_or_keeps_and_tells_them(film: Path, tmp_path: Path) -> None:
    """One packet is overwritten with zeros behind its header, a P frame: what follows up to the key frame is hurt."""
    data = bytearray(film.read_bytes())
    with av.open(str(film)) as container:
        packets = [one for one in container.demux(video=0) if one.size]
        hurt = next(one for one in packets[12:] if not one.is_keyframe)  # the first P frame behind the key frame 12
        data[hurt.pos + 60 : hurt.pos + hurt.size] = bytes(hurt.size - 60)
    path = tmp_path / "hurt.mp4"
    path.write_bytes(data)
    reports, kept = {}, []
    reports["skip"] = infer(make_session(), path, Outputs(log=tmp_path / "l.jsonl"))
    reports["keep"] = run(make_session(), path, kept.append, reading=Reading(film=Film("keep")))
    skip, keep = reports["skip"], reports["keep"]
    assert keep.frames == 60 and 4 <= keep.damaged_frames <= 12 and not keep.skipped_frames and not keep.complete
    assert skip.frames == 60 - keep.damaged_frames == 60 - skip.skipped_frames and not skip.complete
    told = [one.index for one in kept if one.damage]
    assert set(told) <= set(range(12, 24)) and kept[told[0]].record(None)["damage"] == keep.damaged[0][1]
    assert kept[0].record(None)["damage"] is None and "s: " in skip.skipped[0][1]
    line = skip.lost_lines()[0]
    assert line.count("frame_0") == 1 and any(f"; {skip.skipped_frames} skipped" in one for one in skip.summary())
    assert any(line.startswith("not whole: frame_0000") for line in keep.lost_lines())


def test_without_pyav_opencv_reads_and_says_what_it_lacks(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "import_av", lambda: None)
    frames, skipped, notices = read(film)
    assert len(frames) == 60 and not skipped and "pip install 'advmtl[video]'" in notices[0]


def test_urls_of_files(film: Path) -> None:
    assert len(times_ms(film.as_uri())) == 60
    with pytest.raises(InputError, match="cannot be opened"):
        open_source("file:///nowhere/at/all.mp4")


def test_frames_are_freed_as_they_are_dropped(film: Path) -> None:
    """A frame in a cycle waits for the garbage collector with all its pixels: of a camera's, hundreds of MB."""
    source = open_source(film)
    gc.collect()
    gc.disable()
    try:
        count = sum(isinstance(one, Loaded) for one in source.frames())
        waiting = gc.collect()
    finally:
        gc.enable()
    assert count >= 20 and waiting < count


def test_an_avi_with_frames_out_of_order_goes_on_in_time(tmp_path: Path) -> None:
    """AVI has times of decoding alone: 8 frames at 25/s, of which every second refers to the one behind it."""
    with av.open(str(tmp_path / "b.avi"), "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"bf": "1", "b-adapt": "0", "x264-params": "scenecut=0"}
        )
        stream.width, stream.height = 64, 48
        for i in range(8):
            picture = np.full((48, 64, 3), 25 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    frames = [one for one in open_source(tmp_path / "b.avi").frames() if isinstance(one, Loaded)]
    assert [round(float(one.image.mean()) / 25) for one in frames] == list(range(8))
    stamps = [one.timestamp_ns for one in frames]
    assert None not in stamps and set(np.diff(stamps)) == {40_000_000}
