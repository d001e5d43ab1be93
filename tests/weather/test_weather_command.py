"""`advmtl weather` and `advmtl evaluate --corruptions` through their runner."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from command_line import advmtl
from street_set import SIZE, write_cityscapes, write_folder
from tiny_run import CPU, make_config, quiet
from untouched import lying_in

from advmtl.config import Source
from advmtl.data import index_source
from advmtl.evaluation import CORRUPTIONS, corruption_figures
from advmtl.training import fit
from preprocessing.ground import read_grey_or_index, read_image


def rows(out: Path) -> list[dict]:
    return sorted(
        (json.loads(line) for line in (out / "weather.jsonl").read_text().splitlines()), key=lambda row: row["picture"]
    )


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("streets")
    write_cityscapes(root, "train", 3)
    write_cityscapes(root, "val", 2)
    return root


def test_a_set_keeps_its_format_labels_depth_and_cameras(streets: Path, tmp_path: Path) -> None:
    before, out = lying_in(streets), tmp_path / "bad"
    result = advmtl("weather", f"cityscapes:{streets}", "--out", out, "--kind", "fog=visibility_m:12", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "5 frames" in result.stdout and f"train with cityscapes:{out}:train" in result.stdout
    assert lying_in(streets) == before
    for role in ("train", "val"):
        source = Source(format="cityscapes", root=str(streets), split=role)
        there = source.model_copy(update={"root": str(out)})
        own, new = (index_source(one, "cityscapes19", role) for one in (source, there))
        assert [one.name for one in own] == [one.name for one in new]
        for a, b in zip(own, new, strict=True):
            assert a.lens(SIZE) == b.lens(SIZE)
            np.testing.assert_array_equal(read_grey_or_index(a.labels), read_grey_or_index(b.labels))
            np.testing.assert_array_equal(read_grey_or_index(a.disparity), read_grey_or_index(b.disparity))
            assert os.stat(a.labels).st_ino == os.stat(b.labels).st_ino
            assert not np.array_equal(a.picture(), b.picture())
    found = rows(out)
    assert (
        len(found) == 5 and {one["depth"] for one in found} == {"known"} and {one["lens"] for one in found} == {"told"}
    )
    assert found[0]["kinds"] == [{"kind": "fog", "visibility_m": 12.0}]
    # 20 m and nearer ones, hidden beyond 9.2 m; the top rows have no depth and are filled
    assert all(one["hidden"] > 0.9 for one in found)
    assert read_image(out / "weather.png").shape[2] == 3


def test_the_same_seed_gives_the_same_set_and_an_interrupted_one_resumes(streets: Path, tmp_path: Path) -> None:
    def make(out: Path, *more: object) -> None:
        kinds = ("--kind", "fog+noise", "--kind", "night", "--kind", "drops=share:0.1")
        result = advmtl("weather", streets, "--out", out, *kinds, "--workers", 1, *more)
        assert result.exit_code == 0, result.output

    one, other, third = tmp_path / "one", tmp_path / "other", tmp_path / "third"
    make(one, "--copy")
    make(other)
    make(third, "--seed", 7)
    pictures = sorted(path.relative_to(one) for path in (one / "leftImg8bit").rglob("*.png"))
    contents = [(one / path).read_bytes() for path in pictures]
    assert contents == [(other / path).read_bytes() for path in pictures]
    assert contents != [(third / path).read_bytes() for path in pictures]
    labels = next((one / "gtFine").rglob("*.png"))
    assert os.stat(labels).st_nlink == 1  # copied
    # Killed while a line was being written: that frame and one whose picture is missing are made again.
    lines = (other / "weather.jsonl").read_text().splitlines()
    (other / "weather.jsonl").write_text("\n".join(lines[:-1]) + "\n" + lines[-1][:20])
    (other / json.loads(lines[0])["picture"]).unlink()
    make(other)
    assert contents == [(other / path).read_bytes() for path in pictures] and rows(other) == rows(one)
    result = advmtl("weather", streets, "--out", other, "--kind", "night")
    assert result.exit_code == 2 and "made with another kinds" in result.stderr


def test_depth_that_is_not_seen_can_be_left_out(streets: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = advmtl(
        "weather", f"cityscapes:{streets}:val", "--out", out, "--kind", "fog=visibility_m:12", "--hidden", "ignore"
    )
    assert result.exit_code == 0, result.output
    files = sorted((out / "disparity").rglob("*.png"))
    assert len(files) == 2 and not any(read_grey_or_index(path).any() for path in files)
    assert all(read_grey_or_index(streets / path.relative_to(out)).any() for path in files)


def test_a_folder_without_depth(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", 2, labels=True)
    write_folder(tmp_path / "bare", 2)
    line = ("weather", f"folder:{tmp_path / 'set'}", "--out")
    result = advmtl(*line, tmp_path / "fog", "--kind", "fog")
    assert (
        result.exit_code == 2
        and "fog needs depth, and no frame has any" in result.stderr
        and "--guess-depth" in result.stderr
    )
    assert not (tmp_path / "fog").exists()
    result = advmtl(*line, tmp_path / "fog", "--kind", "fog", "--guess-depth")  # one frame is road, one sidewalk
    assert result.exit_code == 0, result.output
    assert {one["depth"] for one in rows(tmp_path / "fog")} == {"guessed"} and "2 frames have no depth" in result.stdout
    result = advmtl("weather", f"folder:{tmp_path / 'bare'}", "--out", tmp_path / "dirty", "--kind", "dirt=share:0.3")
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (tmp_path / "dirty/images").iterdir()) == ["f0.png", "f1.png"]


def test_what_lies_there_is_not_touched(streets: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    result = advmtl("weather", streets, "--out", tmp_path / "mine", "--kind", "night")
    assert result.exit_code == 2 and "weather did not make it" in result.stderr
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]
    result = advmtl("weather", streets, "--out", streets, "--kind", "night")
    assert result.exit_code == 2 and "which is read" in result.stderr


def test_a_new_set_lies_outside_of_the_old_one(streets: Path) -> None:
    result = advmtl("weather", streets, "--out", streets / "leftImg8bit/fog", "--kind", "fog")
    assert result.exit_code == 2 and "the set that is read" in result.stderr
    assert not (streets / "leftImg8bit/fog").exists()


def test_a_rig_stays_a_rig_without_its_right_pictures(tmp_path: Path) -> None:
    write_folder(tmp_path / "set", 2, depth_m=9)
    rig = tmp_path / "rig"
    (rig / "right").mkdir(parents=True)
    (tmp_path / "set/images").rename(rig / "left")
    (tmp_path / "set/depth").rename(rig / "depth")
    (rig / "calibration.json").write_text('{"fx_px": 90, "baseline_m": 0.2}')
    for path in (rig / "left").iterdir():
        (rig / "right" / path.name).write_bytes(path.read_bytes())
    result = advmtl("weather", rig, "--out", tmp_path / "night", "--kind", "night+rain")
    assert result.exit_code == 0, result.output
    assert list((tmp_path / "night/right").iterdir()) == []
    records = index_source(Source(format="rig", root=str(tmp_path / "night")), "cityscapes19", "train")
    assert [one.lens(SIZE).fx_px for one in records] == [90, 90] and all(one.depth for one in records)  # type: ignore


def test_figures_under_corruptions(streets: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit(make_config(streets, critic=False, epochs=1, panels=0), run, CPU, quiet())
    line = ("evaluate", run, "--corruptions", "--kinds", "fog,noise")
    results = [advmtl(*line, "--out", run / name) for name in ("evaluation.json", "again.json")]
    assert all(one.exit_code == 0 for one in results), results[0].output
    found, again = (json.loads((run / name).read_text())["corruptions"] for name in ("evaluation.json", "again.json"))
    assert found == again and list(found["kinds"]) == ["fog", "noise"] and found["depth"] == "known"
    for task, figure in (("segmentation", "miou"), ("depth", "abs_rel")):
        by_kind = [[row[task][figure] for row in one["strengths"]] for one in found["kinds"].values()]
        assert all(len(values) == 5 for values in by_kind)
        assert found["mean"][task][figure] == pytest.approx(np.mean(by_kind))
        clean = found["clean"][task][figure]  # 0 after one epoch, it may be; then there is no ratio
        assert found["relative"][task][figure] == (pytest.approx(np.mean(by_kind) / clean) if clean else None)
    assert found["relative"]["depth"]["abs_rel"]
    assert found["kinds"]["fog"]["strengths"][4]["parameters"] == {"visibility_m": 35.0}
    assert "under corruptions" in results[0].stdout
    page = tmp_path / "report.html"
    assert advmtl("report", run, "--out", page).exit_code == 0
    assert "under corruptions, mean of strengths 1 to 5" in page.read_text()
    result = advmtl("evaluate", run, "--kinds", "fog")
    assert result.exit_code == 2 and "--corruptions" in result.stderr
    result = advmtl("evaluate", run, "--corruptions", "--kinds", "fogg")
    assert result.exit_code == 2 and "no fogg" in result.stderr


def test_frames_without_depth_and_classes_leave_out_what_needs_them() -> None:
    """Nothing is measured: there is no kind that could be done."""

    class Nothing:
        records: tuple = ()

    class Loader:
        dataset = Nothing()

    from street_set import config

    own = config(["folder:nowhere"]).model_copy(update={"tasks": {}})
    found = corruption_figures(None, [("none", Loader())], own, {}, kinds=("fog", "motion"), tasks={})  # type: ignore
    assert found["kinds"] == {} and set(found["left_out"]) == {"fog", "motion"} and "fog" in CORRUPTIONS
