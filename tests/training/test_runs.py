"""A run folder: whose it is, what may differ on resume, and a log that survives crashes."""

import copy
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from same_bits import assert_equal
from street_set import TASKS
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.terms.adversarial import DiscriminatorTerm
from advmtl.training.checkpoint import load_checkpoint, save_checkpoint
from advmtl.training.going_on import difference
from advmtl.training.log import Log
from advmtl.training.opening import Opening, load_newest, open_run
from advmtl.training.record import installed_versions
from advmtl.training.run_folder import Run, clear_run, lock_run
from advmtl.training.selection import of_older
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
BOTH = {"sees": ["segmentation", "depth"], "objective": "wgan_gp", "channels": 4, "layers": 2}


def make_config(**changes: object) -> Config:
    values = {
        "tasks": TASKS,
        "encoder": {"weights": None},
        "generator": {"channels": 8, "crp_stages": 0},
        "data": {"size": "64x32"},
        **changes,
    }
    return validate(Config, values, "test")


def one_batch() -> Batch:
    """Three frames of 32 x 64 px; each label lacks on one."""
    noise = torch.Generator().manual_seed(5)
    classes = torch.randint(0, 7, (3, 32, 64), generator=noise)
    metres = 2 + 40 * torch.rand(3, 1, 32, 64, generator=noise)
    classes[1], metres[2] = 255, 0
    present = {"segmentation": [True, False, True], "depth": [True, True, False]}
    image = torch.randn(3, 3, 32, 64, generator=noise)
    return Batch(image, {"segmentation": classes, "depth": metres}, present, ["a", "b", "c"])


