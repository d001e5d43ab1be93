"""Checkpoints: whole or refused, and never a way to run code."""

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import torch
from street_set import TASKS

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.training.checkpoint import (
    UnusableCheckpoint,
    checkpoint_path,
    load_checkpoint,
    load_trained,
    save_checkpoint,
)
from preprocessing.ground.errors import InputError

CONFIG = validate(Config, {"tasks": TASKS}, "test")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "checkpoints" / "last.pt"
    save_checkpoint(path, {"weight": torch.arange(5.0), "step": 7}, CONFIG)
    return path


def test_round_trip(saved: Path) -> None:
    state, config = load_checkpoint(saved)
    assert torch.equal(state["weight"], torch.arange(5.0)) and state["step"] == 7 and config == CONFIG
    assert [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def damaged(content: bytes, bit: int) -> bytes:
    flipped = bytearray(content)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def test_every_flipped_bit_is_found(saved: Path) -> None:
    """Also where `torch.load` sees none: in the ZIP archive's padding, names and dates, and in the seal itself."""
    content = saved.read_bytes()
    seal = len(content) - 80
    bits = [*range(0, 8 * seal, 97), *range(8 * seal, 8 * len(content))]
    unseen = 0
    for bit in bits:
        saved.write_bytes(damaged(content, bit))
        with pytest.raises(UnusableCheckpoint, match=r"last\.pt: damaged checkpoint"):
            load_checkpoint(saved)
        try:
            unseen += torch.equal(torch.load(saved, weights_only=True)["state"]["weight"], torch.arange(5.0))
        except Exception:
            continue
    assert len(bits) > 800 and unseen > 100  # without the checksum these would have passed


def test_every_cut_is_found(saved: Path) -> None:
    content = saved.read_bytes()
    for length in [*range(0, len(content), 61), *range(len(content) - 90, len(content))]:
        saved.write_bytes(content[:length])
        with pytest.raises(UnusableCheckpoint, match=r"last\.pt: damaged checkpoint"):
            load_checkpoint(saved)


def test_torch_reads_the_file_and_a_file_without_checksum_is_read(saved: Path) -> None:
    payload = torch.load(saved, weights_only=True)
    assert payload["state"]["step"] == 7 and payload["format"] == 2
    torch.save({**payload, "format": 1}, saved)
    assert load_checkpoint(saved)[0]["step"] == 7
    torch.save(payload, saved)
    with pytest.raises(UnusableCheckpoint, match="its checksum is missing"):
        load_checkpoint(saved)
    torch.save({**payload, "format": 9}, saved)
    with pytest.raises(InputError, match="format 9, this version reads 2"):
        load_checkpoint(saved)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    path = tmp_path / "evil.pt"
    torch.save({"format": 2, "config": {}, "state": Attack()}, path)
    sealed = path.read_bytes() + b"\nadvmtl sha256 " + hashlib.sha256(path.read_bytes()).hexdigest().encode() + b"\n"
    for content in (path.read_bytes(), sealed, pickle.dumps(Attack())):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"evil\.pt: refused, .* code on loading|it would run eval") as caught:
            load_checkpoint(path)
        assert not isinstance(caught.value, UnusableCheckpoint)  # nobody goes on beside such a file
    assert not (tmp_path / "ran").exists()


def test_something_else_is_not_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="not a checkpoint of advmtl"):
        load_checkpoint(tmp_path / "x.pt")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "missing.pt")


def test_a_failed_write_keeps_the_old_files(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    former = saved.with_name("previous.pt")
    save_checkpoint(saved, {"step": 8}, CONFIG, former=former)
    before = saved.read_bytes(), former.read_bytes()

    def full_disk(path: Path, content: bytes) -> None:
        with path.open("wb") as file:
            file.write(content[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match=r"No space.*last\.pt"):
        patch.setattr(Path, "write_bytes", full_disk)
        save_checkpoint(saved, {}, CONFIG, former=former)
    assert (saved.read_bytes(), former.read_bytes()) == before
    assert sorted(path.name for path in saved.parent.iterdir()) == ["last.pt", "previous.pt"]


@pytest.mark.parametrize("links", [True, False])
def test_a_kill_between_any_two_changes_of_the_folder_leaves_a_good_file(
    links: bool, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`saved` holds step 7; 8 is saved over it and then 9, killed before the first, second, ... change of a name."""
    former = saved.with_name("previous.pt")
    save_checkpoint(saved, {"step": 8}, CONFIG, former=former)
    assert load_checkpoint(former)[0]["step"] == 7
    calls = left = 0
    real_replace, real_link = Path.replace, os.link

    def count() -> None:
        nonlocal calls, left
        calls, left = calls + 1, left - 1
        if not left:
            raise _KilledError

    def replace(path: Path, target: Path) -> Path:
        count()
        return real_replace(path, target)

    def link(source: Path, target: Path) -> None:
        if not links:
            raise OSError(1, "Operation not permitted")
        count()
        real_link(source, target)

    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(os, "link", link)
    for kill_at in range(1, 9):
        calls, left = 0, kill_at
        try:
            save_checkpoint(saved, {"step": 9}, CONFIG, former=former)
        except _KilledError:
            good = [load_checkpoint(path)[0]["step"] for path in (saved, former) if path.is_file()]
            assert good and good[0] == 8
            assert saved.is_file() or not links
            if not saved.is_file():
                real_replace(former, saved)
            continue
        break
    assert calls == (3 if links else 2) and kill_at == calls + 1
    assert load_checkpoint(saved)[0]["step"] == 9 and load_checkpoint(former)[0]["step"] == 8


class _KilledError(BaseException):
    """Stands for kill -9."""


def test_best_goes_before_last(tmp_path: Path) -> None:
    assert checkpoint_path(tmp_path).name == "last.pt"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.pt").write_bytes(b"")
    assert checkpoint_path(tmp_path).name == "best.pt"
    assert checkpoint_path(tmp_path / "other.pt") == tmp_path / "other.pt"


def test_an_exported_model_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x08")
    with pytest.raises(InputError, match=r"model\.onnx: is an exported model, not a checkpoint; name the run folder"):
        load_trained(tmp_path / "model.onnx")
