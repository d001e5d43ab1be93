"""Fixtures of the export tests: an exported stand-in network and folders of pictures."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from standins import SmallGenerator, make_frame, make_generator, make_metadata

from export.convert.to_onnx import export_onnx
from preprocessing.ground.depth import write_depth
from preprocessing.ground.files import write_png
from preprocessing.ground.frame import Camera
from preprocessing.sets.cityscapes import frame_path, write_camera


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


@pytest.fixture
def stereo_set(tmp_path: Path) -> Path:
    """Five frames, 400x192 px; frame 0 has a camera but no depth, frame 1 both, the others neither."""
    root = tmp_path / "set"
    for i in range(5):
        left = frame_path(root, "left", "train", "town", f"town_000000_{i:06d}")
        left.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_frame(i, (400, 192))).save(left)
    for i, focal in enumerate((900.0, 500.0)):
        camera = frame_path(root, "camera", "train", "town", f"town_000000_{i:06d}")
        write_camera(camera, Camera(0.25, focal, 510.0, 200.0, 96.0))
    depth = frame_path(root, "depth", "train", "town", "town_000000_000001")
    write_depth(depth, np.full((192, 400), 20, np.float32))
    return root
