"""A caller's own encoder, task, loss, frames, loader, format, balancer and term; and what each is refused for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from brightness_task import BRIGHTNESS
from made_frames import Squares, squares_config
from street_set import write_folder
from torch import Tensor, nn

import advmtl
from advmtl.balancing import GramBalancer, JacobianBalancer, LossBalancer, Sum
from advmtl.data import FORMATS, Batch, index_source, on_device
from advmtl.tasks import TASKS, FrameRecord, Loss, Task
from advmtl.terms import TERMS, Logs, StepContext, Term
from advmtl.training import train_step

CPU = torch.device("cpu")


class Strided(nn.Module):
    """Somebody else's encoder: four plain convolutions."""

    def __init__(self, strides: tuple[int, ...] = (4, 8, 16, 32), channels: tuple[int, ...] = (6, 8, 10, 12)) -> None:
        super().__init__()
        self.strides, self.channels = strides, channels
        self.stem = nn.Conv2d(3, 6, 3, 4, 1)
        self.norm = nn.BatchNorm2d(6, momentum=0.3)
        self.others = nn.ModuleList(nn.Conv2d(a, a + 2, 3, 2, 1) for a in (6, 8, 10))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.norm(self.stem(image))]
        for one in self.others:
            maps.append(one(F.relu(maps[-1])))
        return maps


def one_step(state: advmtl.State, frames: Any = None) -> dict[str, Tensor]:
    data = advmtl.loaders(state.config, Squares(2) if frames is None else frames, Squares(1))
    return train_step(state, next(iter(data.train)))


def test_an_encoder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    own = Strided()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    data = advmtl.loaders(squares_config(), Squares(4), Squares(2, seed=1))
    state = advmtl.build(squares_config(), encoder=own, device="cpu")
    assert torch.equal(state.generator.encoder.stem.weight, own.stem.weight)  # type: ignore[attr-defined]
    fitted = advmtl.fit(state, data, folder=tmp_path)
    assert not torch.equal(state.generator.encoder.stem.weight, own.stem.weight)  # type: ignore[attr-defined]
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items()), "the caller's stays"
    assert own.norm.momentum == 0.3 and fitted.model.config.encoder.name == "Strided"
    loaded = advmtl.load(tmp_path, encoder=Strided())
    assert advmtl.evaluate(loaded, data.val) == {k: v for k, v in fitted.metrics.items() if k != "checkpoint"}
    with pytest.raises(advmtl.InputError, match=r"encoder\.name: Strided is none of mobilenet_v3_small"):
        advmtl.load(tmp_path)


def test_a_task_and_its_loss() -> None:
    tables = {"tasks": TASKS | {"brightness": BRIGHTNESS}}
    config = squares_config("tasks.brightness={losses: {absolute: 2}}", "train.epochs=2", tables=tables)
    frames = Squares(4, extra="brightness")
    data = advmtl.loaders(config, frames, Squares(2, seed=1, extra="brightness"))
    fitted = advmtl.fit(config, data, device="cpu")
    assert 0 < fitted.metrics["brightness"]["mean_error"] < 0.5
    outputs = advmtl.predict(fitted.model, frames[0].image, size=(20, 10))
    assert outputs["brightness"].shape == (10, 20) and outputs["brightness"].max() <= 1


def far(prediction: Tensor, target: Tensor, *, power: float = 1.0, processes: object = None) -> Tensor:
    """Mean |ln p − ln g|^power."""
    return (prediction.log() - target.log()).abs().pow(power).mean()


def with_loss(loss: Loss) -> dict[str, Any]:
    learning = TASKS["depth"].learning
    own = type("OwnDepth", (type(learning),), {"losses": {**learning.losses, "far": loss}})
    return {"tasks": TASKS | {"depth": Task("depth", TASKS["depth"].arrays, own)}}


def test_a_loss_of_an_old_task() -> None:
    tables = with_loss(Loss(far, options={"power": float}))
    own = ("tasks.depth.losses={far: 1}", "tasks.depth.options={far: {power: 2}}")
    logs = one_step(advmtl.build(squares_config(*own, tables=tables), device="cpu"))
    assert logs["depth/far"] == logs["depth/supervised"] > 0 and "depth/berhu" not in logs
    broken = with_loss(Loss(lambda prediction, target, processes: (prediction - target).mean((1, 2, 3))))
    state = advmtl.build(squares_config("tasks.depth.losses={far: 1}", tables=broken), device="cpu")
    with pytest.raises(advmtl.InputError, match=r"tasks\.depth\.losses\.far: the loss gave \(2,\)"):
        one_step(state)


