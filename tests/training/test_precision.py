"""Half precision: what is computed in it and what is not, true gradients under a loss scale, overflow, resume."""

import copy
from pathlib import Path

import pytest
import torch
from one_step import CRITICS, changed, make_batch, make_config, snapshot
from run_parts import discriminators_of
from same_bits import assert_equal

import advmtl.training.precision
import advmtl.training.step
from advmtl.balancing.update import StepObjectives, balanced_backward
from advmtl.config.files import load_config
from advmtl.networks.discriminator import validity
from advmtl.training.checkpoint import load_checkpoint, save_checkpoint
from advmtl.training.finite import NonFiniteLoss
from advmtl.training.precision import Precision
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
BALANCERS: dict[str, dict[str, object]] = {
    "sum": {},
    "uncertainty": {"method": "uncertainty"},
    "at z": {"method": "mgda"},
    "at parameters": {"method": "pcgrad", "at": "parameters", "heads": "weighted"},
    "jacobian": {"method": "trimmed_mean", "options": {"trim_number": 0}},
}
needs_fp16 = pytest.mark.skipif(not torch.ops.mkldnn._is_mkldnn_fp16_supported(), reason="no float16 on this CPU")


def make_state(precision: str, **changes: object) -> State:
    return build(make_config(train={"precision": precision, "warmup_steps": 0}, **changes), CPU)


def set_scale(state: State, scale: float) -> None:
    for scaler in state.precision._scalers.values():
        scaler.load_state_dict({**scaler.state_dict(), "scale": scale})
        if scaler._scale is not None:  # made by the first step, and not again
            scaler._scale.fill_(scale)


def spy(module: torch.nn.Module) -> list[torch.dtype]:
    seen: list[torch.dtype] = []
    module.register_forward_hook(lambda part, inputs, output: seen.append(output.dtype))
    return seen


def test_forwards_are_in_bfloat16_and_penalty_losses_and_weights_in_float32() -> None:
    state = make_state("bf16")
    encoder, critic = spy(state.generator.encoder.features[0][0]), spy(discriminators_of(state)["both"].stages[0])
    hinge = discriminators_of(state)["segmentation"].stages[0].parametrizations.weight[0]
    sigma = spy(hinge)
    logs = train_step(state, make_batch([True] * 3, [True] * 3), statistics=True)
    assert encoder == [torch.bfloat16]
    half = torch.bfloat16
    assert critic == [half, half, torch.float32, half]  # scores of real and fake, penalty, the generator's term
    assert set(sigma) == {torch.float32}
    assert all(value.dtype in (torch.float32, torch.float64) for value in logs.values())
    parts = [state.generator, state.ema, discriminators_of(state)]
    assert {p.dtype for part in parts for p in part.parameters()} == {torch.float32}
    moments = [value for one in state.optimizer.state.values() for value in one.values()]
    assert {value.dtype for value in moments} == {torch.float32}


@pytest.mark.parametrize(
    "precision",
    [pytest.param("bf16", marks=pytest.mark.slow), pytest.param("fp16", marks=[needs_fp16, pytest.mark.slow])],
)
def test_half_precision_learns_what_float32_learns(precision: str) -> None:
    batch = make_batch([True], [True])
    batch.targets["depth"].fill_(5.0)  # noise would not be learnt so soon
    batch.targets["segmentation"].fill_(2)
    ends = {}
    for name in ("fp32", precision):
        state = make_state(name)
        state.optimizer.param_groups[0]["lr"] = 0.01
        set_scale(state, 2.0**8)  # no step is left out
        losses = []
        for _ in range(8):
            losses.append(sum(float(train_step(state, batch)[f"{task}/supervised"]) for task in state.config.tasks))
            state.step += 1
        assert losses[-1] < 0.8 * losses[0]
        ends[name] = losses[-1]
    assert ends[precision] == pytest.approx(ends["fp32"], rel=0.1) and ends[precision] != ends["fp32"]


@pytest.mark.parametrize("balance", BALANCERS.values(), ids=BALANCERS)
def test_a_loss_scale_changes_neither_weights_of_rows_nor_gradients(balance: dict[str, object]) -> None:
    """A power of two scales exactly, so every bit of `.grad`, divided by it, must be as without."""
    state = make_state("fp32", discriminators={}, balance=balance)
    batch = make_batch([True] * 2, [True, False])
    found = {}
    for scale in (None, torch.tensor(2.0**12)):
        twin = copy.deepcopy(state)
        z = twin.generator.shared_representation(batch.image)
        outputs = twin.generator.decode(z, (64, 96))
        losses = twin.terms["supervised"].losses(outputs, batch, validity(batch.targets), twin.generator)
        rows = {task: torch.stack(list(values.values())).sum() for task, values in losses.items()}
        detached = {task: row.detach() for task, row in rows.items()}
        logs = balanced_backward(
            *(twin.balancer, twin.config.balance, twin.generator),
            StepObjectives(rows, [z], detached, dict.fromkeys(rows, True), scale),
            statistics=True,
        )
        parameters = [*twin.generator.named_parameters(), *twin.balancer.named_parameters()]
        gradients = {k: p.grad / (1 if scale is None else scale) for k, p in parameters if p.grad is not None}
        found[scale is None] = {**logs, **gradients}
    assert len(found[True]) > 20
    assert_equal(found[True], found[False])


