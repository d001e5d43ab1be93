"""Cross-task consistency: the mapping by hand, who learns from what, and that the joint space does not collapse."""

import copy
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.distributed import SINGLE, Processes
from advmtl.networks.discriminator import validity
from advmtl.terms.consistency import (
    CrossTaskConsistency,
    JointSpace,
    directions,
    frame_distances,
    having_both,
    lacking,
    modulated,
    shares_at_stride,
    units,
)
from advmtl.terms.table import build_terms
from advmtl.terms.term import StepContext
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
HEIGHT, WIDTH = 36, 50  # z and the joint space are 9 x 13, of which the last column has 2 px only
CLASSES = 7
TASKS = {
    "segmentation": {"losses": {"cross_entropy": 1.0}},
    "depth": {"losses": {"berhu": 1.0}},
    "instance": {"losses": {"l1": 1.0}},
}


def make_config(tasks: int = 2, **changes: object) -> Config:
    values = {
        "tasks": dict(list(TASKS.items())[:tasks]),
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "data": {"classes": "categories7", "size": "64x32"},
        "train": {"warmup_steps": 1},
        "partial": {"consistency": {"width": 8, "ramp_steps": 0, **changes}},
    }
    return validate(Config, values, "test")


def make_batch(segmentation: list[bool], depth: list[bool], seed: int = 0) -> Batch:
    """Blocks of classes, each at a distance of its own; a label that is absent is all 255 or all 0."""
    noise = torch.Generator().manual_seed(seed)
    n = len(segmentation)
    blocks = torch.arange(HEIGHT)[:, None] // 12 + torch.arange(WIDTH)[None] // 17
    classes = torch.stack([(blocks + number) % CLASSES for number in range(n)])
    metres = (4.0 + 9 * classes[:, None]) * (1 + 0.1 * torch.rand(n, 1, HEIGHT, WIDTH, generator=noise))
    classes[[i for i in range(n) if not segmentation[i]]] = 255
    metres[[i for i in range(n) if not depth[i]]] = 0
    return Batch(
        image=torch.randn(n, 3, HEIGHT, WIDTH, generator=noise),
        targets={"segmentation": classes, "depth": metres},
        present={"segmentation": segmentation, "depth": depth},
        names=[f"frame{i}" for i in range(n)],
    )


def show(state: State, batch: Batch, step: int = 0, processes: Processes = SINGLE) -> StepContext:
    generator = state.generator.train()
    z = generator.shared_representation(batch.image)
    masks = validity({task: batch.targets[task] for task in state.config.tasks})
    return StepContext(
        config=state.config,
        generator=generator,
        teacher=state.ema,
        batch=batch,
        z=z,
        outputs=generator.decode(z, (HEIGHT, WIDTH)),
        masks=masks,
        number=step,
        autocast=state.precision.autocast,
        processes=processes,
    )


def method_of(state: State) -> CrossTaskConsistency:
    return cast(CrossTaskConsistency, state.terms["partial/consistency"])


def make_space(tasks: tuple[str, ...] = ("segmentation", "depth")) -> JointSpace:
    channels = {"segmentation": CLASSES, "depth": 1, "instance": 2}
    torch.manual_seed(3)
    return JointSpace({task: channels[task] for task in tasks}, 5, width=6)


def test_modulation_by_hand() -> None:
    """Features x + 1 and 7 x at 1 x 3 px become (1 + 0.5) (x + 1) − 1 and (1 − 1) 7 x + 4."""
    convolution = torch.nn.Conv2d(1, 2, 1)
    convolution.weight.data = torch.tensor([1.0, 7.0]).view(2, 1, 1, 1)
    convolution.bias.data = torch.tensor([1.0, 0.0])  # type: ignore[union-attr]
    x = torch.tensor([[[[0.0, 1.0, -3.0]]]])
    found = modulated(convolution, x, torch.tensor([0.5, -1.0]), torch.tensor([-1.0, 4.0]))
    assert found.tolist() == [[[[0.5, 2.0, -4.0]], [[4.0, 4.0, 4.0]]]]


