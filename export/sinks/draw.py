"""Drawing a result: the frame under its classes, panels of the other tasks beside it, legends below."""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from advmtl.tasks import BACKGROUND, TASKS, Task, tasks_of
from export.graph import Metadata
from export.session import Result, complete, spec_of, uncropped

Picture = NDArray[np.uint8]

PANEL_WIDTH = 512  # smaller networks are drawn enlarged, by a whole factor, so that the text is readable


class Painter:
    """Draws the frames of one model; legends are drawn once. All its pictures have one size."""

    def __init__(self, metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> None:
        self.metadata, self.spec = metadata, spec_of(metadata)
        self.tasks = tasks_of(metadata.outputs, tasks)
        factor = max(1, round(PANEL_WIDTH / metadata.size[0]))
        self.panel = factor * metadata.size[0], factor * metadata.size[1]  # (width, height) [px]
        strips = [task.arrays.footer(self.spec, self.panel[0]) for task in self.tasks.values()]
        height, width = self.panel[1] + max(len(strip) for strip in strips), self.panel[0] * len(strips)
        # Even sides: a film's chroma has half resolution.
        self.empty = np.full((height + height % 2, width + width % 2, 3), BACKGROUND, np.uint8)
        for number, strip in enumerate(strips):
            left = number * self.panel[0]
            self.empty[self.panel[1] : self.panel[1] + len(strip), left : left + self.panel[0]] = strip

    def paint(self, image: Picture, result: Result) -> Picture:
        """Draw `result` beside its frame at network size, uint8 `[h, w, 3]` RGB, with the legends below.

        Of a padded frame both are what shows it; what stands beside it is drawn empty.
        """
        framing, result = result.framing, complete(result, self.metadata, self.tasks)
        if framing is not None and not framing.plain:
            whole = np.full((framing.size[1], framing.size[0], 3), BACKGROUND, np.uint8)
            whole[framing.shown] = image
            image, result = whole, uncropped(result)
        width, height = self.panel
        drawn = self.empty.copy()
        for number, task in enumerate(self.tasks.values()):
            painted = task.arrays.paint(image, result.outputs, self.spec)
            place = drawn[:height, number * width : (number + 1) * width]
            if painted.shape == place.shape:
                place[...] = painted
            else:
                cv2.resize(painted, self.panel, dst=place, interpolation=cv2.INTER_NEAREST)
        return drawn
