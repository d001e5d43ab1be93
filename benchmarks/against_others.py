"""Our network and trainer against what one would take instead: the same frames, the same CPU seconds of training, one thread each.

    python benchmarks/against_others.py --data cityscapes:data/demo --seconds 200 --seeds 0 1 2 --out runs/against_others.json

| kind | what it is | needs |
|---|---|---|
| ours | `advmtl train CONFIG`, its epochs chosen by the measured time of a step; or at a half or a quarter of the seconds | |
| plain | an afternoon's script: MobileNetV3-Small, a feature pyramid, cross entropy + L1 of log depth, AdamW, warm-up, cosine | |
| smp | segmentation-models-pytorch's FPN with a MobileNetV3-Small encoder of timm, classes alone | segmentation-models-pytorch==0.6.0 |
| libmtl | LibMTL's trainer, hard parameter sharing and equal weights, its dilated ResNet-50 and heads in DeepLab's manner | a checkout of LibMTL (4336804) on PYTHONPATH, torch_geometric, cvxpy |
| refinenet | a load equal to multi-task-refinenet (`light_refinenet.py`), the plain losses | |

A kind whose package is missing is left out, aloud. Every run has a process of its own; kinds take turns within a seed. Seconds are those of the training
process's CPU, reading frames included and measuring not, so that other work on the machine disturbs them little. Everybody learns from the frames as our
loader reads them, and is measured by our meters on exact depth at the network's size; the others flip, zoom by 1 to 1.6 and change brightness. Prints a
table with ratios to `plain`, writes JSON.
"""

import argparse
import contextlib
import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
from light_refinenet import build_light_refinenet

from advmtl.config import Config, Source, load_config
from advmtl.data import train_loader, val_loaders
from advmtl.evaluation import maps_of
from advmtl.tasks import TASKS
from advmtl.training import build, fit, settle_classes, train_step
from preprocessing.ground import write_json

CPU = torch.device("cpu")
SHARES = {"ours": 1.0, "ours half": 0.5, "ours quarter": 0.25}
NEEDS = {"smp": "segmentation_models_pytorch", "libmtl": "LibMTL"}
KINDS = (*SHARES, "plain", "smp", "refinenet", "libmtl")
BATCH = 8
FIGURES = {
    "mIoU": ("segmentation", "miou"),
    "mIoU 7": ("segmentation", "miou_categories"),
    "AbsRel": ("depth", "abs_rel"),
    "RMSE [m]": ("depth", "rmse_m"),
    "δ1": ("depth", "delta1"),
    "edge F1": ("depth", "edge_f1"),
}


class OutOfTime(Exception):
    """The seconds are over."""


class Plain(nn.Module):
    """MobileNetV3-Small's maps at strides 4 to 32, a pyramid of 64 channels, one convolution for both tasks."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = torchvision.models.mobilenet_v3_small(weights=None).features[:12]
        for module in self.features.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.1
        self.laterals = nn.ModuleList(nn.Conv2d(count, 64, 1) for count in (16, 24, 48, 96))
        self.mixing = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(64, 64, 3, padding=1, groups=64, bias=False),
                *(nn.Conv2d(64, 64, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()),
            )
            for _ in range(4)
        )
        self.head = nn.Conv2d(64, classes + 1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits and metres at the picture's size."""
        x, maps = image, []
        for place, block in enumerate(self.features):
            x = block(x)
            if place in (1, 3, 8, 11):
                maps.append(x)
        y = self.mixing[3](self.laterals[3](maps[3]))
        for level in (2, 1, 0):
            y = F.interpolate(y, maps[level].shape[-2:], mode="bilinear") + self.laterals[level](maps[level])
            y = self.mixing[level](y)
        y = F.interpolate(self.head(y), image.shape[-2:], mode="bilinear")
        return {"segmentation": y[:, :-1], "depth": y[:, -1:].clamp(-4, 6).exp()}


class Classes(nn.Module):
    """A network of another library that gives logits alone."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Logits."""
        return {"segmentation": self.network(image)}


