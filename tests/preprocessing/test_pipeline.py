import json
import shutil
import warnings
from collections.abc import Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_dots import BOX, CAMERA, HEIGHT, WIDTH, write_set

from preprocessing import convert, pipeline
from preprocessing.cityscapes import find_frames, frame_path
from preprocessing.convert import FrameTask, Outcome, convert_frame
from preprocessing.depth import read_depth, write_depth
from preprocessing.disparity import CleanSettings, read_disparity
from preprocessing.errors import InputError
from preprocessing.files import write_png
from preprocessing.pipeline import PreprocessSettings, Report, preprocess

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
NAMES = ("dots_0_1", "dots_0_2", "dots_0_3")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_set(tmp_path / "set", NAMES)


def outputs(root: Path) -> list[str]:
    folders = ("depth", "disparity_sgbm", "disparity_dataset")
    return sorted(str(p.relative_to(root)) for f in folders for p in (root / f).rglob("*") if p.is_file())


def depth_of(root: Path, name: str) -> np.ndarray:
    return read_depth(frame_path(root, "depth", "train", "dots", name))


def test_depth_by_hand(root: Path) -> None:
    """B f = 0.5 m * 160 px = 80 m px: the wall at 4 px is 20 m away, the box at 10 px 8 m."""
    report = preprocess(root, PreprocessSettings(pictures=1))
    depth = depth_of(root, "dots_0_2")
    assert depth.shape == (HEIGHT, WIDTH)
    assert np.median(depth[BOX][depth[BOX] > 0]) == pytest.approx(8.0, rel=0.01)
    assert np.median(depth[:, 140:][depth[:, 140:] > 0]) == pytest.approx(20.0, rel=0.02)
    assert (report.done, report.reused, report.skipped, report.default_cameras) == (3, 0, [], 0)
    assert 0.85 < report.density_mean < 1
    assert report.depth_percentiles_m[50] == pytest.approx(20.0, rel=0.02)
    assert report.depth_percentiles_m[5] == pytest.approx(8.0, rel=0.02)
    assert report.out == root


def test_what_is_written(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=2))
    written = outputs(root)
    assert written == [
        "depth/pictures/train_dots_0_1.png",
        "depth/pictures/train_dots_0_3.png",
        "depth/preprocess.json",
        *(f"depth/train/dots/{name}_depth.png" for name in NAMES),
        *(f"disparity_sgbm/train/dots/{name}_disparity.png" for name in NAMES),
    ]
    record = json.loads((root / "depth/preprocess.json").read_text())
    assert (record["unit"], record["scale"], record["invalid"], record["skipped"]) == ("metre", 256, 0, {})
    row = record["frames"]["train/dots_0_2"]
    assert row["camera"]["baseline_m"] == CAMERA.baseline_m
    assert record["settings"][row["settings"]]["matcher"] == "sgbm"
    depth = depth_of(root, "dots_0_2")
    assert row["density"] == pytest.approx((depth > 0).mean(), abs=1e-6)
    disparity, valid = read_disparity(root / "disparity_sgbm/train/dots/dots_0_2_disparity.png")
    assert (valid & (disparity > 0)).tolist() == (depth > 0).tolist()
    with Image.open(root / written[0]) as picture:
        assert picture.width == 2 * (640 + 14 + 58)


def test_the_sets_own_disparity_is_exact(root: Path) -> None:
    settings = PreprocessSettings(matcher="dataset", clean=CleanSettings(median=0), pictures=0)
    report = preprocess(root, settings)
    assert report.density_mean == 1.0
    expected = np.full((HEIGHT, WIDTH), 20.0)
    expected[BOX] = 8.0
    assert np.abs(depth_of(root, "dots_0_1") - expected).max() <= 0.5 / 256
    assert (root / "disparity_dataset/train/dots/dots_0_1_disparity.png").is_file()


def test_far_points_are_clipped(root: Path) -> None:
    preprocess(root, PreprocessSettings(matcher="dataset", max_depth_m=15.0, pictures=0))
    depth = depth_of(root, "dots_0_1")
    assert depth.max() == 15.0
    assert depth[40, 95] == pytest.approx(8.0, abs=0.01)


