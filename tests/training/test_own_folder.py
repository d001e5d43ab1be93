"""A run folder: what a run wrote may be replaced, nothing else in it is."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import advmtl
from street_set import write_cityscapes
from tiny_run import make_config
from untouched import lying_in

from advmtl.training.run_folder import LOCK, Run, check_own, clear_run, is_run
from preprocessing.ground import Input, inputs_in
from preprocessing.ground.errors import InputError


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """What a training leaves, as far as it is looked at."""
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "checkpoints" / "best.pt").write_bytes(b"weights")
    (folder / "config.yaml").write_text(make_config(tmp_path / "set").to_yaml())
    (folder / "run.json").write_text(json.dumps({"config": "0123", "versions": {}}))
    return Run(folder)


def test_a_run_is_known_by_its_record_or_by_what_older_versions_left(run: Run) -> None:
    assert is_run(run)
    run.record.unlink()
    assert is_run(run), "of a version before there were records"
    shutil.rmtree(run.folder / "checkpoints")
    assert not is_run(run), "a whole configuration alone may be the user's copy"
    (run.folder / LOCK).touch()
    assert is_run(run), "killed at once"
    (run.folder / "config.yaml").write_text("train: {epochs: 3}\n")
    assert not is_run(run)


@pytest.mark.parametrize(
    "name", ["config.yaml", "metrics.jsonl", "checkpoints/last.pt", "panels/mine.png", "growth.png"]
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_files_of_a_run_s_names_is_no_place(name: str, overwrite: bool, tmp_path: Path) -> None:
    path = tmp_path / "project" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(InputError, match=f"project: holds {name.split('/')[0]}"):
        check_own(Run(tmp_path / "project"), [], overwrite=overwrite)
    check_own(Run(tmp_path / "new"), [])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "diary.txt").write_text("mine")
    check_own(Run(tmp_path / "notes"), [])


def test_data_are_no_place_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "link").symlink_to("set")
    read = inputs_in("", make_config(tmp_path / "set").model_dump(exclude={"name"}))
    for name in ("set", "link", "set/../set"):
        with pytest.raises(InputError, match=r"data\.train\.root"):
            check_own(Run(tmp_path / name), read)


def test_starting_anew_removes_nothing_that_is_read(run: Run) -> None:
    clear = check_own
    for path in (run.folder, run.best, run.folder / "run.json", run.folder / "checkpoints"):
        clear(run, [Input("init", path)])  # going on reads it and removes nothing
        with pytest.raises(InputError, match="would remove init"):
            clear(run, [Input("init", path)], overwrite=True)
    others = run.folder / "lists" / "half.json"
    others.parent.mkdir()
    others.write_text("{}")
    clear(run, [Input("data.label_budget", others)], overwrite=True)
    clear_run(run.folder)
    assert [path.name for path in run.folder.iterdir()] == ["lists"]


def test_train_refuses_the_folder_of_its_own_configuration(tmp_path: Path) -> None:
    write_cityscapes(tmp_path / "set", "train", 2)
    write_cityscapes(tmp_path / "set", "val", 2)
    values = make_config(tmp_path / "set").model_dump(mode="json", exclude_defaults=True)
    (tmp_path / "mine").mkdir()
    config = tmp_path / "mine" / "config.yaml"
    config.write_text("# my notes\n" + json.dumps(values))
    for out, word in ((tmp_path / "mine", "config.yaml"), (tmp_path / "set", "is read")):
        for more in ([], ["--overwrite"], ["--dry-run"]):
            before = lying_in(tmp_path)
            result = advmtl("train", config, "--out", out, "--device", "cpu", *more)
            assert result.exit_code == 2 and word in result.stderr, result.output
            assert lying_in(tmp_path) == before
    (tmp_path / "new_dry_run.png").write_bytes(b"mine")
    result = advmtl("train", config, "--out", tmp_path / "new", "--device", "cpu", "--dry-run")
    assert result.exit_code == 2 and "new_dry_run.png" in result.stderr