def class_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Cross entropy; 0 where a batch has no pixel with a class, which would be NaN."""
    if bool((classes != 255).any()):
        return F.cross_entropy(logits, classes, ignore_index=255)
    return 0 * logits.sum()


def plain_loss(maps: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> Tensor:
    """Cross entropy, and L1 of log depth."""
    loss = class_loss(maps["segmentation"], targets["segmentation"])
    known = targets["depth"] > 0
    if "depth" in maps and bool(known.any()):
        loss = loss + (maps["depth"][known].log() - targets["depth"][known].clamp(1, 80).log()).abs().mean()
    return loss


class Frames:
    """The training frames in memory at their sources' sizes, drawn by their sources' weights, cut to the network's crop
    and augmented in a few lines. A label that a frame lacks is unknown everywhere.
    """

    def __init__(self, config: Config) -> None:
        self.data = train_loader(config).dataset
        self.size = config.data.crop or config.data.size
        self.frames = [self.data._load(place)[0] for place in range(len(self.data))]  # type: ignore[attr-defined]
        weights = [config.data.train[record.source].weight for record in self.data.records]
        self.chances = None if len(set(weights)) == 1 else np.array(weights) / sum(weights)

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """A batch: normalised pictures, targets."""
        shown = [self._shown(self.frames[int(place)], rng) for place in self._places(rng)]
        scale = torch.tensor([0.229, 0.224, 0.225]) * 255
        shift = torch.tensor([0.485, 0.456, 0.406]) * 255
        images = (torch.from_numpy(np.stack([one[0] for one in shown])) - shift) / scale
        classes = torch.from_numpy(np.stack([one[1] for one in shown])).long()
        return images.permute(0, 3, 1, 2), {
            "segmentation": classes,
            "depth": torch.from_numpy(np.stack([one[2] for one in shown]))[:, None],
        }

    def _places(self, rng: np.random.Generator) -> Any:
        if self.chances is None:
            return rng.integers(len(self.frames), size=BATCH)
        return rng.choice(len(self.frames), size=BATCH, p=self.chances)

    def _shown(self, frame: Any, rng: np.random.Generator) -> tuple[Any, Any, Any]:
        width, height = self.size
        whole = frame.image.shape[:2]
        unknown = {"segmentation": np.full(whole, 255, np.uint8), "depth": np.zeros(whole, np.float32)}
        maps = [frame.image, *(frame.labels.get(name, blank) for name, blank in unknown.items())]
        if rng.random() < 0.5:
            maps = [one[:, ::-1] for one in maps]
        zoom = rng.uniform(1, 1.6)
        h, w = min(whole[0], int(height / zoom)), min(whole[1], int(width / zoom))
        top, left = rng.integers(whole[0] - h + 1), rng.integers(whole[1] - w + 1)
        cut = [np.ascontiguousarray(one[top : top + h, left : left + w]) for one in maps]
        image, classes, depth = (
            cv2.resize(one, self.size, interpolation=cv2.INTER_LINEAR if one is cut[0] else cv2.INTER_NEAREST)
            for one in cut
        )
        bright = np.clip(image.astype(np.float32) * rng.uniform(0.7, 1.3) + rng.uniform(-20, 20), 0, 255)
        return bright, classes, (depth / zoom).astype(np.float32)


class Clock:
    """CPU seconds since it was made, of a budget."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.start = seconds, time.process_time()

    @property
    def share(self) -> float:
        """Of the budget, how much is used."""
        return (time.process_time() - self.start) / self.seconds


