"""What a dry run says before hours are spent."""

from pathlib import Path

import numpy as np
import pytest
from random_dots import write_set
from written_depth import outputs

from preprocessing.ground.files import write_png
from preprocessing.job.inspection import inspect
from preprocessing.job.pipeline import make_plan, preprocess
from preprocessing.job.settings import PreprocessSettings
from preprocessing.sets.cityscapes import frame_path

NAMES = ("dots_0_1", "dots_0_2", "dots_0_3", "dots_0_4")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set", NAMES)


def test_it_counts_looks_at_pairs_and_writes_nothing(root: Path) -> None:
    seen = inspect(make_plan(root, PreprocessSettings()))
    assert (seen.layout, seen.frames, seen.todo, seen.problems) == ("cityscapes", 4, {"new": 4}, [])
    assert seen.cameras == [
        "4 frames: baseline 0.5 m, focal length 160.00 px, doffs 0.00 px, view 57.6 degrees; measures 1.74 m to 160 m"
    ]
    assert [name for name, _ in seen.pairs] == [f"train/dots/{name}" for name in NAMES]
    assert all("176x80" in line and "looks rectified" in line for _, line in seen.pairs)
    assert 0 < seen.needed_bytes < 1e6 < seen.free_bytes
    assert outputs(root) == []
    preprocess(root, PreprocessSettings(pictures=0))
    assert inspect(make_plan(root, PreprocessSettings(pictures=0))).todo == {}


def test_not_one_readable_picture(root: Path) -> None:
    for name in NAMES:
        path = frame_path(root, "left", "train", "dots", name)
        path.write_bytes(path.read_bytes()[:40])
    seen = inspect(make_plan(root, PreprocessSettings()))
    assert sum("truncated" in text or "not a readable image" in text for text in seen.problems) >= len(NAMES)
    assert (seen.pairs, seen.needed_bytes) == ([], 0)


def test_it_names_what_is_wrong(root: Path) -> None:
    def path(kind: str, name: str) -> Path:
        return frame_path(root, kind, "train", "dots", name)

    path("right", NAMES[0]).unlink()
    path("camera", NAMES[1]).write_text("{}")
    path("camera", NAMES[2]).unlink()
    left, right = path("left", NAMES[3]).read_bytes(), path("right", NAMES[3]).read_bytes()
    path("left", NAMES[3]).write_bytes(right)
    path("right", NAMES[3]).write_bytes(left)
    write_png(path("right", NAMES[2]), np.zeros((70, 176, 3), dtype=np.uint8))
    seen = inspect(make_plan(root, PreprocessSettings()))
    told = " | ".join(seen.problems)
    assert f"{path('left', NAMES[0])}: its right image is missing" in told
    assert f"{path('camera', NAMES[1])}: not a Cityscapes camera file" in told
    assert f"{path('right', NAMES[2])}: is 176x70, but its left image is 176x80" in told
    assert any("no file: the default camera is assumed" in line for line in seen.cameras)
    assert "swapped" in dict(seen.pairs)[f"train/dots/{NAMES[3]}"]