@pytest.fixture
def saved(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    config = make_config()
    state = build(config, CPU)
    state.step, state.log_bytes = 7, 40
    save_checkpoint(run.last, state.state_dict(), config)
    return run


def test_a_folder_with_another_run_is_left_alone(saved: Run) -> None:
    with pytest.raises(InputError, match=r"another run \(train.learning_rate is 0.001 there and 0.5 here\); .* --init"):
        open_run(make_config(train={"learning_rate": 0.5}), saved, CPU)


def test_keys_that_change_no_result_may_differ_on_resume(saved: Run) -> None:
    other = make_config(name="other", data={"size": "64x32", "workers": 0, "cache_mb": 5}, train={"log_every": 3})
    assert other.hash == make_config().hash
    state = open_run(other, saved, CPU)
    assert state.step == 7 and state.config.data.workers == 0


def test_overwrite_starts_anew(saved: Run) -> None:
    assert open_run(make_config(train={"learning_rate": 0.5}), saved, CPU, Opening(overwrite=True)).step == 0
    assert not saved.last.exists()


def test_no_resume_refuses_a_folder_with_a_run(saved: Run, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"run: holds a run; omit --no-resume .* --out, .* --overwrite"):
        open_run(make_config(), saved, CPU, Opening(resume=False))
    assert open_run(make_config(), saved, CPU, Opening(overwrite=True, resume=False)).step == 0
    assert open_run(make_config(), Run(tmp_path / "new"), CPU, Opening(resume=False)).step == 0
    (tmp_path / "new" / "metrics.jsonl").write_text("{}\n")  # one that died before its first checkpoint
    with pytest.raises(InputError, match="holds a run"):
        open_run(make_config(), Run(tmp_path / "new"), CPU, Opening(resume=False))


@pytest.mark.parametrize("damage", ["damaged", "missing"])
def test_without_a_good_last_the_one_before_is_used_and_both_are_named(damage: str, saved: Run) -> None:
    config, said = make_config(), []
    state = open_run(config, saved, CPU)
    state.step = 9
    save_checkpoint(saved.last, state.state_dict(), config, former=saved.previous)
    if damage == "damaged":
        saved.last.write_bytes(saved.last.read_bytes()[:-1])
    else:
        saved.last.unlink()
    state = open_run(config, saved, CPU, Opening(warn=said.append))
    assert state.step == 7 and len(said) == 1
    assert all(text in said[0] for text in (str(saved.last), str(saved.previous), "step 7"))
    assert saved.damaged.is_file() == (damage == "damaged")
    # The next save must not put the damaged file in the place of the good one.
    save_checkpoint(saved.last, state.state_dict(), config, former=saved.previous)
    assert load_checkpoint(saved.last)[0]["step"] == load_checkpoint(saved.previous)[0]["step"] == 7


def test_without_any_good_checkpoint_the_remedy_is_named(saved: Run) -> None:
    saved.last.replace(saved.previous)
    for path in (saved.last, saved.previous):
        path.write_bytes(b"PK")
    with pytest.raises(InputError, match=r"last\.pt: damaged .*previous\.pt: damaged .*; --overwrite to start anew"):
        load_newest(saved, print)
    saved.best.write_bytes(b"x")
    with pytest.raises(InputError, match=r"copy .*best\.pt to last\.pt"):
        open_run(make_config(), saved, CPU)


def test_a_lost_best_is_told_and_chosen_anew(saved: Run) -> None:
    config, said = make_config(), []
    state = open_run(config, saved, CPU, Opening(warn=said.append))
    assert not said
    state.selection.load_state_dict(of_older(0.5, 1))
    for path in (saved.last, saved.best):
        save_checkpoint(path, state.state_dict(), config)
    assert open_run(config, saved, CPU, Opening(warn=said.append)).selection.kept and not said
    saved.best.write_bytes(saved.best.read_bytes() + b" ")
    assert open_run(config, saved, CPU, Opening(warn=said.append)).selection.best is None
    assert len(said) == 1 and "best.pt: damaged" in said[0] and "selected anew" in said[0]


def test_what_a_killed_process_left_is_removed(saved: Run) -> None:
    state, config = build(make_config(), CPU), make_config()
    state.epoch = 1
    save_checkpoint(saved.last, state.state_dict(), config)
    names = ("checkpoints/.last.0123abcd.pt", ".config.0123abcd.yaml", "panels/.epoch_0002.0123abcd.png")
    panels = ("panels/epoch_0001.png", "panels/epoch_0002.png", "panels/mine.png", "checkpoints/.mine.pt")
    for name in (*names, *panels):
        (saved.folder / name).parent.mkdir(exist_ok=True)
        (saved.folder / name).write_text("x")
    open_run(config, saved, CPU)
    left = [name for name in (*names, *panels) if (saved.folder / name).exists()]
    assert left == ["panels/epoch_0001.png", "panels/mine.png", "checkpoints/.mine.pt"]


@pytest.mark.parametrize("change", ["missing", "unknown", "unfit"])
def test_a_state_of_another_version_is_refused_by_key(change: str, saved: Run) -> None:
    state, config = load_checkpoint(saved.last)
    if change == "missing":
        del state["terms"]
    elif change == "unknown":
        state["novel"] = 1
    else:
        state["optimizer"]["param_groups"].pop()
    save_checkpoint(saved.last, state, config)
    told = {"missing": "terms is missing", "unknown": "novel is not known", "unfit": "does not fit this configuration"}
    with pytest.raises(InputError, match=told[change]) as caught:
        open_run(make_config(), saved, CPU)
    assert "\n" not in str(caught.value)


def test_a_state_from_before_guards_and_balancers_loads(saved: Run) -> None:
    state, config = load_checkpoint(saved.last)
    for key in ("guards", "balancer"):
        del state[key]
    state["numpy"] = state["numpy"][:2]
    torch.save({"format": 1, "config": config.model_dump(mode="json"), "state": state}, saved.last)
    assert open_run(config, saved, CPU).step == 7


def test_all_random_states_are_restored(saved: Run) -> None:
    """Also the second half of a pair of normal numbers, which NumPy and Python keep for the next draw."""

    def draw(state: State) -> list[float]:
        term = state.terms["discriminator/both"]
        assert isinstance(term, DiscriminatorTerm) and term._noise is not None
        own = torch.rand((), generator=term._noise).item()
        return [random.gauss(0, 1), np.random.normal(), torch.rand(()).item(), own]

    config = make_config(discriminators={"both": BOTH})
    state = build(config, CPU)
    draw(state)
    save_checkpoint(saved.last, state.state_dict(), config)
    expected = draw(state)
    np.random.seed(1)
    assert draw(open_run(config, saved, CPU)) == expected


def test_a_state_from_before_there_were_terms_loads_whole(saved: Run) -> None:
    """Discriminators, their noise and partial supervision had keys of their own."""
    config = make_config(
        discriminators={"both": BOTH}, partial={"adversary": {"channels": 4}, "consistency": {"width": 4}}
    )
    state = build(config, CPU)
    state.record.versions = installed_versions()
    batch = one_batch()
    for _ in range(2):
        train_step(state, batch)
        state.step += 1
    wanted = state.state_dict()
    old = {key: value for key, value in wanted.items() if key not in ("terms", "term_optimizers")}
    terms, optimizers = wanted["terms"], wanted["term_optimizers"]
    old["noise"] = terms["discriminator/both._extra_state"]["noise"]
    old["discriminators"] = {
        key.removeprefix("discriminator/").replace(".network.", "."): value
        for key, value in terms.items()
        if ".network." in key
    }
    old["partial"] = {
        key.removeprefix("partial/").replace(".discriminators.", ".critics."): value
        for key, value in terms.items()
        if key.startswith("partial/")
    }
    for kind in ("discriminator", "partial"):
        chosen = {k: v for k, v in optimizers.items() if k.startswith(f"{kind}/")}
        old[f"{kind}_optimizers"] = {key.removeprefix(f"{kind}/"): value for key, value in chosen.items()}
    assert set(old["discriminator_optimizers"]) == {"both"} and set(old["partial"]) > {"adversary._extra_state"}
    save_checkpoint(saved.last, old, config)
    resumed = open_run(config, saved, CPU)
    assert_equal(resumed.state_dict(), copy.deepcopy(wanted))
    assert_equal(train_step(resumed, batch), train_step(state, batch))


def test_clear_run_removes_only_what_a_run_wrote(tmp_path: Path) -> None:
    for name in ("checkpoints/last.pt", "config.yaml", "notes.txt", "model.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    clear_run(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "notes.txt"]


def test_the_log_drops_rows_after_the_checkpoint_and_never_pads(tmp_path: Path) -> None:
    run, state = Run(tmp_path), build(make_config(), CPU)
    log = Log(run, state)
    log.write("train", 1, 0, {"combined": 1.0, "gradient_norm": float("nan")})
    state.log_bytes = log.sync()
    log.write("train", 2, 0, {"combined": 2.0})
    log.close()
    Log(run, state).close()
    assert [json.loads(line) for line in run.metrics.open()] == [
        {"kind": "train", "step": 1, "epoch": 0, "combined": 1.0}
    ]
    log = Log(run, state)
    assert log.lost_bytes == 0
    log.close()
    whole = run.metrics.read_bytes()
    state.log_bytes = 10**6
    with run.metrics.open("ab") as file:
        file.write(b'{"kind": "tr')  # half a row is no row
    log = Log(run, state)
    assert log.lost_bytes == 10**6 - len(whole)
    log.write("train", 3, 0, {"combined": 3.0})
    log.close()
    assert run.metrics.read_bytes().startswith(whole + b'{"kind": "train", "step": 3')


def scalars(folder: Path) -> list[tuple[int, float]]:
    """(step, value) of train/combined, as TensorBoard would show them."""
    board = EventAccumulator(str(folder))
    board.Reload()
    return [(event.step, event.value) for event in board.Scalars("train/combined")]


def test_tensorboard_shows_every_step_once_after_a_kill(tmp_path: Path) -> None:
    run, state = Run(tmp_path), build(make_config(), CPU)
    log = Log(run, state)
    for step in range(1, 6):
        log.write("train", step, 0, {"combined": float(step)})
        if step == 3:
            state.step, state.log_bytes = step, log.sync()
            # On the disk with the checkpoint, not minutes later.
            assert [event[0] for event in scalars(tmp_path / "tensorboard")] == [1, 2, 3]
            events = next((tmp_path / "tensorboard").iterdir())
    log.close()
    events.rename(events.with_name(events.name.replace("tfevents.", "tfevents.0")))  # of an earlier second
    log = Log(run, state)
    for step in (4, 5, 6):
        log.write("train", step, 0, {"combined": 10.0 * step})
    log.close()
    assert scalars(tmp_path / "tensorboard") == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0), (6, 60.0)]


def test_difference_names_the_first_key() -> None:
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == "a.c is 2 there and 3 here"
    assert difference({"a": [1]}, {"a": [1]}) is None


def test_a_folder_belongs_to_one_process_at_a_time_and_is_free_after_a_kill(tmp_path: Path) -> None:
    hold = "from pathlib import Path; from advmtl.training.run_folder import lock_run"
    code = f"{hold}; c = lock_run(Path({str(tmp_path)!r})); c.__enter__(); print('held', flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None and other.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="another process trains into this folder"), lock_run(tmp_path):
        pass
    other.kill()
    other.communicate()
    with lock_run(tmp_path):
        pass


def test_a_run_that_is_refused_before_it_is_built_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="weights"), lock_run(tmp_path / "runs" / "new"):
        raise InputError("weights do not fit")
    assert not (tmp_path / "runs" / "new").exists()
    with lock_run(tmp_path / "kept"):
        (tmp_path / "kept" / "config.yaml").touch()
    assert (tmp_path / "kept" / "run.lock").exists()
