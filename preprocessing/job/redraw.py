"""One frame of a raw set drawn anew: both pictures, labels, measured depth, each with a mark of what it was made of."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from preprocessing.ground import (
    AS_STORED,
    DEPTH_SCALE,
    Frame,
    InputError,
    Reading,
    UInt8,
    atomic_write,
    draw_points,
    read_grey_or_index,
    read_image,
    stored_labels,
    write_png,
)
from preprocessing.sets import Maps, RawPair, Rectification, maps_of, rectify, undistorted

LabelsOn = Literal["left", "rectified", "none"]
MARK = "rectified"
"""Key of the text in a PNG that says of what and how it was drawn."""
VOID = 255
"""Id of a label pixel of which the raw picture shows nothing."""
_LEAST_VALID = 0.99


@dataclass(frozen=True)
class Drawing:
    """How the frames of one calibration and size are drawn.

    Attributes:
        pair: The raw cameras, at the size of the pictures.
        found: What rectifies them.
        labels_on: What `labels/` lie on: the raw "left" pictures, "rectified" ones (then they are copied), or "none".
    """

    pair: RawPair
    found: Rectification
    labels_on: LabelsOn

    @property
    def key(self) -> str:
        """A short name, equal if and only if (up to chance) pictures come out the same."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def drawing_of(pair: RawPair, alpha: float | None, labels_on: LabelsOn) -> Drawing:
    """Decide on the rectification: the one that the calibration states, unless an alpha is asked for, else alpha 0."""
    if alpha is None and pair.stated is not None:
        return Drawing(pair, pair.stated, labels_on)
    return Drawing(pair, rectify(pair, alpha or 0.0), labels_on)


@lru_cache(maxsize=4)
def maps(drawing: Drawing) -> tuple[Maps, Maps]:
    """The maps of a drawing; computing them costs as much as ten pictures."""
    return maps_of(drawing.pair, drawing.found)


def draw_pair(drawing: Drawing, left: UInt8, right: UInt8) -> tuple[UInt8, UInt8]:
    """Both pictures, rectified: uint8 [H, W, 3]."""
    first, second = maps(drawing)
    return first.picture(left), second.picture(right)


@dataclass(frozen=True)
class Redrawn:
    """What came of a frame: `reason` says why nothing did ("" = done), `reused` that it was there before."""

    frame: Frame
    reason: str = ""
    reused: bool = False


def redraw(frame: Frame, drawing: Drawing, out: Path) -> Redrawn:
    """Write left/, right/, labels/ and lidar/ of one frame under `out`, what is there already left alone."""
    try:
        return Redrawn(frame, reused=_redraw(frame, drawing, out))
    except InputError as error:
        return Redrawn(frame, str(error))


def _redraw(frame: Frame, drawing: Drawing, out: Path) -> bool:
    if frame.right is None:
        raise InputError(f"{frame.left}: its right image is missing")
    first, second = maps(drawing)
    fresh = [
        _write_picture(frame.left, first, drawing, target_of(out, "left", frame), frame.reading),
        _write_picture(frame.right, second, drawing, target_of(out, "right", frame), frame.right_reading),
    ]
    if frame.labels is not None and drawing.labels_on != "none":
        fresh.append(_write_labels(frame.labels, first, drawing, target_of(out, "labels", frame)))
    if frame.lidar is not None:
        fresh.append(_write_lidar(frame.lidar, drawing, target_of(out, "lidar", frame)))
    return not any(fresh)


def target_of(out: Path, kind: str, frame: Frame) -> Path:
    """Where a map of a frame is written."""
    return out / kind / frame.city / f"{frame.name}.png"


def _mark(source: Path, drawing: Drawing) -> str:
    try:
        status = source.stat()
    except OSError as error:
        raise InputError(f"{source}: {error.strerror or error}") from None
    return f"{drawing.key} {source.name} {status.st_size} {status.st_mtime_ns}"


def is_current(target: Path, mark: str) -> bool:
    """Whether a file is there and bears this very mark. Raises: InputError where it bears none: it is not ours."""
    try:
        with Image.open(target) as image:
            found = image.info.get(MARK)
    except FileNotFoundError:
        return False
    except (OSError, SyntaxError, ValueError):
        found = None
    if found is None:
        raise InputError(f"{target}: exists, and rectification did not write it; give another --out")
    return bool(found == mark)


def _checked_size(path: Path, array: Any, drawing: Drawing) -> None:
    size = (array.shape[1], array.shape[0])
    if size != drawing.pair.left.size:
        wanted = "x".join(map(str, drawing.pair.left.size or ()))
        raise InputError(f"{path}: is {size[0]}x{size[1]}, but its left image is {wanted}")


def _write_picture(source: Path, found: Maps, drawing: Drawing, target: Path, how: Reading) -> bool:
    mark = _mark(source, drawing) + ("" if how == AS_STORED else f" {how}")
    if is_current(target, mark):
        return False
    image = read_image(source, how)
    _checked_size(source, image, drawing)
    write_png(target, found.picture(image), {MARK: mark})
    return True


def _write_labels(source: Path, found: Maps, drawing: Drawing, target: Path) -> bool:
    mark = _mark(source, drawing)
    if is_current(target, mark):
        return False
    ids, palette = stored_labels(source)
    _checked_size(source, ids, drawing)
    if drawing.labels_on == "left":
        ids = found.nearest(ids, VOID) if ids.ndim == 2 else _colours(source, ids, found)
    _save_labels(target, ids, palette, mark)
    return True


def _colours(source: Path, colours: Any, found: Maps) -> Any:
    """Labels in colours have none that means nothing: the few pixels at the edge take that of their neighbour."""
    if found.valid.mean() < _LEAST_VALID:
        raise InputError(
            f"{source}: labels are colours, of which none is for what the raw picture does not show: --alpha 0, or "
            "--labels-on none"
        )
    everywhere = Maps(found.x, found.y, np.ones_like(found.valid))
    return everywhere.nearest(colours, 0)


def _save_labels(target: Path, ids: Any, palette: UInt8 | None, mark: str) -> None:
    if palette is None:
        write_png(target, ids, {MARK: mark})
        return
    from PIL import PngImagePlugin

    image, text = Image.fromarray(ids, mode="L"), PngImagePlugin.PngInfo()
    image.putpalette(palette.tobytes())
    text.add_text(MARK, mark)
    with atomic_write(target) as temporary:
        image.save(temporary, format="PNG", pnginfo=text)


def _write_lidar(source: Path, drawing: Drawing, target: Path) -> bool:
    mark = _mark(source, drawing)
    if is_current(target, mark):
        return False
    stored = read_grey_or_index(source)
    _checked_size(source, stored, drawing)
    write_png(target, move_depth(stored, drawing), {MARK: mark})
    return True


def move_depth(stored: Any, drawing: Drawing) -> Any:
    """Measured depth on the raw left picture, uint16 metres * 256, as the rectified left camera sees it.

    Turning a camera changes the distance along its axis; of two points on one pixel the nearer one stays.
    """
    height, width = stored.shape
    ys, xs = np.nonzero(stored)
    rays = np.column_stack([undistorted(drawing.pair.left, np.column_stack([xs, ys])), np.ones(len(xs))])
    points = (rays * (stored[ys, xs, None] / DEPTH_SCALE)) @ np.array(drawing.found.r1).T
    return draw_points(points, drawing.found.camera(), (width, height))
