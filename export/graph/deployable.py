"""The deployed network: a camera frame in; class map, metres and instance offsets out."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from advmtl.tasks import TASKS, Task
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD


class Deployable(nn.Module):
    """Wrap a generator with its pre- and post-processing; which outputs there are depends on its tasks.

    `forward` takes uint8 `[1, H, W, 3]`, RGB, and gives a dict of the tasks' outputs by name, in the order of `tasks`:
    `classes`, uint8 `[1, H, W]`, `depth_m`, float32 `[1, H, W]` in metres, and so on (`TaskLearning.deploy`).
    """

    shift: Tensor
    factor: Tensor

    def __init__(self, generator: nn.Module, tasks: Mapping[str, Task] = TASKS) -> None:
        super().__init__()
        self.generator = generator
        self.learning = {name: task.learning for name, task in tasks.items()}
        scale = 255 * torch.tensor(IMAGENET_STD)
        self.register_buffer("shift", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("factor", (1 / scale).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        # Permuting an interleaved frame gives channels_last strides for free, the fast layout in eager mode.
        # The exported graph has no strides, and there they only leave as_strided nodes behind every pooling.
        planes = image.permute(0, 3, 1, 2)
        if torch.compiler.is_exporting():
            planes = planes.contiguous()
        maps = self.generator((planes.float() - self.shift) * self.factor)
        outputs: dict[str, Tensor] = {}
        for name, learning in self.learning.items():
            if name in maps:
                outputs |= learning.deploy(maps[name])
        return outputs
