"""comma10k as a data source."""

from pathlib import Path

import pytest
from published_sets import SIZE, write_comma10k
from street_set import PLAIN, TASKS

from advmtl.config.data import Source
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.index import index_with_strays
from advmtl.data.loading import train_loader
from preprocessing.ground import InputError, label_set, translation


def records(text: str, role: str = "train") -> list:
    return index_with_strays(Source.parse(text), "comma10k", role)[0]


def test_pictures_that_end_with_9_are_measured_on(tmp_path: Path) -> None:
    """12 pictures that end with 860 to 871: one ends with 9."""
    names = write_comma10k(tmp_path)
    assert [one.name for one in records(f"comma10k:{tmp_path}", "val")] == [names[9]]
    assert [one.name for one in records(f"comma10k:{tmp_path}")] == names[:9] + names[10:]
    with pytest.raises(InputError, match="splits are train and val, not 'test'"):
        records(f"comma10k:{tmp_path}:test")


def test_five_colours_are_five_classes(tmp_path: Path) -> None:
    write_comma10k(tmp_path)
    (tmp_path / "imgs/0003.jpg").write_bytes(b"")  # listed, and not readable
    values = {
        "tasks": {"segmentation": TASKS["segmentation"]},
        "data": {
            **{"classes": "comma10k", "size": f"{SIZE[0]}x{SIZE[1]}", "fit": "stretch", "batch_size": 11},
            **{"workers": 0, "augment": PLAIN, "train": [{"format": "comma10k", "root": str(tmp_path)}]},
        },
    }
    (batch,) = train_loader(validate(Config, values, "test"))
    classes = batch.targets["segmentation"]
    assert [classes[:, row].unique().tolist() for row in range(3)] == [[1], [2], [4]]
    assert classes[:, 3:, :48].unique().tolist() == [0] and classes[:, 3:, 48:].unique().tolist() == [3]


def test_in_cityscapes_the_road_and_its_lines_are_road() -> None:
    how = translation("comma10k", "cityscapes19")
    assert how.places[:2] == (0, 0) and how.ignored == ("undrivable", "movable", "my car")
    assert label_set("comma10k").ego_colours == ((204, 0, 255),)


def test_hints_and_strays(tmp_path: Path) -> None:
    write_comma10k(tmp_path)
    with pytest.raises(InputError, match=f"found comma10k: write comma10k:{tmp_path}"):
        records(f"folder:{tmp_path}")
    (tmp_path / "masks/0099_x_9.png").write_bytes(b"")
    (tmp_path / "imgs2").mkdir()
    strays = index_with_strays(Source.parse(f"comma10k:{tmp_path}"), "comma10k", "train")[1]
    assert [one.names for one in strays] == [("0099_x_9.png",), ()]
    assert strays[1].text.startswith(f"{tmp_path}/imgs2: not read") and not strays[1].doubtful
