"""Which right picture belongs to which left one, and `rig.json`."""

import json
from pathlib import Path

import pytest

from preprocessing.ground.errors import InputError
from preprocessing.ground.frame import Frame
from preprocessing.sets.layouts import detect_layout
from preprocessing.sets.pairing import pair_names, partner_hint


def files(*names: str) -> dict[str, Path]:
    return {name: Path(f"R/{name}.png") for name in names}


def paired(left: list[str], right: list[str], tolerance_s: float | None = None) -> dict[str, str]:
    found = pair_names(left, files(*right), tolerance_s).right
    return {name: path.name.removesuffix(".png") for name, path in found.items()}


@pytest.mark.parametrize(
    ("left", "right", "common"),
    [
        (["left_0001", "left_0002"], ["right_0002", "right_0001"], "0001"),
        (["0001_L", "0002_L"], ["0002_R", "0001_R"], "0001"),
        (["a_0001_left", "a_0002_left"], ["a_0002_right", "a_0001_right"], "a_0001"),
        (["L0001", "L0002"], ["R0002", "R0001"], "0001"),
        (["0001_0", "0002_0"], ["0002_1", "0001_1"], "0001"),
    ],
)
def test_words_that_differ(left: list[str], right: list[str], common: str) -> None:
    found = pair_names(left, files(*right))
    assert {name: path.stem for name, path in found.right.items()} == {left[0]: right[1], left[1]: right[0]}
    assert found.common[left[0]] == common
    assert "names are paired by" in found.said


def test_equal_names_go_first_and_alone() -> None:
    assert paired(["a", "left_b"], ["a", "right_b"]) == {"a": "a"}


def test_never_by_position_nor_by_a_number_that_may_be_the_moments() -> None:
    assert paired(["x1", "x2"], ["y1", "y2"]) == {}
    assert paired(["f_0"], ["f_1"]) == {}
    assert paired(["f_0", "g_0"], ["f_1", "h_1"]) == {}


def test_time_stamps_within_a_tolerance_one_to_one_the_nearest_first() -> None:
    """Nanoseconds: 1 ms is 10⁶. The second left picture is nearer to the first right one than the first left one is."""
    left = ["1403636579763555584", "1403636579764055584", "1403636579800000000"]
    right = ["1403636579764155584", "1403636579763155584"]
    assert paired(left, right) == {}
    assert paired(left, right, 0.001) == {left[1]: right[0], left[0]: right[1]}
    assert paired(left[:1], right[:1], 0.0005) == {}
    assert paired(["1403636579.7630"], ["1403636579.7634"], 0.001) == {"1403636579.7630": "1403636579.7634"}
    assert paired(["1403636579763"], ["1403636579764"], 0.001) == {"1403636579763": "1403636579764"}


def test_a_frame_without_partner_has_the_nearest_name() -> None:
    hint = partner_hint("1403636579763555584", files("1403636579764555584", "1403636579999555584"), "right")
    assert hint == "; right/ has 1403636579764555584, 1 ms apart: --pair-tolerance-s 0.002 pairs them"
    assert partner_hint("0007_a", files("0006_b", "0007_b"), "right") == "; right/ has 0007_b"
    assert partner_hint("0007", {}, "right") == "; right/ has no pictures"


def put(root: Path, name: str, content: object = "") -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(content if isinstance(content, str) else json.dumps(content))


def found(root: Path, **options: float) -> dict[str, Frame]:
    return {frame.key: frame for frame in detect_layout(root, **options).find_frames(root, None)}


def test_names_that_differ_in_a_rig_and_files_under_both(tmp_path: Path) -> None:
    for name in ("left/d/left_1.png", "right/d/right_1.png", "labels/d/left_1.png", "lidar/d/1.png"):
        put(tmp_path, name)
    (frame,) = found(tmp_path).values()
    assert frame.key == "d/left_1" and frame.right == tmp_path / "right/d/right_1.png"
    assert (frame.labels, frame.lidar) == (tmp_path / "labels/d/left_1.png", tmp_path / "lidar/d/1.png")


