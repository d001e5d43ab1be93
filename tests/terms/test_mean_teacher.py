"""The mean teacher in a step: who labels what, what the mixed frames move and what they leave alone."""

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advmtl.balancing.balancer import GramBalancer
from advmtl.config.experiment import Config
from advmtl.config.partial import MeanTeacherConfig
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.data.frames import BadFrame
from advmtl.distributed import SINGLE, Processes
from advmtl.terms.mean_teacher import MeanTeacher, TeacherPrediction, label_frames, ramp
from advmtl.terms.term import StepContext
from advmtl.training.checkpoint import load_checkpoint, save_checkpoint
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError
from preprocessing.ground.labels import label_set

CPU = torch.device("cpu")
SIZE = (32, 48)  # height, width
TASKS: dict[str, Any] = {
    "segmentation": {"losses": {"cross_entropy": 1.0}},
    "depth": {"losses": {"scale_invariant": 1.0, "berhu": 0.5}, "options": {"berhu": {"space": "log"}}},
}
NOW = {"start_step": 0, "ramp_steps": 0}
SKY = label_set("categories7").names.index("sky")


def make_config(tasks: dict[str, Any] = TASKS, method: dict[str, Any] | None = None, **changes: object) -> Config:
    values = {
        "tasks": tasks,
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "data": {"classes": "categories7", "size": "48x32"},
        "train": {"warmup_steps": 1},
        "partial": None if method is None else {"mean_teacher": {**NOW, **method}},
    }
    return validate(Config, {**values, **changes}, "test")


def make_batch(segmentation: list[bool], depth: list[bool], seed: int = 0) -> Batch:
    noise = torch.Generator().manual_seed(seed)
    n = len(segmentation)
    classes = torch.randint(0, 7, (n, *SIZE), generator=noise)
    metres = 2 + 40 * torch.rand(n, 1, *SIZE, generator=noise)
    classes[:, :3], metres[:, :, -4:] = 255, 0
    classes[[i for i in range(n) if not segmentation[i]]] = 255
    metres[[i for i in range(n) if not depth[i]]] = 0
    return Batch(
        image=torch.randn(n, 3, *SIZE, generator=noise).contiguous(memory_format=torch.channels_last),
        targets={"segmentation": classes, "depth": metres},
        present={"segmentation": segmentation, "depth": depth},
        names=[f"frame{i}" for i in range(n)],
    )


def shown_of(state: State, batch: Batch, processes: Processes = SINGLE) -> StepContext:
    state.generator.train()
    return StepContext(
        config=state.config,
        generator=state.generator,
        teacher=state.ema,
        batch=batch,
        z=torch.zeros(0),
        outputs={},
        masks={},
        number=state.step,
        autocast=state.precision.autocast,
        processes=processes,
    )


def method_of(state: State) -> MeanTeacher:
    method = state.terms["partial/mean_teacher"]
    assert isinstance(method, MeanTeacher)
    return method


