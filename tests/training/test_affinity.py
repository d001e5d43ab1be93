"""Affinity: Z by hand, on what every objective does; measuring changes no bit; where it is due, and what it tells."""

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from growing_runs import frames, fresh, grown_config, only, walk
from one_step import make_batch, make_config
from rich.console import Console
from same_bits import assert_equal
from torch import Tensor

from advmtl.balancing import split_parameters
from advmtl.config import AffinityConfig, measured
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.terms import StepContext, gather
from advmtl.training.affinity import step_of
from advmtl.training.fitting import fit
from advmtl.training.state import State, build
from advmtl.training.step import forward, train_step
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
OFTEN = {"share": 1.0}
SMALL = {"encoder": {"weights": None, "width": 0.5}, "affinity": OFTEN}


def steps(state: State, count: int) -> dict[str, float]:
    """Values of the steps that were measured; the last one's where there are several."""
    found: dict[str, float] = {}
    for _ in range(count):
        train_step(state, make_batch([True, True, False], [True, False, True], seed=state.step))
        state.step += 1
        if state.affinity is not None:
            found |= {name: float(value) for name, value in state.affinity.take().items()}
    return found


def test_steps_between_two_measurements_by_hand() -> None:
    """Two objectives: two backwards of 2/3, three forwards and the copies of 1/3 are 2 2/3 steps; at 5 % every 54th."""
    assert AffinityConfig().every(2) == 54 and AffinityConfig(share=1.0).every(2) == 3
    assert AffinityConfig(share=0.1).every(3) == 37  # 3 2/3
    assert AffinityConfig().every(2, half=True) == 94  # 4/3, three forwards of 1, and 1/3
    assert [step for step in range(12) if measured(step, 5)] == [2, 7]


@pytest.mark.parametrize(
    "changes",
    [
        {"balance": {"method": "mgda", "multi_task_row": "own"}},
        {"balance": {"method": "pcgrad", "at": "parameters"}, "discriminators": {}},
        {"balance": {"method": "famo"}, "train": {"precision": "bf16"}, "discriminators": {}},
    ],
    ids=["own row", "at parameters", "famo, bf16"],
)
def test_measuring_changes_no_bit(changes: dict[str, Any]) -> None:
    plain, watched = (build(make_config(**{**SMALL, **changes, "affinity": one}), CPU) for one in (None, OFTEN))
    assert plain.config.hash == watched.config.hash and watched.affinity is not None
    watched.affinity.every = 2  # the second of two steps
    assert steps(watched, 2) and not steps(plain, 2)
    assert_equal(watched.state_dict(), plain.state_dict())


class Noisy(torch.nn.Module):
    """Draws in every forward, and remembers how often it was called."""

    calls: Tensor

    def __init__(self, stage: torch.nn.Module) -> None:
        super().__init__()
        self.stage, self.dropout = stage, torch.nn.Dropout(0.5)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.dropout(self.stage(x))


def test_noise_and_counters_of_the_network_are_left_alone() -> None:
    """All forwards of a measurement draw the same noise, so that a step of length 0 changes no loss."""
    states = [build(make_config(**{**SMALL, "affinity": one}, discriminators={}), CPU) for one in (None, OFTEN)]
    for network in (part for state in states for part in (state.generator, state.ema)):
        network.shared.fuse = Noisy(network.shared.fuse)
    assert states[1].affinity is not None
    states[1].affinity.every = 1
    for group in states[1].optimizer.param_groups:
        group["lr"] = 0.0
    drawn = []
    for state, expected in zip(states, (set(), {0.0}), strict=True):
        torch.manual_seed(4)
        assert set(steps(state, 1).values()) == expected
        drawn.append(torch.get_rng_state())
    assert torch.equal(*drawn)
    assert int(states[1].generator.shared.fuse.calls) == int(states[0].generator.shared.fuse.calls) == 1


def test_values_are_those_of_a_step_on_one_objective_alone() -> None:
    """Against AdamW itself, without momentum, on the shared parameters of a copy, from its second moments."""
    state = build(make_config(**SMALL, balance={"multi_task_row": "own"}, train={"learning_rate": 0.02}), CPU)
    steps(state, 2)
    assert state.affinity is not None
    state.affinity.every = 1
    batch = make_batch([True, True, True], [True, True, False], seed=9)
    context = forward(state, batch)
    objectives, _ = gather(state.active_terms, context)
    assert list(objectives) == ["segmentation", "depth", "adversarial/both"]
    state.affinity.observe(context, objectives)
    found = state.affinity.take()
    assert list(found) == [f"affinity/{i}>{j}" for i in objectives for j in ("segmentation", "depth")]
    before = losses(state, state.generator, context)
    for name in objectives:
        after = losses(state, moved(state, objectives[name]), context)
        for task in before:
            wanted = 1 - after[task] / before[task]
            assert float(found[f"affinity/{name}>{task}"]) == pytest.approx(wanted, rel=1e-3, abs=1e-6)
    assert max(abs(float(value)) for value in found.values()) > 1e-3


