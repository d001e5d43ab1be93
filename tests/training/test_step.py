"""One alternating update: who learns from what, and what a missing label leaves untouched."""

import copy

import pytest
import torch
from one_step import CPU, CRITICS, TASKS, changed, make_batch, make_config, snapshot
from run_parts import discriminators_of

from advmtl.data.loading import Batch
from advmtl.terms.adversarial import roc_auc
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.state import State, build
from advmtl.training.step import train_step


def test_a_step_moves_everything_that_learns_and_logs_it() -> None:
    state = build(make_config(balance={"multi_task_row": "own"}), CPU)
    before = {key: snapshot(part) for key, part in (("g", state.generator), ("d", discriminators_of(state)))}
    average = snapshot(state.ema)
    logs = train_step(state, make_batch([True] * 3, [True] * 3), statistics=True)
    for prefix in ("segmentation.", "depth.", "both."):
        assert any(name.startswith(prefix) for name in changed(before["d"], discriminators_of(state)))
    assert any(name.startswith("encoder") for name in changed(before["g"], state.generator))
    assert changed(average, state.ema)
    assert {
        "segmentation/cross_entropy",
        "depth/smoothness",
        "adversarial/both",
        "discriminator/both/gradient_penalty",
        "discriminator/depth/score_real",
        "gradient_norm",
        "gradient_cosine_at_z/segmentation~depth",
        "gradient_norm_at_z/adversarial/both",
    } <= logs.keys()
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())


def test_discriminators_take_no_gradient_from_the_generators_loss() -> None:
    state = build(make_config(), CPU)
    train_step(state, make_batch([True] * 2, [True] * 2))
    gradient = [p.grad.clone() for p in discriminators_of(state)["both"].parameters()]  # of its own loss only
    twin = build(make_config(discriminators={**CRITICS, "both": {**CRITICS["both"], "weight": 50.0}}), CPU)
    train_step(twin, make_batch([True] * 2, [True] * 2))
    for a, b in zip(gradient, discriminators_of(twin)["both"].parameters(), strict=True):
        assert b.grad is not None and torch.equal(a, b.grad)
    assert all(p.requires_grad for p in discriminators_of(state).parameters())


def test_the_adversary_reaches_the_segmentation_head() -> None:
    """The head's gradient is another one where no discriminator has a weight."""
    state = build(make_config(), CPU)
    silent = build(
        make_config(discriminators={name: {**critic, "weight": 0.0} for name, critic in CRITICS.items()}), CPU
    )
    batch = make_batch([True] * 2, [True] * 2)
    train_step(state, batch)
    train_step(silent, batch)
    name = "heads.segmentation.emit.weight"
    assert not torch.equal(dict(state.generator.named_parameters())[name].grad, silent_grad(silent, name))


def silent_grad(state: State, name: str) -> torch.Tensor:
    gradient = dict(state.generator.named_parameters())[name].grad
    assert gradient is not None
    return gradient


