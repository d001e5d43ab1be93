"""Weather on frames as a network sees them: what a scene is made of, and the draws of training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from advmtl.config import WeatherConfig, whole_steps
from advmtl.data.frames import Arrays
from advmtl.tasks import Array, Size, Task, TaskSpec, Window
from preprocessing.ground import Lens
from preprocessing.weather import KINDS, Kind, Scene, lacking, weathered

STREAM = 0x3EA7  # draws apart from those of the frame's window and colours
_PER_WIDTH = 1.1  # focal length over width where nobody tells it, Cityscapes'


def _teller(tasks: Mapping[str, Task], what: Literal["classes", "distance"]) -> str | None:
    from advmtl.tasks import teller  # comes with torch, which a look at frames does without

    return teller(tasks, what)


def scene_of(
    arrays: Arrays, lens: Lens, tasks: Mapping[str, Task], spec: TaskSpec, *, metres: float = 1.0, guess: bool = False
) -> Scene:
    """A frame as weather sees it. `metres`: what its stored depth is multiplied by to be that behind `lens`."""
    classes, distance = _teller(tasks, "classes"), _teller(tasks, "distance")
    depth: Array | None = arrays.labels.get(distance) if distance else None
    if depth is not None:
        depth = depth.reshape(arrays.image.shape[:2]).astype(np.float32) * np.float32(metres)
        depth = depth if (depth > 0).any() else None
    known = arrays.labels.get(classes) if classes else None
    names = tasks[classes].class_names(spec) if classes else ()
    return Scene(arrays.image, lens, depth, known, names, guess=guess, told_sky=spec.labels.sky if classes else ())


def lens_of(zoom: float, size: Size, spec: TaskSpec, middle: tuple[float, float] | None = None) -> Lens:
    """The lens of a picture in which things are `zoom` times as large as behind the canonical one, or, where lenses are
    ignored, as behind Cityscapes'; `middle`: its principal point [px], the picture's own middle where it is None.
    """
    canonical = spec.canonical_fx_px or _PER_WIDTH * spec.width_px
    x, y = middle or ((size[0] - 1) / 2, (size[1] - 1) / 2)
    return Lens(canonical * zoom, canonical * zoom, x, y, size)


def weather_epochs(weather: WeatherConfig | None, steps: int, batches: int) -> int | None:
    """How many of a training's first epochs have weather; None: all. An epoch has `batches` of the `steps`."""
    until = None if weather is None else whole_steps(weather, steps, "data.augment.weather.").until
    return None if until is None else max(1, round(until / batches))


@dataclass(frozen=True)
class TrainWeather:
    """What a configuration asks for, drawn for each frame of training.

    Attributes:
        table: of kinds.
        epochs: the first so many epochs have it; None: all.
    """

    settings: WeatherConfig
    table: Mapping[str, Kind] = field(default_factory=lambda: KINDS)
    epochs: int | None = None

    def falls_in(self, epoch: int) -> bool:
        """Whether pictures of an epoch are changed at all."""
        return self.epochs is None or epoch < self.epochs

    def changed(
        self,
        shown: Arrays,
        zoom: float,
        window: Window,
        frame: Size,
        rng: np.random.Generator,
        tasks: Mapping[str, Task],
        spec: TaskSpec,
    ) -> Arrays:
        """The window of a frame under weather, or as it is.

        Args:
            shown: labels are those behind the canonical lens already.
            zoom: how many times as large as behind that lens things are shown: metres are so many times those labels.
            window: what is shown of the frame, whose principal point is taken to be its middle.
            frame: its (width, height) [px].
        Returns: the same labels; without depth where the street is hidden, if the settings say so.
        """
        happens, which = rng.random(2)
        if happens >= self.settings.chance:
            return shown
        linear, offset = window.matrix[:, :2], window.matrix[:, 2]
        middle = np.linalg.solve(linear, np.array([(frame[0] - 1) / 2, (frame[1] - 1) / 2]) - offset)
        lens = lens_of(zoom, window.crop, spec, (float(middle[0]), float(middle[1])))
        scene = scene_of(shown, lens, tasks, spec, metres=zoom, guess=self.settings.guess_depth)
        able = [name for name in self.settings.kinds if not lacking(scene, name, self.table)]
        if not able:
            return shown
        name = able[int(which * len(able))]
        given = self.table[name].drawn(self.settings.kinds[name], rng)
        done = weathered(scene, [(name, given)], rng, self.table)
        labels = dict(shown.labels)
        distance = _teller(tasks, "distance")
        if self.settings.hidden == "ignore" and distance in labels and done.hidden.any():
            arrays = tasks[distance].arrays
            labels[distance] = arrays.paste(labels[distance], arrays.blank(window.crop), done.hidden)
        return replace(shown, image=done.image, labels=labels)
