"""DrivingStereo as docs/sets.md arranges it for `rig`: no format of its own, as nobody publishes its layout."""

import json
from pathlib import Path

import numpy as np
import pytest
from published_sets import shifted, write_jpeg

from advmtl.config.data import Source
from advmtl.data.index import index_with_strays
from advmtl.tasks.depth.files import read_metres
from preprocessing.ground import write_png
from preprocessing.job import PreprocessSettings, preprocess

SIZE = (176, 80)
SEQUENCES = {"2018-07-09-16-11-56": 200.7, "2018-10-11-17-08-31": 160.5}  # focal length [px]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Disparity 6 px below the first 20 rows, which have none."""
    for place, (sequence, focal) in enumerate(SEQUENCES.items()):
        name = f"{sequence}/{sequence}_2018-07-09-16-12-{place:02d}-330"
        for side, picture in zip(("left", "right"), shifted(place, 6, SIZE), strict=True):
            write_jpeg(tmp_path / f"train-{side}-image/{name}.jpg", picture)
        disparity = np.full(SIZE[::-1], 6 * 256, np.uint16)
        disparity[:20] = 0
        write_png(tmp_path / f"disparity/{name}.png", disparity)
        camera = {"baseline_m": 0.545, "fx_px": focal, "cx_px": 88.0, "cy_px": 40.0}
        (tmp_path / "calibration").mkdir(exist_ok=True)
        (tmp_path / f"calibration/{sequence}.json").write_text(json.dumps(camera))
    (tmp_path / "rig.json").write_text('{"left": "train-left-image", "right": "train-right-image"}')
    return tmp_path


def test_each_sequence_has_its_own_camera(root: Path) -> None:
    """Z = 0.545 m * f / 6 px."""
    for sequence, focal in SEQUENCES.items():
        (record,) = index_with_strays(Source.parse(f"rig:{root}:{sequence}"), "cityscapes19", "val")[0]
        metres = read_metres(record, SIZE[::-1])
        assert not metres[:20].any() and metres[20:] == pytest.approx(0.545 * focal / 6, rel=1e-5)
        assert record.lens(SIZE).fx_px == focal


def test_the_pair_gives_the_same_metres(root: Path) -> None:
    assert preprocess(root, PreprocessSettings(pictures=0, workers=1)).done == 2
    for sequence, focal in SEQUENCES.items():
        (record,) = index_with_strays(Source.parse(f"rig:{root}:{sequence}"), "cityscapes19", "train")[0]
        metres = read_metres(record, SIZE[::-1])
        assert np.median(metres[metres > 0]) == pytest.approx(0.545 * focal / 6, rel=0.01)
