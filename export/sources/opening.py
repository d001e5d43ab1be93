"""A source by what its user writes: a path, a bag's topic, a camera, a URL, a pipeline."""

from collections.abc import Sequence
from pathlib import Path

from export.sources.bag import bag_of, open_bag_topic, split_topic
from export.sources.camera_settings import CameraSettings
from export.sources.capture import open_camera, open_pipe, open_pipeline, open_url, open_video
from export.sources.frames import Source
from export.sources.pictures import open_folder, open_pictures
from export.sources.video import Film, by_opencv, import_av, is_film, open_film
from preprocessing.ground import PICTURE_KINDS, InputError

LIVE = ("auto", "yes", "no")


def open_source(
    text: str | Path,
    reconnect_s: float = 0.0,
    without: Sequence[Path] = (),
    *,
    camera: CameraSettings | None = None,
    live: str = "auto",
    topic: str | None = None,
    film: Film | None = None,
) -> Source:
    """Open a folder, an image, a video file, a ROS bag, a camera (`0`, `/dev/video0` or a link to it), a pipe, a URL
    or a GStreamer pipeline.

    A pipeline is recognised by its ` ! ` and ends in `appsink`. reconnect_s: how long a lost live source is tried again
    before the stream ends [s]. without: folders whose pictures are none of the source's, as those of results. camera:
    what is asked of a camera. live: whether a URL or a pipe is, where the scheme or what it announces does not say.
    topic: of a bag, which may also be written `bag:PATH:/topic`; None = its only one of pictures.
    film: how a video file is read; without PyAV OpenCV reads it.
    Raises: InputError, one line, where there is nothing to read, it cannot be opened, or this OpenCV lacks what it
    needs.
    """
    if live not in LIVE:
        raise InputError(f"--live {live}: choose {', '.join(LIVE)}")
    text, said = str(text), {"yes": True, "no": False}.get(live)
    device = _camera_at(text)
    if camera is not None and camera.given and device is None:
        raise InputError(f"{', '.join(camera.given)}: set a camera, and {text} is none; leave out, or give /dev/videoN")
    if device is not None:
        return open_camera(device, reconnect_s, camera)
    path = Path(text).expanduser()
    if " ! " not in text and "://" not in text and (bag := bag_of(text)) is not None:
        return open_bag_topic(bag, topic if bag == path else split_topic(text, topic)[1])
    if topic is not None:
        raise InputError(f"{text}: --topic {topic} is for ROS bags, and this is none")
    if " ! " in text:
        return open_pipeline(text, reconnect_s)
    if is_film(text) and said is not True and import_av() is not None:
        return open_film(text, film)
    if "://" in text:
        return open_url(text, reconnect_s, said)
    if path.is_fifo():
        return open_pipe(path, said is not False)
    if path.is_dir():
        return open_folder(path, text, without)
    if not path.exists():
        raise InputError(
            f"{text}: no such source; give a folder, an image, a video, a bag, a camera index, a URL or a GStreamer"
            " pipeline"
        )
    if path.suffix.lower() in PICTURE_KINDS:
        return open_pictures([(path.stem, path)], text)
    return open_film(str(path), film) if import_av() is not None else by_opencv(open_video(path))


def _camera_at(text: str) -> str | None:
    """The index or the `/dev/videoN` of a camera, also behind a link as in /dev/v4l/by-id; else None.

    Raises: InputError for a device that is no camera.
    """
    if text.isdigit():
        return text
    if "://" in text or " ! " in text:
        return None
    path = Path(text).expanduser()
    device = str(path.resolve()) if path.is_symlink() else text
    if device.startswith("/dev/video") and device[len("/dev/video") :].isdigit():
        return device
    if path.is_char_device():
        raise InputError(f"{text}: is a device, and no camera (/dev/videoN); give one of those")
    return None
