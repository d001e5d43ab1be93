from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from shared_files import shared_file
from standins import make_frame

from export.sources import Frames, Loaded, Notice, Skipped, Source, find_images, looped, open_source, opening
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image, read_picture


def write_video(path: Path, count: int, fps: float = 12.5, size: tuple[int, int] = (160, 96)) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for i in range(count):
        writer.write(np.full((size[1], size[0], 3), (20, 100, 10 * i), np.uint8))  # blue, green, red
    writer.release()
    return path


def test_folder_is_sorted_and_bad_files_are_listed(picture_folder: Callable[[int], Path]) -> None:
    folder = picture_folder(3)
    whole = (folder / "001.png").read_bytes()
    (folder / "001.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    source = open_source(folder)
    frames = list(source.frames())
    assert (source.total, source.live) == (3, False)
    assert [type(frame) for frame in frames] == [Loaded, Skipped, Loaded]
    assert [frame.name for frame in frames] == ["000", "001.png", "002"]
    assert isinstance(frames[1], Skipped) and "001.png" in frames[1].reason
    assert isinstance(frames[2], Loaded)
    np.testing.assert_array_equal(frames[2].image, make_frame(2, (200, 120)))


def test_other_colour_depths_are_read_and_told_once(tmp_path: Path) -> None:
    picture = make_frame(3, (50, 30))
    Image.fromarray(picture).save(tmp_path / "0.png")
    cv2.imwrite(str(tmp_path / "1.png"), picture[..., ::-1].astype(np.uint16) << 8)
    cv2.imwrite(str(tmp_path / "2.png"), picture[..., ::-1].astype(np.uint16) << 8)
    Image.fromarray(picture[..., 1]).save(tmp_path / "3.png")
    Image.fromarray(picture).convert("RGBA").save(tmp_path / "4.png")
    cv2.imwrite(str(tmp_path / "5.tiff"), picture.astype(np.float32))
    frames = list(open_source(tmp_path).frames())
    notices = [frame.text for frame in frames if isinstance(frame, Notice)]
    assert notices == [
        "1.png: 16 bits a channel, the upper 8 are used",
        "3.png: grey",
        "4.png: colour with transparency",
    ]
    images = {frame.name: frame.image for frame in frames if isinstance(frame, Loaded)}
    for name in ("0", "1", "2", "4"):
        np.testing.assert_array_equal(images[name], picture)
    assert np.array_equal(images["3"], np.repeat(picture[..., 1:2], 3, axis=2))
    assert [(f.name, "float32" in f.reason) for f in frames if isinstance(f, Skipped)] == [("5.tiff", True)]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.webp", "palette.png", "one_bit.png"])
def test_pictures_are_read_as_pillow_reads_them(name: str, tmp_path: Path) -> None:
    picture = Image.fromarray(make_frame(5, (51, 33)))
    if name == "palette.png":
        picture = picture.quantize(32)
    if name == "one_bit.png":
        picture = picture.convert("1")
    picture.save(tmp_path / name)
    ours, theirs = read_picture(tmp_path / name)[0].astype(int), read_image(tmp_path / name).astype(int)
    assert np.abs(ours - theirs).max() <= (3 if name.endswith("jpg") else 0)  # two builds of one JPEG decoder


def test_files_that_are_no_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    whole = tmp_path / "whole.jpg"
    Image.fromarray(make_frame(1, (200, 120))).save(whole)
    (tmp_path / "cut.jpg").write_bytes(whole.read_bytes()[:-900])
    cases = {
        "empty.png": "not a readable",
        "text.jpg": "not a readable",
        "cut.jpg": "truncated",
        "gone.png": "no such file",
    }
    for name, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            read_picture(tmp_path / name)
        assert name in str(caught.value) and "\n" not in str(caught.value)


def test_a_looped_source_begins_again(tmp_path: Path) -> None:
    video = open_source(write_video(tmp_path / "v.mp4", 4))
    looped_video = looped(video, 3)
    assert looped_video.total == 12
    for _ in range(2):
        assert [frame.name for frame in looped_video.frames()] == [f"frame_{i:06d}" for i in range(4)] * 3
    endless = looped(video, 0).frames()
    assert len([next(endless) for _ in range(9)]) == 9
    with pytest.raises(InputError, match="--loop -1"):
        looped(video, -1)
    with pytest.raises(InputError, match="cannot begin again"):
        looped(replace(video, live=True), 2)


def test_an_endless_loop_over_nothing_ends(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"broken")
    assert [type(frame) for frame in looped(open_source(tmp_path), 0).frames()] == [Skipped]


def test_a_video_tells_the_time_of_its_frames(tmp_path: Path) -> None:
    frames = list(open_source(write_video(tmp_path / "v.mp4", 4)).frames())
    times = [frame.timestamp_ns for frame in frames if isinstance(frame, Loaded)]
    assert times == [0, 80_000_000, 160_000_000, 240_000_000]


def test_a_video_cut_off_in_the_middle_gives_what_is_there(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mkv", 60)
    (tmp_path / "cut.mkv").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    *frames, last = open_source(tmp_path / "cut.mkv").frames()
    assert 10 < len(frames) < 55 and all(isinstance(frame, Loaded) for frame in frames)
    assert isinstance(last, Skipped) and "cut off: the last frame ends at" in last.reason
    assert f"{len(frames) * 0.08:.3f} s of the 4.800 s announced" in last.reason


def test_one_image(picture_folder: Callable[[int], Path]) -> None:
    source = open_source(picture_folder(2) / "001.png")
    assert [frame.name for frame in source.frames()] == ["001"]


def test_video_gives_every_frame_in_rgb(tmp_path: Path) -> None:
    source = open_source(write_video(tmp_path / "v.mp4", 7))
    frames = list(source.frames())
    assert (source.total, source.fps, source.live, len(frames)) == (7, 12.5, False, 7)
    assert isinstance(frames[5], Loaded)
    red, green, blue = frames[5].image[48, 80].astype(int)
    assert abs(red - 50) < 8 and abs(green - 100) < 8 and abs(blue - 20) < 8


def test_video_that_breaks_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "v.mp4", 5)
    real = cv2.VideoCapture

    class Short:
        def __init__(self, *address: object) -> None:
            self.capture, self.left = real(*address), 3

        def grab(self) -> bool:
            self.left -= 1
            return self.left >= 0 and self.capture.grab()

        def __getattr__(self, name: str) -> object:
            return getattr(self.capture, name)

    monkeypatch.setattr(cv2, "VideoCapture", Short)
    monkeypatch.setattr(opening, "import_av", lambda: None)
    _, *frames = open_source(path).frames()
    assert [type(frame) for frame in frames] == [Loaded] * 3 + [Skipped]
    assert isinstance(frames[-1], Skipped) and "after 3 of the 5" in frames[-1].reason


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "garbage.mp4").write_bytes(b"no video" * 50)
    (tmp_path / "empty").mkdir()
    cases = {
        "nowhere": "no such source",
        str(tmp_path / "empty"): "no pictures",
        str(tmp_path / "garbage.mp4"): "cannot be opened",
        "/dev/video93": "cannot be opened",
        "93": "camera 93: cannot be opened",
        f"file://{tmp_path}/absent.mp4": "cannot be opened",
    }
    for text, message in cases.items():
        with pytest.raises(InputError, match=message) as caught:
            open_source(text)
        assert "\n" not in str(caught.value)


