"""What is known of the files of training and validation before the first step, and what is said of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from street_set import SIZE, config, noise, write_cityscapes

from advmtl.config import Config
from advmtl.config.typed import validate
from advmtl.data import Survey, check_measurable, look_at, survey_data, survey_lines, train_loader, val_loaders
from advmtl.data.index import index_source
from advmtl.tasks import TASKS
from advmtl.training.labels import label_counts
from preprocessing.ground import InputError
from preprocessing.ground.depth import write_depth
from preprocessing.ground.files import write_png
from preprocessing.sets.cityscapes import frame_path

SHAPE = (SIZE[1], SIZE[0])
PIXELS = SIZE[0] * SIZE[1]
Labels = NDArray[np.uint8]
Metres = NDArray[np.float32]


def surveyed(settings: Config) -> Survey:
    return survey_data(settings, train_loader(settings), [loader for _, loader in val_loaders(settings)])


def lines(settings: Config, *, doubtful: bool = True) -> list[str]:
    """What is said of the sources: the doubtful lines, or the others."""
    return [line.text for line in survey_lines(surveyed(settings), settings) if line.doubtful is doubtful]


def write_split(
    root: Path,
    split: str,
    frames: int,
    labels: Callable[[int], Labels | None] = lambda number: np.full(SHAPE, number % 2, np.uint8),
    depth: Callable[[int], Metres | None] = lambda number: np.full(SHAPE, 9.0 + number, np.float32),
    *,
    seed: int = 0,
) -> str:
    """A part of a set in plain folders; as a source."""
    for number in range(frames):
        write_png(root / f"images/{split}/f{number}.png", noise(seed + number))
        if (classes := labels(number)) is not None:
            write_png(root / f"labels/{split}/f{number}.png", classes)
        if (metres := depth(number)) is not None:
            write_depth(root / f"depth/{split}/f{number}.png", metres)
    return f"folder:{root}:{split}"


def filled(value: int) -> Callable[[int], Labels]:
    return lambda number: np.full(SHAPE, value, np.uint8)


def test_counts_are_of_frames_and_classes_at_the_files_own_size(tmp_path: Path) -> None:
    """`write_cityscapes`: 4 of 48 rows are void, the rest of the left half is road and of the right half car."""
    write_cityscapes(tmp_path, "train", frames=3)
    write_cityscapes(tmp_path, "val", frames=2)
    found = surveyed(config([f"cityscapes:{tmp_path}"], [f"cityscapes:{tmp_path}"]))
    classes, depth = found.train["segmentation"], found.train["depth"]
    assert (classes.frames, classes.files, classes.labelled, classes.void) == (3, 3, 3, ())
    assert classes.classes[0] == "road" and classes.classes[13] == "car"
    expected = np.zeros((3, 19), np.int64)
    expected[:, [0, 13]] = 44 * SIZE[0] // 2
    np.testing.assert_array_equal(classes.counts, expected)
    np.testing.assert_array_equal(classes.class_pixels, expected.sum(0))
    # Z = 100 / (5, 6, 7) m, as many pixels each: the middle one is the median.
    np.testing.assert_allclose(depth.quantiles, [100 / 7, 100 / 6, 20], rtol=1e-3)
    assert found.val["segmentation"].frames == 2 and found.val["segmentation"].counts.shape == (2, 19)


def test_a_file_without_a_valid_pixel_is_no_label_and_is_said(tmp_path: Path) -> None:
    train = write_split(
        *(tmp_path, "train", 4),
        lambda number: np.full(SHAPE, 255 if number else 8, np.uint8),
        lambda number: np.full(SHAPE, 0 if number == 2 else 9, np.float32),
    )
    settings = config([train], [write_split(tmp_path, "val", 2, filled(8), seed=50)])
    found = surveyed(settings)
    classes, depth = found.train["segmentation"], found.train["depth"]
    assert (classes.files, classes.labelled, classes.void) == (4, 1, ("f1", "f2", "f3"))
    assert (depth.files, depth.labelled, depth.void) == (4, 3, ("f2",))
    assert classes.counts[:, 8].tolist() == [PIXELS, 0, 0, 0]
    assert depth.quantiles == (9, 9, 9)
    assert [line.text for line in survey_lines(found, settings) if line.doubtful] == [
        "segmentation: 3 of 4 label files of training have no valid pixel and count as none, e.g. of f1",
        "segmentation: every labelled pixel of training is vegetation, so there is nothing to tell apart; are the "
        "other classes void in the files?",
        "depth: 1 of 4 label files of training have no valid pixel and count as none, e.g. of f2",
    ]
    assert label_counts(settings, found) == "segmentation 1 train, 2 val; depth 3 train, 2 val"


def test_nothing_but_void_labels_ends_before_the_first_step(tmp_path: Path) -> None:
    good = write_split(tmp_path / "good", "train", 2)
    void = write_split(tmp_path / "void", "val", 3, filled(255), lambda number: np.zeros(SHAPE, np.float32), seed=9)
    with pytest.raises(
        InputError, match=r"data\.val: every validation label is void \(6 files; is this the test split"
    ):
        label_counts(config([good], [void]), surveyed(config([good], [void])))
    with pytest.raises(
        InputError, match=r"tasks\.segmentation: .*every training label is void \(3 files, e\.g\. of f0"
    ):
        label_counts(config([void], [good]), surveyed(config([void], [good])))
    write_cityscapes(tmp_path / "test", "test", frames=2)
    for number in range(2):
        name = f"town_000000_{number:06d}"
        write_png(frame_path(tmp_path / "test", "labels", "test", "town", name), np.zeros(SHAPE, np.uint8))
        frame_path(tmp_path / "test", "disparity", "test", "town", name).unlink()
    with pytest.raises(InputError, match=r"every validation label is void \(2 files"):
        settings = config([good], [f"cityscapes:{tmp_path}/test:test"])
        label_counts(settings, surveyed(settings))
    nothing = write_split(tmp_path / "none", "val", 2, lambda number: None, lambda number: None)
    with pytest.raises(
        InputError, match=r"here: no validation frame has a label of any task \(segmentation or depth\)"
    ):
        check_measurable(surveyed(config([good], [nothing])).val, "here")


def test_a_validation_without_a_task_is_said_and_files_that_no_picture_asks_for(tmp_path: Path) -> None:
    sources = [write_split(tmp_path, "train", 3), write_split(tmp_path, "val", 4, seed=9)]
    for path in (*(tmp_path / "labels/val").iterdir(), tmp_path / "depth/train/f1.png"):
        path.rename(path.with_stem(f"{path.stem}_gt"))
    (tmp_path / "depth/train/manifest.jsonl").write_text("{}")
    assert lines(config(sources[:1], sources[1:])) == [
        f"{tmp_path}/depth/train: 1 file belongs to no picture, e.g. f1_gt.png; the nearest picture is f1",
        f"{tmp_path}/labels/val: 4 files belong to no picture, e.g. f0_gt.png; the nearest picture is f0",
        "tasks.segmentation: no validation frame has this label; it is not measured and does not choose the best state",
    ]
    part = {"format": "folder", "root": str(tmp_path), "split": "val", "frames": [0, 2]}
    assert lines(config(sources[:1], [part]))[1].startswith(f"{tmp_path}/labels/val: 4 files"), "of the whole source"
    unasked = {"format": "folder", "root": str(tmp_path), "split": "val", "labels": "none"}
    assert not any("labels/val" in line for line in lines(config(sources[:1], [unasked])))


def test_files_beside_the_folder_of_a_split_belong_to_no_picture(tmp_path: Path) -> None:
    source = write_split(tmp_path, "train", 2)
    (tmp_path / "labels/train").rename(tmp_path / "moved")
    for path in (tmp_path / "moved").iterdir():
        path.rename(tmp_path / "labels" / path.name)
    settings = config([source], [source])
    assert f"{tmp_path}/labels: 2 files belong to no picture, e.g. f0.png" in lines(settings)


def test_strays_of_cityscapes_and_of_a_folder_pair(tmp_path: Path) -> None:
    names = write_cityscapes(tmp_path / "city", "train", frames=3)
    frame_path(tmp_path / "city", "left", "train", "town", names[1]).unlink()
    write_png(frame_path(tmp_path / "city", "labels", "train", "hamlet", "hamlet_000000_000000"), filled(7)(0))
    (tmp_path / "city/gtFine/train/town/town_000000_000001_gtFine_polygons.json").write_text("{}")
    city = config([f"cityscapes:{tmp_path}/city:train"], [f"cityscapes:{tmp_path}/city:train"])
    assert [text for text in lines(city) if "picture" in text] == [
        f"{tmp_path}/city/gtFine/train/hamlet: 1 file belongs to no picture, "
        "e.g. hamlet_000000_000000_gtFine_labelIds.png",
        f"{tmp_path}/city/gtFine/train/town: 1 file belongs to no picture, e.g. {names[1]}_gtFine_labelIds.png",
        f"{tmp_path}/city/disparity/train/town: 1 file belongs to no picture, e.g. {names[1]}_disparity.png",
    ]
    rig = tmp_path / "rig"
    for name in ("left/a", "right/a", "left/day/b", "right/day/b"):
        write_png(rig / f"{name}.png", noise(1))
    for name in ("a", "b", "day/b", "day/c"):
        write_png(rig / f"labels/{name}.png", filled(7)(0))
    (rig / "calibration.json").write_text('{"baseline_m": 0.5, "fx_px": 200}')
    only_classes = {"tasks": {"segmentation": {"losses": {"cross_entropy": 1}}}}
    source = [{"format": "rig", "root": str(rig)}]
    settings = validate(Config, {**only_classes, "data": {"train": source, "val": source, "size": "64x32"}}, "test")
    assert [text for text in lines(settings) if "picture" in text] == [
        f"{rig}/labels: 1 file belongs to no picture, e.g. b.png",
        f"{rig}/labels/day: 1 file belongs to no picture, e.g. c.png",
    ]


def test_frames_that_are_measured_and_learnt_are_said_by_file_and_by_content(tmp_path: Path) -> None:
    write_split(tmp_path, "train", 6)
    parts = [{"format": "folder", "root": str(tmp_path), "split": "train", "frames": part} for part in ([0, 4], [2, 5])]
    assert lines(config(parts[:1], parts[1:])) == ["2 of 3 validation frames are training frames too, e.g. f2"]
    copy = write_split(tmp_path / "copy", "val", 3, seed=3)  # its pictures are those of f3, f4, f5
    assert lines(config(parts[:1], [copy])) == ["1 of 3 validation frames is a training frame too, e.g. f0"]
    other = write_split(tmp_path / "other", "val", 3, seed=40)
    assert not lines(config(parts[:1], [other])), "noise of one size in bytes, and other content"


def test_classes_that_only_validation_has_and_classes_that_nothing_has(tmp_path: Path) -> None:
    def with_bus(number: int) -> Labels:
        classes = np.zeros(SHAPE, np.uint8)
        classes[:, :12] = 15
        return classes

    settings = config([write_split(tmp_path, "train", 2)], [write_split(tmp_path, "val", 2, with_bus, seed=9)])
    assert lines(settings) == [
        "segmentation: bus: in validation (12.50% of its pixels) and in no training frame",
    ]
    assert lines(settings, doubtful=False)[:2] == [
        "segmentation: 16 of 19 classes occur nowhere: building, wall, fence, pole, traffic light, traffic sign, "
        "vegetation, terrain and 8 more",
        "segmentation: pixels of training: road 50 %, sidewalk 50 %",
    ]


def test_a_source_that_is_given_twice_is_said(tmp_path: Path) -> None:
    """Pictures with other labels are other frames."""
    train, val = write_split(tmp_path, "train", 3), write_split(tmp_path, "val", 2, seed=9)
    (found,) = lines(config([train, train], [val]))
    assert found.startswith("data.train: 3 frames stand there twice, e.g. f0, and count double; leave one source out")
    (found,) = lines(config([train], [val, val]))
    assert found.startswith("data.val: 2 frames stand there twice, e.g. f0")
    assert lines(config([train], [val])) == []


def test_masks_of_0_and_255_are_told_how_to_be_two_classes(tmp_path: Path) -> None:
    """With 255 void there is one class, and nothing to learn; the remedy of the line makes it two."""

    def mask(number: int) -> Labels:
        return np.where(np.arange(SIZE[0]) < 20, 255, 0).astype(np.uint8) * np.ones(SHAPE, np.uint8)

    sources = [write_split(tmp_path, "train", 2, mask)], [write_split(tmp_path, "val", 1, mask, seed=9)]
    masks, alike = (line for line in lines(config(*sources)) if "apart" in line or f"{tmp_path}:train" in line)
    assert masks.startswith(f"{sources[0][0]}: segmentation: 2 of 2 files hold 0 and 255 alone")
    assert alike.startswith("segmentation: every labelled pixel of training is road, so there is nothing to tell")
    remedy = yaml.safe_load(masks[masks.index("{classes") :])
    settings = config(*sources, classes=remedy)
    assert lines(settings) == []
    pixels = surveyed(settings).train["segmentation"].class_pixels
    assert pixels.tolist() == [2 * (SIZE[0] - 20) * SIZE[1], 2 * 20 * SIZE[1]]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (
            lambda number: np.where(np.arange(SIZE[0]) < 20, 255, 0) * np.ones(SHAPE),
            "2 of 2 files hold 0 and 255 alone",
        ),
        (lambda number: np.where(np.arange(SIZE[0]) < 60, 7, 11) * np.ones(SHAPE), "62% of the pixels have id 7"),
        (lambda number: np.where(np.arange(SIZE[0]) < 60, 0, 11) * np.ones(SHAPE), None),
    ],
)
def test_ids_that_can_hardly_be_train_ids(tmp_path: Path, labels: Any, said: str | None) -> None:
    source = write_split(tmp_path, "train", 2, lambda number: labels(number).astype(np.uint8))
    other = write_split(tmp_path / "val", "val", 1, filled(0), seed=9)
    found = [line for line in lines(config([source], [other])) if line.startswith(f"{source}: segmentation: ")]
    assert found == [] if said is None else len(found) == 1 and said in found[0]


def test_train_ids_in_cityscapes_folders(tmp_path: Path) -> None:
    """Train ids 0 road, 2 building, 13 car: as labelIds these are void, void and fence."""
    for name in write_cityscapes(tmp_path, "train", frames=2):
        classes = np.repeat(np.array([0, 2, 13], np.uint8), SIZE[0] // 3) * np.ones(SHAPE, np.uint8)
        write_png(frame_path(tmp_path, "labels", "train", "town", name), classes)
    source = f"cityscapes:{tmp_path}:train"
    found = [line for line in lines(config([source], [source])) if "train ids" in line]
    assert len(found) == 1 and "no id above 13 in 2 files" in found[0]


def test_depth_of_another_scale_is_doubted(tmp_path: Path) -> None:
    train = write_split(tmp_path, "train", 2, depth=lambda number: np.full(SHAPE, 12.0, np.float32))
    val = write_split(tmp_path, "val", 2, depth=lambda number: np.full(SHAPE, 0.05, np.float32), seed=9)
    found = lines(config([train], [val]))
    assert found == [
        f"{val}: depth: 100% of the pixels are nearer than depth.min_m, 1 m (files are read as metres x 256)",
        "depth: the median is 12 m in training and 0.0508 in validation; have the files one scale?",
    ]


def test_depth_of_8_bits_is_found_at_the_start_in_every_file(tmp_path: Path) -> None:
    source = write_split(tmp_path, "train", 5)
    write_png(tmp_path / "depth/train/f3.png", filled(9)(0))
    records = index_source(config([source]).data.train[0], "cityscapes19", "train")
    for counted in (0, 2 * PIXELS, 100 * PIXELS):
        looks = look_at(records, TASKS, counted_px=counted)
        assert [set(look.faults) for look in looks] == [set(), set(), set(), {"depth"}, set()]
        assert "f3.png: a depth file has 16 bits" in looks[3].faults["depth"]


def test_of_large_sets_a_part_is_decoded_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_split(tmp_path, "train", 5)
    records = index_source(config([source]).data.train[0], "cityscapes19", "train")
    looks = look_at(records, TASKS, counted_px=2 * PIXELS)
    assert [set(look.contents) for look in looks] == [
        {"segmentation", "depth"} if number % 3 == 0 else {"segmentation"} for number in range(5)
    ]
    settings = config([source], [write_split(tmp_path, "val", 1, seed=9)])
    monkeypatch.setattr("advmtl.data.frames.COUNTED_PX", 2 * PIXELS)
    said = "depth: 3 of 6 label files were counted, evenly over the frames"
    assert said in lines(settings, doubtful=False)
    assert label_counts(settings, surveyed(settings)) == "segmentation 5 train, 1 val; depth 5 train, 1 val"


def test_depth_in_a_stereo_set_that_does_not_say_who_wrote_it_is_doubted(tmp_path: Path) -> None:
    """As a sensor's own depth/ in millimetres lies where that of preprocess is looked for."""
    names = write_cityscapes(tmp_path, "train", frames=2)
    source = f"cityscapes:{tmp_path}:train"
    found = []
    for text in (None, {"max_depth_m": "80.0"}):
        for name in names:
            write_depth(frame_path(tmp_path, "depth", "train", "town", name), np.full(SHAPE, 12.0, np.float32), text)
        found.append([line for line in lines(config([source], [source])) if "preprocess wrote it" in line])
    assert len(found[0]) == 1 and "_depth.png: does not say" in found[0][0] and found[1] == []
