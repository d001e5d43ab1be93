"""A run that goes on: longer, with other keys, with other frames, with other libraries; and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from same_bits import assert_equal
from street_set import write_cityscapes
from tiny_run import CPU, make_config, quiet

from advmtl.compare.plan import is_finished
from advmtl.config import Config
from advmtl.training import fit, load_checkpoint, save_checkpoint
from advmtl.training.optimizers import learning_rate_factor
from advmtl.training.record import LIBRARIES, version_changes
from advmtl.training.run_folder import Run
from preprocessing.ground import InputError


def small(root: Path, **train: object) -> Config:
    """Three steps an epoch of the six frames, two frames each; no warm-up."""
    return make_config(root, critic=False, **{"panels": 0, "warmup_steps": 0, **train})


def rates(run: Run) -> list[float]:
    rows = [json.loads(line) for line in run.metrics.open()]
    return [row["learning_rate"] for row in rows if row["kind"] == "train"]


@pytest.fixture(scope="module")
def ended(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One epoch of one, and then asked for three; read only."""
    run = Run(tmp_path_factory.mktemp("longer") / "run")
    fit(small(streets, epochs=1), run.folder, CPU, quiet())
    with (run.folder / "told.txt").open("w") as file:
        fit(small(streets, epochs=3), run.folder, CPU, Console(file=file, width=400))
    return run


def test_a_finished_run_goes_on_with_the_schedule_of_its_new_length(ended: Run, streets: Path) -> None:
    short, long = small(streets, epochs=1), small(streets, epochs=3)
    wanted = [learning_rate_factor(step, 3, short) for step in range(3)]
    wanted += [learning_rate_factor(step, 9, long) for step in range(3, 9)]
    assert rates(ended) == pytest.approx([1e-3 * factor for factor in wanted])
    told = (ended.folder / "told.txt").read_text()
    # (6/9)^0.9 and, for the last step of three, (1/3)^0.9 of 0.001
    assert "train.epochs 1 → 3: goes on at step 3 of 9" in told and "learning rate 0.000694" in told
    assert "(the run had ended at 0.000372)" in told


def test_what_the_run_had_come_to_is_kept_and_its_change_recorded(ended: Run) -> None:
    assert {path.name for path in ended.folder.glob("evaluation_epoch_0001*")} == {
        "evaluation_epoch_0001.json",
        "evaluation_epoch_0001_frames.jsonl",
    }
    state = load_checkpoint(ended.last)[0]
    assert state["epoch"] == 3 and state["step"] == 9
    record = json.loads((ended.folder / "run.json").read_text())
    assert record["changes"] == [{"step": 3, "epoch": 1, "keys": {"train.epochs": [1, 3]}}]
    assert record["data"]["train"]["frames"] == 6 and set(record["versions"]) >= {"torch", "opencv", "numpy", "advmtl"}
    assert state["record"]["changes"] == record["changes"]


def test_a_comparison_takes_no_run_that_went_on(ended: Run, streets: Path) -> None:
    with pytest.raises(InputError, match=r"went on otherwise from step 3 \(train\.epochs\)"):
        is_finished(small(streets, epochs=3), ended)


def test_stopped_in_the_middle_and_asked_for_more_it_is_as_if_stopped_nowhere(streets: Path, tmp_path: Path) -> None:
    """Longer training that is itself interrupted ends with the same bits as without the interruption."""

    class Stop:
        def on_step(self, step: int, losses: object) -> bool:
            return step == 4

        def on_epoch(self, epoch: int, metrics: object) -> None:
            return None

    folders = [tmp_path / name for name in ("whole", "parts")]
    for folder in folders:
        fit(small(streets, epochs=1), folder, CPU, quiet())
    fit(small(streets, epochs=2), folders[0], CPU, quiet())
    for stops in ([Stop()], []):
        fit(small(streets, epochs=2), folders[1], CPU, quiet(), callbacks=stops)
    whole, parts = (load_checkpoint(Run(folder).last)[0] for folder in folders)
    assert_equal(parts, whole)


def test_fewer_epochs_than_it_has_learnt_are_refused(ended: Run, streets: Path) -> None:
    before = ended.last.read_bytes(), (ended.folder / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=r"train\.epochs: 2, but the run has learnt for 3 epochs"):
        fit(small(streets, epochs=2), ended.folder, CPU, quiet())
    assert (ended.last.read_bytes(), (ended.folder / "config.yaml").read_bytes()) == before


