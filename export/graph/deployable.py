"""The deployed network: a camera frame in; class map, metres and instance offsets out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from advmtl.tasks import TASKS, Task, TaskSpec
from preprocessing.ground import IMAGENET_MEAN, IMAGENET_STD


class Finish:
    """What is left to do of a generator's maps: metres of the frame's lens, and none of the sky."""

    def __init__(self, tasks: Mapping[str, Task], spec: TaskSpec, sky: Sequence[int], factor: float = 1.0) -> None:
        """sky: the classes that have no distance. factor: of depth at this size (`Metadata.size_factor`)."""
        # Metres stay within the range behind any lens, also those of a network that learnt for one lens alone.
        self.spec = replace(spec, canonical_fx_px=spec.canonical_fx_px or 1.0)
        self.factor = factor
        self.learning = {name: task.learning for name, task in tasks.items()}
        self.endless = {one.name for task in tasks.values() for one in task.arrays.outputs if one.endless}
        self.classes = next((one.arg_max for one in self.learning.values() if one.arg_max is not None), None)
        self.sky = tuple(sky)

    def measured(self, name: str, output: Tensor, zoom: Tensor | float) -> dict[str, Tensor]:
        """The deployed outputs of a task's map, of a lens `zoom` times as long as the canonical one."""
        learning = self.learning[name]
        if learning.tells == "distance" and self.factor != 1:
            zoom = zoom * self.factor
        return learning.deploy(learning.as_measured(output, zoom, (1.0, 1.0), self.spec))

    def without_sky(self, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
        """The same with +Inf, beyond range (ROS REP 118), where the class is the sky."""
        if self.classes not in outputs or not self.sky:
            return outputs
        classes = outputs[self.classes].float()  # bytes are compared neither by ONNX Runtime nor by TensorRT
        is_sky = (
            torch.stack([classes == one for one in self.sky]).any(0) if len(self.sky) > 1 else classes == self.sky[0]
        )
        return {
            name: torch.where(is_sky, torch.inf, one) if name in self.endless else one for name, one in outputs.items()
        }


class Deployable(nn.Module):
    """Wrap a generator with its pre- and post-processing; which outputs there are depends on its tasks.

    `forward` takes uint8 `[1, H, W, 3]`, RGB, and gives a dict of the tasks' outputs by name, in the order of `tasks`:
    `classes`, uint8 `[1, H, W]`, `depth_m`, float32 `[1, H, W]` in metres, and so on (`TaskLearning.deploy`). It also
    takes the ratio of the lens to the canonical one, float32 [1], `zoom` where it is not given. N frames at a time
    have N ratios, and nothing in common.
    """

    shift: Tensor
    factor: Tensor

    def __init__(
        self,
        generator: nn.Module,
        tasks: Mapping[str, Task] = TASKS,
        zoom: float = 1.0,
        sky: Sequence[int] = (),
        size_factor: float = 1.0,
    ) -> None:
        """sky: classes whose depth is +Inf. size_factor: of depth at the size that it will be shown."""
        super().__init__()
        self.generator = generator
        self.finish, self.zoom = Finish(tasks, getattr(generator, "spec", TaskSpec()), sky, size_factor), zoom
        scale = 255 * torch.tensor(IMAGENET_STD)
        self.register_buffer("shift", 255 * torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("factor", (1 / scale).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor, zoom: Tensor | None = None) -> dict[str, Tensor]:
        # Permuting an interleaved frame gives channels_last strides for free, the fast layout in eager mode.
        # The exported graph has no strides, and there they only leave as_strided nodes behind every pooling.
        planes = image.permute(0, 3, 1, 2)
        if torch.compiler.is_exporting():
            planes = planes.contiguous()
        if zoom is not None and zoom.numel() > 1:
            zoom = zoom.reshape(-1, 1, 1, 1)
        maps = self.generator((planes.float() - self.shift) * self.factor)
        outputs: dict[str, Tensor] = {}
        for name in self.finish.learning:
            if name in maps:
                outputs |= self.finish.measured(name, maps[name], self.zoom if zoom is None else zoom)
        return self.finish.without_sky(outputs)
