"""The quality of a whole set: metrics, ranking, damaged files, files written, processes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from random_dots import HEIGHT, WIDTH, true_disparity, write_set
from written_set import output, write_exact, write_outputs

from preprocessing.ground.errors import InputError
from preprocessing.ground.files import read_image, write_png
from preprocessing.ground.frame import Frame
from preprocessing.quality import check as quality
from preprocessing.quality.check import QualityReport, QualitySettings, check_quality
from preprocessing.sets.cityscapes import find_frames
from preprocessing.sets.layouts import CITYSCAPES

NAMES = ("dots_0_1", "dots_0_2", "dots_0_3")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_exact(write_set(tmp_path, NAMES))
    return tmp_path


def spoil(root: Path, name: str, columns: slice, shift_px: float) -> None:
    """Write a frame's disparity with an error in some columns."""
    frame = next(frame for frame in find_frames(root) if frame.name == name)
    disparity = true_disparity()
    disparity[:, columns] += shift_px
    write_outputs(root, frame, disparity, matched=np.ones(disparity.shape, dtype=bool))


def written(report: QualityReport) -> dict[str, object]:
    content: dict[str, object] = json.loads(report.json.read_text(), parse_constant=pytest.fail)
    return content


def test_a_set_with_truth_is_ranked_by_d1(root: Path) -> None:
    """44 of 176 columns off by 20 px in one frame of three: 1/4 wrong there, 1/12 in the set, EPE 5 / 3 px."""
    spoil(root, "dots_0_2", slice(100, 144), 20.0)
    report = check_quality(root, QualitySettings(worst=2))
    truth = report.metrics["truth"]["disparity"]
    assert report.metrics["frames"] == 3
    assert truth["valid"]["d1_share"] == pytest.approx(1 / 12, abs=1e-6)
    assert truth["valid"]["epe_mean_px"] == pytest.approx(5 / 3, abs=1e-5)
    worst = report.rows[0]
    assert (worst["frame"], worst["rank"]) == ("train/dots/dots_0_2", 0.25)
    assert worst["ranked_by"] == "truth.disparity.valid.d1_share"
    content = written(report)
    assert content["set"] == report.metrics
    assert content["frames"] == report.rows
    assert content["worst"] == [row["frame"] for row in report.rows[:2]]
    assert report.json == root / "depth" / "quality.json"
    assert report.page == root / "depth" / "quality.html"


def test_a_set_without_truth_is_ranked_by_the_images(root: Path) -> None:
    shutil.rmtree(root / "disparity")
    spoil(root, "dots_0_3", slice(100, 144), 5.0)
    report = check_quality(root)
    assert report.metrics["truth"] == {}
    assert report.rows[0]["frame"] == "train/dots/dots_0_3"
    assert report.rows[0]["ranked_by"] == "photometric.unexplained_share"
    assert report.rows[0]["rank"] > report.rows[1]["rank"] + 0.1
    assert any("no ground truth" in note for note in report.notes)
    assert report.metrics["left_right"]["frames"] == 3
    assert report.metrics["left_right"]["consistent_share"] < 0.9
    assert report.metrics["photometric"]["error_ratio"] < 0.5


