"""Checkpoints: whole or refused, and never a way to run code."""

import pickle
from pathlib import Path

import pytest
import torch
from street_set import TASKS

from advmtl.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from advmtl.config import Config, validate
from preprocessing.errors import InputError

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


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_named(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"last\.pt"):
        load_checkpoint(saved)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Attack:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    for write in (lambda p: torch.save({"x": Attack()}, p), lambda p: p.write_bytes(pickle.dumps(Attack()))):
        write(tmp_path / "evil.pt")
        with pytest.raises(InputError, match=r"evil\.pt"):
            load_checkpoint(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_something_else_is_not_a_checkpoint(tmp_path: Path) -> None:
    torch.save({"a": 1}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="not a checkpoint of advmtl"):
        load_checkpoint(tmp_path / "x.pt")
    with pytest.raises(InputError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "missing.pt")


def test_a_failed_write_keeps_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full_disk(payload: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, {}, CONFIG)
    assert saved.read_bytes() == before and [path.name for path in saved.parent.iterdir()] == ["last.pt"]


def test_best_goes_before_last(tmp_path: Path) -> None:
    assert checkpoint_path(tmp_path).name == "last.pt"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.pt").write_bytes(b"")
    assert checkpoint_path(tmp_path).name == "best.pt"
    assert checkpoint_path(tmp_path / "other.pt") == tmp_path / "other.pt"
