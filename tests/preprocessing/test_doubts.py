"""Sets that are possible but hardly right: one line each, no stop."""

import json
from pathlib import Path

import numpy as np
import pytest
from random_dots import HEIGHT, WIDTH, write_set
from textured_planes import planes

from preprocessing.ground import Camera, write_png
from preprocessing.job import PreprocessSettings, inspect, make_plan, preprocess
from preprocessing.job.doubts import Seen, camera_doubts, depth_doubts, label_doubts, pair_doubts
from preprocessing.sets.cityscapes import find_frames, frame_path

CITYSCAPES = Camera(0.209313, 2262.52, 2265.3, 1096.98, 513.137)
SIZE = (2048, 1024)


def seen(camera: Camera, size: tuple[int, int] = SIZE, file: str = "camera.json") -> list[Seen]:
    return [Seen(file, camera, size)]


@pytest.mark.parametrize("share", [0.8, 0.75, 0.6])
def test_pictures_made_smaller_with_the_camera_of_the_large_ones(share: float) -> None:
    size = (round(SIZE[0] * share), round(SIZE[1] * share))
    (line,) = camera_doubts(seen(CITYSCAPES, size))
    assert line.startswith("camera.json: its principal point (1097, 513) lies far off") and "2194x1026" in line


def test_good_cameras_are_not_doubted() -> None:
    assert camera_doubts(seen(CITYSCAPES)) == []
    assert camera_doubts(seen(CITYSCAPES.scaled(0.5, 0.5), (1024, 512))) == []
    assert camera_doubts(seen(Camera(0.5327, 721.54, 721.54, 609.6, 172.9), (1242, 375))) == []
    assert camera_doubts(seen(Camera(0.075, 428.0, 428.0, 0, 0), (640, 400))) == []


@pytest.mark.parametrize("baseline", [7.5, 4.8, 0.000075])
def test_a_baseline_in_another_unit_sees_no_street(baseline: float) -> None:
    (line,) = camera_doubts(seen(Camera(baseline, 428.0, 428.0, 0, 0), (400, 240)))
    assert f"a baseline of {baseline:g} m" in line and "is the baseline in metres?" in line


def test_several_cameras_make_one_line() -> None:
    cameras = [Camera(7.5 + k / 100, 428.0, 428.0, 0, 0) for k in range(3)]
    (line,) = camera_doubts([Seen(f"{k}.json", c, (400, 240)) for k, c in enumerate(cameras)])
    assert line.startswith("0.json: ") and line.endswith("(and 2 more cameras)")


def test_one_file_for_pictures_of_two_sizes() -> None:
    camera = Camera(0.12, 700.0, 700.0, 0, 0)
    (line,) = camera_doubts([*seen(camera, (1280, 720)), *seen(camera, (640, 360))])
    assert "is taken as it is for pictures of 1280x720 and 640x360" in line and "width_px" in line


def test_the_median_of_a_street() -> None:
    assert depth_doubts(12.0, 80.0) == [] and depth_doubts(0.5, 80.0) == []
    assert "at 80 m or beyond" in depth_doubts(80.0, 80.0)[0]
    assert "within 0.0032 m" in depth_doubts(0.0032, 80.0)[0]


def test_pairs_that_are_odd_alike() -> None:
    found = ["left and right look swapped: 90% of 80 corners", "left and right look swapped: 70% of 60 corners", "", ""]
    assert pair_doubts(found, 4) == ["2 of 4 pairs: left and right look swapped"]
    assert pair_doubts(["rows are offset by +2.0 px", "", "", "", ""], 5) == []


@pytest.mark.parametrize(
    ("ids", "doubted"),
    [((0, 2, 10, 13, 18), True), ((0, 8), True), ((7, 11, 23, 26), False), ((0, 1, 2, 3), False), ((0, 255), False)],
)
def test_train_ids_where_label_ids_belong(tmp_path: Path, ids: tuple[int, ...], doubted: bool) -> None:
    """Labels held back hold 0 to 3 alone, as those of Cityscapes' test split; unlabelled ones 0 or 255."""
    root = write_set(tmp_path, ("dots_0_1", "dots_0_2"))
    for name in ("dots_0_1", "dots_0_2"):
        labels = np.resize(np.array(ids, np.uint8), (HEIGHT, WIDTH))
        write_png(frame_path(root, "labels", "train", "dots", name), labels)
    found = label_doubts(find_frames(root))
    assert len(found) == doubted and all("as train ids do" in line for line in found)


def test_the_plan_and_the_report_say_it_and_the_record_keeps_it(tmp_path: Path) -> None:
    """The corners of the plan lie where the depth of the report does: both at the clip."""
    left, right = planes((400, 160), 10.0)
    for side, picture in (("left", left), ("right", right)):
        write_png(tmp_path / side / "0.png", picture)
    (tmp_path / "calibration.json").write_text('{"baseline_m": 7.5, "fx_px": 428}')
    planned = inspect(make_plan(tmp_path, PreprocessSettings())).doubts
    report = preprocess(tmp_path, PreprocessSettings())
    assert len(planned) == 2 and planned == report.doubts
    assert json.loads((tmp_path / "depth" / "preprocess.json").read_text())["doubts"] == report.doubts
    assert report.complete