class Halves(GramBalancer):
    """½ each, and counts how often it was asked."""

    def __init__(self, objectives: tuple[str, ...], shape: int = 0) -> None:
        super().__init__(objectives)
        self.shape = shape
        self.asked: Tensor
        self.register_buffer("asked", torch.zeros((), dtype=torch.int64))

    def solve(self, gramian: Tensor, losses: Tensor, active: Tensor) -> Tensor:
        self.asked += 1
        return torch.full((len(losses) + self.shape,), 0.5, dtype=torch.float64)


def test_a_balancer(tmp_path: Path) -> None:
    config, data = squares_config(), advmtl.loaders(squares_config(), Squares(4), Squares(2, seed=1))
    names = ("segmentation", "depth")
    state = advmtl.build(config, balancer=Halves(names), device="cpu")
    advmtl.fit(state, data, folder=tmp_path)
    assert state.balancer.asked == 2
    free = squares_config("train.gradient_clip_norm=null")
    plain, halved = (advmtl.build(free, balancer=one, device="cpu") for one in (None, Halves(names)))
    for one in (plain, halved):
        one_step(one)
    norms = [one.generator.encoder.features[0][0].weight.grad.norm() for one in (plain, halved)]  # type: ignore[index, union-attr]
    torch.testing.assert_close(norms[1], norms[0] / 2, rtol=1e-3, atol=0)
    again = advmtl.build(config, balancer=Halves(names), device="cpu")
    advmtl.fit(again, data, folder=tmp_path)
    assert again.balancer.asked == 2, "its history is in the checkpoint"
    with pytest.raises(advmtl.InputError, match="own are balancer Halves there and none here; give the same"):
        advmtl.fit(config, data, folder=tmp_path, device="cpu")


class OwnMean(LossBalancer):
    def forward(self, losses: Tensor) -> Tensor:
        return losses


class OwnRows(JacobianBalancer):
    def forward(self, matrix: Tensor) -> Tensor:
        return matrix


@pytest.mark.parametrize(
    ("balancer", "message"),
    [
        (lambda: nn.Identity(), "balancer Identity: is none of Sum, LossBalancer"),
        (lambda: Halves(("depth", "segmentation")), "is of depth, segmentation; this run balances segmentation, depth"),
        (lambda: Halves(("segmentation", "depth"), 1), r"balancer Halves: solve gave \[3\]; it must give \[2\]"),
        (lambda: OwnMean(("segmentation", "depth")), r"balancer OwnMean: forward gave \[2\]; it must give one number"),
        (
            lambda: OwnRows(("segmentation", "depth")),
            r"balancer OwnRows: forward gave \[2, \d+\]; it must",
        ),
    ],
)
def test_a_balancer_that_breaks_its_contract_is_named(balancer: Any, message: str) -> None:
    with pytest.raises(advmtl.InputError, match=message):
        one_step(advmtl.build(squares_config(), balancer=balancer(), device="cpu"))


class Smooth(Term):
    """Neighbouring depths alike."""

    def __init__(self, whole: bool = False) -> None:
        super().__init__()
        self.whole = whole

    def objectives(self, step: StepContext) -> tuple[dict[str, Tensor], Logs]:
        steps = step.outputs["depth"].diff(dim=-1).abs()
        value = steps.flatten(1).mean(1) if self.whole else steps.mean()
        return {"depth": value}, {"smooth": value}


def test_a_term() -> None:
    def build_smooth(config: advmtl.Config, device: torch.device) -> Mapping[str, Term]:
        return {"smooth": Smooth(config.seed == 4).to(device)}

    terms = TERMS | {"smooth": build_smooth}
    logs = one_step(advmtl.build(squares_config(), terms=terms, device="cpu"))
    total = logs["segmentation/supervised"] + logs["depth/supervised"] + logs["smooth"]
    torch.testing.assert_close(logs["combined"], total)
    with pytest.raises(advmtl.InputError, match=r"term smooth: depth is \[2\]; an objective must be one number"):
        one_step(advmtl.build(squares_config("seed=4"), terms=terms, device="cpu"))
    with pytest.raises(advmtl.InputError, match=r"term id: is Identity; it must be an advmtl\.terms\.Term"):
        advmtl.build(squares_config(), terms={"id": lambda config, device: {"id": nn.Identity()}}, device="cpu")  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("strides", "channels", "message"),
    [
        ((2, 4, 8, 16), (6, 8, 10, 12), "encoder Strided: has 4 maps at strides 2, 4, 8, 16; the generator needs"),
        ((4, 8, 16, 32), (6, 8, 10, 14), "encoder Strided: says strides .* channels 6, 8, 10, 14, but makes"),
    ],
)
def test_an_encoder_that_breaks_its_contract_is_named(
    strides: tuple[int, ...], channels: tuple[int, ...], message: str
) -> None:
    with pytest.raises(advmtl.InputError, match=message):
        advmtl.build(squares_config(), encoder=Strided(strides, channels), device="cpu")