def test_a_plateau_is_left_with_more_patience_and_nothing_else_changes(streets: Path, tmp_path: Path) -> None:
    """A learning rate of nothing never gets better: stopped after epoch 2, and with patience 2 after epoch 3."""
    still = {"epochs": 5, "learning_rate": 1e-12, "ema_decay": 0.0, "batch_norm": "frozen"}
    run = Run(tmp_path / "run")
    for patience, epoch in ((1, 2), (2, 3), (2, 3)):
        fit(small(streets, patience=patience, **still), run.folder, CPU, quiet())
        state = load_checkpoint(run.last)[0]
        assert (state["epoch"], state["guards"]["stale"]) == (epoch, epoch - 1) and state["guards"]["stopped"]
    with pytest.raises(InputError, match=r"another run \(train\.learning_rate is"):
        fit(small(streets, patience=2, **{**still, "learning_rate": 1e-3}), run.folder, CPU, quiet())


def grown_set(tmp_path: Path) -> tuple[Path, Run]:
    """A run of one epoch of two on 4 + 2 frames, and then 6 + 3 frames in the place of them."""

    class Once:
        def on_step(self, step: int, losses: object) -> None:
            return None

        def on_epoch(self, epoch: int, metrics: object) -> bool:
            return epoch == 1

    root, run = tmp_path / "set", Run(tmp_path / "run")
    write_cityscapes(root, "train", 4)
    write_cityscapes(root, "val", 2)
    fit(small(root), run.folder, CPU, quiet(), callbacks=[Once()])
    write_cityscapes(root, "train", 6)
    write_cityscapes(root, "val", 3)
    return root, run


def test_other_frames_are_refused_by_their_names_and_told_where_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, run = grown_set(tmp_path)
    files = sorted((path, path.read_bytes()) for path in run.folder.rglob("*") if path.is_file())
    with pytest.raises(InputError, match=r"\+2 training frames \(4 → 6: .*004, .*\); \+1 valid.*--data-changed"):
        fit(small(root), run.folder, CPU, quiet())
    assert [(path, path.read_bytes()) for path, _ in files] == files
    old_best = load_checkpoint(run.last)[0]["selection"]["history"][-1]
    fit(small(root), run.folder, CPU, Console(width=300), data_changed=True)
    told = " ".join(capsys.readouterr().out.split())
    assert "data changed since step 2: +2 training frames" in told and "epoch 1, anew: mIoU" in told
    state = load_checkpoint(run.last)[0]
    assert state["epoch"] == 2 and state["step"] == 2 + 3
    first = state["selection"]["history"][0]
    assert first["step"] == old_best["step"] and first["figures"] != old_best["figures"]
    assert len(state["record"]["data"]["train"]) == 6
    fit(small(root), run.folder, CPU, quiet())  # the same frames as at the last save


def test_an_older_run_without_a_record_of_its_frames_goes_on_with_a_line(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    fit(small(streets, epochs=1), run.folder, CPU, quiet())
    state, config = load_checkpoint(run.last)
    old = {key: value for key, value in state.items() if key not in ("record", "selection")}
    save_checkpoint(run.last, {**old, "best": 0.25}, config)
    fit(small(streets, epochs=1), run.folder, CPU, Console(width=300))
    assert "took no note of its frames so far" in capsys.readouterr().out
    assert torch.load(run.best, weights_only=True)["state"]["step"] == 3


def test_versions_that_change_numbers_are_told_with_what_they_mean() -> None:
    before = {"advmtl": "0.1.0", "torch": "2.14.1", "opencv": "4.12.0", "numpy": "2.4.6"}
    assert version_changes(before, {**before, "torch": "2.14.9", "opencv": "4.13.1", "numpy": "2.9.0"}) == []
    (line,) = version_changes(before, {**before, "opencv": "5.0.0"})
    assert line.startswith("opencv was 4.12.0 so far and is 5.0.0 here: ") and LIBRARIES["opencv"].means in line
    assert len(version_changes(before, {**before, "torch": "2.15.0", "numpy": "3.0"})) == 2
    assert version_changes({}, before) == []


def test_another_opencv_is_told_on_resume_and_recorded(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(tmp_path / "run")
    fit(small(streets, epochs=1), run.folder, CPU, quiet())
    state, config = load_checkpoint(run.last)
    state["record"]["versions"]["opencv"] = "3.4.0"
    save_checkpoint(run.last, state, config)
    fit(small(streets, epochs=1), run.folder, CPU, Console(width=300))
    assert "opencv was 3.4.0 so far" in capsys.readouterr().out
    (change,) = json.loads((run.folder / "run.json").read_text())["changes"]
    assert change["versions"][0]["opencv"] == "3.4.0" != change["versions"][1]["opencv"]
