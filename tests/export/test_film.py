"""Films by PyAV, read back by it."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest

from export.graph import Metadata
from export.sinks import CODECS, Delivery, Setting, film
from export.sinks.film import START, fill_yuv420, open_film
from export.sinks.video_file import VideoFile, plane
from preprocessing.ground import InputError

av = pytest.importorskip("av", reason="PyAV is not installed")

LEFT, RIGHT = (200, 40, 90), (10, 180, 60)
# Variable, from 5 s on, with a gap [ns].
STAMPS = [5_000_000_000 + round(1e9 * (i / 15 + (0.3 if i > 4 else 0) + (0.011 if i % 2 else 0))) for i in range(9)]


def picture() -> np.ndarray:
    drawn = np.empty((96, 160, 3), np.uint8)
    drawn[:, :80], drawn[:, 80:] = LEFT, RIGHT
    return drawn


def write_film(path: Path, stamps: Sequence[int | None], setting: Setting) -> None:
    with open_film(path, setting) as write:
        for stamp in stamps:
            write(cast(Delivery, SimpleNamespace(frame=SimpleNamespace(timestamp_ns=stamp), picture=picture())))


def setting(codec: str = "auto", fps: float = 15.0, *, constant: bool = False) -> Setting:
    return Setting(cast(Metadata, None), fps, codec=codec, constant=constant)


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", list(CODECS))
def test_times_colours_and_tags(codec: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"film{ending}"
    write_film(path, STAMPS, setting(codec))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        tags = {name.lower(): value for name, value in container.metadata.items()}
        assert (stream.codec_context.name, stream.pix_fmt, tags[START]) == (codec, "yuv420p", "0")
        assert (stream.codec_context.color_primaries, stream.codec_context.color_trc) == (1, 1)
    assert len(frames) == len(STAMPS)
    off = [abs(frame.pts * frame.time_base - stamp / 1e9) for frame, stamp in zip(frames, STAMPS, strict=True)]
    assert max(off) < 0.001
    assert all((frame.colorspace, frame.color_range) == (1, 1) for frame in frames), "BT.709, limited"
    seen = frames[5].to_ndarray(format="rgb24", src_colorspace="ITU709").astype(int)
    for x, colour in ((20, LEFT), (120, RIGHT)):
        assert np.abs(seen[50, x] - colour).max() <= 6
    assert list(tmp_path.iterdir()) == [path]


def shown_at(path: Path) -> list[float]:
    """Times of a film's frames [s]."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def test_a_rate_that_is_asked_for_is_constant(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", STAMPS, setting(fps=12.5, constant=True))
    assert shown_at(tmp_path / "a.mp4") == pytest.approx([0.08 * i for i in range(9)], abs=1e-4)


def test_a_clock_begins_at_zero_and_is_told(tmp_path: Path) -> None:
    first = 1_700_000_000_123_456_789
    write_film(tmp_path / "a.mkv", [first + round(i * 1e8) for i in range(4)], setting())
    assert shown_at(tmp_path / "a.mkv") == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-3)
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.metadata[START.upper()] == str(first)


def test_colours_are_those_of_bt_709() -> None:
    """Hand-derived: red is Y' = 16 + 219 * 0.2126 = 62.6, Cb = 128 - 224 * 0.2126 / 1.8556 = 102.3, Cr = 240; grey of
    100 is 16 + 219 * 100 / 255 = 101.9 with 128.
    """
    drawn = np.zeros((4, 8, 3), np.uint8)
    drawn[:, :4], drawn[:, 4:] = (255, 0, 0), 100
    frame = av.VideoFrame(8, 4, "yuv420p")
    fill_yuv420(drawn, frame)
    luma, blue, red = (plane(frame, number) for number in range(3))
    assert luma.shape == (4, 8) and blue.shape == red.shape == (2, 4)
    assert (luma[0, 0], blue[0, 0], red[0, 0]) == (63, 102, 240)
    assert (luma[3, 7], blue[1, 3], red[1, 3]) == (102, 128, 128)


def test_a_film_without_all_frames_gets_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, count = VideoFile._encode, 0

    def forgetful(self: VideoFile, *rest: object) -> None:
        nonlocal count
        count += 1
        if count != 2:
            real(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(VideoFile, "_encode", forgetful)
    with pytest.raises(OSError, match=r"a\.mp4: holds 8 of 9 frames"):
        write_film(tmp_path / "a.mp4", STAMPS, setting())
    assert not list(tmp_path.iterdir())


def test_an_error_of_the_encoder_s_thread_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: VideoFile, *_: object) -> None:
        raise OSError(28, "No space left on device", "a.mp4")

    monkeypatch.setattr(VideoFile, "_encode", full)
    with pytest.raises(OSError, match="No space left"):
        write_film(tmp_path / "a.mp4", STAMPS, setting())
    assert not list(tmp_path.iterdir())


def test_an_interrupted_film_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_film(tmp_path / "a.mp4", setting()) as write:
        for stamp in STAMPS[:3]:
            write(cast(Delivery, SimpleNamespace(frame=SimpleNamespace(timestamp_ns=stamp), picture=picture())))
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_without_pyav_a_notice_says_what_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "import_av", lambda: None)
    told: list[str] = []
    write_film(tmp_path / "a.mp4", STAMPS, Setting(cast(Metadata, None), 15.0, notice=told.append))
    assert len(told) == 1 and "constant rate" in told[0] and "advmtl[video]" in told[0]
    assert cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 9
    with pytest.raises(InputError, match=r"--codec hevc needs PyAV: pip install 'advmtl\[video\]'"):
        write_film(tmp_path / "b.mp4", STAMPS, setting("hevc"))


def test_an_unknown_codec_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="codec 'vp9': choose auto, h264, hevc, mpeg4"):
        write_film(tmp_path / "a.mp4", STAMPS, setting("vp9"))


def test_an_encoder_that_is_missing_is_replaced_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(film, "has_encoder", lambda _, name: name == "mpeg4")
    told: list[str] = []
    write_film(tmp_path / "a.mp4", STAMPS, Setting(cast(Metadata, None), 15.0, notice=told.append))
    assert "no H.264 encoder" in told[0]
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    with pytest.raises(InputError, match="--codec h264: the FFmpeg of this PyAV cannot write it"):
        write_film(tmp_path / "b.mp4", STAMPS, setting("h264"))
