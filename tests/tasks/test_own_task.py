"""A task that a caller brings: configured, built, trained, measured and deployed with no line of it elsewhere."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from advmtl.adversarial_objectives import OBJECTIVES
from advmtl.config.experiment import Config
from advmtl.config.typed import validate
from advmtl.data.batch import Batch
from advmtl.evaluation.measure import evaluate
from advmtl.tasks import TASKS, Task
from advmtl.tasks.arrays import Output
from advmtl.tasks.learning import Figure, Loss, Meter, TaskLearning
from advmtl.tasks.spec import TaskSpec
from advmtl.training.scores import headline, score
from advmtl.training.state import build
from advmtl.training.step import train_step
from export.convert.parity import compare
from export.graph.deployable import Deployable
from export.graph.description import describe
from preprocessing.ground.errors import InputError

CPU = torch.device("cpu")


def cosine(prediction: Tensor, target: Tensor, *, power: float = 1.0, processes: object = None) -> Tensor:
    """Mean of (1 − cos)^power where there is a normal."""
    valid = target.square().sum(1) > 0
    gaps = 1 - (prediction * target).sum(1)
    return (torch.where(valid, gaps, 0.0) ** power).sum() / valid.sum().clamp(min=1)


class AngleMeter:
    """Mean angle [degrees]."""

    def __init__(self) -> None:
        self.total, self.count = torch.zeros((), dtype=torch.float64), 0

    def update(self, outputs: Mapping[str, Tensor], targets: Mapping[str, Tensor], frames: int) -> None:
        target = targets["facing"]
        valid = target.square().sum(1) > 0
        angles = torch.rad2deg(torch.acos((outputs["facing"] * target).sum(1).clamp(-1, 1)))
        self.total, self.count = self.total + angles[valid].sum(), self.count + int(valid.sum())

    def merge(self, other: "AngleMeter") -> None:
        self.total, self.count = self.total + other.total, self.count + other.count

    def compute(self) -> dict[str, Any]:
        return {"mean_angle_deg": float(self.total) / self.count} if self.count else {}


class Facing(TaskLearning):
    """Unit vectors; 0 = no label."""

    losses: ClassVar[Mapping[str, Loss]] = {
        "cosine": Loss(cosine, weight=1.0, options={"power": float}),
        "broken": Loss(lambda prediction, target, processes: (prediction - target).abs().mean((1, 2, 3))),
    }
    figures = (Figure("mean_angle_deg", "°", False, main=True, title="angle"),)

    def channels(self, spec: TaskSpec) -> int:
        return 3

    def activate(self, x: Tensor, spec: TaskSpec) -> Tensor:
        return F.normalize(x, dim=1)

    def mask(self, target: Tensor) -> Tensor:
        return target.square().sum(1, keepdim=True) > 0

    def encode_real(self, target: Tensor, spec: TaskSpec, smoothing: float) -> Tensor:
        return target

    def encode_fake(self, output: Tensor, spec: TaskSpec) -> Tensor:
        return output

    def meter(self, spec: TaskSpec) -> Meter:
        return AngleMeter()

    def headline(self, figures: Mapping[str, Any]) -> float:
        return float(1 - figures["mean_angle_deg"] / 90)

    def line(self, figures: Mapping[str, Any]) -> str:
        return f"angle {figures['mean_angle_deg']:.1f}°"

    def deploy(self, output: Tensor) -> dict[str, Tensor]:
        return {"facing": output}


ARRAYS: Any = SimpleNamespace(outputs=(Output("facing", "float32 [1,3,H,W], unit vectors", "angle", 0.1),))
OURS = TASKS | {"facing": Task("facing", ARRAYS, Facing)}
VALUES = {
    "data": {"size": "96x64", "batch_size": 2},
    "encoder": {"weights": None},
    "tasks": {
        "depth": {"losses": {"berhu": 1}},
        "facing": {"losses": {"cosine": 1}, "options": {"cosine": {"power": 2}}},
    },
    "discriminators": {"both": {"sees": ["depth", "facing"], "objective": "hinge", "channels": 4, "layers": 2}},
}


def make(**changes: Any) -> Config:
    return validate(Config, {**VALUES, **changes}, "own.yaml", {"tasks": OURS})


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    normals = F.normalize(torch.randn(2, 3, 64, 96, generator=generator), dim=1)
    normals[0, :, :9] = 0
    targets = {"depth": torch.full((2, 1, 64, 96), 9.0), "facing": normals}
    image = torch.randn(2, 3, 64, 96, generator=generator).contiguous(memory_format=torch.channels_last)
    return Batch(image, targets, {"depth": [True, True], "facing": [True, True]}, ["a", "b"])


def test_it_learns_is_measured_and_is_deployed() -> None:
    config = make()
    assert config.tasks["facing"].options_of("cosine") == {"power": 2.0}
    state, batch = build(config, CPU), make_batch()
    first = train_step(state, batch)
    assert {"facing/cosine", "facing/supervised", "adversarial/both"} <= first.keys()
    for _ in range(8):
        last = train_step(state, batch)
    assert last["facing/cosine"] < first["facing/cosine"]
    loader = type("Loader", (list,), {"dataset": SimpleNamespace(bad_frames=[])})([batch])
    metrics = evaluate(state.generator, [("made", loader)], config, tasks=config.task_table)
    assert 0 < metrics["facing"]["mean_angle_deg"] < 120 and metrics["depth"]["pixels"] == 2 * 64 * 96
    assert headline(metrics, config.task_table).endswith("°") and score(metrics, config.task_table) < 1
    metadata = describe(config)
    assert metadata.outputs == ("depth_m", "facing") and metadata.layouts["facing"].endswith("unit vectors")
    model = Deployable(copy.deepcopy(state.generator).eval(), OURS)
    with torch.no_grad():
        outputs = {name: value.numpy() for name, value in model(torch.zeros(1, 64, 96, 3, dtype=torch.uint8)).items()}
    assert tuple(outputs) == metadata.outputs
    assert compare([(outputs, outputs)], OURS).outputs["facing"].largest < 0.1


def test_an_objective_of_ones_own() -> None:
    """Both halves are asked: the discriminator's loss is 3 times LSGAN's, and the generator's is its own constant."""
    lsgan = OBJECTIVES["lsgan"]
    own = replace(
        lsgan,
        name="own",
        discriminator=lambda real, fake: 3 * lsgan.discriminator(real, fake),
        generator=lambda fake: fake.mean() * 0 + 7,
    )
    critic = {"sees": ["depth"], "channels": 4, "layers": 2}
    values = {**VALUES, "tasks": {"depth": {"losses": {"berhu": 1}}}}
    tables = {"objectives": OBJECTIVES | {"own": own}}
    logs = {}
    for name in ("lsgan", "own"):
        config = validate(Config, values | {"discriminators": {"d": {**critic, "objective": name}}}, "own.yaml", tables)
        logs[name] = train_step(build(config, CPU), make_batch())
    torch.testing.assert_close(logs["own"]["discriminator/d/loss"], 3 * logs["lsgan"]["discriminator/d/loss"])
    assert logs["own"]["adversarial/d"] == 7
    with pytest.raises(InputError, match=r"discriminators.d.objective: no 'own'; there are lsgan, hinge, wgan_gp"):
        validate(Config, values | {"discriminators": {"d": {**critic, "objective": "own"}}}, "own.yaml")