def values_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def prediction_of_two() -> TeacherPrediction:
    """Class 2, but the right half is sky, with probability 0.9 above and 0.5 below; 30 m; the left column is unsure."""
    classes = torch.full((2, 1, *SIZE), 2)
    classes[..., SIZE[1] // 2 :] = SKY
    probability = torch.full((2, 1, *SIZE), 0.9)
    probability[:, :, SIZE[0] // 4 :] = 0.5
    disagreement = torch.zeros(2, 1, *SIZE)
    disagreement[..., 0] = 0.2
    return TeacherPrediction(classes, probability, torch.full((2, 1, *SIZE), 30.0), disagreement)


@pytest.mark.parametrize(("confidence", "weights"), [("pixel", (0.9, 0.5)), ("share", (0.25, 0.25))])
def test_truth_is_kept_and_the_teacher_fills_in(confidence: str, weights: tuple[float, float]) -> None:
    """Frame 0 has classes (void at the top), frame 1 depth (a hole at the bottom)."""
    state = build(make_config(method={"confidence": confidence, "threshold": 0.8}), CPU)
    batch = make_batch([True, False], [False, True])
    prediction = prediction_of_two()
    frames = label_frames(shown_of(state, batch), prediction, method_of(state).settings)
    truth, metres = batch.targets["segmentation"], batch.targets["depth"]
    assert torch.equal(frames.classes[0, 0], truth[0]) and (frames.classes[0, 0, :3] == 255).all()
    assert (frames.weight[0] == 1).all()
    assert torch.equal(frames.classes[1], prediction.classes[1])  # type: ignore[index]
    assert frames.weight[1, 0, 0, 0] == pytest.approx(weights[0]) and frames.weight[1, 0, -1, 0] == weights[1]
    assert torch.equal(frames.depth[1, 0, :-4], metres[1, 0, :-4])
    hole, half = frames.depth[1, 0, -4:], SIZE[1] // 2
    assert (hole[:, 0] == 0).all() and (hole[:, 1:half] == 30).all() and (hole[:, half:] == 0).all()
    assert (frames.distance[1, 0, -4:, :half] == 30).all() and (frames.distance[1, 0, -4:, half:] == 160).all()
    assert torch.equal(frames.depth[0, 0] > 0, (truth[0] != SKY) & (prediction.disagreement[0, 0] < 0.1))  # type: ignore


def test_the_share_is_that_of_all_unlabelled_pixels_of_the_batch() -> None:
    """Frame 1 is sure everywhere, frame 2 in a quarter, frame 0 has truth and does not count."""
    state = build(make_config(method={"threshold": 0.8}), CPU)
    batch = make_batch([True, False, False], [False, True, True])
    probability = torch.full((3, 1, *SIZE), 0.9)
    probability[2, :, SIZE[0] // 4 :] = 0.5
    prediction = TeacherPrediction(torch.zeros(3, 1, *SIZE, dtype=torch.int64), probability, None, None)
    weight = label_frames(shown_of(state, batch), prediction, method_of(state).settings).weight
    assert (weight[0] == 1).all() and (weight[1:] == (1 + 0.25) / 2).all()
    alone = make_batch([True, True], [True, True])
    two = TeacherPrediction(torch.zeros(2, 1, *SIZE, dtype=torch.int64), probability[:2], None, None)
    assert (label_frames(shown_of(state, alone), two, method_of(state).settings).weight == 1).all()


def test_unlabelled_frames_teach_the_encoder_and_both_heads() -> None:
    """Without any label nothing would move: the rest of the step has a gradient of exactly 0."""
    state = build(make_config(method={"confidence": "pixel"}), CPU)
    teacher = values_of(state.ema)
    batch = make_batch([False] * 3, [False] * 3)
    shown = shown_of(state, batch)
    terms, logs = method_of(state).objectives(shown)
    assert terms.keys() == {"segmentation", "depth"} and all(float(term.detach()) > 0 for term in terms.values())
    assert same(teacher, values_of(state.ema))
    _, z = shown.representations
    gradients = torch.autograd.grad(
        torch.stack([*terms.values()]).sum(), [z, next(state.generator.encoder.parameters())]
    )
    assert all(float(gradient.abs().sum()) > 0 for gradient in gradients)
    assert (
        0 < float(logs["partial/mean_teacher/source_pixels"]) < 1
        and 1 / 7 < float(logs["partial/mean_teacher/class_weight"]) < 1
    )
    logs = train_step(state, batch)
    moved = {name.split(".")[0] for name, p in state.generator.named_parameters() if p.grad is not None}
    assert logs["gradient_norm"] > 0 and {"encoder", "shared", "heads"} <= moved
    assert float(logs["partial/mean_teacher/depth"]) == pytest.approx(float(terms["depth"].detach()))
    for task in TASKS:
        assert float(logs["combined"]) > 0 and float(logs[f"{task}/supervised"]) == 0


def test_mixed_frames_leave_the_running_statistics_alone() -> None:
    """The first step's own forward is that of a run without the method, and so are the statistics after it."""
    found = []
    for config in (make_config(), make_config(method={})):
        state = build(config, CPU)
        train_step(state, make_batch([True] * 2, [True] * 2))
        found.append({n: v for n, v in values_of(state.generator).items() if "running" in n})
        assert all(m.momentum == 0.1 for m in state.generator.modules() if isinstance(m, nn.BatchNorm2d))
    assert found[0] and same(*found)


def test_a_frame_that_cannot_be_read_takes_no_part() -> None:
    state = build(make_config(method={}), CPU)
    batch = make_batch([True, False, False], [False, False, True])
    # Its neighbour, of another source, has the same name.
    batch = replace(batch, names=["a", "b", "b"], skipped=[BadFrame("b", "broken")], unread=[1])
    shown = shown_of(state, batch)
    assert (shown.readable(), shown.without("segmentation")) == ([0, 2], [2])
    other = replace(batch, image=batch.image.clone())
    other.image[1] = 3.0
    terms = [method_of(state).objectives(shown_of(state, one))[0] for one in (batch, other)]
    assert all(torch.equal(terms[0][task], terms[1][task]) for task in ("segmentation", "depth"))
    nobody = replace(batch, skipped=[BadFrame(name, "broken") for name in batch.names], unread=[0, 1, 2])
    nothing = method_of(state).objectives(shown_of(state, nobody))[0]
    assert all(float(term.detach()) == 0 and term.requires_grad for term in nothing.values())


def test_two_processes_with_the_same_frames_have_the_loss_of_one() -> None:
    class Both(Processes):
        def _reduced(self, values: Tensor, operation: Any) -> Tensor:
            return values * 2 if operation == torch.distributed.ReduceOp.SUM else values

    state = build(make_config(method={}), CPU)
    batch = make_batch([True, False, True], [False, True, True])
    one, two = (method_of(state).objectives(shown_of(state, batch, who))[0] for who in (SINGLE, Both(0, 2)))
    assert all(torch.allclose(one[task], two[task], rtol=1e-6) for task in ("segmentation", "depth"))
    second = method_of(state).objectives(shown_of(state, batch, Both(1, 2)))[0]
    assert not torch.equal(second["depth"], two["depth"])  # draws of its own


def test_the_weight_rises_and_nothing_happens_before_the_start() -> None:
    assert ramp(0, 10) == pytest.approx(math.exp(-5)) and ramp(5, 10) == pytest.approx(math.exp(-1.25))
    assert ramp(10, 10) == ramp(99, 10) == ramp(0, 0) == 1
    batch = make_batch([True, False], [False, True])
    with_it = build(make_config(method={"start_step": 2, "weight": 2}), CPU)
    without = build(make_config(), CPU)
    for step in range(3):
        logs = [train_step(state, batch) for state in (with_it, without)]
        assert same(values_of(with_it.generator), values_of(without.generator)) == (step < 2)
        assert ("partial/mean_teacher/depth" in logs[0]) == (step == 2)
        with_it.step += 1
        without.step += 1
    assert float(logs[0]["partial/mean_teacher/weight"]) == 2


@pytest.mark.parametrize("mix", ["depth", "class", "none"])
def test_resuming_gives_the_same_bits(mix: str, tmp_path: Path) -> None:
    config = make_config(method={"mix": mix})
    whole = build(config, CPU)

    def step(state: State) -> dict[str, Tensor]:
        labels = ([True, False, True], [False, True, False])
        logs = train_step(state, make_batch(*labels, seed=state.step))
        state.step += 1
        return logs

    for _ in range(2):
        step(whole)
    save_checkpoint(tmp_path / "last.pt", whole.state_dict(), config)
    wanted = step(whole)
    np.random.seed(99)
    torch.manual_seed(99)
    resumed = build(config, CPU)
    resumed.load_state_dict(load_checkpoint(tmp_path / "last.pt")[0])
    assert same(step(resumed), wanted) and same(values_of(resumed.generator), values_of(whole.generator))
    assert same(values_of(resumed.ema), values_of(whole.ema))
    other = copy.deepcopy(whole)
    other.config = replace_seed(config)
    assert not same(step(other), step(whole))


def replace_seed(config: Config) -> Config:
    return config.model_copy(update={"seed": config.seed + 1})


def test_every_step_is_drawn_anew() -> None:
    state = build(make_config(method={}), CPU)
    batch = make_batch([True] * 2, [True] * 2)
    shown = shown_of(state, batch)
    terms = [method_of(state).objectives(replace(shown, number=step))[0]["segmentation"] for step in (0, 1, 0)]
    assert torch.equal(terms[0], terms[2]) and not torch.equal(terms[0], terms[1])


INSTANCE = {"instance": {"losses": {"l1": 1.0}}}


@pytest.mark.parametrize(
    ("tasks", "method", "changes"),
    [
        (["segmentation"], {"mix": "class"}, {}),
        (["depth"], {"mix": "depth"}, {}),
        (["depth"], {"mix": "none", "blur_px": 0}, {}),
        (["segmentation", "depth", "instance"], {}, {"balance": {"method": "uncertainty"}}),
        (["segmentation", "depth"], {}, {"train": {"precision": "bf16", "batch_norm": "frozen"}}),
        (["segmentation", "depth"], {}, {"train": {"batch_norm": "synchronised"}}),
    ],
)
def test_it_works_beside(tasks: list[str], method: dict[str, Any], changes: dict[str, Any]) -> None:
    chosen = {task: {**TASKS, **INSTANCE}[task] for task in tasks}
    state = build(make_config(chosen, method, **changes), CPU)
    batch = make_batch([False, True], [True, False])
    offsets = torch.zeros(2, 3, *SIZE)
    offsets[:, 2] = 65535
    batch = replace(batch, targets={**batch.targets, "instance": offsets})
    batch.present["instance"] = [False, False]
    for _ in range(2):
        logs = train_step(state, batch)
        state.step += 1
    terms = {name.rsplit("/", 1)[1] for name in logs if name.startswith("partial/")} & {*TASKS, *INSTANCE}
    assert terms == {*tasks} - {"instance"} and all(bool(value.isfinite()) for value in logs.values())


class Ones(GramBalancer):
    """Every row with weight 1: the plain sum, by the way of the gradient balancers."""

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        return torch.ones(len(gramian), dtype=gramian.dtype)


@pytest.mark.parametrize("at", ["representation", "parameters"])
def test_gradient_balancers_reach_the_encoder_through_the_mixed_frames_too(at: str) -> None:
    batch = make_batch([True, False, True], [False, True, True])
    gradients = []
    for balancer in (None, Ones(["segmentation", "depth"])):
        state = build(make_config(method={}, balance={"method": "mgda", "at": at} if balancer else {}), CPU)
        if balancer:
            state.balancer = balancer
        state.precision.step = lambda name: None  # type: ignore[method-assign]
        train_step(state, batch)
        gradients.append({name: p.grad for name, p in state.generator.named_parameters()})
    plain, balanced = gradients
    for name, gradient in plain.items():
        if gradient is not None:
            torch.testing.assert_close(balanced[name], gradient, rtol=2e-3, atol=1e-6)


def test_what_cannot_work_is_said_in_one_line() -> None:
    one = {"segmentation": TASKS["segmentation"]}
    with pytest.raises(InputError, match=r"partial\.mean_teacher\.mix: depth needs the task depth; the tasks are seg"):
        build(make_config(one, {}), CPU)
    with pytest.raises(InputError, match=r"mix: class needs the task segmentation"):
        build(make_config({"depth": TASKS["depth"]}, {"mix": "class"}), CPU)
    with pytest.raises(InputError, match=r"mix: none needs the task segmentation or depth; the tasks are instance"):
        build(make_config(INSTANCE, {"mix": "none"}), CPU)
    with pytest.raises(InputError, match=r"partial\.mean_teacher: needs a further forward, and rotograd"):
        make_config(method={}, balance={"method": "rotograd"})
    assert MeanTeacherConfig().mix == "depth"