def test_distances_by_hand() -> None:
    """Pixels (3, 4)·(4, 3) → cos 24/25, opposite → 2, at right angles → 1, with weights 1, ½, 0."""
    one = torch.tensor([[[[3.0, 1.0, 1.0]], [[4.0, 0.0, 0.0]]]])
    other = torch.tensor([[[[4.0, -9.0, 0.0]], [[3.0, 0.0, 1.0]]]])
    weights = torch.tensor([[[1.0, 0.5, 0.0]]])
    assert frame_distances(units(one), units(other), weights).item() == pytest.approx(
        (1 / 25 + 0.5 * 2) / 1.5, rel=1e-6
    )
    assert units(one.half()).dtype == torch.float32
    assert frame_distances(units(one), units(other), 0 * weights).tolist() == [0.0]


def test_a_vector_without_length_gives_a_finite_gradient() -> None:
    nothing = torch.zeros(1, 4, 2, 3, requires_grad=True)
    frame_distances(units(nothing), torch.ones(1, 4, 2, 3) / 2, torch.ones(1, 2, 3)).sum().backward()
    assert nothing.grad is not None and bool(nothing.grad.isfinite().all())


def test_weights_at_the_stride_are_shares_of_valid_pixels() -> None:
    """6 x 9 px in 2 x 3 cells: one full, one with a single pixel, the last column with its one column."""
    mask = torch.zeros(1, 1, 6, 9, dtype=torch.bool)
    mask[..., :4, :4] = True
    mask[..., 5, 6] = True
    mask[..., :4, 8] = True
    assert shares_at_stride(mask).tolist() == [[[1.0, 0.0, 0.25], [0.0, 0.0625, 0.0]]]


def test_features_are_centred_per_frame() -> None:
    z = torch.rand(2, 3, 4, 5) + torch.tensor([10.0, 20.0])[:, None, None, None]
    torch.testing.assert_close(directions(z), directions(z + 5), atol=1e-4, rtol=0)
    assert directions(z).mean((2, 3)).abs().max() < 0.5  # uncentred it would be 0.58, 1 over the root of 3


def test_a_mapping_is_of_its_pair_and_direction() -> None:
    space, maps = make_space(), torch.rand(2, 1, HEIGHT, WIDTH)
    there = space(maps, "depth", "segmentation", "depth")
    assert there.shape == (2, 5, 9, 13)
    assert not torch.allclose(there, space(maps, "depth", "depth", "segmentation"), atol=1e-3)


def test_parameters_grow_by_a_first_convolution_per_task_and_not_with_pairs() -> None:
    two, three = make_space(), make_space(("segmentation", "depth", "instance"))
    counts = [sum(p.numel() for p in space.parameters()) for space in (two, three)]
    assert counts[1] - counts[0] == sum(p.numel() for p in three.stems["instance"].parameters()) == 2 * 3 * 9 + 3


def test_frames_are_chosen_by_what_they_lack_and_have() -> None:
    state = build(make_config(), CPU)
    shown = show(state, make_batch([True, False, True, False], [False, True, True, False]))
    assert [(p.source, p.target, p.frames) for p in lacking(shown)] == [
        ("segmentation", "depth", [1]),
        ("depth", "segmentation", [0]),
    ]
    assert [(p.source, p.target, p.frames) for p in having_both(shown)] == [
        ("segmentation", "depth", [2]),
        ("depth", "segmentation", [2]),
    ]


def test_the_term_reaches_the_unlabelled_prediction_and_z_and_nothing_else() -> None:
    state = build(make_config(), CPU)
    method = method_of(state).requires_grad_(False)
    shown = show(state, make_batch([True, False, True], [True, True, False]))
    terms, _ = method.objectives(shown)
    assert terms.keys() == {"segmentation", "depth"}
    wanted = {"segmentation": [1], "depth": [2]}  # the frames that lack it
    for task, term in terms.items():
        gradients = torch.autograd.grad(term, [shown.z, *shown.outputs.values()], retain_graph=True, allow_unused=True)
        at = dict(zip(("z", *shown.outputs), gradients, strict=True))
        assert _moved(at.pop("z"))  # the heads' batch norm hands it on to all frames
        assert {name: _moved(value) for name, value in at.items() if value is not None} == {task: wanted[task]}
    assert all(p.grad is None for p in method.parameters())


