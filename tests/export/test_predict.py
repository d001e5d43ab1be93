"""Panels and raw maps on still pictures."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from standins import SIZE, make_frame, make_metadata, make_session

from export.graph.metadata import DEPTH
from export.predict import predict
from export.session.open import open_session
from export.session.session import Session
from preprocessing.ground.depth import read_depth
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_grey_or_index, read_image, write_png


def test_pictures_give_panels_and_raw_maps(
    model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path
) -> None:
    folder = picture_folder(3)
    (folder / "001.png").write_bytes(b"broken")
    session = open_session(model_path, "cpu")
    done, skipped = predict(session, str(folder), tmp_path / "out", raw=True)
    assert done == 2 and [one.name for one in skipped] == ["001.png"]
    result = session.run(read_image(folder / "000.png"))
    assert np.array_equal(read_grey_or_index(tmp_path / "out" / "000_classes.png"), result.classes)
    assert np.abs(read_depth(tmp_path / "out" / "000_depth.png") - result.depth_m).max() <= 1 / 512 + 1e-4
    panel = read_image(tmp_path / "out" / "000.png")
    assert panel.shape[0] > 2 * SIZE[1] and panel.shape[1] > 2 * SIZE[0]


def test_limit_counts_written_pictures(model_path: Path, picture_folder: Callable[[int], Path], tmp_path: Path) -> None:
    done, _ = predict(open_session(model_path, "cpu"), str(picture_folder(5)), tmp_path / "out", limit=2)
    assert done == 2 and len(list((tmp_path / "out").iterdir())) == 2


def test_nothing_to_read_is_an_input_error(model_path: Path, tmp_path: Path) -> None:
    session = open_session(model_path, "cpu")
    (tmp_path / "x.png").write_bytes(b"broken")
    with pytest.raises(InputError, match=r"x\.png"):
        predict(session, str(tmp_path), tmp_path / "out")
    with pytest.raises(InputError, match="no such picture"):
        predict(session, str(tmp_path / "none"), tmp_path / "out")


def test_pictures_of_one_stem_keep_their_own_results(tmp_path: Path) -> None:
    """Class = red channel modulo the classes, so every raw map tells which picture it is of."""
    tree, out = tmp_path / "drive", tmp_path / "out"
    for i, camera in enumerate(("image_02", "image_03")):
        write_png(tree / camera / "0000.png", make_frame(i))
    (tree / "image_03" / "0001.png").write_bytes(b"broken")
    done, skipped = predict(make_session(), str(tree), out, raw=True)
    assert (done, [one.name for one in skipped]) == (2, ["image_03/0001.png"])
    for i, name in enumerate(("image_02_0000", "image_03_0000")):
        assert (out / f"{name}.png").is_file() and (out / f"{name}_depth.png").is_file()
        assert np.array_equal(read_grey_or_index(out / f"{name}_classes.png"), make_frame(i)[..., 0] % 5)
    assert len(list(out.iterdir())) == 6


def test_results_of_one_picture_never_overwrite_those_of_another(tmp_path: Path) -> None:
    folder, out = tmp_path / "pictures", tmp_path / "out"
    for i, name in enumerate(("a.jpg", "a.png", "a_classes.png")):
        write_png(folder / name, make_frame(i))  # a PNG under a name of JPEG: read by its content
    predict(make_session(), str(folder), out, raw=True)
    maps = [read_grey_or_index(path) for path in out.glob("*_classes.png") if path.name != "a_classes.png"]
    assert len(list(out.iterdir())) == 9
    maps.append(read_grey_or_index(out / "a_classes.png"))
    for i in range(3):
        assert sum(np.array_equal(one, make_frame(i)[..., 0] % 5) for one in maps) == 1


def test_raw_depth_that_its_file_cannot_hold(tmp_path: Path) -> None:
    metadata = replace(make_metadata(outputs=(DEPTH,)), depth_range_m=(1.0, 300.0))
    depth = np.full((1, SIZE[1], SIZE[0]), 5, np.float32)
    depth[0, 3, 4] = 256
    session = Session(metadata, "fake", "", lambda image: {DEPTH: depth})
    write_png(tmp_path / "a.png", make_frame(0))
    with pytest.raises(InputError, match=r"--raw: the depth of a cannot be written, .*within 0\.\.255\.996 m"):
        predict(session, str(tmp_path / "a.png"), tmp_path / "out", raw=True)
    assert not list((tmp_path / "out").glob("*_depth.png"))
    assert predict(session, str(tmp_path / "a.png"), tmp_path / "out") == (1, [])


def test_a_video_is_sent_to_infer(model_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "drive.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (160, 96))
    writer.write(make_frame(0))
    writer.release()
    with pytest.raises(InputError, match=r"is a video, and predict takes pictures; .*infer MODEL .*drive\.mp4 --raw"):
        predict(open_session(model_path, "cpu", 1), str(path), tmp_path / "out")
    nothing = tmp_path / "notes.txt"
    nothing.write_text("no picture")
    with pytest.raises(InputError, match=r"notes\.txt: not a readable image"):
        predict(open_session(model_path, "cpu", 1), str(nothing), tmp_path / "out")
