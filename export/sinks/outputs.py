"""Where the results of a stream go: a table of kinds of files, and all of them opened and closed together."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from export.sinks.arrays import open_arrays
from export.sinks.draw import Painter
from export.sinks.film import open_film
from export.sinks.inferred import Delivery, Inferred, OnFrame, Record, Sink, completed
from export.sinks.log import open_frame_log
from export.sinks.pictures import open_pictures
from export.sinks.setting import Setting
from export.sinks.window import Window
from preprocessing.ground import InputError

OpenSink = Callable[[Path, Setting], AbstractContextManager[Sink]]

SINKS: dict[str, OpenSink] = {"": open_pictures, ".mp4": open_film, ".mkv": open_film}
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

    out: a file of a kind in `SINKS`, or a folder for PNG files. fps: rate of a film, 0 = that of the source. arrays:
    folder for one `.npz` a frame (see `open_arrays`). log: file for a line of JSON a frame. show: a live window.
    """

    out: Path | None = None
    fps: float = 0.0
    arrays: Path | None = None
    log: Path | None = None
    show: bool = False


@contextmanager
def open_outputs(
    outputs: Outputs, setting: Setting, stop: Callable[[], None]
) -> Iterator[tuple[OnFrame | None, Record | None]]:
    """Open all requested outputs; yields the consumer of frames (or None) and the consumer of their times.

    `stop` is called when the user closes the window. Raises: InputError for what cannot be written or shown.
    """
    with ExitStack() as stack:
        sinks: list[Sink] = []
        kind = None if outputs.out is None else sink_of(outputs.out)
        if outputs.show:
            window = Window()
            stack.callback(window.close)
            sinks.append(_shown(window, stop))
        record = stack.enter_context(open_frame_log(outputs.log))
        if outputs.arrays is not None:
            sinks.append(stack.enter_context(open_arrays(outputs.arrays, setting)))
        if kind is not None and outputs.out is not None:
            # Last, so that it is closed first: an incomplete video is reported with all else in place.
            sinks.append(stack.enter_context(kind(outputs.out, setting)))
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
