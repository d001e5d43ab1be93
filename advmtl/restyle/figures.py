"""What a look does, in figures: how near the pictures come to the recordings, how far the labels still agree."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from advmtl.data import Batch, FrameDataset, collate
from advmtl.derived import evenly, place_of
from advmtl.evaluation import PLAIN, Meters, maps_of
from advmtl.restyle.frechet import Features, set_distances
from advmtl.restyle.judge import Judge
from advmtl.restyle.sets import Sets
from advmtl.styles import Style
from advmtl.tasks import FrameRecord, Size
from preprocessing.ground import progress

MOST = 500
"""Pictures of a set that are measured, evenly over it."""
STREAM = 0x3E58
_BATCH = 8


def draws_of(record: FrameRecord, root: Any, seed: int) -> np.random.Generator:
    """What a look draws for a picture: a function of the seed and its place in the set."""
    return np.random.default_rng((STREAM, seed, zlib.crc32(place_of(record.image, root).as_posix().encode())))


@dataclass(frozen=True)
class Measure:
    """With what figures are made: pictures at (width, height) [px], on the device.

    Attributes:
        features: None: no distance of sets.
        judge: None: no agreement.
    """

    size: Size
    seed: int
    device: torch.device
    features: Features | None
    judge: Judge | None

    def figures(self, style: Style, sets: Sets) -> dict[str, Any]:
        """Distances of the sets and agreement with labels, before and after, JSON-able, with the numbers of pictures.

        Of a source without labels the agreement is that with what the network sees in the pictures as they were.
        """
        if self.features is None and self.judge is None:
            return {"size": list(self.size)}
        source, target = (evenly(records, MOST) for records in (sets.records, sets.target))
        tasks = {} if self.judge is None else sets.tasks
        labelled = any(task.has(one) for one in source for task in tasks.values())
        meters = [Meters(sets.spec, tasks), Meters(sets.spec, tasks)]
        vectors: list[list[Tensor]] = [[], []]
        frames = FrameDataset([one.changed(source=0) for one in source], [self.size], tasks, spec=sets.spec, fit="crop")
        with progress("Measure", len(source) + len(target)) as bar:
            for places in frames.batches(_BATCH):
                samples = [frames[place] for place in places]
                changed = [
                    replace(one, image=style.restyled(one.image, draws_of(one.record, sets.source.root, self.seed)))
                    for one in samples
                ]
                batches = [
                    collate(own, tasks, sets.spec).to(self.device) for own in (samples, changed)
                ]  # the latter has the same labels
                self._add(batches, meters, labelled)
                self._look(batches[0], vectors[0])
                self._look(batches[1], vectors[1])
                bar.advance(len(places))
            known = self._target(target, bar)
        found: dict[str, Any] = {"size": list(self.size), "source_pictures": len(source)}
        if self.features is not None and known:
            order = np.random.default_rng((STREAM, self.seed))
            before, after, like = (torch.cat(one).double().cpu().numpy() for one in (*vectors, known))
            distances = set_distances(before, after, like, self.features.name, order.permutation)
            found |= {"frechet": distances} if distances else {}
        if self.judge is not None:
            compared = "labels" if labelled else "the network's maps of the pictures as they were"
            own, new = (one.compute() for one in meters)
            found["agreement"] = {"with": compared, "before": own, "after": new, "kept": kept(own, new, self.judge)}
        return found

    def _target(self, records: Sequence[FrameRecord], bar: Any) -> list[Tensor]:
        vectors: list[Tensor] = []
        frames = FrameDataset(records, [self.size], {}, fit="crop")
        for places in frames.batches(_BATCH):
            if self.features is not None:
                self._look(frames.batch(places).to(self.device), vectors)
            bar.advance(len(places))
        return vectors

    def _look(self, batch: Batch, vectors: list[Tensor]) -> None:
        if self.features is not None:
            vectors.append(self.features.of(batch.image))

    @torch.no_grad()
    def _add(self, batches: Sequence[Batch], meters: Sequence[Meters], labelled: bool) -> None:
        if self.judge is None:
            return
        network, spec = self.judge.network, self.judge.config.spec
        told = [maps_of(network, one, PLAIN, network.tasks, spec) for one in batches]
        seen = [{name: maps[name] for name in self.judge.tasks} for maps in told]  # of a third task nothing is asked
        for outputs, batch, meter in zip(seen, batches, meters, strict=True):
            meter.update(outputs, batch if labelled else self._by_itself(batch, seen[0]))

    def _by_itself(self, batch: Batch, known: Any) -> Batch:
        """The batch with what the network saw as its classes."""
        assert self.judge is not None
        name = self.judge.classes
        if name is None:
            return batch
        shown = [True] * len(batch)
        return replace(
            batch,
            targets={**batch.targets, name: known[name].argmax(1)},
            present={**batch.present, name: shown},
        )


def kept(before: dict[str, Any], after: dict[str, Any], judge: Judge) -> float | None:
    """The share of the agreement of classes (mIoU) that is left; None where there was none."""
    if judge.classes is None or judge.classes not in before or judge.classes not in after:
        return None
    learning = judge.tasks[judge.classes].learning
    start = learning.headline(before[judge.classes])
    return learning.headline(after[judge.classes]) / start if start > 0 else None


def figure_lines(figures: dict[str, Any], judge: Judge | None) -> list[str]:
    """The figures in words."""
    lines = []
    if (distance := figures.get("frechet")) is not None:
        lines.append(
            f"Fréchet distance to {distance['reference_pictures']} pictures of the target, of {distance['pictures']} "
            f"each: before {distance['before']:.3g}, after {distance['after']:.3g}, other pictures of the target "
            f"{distance['target_halves']:.3g} ({distance['features']}; no FID)"
        )
    agreement = figures.get("agreement")
    if agreement is None or judge is None:
        return lines
    for name, task in judge.tasks.items():
        if name in agreement["before"] and name in agreement["after"]:
            before, after = (task.learning.line(agreement[when][name]) for when in ("before", "after"))
            lines.append(f"agreement with {agreement['with']}: before {before}, after {after}")
    if judge.classes in agreement["before"]:
        own = [agreement[when][judge.classes].get("pixel_accuracy") for when in ("before", "after")]
        if None not in own:
            lines.append(f"pixels that agree: before {own[0]:.1%}, after {own[1]:.1%}")
    return lines