@needs_fp16
@pytest.mark.parametrize("balance", BALANCERS.values(), ids=BALANCERS)
def test_an_overflow_leaves_the_step_out_halves_the_scale_and_is_counted(balance: dict[str, object]) -> None:
    state = make_state("fp16", balance=balance)
    set_scale(state, 2.0**100)
    before, critics = snapshot(state.generator), snapshot(discriminators_of(state))
    batch = make_batch([True] * 2, [True] * 2)
    logs = train_step(state, batch)
    assert not changed(before, state.generator)
    overflowed = {name.split(".")[0] for name in critics} - {
        name.split(".")[0] for name in changed(critics, discriminators_of(state))
    }
    assert overflowed  # a critic whose gradients fit goes on alone
    assert logs["precision/skipped_steps"].item() == 1 + len(overflowed)
    assert logs["precision/loss_scale"].item() == 2.0**99
    set_scale(state, 2.0**8)
    assert train_step(state, batch)["precision/skipped_steps"] == logs["precision/skipped_steps"]
    assert changed(before, state.generator) and all(p.isfinite().all() for p in state.generator.parameters())


@needs_fp16
def test_what_no_scale_can_mend_ends_the_run() -> None:
    state = make_state("fp16", discriminators={})
    state.generator.heads["depth"].emit.weight.register_hook(lambda gradient: gradient * float("nan"))
    set_scale(state, 2.0**-13)
    batch = make_batch([True], [True])
    with pytest.raises(NonFiniteLoss, match=r"step 0: gradients overflow float16.*frame0"):
        for _ in range(3):
            train_step(state, batch)
    batch.image[0, 0, 0, 0] = float("nan")
    with pytest.raises(NonFiniteLoss, match=r"cross_entropy is nan"):
        train_step(make_state("fp16", discriminators={}), batch)


@pytest.mark.parametrize("precision", ["bf16", pytest.param("fp16", marks=needs_fp16)])
def test_a_resume_gives_the_same_bits_with_the_loss_scale(precision: str, tmp_path: Path) -> None:
    batches = [make_batch([True] * 2, [True] * 2, seed) for seed in range(4)]
    state = make_state(precision)
    for scaler in state.precision._scalers.values():
        scaler.set_growth_interval(3)  # so that the scale moves in the second half
    for number, batch in enumerate(batches):
        if number == 2:
            save_checkpoint(tmp_path / "last.pt", state.state_dict(), state.config)
        train_step(state, batch)
        state.step += 1
    resumed = make_state(precision)
    resumed.load_state_dict(load_checkpoint(tmp_path / "last.pt")[0])
    for batch in batches[2:]:
        train_step(resumed, batch)
        resumed.step += 1
    assert_equal(state.state_dict(), resumed.state_dict())
    scales = {scaler["scale"] for scaler in state.state_dict()["precision"].get("scalers", {}).values()}
    assert (len(scales) > 1) == (precision == "fp16")  # overflows and growth have moved them apart


def test_a_checkpoint_from_before_there_was_a_precision_loads() -> None:
    state = make_state("fp32", discriminators={})
    saved = state.state_dict()
    assert saved.pop("precision") == {}
    state.load_state_dict(saved)


def test_a_device_that_cannot_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"train\.precision: bf16 is not possible on meta; set train\.precision=fp32"):
        Precision("bf16", torch.device("meta"), {})
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(InputError, match=r"train\.precision: bf16 needs a GPU"):
        advmtl.training.precision.check_precision("bf16", torch.device("cuda"))
    advmtl.training.precision.check_precision("fp16", torch.device("cuda"))
    advmtl.training.precision.check_precision("fp32", torch.device("meta"))


def test_keys_that_came_later_leave_the_hash_of_earlier_runs_alone() -> None:
    whole = [f"tasks.{task}.loss_stride=1" for task in ("segmentation", "depth")]
    whole += [f"discriminators.{name}.scale=1" for name in ("segmentation", "depth", "multi_task")]
    whole += ["depth.lens=ignored", "data.fit=stretch"]
    plain = load_config("model3", ["generator.crp_stages=4", *whole])
    assert plain.hash == "802a5b6a5933"
    others = [["train.precision=bf16"], ["train.adversarial_ramp_steps=9"], ["train.discriminator_betas=[0.0,0.9]"]]
    assert (
        len(
            {
                plain.hash,
                *(load_config("model3", ["generator.crp_stages=4", *whole, *change]).hash for change in others),
            }
        )
        == 4
    )
    assert load_config("model3", ["generator.crp_stages=4", *whole, "train.compile=true"]).hash == plain.hash


def test_the_host_waits_for_the_device_twice_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each read of a value is a wait on a GPU: once before the three critics are updated, once before the generator."""
    state = make_state("fp32", discriminators=CRITICS)
    # Of batches on a CPU the labels are looked at once more; those on a device are taken at their word.
    monkeypatch.setattr(advmtl.training.step, "with_labels_shown", lambda batch, masks: batch)
    waits = []
    for name in ("tolist", "item", "__bool__", "__float__", "__int__", "cpu"):
        real = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, *args, _name=name, _real=real: waits.append(_name) or _real(self, *args)
        )
    train_step(state, make_batch([True] * 2, [True] * 2))
    monkeypatch.undo()
    assert waits == ["tolist", "tolist"]
