"""Mapillary Vistas as a data source, both versions of its labels."""

from pathlib import Path

import numpy as np
import pytest
from published_sets import write_vistas

from advmtl.config.data import Source
from advmtl.data.formats import ids_of
from advmtl.data.index import index_with_strays
from preprocessing.ground import IGNORE, InputError, read_label_map, read_label_set, told_label_set


def records(text: str, role: str = "train", classes: str = "cityscapes19") -> list:
    return index_with_strays(Source.parse(text), classes, role)[0]


def column(record: object) -> list[int]:
    """The classes of the eight first rows, and those of the two halves below."""
    classes = read_label_map(record.labels, record.translation).classes(record.translation)  # type: ignore[attr-defined]
    assert all(len(np.unique(row)) == 1 for row in classes[:8])
    return [*classes[:8, 0].tolist(), int(classes[20, 0]), int(classes[20, -1])]


def test_the_config_is_the_label_set(tmp_path: Path) -> None:
    """A vehicle group has the car's colour, and another one to draw with; what is not evaluated is no class."""
    write_vistas(tmp_path)
    labels = read_label_set(tmp_path / "config.json")
    assert labels.names[:4] == ("bird", "curb", "road", "lane marking - general") and len(labels.names) == 8
    assert labels.ids[5] == (5,) and labels.palette[5].tolist() == [0, 0, 142]
    assert labels.palette[6].tolist() not in ([0, 0, 142], [0, 0, 0]) and not labels.has_colours
    assert (labels.ignore_ids, labels.ego_ids, labels.sky) == ((8, 255), (7,), (4,))
    assert told_label_set(str(tmp_path / "config.json"), "data.classes") == labels


def test_classes_become_cityscapes(tmp_path: Path) -> None:
    """Bird and group are none; kerb is sidewalk, a marking road; the car is 13."""
    write_vistas(tmp_path)
    found = records(f"vistas:{tmp_path}")
    assert [one.name for one in found] == ["a1B2", "c-3_D", "e5F6"]
    assert column(found[0]) == [IGNORE, 1, 0, 0, 10, 13, IGNORE, IGNORE, 13, IGNORE]
    assert [one.name for one in records(f"vistas:{tmp_path}", "val")] == ["g7H8"]
    assert column(records(f"vistas:{tmp_path}", classes="categories7")[0])[1:6] == [0, 0, 0, 4, 6]


def test_version_2_has_both_lists(tmp_path: Path) -> None:
    write_vistas(tmp_path, "2.0")
    new, old = records(f"vistas:{tmp_path}")[0], records(f"vistas:{tmp_path}:train/v1.2")[0]
    assert new.labels.parts[-3:] == ("v2.0", "labels", "a1B2.png") and old.labels.parts[-3] == "v1.2"
    assert column(new) == column(old) == [IGNORE, 1, 0, 0, 10, 13, IGNORE, IGNORE, 13, IGNORE]
    assert len(ids_of(Source.parse(f"vistas:{tmp_path}"), "train").names) == 9
    assert len(ids_of(Source.parse(f"vistas:{tmp_path}:val/v1.2"), "train").names) == 8
    with pytest.raises(InputError, match=r"splits are train, val and test, .*; not 'train/v3'"):
        records(f"vistas:{tmp_path}:train/v3")


def test_faults_hints_and_strays(tmp_path: Path) -> None:
    write_vistas(tmp_path)
    with pytest.raises(InputError, match=f"found Mapillary Vistas: write vistas:{tmp_path}"):
        records(f"folder:{tmp_path}")
    (tmp_path / "training/labels/zzz.png").write_bytes(b"")
    strays = index_with_strays(Source.parse(f"vistas:{tmp_path}"), "cityscapes19", "train")[1]
    assert [one.names for one in strays] == [("zzz.png",)]
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"config.json"):
        records(f"vistas:{tmp_path}")
