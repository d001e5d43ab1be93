"""Known distances from a CSV file: a pixel or a box of a picture, and metres along the optical axis."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from preprocessing.ground import InputError

PIXEL, BOX = ("x", "y"), ("x0", "y0", "x1", "y1")
EXAMPLE = "frame,x,y,metres or frame,x0,y0,x1,y1,metres"


@dataclass(frozen=True)
class Point:
    """One known distance.

    Attributes:
        frame: name of the picture, as it is written.
        box: x0, y0, x1, y1 [px of the picture as it is on the disk], both ends inside; of a pixel x, y, x, y.
        metres: along the optical axis.
        place: file and line, for messages.
    """

    frame: str
    box: tuple[float, float, float, float]
    metres: float
    place: str

    def of(self, depth_m: NDArray[np.floating], name: str) -> float:
        """The median of a map `[H,W]` over the box; NaN where it has no finite value.

        Raises: InputError naming the line of a box that is not inside of the picture `name`.
        """
        height, width = depth_m.shape
        x0, y0, x1, y1 = self.box
        if not (-0.5 <= x0 <= x1 < width - 0.5 and -0.5 <= y0 <= y1 < height - 0.5):
            what = f"pixel ({x0:g}, {y0:g})" if (x0, y0) == (x1, y1) else f"box ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"
            raise InputError(f"{self.place}: {what} lies outside of {name}, which is {width}x{height} px")
        columns, rows = (slice(math.floor(a + 0.5), math.floor(b + 0.5) + 1) for a, b in ((x0, x1), (y0, y1)))
        values = depth_m[rows, columns]
        values = values[np.isfinite(values)]
        return float(np.median(values)) if len(values) else math.nan


def read_points(path: Path) -> list[Point]:
    """Read the file. Raises: InputError naming the file, and the line and column where a value cannot be right."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            _check_columns(path, columns)
            points = [_point(path, reader.line_num, row) for row in reader]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it has the columns {EXAMPLE}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a readable CSV file ({error})") from None
    if not points:
        raise InputError(f"{path}: no line below the columns; write one for each known distance: {EXAMPLE}")
    return points


def _check_columns(path: Path, columns: list[str]) -> None:
    has = set(columns)
    if {"frame", "metres"} <= has and (set(PIXEL) <= has or set(BOX) <= has):
        unknown = [name for name in columns if name not in ("frame", "metres", *PIXEL, *BOX)]
        if not unknown and len(has) == len(columns):
            return
    raise InputError(
        f"{path}, line 1: its columns are {', '.join(columns) or 'none'}; write {EXAMPLE}, comma-separated"
    )


def _point(path: Path, line: int, row: dict[str, str | None]) -> Point:
    place = f"{path}, line {line}"
    if None in row or any(value is None for value in row.values()):
        raise InputError(f"{place}: has another number of values than there are columns")
    values = {name: (value or "").strip() for name, value in row.items()}
    if not values["frame"]:
        raise InputError(f"{place}: names no frame")
    names = PIXEL if all(values.get(name) for name in PIXEL) else BOX
    if names == BOX and not all(values.get(name) for name in BOX):
        raise InputError(f"{place}: gives neither x and y nor x0, y0, x1 and y1")
    numbers = [_number(place, name, values[name]) for name in names]
    metres = _number(place, "metres", values["metres"])
    if metres <= 0:
        raise InputError(f"{place}: metres is {values['metres']}; a distance is above 0")
    x0, y0, x1, y1 = numbers if names == BOX else numbers * 2
    if x1 < x0 or y1 < y0:
        raise InputError(f"{place}: the box ends before it begins: ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})")
    return Point(values["frame"], (x0, y0, x1, y1), metres, place)


def _number(place: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: {name} is {text or 'empty'}; write a number")
    return value
