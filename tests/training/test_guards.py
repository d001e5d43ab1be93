"""Guards: warnings about discriminators, early stopping at a plateau, and each external failure with its line."""

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from pulled_plug import plug_pulled_after
from rich.console import Console
from same_bits import assert_equal
from tiny_run import CPU, make_config, quiet

from advmtl.compare.plan import is_finished
from advmtl.config.data import Source
from advmtl.config.experiment import Config
from advmtl.config.training import GuardsConfig
from advmtl.data.loading import Batch
from advmtl.evaluation.faults import NOT_FINITE
from advmtl.training import fitting as train_module
from advmtl.training import loop as loop_module
from advmtl.training.checkpoint import load_checkpoint
from advmtl.training.fitting import fit
from advmtl.training.guards import ExternalFailure, Guards, LostData, Streak, external_failures, lost
from advmtl.training.run_folder import Run
from advmtl.training.scores import checked
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError


@pytest.fixture
def own_streets(streets: Path, tmp_path: Path) -> Path:
    """A copy that a test may move and damage."""
    return shutil.copytree(streets, tmp_path / "set")


@pytest.fixture(scope="module")
def alone(streets: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing happens to."""
    run = Run(tmp_path_factory.mktemp("alone") / "run")
    fit(make_config(streets, checkpoint_every_steps=1), run.folder, CPU, quiet())
    return run


def assert_as_if_alone(run: Run, alone: Run) -> None:
    assert_equal(*(load_checkpoint(one.last)[0] for one in (alone, run)))
    assert run.metrics.read_bytes() == alone.metrics.read_bytes()


def critics(objective: str, rows: int = 3) -> Config:
    config = make_config(Path("nowhere"), log_every=5)
    critic = config.discriminators["both"].model_copy(update={"objective": objective})
    return config.model_copy(update={"discriminators": {"both": critic}, "guards": GuardsConfig(critic_rows=rows)})


def row(accuracy: float, loss: float, real: float = 1.0, fake: float = 0.0, **more: float) -> dict[str, float]:
    values = {"accuracy": accuracy, "loss": loss, "score_real": real, "score_fake": fake, **more}
    return {f"discriminator/both/{name}": value for name, value in values.items()}


def test_a_winning_discriminator_is_told_once_an_episode() -> None:
    """LSGAN: chance is 0.25, so the loss must be at most 0.025. Three rows in a row, one every 5 steps."""
    guards, config = Guards(), critics("lsgan")
    wins, plays = row(1.0, 0.02), row(1.0, 0.03)
    said = [bool(guards.watch_discriminators(values, config)) for values in (wins, wins, plays, wins, wins, wins, wins)]
    assert said == [False, False, False, False, False, True, False]
    # Two rows without it do not end the episode, three do.
    assert not any(guards.watch_discriminators(values, config) for values in (plays, plays, wins, wins, wins))
    said = [guards.watch_discriminators(values, config) for values in (plays, plays, plays, wins, wins, wins)]
    assert [len(lines) for lines in said] == [0, 0, 0, 0, 0, 1]
    assert "discriminator both wins: accuracy 1.00, loss 0.0200 (by chance 0.25), for 15 steps" in said[-1][0]
    assert "discriminators.both.learning_rate" in said[-1][0]


def test_a_discriminator_without_an_opinion_is_dead_by_its_mean_accuracy() -> None:
    guards, config = Guards(), critics("hinge")
    silent = [row(accuracy, 2.0, 0.301, 0.3) for accuracy in (0.25, 0.75, 0.5)]
    assert [len(guards.watch_discriminators(values, config)) for values in silent] == [0, 0, 1]
    # Small scores that still tell real from generated are an opinion.
    guards = Guards()
    assert not any(guards.watch_discriminators(row(1.0, 2.0, 0.301, 0.3), config) for _ in range(9))
    assert not any(guards.watch_discriminators(row(0.5, 2.0, 0.33, 0.3), config) for _ in range(9))


def test_a_wasserstein_critic_may_be_ahead_but_not_steep() -> None:
    guards, config = Guards(), critics("wgan_gp")
    assert not any(guards.watch_discriminators(row(1.0, -60.0, gradient_penalty=0.9), config) for _ in range(9))
    said = [guards.watch_discriminators(row(1.0, -60.0, 70.0, -8.0, gradient_penalty=2.9), config) for _ in range(3)][
        -1
    ]
    assert "both diverges: gradient penalty 2.90, score gap 78.0, for 15 steps" in said[0]


def test_a_penalty_that_is_rarely_taken_is_judged_where_it_is() -> None:
    guards, config = Guards(), critics("wgan_gp")
    rare = config.discriminators["both"].model_copy(update={"penalty_every": 4})
    config = config.model_copy(update={"discriminators": {"both": rare}})
    steep, without = row(1.0, -60.0, 70.0, -8.0, gradient_penalty=2.9), row(1.0, -60.0, 70.0, -8.0)
    said = [guards.watch_discriminators(values, config) for values in (steep, without, steep, without, steep)]
    assert [len(lines) for lines in said] == [0, 0, 0, 0, 1]


def test_a_relativistic_discriminator_wins_far_below_ln_2() -> None:
    guards, config = Guards(), critics("r3gan")
    assert not any(guards.watch_discriminators(row(1.0, 0.3), config) for _ in range(9))
    said = [guards.watch_discriminators(row(1.0, 0.05), config) for _ in range(3)][-1]
    assert "both wins: accuracy 1.00, loss 0.0500 (by chance 0.693147)" in said[0]


def test_a_resting_discriminator_changes_nothing() -> None:
    guards, config = Guards(), critics("lsgan")
    for values in (row(1.0, 0.0), {"combined": 1.0}, row(1.0, 0.0)):
        assert guards.watch_discriminators(values, config) == []
    assert len(guards.watch_discriminators(row(1.0, 0.0), config)) == 1


def test_guards_are_restored_and_an_unknown_key_is_named() -> None:
    guards = Guards(stale=2, best_epoch=4, critics={"both/wins": Streak(3, 0, 2.5, True)})
    other = Guards()
    other.load_state_dict(guards.state_dict())
    assert other == guards and other.critics["both/wins"].told
    other.load_state_dict({})
    assert other == Guards()
    with pytest.raises(KeyError, match=r"guards\.novel"):
        other.load_state_dict({"novel": 1})


def no_better_after(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores grow up to `epoch` and stand still from there on."""
    count = 0

    def evaluate(*_: Any, **__: Any) -> dict[str, Any]:
        nonlocal count
        count += 1
        return {"depth": {"delta1": min(count, epoch) / 100, "abs_rel": 1.0, "rmse_m": 1.0}}

    for module in (loop_module, train_module):  # in the middle, and of the best state at the end
        monkeypatch.setattr(module, "evaluate", evaluate)


def test_a_plateau_stops_says_why_and_is_finished(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, run = make_config(streets, critic=False, epochs=9, patience=2, panels=0), Run(tmp_path / "run")
    no_better_after(2, monkeypatch)
    assert not is_finished(config, run)
    fit(config, run.folder, CPU, Console(width=200))
    said = "stopped after epoch 4 of 9: no better score than that of epoch 2 in 2 evaluations"
    assert said in capsys.readouterr().out
    state, _ = load_checkpoint(run.last)
    assert state["epoch"] == 4 and load_checkpoint(run.best)[0]["guards"]["best_epoch"] == 2
    assert is_finished(config, run)
    fit(config, run.folder, CPU, Console(width=200))  # not a step more
    assert said in capsys.readouterr().out and load_checkpoint(run.last)[0]["step"] == state["step"]


def test_a_plateau_is_counted_on_over_a_resume(streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(streets, critic=False, epochs=9, patience=3, panels=0)
    no_better_after(1, monkeypatch)
    with plug_pulled_after(7):  # in the third epoch
        fit(config, tmp_path / "run", CPU, quiet())
    fit(config, tmp_path / "run", CPU, quiet())
    assert load_checkpoint(tmp_path / "run" / "checkpoints" / "last.pt")[0]["epoch"] == 4


@pytest.mark.parametrize("where", ["checkpoint", "log", "panel"])
def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_whole(
    where: str, streets: Path, alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = make_config(streets, checkpoint_every_steps=1), Run(tmp_path / "run")
    real, taken = loop_module.train_step, 0

    def until_the_disk_is_full(*args: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == 3:
            fill(where, monkeypatch)
        return real(*args, **options)

    monkeypatch.setattr(loop_module, "train_step", until_the_disk_is_full)
    names = {"checkpoint": r"last\.pt", "log": "run", "panel": r"epoch_0001\.png"}
    with pytest.raises(
        ExternalFailure, match=rf"{names[where]}: No space left.*free some space, then the same command resumes"
    ):
        fit(config, run.folder, CPU, quiet())
    assert load_checkpoint(run.last)[0]["step"] == {"checkpoint": 2, "log": 2, "panel": 3}[where]
    monkeypatch.undo()
    fit(config, run.folder, CPU, quiet())
    assert_as_if_alone(run, alone)


def fill(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    real = Path.write_bytes

    def write_bytes(path: Path, content: bytes) -> int:
        if path.suffix == {"checkpoint": ".pt", "panel": ".png"}[where]:
            real(path, content[:50])
            raise full
        return real(path, content)

    def write(*_: Any) -> None:
        raise full

    if where == "log":
        monkeypatch.setattr(loop_module.Log, "write", write)
    else:
        monkeypatch.setattr(Path, "write_bytes", write_bytes)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_lost_data_folder_is_named_and_the_run_goes_on_once_it_is_back(
    split: str, own_streets: Path, alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = make_config(own_streets, checkpoint_every_steps=1, panels=0), Run(tmp_path / "run")
    away, taken = tmp_path / "away", 0

    def until_the_folder_is_gone(*args: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == {"train": 2, "val": 3}[split]:
            shutil.move(own_streets, away)
        return train_step(*args, **options)

    monkeypatch.setattr(loop_module, "train_step", until_the_folder_is_gone)
    # Of three batches an epoch one comes after the loss: the validation notices first, or in mid-epoch the training.
    config_now = config.model_copy(update={"guards": GuardsConfig(lost_batches=1 if split == "train" else 3)})
    with pytest.raises(InputError, match=rf"data\.{split}: no frame of .*{own_streets}: the folder is gone") as caught:
        fit(config_now, run.folder, CPU, quiet())
    assert "\n" not in str(caught.value)
    # A step on nothing but black frames is not kept.
    assert load_checkpoint(run.last)[0]["step"] == {"train": taken - 1, "val": taken}[split]
    shutil.move(away, own_streets)
    monkeypatch.undo()
    fit(config, run.folder, CPU, quiet())
    assert_as_if_alone(run, alone)


def test_steps_on_lost_batches_are_not_saved_and_one_bad_batch_is_no_loss(
    own_streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, run = (
        make_config(own_streets, critic=False, checkpoint_every_steps=1, panels=0, epochs=1),
        Run(tmp_path / "run"),
    )
    config = config.model_copy(update={"guards": GuardsConfig(lost_batches=2)})
    saved: list[int] = []

    def lose_the_second(state: Any, batch: Batch, **options: bool) -> Any:
        if run.last.is_file():
            saved.append(load_checkpoint(run.last)[0]["step"])
        hidden = own_streets / "leftImg8bit" / "train"
        if state.step == 0:
            hidden.rename(own_streets / "hidden")
        if state.step == 1:
            (own_streets / "hidden").rename(hidden)
        return train_step(state, batch, **options)

    monkeypatch.setattr(loop_module, "train_step", lose_the_second)
    fit(config, run.folder, CPU, quiet())
    assert saved == [1, 1]  # after the lost second batch the state of the first still stood
    assert load_checkpoint(run.last)[0]["step"] == 3


def test_a_killed_loader_process_is_one_line_and_the_last_checkpoint_is_whole(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import multiprocessing
    import os

    config, run = make_config(streets, critic=False, checkpoint_every_steps=1, panels=0), Run(tmp_path / "run")
    config = config.model_copy(update={"data": config.data.model_copy(update={"workers": 1})})

    def kill_after_the_first(state: Any, batch: Batch, **options: bool) -> Any:
        if state.step == 1:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid or 0, signal.SIGKILL)
        return train_step(state, batch, **options)

    monkeypatch.setattr(loop_module, "train_step", kill_after_the_first)
    with pytest.raises(ExternalFailure, match=r"a loader process died .*data\.workers=0"):
        fit(config, run.folder, CPU, quiet())
    monkeypatch.undo()
    assert load_checkpoint(run.last)[0]["step"] >= 1
    fit(config, run.folder, CPU, quiet())
    assert load_checkpoint(run.last)[0]["step"] == 6


def test_other_errors_pass(tmp_path: Path) -> None:
    for error in (OSError(errno.ENOENT, "No such file"), RuntimeError("shape mismatch"), InputError("x")):
        with pytest.raises(type(error)) as caught, external_failures(tmp_path):
            raise error
        assert caught.value is error
    with pytest.raises(ExternalFailure, match="loader process"), external_failures(tmp_path):
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>")


def measuring(scores: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Measurements of these δ1, each without so many frames."""
    left = list(scores)

    def evaluate(*_: Any, **__: Any) -> dict[str, Any]:
        delta1, unread = left.pop(0) if left else scores[-1]
        broken = [{"name": f"frame{number}", "reason": "is gone"} for number in range(unread)]
        return {"depth": {"delta1": delta1, "abs_rel": 1.0, "rmse_m": 1.0}, "skipped": broken}

    for module in (loop_module, train_module):
        monkeypatch.setattr(module, "evaluate", evaluate)


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(0.3, 0), (0.9, 1), (0.4, 0)], 3),  # fewer frames: easier ones, perhaps
        ([(0.3, 0), (0.9, 1), (0.2, 0)], 1),
        ([(0.9, 1), (0.3, 0), (0.2, 0)], 2),  # more frames than when the best was chosen: chosen anew
    ],
)
def test_a_measurement_of_fewer_frames_chooses_no_best(
    scores: list[tuple[float, int]],
    best: int,
    streets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run(tmp_path / "run")
    measuring(scores, monkeypatch)
    fit(make_config(streets, critic=False, epochs=3, panels=0), run.folder, CPU, Console(width=200))
    state, _ = load_checkpoint(run.best)
    assert (state["epoch"], state["batch"]) == (best, 0)  # so that a copy of it as last.pt measures nothing twice
    assert "validation without frame0: is gone" in capsys.readouterr().out


def test_a_broken_last_batch_leaves_the_run_finished(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are damaged, but the folder is there: no lost disk, which the run should wait for."""

    def see(self: LostData, *_: object) -> None:
        self.batches = 1

    monkeypatch.setattr(LostData, "see", see)
    config, run = make_config(streets, critic=False, epochs=2, panels=0), Run(tmp_path / "run")
    fit(config, run.folder, CPU, quiet())
    assert load_checkpoint(run.last)[0]["epoch"] == 2 and is_finished(config, run)
    run.best.unlink()
    fit(config, run.folder, CPU, quiet())  # measured by the last state, again finished
    assert is_finished(config, run)


@pytest.mark.parametrize(
    ("root", "reason", "said"),
    [
        (
            "away",
            "away/f.png: no such file",
            "away: the folder is gone (away/f.png: no such file); then",
        ),
        (".", f"f.png: {os.strerror(errno.EIO)}", "is its disk mounted?"),
        (".", "f.png: no such file", "is its disk mounted?"),
        (
            ".",
            "f.png: the file is truncated; replace it",
            "could be used, e.g. f.png: the file is truncated",
        ),
        (".", f"f: {NOT_FINITE}", f"data.val: no frame of these sources could be used, e.g. f: {NOT_FINITE}"),
    ],
)
def test_only_a_lost_disk_is_called_one(root: str, reason: str, said: str) -> None:
    found = lost([Source(format="folder", root=root)], "data.val", "these sources", reason)
    assert said in found and ("disk" in found) == ("disk" in said)


def test_labels_without_a_pixel_are_no_lost_disk(streets: Path) -> None:
    config = make_config(streets)
    with pytest.raises(InputError, match=r"data\.val: no label of these frames has a pixel that counts"):
        checked({"measured_on": ["cityscapes:a:val"]}, config)
    other = [Source(format="folder", root="b", split="test")]
    with pytest.raises(InputError, match="folder:b:test: no label"):
        checked({"measured_on": ["folder:b:test"]}, config, other)
