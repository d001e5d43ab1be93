"""The record: one row a frame, whatever happened while it was written."""

import json
import os
from pathlib import Path

import pytest

from preprocessing.job.manifest import Shard, append_row, current_shard, fold, journal_path, read_manifest


def row(frame: str, density: float) -> dict[str, object]:
    return {"frame": frame, "density": density}


def test_the_later_line_of_a_frame_holds_and_folding_leaves_one_sorted(tmp_path: Path) -> None:
    journal = journal_path(tmp_path / "depth", Shard())
    for frame, density in (("b", 0.1), ("a", 0.2), ("b", 0.3)):
        append_row(journal, row(frame, density))
    assert read_manifest(tmp_path / "depth") == {"b": row("b", 0.3), "a": row("a", 0.2)}
    fold(tmp_path / "depth")
    lines = journal.read_text().splitlines()
    assert [json.loads(line) for line in lines] == [row("a", 0.2), row("b", 0.3)]


def test_a_torn_line_costs_its_own_frame_only(tmp_path: Path) -> None:
    journal = journal_path(tmp_path, Shard())
    append_row(journal, row("a", 0.2))
    with journal.open("a") as file:
        file.write('{"frame": "b", "dens')
    assert read_manifest(tmp_path) == {"a": row("a", 0.2)}
    append_row(journal, row("c", 0.4))
    assert read_manifest(tmp_path) == {"a": row("a", 0.2), "c": row("c", 0.4)}


@pytest.mark.parametrize("garbage", [b"\x00\xff\xfe\n", b"[1, 2]\n", b'{"frame": 3}\n', b'"text"\n', b""])
def test_garbage_counts_as_absent(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(garbage)
    assert read_manifest(tmp_path) == {}


def test_parts_of_several_processes_are_folded_into_one_file(tmp_path: Path) -> None:
    append_row(journal_path(tmp_path, Shard()), row("a", 0.1))
    for index, (frame, density) in enumerate((("b", 0.2), ("a", 0.3), ("c", 0.4))):
        part = journal_path(tmp_path, Shard(index, 3))
        append_row(part, row(frame, density))
    # Of two processes that did the same frame, in two runs cut off one after the other, the later one holds.
    append_row(journal_path(tmp_path, Shard(1, 2)), row("c", 0.5))
    os.utime(journal_path(tmp_path, Shard(2, 3)), ns=(1, 1))
    expected = {"a": row("a", 0.3), "b": row("b", 0.2), "c": row("c", 0.5)}
    assert read_manifest(tmp_path) == expected
    assert fold(tmp_path) == expected
    assert [path.name for path in tmp_path.iterdir()] == ["manifest.jsonl"]
    assert read_manifest(tmp_path) == expected


def test_folding_nothing_makes_nothing(tmp_path: Path) -> None:
    assert fold(tmp_path / "depth") == {}
    assert list(tmp_path.iterdir()) == []


def test_shares_are_disjoint_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    items = list(range(11))
    shares = [Shard(index, 4).share(items) for index in range(4)]
    assert shares[1] == [1, 5, 9]
    assert sorted(item for share in shares for item in share) == items
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert current_shard() == Shard(0, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert current_shard() == Shard(2, 3)


@pytest.mark.parametrize(("rank", "world"), [("3", "3"), ("-1", "2"), ("x", "2"), ("0", "0")])
def test_a_senseless_rank_names_both_variables(monkeypatch: pytest.MonkeyPatch, rank: str, world: str) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(ValueError, match=f"RANK={rank}, WORLD_SIZE={world}"):
        current_shard()