def test_without_the_table_it_is_unknown() -> None:
    with pytest.raises(InputError, match=r"own.yaml: tasks.facing: no such task; there are segmentation, depth"):
        validate(Config, VALUES, "own.yaml")


def test_a_loss_that_is_no_scalar_is_named() -> None:
    state = build(make(tasks={"facing": {"losses": {"broken": 1}}}, discriminators={}), CPU)
    with pytest.raises(InputError, match=r"tasks.facing.losses.broken: the loss gave \(2,\); it must be one number"):
        train_step(state, make_batch())


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"activate": lambda self, x, spec: x[:, :2]}, r"task facing: activate gave \(2, 2, 64, 96\)"),
        ({"encode_fake": lambda self, output, spec: output[:, :1]}, r"task facing: its encoding is \(2, 1, 64, 96\)"),
        ({"channels": lambda self, spec: 0}, "task facing: channels must be a whole number from 1, not 0"),
    ],
)
def test_a_task_that_breaks_its_contract_is_named(broken: dict[str, Any], message: str) -> None:
    table = TASKS | {"facing": Task("facing", ARRAYS, type("Broken", (Facing,), broken))}
    config = validate(Config, VALUES, "own.yaml", {"tasks": table})
    with pytest.raises(InputError, match=message):
        train_step(build(config, CPU), make_batch())
