"""advmtl.data.parts: lists of frames, and parts that share no drive."""

from pathlib import Path

import numpy as np
import pytest

from advmtl.config.data import Source
from advmtl.data.index import index_source, index_with_strays
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import write_png


def pictures(root: Path, **drives: int) -> None:
    for drive, count in drives.items():
        for number in range(count):
            write_png(root / "images" / drive / f"{number:03d}.png", np.zeros((2, 3, 3), np.uint8))


def names(root: Path, **keys: object) -> list[str]:
    source = Source.model_validate({"format": "folder", "root": str(root), **keys})
    return [record.name for record in index_source(source, "cityscapes19", "train")]


def test_drives_with_equal_names_do_not_collide(tmp_path: Path) -> None:
    pictures(tmp_path, a=2, b=1)
    write_png(tmp_path / "labels/b/000.png", np.zeros((2, 3), np.uint8))
    source = Source.parse(f"folder:{tmp_path}")
    records = {record.name: record for record in index_source(source, "cityscapes19", "train")}
    assert list(records) == ["a/000", "a/001", "b/000"]
    assert records["a/000"].labels is None and records["b/000"].labels == tmp_path / "labels/b/000.png"


@pytest.mark.parametrize("seed", range(4))
def test_a_drive_is_wholly_in_one_part(tmp_path: Path, seed: int) -> None:
    """20 frames, of which a quarter is asked for: the drives of val have 5 by the nearest sum, never none or all."""
    pictures(tmp_path, a=2, b=3, c=5, d=4, e=6)
    parts = {part: names(tmp_path, part=part, share=0.25, seed=seed) for part in ("train", "val")}
    drives = {part: {name.partition("/")[0] for name in found} for part, found in parts.items()}
    assert not drives["train"] & drives["val"] and drives["train"] | drives["val"] == set("abcde")
    assert sorted(parts["train"] + parts["val"]) == names(tmp_path)
    assert 2 <= len(parts["val"]) <= 9
    assert names(tmp_path, part="val", share=0.25, seed=seed) == parts["val"]


def test_other_seeds_choose_other_drives_and_a_new_drive_moves_no_other(tmp_path: Path) -> None:
    pictures(tmp_path, **{f"d{number}": 3 for number in range(12)})
    chosen = {seed: frozenset(names(tmp_path, part="val", share=0.25, seed=seed)) for seed in range(5)}
    assert len(set(chosen.values())) > 1 and all(len(one) == 9 for one in chosen.values())


def test_one_drive_is_cut_into_blocks_with_a_gap_and_that_is_said(tmp_path: Path) -> None:
    """100 frames, val has 20 in a row, and 10 on each side of them are in no part."""
    pictures(tmp_path, a=100)
    val = [int(name[2:]) for name in names(tmp_path, part="val", share=0.2)]
    train = [int(name[2:]) for name in names(tmp_path, part="train", share=0.2)]
    assert val == list(range(val[0], val[0] + 20))
    assert train == [*range(val[0] - 10), *range(val[0] + 30, 100)]
    source = Source.parse(f"folder:{tmp_path},part=val")
    (said,) = [one for one in index_with_strays(source, "cityscapes19", "val")[1] if "part val" in one.words]
    assert f"part val has 20 of 100 frames, of one drive, whose frames {val[0]} to {val[0] + 20} are val" in said.words
    assert said.doubtful


def test_too_few_frames_cannot_be_divided(tmp_path: Path) -> None:
    pictures(tmp_path, a=1)
    with pytest.raises(InputError, match=r"too few frames \(1\)"):
        names(tmp_path, part="train")


def test_a_list_names_frames_in_any_way_of_writing(tmp_path: Path) -> None:
    pictures(tmp_path, a=3, b=3)
    write_list = (tmp_path / "val.txt").write_text
    write_list("b/001.png some/depth.png 721.5\n./images/a/000\n\n# a comment\n")
    assert names(tmp_path, list="val.txt") == ["a/000", "b/001"]
    write_list(
        f"{tmp_path / 'images/a/002.png'}\nb 1 l\nb 1 r\nimages/a 0000000000 l\n"
    )  # monodepth: FOLDER NUMBER SIDE
    assert names(tmp_path, list=str(tmp_path / "val.txt")) == ["a/000", "a/002", "b/001"]


def test_what_a_list_names_and_is_not_there_is_said(tmp_path: Path) -> None:
    pictures(tmp_path, a=3)
    (tmp_path / "val.txt").write_text("a/001\na/007\na/008\n")
    source = Source.parse(f"folder:{tmp_path},list=val.txt")
    records, strays = index_with_strays(source, "cityscapes19", "val")
    assert [record.name for record in records] == ["a/001"]
    assert strays[-1].words.startswith(
        f"{tmp_path / 'val.txt'}: 2 of 3 frames are not there, e.g. a/007; the nearest is a/00"
    )
    (tmp_path / "val.txt").write_text("b/001\n")
    with pytest.raises(InputError, match=r"val\.txt: none of its 1 frames is there; the first is b/001"):
        index_source(source, "cityscapes19", "val")
    with pytest.raises(InputError, match=r"none\.txt: no such list of frames"):
        names(tmp_path, list="none.txt")


def test_splits_are_named_where_none_is_given(tmp_path: Path) -> None:
    pictures(tmp_path, train=1, val=1)
    with pytest.raises(InputError, match=f"its folders are train, val; name the split: folder:{tmp_path}:train, "):
        names(tmp_path)
    write_png(tmp_path / "images/0.png", np.zeros((2, 3, 3), np.uint8))
    assert names(tmp_path) == ["0", "train/000", "val/000"]
