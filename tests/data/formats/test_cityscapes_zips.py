"""Cityscapes' archives read where they lie: the same frames, batches and depth as from its folders."""

import shutil
from pathlib import Path

import pytest
import torch
from published_sets import shifted, zip_cityscapes
from street_set import config, write_cityscapes

from advmtl.config.data import Source
from advmtl.data.index import index_with_strays
from advmtl.data.loading import train_loader
from preprocessing.ground import InputError, read_depth, write_png
from preprocessing.job import PreprocessSettings, preprocess
from preprocessing.sets import detect_layout, frame_path


@pytest.fixture(params=[False, True])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """One set as folders and as archives."""
    write_cityscapes(tmp_path / "plain", "train", 4)
    write_cityscapes(tmp_path / "plain", "val", 2)
    zip_cityscapes(tmp_path / "plain", tmp_path / "zips", deflated=request.param)
    return tmp_path / "plain", tmp_path / "zips"


def records(root: Path, role: str = "train") -> list:
    return index_with_strays(Source.parse(f"cityscapes:{root}"), "cityscapes19", role)[0]


def test_frames_are_those_of_the_folders(pair: tuple[Path, Path]) -> None:
    plain, zips = pair
    for role in ("train", "val"):
        one, other = records(plain, role), records(zips, role)
        assert [record.name for record in one] == [record.name for record in other]
        assert other[0].image.parts[len(zips.parts)] == "leftImg8bit_trainvaltest.zip"
        assert all(record.labels and record.disparity and record.frame.camera for record in other)
        assert one[0].lens((96, 48)) == other[0].lens((96, 48))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_those_of_the_folders(pair: tuple[Path, Path], workers: int) -> None:
    batches = [
        list(train_loader(config([f"cityscapes:{root}"], batch_size=2, workers=workers, cache_mb=0))) for root in pair
    ]
    for one, other in zip(*batches, strict=True):
        assert one.names == other.names and torch.equal(one.image, other.image)
        assert all(torch.equal(one.targets[task], other.targets[task]) for task in one.targets)


def test_folders_and_archives_may_be_mixed(pair: tuple[Path, Path]) -> None:
    """What is unpacked goes first: depth that preprocess wrote, and here the labels of one split."""
    plain, zips = pair
    shutil.copytree(plain / "gtFine" / "val", zips / "gtFine" / "val")
    assert records(zips, "val")[0].labels.is_relative_to(zips / "gtFine")
    assert records(zips)[0].labels.is_relative_to(zips / "gtFine_trainvaltest.zip")
    (zips / "gtFine_trainvaltest.zip").unlink()
    assert records(zips)[0].labels is None and records(zips, "val")[0].labels is not None


def test_a_cut_download_is_named(pair: tuple[Path, Path]) -> None:
    path = pair[1] / "leftImg8bit_trainvaltest.zip"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"leftImg8bit_trainvaltest.zip: not a whole zip archive"):
        records(pair[1])


def test_other_archives_beside_them_are_no_part_of_it(pair: tuple[Path, Path]) -> None:
    """leftImg8bit_blurred holds its own folder; another format named here is told this one."""
    (pair[1] / "leftImg8bit_blurred.zip").write_bytes(b"not looked at")
    assert len(records(pair[1])) == 4 and detect_layout(pair[1]).name == "cityscapes"
    with pytest.raises(InputError, match=f"found Cityscapes' layout: write cityscapes:{pair[1]}"):
        index_with_strays(Source.parse(f"folder:{pair[1]}"), "cityscapes19", "train")


def test_depth_is_made_from_archives_and_lies_beside_them(tmp_path: Path) -> None:
    plain, zips = tmp_path / "plain", tmp_path / "zips"
    for number, name in enumerate(write_cityscapes(plain, "train", 3)):
        for kind, picture in zip(("left", "right"), shifted(number, 4), strict=True):
            write_png(frame_path(plain, kind, "train", "town", name), picture)
    zip_cityscapes(plain, zips)
    reports = [preprocess(root, PreprocessSettings(pictures=0)) for root in (plain, zips)]
    assert [report.done for report in reports] == [3, 3] and reports[1].complete
    for path in sorted((plain / "depth").rglob("*_depth.png")):
        assert (read_depth(zips / path.relative_to(plain)) == read_depth(path)).all()
    assert preprocess(zips, PreprocessSettings(pictures=0)).reused == 3
    assert preprocess(zips, PreprocessSettings(pictures=0, out=tmp_path / "out")).done == 3
    assert (tmp_path / "out/leftImg8bit_trainvaltest.zip").is_symlink() and records(tmp_path / "out")[0].depth
