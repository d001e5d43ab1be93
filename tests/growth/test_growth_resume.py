"""Growth in a run: a stop anywhere and a resume end with the same bits; other state stays; the log tells it."""

import io
import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from growing_runs import CPU, TASKS, fresh, grown_config, walk
from rich.console import Console
from street_set import write_cityscapes

from advmtl.config.experiment import Config
from advmtl.config.growth import detection_of
from advmtl.config.typed import validate
from advmtl.networks.grown import architecture
from advmtl.training import loop as loop_module
from advmtl.training.checkpoint import load_checkpoint, load_generator
from advmtl.training.fitting import fit
from advmtl.training.state import State
from preprocessing.ground.errors import InputError

STEPS = 7


def unequal(a: Any, b: Any, at: str = "") -> list[str]:
    """Where two states differ in a single bit."""
    if isinstance(a, dict):
        if a.keys() != b.keys():
            return [f"{at}: keys"]
        return [text for key in a for text in unequal(a[key], b[key], f"{at}.{key}")]
    if isinstance(a, list | tuple):
        if len(a) != len(b):
            return [f"{at}: length"]
        return [text for i, pair in enumerate(zip(a, b, strict=True)) for text in unequal(*pair, f"{at}[{i}]")]
    same = torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
    return [] if same else [at]


def saved(state: State) -> dict[str, Any]:
    """As it comes out of a file."""
    buffer = io.BytesIO()
    torch.save(state.state_dict(), buffer)
    buffer.seek(0)
    values: dict[str, Any] = torch.load(buffer, weights_only=True)
    return values


@pytest.fixture(scope="module")
def alone() -> dict[str, Any]:
    state = fresh(grown_config(2))
    found = walk(state, STEPS)
    assert [detection.step for detection in found] == [3, 6] and all(detection.grown for detection in found)
    return saved(state)


@pytest.mark.parametrize("stop", [1, 2, 3, 5, 6], ids=["before", "in a window", "grown", "in the second", "twice"])
def test_a_resume_ends_with_the_same_bits(stop: int, alone: dict[str, Any]) -> None:
    first = fresh(grown_config(2))
    walk(first, stop)
    second = fresh(grown_config(2))
    second.load_state_dict(saved(first))
    walk(second, STEPS)
    assert unequal(saved(second), alone) == []


def test_differences_are_seen(alone: dict[str, Any]) -> None:
    """A window that was not saved is counted anew: another threshold."""
    first = fresh(grown_config(2))
    walk(first, 2)
    state = saved(first)
    state["growth"]["counts"]["conflicts"] += 1
    second = fresh(grown_config(2))
    second.load_state_dict(state)
    walk(second, STEPS)
    assert unequal(saved(second), alone)


def test_what_was_there_stays_when_it_grows() -> None:
    """Adam's moments and steps, the average and the weights; new ones begin at nothing, the average with a copy."""
    state, twin = fresh(grown_config(2)), fresh(grown_config(2, {"start_step": 90}))
    walk(state, 3)
    walk(twin, 3)
    assert architecture(state.generator) and not architecture(twin.generator)
    old, new = state.state_dict(), twin.state_dict()
    for part in ("generator", "ema"):
        assert unequal({name: old[part][name] for name in new[part]}, dict(new[part])) == []
    for index, values in new["optimizer"]["state"].items():
        assert unequal(old["optimizer"]["state"][index], values) == []
    assert len(old["optimizer"]["state"]) == len(new["optimizer"]["state"])
    groups = state.optimizer.param_groups
    assert [group["weight_decay"] for group in groups] == [1e-4, 0, 1e-4, 0]
    assert all(p.ndim > 1 for p in groups[2]["params"]) and all(p.ndim <= 1 for p in groups[3]["params"])
    added = [name for name in old["generator"] if name not in new["generator"]]
    assert added and unequal({n: old["ema"][n] for n in added}, {n: old["generator"][n] for n in added}) == []
    assert not any(p.requires_grad for p in state.ema.parameters())
    walk(state, 4)
    assert len(state.optimizer.state) == len(new["optimizer"]["state"]) + sum(len(g["params"]) for g in groups[2:])


def test_exclusive_modules_and_top_k_grow() -> None:
    state = fresh(grown_config(3, {"modules": "exclusive", "top_k": 1}))
    first, second = walk(state, 6)
    assert first.threshold is None and len(first.conflicts) == 1
    assert [place.owners for place in first.grown] == [(task,) for task in first.conflicts[0].owners]
    assert {place.stage for place in first.grown} == {first.conflicts[0].stage}
    again = fresh(grown_config(3, {"modules": "exclusive", "top_k": 1}))
    again.load_state_dict(saved(state))
    assert again.growth is not None and again.growth.history == [first, second]


def test_frozen_batch_norms_stay_and_new_modules_take_statistics_of_their_own() -> None:
    """A new module has learnt none that could be frozen; also after a resume."""
    config = grown_config(2, train={"warmup_steps": 1, "batch_norm": "frozen"})
    state, again = fresh(config), fresh(config)
    before = statistics(state)
    walk(state, 4)
    again.load_state_dict(saved(state))
    walk(again, 5)
    after = statistics(again)
    assert unequal({name: after[name] for name in before}, before) == []
    new = {name: value for name, value in after.items() if name not in before}
    assert new and all(name.startswith("kernels.") for name in new)
    averaged = statistics(again, "ema")
    assert all(value.any() and (value != 1).any() for name in new for value in (new[name], averaged[name]))


