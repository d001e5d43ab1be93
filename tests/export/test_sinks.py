import tracemalloc
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
from standins import make_frame

from export.graph import Metadata
from export.sinks import Delivery, Setting, film, new_paths, unique_name
from export.sinks.outputs import Sink, sink_of
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image


def open_sink(path: Path, fps: float = 8.0) -> AbstractContextManager[Sink]:
    return sink_of(path)(path, Setting(cast(Metadata, None), fps))


def drawn(name: str, picture: np.ndarray) -> Delivery:
    return cast(Delivery, SimpleNamespace(frame=SimpleNamespace(name=name, timestamp_ns=None), picture=picture))


def test_video_holds_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.mp4"
    with open_sink(path, 8.0) as write:
        for i in range(9):
            write(drawn(str(i), np.full((96, 160, 3), (200, 40, 10 * i), np.uint8)))
        assert not path.exists(), "nothing under the final name before it is complete"
    capture = cv2.VideoCapture(str(path))
    assert (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)) == (9, 8.0)
    good, first = capture.read()
    assert good and abs(int(first[50, 50, 2]) - 200) < 8, "red is the last channel of OpenCV"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_no_video(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_sink(tmp_path / "out.mp4", 8.0) as write:
        write(drawn("a", make_frame(0)))
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_an_incomplete_video_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = cv2.VideoWriter

    class Forgetful:
        def __init__(self, *rest: object) -> None:
            self.writer, self.count = real(*rest), 0

        def write(self, picture: object) -> None:
            self.count += 1
            if self.count != 2:
                self.writer.write(picture)

        def __getattr__(self, name: str) -> object:
            return getattr(self.writer, name)

    Forgetful.fourcc = real.fourcc  # type: ignore[attr-defined]
    monkeypatch.setattr(film, "import_av", lambda: None)
    monkeypatch.setattr(film.cv2, "VideoWriter", Forgetful)
    with pytest.raises(OSError, match="holds 2 of 3 frames"), open_sink(tmp_path / "out.mp4", 8.0) as write:
        for i in range(3):
            write(drawn(str(i), make_frame(i)))
    assert not list(tmp_path.iterdir())


def test_folder_keeps_names_and_pixels(tmp_path: Path) -> None:
    with open_sink(tmp_path / "out", 8.0) as write:
        for i, name in enumerate(["a", "b", "a"]):
            write(drawn(name, make_frame(i)))
    names = ["a.png", "a_000002.png", "b.png"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    np.testing.assert_array_equal(read_image(tmp_path / "out" / "a_000002.png"), make_frame(2))


def test_unique_names_never_meet_one_that_is_taken() -> None:
    used: set[str] = set()
    assert [unique_name(name, used) for name in ("a", "a_000002", "a", "b")] == ["a", "a_000002", "a_000003", "b"]
    used.clear()
    names = [unique_name(name, used, ("", "_depth")) for name in ("a_depth", "a", "b")]
    assert names == ["a_depth", "a_000002", "b"]


def test_a_former_stream_s_files_are_overwritten_and_one_s_own_never(tmp_path: Path) -> None:
    def write(names: list[str]) -> list[str]:
        path_of, paths = new_paths(tmp_path, ".png"), []
        for name in names:
            paths.append(path_of(name))
            paths[-1].touch()
        return [path.relative_to(tmp_path).as_posix() for path in paths]

    # The number is that of the frame, or the next one that is free.
    assert write(["a", "a_000002", "a", "b/c"]) == ["a.png", "a_000002.png", "a_000003.png", "b/c.png"]
    assert write(["a", "a", "a"]) == ["a.png", "a_000001.png", "a_000002.png"]


def test_a_file_of_the_user_s_stays_and_the_frame_gets_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"the user's")
    for _ in range(2):  # the second stream replaces what the first one wrote
        with open_sink(tmp_path) as write:
            write(drawn("a", make_frame(0)))
            write(drawn("b", make_frame(1)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "a_000000.png", "b.png"]
    assert (tmp_path / "a.png").read_bytes() == b"the user's"
    assert np.array_equal(read_image(tmp_path / "b.png"), make_frame(1))


def test_the_names_of_a_long_stream_take_no_memory(tmp_path: Path) -> None:
    path_of = new_paths(tmp_path, ".png")
    tracemalloc.start()
    try:
        for i in range(3000):
            path_of(f"frame_{i:06d}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 50_000  # 3000 names are 200 kB and more


def test_wrong_names(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.mp4").mkdir()
    for path in (tmp_path / "out.avi", tmp_path / "file", tmp_path / "folder.mp4"):
        with pytest.raises(InputError, match=path.name), open_sink(path):
            pass
