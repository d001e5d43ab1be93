"""What one would take instead of us, for `against_others.py`: an afternoon's script, segmentation-models-pytorch, LibMTL."""

import contextlib
import math
import time
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.data import train_loader

CPU = torch.device("cpu")
BATCH = 8


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
        """Logits; of sides that 32 does not divide, which its network refuses, those of a padded picture."""
        height, width = image.shape[-2:]
        padded = F.pad(image, (0, -width % 32, 0, -height % 32), mode="replicate")
        return {"segmentation": self.network(padded)[..., :height, :width]}


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


def smp_network(classes: int) -> nn.Module:
    """Its feature pyramid with a MobileNetV3-Small encoder."""
    import segmentation_models_pytorch as smp

    return Classes(smp.FPN("tu-mobilenetv3_small_100", encoder_weights=None, classes=classes))
