"""NYU Depth V2's labelled set, read out of its file as MATLAB wrote it."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from published_sets import NYU_NAMES, NYU_SIZE, nyu_arrays, write_nyuv2
from street_set import PLAIN, config

from advmtl.config.data import Source
from advmtl.data.formats import ids_of
from advmtl.data.index import index_with_strays
from advmtl.data.loading import train_loader
from advmtl.tasks.depth.files import check_files, read_metres
from preprocessing.ground import IGNORE, InputError, read_header, read_label_map, read_label_set

pytest.importorskip("h5py")
SHAPE = NYU_SIZE[::-1]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_nyuv2(tmp_path / "nyu")
    return tmp_path / "nyu"


def records(text: str, role: str = "train", classes: object = "cityscapes19") -> list:
    return index_with_strays(Source.parse(text), classes, role)[0]


def test_frames_are_those_of_the_official_lists(root: Path) -> None:
    """Counted from 1, as the lists count them."""
    assert [one.name for one in records(f"nyuv2:{root}")] == ["0001", "0003", "0004"]
    for text in (f"nyuv2:{root}:test", f"nyuv2:{root}:val"):
        assert [one.name for one in records(text)] == ["0002", "0005"]
    assert [one.name for one in records(f"nyuv2:{root}", "val")] == ["0002", "0005"]
    assert len(records(f"nyuv2:{root}:all")) == 5
    with pytest.raises(InputError, match="splits are train, test and all, not 'training'"):
        records(f"nyuv2:{root}:training")


def test_every_array_lies_as_it_was_seen(root: Path) -> None:
    """Rows and columns not exchanged, nothing upside down, metres to the last bit."""
    table = read_label_set(root / "classMapping40.mat")
    for record in records(f"nyuv2:{root}:all", classes=table):
        picture, ids, metres = nyu_arrays(int(record.name) - 1)
        assert (record.picture() == picture).all() and record.shape() == SHAPE
        assert (read_label_map(record.labels, record.translation).values == ids).all()
        check_files(record, SHAPE)
        assert (read_metres(record, SHAPE) == metres).all()
    assert read_header(record.image).mode == "RGB" and read_header(record.labels).mode == "I;16"


def test_the_tables_beside_say_the_classes(root: Path) -> None:
    """night stand and air duct are otherprop of 40, and with the lamp objects of 13; book is books of both."""
    for file, wanted in {
        "classMapping40.mat": ("books", "wall", "otherprop", "lamp", "otherprop", "floor"),
        "class13Mapping.mat": ("books", "wall", "objects", "objects", "objects", "floor"),
    }.items():
        table = read_label_set(root / file)
        how = records(f"nyuv2:{root}", classes=table)[0].translation
        assert tuple(how.target.names[place] for place in how.places) == wanted
        assert how.table[0] == IGNORE and [table.names[p] for p in how.table[1:7]] == list(wanted)
        told = dict(zip(table.names, table.ids, strict=True))
        assert {number: name for name, ids in told.items() for number in ids} == dict(enumerate(wanted, 1))


def test_a_set_of_ones_own_takes_names_or_classes_of_the_40(root: Path) -> None:
    own = root / "mine.yaml"
    own.write_text("classes: [wall, otherprop, air duct]")
    how = records(f"nyuv2:{root}", classes=read_label_set(own))[0].translation
    assert how.places == (IGNORE, 0, 1, IGNORE, 2, IGNORE) and how.source.names == NYU_NAMES
    told = records(f"nyuv2:{root}:train,classes={root}/class13Mapping.mat", classes=read_label_set(own))[0].translation
    assert told.source.names == ("books", "floor", "objects", "wall") and told.places == (IGNORE, IGNORE, IGNORE, 0)
    for name in ("classMapping40.mat", "class13Mapping.mat"):
        (root / name).unlink()
    found, strays = index_with_strays(Source.parse(f"nyuv2:{root}"), read_label_set(own), "train")
    assert found[0].translation.places == (IGNORE, 0, IGNORE, IGNORE, 2, IGNORE)
    assert "put classMapping40.mat beside" in strays[0].words
    with pytest.raises(InputError, match=r"classMapping40.mat: no such file; put the table there"):
        ids_of(Source.parse(f"nyuv2:{root}"), "train")


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_with_and_without_workers(root: Path, workers: int) -> None:
    """Each process opens the file for itself, also where it was forked from one that had it open."""
    settings = config([f"nyuv2:{root}"], augment=PLAIN, batch_size=3, size="64x48", workers=workers, cache_mb=0,
                      classes=str(root / "classMapping40.mat"))  # fmt: skip
    (batch,) = train_loader(settings)
    for place, name in enumerate(batch.names):
        _, ids, metres = nyu_arrays(int(name) - 1)
        table = np.array([IGNORE, 2, 0, 4, 3, 4, 1])
        assert torch.equal(batch.targets["segmentation"][place], torch.from_numpy(table[ids]))
        assert (batch.targets["depth"][place].squeeze().numpy() == metres).all()


def test_the_lens_is_the_toolboxs_for_640_and_scaled(root: Path) -> None:
    """Its pixels count from 1: cx 325.58244941 - 1, at a tenth of the size."""
    lens = records(f"nyuv2:{root}")[0].lens(NYU_SIZE)
    assert (lens.fx_px, lens.fy_px) == pytest.approx((51.885790, 51.946961), abs=1e-6)
    assert (lens.cx_px, lens.cy_px) == pytest.approx((32.458245, 25.273616), abs=1e-6)
    assert records(f"nyuv2:{root}:train,fx_px=60")[0].lens(NYU_SIZE).fx_px == 60


def test_only_what_is_asked_for(root: Path) -> None:
    bare = records(f"nyuv2:{root}:train,labels=none,depth=none")[0]
    assert bare.labels is None and bare.depth is None
    assert records(f"nyuv2:{root}:train,depth=prepared")[0].depth is None


def test_missing_and_wrong_files_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"found NYU Depth V2: write nyuv2:{root}"):
        records(f"folder:{root}")
    with pytest.raises(InputError, match=r"no nyu_depth_v2_labeled.mat in it, as nyuv2 has; found NYU Depth V2"):
        records(f"nyuv2:{tmp_path}")
    from scipy.io import savemat

    savemat(root / "splits.mat", {"trainNdxs": np.array([[1], [6]], np.uint16)})
    with pytest.raises(InputError, match=r"splits.mat: trainNdxs does not number frames of 1 to 5"):
        records(f"nyuv2:{root}")
    (root / "splits.mat").unlink()
    with pytest.raises(InputError, match=rf"splits.mat: no such file; put .* or read all frames: nyuv2:{root}:all"):
        records(f"nyuv2:{root}")
    savemat(root / "classMapping40.mat", {"mapClass": np.array([[1, 1]], np.uint8), "className": ["a"]})
    with pytest.raises(InputError, match=r"classMapping40.mat: is for 2 classes, and nyu_depth.* names 6"):
        records(f"nyuv2:{root}:all")
    (root / "classMapping40.mat").write_bytes(b"MATLAB 5.0")
    with pytest.raises(InputError, match=r"classMapping40.mat: not a readable .mat file"):
        records(f"nyuv2:{root}:all")


def test_what_is_no_table_of_classes_is_named(root: Path) -> None:
    for name, words in {
        "splits.mat": "holds trainNdxs, testNdxs; of .mat files classMapping40.mat and class13Mapping.mat are",
        "nyu_depth_v2_labeled.mat": "is a .mat file of version 7.3; a small table, of version 5, is expected",
    }.items():
        with pytest.raises(InputError, match=f"{name}: {words}"):
            read_label_set(root / name)
    (root / "classMapping40.mat").unlink()
    with pytest.raises(InputError, match=r"classMapping40.mat: no such file; class13Mapping.mat is for the 40 classes"):
        read_label_set(root / "class13Mapping.mat")


def test_without_h5py_the_extra_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"labeled.mat: a .mat file of version 7.3 needs .*'advmtl\[nyu\]'"):
        records(f"nyuv2:{root}")


def test_a_file_that_was_replaced_is_read_anew(root: Path) -> None:
    assert len(records(f"nyuv2:{root}:all")) == 5
    write_nyuv2(root.parent / "other", 7)
    (root.parent / "other" / "nyu_depth_v2_labeled.mat").replace(root / "nyu_depth_v2_labeled.mat")
    found = records(f"nyuv2:{root}:all")
    assert len(found) == 7 and (found[6].picture() == nyu_arrays(6)[0]).all()


def test_a_cut_or_another_file_is_named(root: Path) -> None:
    import h5py

    path = root / "nyu_depth_v2_labeled.mat"
    content = path.read_bytes()
    path.write_bytes(content[:-2000])
    with pytest.raises(InputError, match=r"labeled.mat: not a whole .mat file .*; download it again"):
        records(f"nyuv2:{root}")
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(600))
    with pytest.raises(InputError, match=r"labeled.mat: has no images; this is not the labelled set"):
        records(f"nyuv2:{root}")
    path.unlink()
    with h5py.File(path, "w") as file:  # as one who exports with Python writes it
        file["images"] = np.zeros((2, 48, 64, 3), np.uint8)
    with pytest.raises(InputError, match=r"images is uint8 \(2, 48, 64, 3\); MATLAB's, of NYU Depth V2, is \[fr"):
        records(f"nyuv2:{root}")
    path.unlink()
    with h5py.File(path, "w") as file:
        file["images"], file["depths"] = np.zeros((2, 3, 64, 48), np.uint8), np.zeros((2, 48, 64), np.float32)
    with pytest.raises(InputError, match=r"holds images \(2, 3, 64, 48\), depths \(2, 48, 64\); .*of one size"):
        records(f"nyuv2:{root}")


def test_one_damaged_frame_is_one_bad_frame(root: Path) -> None:
    import h5py

    path = root / "nyu_depth_v2_labeled.mat"
    with h5py.File(path) as file:
        place = file["images"].id.get_chunk_info_by_coord((2, 0, 0, 0)).byte_offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(b"\xff" * 64)
    first, damaged, _ = records(f"nyuv2:{root}")
    assert first.picture().any()
    with pytest.raises(InputError, match=r"images/0003.ppm: the file is damaged here"):
        damaged.picture()