def test_weight_zero_trains_the_critic_but_not_the_generator() -> None:
    """Model 1's multi-task discriminator."""
    muted = {"both": {**CRITICS["both"], "weight": 0.0}}
    with_critic, without = build(make_config(discriminators=muted), CPU), build(make_config(discriminators={}), CPU)
    without.generator.load_state_dict(with_critic.generator.state_dict())
    before = snapshot(discriminators_of(with_critic))
    batch = make_batch([True] * 2, [True] * 2)
    logs = train_step(with_critic, batch)
    train_step(without, batch)
    assert changed(before, discriminators_of(with_critic)) and "adversarial/both" not in logs
    for a, b in zip(with_critic.generator.parameters(), without.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_critic_sees_only_frames_with_every_label_it_needs() -> None:
    state = build(make_config(), CPU)
    before = snapshot(discriminators_of(state))
    logs = train_step(state, make_batch([True, False, True], [False, True, False]))
    moved = {name.split(".")[0] for name in changed(before, discriminators_of(state))}
    assert moved == {"segmentation", "depth"}  # no frame has both labels
    assert not any("both" in name for name in logs)


def test_frames_without_any_label_leave_the_losses_at_zero() -> None:
    state = build(make_config(discriminators={}), CPU)
    logs = train_step(state, make_batch([False, False], [False, False]))
    assert logs["combined"].item() == 0.0 and logs["gradient_norm"].item() == 0.0


def test_an_unlabelled_frame_changes_no_gradient_but_through_batch_norm() -> None:
    """In evaluation mode of the norms a frame without labels adds nothing to any loss."""
    state = build(make_config(discriminators={}), CPU)
    two = make_batch([True, False], [True, False])
    one = Batch(
        two.image[:1], {k: v[:1] for k, v in two.targets.items()}, {k: v[:1] for k, v in two.present.items()}, ["a"]
    )
    values = []
    for batch in (two, one):
        twin = copy.deepcopy(state)
        for module in twin.generator.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.train = lambda mode=True, m=module: m  # type: ignore[method-assign]
                module.training = False
        values.append(train_step(twin, batch))
    for name in ("segmentation/cross_entropy", "segmentation/dice", "depth/scale_invariant", "depth/smoothness"):
        assert values[0][name].item() == pytest.approx(values[1][name].item(), rel=1e-5)


def test_a_multi_task_term_has_its_own_row_or_is_folded_into_the_tasks() -> None:
    batch = make_batch([True] * 2, [True] * 2)
    totals = {}
    for row in ("own", "folded"):
        logs = train_step(build(make_config(balance={"multi_task_row": row}), CPU), batch, statistics=True)
        totals[row] = logs["combined"].item()
        assert ("gradient_norm_at_z/adversarial/both" in logs) == (row == "own")
    assert totals["own"] == pytest.approx(totals["folded"], rel=1e-5)  # under the plain sum they are one update


@pytest.mark.parametrize("critics", [{}, CRITICS], ids=["supervised", "adversarial"])
def test_a_non_finite_loss_names_itself_the_step_and_the_frames_and_spares_the_weights(critics: dict) -> None:
    state = build(make_config(discriminators=critics), CPU)
    batch = make_batch([True, True], [True, True])
    batch.image[0, 0, 0, 0] = float("nan")
    before, critics_before = snapshot(state.generator), snapshot(discriminators_of(state))
    with pytest.raises(NonFiniteLoss, match=r"step 0: .* is nan.*frame0, frame1"):
        train_step(state, batch)
    assert not changed(before, state.generator) and not changed(critics_before, discriminators_of(state))


def test_a_non_finite_gradient_under_a_finite_loss_is_caught_too(monkeypatch: pytest.MonkeyPatch) -> None:
    state = build(make_config(discriminators={}), CPU)
    before = snapshot(state.generator)
    head = state.generator.heads["depth"].emit.weight
    head.register_hook(lambda gradient: gradient * float("nan"))
    with pytest.raises(NonFiniteLoss, match="gradient_norm is nan"):
        train_step(state, make_batch([True], [True]))
    assert not changed(before, state.generator)


def test_a_critic_named_like_a_task_takes_nothing_from_its_row() -> None:
    batch = make_batch([True] * 2, [True] * 2)
    critic = {"sees": ["segmentation", "depth"], "objective": "hinge", "channels": 8}
    named = [train_step(build(make_config(discriminators={name: critic}), CPU), batch) for name in ("depth", "both")]
    assert named[0]["combined"].item() == named[1]["combined"].item()


def test_adversary_waits_for_its_start_step() -> None:
    state = build(make_config(train={"adversarial_start_step": 1}), CPU)
    assert not any("discriminator" in k for k in train_step(state, make_batch([True], [True])))
    state.step = 1
    assert any("discriminator" in k for k in train_step(state, make_batch([True], [True])))


def test_single_task_needs_no_other_label() -> None:
    state = build(make_config(tasks={"depth": TASKS["depth"]}, discriminators={}), CPU)
    logs = train_step(state, make_batch([False], [True]))
    assert "depth/berhu" in logs and not any(name.startswith("segmentation") for name in logs)


def test_roc_auc_counts_pairs() -> None:
    """Real (3, 1), fake (2, 1): 3 > 2, 3 > 1, 1 < 2, 1 = 1: (1 + 1 + 0 + ½) / 4 = 0.625."""
    assert roc_auc(torch.tensor([3.0, 1.0]), torch.tensor([2.0, 1.0])).item() == pytest.approx(0.625)
