from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from standins import make_frame

from export.sources import Loaded, Skipped, find_images, open_source
from preprocessing.errors import InputError


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
    frames = list(open_source(path).frames())
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
    folder = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "images" / "val"
    if not folder.is_dir():
        pytest.skip("no CamVid beside the repository")
    source = open_source(folder)
    first = next(source.frames())
    assert isinstance(first, Loaded) and first.image.ndim == 3
    assert source.total == len(find_images(folder)) > 50