def moved(state: State, objective: Tensor) -> torch.nn.Module:
    network = copy.deepcopy(state.generator)
    shared, own = split_parameters(state.generator)[1], split_parameters(network)[1]
    group = state.optimizer.param_groups[0]
    momentum, decay = group["betas"]
    adam = torch.optim.AdamW(
        own, lr=group["lr"] * (1 - momentum), betas=(0.0, decay), eps=group["eps"], weight_decay=0.0
    )
    for parameter, original in zip(own, shared, strict=True):
        adam.state[parameter] = {key: value.clone() for key, value in state.optimizer.state[original].items()}
    for parameter, gradient in zip(
        own, torch.autograd.grad(objective, shared, retain_graph=True, allow_unused=True), strict=True
    ):
        parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient.clone()
    adam.step()
    return network


@torch.no_grad()
def losses(state: State, network: Any, context: StepContext) -> dict[str, float]:
    outputs = copy.deepcopy(network)(context.batch.image)
    made = state.terms["supervised"].losses(outputs, context.batch, context.masks, state.generator)
    weights = {task: settings.losses for task, settings in state.config.tasks.items()}
    return {task: sum(weights[task][name] * float(one) for name, one in found.items()) for task, found in made.items()}


def test_a_plain_gradient_step_by_hand() -> None:
    """θ = 2, g = 3, η = 0.1: −0.3 for SGD; for Adam's first step v̂ = g², so −η (1 − β₁) = −0.05 at β₁ = ½."""
    parameter = torch.nn.Parameter(torch.tensor([2.0]))
    gradient = [torch.tensor([3.0])]
    assert step_of(torch.optim.SGD([parameter], lr=0.1), [parameter], gradient)[0].item() == pytest.approx(-0.3)
    adam = torch.optim.Adam([parameter], lr=0.1, betas=(0.5, 0.9))
    assert step_of(adam, [parameter], gradient)[0].item() == pytest.approx(-0.05)
    adam.state[parameter] = {"step": torch.tensor(1.0), "exp_avg_sq": torch.tensor([1.0])}
    corrected = (0.9 * 1 + 0.1 * 9) / (1 - 0.9**2)
    assert step_of(adam, [parameter], gradient)[0].item() == pytest.approx(-0.05 * 3 / corrected**0.5)
    assert parameter.item() == 2.0


def test_a_task_without_labels_is_not_measured() -> None:
    state = build(make_config(**SMALL, discriminators={}), CPU)
    assert state.affinity is not None
    state.affinity.every = 1
    train_step(state, make_batch([False, False], [True, False]))
    assert list(state.affinity.take()) == ["affinity/depth>depth"] and state.affinity.take() == {}


def test_grown_modules_are_moved_too() -> None:
    state = fresh(grown_config(3, affinity=OFTEN))
    assert state.affinity is not None
    walk(state, 3)
    assert state.growth is not None and state.growth.history[0].grown
    state.affinity.every = 1
    train_step(state, only(frames(9), state.config))
    found = state.affinity.take()
    assert len(found) == 9 and all(0 < abs(float(value)) < 1 for value in found.values())


def test_one_task_has_no_other() -> None:
    with pytest.raises(InputError, match="affinity: one task has no other to help"):
        make_config(tasks={"depth": {"losses": {"berhu": 1.0}}}, discriminators={}, affinity=OFTEN)
    with pytest.raises(InputError, match=r"affinity\.share"):
        make_config(affinity={"share": 0})


def test_a_run_logs_it_and_a_resume_repeats_it(streets: Path, tmp_path: Path) -> None:
    """Measured in steps 2 and 5 of 6 (share 1: every third); the same rows whether the run was stopped or not."""
    config = run_config(streets, epochs=2)
    console = Console(record=True, width=200, file=io.StringIO())
    fit(config, tmp_path / "whole", CPU, console)
    assert "affinity: every 3 steps are measured, 2 of the 6 steps" in console.export_text()
    rows = measured_rows(tmp_path / "whole")
    assert [row["step"] for row in rows] == [2, 5] and rows[0]["affinity/segmentation>depth"] != 0

    class Stop:
        def on_step(self, step: int, losses: object) -> bool:
            return step == 4

        def on_epoch(self, epoch: int, metrics: object) -> None:
            pass

    fit(config, tmp_path / "parts", CPU, console, callbacks=[Stop()])
    assert [row["step"] for row in measured_rows(tmp_path / "parts")] == [2]
    fit(config, tmp_path / "parts", CPU, console)
    assert measured_rows(tmp_path / "parts") == rows


def run_config(streets: Path, **train: object) -> Config:
    sources = {role: [{"format": "cityscapes", "root": str(streets), "split": role}] for role in ("train", "val")}
    values = {
        "tasks": make_config().model_dump()["tasks"],
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "data": {**sources, "size": "64x32", "batch_size": 2, "workers": 0, "cache_mb": 0},
        "train": {"warmup_steps": 1, "panels": 0, "log_every": 2, **train},
        "affinity": OFTEN,
    }
    return validate(Config, values, "test")


def measured_rows(folder: Path) -> list[dict[str, float]]:
    rows = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if row["kind"] == "affinity"]
