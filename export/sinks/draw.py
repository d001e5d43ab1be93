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


def _even(picture: Picture) -> Picture:
    """Pad to even sides: the video's chroma has half resolution."""
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), constant_values=BACKGROUND)


class Painter:
    """Draws the frames of one model; legends are drawn once. All its pictures have one size."""

    def __init__(self, metadata: Metadata, tasks: Mapping[str, Task] = TASKS) -> None:
        self.metadata, self.spec = metadata, spec_of(metadata)
        self.tasks = tasks_of(metadata.outputs, tasks)
        self.factor = max(1, round(PANEL_WIDTH / metadata.size[0]))
        width = self.factor * metadata.size[0]
        strips = [task.arrays.footer(self.spec, width) for task in self.tasks.values()]
        height = max(len(strip) for strip in strips)
        self.footer = np.hstack(
            [np.pad(strip, ((0, height - len(strip)), (0, 0), (0, 0)), constant_values=BACKGROUND) for strip in strips]
        )

    def paint(self, image: Picture, result: Result) -> Picture:
        """Draw `result` beside its frame at network size, uint8 `[h, w, 3]` RGB, with the legends below.

        Of a padded frame both are what shows it; what stands beside it is drawn empty.
        """
        framing, result = result.framing, complete(result, self.metadata, self.tasks)
        if framing is not None and not framing.plain:
            whole = np.full((framing.size[1], framing.size[0], 3), BACKGROUND, np.uint8)
            whole[framing.shown] = image
            image, result = whole, uncropped(result)
        outputs = result.outputs
        row = np.hstack([task.arrays.paint(image, outputs, self.spec) for task in self.tasks.values()])
        if self.factor > 1:
            size = (self.factor * row.shape[1], self.factor * row.shape[0])
            row = np.asarray(cv2.resize(row, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
        return _even(np.vstack([row, self.footer]))
