"""BDD100K's semantic segmentation as a data source."""

from pathlib import Path

import pytest
from published_sets import write_bdd100k

from advmtl.config.data import Source
from advmtl.data.index import index_with_strays
from preprocessing.ground import IGNORE, InputError, read_label_map


def records(text: str, role: str = "train", classes: str = "cityscapes19") -> list:
    return index_with_strays(Source.parse(text), classes, role)[0]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_bdd100k(tmp_path)
    return tmp_path


def test_splits_are_folders(root: Path) -> None:
    names = {role: [one.name for one in records(f"bdd100k:{root}", role)] for role in ("train", "val")}
    assert names == {"train": ["0004a4c0-d4dff0ad", "00054602-3bf57337"], "val": ["7d06fefd-f7be05a6"]}
    (test,) = records(f"bdd100k:{root}:test")
    assert test.labels is None and test.image.suffix == ".jpg"
    with pytest.raises(InputError, match=r"images/10k/dev: no such folder; there is test, train, val"):
        records(f"bdd100k:{root}:dev")


def test_masks_hold_train_ids(root: Path) -> None:
    """13 is a car, which is 8 of CamVid's classes; as labelIds it would be a fence."""
    for classes, car in (("cityscapes19", 13), ("camvid11", 8)):
        record = records(f"bdd100k:{root}", classes=classes)[0]
        found = read_label_map(record.labels, record.translation).classes(record.translation)
        assert found[:, :48].min() == found[:, :48].max() == car and set(found[:, 48:].ravel().tolist()) == {IGNORE}


def test_hints_and_strays(root: Path) -> None:
    with pytest.raises(InputError, match=f"found BDD100K: write bdd100k:{root}"):
        records(f"cityscapes:{root}")
    (root / "labels/sem_seg/masks/train/odd.png").write_bytes(b"")
    strays = index_with_strays(Source.parse(f"bdd100k:{root}"), "cityscapes19", "train")[1]
    assert [one.names for one in strays] == [("odd.png",)]
