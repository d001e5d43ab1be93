"""Adversaries over domains: what they are shown, what they learn, whom they push."""

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.data.frames import BadFrame
from advmtl.distributed import SINGLE
from advmtl.networks.discriminator import PatchDiscriminator, validity
from advmtl.tasks.depth.learning import DepthRange
from advmtl.terms.domain_adversary import DomainAdversary
from advmtl.terms.term import StepContext
from advmtl.training.state import State, build
from advmtl.training.step import train_step
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")
TASKS = {
    "segmentation": {"losses": {"cross_entropy": 1.0, "dice": 0.5}},
    "depth": {"losses": {"scale_invariant": 1.0}},
}


def make_config(adversary: dict[str, object] | None, **changes: object) -> Config:
    values = {
        "tasks": TASKS,
        "encoder": {"weights": None, "width": 0.5},
        "generator": {"channels": 8, "crp_stages": 1},
        "data": {"classes": "categories7", "size": "96x64"},
        "train": {"warmup_steps": 1},
        "partial": None if adversary is None else {"adversary": {"channels": 8, **adversary}},
        **changes,
    }
    return validate(Config, values, "test")


def make_batch(segmentation: list[bool], depth: list[bool], seed: int = 0) -> Batch:
    """Frames of 64 x 96 px from sources 0, 1, 0, …; a tenth of the pixels of each label is void."""
    noise = torch.Generator().manual_seed(seed)
    n = len(segmentation)
    classes = torch.randint(0, 7, (n, 64, 96), generator=noise)
    metres = 2 + 40 * torch.rand(n, 1, 64, 96, generator=noise)
    classes[torch.rand(n, 64, 96, generator=noise) < 0.1] = 255
    metres[torch.rand(n, 1, 64, 96, generator=noise) < 0.1] = 0
    classes[[i for i in range(n) if not segmentation[i]]] = 255
    metres[[i for i in range(n) if not depth[i]]] = 0
    return Batch(
        image=torch.randn(n, 3, 64, 96, generator=noise),
        targets={"segmentation": classes, "depth": metres},
        present={"segmentation": segmentation, "depth": depth},
        names=[f"frame{i}" for i in range(n)],
        sources=[i % 2 for i in range(n)],
    )


def show(state: State, batch: Batch, outputs: dict[str, Tensor] | None = None) -> StepContext:
    """What a step shows the methods."""
    z = state.generator.train().shared_representation(batch.image)
    if outputs is None:
        outputs = state.generator.decode(z, (64, 96))
    return StepContext(
        config=state.config,
        generator=state.generator,
        teacher=state.ema,
        batch=batch,
        z=z,
        outputs=outputs,
        masks=validity(batch.targets),
        number=state.step,
        autocast=state.precision.autocast,
        processes=SINGLE,
    )


def adversary_of(state: State) -> DomainAdversary:
    method = state.terms["partial/adversary"]
    assert isinstance(method, DomainAdversary)
    return method


def says_always(state: State, scores: list[float]) -> None:
    """Every critic has the same scores for every patch."""
    for critic in adversary_of(state).discriminators.values():
        assert isinstance(critic, PatchDiscriminator)
        first = critic.stages[0]
        assert isinstance(first, nn.Conv2d)
        constant = nn.Conv2d(first.in_channels, len(scores), 1)
        with torch.no_grad():
            nn.init.zeros_(constant.weight)
            constant.bias = nn.Parameter(torch.tensor(scores))
        critic.stages = nn.Sequential(constant)


def test_cross_entropy_by_hand() -> None:
    """Probabilities ½, ⅓, ⅙ of truth, labelled, unlabelled. Each domain counts once, however many frames it has.

    So one labelled frame and three others give (ln 2 + ln 3 + ln 6) / 3, not a mean over five maps. Depth has no
    unlabelled frame: (ln 2 + ln 3) / 2.
    """
    state = build(make_config({}), CPU)
    says_always(state, [math.log(3), math.log(2), 0.0])
    shown = show(state, make_batch([True, False, False, False], [True] * 4))
    loss, logs = adversary_of(state).learn(shown)
    assert loss is not None
    assert loss.item() == pytest.approx(math.log(36) / 3 + math.log(6) / 2, rel=1e-5)
    assert logs["segmentation/accuracy_truth"] == 1 and logs["segmentation/accuracy_unlabelled"] == 0
    assert logs["segmentation/log_probability_unlabelled"].item() == pytest.approx(-math.log(6), rel=1e-5)
    assert "depth/accuracy_unlabelled" not in logs and "depth/accuracy_labelled" in logs