def test_several_workers_write_the_same_bytes(root: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    preprocess(root, PreprocessSettings(out=one, workers=1))
    report = preprocess(root, PreprocessSettings(out=two, workers=2))
    assert report.done == 3
    assert outputs(one) == outputs(two)
    for name in outputs(one):
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_another_folder_becomes_a_set_of_its_own(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "out"
    preprocess(root, PreprocessSettings(out=out, pictures=0))
    assert not (root / "depth").exists()
    frames = find_frames(out, "train")
    assert [frame.name for frame in frames] == list(NAMES)
    assert all(frame.depth and frame.right and frame.labels for frame in frames)


def corrupt(root: Path, kind: str, how: str) -> None:
    path = frame_path(root, kind, "train", "dots", "dots_0_2")
    if how == "missing":
        path.unlink()
    elif how == "truncated":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif how == "smaller":
        size = (HEIGHT - 8, WIDTH - 8)
        write_png(path, np.full(size if kind == "labels" else (*size, 3), 7, dtype=np.uint8))
    elif how == "unknown id":
        write_png(path, np.full((HEIGHT, WIDTH), 77, dtype=np.uint8))
    elif how == "garbled":
        path.write_text('{"extrinsic": {"baseline": 0}, "intrinsic": {"fx": 160}}')


@pytest.mark.parametrize(
    ("kind", "how", "reason"),
    [
        ("right", "missing", "right image is missing"),
        ("left", "truncated", "dots_0_2_leftImg8bit.png: not a readable image"),
        ("right", "truncated", "dots_0_2_rightImg8bit.png: not a readable image"),
        ("right", "smaller", "dots_0_2_rightImg8bit.png: is 168x72, but its left image is 176x80"),
        ("labels", "smaller", "dots_0_2_gtFine_labelIds.png: is 168x72"),
        ("labels", "unknown id", "dots_0_2_gtFine_labelIds.png: unknown class id 77"),
        ("camera", "garbled", "dots_0_2_camera.json: extrinsic.baseline is 0.0"),
    ],
)
def test_a_bad_frame_is_listed_and_the_rest_goes_on(root: Path, kind: str, how: str, reason: str) -> None:
    corrupt(root, kind, how)
    report = preprocess(root, PreprocessSettings(pictures=3))
    assert report.done == 2
    [(name, why)] = report.skipped
    assert name == "dots_0_2"
    assert reason in why
    assert "\n" not in why
    assert not [path for path in outputs(root) if "dots_0_2" in path]
    record = json.loads((root / "depth/preprocess.json").read_text())
    assert record["skipped"] == {"train/dots_0_2": why}
    assert sorted(record["frames"]) == ["train/dots_0_1", "train/dots_0_3"]


def test_bad_frames_are_listed_from_worker_processes_too(root: Path) -> None:
    corrupt(root, "right", "truncated")
    report = preprocess(root, PreprocessSettings(workers=2, pictures=0))
    assert (report.done, [name for name, _ in report.skipped]) == (2, ["dots_0_2"])


def test_not_one_frame_is_an_error(tmp_path: Path) -> None:
    root = write_set(tmp_path, ("dots_0_2",))
    corrupt(root, "right", "missing")
    with pytest.raises(InputError, match=r"none of 1 frames.*dots_0_2.*right image is missing"):
        preprocess(root)


def test_a_missing_camera_means_the_papers_at_this_width_and_one_warning(root: Path) -> None:
    """B f = 473.575 at 2048 px is 40.698 at 176 px: the wall at 4 px is 10.17 m away."""
    for name in NAMES[:2]:
        frame_path(root, "camera", "train", "dots", name).unlink()
    settings = PreprocessSettings(matcher="dataset", pictures=0)
    with pytest.warns(UserWarning, match="2 of 3 frames have no camera file") as caught:
        report = preprocess(root, settings)
    assert len(caught) == 1
    assert report.default_cameras == 2
    assert depth_of(root, "dots_0_1")[5, 5] == pytest.approx(473.575 * 176 / 2048 / 4, abs=0.01)
    assert depth_of(root, "dots_0_3")[5, 5] == pytest.approx(20.0, abs=0.01)


def test_a_failing_write_leaves_nothing_half_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(convert, "write_depth", full_disk)
    with pytest.raises(OSError, match="No space left"):
        preprocess(root, PreprocessSettings(pictures=0))
    # The cleaned disparity of the first frame is whole; no depth map, and no temporary file, is there.
    assert outputs(root) == ["disparity_sgbm/train/dots/dots_0_1_disparity.png"]


def times(root: Path) -> dict[str, int]:
    return {name: (root / name).stat().st_mtime_ns for name in outputs(root) if name.endswith("_depth.png")}


def test_a_second_run_redoes_only_what_changed(root: Path) -> None:
    settings = PreprocessSettings(pictures=0)
    first = preprocess(root, settings)
    before = times(root)
    again = preprocess(root, settings)
    assert (again.done, again.reused) == (3, 3)
    assert again.depth_percentiles_m == first.depth_percentiles_m
    assert times(root) == before
    # Another right image, a lost output, other settings.
    right = frame_path(root, "right", "train", "dots", "dots_0_1")
    write_png(right, np.ascontiguousarray(np.roll(np.asarray(Image.open(right)), 1, axis=1)))
    frame_path(root, "depth", "train", "dots", "dots_0_3").unlink()
    assert preprocess(root, settings).reused == 1
    assert preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0)).reused == 0
    assert preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0, again=True)).reused == 0