def _moved(gradient: Tensor) -> list[int]:
    return [i for i, frame in enumerate(gradient) if bool(frame.any())]


def test_the_mapping_learns_without_moving_the_generator() -> None:
    state = build(make_config(), CPU)
    method = method_of(state)
    loss, _ = method.learn(show(state, make_batch([True, False, True], [True, True, False])))
    assert loss is not None
    loss.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in method.parameters())
    assert all(p.grad is None for p in state.generator.parameters())


def test_with_every_label_there_is_no_term_and_without_pairs_nothing_to_learn() -> None:
    state = build(make_config(), CPU)
    method = method_of(state)
    whole = show(state, make_batch([True] * 2, [True] * 2))
    assert method.objectives(whole) == ({}, {})
    assert method.learn(whole)[0] is not None  # truth against truth
    assert method.learn(show(state, make_batch([False] * 2, [False] * 2))) == (None, {})


def test_predictions_without_truth_beside_them_and_truth_that_is_none_change_nothing() -> None:
    state = build(make_config(), CPU)
    method = method_of(state).requires_grad_(False)
    batch = make_batch([False, False], [True, True])
    batch.targets["depth"][:, :, 10:21, 5:30] = 0
    shown = show(state, batch)
    term = method.objectives(shown)[0]["segmentation"]
    batch.targets["depth"][:, :, 10:21, 5:30] = 77.0  # the masks still say that this is none
    shown.outputs["segmentation"].data[:, :, 10:21, 5:30] += 3.0 * torch.randn(2, CLASSES, 11, 25)
    assert torch.equal(method.objectives(shown)[0]["segmentation"], term)
    batch.targets["depth"][:, :, 22:30, 5:30] = 77.0
    assert not torch.equal(method.objectives(shown)[0]["segmentation"], term)


def test_a_task_without_a_label_hears_all_tasks_that_have_one_by_their_frames() -> None:
    """Segmentation lacks on three frames; depth is there on two of them, instance on all: d over 5 in all."""
    state = build(make_config(tasks=3, weight=2.0), CPU)
    batch = make_batch([False] * 3, [True, True, False])
    ids = torch.full((3, 1, HEIGHT, WIDTH), 26_001.0)
    batch.targets["instance"] = torch.cat([torch.randn(3, 2, HEIGHT, WIDTH), ids], 1)
    batch.present["instance"] = [True] * 3
    terms, logs = method_of(state).requires_grad_(False).objectives(show(state, batch))
    depth, instance = (
        logs[f"partial/consistency/distance/segmentation_to_{task}"].item() for task in ("depth", "instance")
    )
    assert terms["segmentation"].item() == pytest.approx(2.0 * (2 * depth + 3 * instance) / 5, rel=1e-5)
    assert terms["depth"].item() == pytest.approx(
        2.0 * logs["partial/consistency/distance/depth_to_instance"].item(), rel=1e-5
    )
    assert terms.keys() == {"segmentation", "depth"}


class Two(Processes):
    """The first of two, of which the other has frames of its own."""

    other: list[int]

    def totals(self, numbers: object) -> list[int]:
        return [own + there for own, there in zip(cast(list[int], numbers), self.other, strict=True)]


@pytest.mark.parametrize("present", [[True, False], [True, True]])
def test_a_process_without_such_frames_goes_along_with_zeros(present: list[bool]) -> None:
    """The other has one frame that lacks segmentation; this one has another, or none."""
    state = build(make_config(), CPU)
    both = Two(0, 2)
    object.__setattr__(both, "other", [1, 0])
    batch = make_batch(present, [True, True])
    method = method_of(state).requires_grad_(False)
    term = method.objectives(show(state, batch, processes=both))[0]["segmentation"]
    method.requires_grad_(True)
    loss, _ = method.learn(show(state, batch, processes=both))
    assert loss is not None
    loss.backward()
    assert all(p.grad is not None for p in method.parameters())
    if all(present):
        assert term.item() == 0.0 and term.requires_grad
    else:  # a mean over two frames, averaged over two processes: this one's counts once
        alone = method.objectives(show(state, batch))[0]["segmentation"]
        assert term.item() == pytest.approx(alone.item(), rel=1e-6)