def test_records_and_a_format(tmp_path: Path) -> None:
    write_folder(tmp_path, labels=True, depth_m=12.0)
    config = squares_config("data.train=[{format: mine, root: " + str(tmp_path) + "}]")
    own = FORMATS | {"mine": replace(FORMATS["folder"], ids="train")}
    source = config.data.train[0]
    records: list[FrameRecord] = index_source(source, "categories7", "train", 0, own)
    data = advmtl.loaders(config, val=records[:3], formats=own)
    assert len(data.train.dataset) == 4 and [name for name, _ in data.val] == ["own"]
    batch = next(iter(data.val[0][1]))
    assert batch.targets["depth"].max() == 12 and batch.present == {"segmentation": [True] * 2, "depth": [True] * 2}


class InMemory:
    """A caller's own loader: two batches, in their order."""

    def __init__(self, frames: Squares, config: advmtl.Config, **broken: Any) -> None:
        whole = advmtl.loaders(config, frames, frames).val[0][1]
        self.dataset, self.batches = frames, [replace(batch, **broken) for batch in whole]
        self.batch_sampler = SimpleNamespace(batches=len(self.batches), set_position=self.set_position)
        self.start = 0

    def set_position(self, epoch: int, start_batch: int = 0) -> None:
        self.start = start_batch

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches[self.start :])


def test_a_loader() -> None:
    config = squares_config()
    train, val = InMemory(Squares(4), config), InMemory(Squares(2, seed=1), config)
    fitted = advmtl.fit(config, train, [("mine", val)], device="cpu")
    assert fitted.metrics["measured_on"] == ["mine"] and len(list(on_device(train, CPU))) == 2
    assert advmtl.evaluate(fitted.model, val)["depth"] == fitted.metrics["depth"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": None}, "train loader Changed: its dataset has no records; see advmtl.data.FrameSet"),
        ({"batch_sampler": 1}, "train loader Changed: its batch_sampler has no batches; see advmtl.data.TrainLoader"),
        ({"batches": [SimpleNamespace(names=[])]}, r"loader Changed: gave SimpleNamespace; it must give advmtl.*Batch"),
    ],
)
def test_a_loader_that_breaks_its_contract_is_named(change: dict[str, Any], message: str) -> None:
    config = squares_config()
    loader = type("Changed", (InMemory,), {})(Squares(2), config)
    for name, value in change.items():
        setattr(loader, name, value)
    with pytest.raises(advmtl.InputError, match=message):
        advmtl.fit(config, loader, InMemory(Squares(2), config), device="cpu")


def test_a_loader_without_a_dataset_is_named() -> None:
    config = squares_config()
    with pytest.raises(advmtl.InputError, match=r"train loader list has no dataset; see advmtl\.data\.TrainLoader"):
        advmtl.fit(config, [], InMemory(Squares(2), config), device="cpu")  # type: ignore[arg-type]
    with pytest.raises(advmtl.InputError, match="val val loader object has no dataset"):
        advmtl.fit(config, InMemory(Squares(2), config), object(), device="cpu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"targets": {}}, "loader InMemory: a batch without targets or present of segmentation"),
        ({"image": torch.zeros(2, 4, 32, 64)}, r"loader InMemory: an image of torch.float32 \[2, 4, 32, 64\]"),
    ],
)
def test_a_batch_that_breaks_its_contract_is_named(broken: dict[str, Any], message: str) -> None:
    config = squares_config()
    with pytest.raises(advmtl.InputError, match=message):
        advmtl.fit(config, InMemory(Squares(2), config, **broken), InMemory(Squares(2), config), device="cpu")


@pytest.mark.parametrize(
    ("first", "message"),
    [
        (lambda s: s.image, "train frames Changed: frame 0 is ndarray; it must be an advmtl.data.Sample"),
        (lambda s: replace(s, targets={"depth": s.targets["depth"]}), "frame 0 has no target of segmentation"),
        (lambda s: replace(s, image=s.image.astype(np.float32)), r"frame 0 is float32 \[32, 64, 3\]; it must be uint8"),
    ],
)
def test_frames_that_break_their_contract_are_named(first: Any, message: str) -> None:
    changed = type("Changed", (Squares,), {"__getitem__": lambda self, i: first(Squares.__getitem__(self, i))})
    with pytest.raises(advmtl.InputError, match=message):
        advmtl.loaders(squares_config(), changed(2), Squares(1))
    with pytest.raises(advmtl.InputError, match=r"val frames object has no records; see advmtl\.data\.FrameSet"):
        advmtl.loaders(squares_config(), Squares(2), object())  # type: ignore[arg-type]


def test_a_plain_sum_may_be_handed_over() -> None:
    assert isinstance(advmtl.build(squares_config(), balancer=Sum(()), device="cpu").balancer, Sum)
