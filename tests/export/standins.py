"""A small network with the contract of `advmtl.networks.generator.Generator`, and sessions that need no model file."""

import threading
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from advmtl.config.experiment import Config
from advmtl.training.checkpoint import Trained
from export.graph.metadata import CLASSES, DEPTH, OFFSETS, Metadata
from export.session.session import Result, Session
from export.sources import Frames, Loaded, Source

SIZE = (160, 96)
NAMES = ("road", "building", "sky", "car", "person")
THINGS = (3, 4)
PALETTE = ((128, 64, 128), (70, 70, 70), (70, 130, 180), (0, 0, 142), (220, 20, 60))


LOSSES = {"segmentation": {"losses": {"cross_entropy": 1.0}}, "depth": {"losses": {"berhu": 1.0}}}


def make_config(**values: object) -> Config:
    """A configuration of both tasks with the given changes."""
    return Config.model_validate({"name": "test", "tasks": LOSSES, **values})


class SmallGenerator(nn.Module):
    """Image [N,3,H,W] to five-class logits, metres in 1..80 and offsets of some pixels, decided at stride 4, as the
    real one does.
    """

    def __init__(self, tasks: tuple[str, ...] = ("segmentation", "depth")) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 5, stride=4, padding=2)
        channels = {"segmentation": len(NAMES), "depth": 1, "instance": 2}
        self.heads = nn.ModuleDict({task: nn.Conv2d(8, channels[task], 3, padding=1) for task in tasks})

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        z, size = torch.tanh(self.body(image)), image.shape[-2:]
        maps = {}
        for task, head in self.heads.items():
            maps[task] = F.interpolate(head(z), size=size, mode="bilinear", align_corners=False)
        if "depth" in maps:
            maps["depth"] = torch.exp(torch.sigmoid(3 * maps["depth"]) * 4.382)
        if "instance" in maps:
            maps["instance"] = 12 * maps["instance"]
        return maps


def trained(generator: nn.Module, config: Config) -> Trained:
    """As `load_trained` gives it."""
    return Trained(generator, config, {})  # type: ignore[arg-type]


def make_generator(*tasks: str, seed: int = 0) -> SmallGenerator:
    torch.manual_seed(seed)
    return SmallGenerator(tasks or ("segmentation", "depth")).eval()


def made(
    classes: NDArray[np.uint8] | None = None,
    depth_m: NDArray[np.float32] | None = None,
    offsets_px: NDArray[np.float32] | None = None,
    instances: NDArray[np.uint16] | None = None,
) -> Result:
    """A result of these outputs."""
    given = {CLASSES: classes, DEPTH: depth_m, OFFSETS: offsets_px, "instances": instances}
    return Result({name: values for name, values in given.items() if values is not None})


def make_metadata(size: tuple[int, int] = SIZE, outputs: tuple[str, ...] = (CLASSES, DEPTH)) -> Metadata:
    return Metadata(
        advmtl_version="0.1.0",
        size=size,
        outputs=outputs,
        class_names=NAMES if CLASSES in outputs else (),
        palette=PALETTE if CLASSES in outputs else (),
        depth_range_m=(1.0, 80.0) if DEPTH in outputs else None,
        things=THINGS if {CLASSES, OFFSETS} <= set(outputs) else (),
    )


def make_session(size: tuple[int, int] = SIZE, delay_s: float = 0.0) -> Session:
    """Class = red channel modulo the classes, depth = 1 m + green channel / 4; takes `delay_s` per frame."""

    def network(image: NDArray[np.uint8]) -> dict[str, NDArray]:
        time.sleep(delay_s)
        return {CLASSES: image[..., 0] % len(NAMES), DEPTH: 1 + image[..., 1].astype(np.float32) / 4}

    return Session(make_metadata(size), "fake", "", network)


def make_frame(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.uint8]:
    """A smooth random picture: noise alone would put every pixel near a class border."""
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.uniform(0, 255, (1, 3, 6, 9)))
    smooth = F.interpolate(coarse, size=(size[1], size[0]), mode="bicubic", align_corners=True)
    return np.ascontiguousarray(smooth[0].permute(1, 2, 0).clamp(0, 255).numpy().astype(np.uint8))


PICTURES = [make_frame(i) for i in range(7)]


def make_source(
    count: int, live: bool = False, fps: float = 100.0, before: Callable[[int], object] = lambda i: None
) -> Source:
    """Frames of known pictures; `before` is called with the number of each, and at the end with `count`."""

    def frames() -> Frames:
        for i in range(count):
            before(i)
            yield Loaded(f"{i:03d}", PICTURES[i % 7], round(1e9 * i / fps), time.perf_counter() if live else None)
        before(count)

    return Source("made", frames, count, fps, live)


def threads_of_ours() -> list[str]:
    """Names of the threads that a stream has started and not ended."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("export-")]