def statistics(state: State, part: str = "generator") -> dict[str, torch.Tensor]:
    values = getattr(state, part).state_dict()
    return {name: value.clone() for name, value in values.items() if name.endswith(("running_mean", "running_var"))}


def test_another_configuration_is_refused() -> None:
    state = fresh(grown_config(2))
    walk(state, 3)
    plain = fresh(grown_config(2).model_copy(update={"growth": None}))
    with pytest.raises(InputError, match="growth is of another run"):
        plain.load_state_dict(saved(state))
    older = saved(fresh(grown_config(2).model_copy(update={"growth": None})))
    del older["growth"]  # of a version that did not know it
    plain.load_state_dict(older)
    with pytest.raises(InputError, match="growth is missing"):
        fresh(grown_config(2)).load_state_dict(older)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": 1}, "growth: one task has no other to conflict with"),
        ({"balance": {"method": "rotograd"}}, "growth: rotograd transforms z alone"),
        ({"train": {"compile": True}}, "growth: a growing network is not compiled"),
        ({"growth": {"accumulate_steps": 4}}, "growth: accumulate_steps: 4 mini-batches"),
    ],
)
def test_what_cannot_grow_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        grown_config(**changes)
    assert "\n" not in str(caught.value)


def test_the_hash_knows_growth() -> None:
    plain = grown_config().model_copy(update={"growth": None})
    assert "growth" not in plain.computed() and plain.hash != grown_config().hash
    assert grown_config(growth={"top_k": 2}).hash != grown_config().hash


def street_config(streets: Path) -> Config:
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    values = {
        "name": "growing",
        "seed": 3,
        "tasks": {task: TASKS[task] for task in ("segmentation", "depth")},
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "balance": {"method": "mgda"},
        "growth": {"detections": 3, "start_step": 0, "every_steps": 2, "accumulate_steps": 2},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 0},
        "train": {"epochs": 2, "log_every": 1, "warmup_steps": 1, "panels": 0},
    }
    return validate(Config, values, "test")


def test_a_run_that_is_stopped_logs_as_one_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cityscapes(tmp_path / "streets", "train", 6)
    write_cityscapes(tmp_path / "streets", "val", 2)
    config, output = street_config(tmp_path / "streets"), io.StringIO()
    fit(config, tmp_path / "alone", CPU, Console(file=output, width=400))
    real, taken = loop_module.train_step, 0

    def step(*args: Any, **options: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return real(*args, **options)

    monkeypatch.setattr(loop_module, "train_step", step)
    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path / "stopped", CPU, Console(quiet=True))
    fit(config, tmp_path / "stopped", CPU, Console(quiet=True))
    logs = [(tmp_path / name / "metrics.jsonl").read_text() for name in ("alone", "stopped")]
    assert logs[0] == logs[1]
    rows = [json.loads(line) for line in logs[0].splitlines()]
    found = [detection_of(row) for row in rows if row["kind"] == "growth"]
    assert [detection.step for detection in found] == [2, 4, 6]
    assert all(detection.text in output.getvalue() for detection in found)
    (a, _), (b, _) = (load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("alone", "stopped"))
    assert unequal(a, b) == []
    generator, _ = load_generator(tmp_path / "alone" / "checkpoints" / "last.pt")
    assert sum(p.numel() for p in generator.parameters()) == found[-1].parameters
    assert unequal(dict(generator.state_dict()), dict(a["ema"])) == []


def test_detections_beyond_the_last_step_are_told(tmp_path: Path) -> None:
    write_cityscapes(tmp_path / "streets", "train", 2)
    write_cityscapes(tmp_path / "streets", "val", 1)
    output, config = io.StringIO(), street_config(tmp_path / "streets")
    fit(config, tmp_path / "run", CPU, Console(file=output, width=200))
    assert "growth: 1 of 3 detections lie within the 2 steps of this training" in output.getvalue()


def test_the_average_of_a_new_module_is_as_young_as_the_module() -> None:
    """In the first step after it came, it is nine tenths the new values; the rest is old."""
    state = fresh(grown_config(2, {"detections": 1, "start_step": 28, "accumulate_steps": 1}))
    walk(state, 28)
    assert state.growth is not None
    state.growth.counts.conflicts += 1  # whatever the step says, so that something grows
    walk(state, 29)
    assert architecture(state.generator)
    before = {name: value.clone() for name, value in state.ema.state_dict().items()}
    walk(state, 30)
    now, current = state.ema.state_dict(), state.generator.state_dict()
    moved = 0
    for name, value in now.items():
        if value.is_floating_point():
            kept = 1 / 10 if ".fusion." in name or name.startswith("kernels.") else 30 / 39
            torch.testing.assert_close(value, kept * before[name] + (1 - kept) * current[name])
            moved += bool((value != before[name]).any()) and kept == 1 / 10
    assert moved
