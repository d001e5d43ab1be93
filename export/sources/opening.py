"""A source by what its user writes: a path, a camera, a URL, a pipeline."""

from collections.abc import Sequence
from pathlib import Path

from export.sources.capture import open_camera, open_pipeline, open_url, open_video
from export.sources.frames import Source
from export.sources.pictures import open_folder, open_pictures
from preprocessing.ground import PICTURE_KINDS, InputError


def open_source(text: str | Path, reconnect_s: float = 0.0, without: Sequence[Path] = ()) -> Source:
    """Open a folder, an image, a video file, a camera (`0` or `/dev/video0`), a URL or a GStreamer pipeline.

    A pipeline is recognised by its ` ! ` and ends in `appsink`. reconnect_s: how long a lost live source is tried again
    before the stream ends [s]. without: folders whose pictures are none of the source's, as those of results.
    Raises: InputError, one line, where there is nothing to read, it cannot be opened, or this OpenCV lacks what it
    needs.
    """
    text = str(text)
    if " ! " in text:
        return open_pipeline(text, reconnect_s)
    if text.isdigit() or (text.startswith("/dev/video") and text[10:].isdigit()):
        return open_camera(text, reconnect_s)
    if "://" in text:
        return open_url(text, reconnect_s)
    path = Path(text).expanduser()
    if path.is_dir():
        return open_folder(path, text, without)
    if not path.exists():
        raise InputError(
            f"{text}: no such source; give a folder, an image, a video, a camera index, a URL or a GStreamer pipeline"
        )
    if path.suffix.lower() in PICTURE_KINDS:
        return open_pictures([(path.stem, path)], text)
    return open_video(path)
