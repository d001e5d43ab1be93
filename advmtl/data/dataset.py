"""The data set: frame number to sample; read or cached, augmented, with the targets of the configured tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from torch.utils.data import Dataset

from advmtl.config import Augment
from advmtl.data.augment import Wanted, augment, behind_lens, draw_geometry, look_for, warp, window_of
from advmtl.data.batch import Batch, Sample, collate
from advmtl.data.cache import FrameCache
from advmtl.data.class_mix import STREAM, ClassMix
from advmtl.data.frames import Arrays, BadFrame, Look, blank_frame, load_frame, zoom_of
from advmtl.data.restyle import STREAM as RESTYLE_STREAM
from advmtl.data.restyle import TrainRestyle
from advmtl.data.sampling import FrameKey
from advmtl.data.weather import STREAM as WEATHER_STREAM
from advmtl.data.weather import TrainWeather
from advmtl.tasks import FrameRecord, Size, Task, TaskSpec, Window
from preprocessing.ground import Fit, Framing, InputError
from preprocessing.sets import Strays

_SEEN, _TRIES = 0.0005, 5  # of a frame whose class is pasted into another: share of the window, windows drawn for it


@dataclass(frozen=True)
class TrainView:
    """How frames are presented in training: augmented by draws from (seed, key), and cropped."""

    crop: Size
    augment: Augment
    seed: int
    weather: TrainWeather | None = None
    restyle: TrainRestyle | None = None


class TaskFrames(Dataset[Sample]):
    """Frames that know which tasks their samples have targets of, and by which settings."""

    tasks: Mapping[str, Task]
    spec: TaskSpec

    def __len__(self) -> int:
        raise NotImplementedError

    def batches(self, count: int) -> list[list[int]]:
        """The frames in their order, `count` together."""
        return [list(range(start, min(start + count, len(self)))) for start in range(0, len(self), count)]


class FrameDataset(TaskFrames):
    """Frames by number, whole, or, with a `TrainView`, by `FrameKey`, augmented and with targets for training.

    Attributes:
        looks_for: of frames that are drawn for a class: the task whose map it is of, the share of the window that it
            shall have, and how many windows are drawn for it.
        mix: what is pasted from other frames.
    """

    def __init__(
        self,
        records: Sequence[FrameRecord],
        sizes: Sequence[Size],
        tasks: Mapping[str, Task],
        view: TrainView | None = None,
        *,
        spec: TaskSpec | None = None,
        cache_mb: float = 0,
        strict: bool = False,
        fit: Fit = "stretch",
    ) -> None:
        """`sizes`: network size of each source, by number. `tasks`: those that samples carry targets of; blank ones
        where a frame has no such label. `fit`: how pictures of another shape come to their size. `strict`: a bad file
        raises InputError. `looks`, where they are set: what was
        found in the files of each record; `strays`: label files that belong to none.
        """
        self.records, self.sizes, self.view, self.strict = list(records), list(sizes), view, strict
        self.tasks, self.spec = dict(tasks), spec or TaskSpec()
        self.bad_frames: list[BadFrame] = []
        self.looks: Sequence[Look] = []
        self.strays: Sequence[Strays] = []
        self.looks_for: tuple[str, float, int] | None = None
        self.mix: ClassMix | None = None
        self.fit: Fit = fit
        self._zooms: dict[int, float] = {}
        self._cache = FrameCache([self.sizes[record.source] for record in self.records], cache_mb, self.tasks)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, key: FrameKey | int) -> Sample:
        index = key if isinstance(key, int) else key[1]
        frame, fault = self._load(index)
        if self.view is not None:
            key = (0, index, 0) if isinstance(key, int) else key
            frame = self._viewed(frame, key, self.view, mixes=fault is None)
        targets = {
            name: self.tasks[name].arrays.target(label, self.spec, training=self.view is not None)
            for name, label in frame.labels.items()
        }
        return Sample(frame.image, targets, self.records[index], fault, zoom=frame.zoom)

    def batch(self, places: Sequence[int]) -> Batch:
        """Frames by number as one batch; all of one size."""
        return collate([self[place] for place in places], self.tasks, self.spec, training=self.view is not None)

    def _viewed(self, frame: Arrays, key: FrameKey, view: TrainView, *, mixes: bool) -> Arrays:
        drawn, wanted = key[:3], None
        if len(key) > 3 and self.looks_for is not None:
            task, share, tries = self.looks_for
            wanted = Wanted(task, key[3], share, tries)
        rng = np.random.default_rng((view.seed, *drawn))
        mix = partial(self._mixed, self.mix, view, drawn) if self.mix is not None and mixes else None
        restyle, weather = None, None
        if view.restyle is not None and mixes:
            restyle = partial(view.restyle.changed, rng=np.random.default_rng((RESTYLE_STREAM, view.seed, *drawn)))
        if view.weather is not None and view.weather.falls_in(key[0]) and mixes:
            size = frame.image.shape[1], frame.image.shape[0]
            weather = partial(self._weathered, view.weather, size, (WEATHER_STREAM, view.seed, *drawn))
        effects = {"mix": mix, "restyle": restyle, "weather": weather}
        return augment(frame, view.crop, rng, view.augment, self.tasks, wanted=wanted, spec=self.spec, **effects)

    def _weathered(
        self, weather: TrainWeather, size: Size, key: tuple[int, ...], shown: Arrays, zoom: float, window: Window
    ) -> Arrays:
        return weather.changed(shown, zoom, window, size, np.random.default_rng(key), self.tasks, self.spec)

    def _mixed(self, mix: ClassMix, view: TrainView, key: tuple[int, int, int], shown: Arrays) -> Arrays:
        """The window of a frame with what is pasted into it, by draws from (seed, key) apart from its own."""
        rng = np.random.default_rng((STREAM, view.seed, *key))
        found = mix.partner(rng, key[1])
        if found is None:
            return shown
        index, drawn_for = found
        other, fault = self._load(index)
        if fault is not None:
            return shown
        size = (other.image.shape[1], other.image.shape[0])
        geometry = draw_geometry(rng, size, view.crop, view.augment)
        if drawn_for is not None:
            wanted = Wanted(mix.task, drawn_for, _SEEN, _TRIES)
            geometry = look_for(wanted, other, geometry, view.crop, rng, view.augment, self.tasks)
        other = behind_lens(warp(other, window_of(view.crop, geometry), self.tasks), self.tasks, self.spec)
        return mix.paste(shown, other, rng, (self.records[key[1]], self.records[index]), self.tasks)

    def _zoom(self, index: int) -> float:
        """Of a frame that this process or another one has read; its picture's size is looked up once."""
        if index not in self._zooms:
            record = self.records[index]
            size = record.shape()[::-1] if self.spec.canonical_fx_px is not None else (1, 1)
            zoom = zoom_of(record, Framing.of(size, self.sizes[record.source], self.fit), self.spec)
            self._zooms[index] = 1.0 if zoom is None else zoom
        return self._zooms[index]

    def _load(self, index: int) -> tuple[Arrays, str | None]:
        cached, record = self._cache.get(index), self.records[index]
        size = self.sizes[record.source]
        try:
            if cached is not None:
                return replace(cached, zoom=self._zoom(index)), None
            frame = load_frame(record, size, self.tasks, self.spec, fit=self.fit)
        except InputError as error:
            if self.strict:
                raise
            return blank_frame(size, self.tasks), str(error)
        self._cache.put(index, frame)
        self._zooms[index] = frame.zoom
        return frame, None
