"""Where frames come from: pictures, videos, cameras, network streams, each a `Source` that is read from its beginning.

from export.sources import open_source
for frame in open_source("drive.mp4").frames():  # Loaded, Skipped or Notice
    ...
"""

from export.sources.frames import DEFAULT_FPS, Frames, Loaded, Notice, Skipped, Source, looped
from export.sources.opening import open_source
from export.sources.pictures import find_images
from export.sources.reading import Reading
