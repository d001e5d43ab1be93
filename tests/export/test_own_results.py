"""Results of infer, predict and export over what is there: earlier ones are replaced, nothing else is."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import advmtl
from standins import make_frame, make_session
from untouched import lying_in

import export.__main__ as board
from export.command import _files
from export.predict import predict
from export.stream import Outputs, infer
from preprocessing.ground import FILM, MODEL_FILE, PICTURE, check_outputs, is_ours, mark_film
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png

Pictures = Callable[[int], Path]


def write_film(path: Path, count: int = 5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 8.0, (200, 120))
    for i in range(count):
        writer.write(cv2.cvtColor(make_frame(i, (200, 120)), cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def refusal(folder: Path, *arguments: object) -> str:
    """The one line with which both commands refuse; nothing in `folder` is other than before."""
    before = lying_in(folder)
    result = advmtl("infer", *arguments)
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and len(lines) == 1, result.output
    assert board.main([str(one) for one in arguments]) == 2
    assert lying_in(folder) == before
    return lines[0]


def test_the_recording_the_pictures_and_the_model_stay(
    model_path: Path, picture_folder: Pictures, tmp_path: Path
) -> None:
    film, own, model = write_film(tmp_path / "mine.mp4"), picture_folder(3), tmp_path / "m.onnx"
    shutil.copy(model_path, model)
    (tmp_path / "link.mp4").symlink_to("mine.mp4")
    os.link(film, tmp_path / "hard.mp4")
    (tmp_path / "door").symlink_to(own, target_is_directory=True)
    shutil.copytree(own, tmp_path / "twin", copy_function=os.link)
    for out in ("mine.mp4", "link.mp4", "hard.mp4", "pictures/../mine.mp4"):
        assert "SOURCE" in refusal(tmp_path, model, film, "--out", tmp_path / out)
    assert "SOURCE" in refusal(tmp_path, model, tmp_path / "link.mp4", "--out", film)
    for out in ("pictures", "door"):
        assert "give another folder" in refusal(tmp_path, model, own, "--out", tmp_path / out)
        assert "give another folder" in refusal(tmp_path, model, own, "--arrays", tmp_path / out)
    assert "twin/000.png" in refusal(tmp_path, model, own, "--out", tmp_path / "twin")
    for option in ("--log", "--report", "--out"):
        refusal(tmp_path, model, own, option, model)


def test_pictures_of_a_folder_in_the_source_are_no_results(
    model_path: Path, picture_folder: Pictures, tmp_path: Path
) -> None:
    own = picture_folder(2)
    write_png(own / "day" / "x.png", make_frame(5, (200, 120)))
    assert "day: holds x.png" in refusal(tmp_path, model_path, own, "--out", own / "day")
    for _ in range(2):  # a folder of results in it is passed over by the next call, and its results are replaced
        assert advmtl("infer", model_path, own, "--out", own / "drawn").exit_code == 0
    assert len(list((own / "drawn").rglob("*.png"))) == 3


def test_a_folder_above_the_source_is_a_place_for_results(
    model_path: Path, picture_folder: Pictures, tmp_path: Path
) -> None:
    own = picture_folder(2)
    before = lying_in(own)
    for command in ("infer", "predict"):
        assert advmtl(command, model_path, own, "--out", tmp_path).exit_code == 0
        assert lying_in(own) == before
    write_png(own / own.name / "000.png", make_frame(0, (200, 120)))  # its drawing would be that very first picture
    assert "pictures/000.png" in refusal(tmp_path, model_path, own, "--out", tmp_path)


def test_results_are_replaced_and_nothing_else(model_path: Path, tmp_path: Path) -> None:
    film = write_film(tmp_path / "drive.mp4")
    names = {"out": "r.mp4", "arrays": "a", "log": "l.jsonl", "report": "r.json"}
    for ending in (".mp4", ".mkv"):
        names["out"] = f"r{ending}"
        line = [part for name, path in names.items() for part in (f"--{name}", tmp_path / path)]
        for limit in (5, 3):  # the second over the first
            result = advmtl("infer", model_path, film, *line, "--limit", limit)
            assert result.exit_code == 0, result.output
        capture = cv2.VideoCapture(str(tmp_path / names["out"]))
        assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert json.loads((tmp_path / "r.json").read_text())["frames"] == 3
    assert len((tmp_path / "l.jsonl").read_text().splitlines()) == 3
    assert len(list((tmp_path / "a").glob("*.npz"))) == 5
    # Another film of the user's, a table of arrays, a report of another command.
    other = write_film(tmp_path / "other.mp4", 2)
    np.savez(tmp_path / "a" / "own.npz", classes=np.zeros(3))
    (tmp_path / "other.json").write_text('{"frames": 3}')
    for option, path in (("--out", other), ("--report", tmp_path / "other.json"), ("--log", other)):
        assert "so it stays" in refusal(tmp_path, model_path, film, option, path)
    arrays = (tmp_path / "a" / "own.npz").read_bytes()
    assert advmtl("infer", model_path, film, "--arrays", tmp_path / "a").exit_code == 0
    assert (tmp_path / "a" / "own.npz").read_bytes() == arrays


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
def test_a_marked_film_has_the_same_frames(ending: str, tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / f"f{ending}"), cv2.VideoWriter.fourcc(*"mp4v"), 8.0, (200, 120))
    for i in range(4):
        writer.write(make_frame(i, (200, 120)))
    writer.release()
    path = tmp_path / f"f{ending}"
    before = decoded(path)
    assert not is_ours(path, FILM)
    mark_film(path, ending.upper())
    assert is_ours(path, FILM)
    assert len(before) == 4 and np.array_equal(before, decoded(path))


def decoded(path: Path) -> np.ndarray:
    capture, found = cv2.VideoCapture(str(path)), []
    while (frame := capture.read())[0]:
        found.append(frame[1])
    return np.array(found)


def test_the_python_doors_refuse_alike(picture_folder: Pictures, tmp_path: Path) -> None:
    own, film = picture_folder(2), write_film(tmp_path / "mine.mp4")
    before = lying_in(tmp_path)
    for source, outputs in (
        (own, Outputs(own)),
        (str(own), own),
        (film, film),
        (film, Outputs(log=film)),
        (film, Outputs(tmp_path / "x", log=tmp_path / "x")),
        (own, Outputs(arrays=own)),
    ):
        with pytest.raises(InputError):
            infer(make_session(), source, outputs)
    with pytest.raises(InputError, match="is read"):
        predict(make_session(), str(own), own)
    for run in (
        lambda: predict(make_session(), str(own / "000.png"), own),
        lambda: infer(make_session(), own / "000.png", own),
    ):
        with pytest.raises(InputError, match=r"000\.png: is .*which is read"):
            run()
    assert lying_in(tmp_path) == before


def test_panels_get_a_number_where_a_picture_of_the_user_s_is(picture_folder: Pictures, tmp_path: Path) -> None:
    own, out = picture_folder(1), tmp_path / "panels"
    out.mkdir()
    (out / "000.png").write_bytes(b"the user's")
    (out / "001_depth.png").write_bytes(b"the user's")
    for _ in range(2):
        assert predict(make_session(), str(own), out, raw=True)[0] == 1
    assert (out / "000.png").read_bytes() == b"the user's"
    new = sorted(path.name for path in out.iterdir() if is_ours(path, PICTURE))
    assert len(new) == 3 and new[0].startswith("000_") and "_classes" in new[1] and "_depth" in new[2]


def test_a_model_is_known_by_its_metadata(model_path: Path, tmp_path: Path) -> None:
    assert is_ours(model_path, MODEL_FILE)
    (tmp_path / "m.onnx").write_bytes(b"\x08\x08\x12\x07pytorch")
    (tmp_path / "m_int8.json").write_text("{}")
    with pytest.raises(InputError, match=r"m\.onnx: is there"):
        check_outputs(_files(tmp_path / "m.onnx", ["fp32"], engine=False))
    (tmp_path / "m.onnx").unlink()
    check_outputs(_files(tmp_path / "m.onnx", ["fp32"], engine=True))
    with pytest.raises(InputError, match=r"m_int8\.json: is there"):
        check_outputs(_files(tmp_path / "m.onnx", ["fp32", "int8"], engine=False))
    (tmp_path / "m.engine").write_bytes(b"another's engine")
    with pytest.raises(InputError, match=r"m\.engine: is there"):
        check_outputs(_files(tmp_path / "m.onnx", ["fp32"], engine=True))