@pytest.mark.parametrize(
    ("align", "wanted"),
    [("truth", math.log(2)), ("prediction", math.log(3)), ("both", math.log(6) / 2)],
)
def test_alignments_by_hand(align: str, wanted: float) -> None:
    state = build(make_config({"align": align, "weight": 0.5}), CPU)
    says_always(state, [math.log(3), math.log(2), 0.0])
    method = adversary_of(state)
    shown = show(state, make_batch([True, False, False], [True] * 3))
    method.learn(shown)
    terms, logs = method.objectives(shown)
    assert terms.keys() == {"segmentation"}  # depth has no unlabelled frame
    assert terms["segmentation"].item() == pytest.approx(0.5 * wanted, rel=1e-5)
    assert logs["partial/adversary/segmentation/inter"].item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("labelled_weight", [0.0, 0.5])
def test_only_unlabelled_predictions_are_pushed_unless_asked(labelled_weight: float) -> None:
    state = build(make_config({"labelled_weight": labelled_weight}), CPU)
    shown = show(state, make_batch([True, False, True, False], [False, True, False, False]))
    method = adversary_of(state)
    method.learn(shown)
    terms, logs = method.objectives(shown)
    outputs = [shown.outputs["segmentation"], shown.outputs["depth"]]
    pushed = torch.autograd.grad(terms["segmentation"] + terms["depth"], outputs)
    frames = [[bool(one.any()) for one in gradient] for gradient in pushed]
    if labelled_weight:
        assert frames == [[True] * 4, [True] * 4] and "partial/adversary/segmentation/intra" in logs
    else:
        assert (
            frames == [[False, True, False, True], [True, False, True, True]]
            and "partial/adversary/segmentation/intra" not in logs
        )


def test_a_broken_frame_is_in_no_domain() -> None:
    state = build(make_config({}), CPU)
    batch = make_batch([True, False, False], [True, False, False])
    shown = show(state, replace(batch, skipped=[BadFrame("frame2", "truncated")], unread=[2]))
    method = adversary_of(state)
    method.learn(shown)
    (gradient,) = torch.autograd.grad(method.objectives(shown)[0]["depth"], [shown.outputs["depth"]])
    assert [bool(one.any()) for one in gradient] == [False, True, False]


def seen_by(state: State, shown: StepContext) -> dict[str, Tensor]:
    """The maps that the critics are given to learn from."""
    found: dict[str, Tensor] = {}
    method = adversary_of(state)

    def keep(task: str, maps: Tensor) -> None:
        found[task] = maps

    for task, critic in method.discriminators.items():
        critic.register_forward_hook(lambda _, maps, __, task=task: keep(task, maps[0]))
    method.learn(shown)
    return found


def test_holes_do_not_tell_who_is_labelled() -> None:
    """Both labelled frames have a hole of their own; every unlabelled one is shown with one of these two."""
    state = build(make_config({}), CPU)
    batch = make_batch([True, False, True, False, False], [True] * 5)
    classes = torch.where(batch.targets["segmentation"] == 255, 0, batch.targets["segmentation"])
    classes[0, 10:20, 5:50], classes[2, 30:40, 7:90] = 255, 255
    classes[[1, 3, 4]] = 255
    batch.targets["segmentation"] = classes
    maps = seen_by(state, show(state, batch))["segmentation"]
    holes = (maps == 0).all(1)
    assert len(maps) == 2 + 5 and torch.equal(holes[:2], classes[[0, 2]] == 255)
    first, second = holes[2], holes[4]  # predictions on the labelled have their own
    assert torch.equal(holes[:2], torch.stack([first, second])) and not torch.equal(first, second)
    for partner in holes[[3, 5, 6]]:
        assert torch.equal(partner, first) or torch.equal(partner, second)


def test_maps_are_shown_smaller_where_asked() -> None:
    """At a quarter of 64 x 96 px: two labelled frames' truth and four predictions; a hole of whole squares stays."""
    state = build(make_config({"scale": 4, "layers": 2}), CPU)
    batch = make_batch([True, False, True, False], [True] * 4)
    batch.targets["segmentation"][0, 8:20, 40:60] = 255
    maps = seen_by(state, show(state, batch))["segmentation"]
    assert maps.shape == (6, 7, 16, 24)
    holes = (maps == 0).all(1)
    assert holes[0, 2:5, 10:15].all() and holes[2, 2:5, 10:15].all() and not holes[1].any()
    torch.testing.assert_close(maps.sum(1)[~holes], torch.ones(int((~holes).sum())))
    assert make_config({"scale": 1}).hash == make_config({}).hash != make_config({"scale": 4}).hash


