"""When who learns how fast: learning rates, the adversary's entry, several discriminator steps."""

from collections.abc import Iterator

import pytest
import torch
from one_step import CRITICS, make_batch, make_config, snapshot
from run_parts import discriminators_of

from advmtl.data.batch import on_device, one_ahead
from advmtl.terms.adversarial import adversarial_ramp
from advmtl.training.loop import set_learning_rate
from advmtl.training.state import build
from advmtl.training.step import train_step

CPU = torch.device("cpu")


def test_the_adversary_enters_on_a_ramp() -> None:
    settings = make_config(train={"adversarial_start_step": 10, "adversarial_ramp_steps": 4}).train
    heard = [adversarial_ramp(step, settings) for step in (0, 9, 10, 11, 12, 13, 14, 99)]
    assert heard == [0, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert adversarial_ramp(0, make_config().train) == 1


def test_on_the_ramp_the_generator_hears_a_share_of_the_critics_weight() -> None:
    critic = {"both": {**CRITICS["both"], "weight": 0.8}}
    quarter = {"both": {**CRITICS["both"], "weight": 0.2}}
    ramped = build(make_config(discriminators=critic, train={"adversarial_ramp_steps": 4}), CPU)
    lighter = build(make_config(discriminators=quarter), CPU)
    batch = make_batch([True] * 2, [True] * 2)
    a, b = train_step(ramped, batch), train_step(lighter, batch)
    assert a["combined"].item() == pytest.approx(b["combined"].item(), rel=1e-6)
    assert a["adversarial/both"].item() == b["adversarial/both"].item()  # what is logged has no weight
    assert a["discriminator/both/loss"].item() == b["discriminator/both/loss"].item()


def test_several_discriminator_steps_are_all_on_the_same_maps() -> None:
    state = build(make_config(train={"discriminator_steps": 3}), CPU)
    seen: list[torch.Tensor] = []
    discriminators_of(state)["depth"].register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0].detach()))
    before = snapshot(state.generator)
    train_step(state, make_batch([True] * 2, [True] * 2))
    assert len(seen) == 4 and torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
    assert torch.equal(seen[3], seen[0][2:])  # then the generator is judged, on what it had drawn
    taken = {name: next(iter(one.state.values()))["step"].item() for name, one in state.term_optimizers.items()}
    assert set(taken.values()) == {3}
    assert next(iter(state.optimizer.state.values()))["step"].item() == 1 and before.keys()


def test_discriminators_have_learning_rates_and_momenta_of_their_own() -> None:
    critics = {**CRITICS, "both": {**CRITICS["both"], "learning_rate": 0.002}}
    train = {
        "learning_rate": 0.01,
        "discriminator_learning_rate": 0.004,
        "discriminator_betas": [0.0, 0.9],
        "warmup_steps": 4,
        "schedule": "constant",
    }
    state = build(make_config(discriminators=critics, train=train), CPU)
    state.batch = 1
    set_learning_rate(state, 100, 100)
    rates = {name: one.param_groups[0]["lr"] for name, one in state.term_optimizers.items()}
    assert rates == {
        "discriminator/segmentation": 0.002,
        "discriminator/depth": 0.002,
        "discriminator/both": 0.001,
    }  # of each the half: step 2 of 4
    assert state.optimizer.param_groups[0]["lr"] == 0.005
    assert {one.param_groups[0]["betas"] for one in state.term_optimizers.values()} == {(0.0, 0.9)}


def test_a_gradient_is_clipped_to_its_norm() -> None:
    state = build(make_config(discriminators={}, train={"gradient_clip_norm": 1e-3}), CPU)
    logs = train_step(state, make_batch([True] * 2, [True] * 2))
    left = torch.stack([p.grad.norm() for p in state.generator.parameters() if p.grad is not None]).norm()
    assert logs["gradient_norm"].item() > 0.01 and left.item() == pytest.approx(1e-3, rel=1e-3)


def test_one_ahead_keeps_the_order_and_takes_one_more_than_it_gives() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in range(4):
            taken.append(number)
            yield number

    given = []
    for number in one_ahead(source()):
        given.append(number)
        assert len(taken) == min(len(given) + 1, 4)
    assert given == [0, 1, 2, 3] and list(one_ahead([])) == [] and list(one_ahead([7])) == [7]


def test_on_a_cpu_no_batch_is_read_ahead() -> None:
    batches = [make_batch([True], [True], seed) for seed in range(3)]
    handed: list[int] = []

    def source() -> Iterator[object]:
        for number, batch in enumerate(batches):
            handed.append(number)
            yield batch

    found = on_device(source(), CPU)  # type: ignore[arg-type]
    assert torch.equal(next(found).image, batches[0].image) and handed == [0]
    assert [batch.names for batch in found] == [["frame0"]] * 2
