"""Pixels of some classes of one labelled frame pasted into another: ClassMix (Olsson et al. 2021)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advmtl.config import ClassMixConfig
from advmtl.data.frames import Arrays
from advmtl.data.rare_frames import class_shares, frames_showing
from advmtl.tasks import FrameRecord, Task, teller
from preprocessing.ground import IGNORE, sky_classes

STREAM = 0xC1A55  # draws apart from those of the frame's own window and colours


@dataclass(frozen=True, eq=False)
class ClassMix:
    """What is pasted.

    Attributes:
        task: whose label is the map of classes.
        probability: of a labelled frame to be mixed.
        classes: ids that are pasted, ascending; None: half of those of the other frame, drawn, the sky not among them.
        frames: for each class that may be drawn, the numbers of the frames that show it; of None, all labelled frames.
        labelled: whether a frame has the map of classes, bool [frames].
        sky: its classes, which are behind everything and never pasted.
    """

    task: str
    probability: float
    classes: NDArray[np.int64] | None
    frames: Mapping[int | None, NDArray[np.int64]]
    labelled: NDArray[np.bool_]
    sky: tuple[int, ...] = ()

    def partner(self, rng: np.random.Generator, own: int) -> tuple[int, int | None] | None:
        """The number of another frame, and the class that it was drawn for; None where this one is left as it is.

        The same number of draws whatever comes out.
        """
        mixed, which, place = rng.random(3)
        if mixed >= self.probability or not self.labelled[own] or not self.frames:
            return None
        drawn = list(self.frames)[int(which * len(self.frames))]
        others = self.frames[drawn]
        others = others[others != own]
        return (int(others[int(place * len(others))]), drawn) if len(others) else None

    def chosen(self, rng: np.random.Generator, classes: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which pixels of the other frame's map [H,W] are of the classes that are pasted."""
        if self.classes is not None:
            return np.isin(classes, self.classes)
        there = np.unique(classes[(classes != IGNORE) & ~np.isin(classes, self.sky)])
        half = rng.permutation(there)[: (len(there) + 1) // 2]
        return np.isin(classes, half)

    def paste(
        self,
        own: Arrays,
        other: Arrays,
        rng: np.random.Generator,
        records: tuple[FrameRecord, FrameRecord],
        tasks: Mapping[str, Task],
    ) -> Arrays:
        """The chosen pixels of the other frame over the own one, of one size; `records`: of both.

        Where the distance of both is known, only a nearer pixel is pasted. A label that the own frame has and the
        other one lacks is unknown at what is pasted; one that the own frame lacks stays lacking.
        """
        mine, theirs = ({name for name, task in tasks.items() if task.has(record)} for record in records)
        mask = self.chosen(rng, other.labels[self.task])
        distance = teller(tasks, "distance")
        if distance in mine & theirs:
            near, far = other.labels[distance], own.labels[distance]
            mask &= ~((near > 0) & (far > 0) & (near >= far))
        labels = dict(own.labels)
        for name in mine:
            arrays, height_width = tasks[name].arrays, mask.shape
            pasted = other.labels[name] if name in theirs else arrays.blank((height_width[1], height_width[0]))
            labels[name] = arrays.paste(own.labels[name], pasted, mask)
        return Arrays(np.where(mask[..., None], other.image, own.image), labels)


def class_mix(
    settings: ClassMixConfig,
    task: str,
    names: Sequence[str],
    pixels: NDArray[np.int64],
    sky: tuple[int, ...] | None = None,
) -> ClassMix:
    """What a configuration asks for, of the pixels by frame and class [frames,K]; `sky`: None: by name."""
    labelled, sky = pixels.sum(1) > 0, sky_classes(names) if sky is None else sky
    if settings.classes == "half":
        every = np.flatnonzero(labelled)
        return ClassMix(task, settings.probability, None, {None: every} if len(every) else {}, labelled, sky)
    shares = class_shares(pixels)
    named = (
        settings.classes
        if settings.classes != "rare"
        else [name for c, name in enumerate(names) if c not in sky and shares[c] < settings.rare_below]
    )
    rare = [c for c, name in enumerate(names) if name in named]
    showing = frames_showing(pixels, 0)
    frames: dict[int | None, NDArray[np.int64]] = {c: showing[c] for c in rare if len(showing[c])}
    return ClassMix(task, settings.probability, np.array(rare, dtype=np.int64), frames, labelled, sky)
