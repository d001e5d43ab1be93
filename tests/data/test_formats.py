"""advmtl.data.formats: the table, a caller's own format, and a caller's own frames."""

from pathlib import Path

import pytest
from street_set import PLAIN, config, write_folder

from advmtl.config.data import Source
from advmtl.data.formats import FORMATS, Format, format_of
from advmtl.data.index import index_source
from advmtl.data.loading import train_loader, val_loaders
from advmtl.tasks.record import FrameRecord
from preprocessing.ground.errors import InputError


def _index(source: Source, classes: str, role: str) -> list[FrameRecord]:
    """Pictures in shots/, depth in metres/."""
    root = Path(source.root)
    return [
        FrameRecord(path.stem, path, "train", classes, depth=root / "metres" / path.name)
        for path in sorted((root / "shots").iterdir())
    ]


SHOTS = Format(
    index=_index,
    is_one=lambda root: (root / "shots").is_dir(),
    needs="shots/",
    kind=lambda root: "shots/ and metres/" if (root / "shots").is_dir() else None,
    holds="shots/ metres/",
    ids="train",
    splits=False,
)
OWN = FORMATS | {"shots": SHOTS}


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    write_folder(tmp_path, frames=5, depth_m=9.0)
    (tmp_path / "images").rename(tmp_path / "shots")
    (tmp_path / "depth").rename(tmp_path / "metres")
    return tmp_path


def test_a_callers_format_is_trained_and_measured(shots: Path) -> None:
    settings = config([f"shots:{shots}"], [f"shots:{shots}"], augment=PLAIN, batch_size=5)
    (batch,) = train_loader(settings, formats=OWN)
    assert len(batch) == 5 and batch.present["depth"] == [True] * 5 and batch.targets["depth"].max() == 9
    ((name, loader),) = val_loaders(settings, formats=OWN)
    assert name == f"shots:{shots}" and [record.name for record in loader.dataset.records] == [
        f"f{i}" for i in range(5)
    ]


def test_hints_know_a_callers_format(shots: Path) -> None:
    with pytest.raises(InputError, match=f"found shots/ and metres/: write shots:{shots}"):
        index_source(Source.parse(f"cityscapes:{shots}"), "cityscapes19", "train", formats=OWN)
    with pytest.raises(InputError, match="no leftImg8bit/ in it, as cityscapes has; it holds"):
        index_source(Source.parse(f"cityscapes:{shots}"), "cityscapes19", "train")


def test_an_unknown_format_names_what_there_is() -> None:
    with pytest.raises(InputError, match="'cityscape:x': format: no such format; did you mean cityscapes"):
        format_of(Source.parse("cityscape:x"))
    with pytest.raises(InputError, match=r"formats are cityscapes, .*, camvid and folder$"):
        train_loader(config(["wrong:x"]))


def test_frames_of_the_callers_own(shots: Path) -> None:
    records = _index(Source.parse(f"shots:{shots}"), "cityscapes19", "train")[1:]
    (batch,) = train_loader(config([], augment=PLAIN, batch_size=4), records=records)
    assert sorted(batch.names) == ["f1", "f2", "f3", "f4"]
    records[0].image.write_bytes(b"")
    loader = train_loader(config([], batch_size=3), records=records)
    assert [bad.name for bad in loader.dataset.bad_frames] == ["f1"]
    with pytest.raises(InputError, match="none of the training frames is good"):
        train_loader(config([]), records=records[:1])
