"""Where the results of a stream go: a table of kinds of files, and all of them opened and closed together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from export.sinks.arrays import open_arrays
from export.sinks.bag import open_bag_sink
from export.sinks.clouds import open_cloud, open_clouds
from export.sinks.depth_video import open_depth_video
from export.sinks.draw import Painter
from export.sinks.film import open_film
from export.sinks.inferred import Delivery, Inferred, OnFrame, Record, Sink, completed
from export.sinks.log import open_frame_log
from export.sinks.maps import open_maps
from export.sinks.pictures import open_pictures
from export.sinks.rerun_file import open_rerun
from export.sinks.setting import MapSize, Setting
from export.sinks.window import Window
from preprocessing.ground import InputError

OpenSink = Callable[[Path, Setting], AbstractContextManager[Sink]]

SINKS: dict[str, OpenSink] = {
    "": open_pictures,
    ".mp4": open_film,
    ".mkv": open_film,
    ".mcap": open_bag_sink,
    ".ply": open_cloud,
    ".rrd": open_rerun,
}
"""By the ending of `--out`; the empty one is a folder."""


def sink_of(out: Path) -> OpenSink:
    """What writes a path of this name. Raises: InputError where nothing does."""
    ending = out.suffix.lower()
    if ending not in SINKS or (not ending and out.is_file()):
        known = ", ".join(one for one in SINKS if one)
        raise InputError(f"{out}: cannot write this; give a name ending in {known}, or a folder")
    return SINKS[ending]


@dataclass(frozen=True)
class Outputs:
    """Where the results of a stream go; nothing by default.

    out: a file of a kind in `SINKS`, or a folder for PNG files, or several of them. fps: a constant rate of films, 0 =
    the times of the source. arrays: folder for one `.npz` a frame (see `open_arrays`). log: file for a line of JSON a
    frame. show: a live window. raw: folder for the maps of each frame as PNG (see `open_maps`); raw_size: whether these
    and the depth video have the network's size or the frame's. depth_video: file for depth (see `open_depth_video`).
    clouds: folder for points (see `open_clouds`). codec: of films, `auto` or of `CODECS`.
    """

    out: Path | Sequence[Path] | None = None
    fps: float = 0.0
    arrays: Path | None = None
    log: Path | None = None
    show: bool = False
    raw: Path | None = None
    raw_size: MapSize = "network"
    depth_video: Path | None = None
    clouds: Path | None = None
    codec: str = "auto"

    @property
    def outs(self) -> tuple[Path, ...]:
        """All paths of `out`."""
        if self.out is None:
            return ()
        return (self.out,) if isinstance(self.out, str | Path) else tuple(self.out)

    @property
    def paths(self) -> list[Path]:
        """All that is written, the log last."""
        others = (self.raw, self.depth_video, self.clouds, self.arrays, self.log)
        return [*self.outs, *(path for path in others if path is not None)]


@contextmanager
def open_outputs(
    outputs: Outputs, setting: Setting, stop: Callable[[], None]
) -> Iterator[tuple[OnFrame | None, Record | None]]:
    """Open all requested outputs; yields the consumer of frames (or None) and the consumer of their times.

    `stop` is called when the user closes the window. Raises: InputError for what cannot be written or shown.
    """
    kinds = [(sink_of(path), path) for path in outputs.outs]
    with ExitStack() as stack:
        sinks: list[Sink] = []
        if outputs.show:
            window = Window()
            stack.callback(window.close)
            sinks.append(_shown(window, stop))
        record = stack.enter_context(open_frame_log(outputs.log))
        maps: list[tuple[OpenSink, Path | None]] = [
            (open_arrays, outputs.arrays),
            (open_maps, outputs.raw),
            (open_clouds, outputs.clouds),
            (open_depth_video, outputs.depth_video),
        ]
        # Files of the whole stream last, so that they are closed first: an incomplete one is reported with all else
        # in place.
        for opened, path in (*maps, *kinds):
            if path is not None:
                sinks.append(stack.enter_context(opened(path, setting)))
        yield (_shared(sinks, setting) if sinks else None), record


def _shared(sinks: list[Sink], setting: Setting) -> OnFrame:
    """Deliver every frame to all sinks, with what its tasks compute of the outputs (offsets become instances)."""

    @cache
    def painter() -> Painter:
        return Painter(setting.metadata, setting.tasks)

    def take(frame: Inferred) -> None:
        delivery = Delivery(completed(frame, setting.metadata, setting.tasks), painter)
        for sink in sinks:
            sink(delivery)

    return take


def _shown(window: Window, stop: Callable[[], None]) -> Sink:
    def show(delivery: Delivery) -> None:
        if not window.show(delivery.picture):
            stop()

    return show
