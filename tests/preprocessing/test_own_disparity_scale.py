"""The disparity that came with a set, against corners of its pairs: another scale is said, whatever it is."""

import json
from pathlib import Path

import numpy as np
import pytest
from textured_planes import planes

from preprocessing.ground import write_png
from preprocessing.job import PreprocessSettings, preprocess
from preprocessing.job.own_disparity import own_disparity_doubts
from preprocessing.sets import corner_disparities, detect_layout
from preprocessing.stereo import DatasetSettings

WALL, BOX = 12.5, (140, 50, 260, 150, 31.25)  # columns and rows of the box, px


def write_rig(root: Path, per_px: float, *, doffs_px: float = 0.0, noise: float = 0.0) -> Path:
    """Two pairs of a wall and a box, and their true disparity at `per_px` units a pixel."""
    true = np.full((200, 400), WALL)
    true[BOX[1] : BOX[3], BOX[0] : BOX[2]] = BOX[4]
    for number in (1, 2):
        left, right = planes((400, 200), WALL, (BOX,), seed=number)
        random = np.random.default_rng(number).normal(size=true.shape)
        stored = true * np.exp(noise * random) * per_px
        for kind, picture in (("left", left), ("right", right), ("disparity", np.rint(stored).astype(np.uint16))):
            write_png(root / kind / f"{number}.png", picture)
    calibration = {"baseline_m": 0.12, "fx_px": 700.0, "doffs_px": doffs_px}
    (root / "calibration.json").write_text(json.dumps(calibration))
    return root


def doubts(root: Path) -> list[str]:
    layout = detect_layout(root)
    return own_disparity_doubts(layout, layout.find_frames(root, None))


@pytest.mark.parametrize("doffs_px", [0.0, 3.0])
def test_corners_have_the_disparity_of_their_plane(doffs_px: float) -> None:
    place, followed = corner_disparities(*planes((400, 200), WALL, (BOX,)), doffs_px)
    x, y = place.T
    wall = (x < 100) | (x > 300)
    box = (x > BOX[0] + 12) & (x < BOX[2] - 12) & (y > BOX[1] + 12) & (y < BOX[3] - 12)
    assert wall.sum() > 20 and box.sum() > 10
    assert np.median(followed[wall]) == pytest.approx(WALL + doffs_px, abs=0.1)
    assert np.median(followed[box]) == pytest.approx(BOX[4] + doffs_px, abs=0.1)


@pytest.mark.parametrize(("per_px", "times"), [(100, 0.391), (16, 0.0625), (512, 2.0), (320, 1.25)])
def test_another_scale_is_said_with_its_factor(tmp_path: Path, per_px: float, times: float) -> None:
    (line,) = doubts(write_rig(tmp_path / "rig", per_px))
    assert line.startswith(str(tmp_path / "rig" / "disparity" / "1.png")) and "disparity_codec" in line
    said = float(line.split(" times that of corners")[0].split()[-1])
    assert said == pytest.approx(times, rel=0.02)


def test_the_right_scale_a_noisy_one_and_cameras_that_converge_are_not_doubted(tmp_path: Path) -> None:
    assert doubts(write_rig(tmp_path / "right", 256)) == []
    assert doubts(write_rig(tmp_path / "noisy", 256, noise=0.5)) == []
    assert doubts(write_rig(tmp_path / "converging", 256, doffs_px=5.0)) == []


def test_a_stated_scale_mends_it(tmp_path: Path) -> None:
    root = write_rig(tmp_path / "rig", 100)
    calibration = json.loads((root / "calibration.json").read_text())
    (root / "calibration.json").write_text(json.dumps({**calibration, "disparity_codec": 100}))
    assert doubts(root) == []


def test_preprocess_says_it_where_it_takes_that_disparity(tmp_path: Path) -> None:
    root = write_rig(tmp_path / "rig", 100)
    report = preprocess(root, PreprocessSettings(matcher=DatasetSettings(), workers=1))
    assert any("times that of corners" in line for line in report.doubts)
