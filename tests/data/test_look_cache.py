"""What was found in the files of a large source is kept for the next start."""

import os
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from advmtl.config.data import Source
from advmtl.data import frames, look_cache
from advmtl.data.index import index_source
from advmtl.data.look_cache import KNOWN_FIELDS, cache_path
from advmtl.data.looks import Look
from advmtl.tasks import TASKS, Contents, FrameRecord, TaskSpec
from preprocessing.ground.files import write_png


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FrameRecord]]:
    for number in range(5):
        write_png(tmp_path / f"set/images/{number}.png", np.zeros((3, 4, 3), np.uint8))
        write_png(tmp_path / f"set/labels/{number}.png", np.full((3, 4), number % 3, np.uint8))
        write_png(tmp_path / f"set/depth/{number}.png", np.full((3, 4), 256 * (number + 1), np.uint16))
    (tmp_path / "set/images/2.png").write_bytes(b"x")
    write_png(tmp_path / "set/labels/3.png", np.full((3, 4), 77, np.uint8))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(look_cache, "LEAST_FRAMES", 5)
    source = Source.parse(f"folder:{tmp_path / 'set'},hfov_deg=60")
    yield index_source(source, "cityscapes19", "train")


def same(first: list[Look], second: list[Look]) -> bool:
    def plain(look: Look) -> object:
        contents = {
            name: (one.pixels, one.learnt, one.measured, one.classes.tolist(), dict(one.ids), one.values.tolist())
            for name, one in look.contents.items()
        }
        return look.picture, look.fault, dict(look.faults), contents, look.lens, look.orientation

    return [plain(look) for look in first] == [plain(look) for look in second]


def test_a_second_start_opens_no_file(records: list[FrameRecord], monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, spec = {name: TASKS[name] for name in ("segmentation", "depth")}, TaskSpec(canonical_fx_px=100.0)
    first = frames.look_at(records, tasks, spec)
    assert [bool(look.fault) for look in first] == [False, False, True, False, False]
    assert "77" in first[3].faults["segmentation"] and first[0].lens is not None
    assert first[1].contents["segmentation"].ids == {1: 12} and first[4].contents["depth"].values.tolist()[0] == 5

    def refuse(*_: object) -> None:
        raise AssertionError("a file was looked at")

    monkeypatch.setattr(frames, "_look", refuse)
    assert same(frames.look_at(records, tasks, spec), first)
    with pytest.raises(AssertionError, match="was looked at"):
        frames.look_at(records, {"depth": TASKS["depth"]}, spec)


def test_one_changed_file_and_all_are_looked_at_again(records: list[FrameRecord]) -> None:
    tasks = {"depth": TASKS["depth"]}
    frames.look_at(records, tasks)
    path = records[1].depth
    assert path is not None
    status = path.stat()
    write_png(path, np.full((3, 4), 256 * 9, np.uint16))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert frames.look_at(records, tasks)[1].contents["depth"].values.tolist()[0] == 9


def test_a_damaged_or_unwritable_cache_costs_nothing_but_time(
    records: list[FrameRecord], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tasks, spec = {"depth": TASKS["depth"]}, TaskSpec()
    first = frames.look_at(records, tasks, spec)
    kept = cache_path(records, tasks, spec, frames.COUNTED_PX)
    assert kept is not None and kept.is_file()
    kept.write_bytes(kept.read_bytes()[:100])
    assert same(frames.look_at(records, tasks, spec), first)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert same(frames.look_at(records, tasks, spec), first)


def test_few_frames_are_not_kept_and_all_of_contents_is(records: list[FrameRecord]) -> None:
    assert cache_path(records[:4], {"depth": TASKS["depth"]}, TaskSpec(), 1) is None
    assert {one.name for one in fields(Contents)} == KNOWN_FIELDS, "whoever adds a field has it kept, too"