def test_euroc_by_folders_and_a_tolerance(tmp_path: Path) -> None:
    put(tmp_path, "mav0/cam0/data/1403636579763555584.png")
    put(tmp_path, "mav0/cam1/data/1403636579763555999.png")
    assert found(tmp_path)["1403636579763555584"].right is None
    assert found(tmp_path, tolerance_s=0.001)["1403636579763555584"].right is not None


def test_patterns_of_a_rig_file(tmp_path: Path) -> None:
    for name in ("img/7_L.png", "img/7_R.jpg", "img/8_L.png", "img/notes_L.txt", "depth/7.png"):
        put(tmp_path, name)
    put(tmp_path, "rig.json", {"left": "img/%_L", "right": "img/%_R.jpg", "bits": 12})
    frames = found(tmp_path)
    assert list(frames) == ["7_L", "8_L"]
    assert frames["7_L"].right == tmp_path / "img/7_R.jpg" and frames["7_L"].depth == tmp_path / "depth/7.png"
    assert frames["8_L"].right is None and "7_R" in frames["8_L"].hint
    assert frames["7_L"].reading.bits == frames["7_L"].right_reading.bits == 12


def test_both_views_in_one_picture(tmp_path: Path) -> None:
    put(tmp_path, "zed/d/1.png")
    put(tmp_path, "rig.json", {"left": "zed", "layout": "side_by_side"})
    (frame,) = found(tmp_path).values()
    assert frame.left == frame.right == tmp_path / "zed/d/1.png" and frame.city == "d"
    assert (frame.reading.half, frame.right_reading.half) == ("left", "right")


def test_a_list_of_pairs(tmp_path: Path) -> None:
    put(tmp_path, "rig.json", {"left": "a", "right": "b", "frames": "pairs.txt"})
    put(tmp_path, "pairs.txt", "# left right labels\na/x/1.png b/2.png\n\na/3.png b/4.png semantics/3.png\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    frames = found(tmp_path)
    assert {key: (frame.right, frame.labels) for key, frame in frames.items()} == {
        "x/1": (tmp_path / "b/2.png", None),
        "3": (tmp_path / "b/4.png", tmp_path / "semantics/3.png"),
    }


def test_a_list_of_names(tmp_path: Path) -> None:
    for name in ("a/d/1.png", "a/d/2.png", "a/e/1.png", "b/d/1.png"):
        put(tmp_path, name)
    put(tmp_path, "rig.json", {"left": "a", "right": "b", "frames": "val.txt"})
    put(tmp_path, "val.txt", "e/1\nd/2.png\n")
    assert list(found(tmp_path)) == ["d/2", "e/1"], "in the set's own order"
    put(tmp_path, "val.txt", "d/2\nd/7\n")
    with pytest.warns(UserWarning, match=r"val\.txt: 1 of 2 frames are not there, e\.g\. d/7"):
        assert list(found(tmp_path)) == ["d/2"]
    put(tmp_path, "val.txt", "1\n")
    with pytest.raises(InputError, match=r"val\.txt: 1 may be d/1 and e/1; write the path"):
        found(tmp_path)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "not readable as JSON"),
        ({"lefft": "a"}, "unknown key 'lefft'; known: left, right"),
        ({"left": "left_%"}, "left is 'left_%'; the % stands in the name of the file, behind a folder"),
        ({"left": "a/%/%"}, "left is 'a/%/%'"),
        ({"left": "a", "right": "a"}, "left and right are both"),
        ({"layout": "above"}, "layout is 'above'; the only one is 'side_by_side'"),
        ({"left": "a", "right": "b", "bits": 20}, "bits is 20; it must be a number of 8 to 16"),
        ({"left": "a", "right": "b"}, "left is a/, and there is no such folder"),
    ],
)
def test_a_rig_file_that_cannot_be(tmp_path: Path, content: object, named: str) -> None:
    put(tmp_path, "rig.json", content)
    with pytest.raises(InputError, match=named) as caught:
        found(tmp_path)
    assert str(tmp_path / "rig.json") in str(caught.value) and "\n" not in str(caught.value)