def test_the_weight_rises_from_the_start() -> None:
    state = build(make_config(weight=8.0, start_step=10, ramp_steps=4), CPU)
    method, batch = method_of(state).requires_grad_(False), make_batch([False, True], [True, True])
    terms = [method.objectives(show(state, batch, step))[0]["segmentation"].item() for step in (10, 11, 13, 99)]
    assert terms == pytest.approx([terms[3] / 4, terms[3] / 2, terms[3], terms[3]], rel=1e-5)
    logs = train_step(state, batch)
    assert not any(name.startswith("partial/") for name in logs)  # step 0 is before the start


def trained(regularizer: float, steps: int = 120) -> tuple[float, float]:
    """How spread the joint maps of truth are before and after the mapping has learnt: 1 − |mean unit vector|²."""
    state = build(make_config(regularizer=regularizer), CPU)
    method = method_of(state)
    shown = show(state, make_batch([True, False, True, False], [False, True, True, True]))
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-3, betas=(0.5, 0.99))
    before = _spread(method, shown)
    for _ in range(steps):
        loss, _ = method.learn(shown)
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return before, _spread(method, shown)


@torch.no_grad()
def _spread(method: CrossTaskConsistency, shown: StepContext) -> float:
    hot = F.one_hot(shown.batch.targets["segmentation"][[0, 2]], CLASSES).permute(0, 3, 1, 2).float()
    units = F.normalize(method.space(hot, "segmentation", "depth", "segmentation"), dim=1)
    return float(1 - units.mean((0, 2, 3)).square().sum())


def test_the_regularizer_keeps_the_mapping_from_one_point() -> None:
    before, after = trained(1.0)
    assert after > before / 2
    before, after = trained(0.0)
    assert after < before / 20


def test_it_learns_in_a_step_and_goes_on_bitwise_from_a_checkpoint() -> None:
    state = build(make_config(), CPU)
    batches = [make_batch([True, False, True, False], [False, True, True, True], seed) for seed in range(4)]
    before = {name: value.clone() for name, value in method_of(state).state_dict().items()}
    logs = {}
    for number, batch in enumerate(batches[:2]):
        state.step = number
        logs = train_step(state, batch)
    assert {f"partial/consistency/{name}" for name in ("loss", "regularizer", "truth_distance", "segmentation")} <= (
        logs.keys()
    )
    assert {f"partial/consistency/distance/{pair}" for pair in ("segmentation_to_depth", "depth_to_segmentation")} <= (
        logs.keys()
    )
    assert all(not torch.equal(value, before[name]) for name, value in method_of(state).state_dict().items())
    resumed = build(make_config(), CPU)
    resumed.load_state_dict(copy.deepcopy(state.state_dict()))  # an optimizer would go on with the very tensors
    for run in (state, resumed):
        for number, batch in enumerate(batches[2:], start=2):
            run.step = number
            train_step(run, batch)
    for part in ("terms", "generator", "ema"):
        wanted = getattr(state, part).state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in getattr(resumed, part).state_dict().items())


def test_bfloat16_forwards_give_float32_terms_close_to_those_of_float32() -> None:
    values = make_config().model_dump(mode="json")
    half = build(validate(Config, {**values, "train": {**values["train"], "precision": "bf16"}}, "test"), CPU)
    full = build(make_config(), CPU)
    batch = make_batch([True, False, True], [True, True, False])
    found, wanted = (method_of(state).objectives(show(state, batch))[0] for state in (half, full))
    for task, term in wanted.items():
        assert found[task].dtype == torch.float32
        assert found[task].item() == pytest.approx(term.item(), rel=0.1)
    assert "partial/consistency/segmentation" in train_step(half, batch)


def test_one_task_alone_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match=r"partial\.consistency: needs two tasks, and segmentation is the only") as no:
        build_terms(make_config(tasks=1), CPU)
    assert "\n" not in str(no.value)
    assert list(build_terms(validate(Config, {"tasks": TASKS}, "test"), CPU)) == ["supervised"]
