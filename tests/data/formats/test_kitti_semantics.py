"""KITTI's semantics as a data source."""

from pathlib import Path

import pytest
from published_sets import SIZE, write_kitti_semantics

from advmtl.config.data import Source
from advmtl.data.index import index_with_strays
from preprocessing.ground import InputError, read_label_map


def records(text: str, role: str = "train") -> list:
    return index_with_strays(Source.parse(text), "cityscapes19", role)[0]


def test_training_has_labels_and_testing_none(tmp_path: Path) -> None:
    """labelIds 7 and 26 are classes 0 and 13."""
    write_kitti_semantics(tmp_path)
    found = records(f"kitti_semantics:{tmp_path}")
    assert [one.name for one in found] == ["000000_10", "000001_10", "000002_10"]
    classes = read_label_map(found[2].labels, found[2].translation).classes(found[2].translation)
    assert classes[:, 0].tolist() == [0] * SIZE[1] and classes[:, -1].tolist() == [13] * SIZE[1]
    assert [one.labels for one in records(f"kitti_semantics:{tmp_path}:testing")] == [None]
    with pytest.raises(InputError, match=r"have training and testing, not 'val', .*; split it by frames"):
        records(f"kitti_semantics:{tmp_path}:val")


def test_cameras_are_those_of_stereo_2015_where_they_lie_beside(tmp_path: Path) -> None:
    write_kitti_semantics(tmp_path)
    assert records(f"kitti_semantics:{tmp_path}")[1].lens(SIZE) is None
    write_kitti_semantics(tmp_path, cameras=True)
    assert [one.lens(SIZE).fx_px for one in records(f"kitti_semantics:{tmp_path}")] == [90.0, 91.0, 92.0]
    told = Source.parse(f"kitti_semantics:{tmp_path},fx_px=70")
    assert index_with_strays(told, "cityscapes19", "train")[0][0].lens(SIZE).fx_px == 70.0


def test_hints_and_strays(tmp_path: Path) -> None:
    write_kitti_semantics(tmp_path)
    with pytest.raises(InputError, match=f"found KITTI's semantics: write kitti_semantics:{tmp_path}"):
        records(f"folder:{tmp_path}")
    (tmp_path / "training/semantic/000009_10.png").write_bytes(b"")
    strays = index_with_strays(Source.parse(f"kitti_semantics:{tmp_path}"), "cityscapes19", "train")[1]
    assert [one.names for one in strays] == [("000009_10.png",)]
