"""Panels and raw maps on still pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from standins import SIZE

from export.predict import predict
from export.runtime import open_session
from preprocessing.depth import read_depth
from preprocessing.errors import InputError
from preprocessing.files import read_grey_or_index, read_image


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