def test_without_a_labelled_frame_critics_rest_but_remember_holes() -> None:
    """Nothing is heard of a critic that has never learnt; later, batches without labels are judged."""
    state = build(make_config({}), CPU)
    method, none = adversary_of(state), make_batch([False] * 2, [False] * 2)
    assert method.learn(show(state, none)) == (None, {})
    assert method.objectives(show(state, none))[0] == {}
    labelled = make_batch([True] * 3, [True] * 3, seed=1)
    loss, _ = method.learn(show(state, labelled))
    assert loss is not None and method.objectives(show(state, labelled))[0] == {}
    shown = show(state, none)
    assert method.learn(shown)[0] is None
    known = {tuple(mask.flatten().tolist()) for mask in labelled.targets["depth"] > 0}
    assert {tuple(mask.flatten().tolist()) for mask in method._look(shown)["depth"].masks} <= known
    assert method.objectives(shown)[0].keys() == {"segmentation", "depth"}


def test_the_last_eight_frames_holes_are_kept() -> None:
    state = build(make_config({"tasks": ["depth"]}), CPU)
    method = adversary_of(state)
    for frames in (10, 3):
        batch = make_batch([True] * frames, [True] * frames, seed=frames)
        method.learn(show(state, batch))
    first, last = (make_batch([True] * n, [True] * n, seed=n).targets["depth"] > 0 for n in (10, 3))
    # Frames 2 to 9 in a ring of eight, then three more in place of its first.
    assert torch.equal(method.get_buffer("holes_depth"), torch.cat([last, first[5:]]))


def test_a_critic_learns_three_domains_apart() -> None:
    """Truth is noise between 2 and 42 m, predictions are 5 m for the labelled frames and 60 m for the others."""
    state = build(make_config({"domains": "labels", "tasks": ["depth"]}), CPU)
    batch = make_batch([True] * 4, [True, True, False, False])
    far = torch.tensor([5.0, 5.0, 60.0, 60.0])[:, None, None, None].expand(4, 1, 64, 96)
    shown = show(state, batch, {"segmentation": torch.zeros(4, 7, 64, 96), "depth": far})
    method = adversary_of(state)
    optimizer = torch.optim.Adam(method.parameters(), lr=1e-2, betas=(0.5, 0.99))
    loss, logs = method.learn(shown)
    for _ in range(60):
        assert loss is not None
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss, logs = method.learn(shown)
    accuracies = [logs[f"depth/accuracy_{name}"].item() for name in ("truth", "labelled", "unlabelled")]
    assert loss is not None and min(accuracies) > 0.9 and loss.item() < 0.5 < math.log(3)


def test_each_source_may_be_a_domain() -> None:
    sources = [{"format": "folder", "root": f"set{number}"} for number in range(3)]
    data = {"classes": "categories7", "size": "96x64", "train": sources}
    state = build(make_config({"domains": "sources"}, data=data), CPU)
    says_always(state, [0.0] * 5)  # truth, labelled, one for each of three sources
    loss, logs = adversary_of(state).learn(show(state, make_batch([True, False, False], [True] * 3)))
    assert loss is not None and loss.item() == pytest.approx(2 * math.log(5), rel=1e-5)
    assert {"segmentation/accuracy_unlabelled_0", "segmentation/accuracy_unlabelled_1"} <= logs.keys()
    assert "segmentation/accuracy_unlabelled_2" not in logs


class Columns(nn.Module):
    """A generator that sees where the light comes from: z is the picture, every map a mixture of its channels."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.spec, self.tasks = state.generator.spec, state.generator.tasks

    def encode(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return image * self.scale, {}

    def forward_features(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
        return image * self.scale, {}, self.decode(image * self.scale, (64, 96))

    def decode(self, z: Tensor, size: tuple[int, int], taps: object = None) -> dict[str, Tensor]:
        ramp = torch.linspace(0, 1, size[1])
        return {"segmentation": torch.cat([z, z, z[:, :1]], 1), "depth": 5 + z[:, :1].abs() + ramp}


@pytest.mark.parametrize("transform", ["flip", "colour", "both"])
def test_the_transformed_branch_is_turned_back(transform: str) -> None:
    """Classes, which a mirror takes along, come out where they were; depth's ramp over the columns is turned."""
    state = build(make_config({"transform": transform, "agreement": 0.5, "weight": 1e-9}), CPU)
    batch = make_batch([True, False, False], [True, False, True])
    generator: Any = Columns(state)
    shown = replace(
        show(state, batch), generator=generator, outputs=generator.decode(generator.encode(batch.image)[0], (64, 96))
    )
    method = adversary_of(state)
    method.learn(shown)
    views = method._look(shown)
    own = torch.softmax(shown.outputs["segmentation"], 1)
    same = (
        torch.isclose(shown.encode_prediction("segmentation", views["segmentation"].output), own, atol=1e-6)
        .flatten(1)
        .all(1)
    )
    assert same.tolist() == ([True] * 3 if transform == "flip" else [True, False, False])
    assert len(shown.representations) == 2 and shown.representations[1].requires_grad
    if transform == "flip":
        metres = batch.image[:, :1].abs() + 5
        ramp = torch.linspace(0, 1, 96)
        turned = 4 * DepthRange(*generator.spec.depth_range_m).normalised_log(metres + ramp.flip(0))
        plain = 4 * DepthRange(*generator.spec.depth_range_m).normalised_log(metres + ramp)
        predicted = shown.encode_prediction("depth", views["depth"].output)
        assert torch.allclose(predicted[1], turned[1], atol=1e-5)
        assert torch.allclose(predicted[[0, 2]], plain[[0, 2]], atol=1e-5)
        terms, logs = method.objectives(shown)
        assert logs["partial/adversary/segmentation/agreement"].item() == pytest.approx(0, abs=1e-10)
        wanted = (turned[1] - plain[1]).square().mean().item()
        assert logs["partial/adversary/depth/agreement"].item() == pytest.approx(wanted, rel=1e-4)
        assert terms["depth"].item() == pytest.approx(0.5 * wanted, rel=1e-4)


