"""`preprocess` on rigs whose labels follow another set than Cityscapes' labelIds, or none that anybody can read."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from command_line import advmtl
from PIL import Image

from preprocessing.ground import InputError, label_set_of, read_depth
from preprocessing.ground.files import write_png
from preprocessing.job import PreprocessSettings, preprocess

HEIGHT, WIDTH = 90, 240
COLOURS = {"road": (64, 32, 32), "my car": (204, 0, 255), "above": (1, 2, 200)}
CLASSES = {
    "name": "colours",
    "colours": True,
    "classes": {
        "road": {"colour": [64, 32, 32]},
        "my car": {"colour": [204, 0, 255]},
        "above": {"colour": [1, 2, 200], "sky": True},
    },
    "ego": {"colours": [[204, 0, 255]]},
}


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    """A plane at 10 px, 0.12 · 700 / 10 = 8.4 m; labels in colours: sky in 20 rows above, the car in 15 below."""
    wide = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(HEIGHT, WIDTH + 10)), (0, 0), 1.2)
    wide = np.clip(wide / wide.std() * 45 + 120, 0, 255).astype(np.uint8)
    labels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    labels[:], labels[:20], labels[-15:] = COLOURS["road"], COLOURS["above"], COLOURS["my car"]
    for side, grey in (("left", wide[:, :WIDTH]), ("right", wide[:, 10:])):
        write_png(tmp_path / side / "0.png", np.repeat(grey[..., None], 3, 2))
    write_png(tmp_path / "labels" / "0.png", labels)
    (tmp_path / "calibration.json").write_text('{"baseline_m": 0.12, "fx_px": 700}')
    return tmp_path


def test_sky_and_the_rig_itself_by_colours(rig: Path) -> None:
    """Without labels the whole plane has depth; with them neither the sky nor the car has any."""
    own = label_set_of(CLASSES, "classes")
    assert preprocess(rig, PreprocessSettings(pictures=1, labels="none", out=rig / "none")).done == 1
    report = preprocess(rig, PreprocessSettings(pictures=1, classes=own, out=rig / "own"))
    assert report.done == 1
    without, depth = (read_depth(rig / out / "depth" / "0.png") for out in ("none", "own"))
    assert (without[:20, 20:] > 0).mean() > 0.9 and (without[-15:, 20:] > 0).mean() > 0.9
    assert not depth[:20].any() and not depth[-15:].any()
    middle = depth[25:70, 30:]
    assert (middle > 0).mean() > 0.95 and np.median(middle[middle > 0]) == pytest.approx(8.4, abs=0.1)
    drawn = np.array(Image.open(rig / "own" / "depth" / "pictures" / "0.png"))
    assert drawn.ndim == 3, "the picture has the set's colours"


def test_labels_that_do_not_fit_name_both_ways_out(rig: Path) -> None:
    with pytest.raises(InputError, match=r"0\.png: has 3 channels.*--classes NAME\|FILE says which; --labels none"):
        preprocess(rig, PreprocessSettings(pictures=0))
    write_png(rig / "labels" / "0.png", np.full((HEIGHT, WIDTH), 40, np.uint8))
    with pytest.raises(InputError, match=r"unknown class id 40 \(21600 pixels\); .*than cityscapes19\? --classes NAME"):
        preprocess(rig, PreprocessSettings(pictures=0))


def test_another_set_makes_maps_anew_and_the_same_one_does_not(rig: Path) -> None:
    own = label_set_of(CLASSES, "classes")
    preprocess(rig, PreprocessSettings(pictures=0, labels="none"))
    assert preprocess(rig, PreprocessSettings(pictures=0, classes=own)).reused == 0
    assert preprocess(rig, PreprocessSettings(pictures=0, classes=own)).reused == 1
    drawn = label_set_of({**CLASSES, "name": "renamed"}, "classes")
    assert preprocess(rig, PreprocessSettings(pictures=0, classes=drawn)).reused == 1, "its name shapes nothing"


def test_the_command_takes_a_file(rig: Path) -> None:
    (rig / "own.yaml").write_text(json.dumps(CLASSES))  # JSON is YAML
    result = advmtl("preprocess", rig, "--classes", rig / "own.yaml", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert not read_depth(rig / "depth" / "0.png")[:20].any()
    result = advmtl("preprocess", rig, "--labels", "none", "--workers", 1)
    assert result.exit_code == 0 and read_depth(rig / "depth" / "0.png")[:20].any()
    result = advmtl("preprocess", rig, "--labels", "some")
    assert result.exit_code != 0
