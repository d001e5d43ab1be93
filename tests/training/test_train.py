"""A run from start to end on a tiny set: what it leaves, and that a resume gives the same bits."""

import json
import os
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pulled_plug import plug_pulled_after
from same_bits import assert_equal
from street_set import config as folder_config
from street_set import write_folder
from tiny_run import CPU, make_config, quiet

from advmtl.compare.plan import is_finished
from advmtl.config.experiment import Config
from advmtl.config.networks import EncoderConfig
from advmtl.data.loading import Batch, val_loaders
from advmtl.drawing.panels import sample_panel
from advmtl.training import fitting as train_module
from advmtl.training import loop as loop_module
from advmtl.training.checkpoint import load_checkpoint, load_generator
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.fitting import fit
from advmtl.training.log import flatten
from advmtl.training.optimizers import learning_rate_factor
from advmtl.training.run_folder import Run
from advmtl.training.scores import score
from advmtl.training.state import State, build
from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image


@pytest.fixture(scope="module")
def finished(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    fit(make_config(streets), folder, CPU, quiet())
    return folder


def test_a_run_folder_holds_what_the_design_says(finished: Path) -> None:
    for name in ("config.yaml", "metrics.jsonl", "evaluation.json", "evolution.gif", "checkpoints/last.pt"):
        assert (finished / name).stat().st_size > 0
    assert list((finished / "tensorboard").glob("events*")) and (finished / "checkpoints/best.pt").is_file()
    assert len(list((finished / "panels").glob("epoch_*.png"))) == 2
    assert not list(finished.rglob(".*"))  # no temporary file is left


def test_a_frame_has_a_panel_of_its_picture_its_labels_and_what_is_predicted(finished: Path) -> None:
    """Picture and labels, the two left columns of 64 px, are compared; predictions may differ in the last bits."""
    generator, config = load_generator(finished)
    ((_, loader),) = val_loaders(config)
    sample = loader.dataset[0]
    with torch.no_grad():
        outputs = generator(loader.dataset.batch([0]).image)
    wanted = sample_panel(sample, outputs, config.spec, config.task_table)
    panel = read_image(finished / "panels" / f"{sample.record.name}.png")
    assert panel.shape == wanted.shape and panel.shape[1] > 3 * 64
    assert np.array_equal(panel[:, : 2 * 64], wanted[:, : 2 * 64]) and panel[:, 2 * 64 : 3 * 64].std() > 0


def test_metrics_have_units_in_their_names_and_lie_in_range(finished: Path) -> None:
    metrics = json.loads((finished / "evaluation.json").read_text())
    assert {"miou", "miou_categories", "pixel_accuracy", "iou_per_class", "boundary_iou", "frames"} <= metrics[
        "segmentation"
    ].keys()
    assert {"abs_rel", "sq_rel_m", "rmse_m", "rmse_log", "delta1", "delta2", "delta3", "pixels"} <= metrics[
        "depth"
    ].keys()
    assert metrics["segmentation"]["frames"] == 3 and 0 <= metrics["segmentation"]["miou"] <= 1
    assert 0 <= metrics["depth"]["delta1"] <= metrics["depth"]["delta2"] <= metrics["depth"]["delta3"] <= 1


def test_every_step_is_logged_once_in_order(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").open()]
    assert [row["step"] for row in rows if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [3, 6]
    assert {"combined", "gradient_norm", "discriminator/both/score_fake", "learning_rate"} <= rows[0].keys()


@pytest.mark.parametrize("stop_after", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_a_resume_in_mid_epoch_gives_the_same_bits(
    stop_after: int, streets: Path, finished: Path, tmp_path: Path
) -> None:
    """`finished` saves at other steps, which changes no result."""
    config = make_config(streets, checkpoint_every_steps=1)
    folder = tmp_path / "resumed"
    with plug_pulled_after(stop_after):
        fit(config, folder, CPU, quiet())
    fit(config, folder, CPU, quiet())
    (a, _), (b, _) = (load_checkpoint(path / "checkpoints" / "last.pt") for path in (finished, folder))
    assert_equal(a, b)
    assert (folder / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()
    assert (folder / "evaluation.json").read_bytes() == (finished / "evaluation.json").read_bytes()


def test_a_non_finite_loss_keeps_the_last_good_checkpoint(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = loop_module.train_step, 0

    def poisoned(state: State, batch: Batch, **options: bool) -> object:
        nonlocal taken
        taken += 1
        if taken == 3:
            batch.image[0, 0, 0, 0] = float("nan")
        return real(state, batch, **options)

    monkeypatch.setattr(loop_module, "train_step", poisoned)
    folder = tmp_path / "run"
    with pytest.raises(NonFiniteLoss, match=r"step 2: .* is nan; frames of the batch: town.*failed\.pt"):
        fit(make_config(streets, checkpoint_every_steps=1), folder, CPU, quiet())
    state, _ = load_checkpoint(folder / "checkpoints" / "last.pt")
    assert state["step"] == 2
    for part in ("generator", "ema", "terms"):
        assert all(value.isfinite().all() for value in state[part].values() if isinstance(value, torch.Tensor))
    assert (folder / "checkpoints" / "failed.pt").is_file()


@pytest.mark.parametrize("moment", ["in a step", "in a measurement"])
def test_ctrl_c_waits_for_a_whole_state_and_resumes_to_the_same_bits(
    moment: str, streets: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(streets)
    name = "train_step" if moment == "in a step" else "evaluate"
    real = getattr(loop_module, name)

    def interrupted(*args: object, **options: object) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)

    monkeypatch.setattr(loop_module, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "resumed", CPU, quiet())
    monkeypatch.setattr(loop_module, name, real)
    fit(config, tmp_path / "resumed", CPU, quiet())
    folders = (finished, tmp_path / "resumed")
    (a, _), (b, _) = (load_checkpoint(folder / "checkpoints" / "last.pt") for folder in folders)
    assert_equal(a, b)
    logs = [(folder / "metrics.jsonl").read_bytes() for folder in folders]
    assert logs[0] == logs[1]


def test_a_second_ctrl_c_in_a_step_leaves_the_last_whole_checkpoint(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, taken = loop_module.train_step, 0

    def impatient(*args: object, **options: object) -> object:
        nonlocal taken
        taken += 1
        logs = real(*args, **options)  # type: ignore[arg-type]
        if taken == 3:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
        return logs

    monkeypatch.setattr(loop_module, "train_step", impatient)
    with pytest.raises(KeyboardInterrupt):
        fit(make_config(streets, checkpoint_every_steps=2), tmp_path / "run", CPU, quiet())
    state, _ = load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")
    assert state["step"] == 2


def test_a_task_without_any_label_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    write_folder(tmp_path / "pictures", 4, labels=True)
    root = str(tmp_path / "pictures")
    config = make_config(tmp_path, epochs=1).model_copy(
        update={"data": folder_config([f"folder:{root}"], [f"folder:{root}"]).data}
    )
    with pytest.raises(InputError, match=r"tasks\.depth: no training frame has this label"):
        fit(config, tmp_path / "run", CPU, quiet())
    assert not (tmp_path / "run").exists()


def test_a_label_that_the_budget_hides_is_refused_as_such(streets: Path, tmp_path: Path) -> None:
    config = with_budget(make_config(streets, epochs=1), "0:1")
    with pytest.raises(
        InputError, match=r"tasks\.segmentation: no training .*; data\.label_budget=0:1 leaves none of the 6"
    ):
        fit(config, tmp_path / "run", CPU, quiet())
    assert not (tmp_path / "run").exists()


def with_budget(config: Config, budget: str) -> Config:
    return config.model_copy(update={"data": config.data.model_copy(update={"label_budget": budget})})


def test_the_record_of_a_run_that_saved_nothing_binds_nobody(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its first checkpoint, a run leaves the record of its labels; another budget may begin there."""
    run = Run(tmp_path / "run")

    def killed(*_: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "_train", killed)
        with pytest.raises(RuntimeError, match="killed"):
            fit(with_budget(make_config(streets, epochs=1), "1:2"), run.folder, CPU, quiet())
    assert json.loads(run.label_budget.read_text())["budget"] == "1:2" and not run.last.exists()
    chosen = tmp_path / "selection.json"
    chosen.write_text(json.dumps({"frames": ["town_000000_000001", "town_000000_000004"]}))
    listed = with_budget(make_config(streets, epochs=1), str(chosen))
    fit(listed, run.folder, CPU, quiet())
    assert json.loads(run.label_budget.read_text())["listed"] == ["town_000000_000001", "town_000000_000004"]
    assert is_finished(listed, run)
    chosen.write_text(json.dumps({"frames": ["town_000000_000001"]}))
    with pytest.raises(InputError, match="began with other labels"):
        fit(listed, run.folder, CPU, quiet())
    with pytest.raises(
        InputError, match=r"run: holds a run of another list than .*selection\.json is now; .* remove that"
    ):
        is_finished(listed, run)


def test_overwrite_spares_the_old_run_until_the_new_one_is_built(streets: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    fit(make_config(streets, epochs=1), folder, CPU, quiet())
    before = (folder / "checkpoints" / "last.pt").read_bytes()
    broken = make_config(streets).model_copy(update={"encoder": EncoderConfig(weights=str(tmp_path / "none.pth"))})
    with pytest.raises(InputError, match=r"none\.pth"):
        fit(broken, folder, CPU, quiet(), overwrite=True)
    assert (folder / "checkpoints" / "last.pt").read_bytes() == before
    fit(make_config(streets, epochs=1, learning_rate=0.01), folder, CPU, quiet(), overwrite=True)
    assert (folder / "checkpoints" / "last.pt").read_bytes() != before


def test_the_averaged_generator_is_what_loads(finished: Path) -> None:
    generator, config = load_generator(finished)
    state, _ = load_checkpoint(finished / "checkpoints" / "best.pt")
    assert config.name == "tiny" and not generator.training
    for name, value in generator.state_dict().items():
        assert torch.equal(value, state["ema"][name])


def test_ema_follows_its_formula(streets: Path) -> None:
    """Step 0: decay (1 + 0) / (10 + 0) = 0.1, so the average becomes 0.1·old + 0.9·new."""
    state = build(make_config(streets), CPU)
    weight, average = state.generator.shared.fuse[1].weight, state.ema.shared.fuse[1].weight
    before = average.clone()
    with torch.no_grad():
        weight.add_(1.0)
    state.update_ema()
    assert torch.allclose(average, 0.1 * before + 0.9 * weight, atol=1e-6)


def test_learning_rate_warms_up_and_ends_at_zero(streets: Path) -> None:
    config = make_config(streets, warmup_steps=4, schedule="cosine")
    factors = [learning_rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.25) and factors[3] == pytest.approx(1.0, abs=0.01)
    assert factors[50] == pytest.approx(0.5) and factors[100] == 0.0
    assert all(a >= b for a, b in pairwise(factors[4:]))


def test_score_and_flatten() -> None:
    """(0.5 + 0.9) / 2 = 0.7."""
    metrics = {"segmentation": {"miou": 0.5, "iou_per_class": {"road": 0.8}}, "depth": {"delta1": 0.9, "x": None}}
    assert score(metrics) == pytest.approx(0.7)
    assert flatten(metrics) == {"segmentation/miou": 0.5, "segmentation/iou_per_class/road": 0.8, "depth/delta1": 0.9}
