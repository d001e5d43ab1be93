"""What a stream leaves behind: drawn frames, a window, raw arrays, a line of times for every frame."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from export.graph.metadata import Metadata
from export.session.session import add_instances
from export.stream.arrays import open_arrays
from export.stream.draw import Painter
from export.stream.frame_log import Inferred, Record, open_records
from export.stream.sinks import Write, open_sink
from export.stream.window import Window

OnFrame = Callable[[Inferred], None]


@dataclass(frozen=True)
class Outputs:
    """Where the results of a stream go; nothing by default.

    drawn: a `.mp4` or `.mkv` file or a folder for PNG files. fps: rate of the video, 0 = that of the source. arrays:
    folder for one `.npz` a frame (see `open_arrays`). records: file for a line of JSON a frame. show: a live window.
    """

    drawn: Path | None = None
    fps: float = 0.0
    arrays: Path | None = None
    records: Path | None = None
    show: bool = False


@contextmanager
def open_outputs(
    outputs: Outputs, metadata: Metadata, fps: float, stop: Callable[[], None]
) -> Iterator[tuple[OnFrame | None, Record | None]]:
    """Open everything that is asked for; yields what takes each frame (None: nobody does) and what takes its times.

    `stop` is called when the user closes the window. Raises: InputError for what cannot be written or shown.
    """
    with ExitStack() as stack:
        window = None
        if outputs.show:
            window = Window()
            stack.callback(window.close)
        record = stack.enter_context(open_records(outputs.records))
        arrays = None if outputs.arrays is None else open_arrays(outputs.arrays)
        # Last, so that it is closed first: a video that turns out incomplete is told with all else in place.
        write = stack.enter_context(open_sink(outputs.drawn, outputs.fps or fps))
        takers: list[OnFrame] = []
        if write is not None or window is not None:
            takers.append(_drawer(Painter(metadata), write, window, stop))
        if arrays is not None:
            takers.append(arrays)
        yield (grouped(takers, metadata) if takers else None), record


def grouped(takers: list[OnFrame], metadata: Metadata) -> OnFrame:
    """Hand every frame to all `takers`, with its offsets grouped into instances where it has some."""

    def take(frame: Inferred) -> None:
        complete = replace(frame, result=add_instances(frame.result, metadata.things))
        for taker in takers:
            taker(complete)

    return take


def _drawer(painter: Painter, write: Write | None, window: Window | None, stop: Callable[[], None]) -> OnFrame:
    def draw(frame: Inferred) -> None:
        picture = painter.paint(frame.image, frame.result)
        if write is not None:
            write(frame.name, picture)
        if window is not None and not window.show(picture):
            stop()

    return draw