def test_no_second_forward_where_every_frame_is_labelled() -> None:
    state = build(make_config({"transform": "flip"}), CPU)
    shown = show(state, make_batch([True] * 2, [True] * 2))
    adversary_of(state).learn(shown)
    assert len(shown.representations) == 1  # z


def test_colours_are_of_seed_and_step_alone() -> None:
    state = build(make_config({"transform": "colour"}), CPU)
    batch, method = make_batch([True, False], [True, False]), adversary_of(state)
    found = []
    for step in (0, 0, 1):
        shown = replace(show(state, batch), number=step)
        method.learn(shown)
        found.append(shown.representations[1].detach())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_step_lets_critics_learn_and_adds_to_the_rows() -> None:
    config = make_config({"transform": "flip", "agreement": 0.1, "labelled_weight": 1.0})
    state = build(config, CPU)
    before = {name: value.clone() for name, value in state.terms["partial/adversary"].named_parameters()}
    logs = train_step(state, make_batch([True, False, True], [False, True, False]), statistics=True)
    assert all(
        not torch.equal(before[name], value) for name, value in state.terms["partial/adversary"].named_parameters()
    )
    assert {
        "partial/adversary/loss",
        "partial/adversary/segmentation",
        "partial/adversary/depth/agreement",
    } <= logs.keys()
    assert all(value.ndim == 0 and not value.requires_grad for value in logs.values())
    assert all(parameter.requires_grad for parameter in state.terms["partial/adversary"].parameters())


def test_before_its_start_nothing_differs_from_a_run_without_it() -> None:
    with_it, without = build(make_config({"start_step": 5}), CPU), build(make_config(None), CPU)
    batch = make_batch([True, False], [False, True])
    for state in (with_it, without):
        train_step(state, batch)
    for a, b in zip(with_it.generator.parameters(), without.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_resume_is_bitwise() -> None:
    """Critics, their optimizer, the holes and how many labelled frames there were."""
    config = make_config({"transform": "colour"})
    batches = [
        make_batch([True, False, True], [False, True, False]),
        make_batch([True, True, False], [True] * 3, seed=1),
        make_batch([False] * 3, [False] * 3, seed=2),
        make_batch([False, True, False], [False, False, True], seed=3),
    ]
    state = build(config, CPU)
    resumed = build(config, CPU)
    for index, batch in enumerate(batches):
        if index == 2:
            resumed.load_state_dict(copy.deepcopy(state.state_dict()))
        for one in [state, resumed] if index >= 2 else [state]:
            train_step(one, batch)
            one.step += 1
    for part in ("generator", "terms"):
        values, others = (getattr(one, part).state_dict() for one in (state, resumed))
        for name, value in values.items():
            assert torch.equal(value, others[name]) if isinstance(value, Tensor) else value == others[name]
    assert adversary_of(resumed).seen["segmentation"] == 5


@pytest.mark.parametrize(
    ("adversary", "changes", "message"),
    [
        ({"tasks": ["depth"]}, {"tasks": {"segmentation": TASKS["segmentation"]}}, "depth is not among the tasks"),
        ({}, {"tasks": {"instance": {"losses": {"l1": 1.0}}}}, "mean something at every pixel"),
        ({"agreement": 1.0}, {}, "needs partial.adversary.transform"),
        ({"transform": "flip"}, {"balance": {"method": "rotograd"}}, "set another balance.method"),
        ({"transform": "rotate"}, {}, "partial.adversary.transform"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(adversary: Any, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        make_config(adversary, **changes)
    assert "\n" not in str(caught.value)
