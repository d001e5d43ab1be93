"""Known distances of a CSV file: what is read, and which line is named where one cannot be right."""

from pathlib import Path

import numpy as np
import pytest

from export.calibrate.points import read_points
from preprocessing.ground import InputError


def csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "points.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_pixels_and_boxes(tmp_path: Path) -> None:
    """A spreadsheet's byte-order mark, spaces after commas, and both kinds in one file."""
    text = "\ufeffframe, x, y, x0, y0, x1, y1, metres\na.png, 3, 4.5,,,,, 12.5\nb/c.png,,, 1, 2, 3, 2, 7\n"
    first, second = read_points(csv(tmp_path, text))
    assert (first.frame, first.box, first.metres) == ("a.png", (3, 4.5, 3, 4.5), 12.5)
    assert (second.frame, second.box, second.metres) == ("b/c.png", (1, 2, 3, 2), 7)
    assert first.place.endswith("points.csv, line 2") and second.place.endswith("line 3")


def test_what_a_map_says_there(tmp_path: Path) -> None:
    """Row 2 of a map of 10 y + x: 21 22 23, of which the second has no distance; the pixel (5.4, 0) is column 5."""
    depth = 10 * np.arange(4.0)[:, None] + np.arange(6.0)
    depth[2, 2] = np.inf
    text = "frame,x0,y0,x1,y1,metres\na,1,2,3,2,5\na,5.4,0,5.4,0,5\na,2,2,2,2,5\n"
    box, pixel, nothing = read_points(csv(tmp_path, text))
    assert box.of(depth, "a") == 22 and pixel.of(depth, "a") == 5 and np.isnan(nothing.of(depth, "a"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: its columns are none"),
        ("frame,u,v,metres\na,1,2,3\n", "line 1: its columns are frame, u, v, metres; write frame,x,y,metres"),
        ("frame,x,y,depth\na,1,2,3\n", "line 1: its columns are frame, x, y, depth"),
        ("frame;x;y;metres\na;1;2;3\n", "line 1: its columns are frame;x;y;metres"),
        ("frame,x,y,metres\n", "no line below the columns"),
        ("frame,x,y,metres\na,1,2,3\na,1,2,0\n", "line 3: metres is 0; a distance is above 0"),
        ("frame,x,y,metres\na,1,2,-4\n", "line 2: metres is -4"),
        ("frame,x,y,metres\na,1,2,nan\n", "line 2: metres is nan; write a number"),
        ("frame,x,y,metres\na,1,2,\n", "line 2: metres is empty"),
        ("frame,x,y,metres\na,1,two,3\n", "line 2: y is two"),
        ("frame,x,y,metres\n,1,2,3\n", "line 2: names no frame"),
        ("frame,x,y,metres\na,1,2\n", "line 2: has another number of values"),
        ("frame,x,y,metres\na,1,2,3,4\n", "line 2: has another number of values"),
        ("frame,x0,y0,x1,y1,metres\na,1,2,,4,5\n", "line 2: gives neither x and y nor x0, y0, x1 and y1"),
        ("frame,x0,y0,x1,y1,metres\na,9,2,3,4,5\n", "line 2: the box ends before it begins"),
    ],
)
def test_a_line_that_cannot_be_right_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as raised:
        read_points(csv(tmp_path, text))
    assert "points.csv" in str(raised.value) and said in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("place", ["6,0", "-1,0", "0,4", "2,-0.6"])
def test_pixels_outside_of_the_picture(tmp_path: Path, place: str) -> None:
    (point,) = read_points(csv(tmp_path, f"frame,x,y,metres\na.png,{place},3\n"))
    with pytest.raises(InputError, match=r"line 2: pixel .* lies outside of a.png, which is 6x4 px"):
        point.of(np.ones((4, 6)), "a.png")


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; it has the columns"):
        read_points(tmp_path / "none.csv")
    (tmp_path / "points.csv").write_bytes(b"frame,x,y,metres\n\xff\xfe,1,2,3\n")
    with pytest.raises(InputError, match="not a readable CSV"):
        read_points(tmp_path / "points.csv")