def test_real_pictures() -> None:
    folder = shared_file("data/camvid/images/val")
    source = open_source(folder)
    first = next(source.frames())
    assert isinstance(first, Loaded) and first.image.ndim == 3
    assert source.total == len(find_images(folder)) > 50


def test_folders_in_a_folder_are_read_and_keep_their_names(tmp_path: Path) -> None:
    """Two drives with equal names; results that go into the folder are no frames of it."""
    for name in ("a/0.png", "b/0.png", "1.webp", "results/1.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    (tmp_path / "a/2.heic").touch()
    frames = list(open_source(tmp_path, without=[tmp_path / "results"]).frames())
    assert [frame.name for frame in frames if isinstance(frame, Loaded)] == ["1", "a/0", "b/0"]
    assert [frame.text for frame in frames if isinstance(frame, Notice)] == [
        f"{tmp_path}: 1 file of another kind (.heic) is not read"
    ]


def test_bits_and_orientation_of_a_folder(tmp_path: Path) -> None:
    """1023 of 10 bits is white; a picture stored 40×30 with orientation 6 is 30×40 upright."""
    cv2.imwrite(str(tmp_path / "0.png"), np.full((30, 40), 1023, np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "1.jpg", exif=exif.tobytes())
    frames = list(open_source(tmp_path).frames())
    images = [frame.image for frame in frames if isinstance(frame, Loaded)]
    assert images[0].max() == 255 and images[1].shape == (40, 30, 3)
    notes = " ".join(frame.text for frame in frames if isinstance(frame, Notice))
    assert "the upper 8 of 10 are used" in notes and "turned by its EXIF orientation 6" in notes


def test_what_a_loop_says_of_its_source_is_said_once() -> None:
    def frames() -> Frames:
        yield Notice("it is grey")
        yield Loaded("a", np.zeros((4, 6, 3), np.uint8))
        yield Notice("")  # still waiting, which must reach the reader each time

    heard = [one.text for one in looped(Source("made", frames, 1, 10.0), 3).frames() if isinstance(one, Notice)]
    assert heard == ["it is grey", "", "", ""]