def record_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "depth/preprocess.json").read_text())
    return content


def test_what_follows_from_a_replaced_input_is_removed(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=3))
    corrupt(root, "right", "truncated")
    assert preprocess(root, PreprocessSettings(pictures=3)).done == 2
    assert not [path for path in outputs(root) if "dots_0_2" in path]
    assert sorted(record_of(root)["frames"]) == ["train/dots_0_1", "train/dots_0_3"]


@pytest.mark.parametrize("again", [False, True])
def test_what_an_unreadable_or_missing_input_led_to_stays(
    root: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    preprocess(root, PreprocessSettings(pictures=3))
    made, rows = times(root), record_of(root)["frames"]
    shutil.rmtree(root / "rightImg8bit")  # as if its disk were not mounted
    with pytest.raises(InputError, match="right image is missing"):
        preprocess(root, PreprocessSettings(pictures=3, again=again))
    write_set(root, NAMES)

    def failing(path: Path) -> None:
        raise InputError(f"{path}: not a readable image (Input/output error)")

    monkeypatch.setattr(convert, "_fingerprint", lambda frame, _: failing(frame.left))
    with pytest.raises(InputError, match="Input/output error"):
        preprocess(root, PreprocessSettings(pictures=3, again=again))
    assert times(root) == made
    assert record_of(root)["frames"] == rows
    assert sorted(record_of(root)["skipped"]) == sorted(rows)


def test_an_input_that_the_matcher_does_not_read_may_change(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=0))
    corrupt(root, "disparity", "truncated")
    assert preprocess(root, PreprocessSettings(pictures=0)).reused == 3


def test_a_run_with_other_settings_that_fails_takes_nothing_away(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=1))
    made, rows = {name: (root / name).read_bytes() for name in outputs(root)}, record_of(root)["frames"]
    frame_path(root, "disparity", "train", "dots", "dots_0_1").unlink()
    corrupt(root, "disparity", "truncated")
    report = preprocess(root, PreprocessSettings(matcher="dataset", pictures=0))
    assert (report.done, [name for name, _ in report.skipped]) == (1, ["dots_0_1", "dots_0_2"])
    for name, content in made.items():
        if "dots_0_3" not in name and not name.endswith(".json"):
            assert (root / name).read_bytes() == content, name
    record = record_of(root)
    assert [record["frames"][f"train/{name}"] == rows[f"train/{name}"] for name in NAMES] == [True, True, False]
    assert {value["matcher"] for value in record["settings"].values()} == {"sgbm", "dataset"}
    assert preprocess(root, PreprocessSettings(pictures=0)).reused == 2


def test_depth_of_somebody_elses_is_overwritten_only_on_demand(root: Path) -> None:
    own = frame_path(root, "depth", "train", "dots", "dots_0_2")
    write_depth(own, np.full((HEIGHT, WIDTH), 3.0, dtype=np.float32))
    content = own.read_bytes()
    report = preprocess(root, PreprocessSettings(pictures=0))
    [(name, reason)] = report.skipped
    assert (report.done, name) == (2, "dots_0_2")
    assert str(own) in reason and "--again" in reason
    corrupt(root, "right", "truncated")
    assert preprocess(root, PreprocessSettings(pictures=0)).done == 2
    assert own.read_bytes() == content
    write_set(root, NAMES)
    assert preprocess(root, PreprocessSettings(pictures=0, again=True)).done == 3
    assert own.read_bytes() != content


