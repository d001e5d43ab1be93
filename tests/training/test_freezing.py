"""Parts that do not learn or learn at a rate of their own, until when, and under every way of taking gradients."""

import copy

import pytest
import torch
from one_step import CPU, changed, make_batch, make_config, snapshot
from torch import nn

from advmtl.config import Config
from advmtl.networks import modules_within, part_parameters
from advmtl.training import build, train_step
from advmtl.training.loop import set_learning_rate
from advmtl.training.state import State
from preprocessing.ground import InputError

BATCH = make_batch([True, True, False], [True, False, True])


def config_of(train: dict[str, object], balance: dict[str, object] | None = None) -> Config:
    width = {"encoder": {"weights": None, "width": 0.5}, "discriminators": {}}
    return make_config(**width, train=train, balance=balance or {})


def statistics_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.named_buffers()}


def moved_in(state: State, steps: int = 1) -> set[str]:
    """The first two names of the parameters and running statistics that so many steps have moved."""
    before = snapshot(state.generator), statistics_of(state.generator)
    for _ in range(steps):
        train_step(state, BATCH, statistics=True)
        state.step += 1
    after = statistics_of(state.generator)
    names = {*changed(before[0], state.generator), *(n for n, v in before[1].items() if not torch.equal(v, after[n]))}
    return {".".join(name.split(".")[: 2 if name.startswith("heads") else 1]) for name in names}


ALL = {"encoder", "shared", "heads.segmentation", "heads.depth"}


@pytest.mark.parametrize(
    ("freeze", "left"),
    [
        (["encoder"], ALL - {"encoder"}),
        (["encoder", "decoder"], {"heads.segmentation", "heads.depth"}),
        (["heads.depth"], ALL - {"heads.depth"}),
        (["decoder", "heads"], {"encoder"}),
        ([], ALL),
    ],
)
@pytest.mark.parametrize(
    "balance",
    [{}, {"method": "mgda"}, {"method": "pcgrad", "at": "parameters"}, {"method": "uncertainty"}],
    ids=["sum", "at z", "at parameters", "losses"],
)
def test_a_frozen_part_moves_neither_weights_nor_statistics(
    freeze: list[str], left: set[str], balance: dict[str, object]
) -> None:
    if balance.get("at") == "parameters" and freeze == ["encoder", "decoder"]:
        with pytest.raises(InputError, match=r"train\.freeze: no shared parameter learns.*at=representation"):
            build(config_of({"freeze": freeze}, balance), CPU)
        return
    assert moved_in(build(config_of({"freeze": freeze}, balance), CPU)) == left


def test_an_encoder_is_frozen_up_to_a_stage() -> None:
    """Stem and the blocks up to the tap at stride 8, blocks 0 to 3 of MobileNetV3-Small; the others learn."""
    state = build(config_of({"freeze": ["encoder.2"]}), CPU)
    before = snapshot(state.generator.encoder)
    train_step(state, BATCH)
    assert {int(name.split(".")[1]) for name in changed(before, state.generator.encoder)} == set(range(4, 12))
    frozen = modules_within(state.generator.encoder, part_parameters(state.generator, "encoder.2", "test"))
    assert frozen and not any(module.training for one in frozen for module in one.modules())
    assert state.generator.encoder.features[4].training  # type: ignore[attr-defined]


def test_a_part_learns_from_its_step_on_and_a_resume_is_the_same() -> None:
    config = config_of({"freeze": {"encoder": 2, "heads.depth": None}})
    whole = build(config, CPU)
    assert moved_in(whole, 2) == ALL - {"encoder", "heads.depth"}
    assert whole.freezing.thawed_at(2) == ["encoder"]
    assert "frozen: heads.depth)" in whole.freezing.text(2) and "encoder until step 2" in whole.freezing.text(1)
    again = build(config, CPU)
    again.load_state_dict(copy.deepcopy(whole.state_dict()))
    for state in (whole, again):
        assert moved_in(state) == ALL - {"heads.depth"}
    for (name, a), b in zip(whole.generator.named_parameters(), again.generator.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_rates_are_factors_of_the_narrowest_part_and_keep_the_groups_of_weight_decay() -> None:
    config = config_of({"rates": {"encoder": 0.1, "encoder.1": 0.5, "heads.depth": 3}, "warmup_steps": 0})
    state = build(config, CPU)
    set_learning_rate(state, batches=10, total=100)
    rate = {id(p): group["lr"] for group in state.optimizer.param_groups for p in group["params"]}
    decay = {id(p): group["weight_decay"] for group in state.optimizer.param_groups for p in group["params"]}
    base = config.train.learning_rate
    stages = state.generator.encoder.stage_parameters()  # type: ignore[union-attr]
    assert {rate[id(p)] for p in stages[0]} == {0.5 * base}
    assert {rate[id(p)] for stage in stages[1:] for p in stage} == {0.1 * base}
    assert {rate[id(p)] for p in state.generator.heads["depth"].parameters()} == {3 * base}
    assert {rate[id(p)] for p in state.generator.shared.parameters()} == {base}
    assert {rate[id(p)] for p in state.generator.heads["segmentation"].parameters()} == {base}
    for parameter in state.generator.parameters():
        assert decay[id(parameter)] == (config.train.weight_decay if parameter.ndim > 1 else 0.0)
    assert len(rate) == sum(1 for _ in state.generator.parameters())
    again = build(config, CPU)
    again.load_state_dict(state.state_dict())
    set_learning_rate(again, batches=10, total=100)
    assert [group["lr"] for group in again.optimizer.param_groups] == [g["lr"] for g in state.optimizer.param_groups]


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"freeze": ["encoder", "decoder", "heads"]}, r"train\.freeze: nothing is left to learn"),
        ({"freeze": ["neck"]}, r"train\.freeze\.neck: the network has no such part; there are encoder, encoder\.1"),
        ({"freeze": ["heads.normals"]}, r"train\.freeze\.heads\.normals: .*heads\.segmentation, heads\.depth"),
        ({"rates": {"encoder.5": 1}}, r"train\.rates\.encoder\.5: the network has no such part"),
        ({"rates": {"encoder": 0}}, r"train\.rates\.encoder: Input should be greater than 0"),
    ],
)
def test_what_cannot_be_is_one_line(train: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        build(config_of(train), CPU)


def test_growth_and_rotograd_need_what_would_be_frozen() -> None:
    with pytest.raises(InputError, match=r"growth: conflicts are counted at the encoder's stages"):
        make_config(growth={"detections": 1}, train={"freeze": ["encoder.1"]})
    with pytest.raises(InputError, match=r"rotograd turns what each head reads"):
        make_config(balance={"method": "rotograd"}, train={"freeze": ["heads.depth"]})
