"""`advmtl train --dry-run`: what would happen is told, and nothing is left but a picture."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import advmtl
from street_set import write_cityscapes
from tiny_run import CPU, make_config, quiet

from advmtl.config.training import TrainConfig
from advmtl.data import train_loader
from advmtl.drawing import batch_picture
from advmtl.training.fitting import fit
from advmtl.training.rehearsal import Phase, dry_run
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image

SMALL = [
    *("encoder.weights=null", "encoder.width=0.5", "generator.channels=8", "generator.crp_stages=1"),
    *("data.size=64x32", "data.batch_size=2", "data.workers=0", "train.panels=0", "train.epochs=2"),
    *("train.small_share=0.5", "train.warmup_steps=20", "discriminators.multi_task.scale=1"),
]


def files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_it_tells_draws_times_and_leaves_no_run(streets: Path, tmp_path: Path) -> None:
    where, out = f"cityscapes:{streets}", tmp_path / "runs" / "tiny"
    arguments = ["demo", "--data", where, "--out", out, *SMALL, "train.adversarial_start_step=80%", "train.log_every=1"]
    result = advmtl("train", *arguments, "--dry-run", "--json", tmp_path / "plan.json")
    assert result.exit_code == 0, result.output
    assert sorted(files(tmp_path)) == ["plan.json", "runs/tiny_dry_run.png"]
    lines = result.stdout.splitlines()
    assert lines[0].startswith("demo (") and lines[1].startswith("warning train.warmup_steps: 20 of 6 steps")
    found = ("steps 1 to 3: ", "steps 4 to 5: ", "steps 6 to 6: ", "the whole training: about ", "peak memory")
    for part in found:
        assert any(part in line for line in lines), result.stdout
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["steps"] == 6 and plan["shares"] == {"train.adversarial_start_step": {"share": "80%", "steps": 5}}
    # Pictures have their full size after half of the steps.
    steps = [(one["first_step"], one["last_step"]) for one in plan["phases"]]
    assert steps == [(1, 3), (4, 5), (6, 6)] and plan["half_size_steps"] == 3
    assert all(one["step_s"] > 0 and one["measured_steps"] >= 2 for one in plan["phases"])
    each = [one["step_s"] + one["waiting_s"] for one in plan["phases"]]
    expected = 3 * each[0] + 2 * each[1] + each[2] + plan["measurement_s"]
    assert plan["training_s"] == pytest.approx(expected, abs=0.1) and plan["measurements"] == 1
    picture = read_image(tmp_path / "runs" / "tiny_dry_run.png")
    assert picture.shape[1] == 3 * 64 + 2 * 2 and picture.shape[0] > 2 * 32


def test_as_json_alone(streets: Path, tmp_path: Path) -> None:
    small = [one for one in SMALL if not one.startswith("discriminators")]
    arguments = ["single_depth", "tasks.depth.losses.perceptual=0", "--data", f"cityscapes:{streets}", *small]
    result = advmtl("train", *arguments, "--out", tmp_path / "run", "--dry-run", "--json", "-")
    assert result.exit_code == 0 and json.loads(result.stdout)["terms"].keys() == {"supervised"}
    result = advmtl("train", *arguments, "--out", tmp_path / "run", "--json", "-")
    assert result.exit_code == 2 and "--json: only with --dry-run" in result.stderr
    assert sorted(files(tmp_path)) == ["run_dry_run.png"]


def test_a_run_in_the_folder_stays_as_it_is(streets: Path, tmp_path: Path) -> None:
    config = make_config(streets, critic=False, epochs=1, panels=0)
    fit(config, tmp_path / "run", CPU, quiet())
    before = files(tmp_path / "run")
    assert dry_run(config, tmp_path / "run", CPU, quiet())["steps"] == 3
    assert files(tmp_path / "run") == before
    with pytest.raises(InputError, match=r"holds another run \(train\.learning_rate"):
        dry_run(make_config(streets, critic=False, epochs=1, learning_rate=0.5), tmp_path / "run", CPU, quiet())
    with pytest.raises(InputError, match="omit --no-resume"):
        dry_run(config, tmp_path / "run", CPU, quiet(), resume=False)


def test_frames_left_out_are_an_exit_code(streets: Path, tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path / "set", "train", 3)
    write_cityscapes(tmp_path / "set", "val", 1)
    broken = next((tmp_path / "set" / "leftImg8bit").rglob(f"{names[0]}*"))
    broken.write_bytes(broken.read_bytes()[:-60])
    arguments = ["demo", "--data", f"cityscapes:{tmp_path / 'set'}", "--out", tmp_path / "run", *SMALL]
    result = advmtl("train", *arguments, "--dry-run", "--json", tmp_path / "plan.json")
    assert result.exit_code == 3, result.output
    assert [one["name"] for one in json.loads((tmp_path / "plan.json").read_text())["skipped"]] == [names[0]]


def test_a_batch_is_drawn_as_the_network_sees_it(streets: Path) -> None:
    """Picture, classes and depth side by side under a line of text, a frame a row; no label is grey."""
    config = make_config(streets)
    batch = next(iter(train_loader(config)))
    batch.present["depth"][1] = False
    tasks = {name: config.task_table[name] for name in config.tasks}
    picture = batch_picture(batch, config.spec, tasks)
    top, height = 18, 32
    first = picture[top : top + height]
    second = picture[2 * top + height + 2 :][:height]
    classes = config.spec.labels.palette[np.clip(batch.targets["segmentation"][0].numpy(), 0, 18)]
    known = batch.targets["segmentation"][0].numpy() != 255
    assert np.array_equal(first[:, 66:130][known], classes[known])
    assert first[:, 132:196].std() > 0 and (second[:, 132:196] == 60).all()
    assert (batch_picture(batch, config.spec, tasks, frames=1)[: top + height] == picture[: top + height]).all()


def test_a_phase_takes_its_steps_and_waits() -> None:
    assert Phase(11, 20, 0.5, 0.25, 5).whole_s == 7.5
    assert TrainConfig(max_steps=7).steps(100) == 7
