"""A source by what its user writes: a path, a bag's topic, a camera, a URL, a pipeline."""

from collections.abc import Sequence
from pathlib import Path

from export.sources.bag import PREFIX, open_bag_topic, split_topic
from export.sources.capture import open_camera, open_pipeline, open_url, open_video
from export.sources.frames import Source
from export.sources.pictures import open_folder, open_pictures
from preprocessing.ground import PICTURE_KINDS, InputError
from preprocessing.sets import is_bag


def open_source(
    text: str | Path, reconnect_s: float = 0.0, without: Sequence[Path] = (), topic: str | None = None
) -> Source:
    """Open a folder, an image, a video file, a ROS bag, a camera (`0` or `/dev/video0`), a URL or a GStreamer pipeline.

    A pipeline is recognised by its ` ! ` and ends in `appsink`. reconnect_s: how long a lost live source is tried again
    before the stream ends [s]. without: folders whose pictures are none of the source's, as those of results.
    topic: of a bag, which may also be written `bag:PATH:/topic`; None = its only one of pictures.
    Raises: InputError, one line, where there is nothing to read, it cannot be opened, or this OpenCV lacks what it
    needs.
    """
    text = str(text)
    path = Path(text).expanduser()
    if text.startswith(PREFIX) and not path.exists():
        return open_bag_topic(*split_topic(text, topic))
    if " ! " not in text and "://" not in text and path.exists() and is_bag(path):
        return open_bag_topic(path, topic)
    if topic is not None:
        raise InputError(f"{text}: --topic {topic} is for ROS bags, and this is none")
    if " ! " in text:
        return open_pipeline(text, reconnect_s)
    if text.isdigit() or (text.startswith("/dev/video") and text[10:].isdigit()):
        return open_camera(text, reconnect_s)
    if "://" in text:
        return open_url(text, reconnect_s)
    if path.is_dir():
        return open_folder(path, text, without)
    if not path.exists():
        raise InputError(
            f"{text}: no such source; give a folder, an image, a video, a bag, a camera index, a URL or a GStreamer pipeline"
        )
    if path.suffix.lower() in PICTURE_KINDS:
        return open_pictures([(path.stem, path)], text)
    return open_video(path)