def test_depth_without_a_record_is_known_by_its_mark_to_the_same_settings_only(root: Path) -> None:
    """A run that was killed leaves files without rows; those of other settings could be a copy of worth."""
    preprocess(root, PreprocessSettings(pictures=0))
    (root / "depth/preprocess.json").unlink()
    with pytest.raises(InputError, match=r"none of 3 frames.*--again"):
        preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0))
    assert preprocess(root, PreprocessSettings(pictures=0)).done == 3


def test_a_damaged_depth_file_is_made_anew(root: Path) -> None:
    preprocess(root, PreprocessSettings(pictures=0))
    corrupt(root, "depth", "truncated")
    report = preprocess(root, PreprocessSettings(pictures=0))
    assert (report.done, report.reused, report.skipped) == (3, 2, [])


def test_ctrl_c_leaves_what_is_finished_on_record(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preprocess(root, PreprocessSettings(pictures=0, max_depth_m=50.0))
    rows = record_of(root)["frames"]

    def interrupted(tasks: list[FrameTask], workers: int) -> Iterator[Outcome]:
        yield convert_frame(tasks[0])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(pipeline, "_run", interrupted)
        preprocess(root, PreprocessSettings(pictures=0))
    left = record_of(root)["frames"]
    assert [left[f"train/{name}"] == rows[f"train/{name}"] for name in NAMES] == [False, True, True]
    report = preprocess(root, PreprocessSettings(pictures=0))
    assert (report.done, report.reused) == (3, 1)


def test_ctrl_c_records_what_the_workers_still_finish(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def interrupted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return wait(*arguments, **options)

    write_set(root, tuple(f"dots_1_{i}" for i in range(9)))
    monkeypatch.setattr(pipeline, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        preprocess(root, PreprocessSettings(pictures=0, workers=2))
    rows = record_of(root)["frames"]
    assert rows
    assert sorted(times(root)) == [f"depth/train/dots/{key.removeprefix('train/')}_depth.png" for key in rows]


def test_splits_share_one_record(root: Path) -> None:
    write_set(root, ("dots_0_9",), split="val")
    settings = {"pictures": 0, "matcher": "dataset"}
    preprocess(root, PreprocessSettings(split="val", **settings))  # type: ignore[arg-type]
    report: Report = preprocess(root, PreprocessSettings(split="train", **settings))  # type: ignore[arg-type]
    assert report.done == 3
    record = json.loads((root / "depth/preprocess.json").read_text())
    assert sorted(record["frames"]) == [*(f"train/{name}" for name in NAMES), "val/dots_0_9"]
    assert len(record["settings"]) == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("matcher", "crestereo"),
        ("max_depth_m", 300.0),
        ("max_depth_m", 0.0),
        ("epsilon_px", 1.0),
        ("epsilon_px", -1e-6),
        ("epsilon_px", np.nan),
        ("infinity", "far"),
        ("workers", 0),
        ("pictures", -1),
    ],
)
def test_impossible_settings_name_the_key(key: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"^{key}: "):
        PreprocessSettings(**{key: value})  # type: ignore[arg-type]


def test_real_grey_pairs(tmp_path: Path) -> None:
    """The road 50 rows above the lower edge is 5 to 10 m away, and farther up it is farther."""
    drive = SHARED / "stereo_drive"
    if not drive.is_dir():
        pytest.skip("the shared stereo drive is absent")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = preprocess(drive, PreprocessSettings(split="val", out=tmp_path, pictures=1))
    assert report.skipped == []
    frame = find_frames(tmp_path, "val")[0]
    assert frame.depth is not None
    depth = read_depth(frame.depth)
    near, middle = depth[-60:-40, 500:700], depth[220:240, 560:640]
    assert 5 < np.median(near[near > 0]) < 10
    assert np.median(middle[middle > 0]) > np.median(near[near > 0])
    assert report.density_mean > 0.6
