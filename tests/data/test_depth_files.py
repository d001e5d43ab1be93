"""Depth of a source whose files are not metres × 256, from the keys of the source to metres."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from advmtl.config.data import Source
from advmtl.data.index import index_source, index_with_strays
from advmtl.tasks import TASKS, TaskSpec, read_metres
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png

DEPTH = TASKS["depth"].arrays
METRES = np.array([[0, 5, 12.5], [2, 40, 8.4]], np.float32)
SHAPE = METRES.shape


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_png(tmp_path / "images/0.png", np.zeros((*SHAPE, 3), np.uint8))
    (tmp_path / "depth").mkdir()
    return tmp_path


def metres(text: str) -> np.ndarray:
    (record,) = index_source(Source.parse(text), "cityscapes19", "train")
    DEPTH.check(record, SHAPE)
    assert DEPTH.contents(record, SHAPE, TaskSpec()) is not None
    return read_metres(record, SHAPE)


@pytest.mark.parametrize(
    ("keys", "stored"),
    [
        ("depth.unit=mm", METRES * 1000),
        ("depth.scale=1000,depth.invalid=[0,65535]", np.where(METRES == 0, 65535, METRES * 1000)),
        ("depth.unit=cm,depth.invalid=65535", np.where(METRES == 0, 65535, METRES * 100)),
        ("depth.scale=1000,depth.offset=7,depth.invalid=7", METRES * 1000 + 7),
        ("depth=prepared", METRES * 256),
        ("depth.take=prepared", METRES * 256),
    ],
)
def test_scales_units_offsets(root: Path, keys: str, stored: np.ndarray) -> None:
    write_png(root / "depth/0.png", np.rint(stored).astype(np.uint16))
    np.testing.assert_allclose(metres(f"folder:{root},{keys}"), METRES, atol=0.003)


def test_inverse_depth_and_floats(root: Path) -> None:
    np.save(root / "depth/0.npy", METRES)
    np.testing.assert_array_equal(metres(f"folder:{root}"), METRES)
    inverse = np.divide(1, METRES, out=np.zeros_like(METRES), where=METRES > 0)
    np.save(root / "depth/0.npy", inverse)
    np.testing.assert_allclose(metres(f"folder:{root},depth.kind=inverse"), METRES, rtol=1e-6)


def test_disparity_becomes_metres_by_its_camera(root: Path) -> None:
    """B f = 0.5 m · 100 px = 50: 12.5 m are 4 px; with a principal point 2 px off, 2 px are."""
    disparity = np.array([[0, 10, 4], [25, 1.25, 5]], np.float32)
    expected = np.array([[0, 5, 12.5], [2, 40, 10]], np.float32)
    write_png(root / "depth/0.png", np.rint(disparity * 16).astype(np.uint16))
    source = f"folder:{root},depth.kind=disparity,depth.scale=16"
    with pytest.raises(InputError, match=r"0\.png: a disparity needs its camera; give the source camera=FILE"):
        metres(source)
    wide = Image.new("RGB", (300, 2))
    (root / "images/0.png").unlink()
    wide.save(root / "images/0.png")
    write_png(root / "depth/0.png", np.repeat(np.rint(disparity * 16).astype(np.uint16), 100, axis=1))
    shape = (2, 300)
    (record,) = index_source(Source.parse(f"{source},depth.baseline_m=0.5,fx_px=100"), "cityscapes19", "train")
    np.testing.assert_allclose(read_metres(record, shape)[:, ::100], expected, rtol=1e-5)
    (root / "camera.json").write_text(json.dumps({"baseline_m": 0.5, "fx_px": 100, "doffs_px": 2}))
    (record,) = index_source(Source.parse(f"{source},camera={root / 'camera.json'}"), "cityscapes19", "train")
    np.testing.assert_allclose(read_metres(record, shape)[0, ::100], [0, 50 / 12, 50 / 6], rtol=1e-5)


def test_eight_bits_are_read_where_their_scale_is_stated(root: Path) -> None:
    write_png(root / "depth/0.png", METRES.astype(np.uint8))
    with pytest.raises(InputError, match=r"has 16 bits.*this one is uint8; the source's depth\.scale states another"):
        metres(f"folder:{root}")
    np.testing.assert_array_equal(metres(f"folder:{root},depth.scale=1"), np.floor(METRES))


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        ("depth.skale=2", r"depth\.skale: unknown key"),
        ("depth.scale=-1", r"depth\.scale"),
        ("depth.unit=yard", r"depth\.unit: 'yard' is no unit of depth; offered: m, dm"),
        ("depth=metres", "'metres'; offered: auto, prepared"),
        ("depth=none,depth.unit=mm", r"exclude each other"),
        ("depth.kind=disparity,depth.unit=mm", "unit: mm is one of depth"),
        ("bits=7", "bits"),
        ("part=test", "part"),
    ],
)
def test_keys_that_cannot_be(root: Path, keys: str, named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        Source.parse(f"folder:{root},{keys}")
    assert "\n" not in str(caught.value)


def test_a_source_with_a_mapping_is_written_and_read_again(root: Path) -> None:
    source = Source.parse(f"folder:{root}:x,depth.unit=mm,depth.invalid=[1,2]")
    again = Source.model_validate(source.model_dump(mode="json"))
    assert again == source and again.depth_files.codec == source.depth_files.codec and source.takes == "auto"
    assert Source.parse(f"folder:{root}").model_dump()["depth"] == "auto"


@pytest.fixture
def rig(tmp_path: Path) -> Path:
    for side in ("left", "right"):
        write_png(tmp_path / side / "0.png", np.zeros((*SHAPE, 3), np.uint8))
    write_png(tmp_path / "depth/0.png", np.rint(METRES * 1000).astype(np.uint16))
    return tmp_path


def test_a_sensors_own_depth_in_a_rig(rig: Path) -> None:
    calibration = {"baseline_m": 0.12, "fx_px": 700}
    (rig / "calibration.json").write_text(json.dumps(calibration))
    (record,) = index_source(Source.parse(f"rig:{rig}"), "cityscapes19", "train")
    contents = DEPTH.contents(record, SHAPE, TaskSpec())
    assert contents is not None
    doubts = DEPTH.doubts([(record, contents)], TaskSpec())
    assert "does not say that preprocess wrote it" in doubts[0] and "depth.unit=mm" in doubts[0]
    np.testing.assert_allclose(metres(f"rig:{rig},depth.unit=mm"), METRES, atol=0.001)
    (rig / "calibration.json").write_text(json.dumps({**calibration, "depth_codec": {"unit": "mm"}}))
    np.testing.assert_allclose(metres(f"rig:{rig}"), METRES, atol=0.001)
    assert not DEPTH.doubts([(record, contents)], TaskSpec())


def test_a_codec_of_the_sequences_own_calibration_goes_before_the_sets(tmp_path: Path) -> None:
    """p = 513: 2 px in Cityscapes' codec, 513 / 256 in KITTI's, 32.0625 at 16 a pixel. B f = 84."""
    for sequence in ("a", "b", "c"):
        for side in ("left", "right"):
            write_png(tmp_path / side / sequence / "0.png", np.zeros((2, 900, 3), np.uint8))
        write_png(tmp_path / "disparity" / sequence / "0.png", np.full((2, 900), 513, np.uint16))
    camera = {"baseline_m": 0.12, "fx_px": 700}
    (tmp_path / "calibration").mkdir()
    (tmp_path / "calibration.json").write_text(json.dumps({**camera, "disparity_codec": "cityscapes"}))
    (tmp_path / "calibration/b.json").write_text(json.dumps(camera))
    (tmp_path / "calibration/c.json").write_text(json.dumps({**camera, "disparity_codec": 16}))
    records = index_source(Source.parse(f"rig:{tmp_path}"), "cityscapes19", "train")
    depths = [float(read_metres(record, (2, 900))[0, 0]) for record in records]
    assert depths == pytest.approx([42, 42, 84 / (513 / 16)], rel=1e-5)


def test_bits_of_a_source_are_found_said_and_stated(root: Path) -> None:
    cv2.imwrite(str(root / "images/0.png"), np.full((*SHAPE, 3), 800, np.uint16))
    records, strays = index_with_strays(Source.parse(f"folder:{root}"), "cityscapes19", "train")
    assert records[0].picture().max() == 200  # 800 >> 2
    assert any("pictures use 10 of 16 bits" in one.words and not one.doubtful for one in strays)
    (stated,) = index_source(Source.parse(f"folder:{root},bits=12"), "cityscapes19", "train")
    assert stated.picture().max() == 50


@pytest.mark.parametrize(("orientation", "of_stored", "turned"), [(6, False, True), (6, True, False), (3, True, True)])
def test_a_picture_is_turned_where_its_labels_belong_to_that(
    tmp_path: Path, orientation: int, of_stored: bool, turned: bool
) -> None:
    """Stored 4×2 (w×h): upright it is 2×4 by 6, and 4×2 by 3, so that labels of that size say nothing against."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    (tmp_path / "images").mkdir()
    Image.new("RGB", (4, 2)).save(tmp_path / "images/0.jpg", exif=exif.tobytes())
    write_png(tmp_path / "labels/0.png", np.zeros((2, 4) if of_stored else (4, 2), np.uint8))
    (record,) = index_source(Source.parse(f"folder:{tmp_path}"), "cityscapes19", "train")
    expected = (4, 2) if orientation == 6 and turned else (2, 4)
    assert record.shape() == record.picture().shape[:2] == expected
