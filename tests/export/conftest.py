"""Fixtures of the export tests: an exported stand-in network and folders of pictures."""

from collections.abc import Callable
from pathlib import Path

import pytest
from standins import SmallGenerator, make_frame, make_generator, make_metadata

from export.to_onnx import export_onnx
from preprocessing.files import write_png


@pytest.fixture(scope="session")
def generator() -> SmallGenerator:
    return make_generator()


@pytest.fixture(scope="session")
def model_path(generator: SmallGenerator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    export_onnx(generator, make_metadata(), path)
    return path


@pytest.fixture
def picture_folder(tmp_path: Path) -> Callable[[int], Path]:
    """Write that many PNG files, 200x120 px, and give their folder."""

    def make(count: int) -> Path:
        folder = tmp_path / "pictures"
        for i in range(count):
            write_png(folder / f"{i:03d}.png", make_frame(i, (200, 120)))
        return folder

    return make
