"""`advmtl inspect`: what is wrong is said first, with its remedy; what is right is said by its figures."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import published_sets
import pytest
from command_line import advmtl
from inspected_sets import CAR, HEIGHT, ROAD, SKY, WIDTH, dots, street, write_rig, write_streets
from street_set import write_cityscapes
from written_bags import START_NS, STEP_NS, raw, rectified_infos, write_bag

from advmtl.data import survey_data, survey_lines, train_loader, val_loaders
from advmtl.inspection import inspect_sources
from preprocessing.ground import read_image, write_depth, write_png

FIRST_SCREEN = 24


def first(result: object) -> str:
    """The first screen."""
    return "\n".join(str(getattr(result, "stdout", "")).splitlines()[:FIRST_SCREEN])


def label_ids() -> np.ndarray:
    table = np.zeros(256, np.uint8)
    table[[ROAD, 2, SKY, CAR]] = 7, 11, 23, 26
    return table


def test_a_sound_set_by_its_figures(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "good", per_metre=256)
    result = advmtl("inspect", f"folder:{root},depth.scale=256,hfov_deg=60", "--json", tmp_path / "all.json")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[0] == "nothing doubtful was found"
    found = json.loads((tmp_path / "all.json").read_text())
    assert [one["role"] for one in found["sources"]] == ["train", "val"] and found["doubts"] == []
    train = found["sources"][0]
    assert (train["frames"], train["decoded"], train["sizes_px"]) == (3, 3, [[WIDTH, HEIGHT, 3]])
    pixels = train["class_pixels"]["segmentation"]
    assert pixels["sky"] == 3 * 15 * WIDTH and pixels["car"] == 3 * 8 * 20 and pixels["bus"] == 0
    assert sum(pixels.values()) == 3 * WIDTH * HEIGHT
    # Rows 15 to 59 of 80 ... 3 m: the middle one is row 37.
    assert train["percentiles"]["depth_m"]["50"] == pytest.approx(np.linspace(80, 3, HEIGHT)[37], abs=0.7)
    # 2 atan(w / 2f) = 60 degrees
    assert train["fx_px"][1] == pytest.approx(WIDTH / 2 / np.tan(np.radians(30)))
    assert "sky" in result.stdout and f"{15 / HEIGHT:.2%}" in result.stdout


@pytest.mark.parametrize(
    ("per_metre", "said"),
    [(1000, "millimetres it would be"), (5000, "farther than depth.max_m, 80 m"), (256, None)],
)
def test_depth_of_a_scale_that_nobody_states(tmp_path: Path, per_metre: float, said: str | None) -> None:
    root = write_streets(tmp_path / "set", per_metre=per_metre)
    screen = first(advmtl("inspect", root))
    warned = [line for line in screen.splitlines() if line.startswith("warning") and "read as metres x 256" in line]
    assert bool(warned) == (said is not None)
    if said is not None:
        assert said in " ".join(warned) and "depth.unit" in warned[0] and f"folder:{root}:val alike" in warned[0]
    stated = first(advmtl("inspect", f"folder:{root}:train,depth.scale={per_metre}"))
    assert "which nobody states" not in stated and "as stated" in stated


def test_disparities_read_as_depth(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for number in range(2):
        picture, _ = street(number)
        write_png(root / "images" / f"{number}.png", picture)
        rows = np.linspace(1, 40, HEIGHT)[:, None] * np.ones((1, WIDTH))
        write_png(root / "depth" / f"{number}.png", (rows * 256).astype(np.uint16))
    assert "depth.kind=disparity" in first(advmtl("inspect", root))
    # The training says so too: it is one code.
    report = inspect_sources([str(root)])
    assert any("depth.kind=disparity" in line.text and line.doubtful for line in report.groups[0].lines)


def test_train_ids_in_the_place_of_label_ids(tmp_path: Path) -> None:
    root = tmp_path / "city"
    for name in write_cityscapes(root, frames=3):
        path = root / "gtFine/train/town" / f"{name}_gtFine_labelIds.png"
        labels = cv2.imread(str(path), -1)
        write_png(path, np.where(labels == 26, np.uint8(CAR), np.uint8(ROAD)))
    screen = first(advmtl("inspect", root))
    assert "as with train ids" in screen and "classes=cityscapes19-train-ids" in screen


def test_label_ids_in_the_place_of_train_ids(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "set", table=label_ids())
    result = advmtl("inspect", root, "--json", tmp_path / "x.json")
    assert result.exit_code == 2
    assert f"write folder:{root}:train,classes=cityscapes19" in first(result)
    assert len(json.loads((tmp_path / "x.json").read_text())["sources"][0]["faults"]) == 3
    assert advmtl("inspect", f"folder:{root}:train,classes=cityscapes19").exit_code == 0
    # 0, 2, 10 and 13 are known to cityscapes19, too, where three of them are void.
    plain = write_streets(tmp_path / "plain", splits=("train",))
    screen = first(advmtl("inspect", f"folder:{plain}:train,classes=camvid11"))
    assert f"write folder:{plain}:train,classes=cityscapes19-train-ids" in screen


def test_colours_are_listed_with_their_shares(tmp_path: Path) -> None:
    table = np.zeros((256, 3), np.uint8)
    table[[ROAD, 2, SKY, CAR]] = [64, 32, 32], [128, 128, 96], [1, 2, 3], [204, 0, 255]
    root = write_streets(tmp_path / "set", table=table, splits=("train",))
    result = advmtl("inspect", root)
    assert result.exit_code == 2 and f"[1, 2, 3] {15 / HEIGHT:.0%}" in first(result)
    table[[ROAD, 2, SKY, CAR]] = [64, 32, 32], [128, 128, 96], [128, 128, 96], [0, 255, 102]
    known = write_streets(tmp_path / "known", table=table, splits=("train",))
    assert f"write folder:{known}:train,classes=comma10k" in first(advmtl("inspect", known))


def test_names_that_differ_frames_that_are_shared_and_files_that_nobody_reads(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "set", ending="_L")
    for path in (root / "images/train").iterdir():
        (root / "images/val" / path.name).write_bytes(path.read_bytes())
    (root / "images/val/more.heic").write_bytes(b"x")
    screen = first(advmtl("inspect", root))
    assert "3 files belong to no picture, e.g. 0_L.png" in screen
    assert "3 of 3 validation frames are training frames too" in screen
    assert "1 file of another kind (.heic) is not read" in screen


def test_frames_with_faults_end_with_3(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "set")
    write_png(root / "labels/train/1.png", np.zeros((HEIGHT - 1, WIDTH), np.uint8))
    path = root / "images/val/2.png"
    path.write_bytes(path.read_bytes()[:600])
    result = advmtl("inspect", root)
    assert result.exit_code == 3
    problems = [line for line in result.stdout.splitlines() if line.startswith("problem")]
    assert len(problems) == 2 and "labels/train/1.png" in problems[0] and "images/val/2.png" in problems[1]


def test_what_it_says_is_what_a_training_says(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "set", per_metre=5000)
    report = inspect_sources([str(root)])
    (group,) = report.groups
    survey = survey_data(group.config, train_loader(group.config), [loader for _, loader in val_loaders(group.config)])
    assert [(line.text, line.doubtful) for line in survey_lines(survey, group.config)] == [
        (line.text, line.doubtful) for line in group.lines
    ]


def test_a_rig_as_preprocess_takes_it(tmp_path: Path) -> None:
    good = advmtl("inspect", write_rig(tmp_path / "good"))
    assert good.exit_code == 0 and "baseline 0.12 m, focal length 350.00 px" in good.stdout
    assert "looks rectified" in good.stdout and "next: advmtl preprocess" in good.stdout
    swapped = first(advmtl("inspect", write_rig(tmp_path / "swapped", swapped=True)))
    assert "2 of 2 pairs: left and right look swapped" in swapped
    far = advmtl("inspect", write_rig(tmp_path / "far", baseline_m=120))
    assert far.exit_code == 3 and "is it in millimetres?" in first(far)


def test_depth_of_a_sensor_in_a_rig_hides_nothing(tmp_path: Path) -> None:
    root = write_rig(tmp_path / "sensor")
    for number in range(2):
        write_png(root / f"depth/{number}.png", np.full((140, 240), 8400, np.uint16))
    result = advmtl("inspect", root)
    assert "depth.unit=mm" in first(result) and "preprocess did not write it" in first(result)
    assert "looks rectified" in result.stdout
    assert sorted(path.name for path in root.rglob("*.png")) == ["0.png"] * 3 + ["1.png"] * 3


@pytest.mark.parametrize(("per_pixel", "doubted"), [(256, False), (100, True), (16, True)])
def test_a_disparity_is_held_against_the_pairs(tmp_path: Path, per_pixel: int, doubted: bool) -> None:
    """Read as pixels x 256, 16 a pixel are 1/16 of the disparity that corners have."""
    root = write_rig(tmp_path / "rig")
    for number in range(2):
        write_png(root / f"disparity/{number}.png", np.full((140, 240), 12 * per_pixel, np.uint16))
    screen = first(advmtl("inspect", root))
    assert ("disparity_codec in calibration.json" in screen) == doubted
    if doubted:
        said = float(screen.split(" times that of corners")[0].split()[-1])
        assert said == pytest.approx(per_pixel / 256, rel=0.02)


def test_bags_with_a_pair_and_without(tmp_path: Path) -> None:
    messages = rectified_infos((240, 140), 350.0, 120.0, 70.0, 0.12)
    for number in range(4):
        left, right = dots(number)
        messages.append(raw("/stereo/left/image_rect", START_NS + number * STEP_NS, left, "rgb8"))
        if number != 2:
            messages.append(raw("/stereo/right/image_rect", START_NS + number * STEP_NS, right, "rgb8"))
    bag = write_bag(tmp_path / "drive", "mcap", messages)
    result = advmtl("inspect", bag, "--pictures", tmp_path / "sheets")
    assert result.exit_code == 3 and "has no right picture" in first(result)
    assert "3 pairs of /stereo/left/image_rect" in result.stdout and "baseline 0.12 m" in result.stdout
    assert read_image(tmp_path / "sheets/drive.png").shape[1] > 800
    mono = write_bag(tmp_path / "mono", "mcap", [one for one in messages if "right" not in one.topic])
    result = advmtl("inspect", mono)
    assert result.exit_code == 2 and "name them with --left and --right" in first(result)
    assert "/stereo/left/image_rect  sensor_msgs/msg/Image  4 messages" in result.stdout


def test_contact_sheets_show_pictures_labels_and_depth(tmp_path: Path) -> None:
    root = tmp_path / "set"
    picture, labels = street(0)
    write_png(root / "images/a.png", np.full_like(picture, 90))
    write_png(root / "labels/a.png", labels)
    write_depth(root / "depth/a.png", metres_of_80())
    result = advmtl("inspect", root, "--pictures", tmp_path / "sheets")
    (path,) = (tmp_path / "sheets").iterdir()
    assert f"written: {path}" in result.stdout.replace("\n", "")
    drawn = read_image(path)
    height = round(HEIGHT * 400 / WIDTH)
    row = 18 + height // 8  # below the caption, in the sky
    assert drawn[row, 200].tolist() == [90, 90, 90] and drawn[row, 402 + 200].tolist() == [70, 130, 180]
    # Far is blue.
    assert int(drawn[row, 804 + 200][2]) > 2 * int(drawn[row, 804 + 200][0])


def metres_of_80() -> np.ndarray:
    return np.full((HEIGHT, WIDTH), 79.0, np.float32)


def test_a_sheet_says_why_a_map_is_missing(tmp_path: Path) -> None:
    """A grey field, not black, which would be void."""
    root = write_streets(tmp_path / "set", table=label_ids(), splits=("train",), frames=1)
    advmtl("inspect", root, "--pictures", tmp_path / "sheets")
    (path,) = (tmp_path / "sheets").iterdir()
    assert read_image(path)[100, 402 + 200].tolist() == [60, 60, 60]


def test_a_calibration_that_cannot_be_of_these_pictures(tmp_path: Path) -> None:
    """Of cameras turned against each other, where rows agree as they are: what `preprocess` refuses is said."""
    root = write_rig(tmp_path / "raw")
    (root / "calibration.json").unlink()
    turned = "[[1, 0, 0, -0.2], [0, 0.99875, 0.05, 0], [0, -0.05, 0.99875, 0], [0, 0, 0, 1]]"
    camera = "camera_model: pinhole, distortion_model: radtan, distortion_coeffs: [-0.2, 0.03, 0, 0]"
    camera += ", intrinsics: [200, 200, 120, 70], resolution: [240, 140]"
    (root / "camchain.yaml").write_text(f"cam0: {{{camera}}}\ncam1: {{{camera}, T_cn_cnm1: {turned}}}\n")
    result = advmtl("inspect", root)
    assert result.exit_code == 3 and "is of raw cameras, but the pictures look rectified" in first(result)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_nothing_of_the_users_is_overwritten(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "set", splits=("train",))
    own = tmp_path / "own.json"
    own.write_text("{}")
    assert advmtl("inspect", root, "--pictures", own).exit_code == 2
    result = advmtl("inspect", root, "--json", own)
    assert result.exit_code == 2 and own.read_text() == "{}"
    for _ in range(2):  # its own it writes again
        assert advmtl("inspect", root, "--json", tmp_path / "a.json", "--pictures", tmp_path / "s").exit_code == 0
    (sheet,) = (tmp_path / "s").iterdir()
    write_png(sheet, np.zeros((4, 4, 3), np.uint8))
    assert advmtl("inspect", root, "--pictures", tmp_path / "s").exit_code == 2
    assert read_image(sheet).shape == (4, 4, 3)


def test_what_is_no_set(tmp_path: Path) -> None:
    write_png(tmp_path / "junk/photos/a.png", np.zeros((4, 4, 3), np.uint8))
    result = advmtl("inspect", tmp_path / "junk")
    assert result.exit_code == 2 and "it holds photos: 1 .png" in result.output and "images/" in result.output
    missing = advmtl("inspect", tmp_path / "jnk")
    assert missing.exit_code == 2 and "did you mean" in missing.output
    both = advmtl("inspect", tmp_path / "junk", write_streets(tmp_path / "set"))
    assert both.exit_code == 3 and both.stdout.startswith("problem: ") and "learnt from" in both.stdout


def test_a_configuration_and_its_roles(tmp_path: Path) -> None:
    root = write_streets(tmp_path / "set", per_metre=1000)
    config = tmp_path / "own.yaml"
    config.write_text(
        "tasks: {segmentation: {losses: {cross_entropy: 1}}, depth: {losses: {berhu: 1}}}\n"
        f"data:\n  train: [{{format: folder, root: {root}, split: train, depth: {{unit: mm}}, hfov_deg: 50}}]\n"
        f"  val: [{{format: folder, root: {root}, split: val, depth: {{scale: 256}}, hfov_deg: 50}}]\n"
    )
    screen = first(advmtl("inspect", config))
    assert "validation; have the files one scale?" in screen and "depth in mm, as stated" in screen


@pytest.mark.parametrize(
    ("write", "name", "classes", "frames"),
    [
        (published_sets.write_vkitti2, "vkitti2", "vkitti2", [4]),
        (published_sets.write_kitti360, "kitti360", "kitti360", [2, 2]),
        (published_sets.write_comma10k, "comma10k", "comma10k", [11, 1]),
        (published_sets.write_vistas, "vistas", "vistas", [3, 1]),
        (published_sets.write_bdd100k, "bdd100k", "cityscapes19-train-ids", [2, 1]),
        (published_sets.write_kitti_semantics, "kitti_semantics", "cityscapes19", [3]),
    ],
)
def test_published_sets_are_known(
    write: Callable[[Path], object], name: str, classes: str, frames: list[int], tmp_path: Path
) -> None:
    write(tmp_path / "set")
    result = advmtl("inspect", tmp_path / "set", "--json", tmp_path / "found.json")
    assert result.exit_code == 0 and f"taken for {name}:" in result.stdout, result.output
    found = json.loads((tmp_path / "found.json").read_text())["sources"]
    assert [one["frames"] for one in found] == frames
    assert f"as {classes}" in result.stdout and all(one["decoded"] == one["frames"] for one in found)


def test_zips_are_looked_into(tmp_path: Path) -> None:
    write_cityscapes(tmp_path / "city", frames=2)
    write_cityscapes(tmp_path / "city", "val", frames=1)
    published_sets.zip_cityscapes(tmp_path / "city", tmp_path / "zips")
    report = inspect_sources([str(tmp_path / "zips")])
    assert [(one.role, one.frames, len(one.faults)) for one in report.groups[0].looked] == [
        ("train", 2, 0),
        ("val", 1, 0),
    ]


def test_camvid_is_known_by_its_void(tmp_path: Path) -> None:
    table = np.full(256, 11, np.uint8)
    table[[ROAD, 2, SKY, CAR]] = 3, 1, 0, 8
    root = write_streets(tmp_path / "set", table=table)
    for path in (root / "labels").rglob("*.png"):
        labels = cv2.imread(str(path), -1)
        labels[:2] = 11
        write_png(path, labels)
    result = advmtl("inspect", root)
    assert f"taken for camvid:{root}" in result.stdout and "as camvid11" in result.stdout
    plain = advmtl("inspect", write_streets(tmp_path / "plain"))
    assert f"taken for folder:{tmp_path}/plain" in plain.stdout
