"""Drawn frames as PNG files in a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from export.sinks.inferred import Delivery, Sink
from export.sinks.names import new_paths
from export.sinks.setting import Setting
from preprocessing.ground import DRAWN, with_text, write_bytes

PNG_OPTIONS = [cv2.IMWRITE_PNG_COMPRESSION, 1]  # a third of the time of the default, a fifth larger


@contextmanager
def open_pictures(path: Path, _: Setting | None = None) -> Iterator[Sink]:
    """Write `<name>.png`, the drawn frame, into a folder, made where missing."""
    path.mkdir(parents=True, exist_ok=True)
    path_of = new_paths(path, ".png")

    def write(delivery: Delivery) -> None:
        picture = delivery.picture
        good, content = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), PNG_OPTIONS)
        if not good:
            raise OSError(f"{path}: OpenCV cannot encode a PNG of {picture.shape}")
        write_bytes(path_of(delivery.frame.name), with_text(content.tobytes(), DRAWN))

    yield write
