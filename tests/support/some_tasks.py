"""Networks of some of our tasks, with any number of classes."""

import numpy as np

from advmtl.networks.encoders import Encoder
from advmtl.networks.generator import Generator, build_generator
from advmtl.tasks import TASKS
from advmtl.tasks.spec import TaskSpec
from preprocessing.ground.labels import LabelSet


def spec_of(classes: int = 19, min_m: float = 1.0, max_m: float = 80.0, width_px: int = 512) -> TaskSpec:
    """Of so many nameless classes."""
    names = tuple(str(number) for number in range(classes))
    palette = np.random.default_rng(classes).integers(0, 256, (classes, 3)).astype(np.uint8)
    return TaskSpec("cityscapes19", (min_m, max_m), width_px, LabelSet("nameless", names, palette))


def generator_of(
    encoder: Encoder,
    task_channels: dict[str, int],
    channels: int | list[int] = 64,
    crp_stages: int | list[int] = 4,
    **spec: float,
) -> Generator:
    """The deployed network of these tasks; what "segmentation" has is the number of classes."""
    own = {name: TASKS[name] for name in task_channels}
    return build_generator(encoder, own, spec_of(task_channels.get("segmentation", 19), **spec), channels, crp_stages)  # type: ignore[arg-type]