def taught(network: nn.Module, config: Config, seconds: float, seed: int, rate: float) -> tuple[nn.Module, int]:
    """The plain recipe on a network: AdamW, warm-up over a tenth of the seconds, cosine to 0."""
    clock, rng = Clock(seconds), np.random.default_rng(seed)
    frames = Frames(config)
    network = network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer, steps = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-2), 0
    while (share := clock.share) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * (share / 0.1 if share < 0.1 else 0.5 * (1 + math.cos(math.pi * (share - 0.1) / 0.9)))
        image, targets = frames.draw(rng)
        loss = plain_loss(network(image.contiguous(memory_format=torch.channels_last)), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        steps += 1
    return network.eval(), steps


def by_libmtl(config: Config, seconds: float, seed: int, classes: int) -> tuple[nn.Module, int]:
    """LibMTL's trainer as its NYUv2 example sets it up, Adam at 1e-3, until the seconds are over."""
    from LibMTL import Trainer
    from LibMTL.loss import AbsLoss
    from LibMTL.metrics import AbsMetric
    from LibMTL.model import resnet_dilated

    clock, rng, count = Clock(seconds), np.random.default_rng(seed), [0]

    class Loss(AbsLoss):  # type: ignore[misc]
        def __init__(self, task: str) -> None:
            super().__init__()
            self.task = task

        def compute_loss(self, pred: Tensor, gt: Tensor) -> Tensor:
            if self.task == "segmentation":
                if clock.share >= 1:
                    raise OutOfTime
                count[0] += 1
                return class_loss(pred, gt)
            known = gt > 0
            if not bool(known.any()):
                return 0 * pred.sum()
            return (pred[known] - gt[known].clamp(1, 80).log()).abs().mean()

    class Nothing(AbsMetric):  # type: ignore[misc]
        def update_fun(self, pred: Tensor, gt: Tensor) -> None:
            del pred, gt

        def score_fun(self) -> list[float]:
            return [0.0]

        def reinit(self) -> None: ...

    class OnCpu(Trainer):  # type: ignore[misc]
        device = property(lambda self: CPU, lambda self, value: None)

        def process_preds(self, preds: dict[str, Tensor], task_name: str | None = None) -> dict[str, Tensor]:
            del task_name
            return {
                task: F.interpolate(one, shown[0], mode="bilinear", align_corners=True) for task, one in preds.items()
            }

    def head(channels: int) -> nn.Module:  # atrous pyramid of rates 12, 24, 36, as DeepLab has it
        return torchvision.models.segmentation.deeplabv3.DeepLabHead(2048, channels)

    frames, shown = Frames(config), [(0, 0)]  # the size of the pictures that the network is given

    class Batches:
        def __len__(self) -> int:
            return 10**6

        def __iter__(self) -> Any:
            while True:
                image, targets = frames.draw(rng)
                shown[0] = (image.shape[-2], image.shape[-1])
                yield image, targets

    names = {"segmentation": classes, "depth": 1}
    trainer = OnCpu(
        task_dict={n: {"metrics": ["loss"], "metrics_fn": Nothing(), "loss_fn": Loss(n), "weight": [0]} for n in names},
        weighting="EW",
        architecture="HPS",
        encoder_class=lambda: resnet_dilated("resnet50", pretrained=False),
        decoders=nn.ModuleDict({name: head(channels) for name, channels in names.items()}),
        rep_grad=False,
        multi_input=False,
        optim_param={"optim": "adam", "lr": 1e-3, "weight_decay": 1e-5},
        scheduler_param=None,
        weight_args={},
        arch_args={},
    )
    with contextlib.suppress(OutOfTime):
        trainer.train(Batches(), None, 1)

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = trainer.model

        def forward(self, image: Tensor) -> dict[str, Tensor]:
            shown[0] = (image.shape[-2], image.shape[-1])
            maps = trainer.process_preds(self.model(image))
            return {"segmentation": maps["segmentation"], "depth": maps["depth"].clamp(-4, 6).exp()}

    return Whole().eval(), count[0]


def by_us(config: Config, seconds: float) -> tuple[nn.Module, int]:
    """Our trainer; as many epochs as the seconds allow, by the time of a few steps."""
    timed = config.train.model_copy(update={"max_steps": 1000})  # shares of the training become steps of so many
    state = build(config.model_copy(update={"train": timed}), CPU)
    loader = train_loader(config)
    settle_classes(state, loader)
    batch = next(iter(loader))
    small = config.train.small_share

    def cost(shown: Any) -> float:
        taken = []
        for _ in range(6):
            start = time.process_time()
            train_step(state, shown)
            taken.append(time.process_time() - start)
        return sorted(taken)[2]

    step = (1 - small) * cost(batch) + (small * cost(batch.halved(config.task_table, config.spec)) if small else 0)
    loading = 0.008  # a batch from the cache, augmented
    epochs = max(1, round(seconds / (step + loading) / loader.batch_sampler.batches))
    train = config.train.model_copy(update={"epochs": epochs, "evaluate_every_epochs": 10**6, "panels": 0})
    with tempfile.TemporaryDirectory() as folder:
        fitted = fit(config.model_copy(update={"train": train}), Path(folder) / "run", CPU)
    return fitted.model.network, epochs * loader.batch_sampler.batches


@torch.no_grad()
def measured(network: nn.Module, config: Config) -> dict[str, Any]:
    """Our meters on the validation frames."""
    meters = {name: TASKS[name].learning.meter(config.spec) for name in config.tasks}
    told: set[str] = set()
    for _, loader in val_loaders(config):
        for batch in loader:
            maps = maps_of(network, batch, tasks=config.task_table, spec=config.spec)
            told |= maps.keys()
            for name, meter in meters.items():
                if name in maps:
                    meter.update(maps, batch.targets, len(batch))
    return {name: meter.compute() for name, meter in meters.items() if name in told}


def one(kind: str, config: Config, seconds: float, seed: int) -> dict[str, Any]:
    """Train and measure one; in a process of its own."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    classes, start = len(config.spec.labels.names), time.process_time()
    if kind not in SHARES:
        config = ignoring_lenses(config)
    if kind in SHARES:
        network, steps = by_us(config.model_copy(update={"seed": seed}), seconds * SHARES[kind])
    elif kind == "libmtl":
        network, steps = by_libmtl(config, seconds, seed, classes)
    else:
        makers: dict[str, Callable[[], nn.Module]] = {
            "plain": lambda: Plain(classes),
            "refinenet": lambda: build_light_refinenet(classes).train(),
            "smp": lambda: _smp(classes),
        }
        network, steps = taught(makers[kind](), config, seconds, seed, 2e-3 if kind == "refinenet" else 5e-3)
    spent = time.process_time() - start
    return {"kind": kind, "seed": seed, "steps": steps, "cpu_s": spent, "figures": measured(network, config)}


def _smp(classes: int) -> nn.Module:
    import segmentation_models_pytorch as smp

    return Classes(smp.FPN("tu-mobilenetv3_small_100", encoder_weights=None, classes=classes))


def config_of(args: argparse.Namespace) -> Config:
    """Ours on the benchmark's data."""
    config = load_config(args.config, ["data.workers=0", *args.set])
    if args.data is None:
        return config
    sources = {role: [Source.parse(f"{args.data}:{role}")] for role in ("train", "val")}
    return config.model_copy(update={"data": config.data.model_copy(update=sources)})


def ignoring_lenses(config: Config) -> Config:
    """The same with metres as they are, which is what the others learn."""
    return config.model_copy(update={"depth": config.depth.model_copy(update={"lens": "ignored"})})


def mean_and_deviation(rows: list[dict[str, Any]], where: tuple[str, str]) -> str:
    """Of one figure over the rows that have it."""
    values = [row["figures"].get(where[0], {}).get(where[1]) for row in rows]
    known = [value for value in values if value is not None]
    spread = f" ± {np.std(known, ddof=1):.3f}" if len(known) > 1 else ""
    return f"{np.mean(known):.3f}{spread}" if known else "–"


def table(rows: list[dict[str, Any]]) -> str:
    """Means over seeds as Markdown."""
    lines = ["| | steps | CPU s | " + " | ".join(FIGURES) + " |", "|---|" + "---|" * (len(FIGURES) + 2)]
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        cells = [f"{np.mean([row['steps'] for row in own]):.0f}", f"{np.mean([row['cpu_s'] for row in own]):.0f}"]
        cells += [mean_and_deviation(own, where) for where in FIGURES.values()]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """See the module's first lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", help="format:root with the splits train and val; without, the sources that --config names"
    )
    parser.add_argument("--config", default="demo")
    parser.add_argument("--set", nargs="*", default=[], help="key=value for ours")
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    parser.add_argument("--out", type=Path, default=Path("runs/against_others.json"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one(args.one[0], config_of(args), args.seconds, int(args.one[1]))))
        return
    rows: list[dict[str, Any]] = []
    for seed in args.seeds:
        for kind in args.kinds:
            if kind in NEEDS and importlib.util.find_spec(NEEDS[kind]) is None:
                print(f"left out: {kind} ({NEEDS[kind]} is not installed)")
                continue
            command = [sys.executable, __file__, *sys.argv[1:], "--one", kind, str(seed)]
            done = subprocess.run(
                command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True, check=False
            )
            if done.returncode:
                print(f"failed: {kind}, seed {seed}")
                continue
            rows.append(json.loads(done.stdout.strip().splitlines()[-1]))
            write_json(args.out, {"arguments": sys.argv[1:], "rows": rows})
            print(table(rows), flush=True)


if __name__ == "__main__":
    main()
