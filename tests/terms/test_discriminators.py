"""Discriminators in a step: which patches and pairs count, what the generator hears, and how often slopes are held."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from one_step import CPU, changed, make_batch, make_config, snapshot
from run_parts import discriminators_of
from same_bits import assert_equal
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.config.typed import validate
from advmtl.networks import PatchDiscriminator
from advmtl.terms import DiscriminatorTerm, StepContext
from advmtl.terms.adversarial import feature_distance
from advmtl.terms.shown import patch_weights
from advmtl.training.state import State, build
from advmtl.training.step import forward, train_step
from preprocessing.ground.errors import InputError

PAIR: dict[str, Any] = {"sees": ["segmentation", "depth"], "objective": "r3gan", "channels": 8, "weight": 0.5}


def state_of(critic: dict[str, Any], **changes: object) -> State:
    return build(make_config(discriminators={"d": critic}, **changes), CPU)


def term_of(state: State) -> DiscriminatorTerm:
    term = state.terms["discriminator/d"]
    assert isinstance(term, DiscriminatorTerm)
    return term


def shown_of(state: State, step: StepContext) -> Any:
    shown = term_of(state)._shown(step)
    assert shown is not None
    return shown


def scores_of_depth(state: State) -> None:
    """The critic of depth gives the value at the middle of each patch, times 2."""
    network = term_of(state).network
    assert isinstance(network, PatchDiscriminator)
    convolution = nn.Conv2d(1, 1, 1, stride=2 ** term_of(state).settings.layers)
    nn.init.constant_(convolution.weight, 2.0)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    network.stages = nn.Sequential(convolution)


def test_patches_weigh_by_their_labelled_pixels() -> None:
    """5x6 px in patches of 4: 16, 8, 4, 2 px. Labelled: all of the first but 4, none of the second, 3 and 1 below."""
    labelled = torch.zeros(2, 1, 5, 6)
    labelled[0, 0, 1:4, :4] = 1
    labelled[0, 0, 4, :3] = labelled[0, 0, 4, 5] = 1
    found = patch_weights(labelled, 4)
    torch.testing.assert_close(found[0, 0], torch.tensor([[12.0, 0.0], [3.0, 1.0]]) / 16)
    assert found[1].sum() == 0


def test_pairs_are_of_one_patch_of_one_frame_and_void_ones_do_not_count() -> None:
    """Depth on 8x16 px, one layer: the left half has no label. Frame 0 is right, frame 1 predicts log depth 0.5 less.

    Depth is shown times 4, scored times 2: the pairs of frame 1 are 4 apart. ln 2 and ln(1 + e^-4), of D; of G
    ln(1 + e^4). Over all patches, the left half's ln 2 would halve what frame 1 says.
    """
    critic = {"sees": ["depth"], "objective": "r3gan", "layers": 1, "penalty": 0}
    state = state_of(critic, depth={"min_m": 1.0, "max_m": math.exp(2)})
    scores_of_depth(state)
    batch = make_batch([True] * 2, [True] * 2)
    metres = torch.full((2, 1, 8, 16), math.e)  # 0 on [-1, 1]
    metres[..., :8] = 0
    batch = replace(batch, targets={**batch.targets, "depth": metres})
    outputs = {"depth": torch.stack([torch.full((1, 8, 16), math.exp(x)) for x in (1.0, 0.5)]).requires_grad_()}
    masks = {"depth": metres > 0}
    z = torch.zeros(())
    step = StepContext(state.config, state.generator, state.ema, batch, z, outputs, masks, 0)
    loss, logs = term_of(state).learn(step)
    assert loss is not None
    assert loss.item() == pytest.approx((math.log(2) + math.log1p(math.exp(-4))) / 2, rel=1e-5)
    assert logs["patch_accuracy"].item() == pytest.approx(0.75)  # frame 0: equal, a half; frame 1: right
    objectives, heard = term_of(state).objectives(step)
    assert heard["adversarial/d"].item() == pytest.approx((math.log(2) + math.log1p(math.exp(4))) / 2, rel=1e-5)
    (gradient,) = torch.autograd.grad(objectives["depth"], outputs["depth"])
    # Only the corner of each patch of 2 px is looked at, and the left half never: all are pushed to be farther.
    pushed = gradient[:, 0, ::2, ::2]
    assert (pushed[..., 4:] < 0).all() and not pushed[..., :4].any()


@pytest.mark.parametrize("objective", ["r3gan", "hinge"])
def test_what_lies_under_a_hole_changes_nothing(objective: str) -> None:
    critic = {**PAIR, "objective": objective, "feature_matching": 0.3, "maps": "confident", "scale": 2}
    state = state_of(critic)
    batch = make_batch([True] * 2, [True] * 2)
    batch.targets["segmentation"][:, :32], batch.targets["depth"][:, :, :32] = 255, 0
    step = forward(state, batch)
    whole = {task: step.outputs[task].detach() for task in state.config.tasks}
    other = {task: values.clone() for task, values in whole.items()}
    for values in other.values():
        values[:, :, :32] = 50 * torch.rand_like(values[:, :, :32]) + 1
    found = []
    for outputs in (whole, other):
        twin = copy.deepcopy(state)
        shown = replace(step, outputs=outputs)
        loss, logs = term_of(twin).learn(shown)
        assert loss is not None
        found.append({"loss": loss, **logs, **term_of(twin).judge(shown)[0]})
    assert_equal(found[0], found[1])
    assert found[0]["d/features"] > 0


def test_no_gradient_to_the_critic_nor_to_labels_when_the_generator_hears_it() -> None:
    state = state_of({**PAIR, "feature_matching": 0.3})
    before = snapshot(discriminators_of(state))
    step = forward(state, make_batch([True] * 2, [True] * 2))
    term_of(state).requires_grad_(False)
    added, logs = term_of(state).objectives(step)
    total = torch.stack(list(added.values())).sum()
    assert total.item() == pytest.approx(
        0.5 * logs["adversarial/d"].item() + 0.3 * logs["adversarial/d/features"].item()
    )
    gradients = torch.autograd.grad(total, [step.z])
    assert gradients[0].abs().max() > 0 and not changed(before, discriminators_of(state))
    assert all(parameter.grad is None for parameter in term_of(state).parameters())


def test_a_step_of_r3gan_moves_critic_and_both_heads() -> None:
    state = state_of({**PAIR, "scale": 4, "layers": 2, "maps": "confident", "feature_matching": 0.1})
    before, heads = snapshot(discriminators_of(state)), snapshot(state.generator.heads)
    logs = train_step(state, make_batch([True] * 2, [True] * 2), statistics=True)
    assert changed(before, discriminators_of(state)) and changed(heads, state.generator.heads)
    assert {"adversarial/d", "adversarial/d/features", "discriminator/d/gradient_penalty"} <= logs.keys()
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())


def test_feature_distance_by_hand() -> None:
    """Layer 1: |2 - 0| and |0 - 4| over two channels at the cells with a label, 3; layer 2: 5; their mean 4."""
    real = [torch.zeros(1, 2, 1, 2), torch.zeros(1, 1, 1, 1)]
    fake = [torch.tensor([[[[2.0, 99.0]], [[-4.0, 99.0]]]], requires_grad=True), torch.full((1, 1, 1, 1), 5.0)]
    labelled = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]]])
    distance = feature_distance(fake, real, labelled)
    assert distance.item() == pytest.approx(4.0)
    (gradient,) = torch.autograd.grad(distance, fake[0])
    torch.testing.assert_close(gradient, torch.tensor([[[[0.25, 0.0]], [[-0.25, 0.0]]]]))


def test_the_penalty_every_so_many_steps_has_so_many_times_the_weight() -> None:
    batch = make_batch([True] * 2, [True] * 2)
    losses: dict[tuple[int, int], float] = {}
    for every in (1, 3):
        state = state_of({**PAIR, "penalty": 0.5, "penalty_every": every})
        step = forward(state, batch)
        for number in (0, 1, 3):
            loss, logs = term_of(state).learn(replace(step, number=number))
            assert loss is not None and ("gradient_penalty" in logs) == (number % every == 0)
            losses[every, number] = loss.item()
            penalty = logs.get("gradient_penalty", torch.zeros(())).item()
            losses[every, number] -= 0.5 * every * penalty
    assert all(value == pytest.approx(losses[1, 0], rel=1e-5) for value in losses.values())


@pytest.mark.parametrize(("scale", "cells"), [(1, (64, 96)), (2, (32, 48)), (4, (16, 24)), (8, (8, 12)), (5, (13, 20))])
def test_maps_are_shown_at_their_scale(scale: int, cells: tuple[int, int]) -> None:
    critic = {"sees": ["image", "segmentation", "depth"], "objective": "hinge", "layers": 2, "scale": scale}
    state = state_of(critic)
    batch = make_batch([True, False, True], [True] * 3)
    shown = shown_of(state, forward(state, batch))
    assert shown.real.shape == shown.fake.shape == (2, 3 + 7 + 1, *cells)
    assert torch.equal(shown.real[:, :3], shown.fake[:, :3]) and shown.fake.requires_grad
    assert torch.allclose(shown.real[:, 3:10].sum(1), torch.ones(())) and shown.frames == [0, 2]
    assert torch.allclose(shown.fake[:, 3:10].sum(1), torch.ones(()))
    assert shown.patches.sum((1, 2, 3)).tolist() == pytest.approx([1, 1])
    scores = term_of(state).network(shown.real)
    assert scores.shape == shown.patches.shape


def test_at_a_quarter_of_the_size_no_map_is_upsampled_for_a_critic() -> None:
    state = state_of({**PAIR, "scale": 4})
    step = forward(state, make_batch([True] * 2, [True] * 2))
    fake = shown_of(state, step).fake
    heads = step.outputs.heads  # type: ignore[attr-defined]
    torch.testing.assert_close(fake[:, :7], torch.softmax(heads["segmentation"], 1))
    assert not step.outputs._whole  # type: ignore[attr-defined]


def test_half_precision_holds_scores_features_and_penalty_in_float32() -> None:
    state = state_of({**PAIR, "feature_matching": 0.2}, train={"precision": "bf16", "warmup_steps": 0})
    kinds: list[torch.dtype] = []
    term_of(state).network.stages[0].register_forward_hook(lambda part, inputs, output: kinds.append(output.dtype))
    logs = train_step(state, make_batch([True] * 2, [True] * 2))
    half = torch.bfloat16
    assert kinds == [half, torch.float32, half, half]  # both maps, penalty, real and generated for the generator
    assert all(value.dtype in (torch.float32, torch.float64) for value in logs.values())


def test_new_keys_leave_the_hash_of_older_runs() -> None:
    plain = make_config(discriminators={"d": PAIR})
    given = {"scale": 1, "maps": "soft", "penalty": None, "penalty_every": 1, "feature_matching": 0.0}
    assert make_config(discriminators={"d": {**PAIR, **given}}).hash == plain.hash
    for key, value in {"scale": 2, "maps": "sharp", "penalty": 0.1, "penalty_every": 4, "feature_matching": 1}.items():
        assert make_config(discriminators={"d": {**PAIR, key: value}}).hash != plain.hash


def test_a_critic_that_only_matches_features_has_a_row_of_its_own() -> None:
    critic = {**PAIR, "weight": 0, "feature_matching": 1.0}
    state = state_of(critic, balance={"multi_task_row": "own"})
    assert state.config.objectives == ["segmentation", "depth", "adversarial/d"]
    logs = train_step(state, make_batch([True] * 2, [True] * 2), statistics=True)
    assert "adversarial/d/features" in logs and "adversarial/d" not in logs
    assert logs["gradient_norm_at_z/adversarial/d"] > 0


def test_a_resume_gives_the_same_bits() -> None:
    critic = {**PAIR, "scale": 2, "maps": "sharp", "penalty_every": 2, "feature_matching": 0.1}
    state, resumed = state_of(critic), state_of(critic)
    for number in range(4):
        if number == 1:
            resumed.load_state_dict(copy.deepcopy(state.state_dict()))
        for one in (state, resumed) if number else (state,):
            train_step(one, make_batch([True] * 2, [True, number != 2], seed=number))
            one.step += 1
    assert_equal(state.generator.state_dict(), resumed.generator.state_dict())
    values: list[dict[str, Tensor]] = [
        {name: value for name, value in one.terms.state_dict().items() if isinstance(value, Tensor)}
        for one in (state, resumed)
    ]
    assert_equal(values[0], values[1])


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        ({"maps": "hard"}, r"discriminators\.d\.maps"),
        ({"scale": 0}, r"discriminators\.d\.scale"),
        ({"penalty_every": 0}, r"discriminators\.d\.penalty_every"),
        ({"objective": "r3"}, "there are lsgan, hinge, wgan_gp, r3gan"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(critic: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        validate(
            Config,
            {
                "tasks": {"depth": {"losses": {"berhu": 1}}},
                "discriminators": {"d": {**PAIR, "sees": ["depth"], **critic}},
            },
            "test",
        )
    assert "\n" not in str(caught.value)