def test_lidar_decides_the_rank_where_there_is_any(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the set's own disparity all is right; lidar says that one frame is not."""
    lidar = root / "lidar.png"
    write_png(lidar, np.full((HEIGHT, WIDTH), 256 * 4, dtype=np.uint16))  # 4 m: 20 px

    def find(root: Path, split: str | None) -> list[Frame]:
        return [replace(f, lidar=lidar if f.name == "dots_0_2" else None) for f in find_frames(root, split)]

    monkeypatch.setattr(quality, "detect_layout", lambda root, tolerance_s: replace(CITYSCAPES, find_frames=find))
    report = check_quality(root)
    assert report.metrics["truth"]["lidar"]["frames"] == 1
    assert report.metrics["truth"]["disparity"]["frames"] == 3
    assert (report.rows[0]["frame"], report.rows[0]["rank"]) == ("train/dots/dots_0_2", 1.0)
    assert report.rows[0]["ranked_by"] == "truth.lidar.valid.d1_share"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def grow(path: Path) -> None:
    dtype = np.uint16 if path.parents[2].name.startswith(("depth", "disparity")) else np.uint8
    write_png(path, np.full((HEIGHT, WIDTH + 8), 200, dtype=dtype))


@pytest.mark.parametrize("damage", [cut, grow, Path.unlink], ids=["cut", "of another size", "missing"])
@pytest.mark.parametrize("kind", ["disparity_census", "confidence_census", "depth", "right", "disparity"])
def test_a_damaged_file_is_listed_and_the_rest_goes_on(root: Path, kind: str, damage: object) -> None:
    frame = find_frames(root)[1]
    path = getattr(frame, kind) if kind in ("right", "disparity") else output(root, kind, frame)
    assert callable(damage)
    damage(path)
    optional = kind not in ("disparity_census", "depth")
    report = check_quality(root, QualitySettings(worst=1))
    if damage is Path.unlink and optional:
        assert report.skipped == []
        return
    assert [name for name, _ in report.skipped] == ["train/dots/dots_0_2"]
    assert str(path) in report.skipped[0][1]
    assert "\n" not in report.skipped[0][1]
    assert damage is not grow or f"is {WIDTH + 8}x{HEIGHT}" in report.skipped[0][1]
    assert [row["frame"] for row in report.rows] == ["train/dots/dots_0_1", "train/dots/dots_0_3"]
    assert written(report)["skipped"] == dict(report.skipped)
    assert path.name in report.page.read_text()


def test_a_confidence_file_of_16_bits_is_no_confidence(root: Path) -> None:
    path = output(root, "confidence_census", find_frames(root)[0])
    write_png(path, np.full((HEIGHT, WIDTH), 300, dtype=np.uint16))
    assert "8 bits" in check_quality(root).skipped[0][1]


def test_no_usable_frame_is_an_error(root: Path) -> None:
    with pytest.raises(InputError, match=r"none of 3 frames.*disparity_crestereo.*no such file"):
        check_quality(root, QualitySettings(matcher="crestereo"))
    assert not (root / "depth" / "quality.json").exists()


def test_impossible_settings_name_the_key() -> None:
    for key, value in (("workers", 0), ("worst", -1), ("left_right", -1), ("max_depth_m", 0.0), ("max_depth_m", 81.0)):
        with pytest.raises(InputError, match=key):
            QualitySettings(**{key: value})  # type: ignore[arg-type]


def test_another_output_root_and_one_split(tmp_path: Path) -> None:
    root, out = tmp_path / "set", tmp_path / "out"
    write_set(root, NAMES[:1], split="train")
    write_set(root, NAMES[1:2], split="val")
    write_outputs(out, find_frames(root, "val")[0], true_disparity())
    report = check_quality(root, QualitySettings(split="val", out=out))
    assert [row["frame"] for row in report.rows] == ["val/dots/dots_0_2"]
    assert report.page == out / "depth" / "quality.html"
    assert report.skipped == []
    assert not (root / "depth").exists()
    assert any("no confidence file" in note for note in report.notes)


def test_two_processes_write_the_same_files_as_one(root: Path) -> None:
    spoil(root, "dots_0_1", slice(20, 60), 4.0)
    cut(output(root, "depth", find_frames(root)[2]))
    contents = []
    for workers in (1, 2):
        report = check_quality(root, QualitySettings(workers=workers, worst=1))
        contents.append((report.json.read_bytes(), report.page.read_bytes()))
    assert contents[0] == contents[1]


def test_the_left_right_check_is_made_on_as_many_frames_as_asked_for(root: Path) -> None:
    assert check_quality(root, QualitySettings(left_right=2)).metrics["left_right"]["frames"] == 2
    assert "left_right" not in check_quality(root, QualitySettings(left_right=0)).metrics


def test_images_are_left_as_they_are(root: Path) -> None:
    before = {path: path.read_bytes() for path in root.rglob("*.png")}
    check_quality(root)
    assert {path: path.read_bytes() for path in root.rglob("*.png")} == before
    assert read_image(find_frames(root)[0].left).shape == (HEIGHT, WIDTH, 3)
