"""Panels of a run: fixed validation frames, drawn after every evaluation, and the GIF of how they changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.data import FrameSet, Sample, collate
from advmtl.drawing.visualize import evolution_gif, result_panel
from advmtl.evaluation import evaluating, maps_of
from advmtl.tasks import RGB, TASKS, Array, Task, TaskSpec, caption, stack
from preprocessing.ground import read_image, write_png


class Evolution:
    """Fixed frames, evenly spaced over the validation sources, redrawn as training goes on.

    `panels/epoch_NNN.png` holds all of them at that epoch; `panels/<frame>.png` each one at the end.
    """

    def __init__(self, folder: Path, datasets: Sequence[FrameSet], config: Config) -> None:
        self._folder, self._spec, self._tasks = folder, config.spec, config.task_table
        wanted, sources = config.train.panels, max(1, len(datasets))
        self._samples: list[Sample] = []
        for number, dataset in enumerate(datasets):
            count = min(wanted // sources + (number < wanted % sources), len(dataset))
            chosen = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
            self._samples += [dataset[index] for index in chosen]

    def _panels(self, generator: nn.Module, device: torch.device) -> list[RGB]:
        pictures = []
        with evaluating(generator):
            for sample in self._samples:
                batch = collate([sample], self._tasks, self._spec).to(device)
                outputs = maps_of(generator, batch, tasks=self._tasks, spec=self._spec)
                pictures.append(sample_panel(sample, outputs, self._spec, self._tasks))
        return pictures

    def draw(self, generator: nn.Module, epoch: int, device: torch.device) -> RGB | None:
        """Draw the frames now, write `panels/epoch_NNN.png`, and return it; None without frames."""
        if not self._samples:
            return None
        picture = caption(stack(self._panels(generator, device)), f"epoch {epoch}")
        write_png(self._folder / f"epoch_{epoch:04d}.png", picture)
        return picture

    def finish(self, generator: nn.Module, path: Path, device: torch.device) -> None:
        """Write each frame's own panel, and the GIF of all epochs drawn so far (also before a resume)."""
        for sample, picture in zip(self._samples, self._panels(generator, device), strict=True):
            write_png(self._folder / f"{sample.record.name.replace('/', '_')}.png", picture)
        epochs = [read_image(file) for file in sorted(self._folder.glob("epoch_*.png"))]
        if epochs:
            evolution_gif(epochs, path)


def sample_panel(
    sample: Sample, outputs: Mapping[str, Tensor], spec: TaskSpec, tasks: Mapping[str, Task] = TASKS
) -> RGB:
    """A sample's `result_panel`, of the generator's maps by task for a batch of this sample alone, on any device."""
    deployed: dict[str, Array] = {}
    for name, task in tasks.items():
        if name in outputs:
            maps = task.learning.deploy(outputs[name].detach())
            deployed |= {output: values[0].cpu().numpy() for output, values in maps.items()}
    known = sample.fault is None
    truth = {name: target for name, target in sample.targets.items() if known and tasks[name].has(sample.record)}
    return result_panel(sample.image, deployed, truth, spec, tasks)
