"""Where frames come from: pictures, videos, bags, cameras, network streams, each a `Source` that is read from its
beginning.

from export.sources import open_source
for frame in open_source("drive.mp4").frames():  # Loaded, Skipped or Notice
    ...
"""

from export.sources.bag import bag_of
from export.sources.camera_settings import CameraSettings
from export.sources.frames import (
    DEFAULT_FPS,
    Distortion,
    Frames,
    Loaded,
    Lost,
    Notice,
    Skipped,
    Source,
    check_fps,
    looped,
)
from export.sources.opening import open_source
from export.sources.pictures import find_images
from export.sources.preparing import Preparing, crop_of
from export.sources.reading import Reading
from export.sources.video import INSTALL_PYAV, Film, import_av
