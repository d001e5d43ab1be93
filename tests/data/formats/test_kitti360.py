"""KITTI-360 as a data source, and as stereo for `preprocess`."""

from pathlib import Path

import numpy as np
import pytest
from published_sets import KITTI360_DRIVES, SIZE, write_kitti360
from street_set import PLAIN, config

from advmtl.config.data import Source
from advmtl.data.index import index_with_strays
from advmtl.data.loading import train_loader
from preprocessing.ground import IGNORE, InputError, lookup_table, read_depth
from preprocessing.job import PreprocessSettings, preprocess
from preprocessing.sets import detect_layout

ZERO, TWO = KITTI360_DRIVES


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_kitti360(tmp_path)
    return tmp_path


def records(text: str, role: str = "train") -> list:
    return index_with_strays(Source.parse(text), "cityscapes19", role)[0]


def test_splits_are_those_of_the_lists(root: Path) -> None:
    names = {role: [one.name for one in records(f"kitti360:{root}", role)] for role in ("train", "val")}
    assert names["train"] == [f"{ZERO}/000000000{n}" for n in (1, 2)]
    assert names["val"] == [f"{TWO}/000000000{n}" for n in (1, 2)]
    drive = records(f"kitti360:{root}:{TWO}")
    assert len(drive) == 3 and [one.labels is None for one in drive] == [True, False, False]
    assert drive[1].labels == root / f"data_2d_semantics/train/{TWO}/image_00/semantic/0000000001.png"


def test_listed_frames_that_are_not_there_are_said(root: Path) -> None:
    (root / f"data_2d_raw/{TWO}/image_00/data_rect/0000000002.png").unlink()
    with pytest.warns(UserWarning, match=r"val_frames.txt: 1 of 2 frames are not there, e.g. .*/0000000002"):
        assert len(records(f"kitti360:{root}", "val")) == 1
    (root / "data_2d_semantics/train/2013_05_28_drive_val_frames.txt").unlink()
    with pytest.raises(InputError, match=f"val_frames.txt: no such file, .* or name a drive: {ZERO}, {TWO}"):
        records(f"kitti360:{root}", "val")


def test_garages_are_buildings_and_lamps_are_ignored(root: Path) -> None:
    (batch,) = train_loader(config([f"kitti360:{root}"], augment=PLAIN, batch_size=2, size=f"{SIZE[0]}x{SIZE[1]}"))
    classes = batch.targets["segmentation"]
    assert classes[:, :, :48].unique().tolist() == [2] and classes[:, :, 48:].unique().tolist() == [IGNORE]


def test_ids_are_cityscapes_where_both_have_them() -> None:
    """0 to 33 and 255 mean the same in both; 35 is a gate, 37 a small pole; 45 is none."""
    own, theirs = lookup_table("kitti360", "cityscapes19"), lookup_table("cityscapes", "cityscapes19")
    assert own[:34].tolist() == theirs[:34].tolist() and own[255] == IGNORE
    assert own[34:38].tolist() == [2, 4, IGNORE, 5] and set(own[38:45].tolist()) == {IGNORE} and own[45] == 254


def test_the_camera_is_perspective_txt(root: Path) -> None:
    layout = detect_layout(root)
    frame = layout.find_frames(root, None)[0]
    camera = layout.read_camera(frame, SIZE)
    assert (layout.name, camera.fx_px, camera.u0_px, camera.baseline_m) == ("kitti360", 100.0, 47.0, 0.6)
    assert records(f"kitti360:{root}")[0].lens(SIZE).fx_px == 100.0
    (root / "calibration/perspective.txt").unlink()
    with pytest.raises(InputError, match=r"calibration/perspective.txt: no such file; unpack KITTI-360's calib"):
        layout.read_camera(layout.find_frames(root, None)[0], SIZE)


def test_a_drive_is_preprocessed(root: Path) -> None:
    """fx B / d = 100 * 0.6 / 6."""
    report = preprocess(root, PreprocessSettings(split=ZERO, pictures=0))
    assert report.complete and report.done == 3
    depth = read_depth(root / f"depth/{ZERO}/0000000002.png")
    assert np.median(depth[depth > 0]) == pytest.approx(10.0, rel=0.02)
    assert records(f"kitti360:{root}")[1].depth == root / f"depth/{ZERO}/0000000002.png"


def test_hints_and_strays(root: Path) -> None:
    with pytest.raises(InputError, match=f"found KITTI-360: write kitti360:{root}"):
        records(f"rig:{root}")
    (root / f"data_2d_semantics/train/{ZERO}/image_00/semantic/0000000009.png").write_bytes(b"")
    strays = index_with_strays(Source.parse(f"kitti360:{root}"), "cityscapes19", "train")[1]
    assert [one.names for one in strays] == [("0000000009.png",)]
