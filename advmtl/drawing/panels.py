"""Pictures of a run: fixed validation frames, drawn after every measurement, and the GIF of how they changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from advmtl.config import Config
from advmtl.data.loading import Batch, FrameDataset, collate
from advmtl.drawing.visualize import batch_panels, caption, evolution_gif, stack
from advmtl.evaluation.evaluate import evaluating
from preprocessing.ground import LABEL_SETS, read_image, write_png


class Evolution:
    """Fixed frames, evenly spaced over the validation sources, redrawn as training goes on.

    `panels/epoch_NNN.png` holds all of them at that epoch; `panels/<frame>.png` each one at the end.
    """

    def __init__(self, folder: Path, datasets: Sequence[FrameDataset], config: Config) -> None:
        self._folder, self._config = folder, config
        wanted, sources = config.train.panels, max(1, len(datasets))
        self._batches: list[Batch] = []
        for number, dataset in enumerate(datasets):
            count = min(wanted // sources + (number < wanted % sources), len(dataset))
            chosen = np.linspace(0, len(dataset) - 1, count).astype(int).tolist()
            self._batches += [collate([dataset[index]]) for index in chosen]

    def _panels(self, generator: nn.Module, device: torch.device) -> list[NDArray[np.uint8]]:
        labels = LABEL_SETS[self._config.data.classes]
        range_m = (self._config.depth.min_m, self._config.depth.max_m)
        pictures = []
        with evaluating(generator):
            for batch in self._batches:
                outputs: dict[str, Tensor] = generator(batch.image.to(device))
                pictures += batch_panels(batch, outputs, labels, range_m)
        return pictures

    def draw(self, generator: nn.Module, epoch: int, device: torch.device) -> NDArray[np.uint8] | None:
        """Draw the frames now, write `panels/epoch_NNN.png`, and return it; None without frames."""
        if not self._batches:
            return None
        picture = caption(stack(self._panels(generator, device)), f"epoch {epoch}")
        write_png(self._folder / f"epoch_{epoch:04d}.png", picture)
        return picture

    def finish(self, generator: nn.Module, path: Path, device: torch.device) -> None:
        """Write each frame's own panel, and the GIF of all epochs drawn so far (also before a resume)."""
        for batch, picture in zip(self._batches, self._panels(generator, device), strict=True):
            write_png(self._folder / f"{batch.names[0].replace('/', '_')}.png", picture)
        epochs: list[Any] = [read_image(file) for file in sorted(self._folder.glob("epoch_*.png"))]
        if epochs:
            evolution_gif(epochs, path)
