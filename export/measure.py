"""A model's file on labelled frames: the figures of `advmtl evaluate`, of what it gives where it is deployed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from advmtl.config import Config, Source, load_config
from advmtl.data import NamedLoader, val_loaders
from advmtl.evaluation import Manner
from advmtl.tasks import TASKS, Task, tasks_of
from export.graph import Metadata
from export.session import Session, fault_of, fit, spec_of, unpack
from preprocessing.ground import InputError, denormalize


class Deployed(nn.Module):
    """A session as a network: maps as a meter takes them, of deployed outputs, metres of each frame's own lens, brought
    to other sizes by nearest.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session, self.spec = session, spec_of(session.metadata)
        self.tasks = tasks_of(session.metadata.outputs, session.tasks)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        """Normalised images [N,3,H,W] of the file's size to maps of that size."""
        return self.maps_at(image, (image.shape[-2], image.shape[-1]))

    def maps_at(self, image: Tensor, size: tuple[int, int]) -> dict[str, Tensor]:
        """The same at `size` (height, width): classes and metres as `infer` fits them to a frame."""
        return self.maps_behind(image, size, None)

    def maps_behind(self, image: Tensor, size: tuple[int, int], zoom: float | Tensor | None) -> dict[str, Tensor]:
        """The same behind lenses `zoom` times as long as the one that depth was learnt for, a number or [N]; None: the
        file's own.
        """
        zooms = zoom.flatten().tolist() if isinstance(zoom, Tensor) else [zoom] * len(image)
        own = zooms if self.session.metadata.canonical_fx_px is not None else [None] * len(image)
        found = [self._frame(one, size, factor) for one, factor in zip(image, own, strict=True)]
        return {name: torch.cat([maps[name] for maps in found]) for name in self.tasks}

    def _frame(self, image: Tensor, size: tuple[int, int], zoom: float | None) -> dict[str, Tensor]:
        pixels = np.ascontiguousarray(denormalize(image.cpu().numpy()))
        result = unpack(self.session.infer(pixels[None], zoom))
        faulty = fault_of(result, self.session.metadata.sky) is not None
        outputs = fit(result, size[::-1], self.tasks).outputs
        deployed = {name: torch.from_numpy(np.where(faulty, 0, values)[None]) for name, values in outputs.items()}
        maps = {name: task.learning.from_deployed(deployed, self.spec).float() for name, task in self.tasks.items()}
        # So that the frame is left out by name, as one whose maps are not finite.
        return {name: torch.full_like(one, torch.nan) if faulty else one for name, one in maps.items()}


def file_config(metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> Config:
    """A configuration to measure a file with: its tasks, classes, depth range and size. Raises: InputError."""
    own, spec = tasks_of(metadata.outputs, tasks), spec_of(metadata)
    low, high = spec.depth_range_m
    config = load_config(
        {
            "name": metadata.configuration or "model",
            "tasks": {name: {"losses": {_a_loss(task): 1}} for name, task in own.items()},
            "data": {
                "classes": metadata.classes,
                "size": f"{metadata.size[0]}x{metadata.size[1]}",
                "fit": metadata.fit,
                "cache_mb": 0,
            },
            "depth": {
                "min_m": low,
                "max_m": high,
                "lens": "ignored" if metadata.canonical_fx_px is None else "canonical",
                "canonical_fx_px": metadata.canonical_fx_px,
            },
        },
        tables={} if tasks is TASKS else {"tasks": tasks},
    )
    return config.with_error(spec.depth_error)


def _a_loss(task: Task) -> str:
    return next(name for name, loss in task.learning.losses.items() if loss.function is not None)


def file_loaders(path: Path, config: Config, sources: Sequence[str] | None, manner: Manner) -> list[NamedLoader]:
    """The frames to measure a file on, at its size: `sources`, or those that the run in its folder was validated on.

    Raises: InputError where there are none, or for views that a file cannot show.
    """
    if manner.input is not None or not manner.one_view or manner.scales != (1.0,):
        raise InputError(
            f"{path}: a model's file has one input size and gives arg maxima and metres, which are not averaged; give "
            "the run folder, or leave flip, scales, window and input out"
        )
    if sources:
        chosen = [Source.parse(text) for text in sources]
    elif (path.parent / "config.yaml").is_file():
        chosen = list(load_config(path.parent / "config.yaml").data.val)
    else:
        raise InputError(f"{path}: no run lies beside it; name what to measure on with --data format:root[:split]")
    chosen = [source.model_copy(update={"size": config.data.size}) for source in chosen]
    return val_loaders(config, chosen, presentation=manner.presentation)
